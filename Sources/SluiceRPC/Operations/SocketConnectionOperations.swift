import Sluice

extension OperationTable {
    private static let openMode = Parameter(
        "openMode", .openMode, "For reading, for writing or both; Unbuffered sends each write at once.", .text("ReadWrite"))
    static let connectParameters = [
        Parameter.handle,
        Parameter("host", .string, "A name, or an IPv4 or IPv6 address."),
        Parameter("port", .integer(nil), "1 to 65535."),
        openMode,
        Parameter("protocol", .networkProtocol, "Which addresses of a name to use.", .text("any")),
    ]
    static let connectErrors: [SocketError.Code] = [
        .emptyHostName, .portNumberOutOfRange, .hostNotFound, .connectionRefused, .socketTimeout, .network, .socketAccess,
        .socketResource, .operation,
    ]

    /// How sockets come to be, connect and close.
    static let socketConnectionOperations: [Operation] = [
        Operation(
            "tcpSocket.create", "Makes a TCP socket: Unconnected, without a descriptor.",
            [Parameter("properties", .object, "Properties to set, as in socket.setProperties.", .optional)], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(TCPSocket(loop: call.session.service.loop), call)
        },
        Operation(
            "localSocket.create", "Makes a local (Unix) socket: Unconnected, without a descriptor.",
            [Parameter("properties", .object, "Properties to set, as in socket.setProperties.", .optional)], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(LocalSocket(loop: call.session.service.loop), call)
        },
        Operation(
            "socket.connectToHost",
            """
                Starts to connect and returns at once; the outcome is the event connected or errorOccurred, and what \
                waitForConnected answers. A name is looked up, and its addresses are raced.
                """,
            connectParameters, errors: connectErrors
        ) { call throws(Failure) in
            let socket = try call.socket()
            try call.connect { host, port, mode, networkProtocol throws(SocketError) in
                try socket.connectToHost(host, port: port, openMode: mode, protocol: networkProtocol)
            }
            return .null
        },
        Operation(
            "socket.disconnectFromHost", "Sends what is pending (state Closing), then disconnects. While connecting it is remembered.", [.handle]
        ) { call throws(Failure) in
            try call.socket().disconnectFromHost()
            return .null
        },
        Operation("socket.abort", "Closes at once and drops what is pending. The object can be used again.", [.handle]) { call throws(Failure) in
            try call.entry().forget([.arrived, .written])
            try call.socket().abort()
            return .null
        },
        Operation(
            "socket.close", "Closes for reading and writing; what is pending is still sent, then the socket disconnects.", [.handle]
        ) { call throws(Failure) in
            try call.socket().close()
            return .null
        },
        Operation(
            "socket.shutdownWrite", "Sends what is queued, then the end of the stream; reading goes on.", [.handle], errors: [.operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            try call.run { () throws(SocketError) in try socket.shutdownWrite() }
            return .null
        },
        Operation(
            "socket.bind", "Binds to an address of this machine; a bound socket may then connect.",
            [
                .handle,
                Parameter("address", .string, "An IPv4 or IPv6 address, any, AnyIPv4, AnyIPv6, LocalHost or LocalHostIPv6.", .text("any")),
                Parameter("port", .integer(nil), "0 to 65535; 0 picks a free one.", .integer(0)),
                Parameter("bindMode", .bindMode, "Who else may have the address.", .text("DefaultForPlatform")),
            ], errors: [.addressInUse, .socketAccess, .socketAddressNotAvailable, .operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let address = try call.text("address")
            let port = try call.integer("port")
            let mode: BindMode = try call.flags("bindMode")
            try call.session.service.rules.checkListen(address, port: port)
            try call.run { () throws(SocketError) in try socket.bind(address, port: port, mode: mode) }
            return .null
        },
        Operation(
            "socket.setDescriptor",
            """
                Takes over a native descriptor: over a Unix socket the one that came with the request (SCM_RIGHTS), over standard \
                input and output one that the sidecar has inherited.
                """,
            [
                .handle,
                Parameter("descriptor", .integer(nil), """
                    Its number in the sidecar, or one that server.incomingConnection has told. Of a descriptor that came with the \
                    request any small number will do.
                    """),
                Parameter("state", .state, "The state it is in: Connected, Bound or Unconnected.", .text("Connected")),
                openMode,
            ], errors: [.unsupportedSocketOperation, .operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let state: SocketState = try call.named("state")
            let mode: OpenMode = try call.flags("openMode")
            try call.entry().forgetLastConnection()
            try call.withDescriptor { descriptor throws(SocketError) in
                try socket.setDescriptor(descriptor, state: state, openMode: mode)
            }
            return .null
        },
        Operation(
            "socket.descriptor", "The number of the native descriptor in the sidecar; -1 while there is none.", [.handle],
            .integer("A number, or -1.")
        ) { call throws(Failure) in
            .integer(Int(try call.socket().descriptor))
        },
        Operation(
            "socket.takeDescriptor",
            """
                Gives the connection away: its descriptor comes with the answer (SCM_RIGHTS) and the socket is Unconnected. \
                Nothing unread or unsent may be left. Over a Unix socket only.
                """,
            [.handle], .integer("Its number in the sidecar, which means nothing to the client."), errors: [.operation, .unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            try call.checkCanHandOver()
            return call.handOver(try call.run { () throws(SocketError) in try socket.takeDescriptor() })
        },
        wait(
            "socket.waitForConnected",
            """
                Answers when the connection is made (true), or failed or did not come in time (false); running out of time ends \
                the attempt.
                """, .connected),
        wait(
            "socket.waitForReadyRead",
            """
                Answers true when new bytes have come: at once if some came since the last read or such a wait. False when the \
                connection ends, or time runs out.
                """,
            .readyRead),
        wait(
            "socket.waitForBytesWritten", """
                Answers true when some of the queued bytes went to the system: at once if some did since the last such wait. \
                False when none are queued.
                """, .bytesWritten),
        wait("socket.waitForDisconnected", """
            Answers true when the connection has ended: at once if it did since the last such wait. False when there is none, or \
            time runs out.
            """, .disconnected),
        Operation(
            "socket.sync", "Answers when all that was written is with the system.", [.handle, .timeout], errors: [.socketTimeout, .operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            return try call.wait(ifAbandoned: .null) { timeout, finish in
                let wait = socket.beginWait(.sync, timeout: timeout) { succeeded in
                    finish(succeeded ? .success(.null) : .failure(Failure(socket.syncFailure)))
                }
                return wait.map { wait in { wait.cancel() } }
            }
        },
    ]

    static func wait(
        _ name: StaticString, _ summary: StaticString, _ kind: Wait.Kind,
        of socket: @escaping @Sendable (Call) throws(Failure) -> Socket = { call throws(Failure) in try call.socket() }
    ) -> Operation {
        Operation(name, summary, [.handle, .timeout], .boolean, errors: [.socketTimeout]) { call throws(Failure) in
            let socket = try socket(call)
            let entry = try call.entry()
            if let verdict = entry.verdict(on: kind) {
                entry.forget(kind)
                return .boolean(verdict)
            }
            return try call.wait(ifAbandoned: .boolean(false)) { timeout, finish in
                let wait = socket.beginWait(kind, timeout: timeout) { succeeded in
                    entry.waitEnded(kind, succeeded)
                    finish(.success(.boolean(succeeded)))
                }
                return wait.map { wait in { wait.cancel() } }
            }
        }
    }
}
