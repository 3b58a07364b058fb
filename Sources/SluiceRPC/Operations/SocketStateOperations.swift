import Sluice

extension OperationTable {
    private static let graph = Parameter(
        "graph", .boolean, "Of all sockets of this client that have an objectId: an object with a member for each.", .boolean(false))

    /// What a socket tells about itself, and its options.
    static let socketStateOperations: [Operation] = [
        state("socket.state", "The state.", .choice(SocketState.allNames)) { .text($0.state.name) },
        state("socket.error", "The last error; NoError before any.", .choice(SocketError.Code.allCases.map(\.name))) { .text($0.error.name) },
        state("socket.errorString", "The last error in words.", .text("Empty before any error.")) { .text($0.errorString) },
        state("socket.socketType", "What the socket speaks.", .choice(SocketType.allCases.map(\.name))) { .text($0.socketType.name) },
        state("socket.openMode", "How it is open.", .names(OpenMode.allNames)) { .names($0.openMode.names) },
        state("socket.isValid", "Whether there is a live descriptor.", .boolean) { .boolean($0.isValid) },
        state("socket.isOpen", "Whether it can be read from or written to.", .boolean) { .boolean($0.isOpen) },
        state("socket.isReadable", "Whether it is open for reading.", .boolean) { .boolean($0.isReadable) },
        state("socket.isWritable", "Whether it is open for writing.", .boolean) { .boolean($0.isWritable) },
        state("socket.isSequential", "Always true: a stream has no position.", .boolean) { .boolean($0.isSequential) },
        state("socket.localAddress", "The own address.", .textOrNull("Null when there is none.")) { .textOrNull($0.localAddress) },
        state("socket.localPort", "The own port.", .integer("0 when there is none.")) { .integer($0.localPort) },
        state("socket.peerAddress", "The address of the other end.", .textOrNull("Null when there is none.")) { .textOrNull($0.peerAddress) },
        state("socket.peerPort", "The port of the other end.", .integer("0 when there is none.")) { .integer($0.peerPort) },
        state("socket.peerName", "The host as it was given to connectToHost.", .text("Empty for accepted sockets.")) { .text($0.peerName) },
        state("socket.bytesAvailable", "How many bytes can be read now.", .integer("Bytes.")) { .integer($0.bytesAvailable) },
        state("socket.bytesToWrite", "How many written bytes are not yet with the system.", .integer("Bytes.")) { .integer($0.bytesToWrite) },
        state("socket.atEnd", "Whether nothing can be read now.", .boolean) { .boolean($0.atEnd) },
        state("socket.canReadLine", "Whether a whole line can be read now.", .boolean) { .boolean($0.canReadLine) },

        Operation(
            "socket.readBufferSize", "How many unread bytes are kept at most; beyond that the peer is held back.", [.handle],
            .integer("0 is no limit.")
        ) { call throws(Failure) in
            _ = try call.socket()
            return .integer(try call.entry().readBufferSize)
        },
        Operation(
            "socket.setReadBufferSize", "Sets how many unread bytes are kept at most.", [.handle, Parameter("bytes", .integer(nil), "0 is no limit.")]
        ) { call throws(Failure) in
            _ = try call.socket()
            let entry = try call.entry()
            let size = try call.integer("bytes")
            try call.run { () throws(SocketError) in try entry.setReadBufferSize(size) }
            return .null
        },
        state("socket.writeBufferSize", "How many unsent bytes are kept at most.", .integer("0 is no limit.")) { .integer($0.writeBufferSize) },
        Operation(
            "socket.setWriteBufferSize", "Sets how many unsent bytes are kept at most; write takes no more than fit.",
            [.handle, Parameter("bytes", .integer(nil), "0 is no limit.")]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let size = try call.integer("bytes")
            try call.run { () throws(SocketError) in try socket.setWriteBufferSize(size) }
            return .null
        },
        Operation(
            "socket.option", "The value of an option of the native socket; before there is one, the value that was set.",
            [.handle, Parameter("option", .option, "The option.")], .integer("Switches are 0 or 1."), errors: [.unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let option: SocketOption = try call.named("option")
            return .integer(try call.run { () throws(SocketError) in try socket.option(option) })
        },
        Operation(
            "socket.setOption", "Sets an option of the native socket; before there is one the value is kept for it.",
            [.handle, Parameter("option", .option, "The option."), Parameter("value", .setting, "The value; switches are 0 or 1.")],
            errors: [.unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let option: SocketOption = try call.named("option")
            let value = try call.integer("value")
            try call.run { () throws(SocketError) in try socket.setOption(option, value) }
            return .null
        },
        state("socket.pauseMode", "What makes the socket pause until resume.", .names(PauseMode.allNames)) { .names($0.pauseMode.names) },
        Operation(
            "socket.setPauseMode", "Sets what makes the socket pause until resume.",
            [.handle, Parameter("pauseMode", .pauseMode, "Reasons to pause.")]
        ) { call throws(Failure) in
            try call.socket().setPauseMode(try call.flags("pauseMode"))
            return .null
        },
        Operation("socket.resume", "Goes on after a pause.", [.handle]) { call throws(Failure) in
            try call.socket().resume()
            return .null
        },
        Operation("socket.properties", "All properties.", [.handle], .anything("An object of properties by name.")) { call throws(Failure) in
            try Properties.all(call)
        },
        Operation(
            "socket.property", "One property.", [.handle, Parameter("name", .string, "Its name.")], .anything("Its value.")
        ) { call throws(Failure) in
            try Properties.one(try call.text("name"), call)
        },
        Operation(
            "socket.setProperties", "Sets properties. If one of them cannot be set, none is.",
            [.handle, Parameter("properties", .object, "Values by name.")]
        ) { call throws(Failure) in
            guard let values = try call.value("properties") else { return .null }
            try Properties.set(values, call)
            return .null
        },
        Operation(
            "socket.setProperty", "Sets one property.",
            [.handle, Parameter("name", .string, "Its name."), Parameter("value", .anything, "Its value.")]
        ) { call throws(Failure) in
            guard let value = try call.value("value") else { return .null }
            try Properties.set(try call.text("name"), value, call)
            return .null
        },
        Operation(
            "socket.toJson", "All properties as a JSON text, for socket.fromJson.", [.handle, graph], .text("A JSON object."), errors: []
        ) { call throws(Failure) in
            try Properties.toJson(call)
        },
        Operation(
            "socket.fromJson",
            """
                Sets the properties that a JSON text has, all of them or none; what can only be read is left out. The event completed tells \
                when that is done.
                """,
            [.handle, Parameter("text", .string, "A JSON object, as socket.toJson makes it."), graph]
        ) { call throws(Failure) in
            try Properties.fromJson(call)
            return .null
        },
    ]

    private static func state(
        _ name: StaticString, _ summary: StaticString, _ result: ResultType, _ get: @escaping @Sendable (Socket) -> Reply
    ) -> Operation {
        Operation(name, summary, [.handle], result) { call throws(Failure) in get(try call.socket()) }
    }
}
