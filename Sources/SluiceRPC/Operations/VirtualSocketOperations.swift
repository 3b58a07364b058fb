import Sluice

extension OperationTable {
    /// What whoever carries a socket's connection in a way of his own has the object show.
    static let virtualSocketOperations: [Operation] = [
        setter("socket.setPeerName", .string, "A name.") { socket, call throws(Failure) in
            let value = try call.text("value")
            try call.run { () throws(SocketError) in try socket.setPeerName(value) }
        },
        setter("socket.setPeerAddress", .string, "An address.") { socket, call throws(Failure) in
            let value = try call.text("value")
            try call.run { () throws(SocketError) in try socket.setPeerAddress(value) }
        },
        setter("socket.setPeerPort", .integer(nil), "0 to 65535.") { socket, call throws(Failure) in
            let value = try call.integer("value")
            try call.run { () throws(SocketError) in try socket.setPeerPort(value) }
        },
        setter("socket.setLocalAddress", .string, "An address.") { socket, call throws(Failure) in
            let value = try call.text("value")
            try call.run { () throws(SocketError) in try socket.setLocalAddress(value) }
        },
        setter("socket.setLocalPort", .integer(nil), "0 to 65535.") { socket, call throws(Failure) in
            let value = try call.integer("value")
            try call.run { () throws(SocketError) in try socket.setLocalPort(value) }
        },
        setter("socket.setState", .state, "The state.") { socket, call throws(Failure) in
            let value: SocketState = try call.named("value")
            try call.run { () throws(SocketError) in try socket.setState(to: value) }
            try call.entry().isVirtual = true
        },
        setter("socket.setError", .error, "The error; its text is \"Unknown error\" until socket.setErrorString.") { socket, call throws(Failure) in
            let value: SocketError.Code = try call.named("value")
            try call.run { () throws(SocketError) in try socket.setError(value) }
        },
        setter("socket.setErrorString", .string, "The text.") { socket, call throws(Failure) in
            let value = try call.text("value")
            try call.run { () throws(SocketError) in try socket.setErrorString(value) }
        },
    ]

    private static func setter(
        _ name: StaticString, _ type: ValueType, _ what: StaticString,
        _ set: @escaping @Sendable (Socket, Call) throws(Failure) -> Void
    ) -> Operation {
        Operation(
            name, "Sets what the socket shows there, without an event. Not while it has a connection of its own: OperationError.",
            [.handle, Parameter("value", type, what)], errors: [.operation]
        ) { call throws(Failure) in
            try set(try call.socket(), call)
            return .null
        }
    }
}
