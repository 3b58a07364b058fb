import Sluice

extension OperationTable {
    static let serverProperties = Parameter(
        "properties", .object, "maxPendingConnections, listenBacklog, proxyProtocol, incoming (as in server.setIncomingHandler).", .optional)

    /// What TCP and local servers have in common, and TCP servers.
    static let serverOperations: [Operation] = [
        Operation(
            "tcpServer.create", "Makes a TCP server that does not listen yet.",
            [serverProperties], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(TCPServer(loop: call.session.service.loop), call)
        },
        Operation(
            "tcpServer.listen", "Listens at an address of this machine.",
            [
                .handle,
                Parameter("address", .string, """
                    An IPv4 or IPv6 address, any (both families), AnyIPv4, AnyIPv6, LocalHost or LocalHostIPv6.
                    """, .text("any")),
                Parameter("port", .integer(nil), "0 to 65535; 0 picks a free one, which server.port then tells.", .integer(0)),
                Parameter("bindMode", .bindMode, "Who else may have the address.", .text("DefaultForPlatform")),
            ], errors: [.addressInUse, .socketAccess, .socketAddressNotAvailable, .operation]
        ) { call throws(Failure) in
            let server = try call.tcpServer()
            let address = try call.text("address")
            let port = try call.integer("port")
            let mode: BindMode = try call.flags("bindMode")
            try call.session.service.rules.checkListen(address, port: port)
            try call.run { () throws(SocketError) in try server.listen(address, port: port, mode: mode) }
            return .null
        },
        Operation(
            "server.close", "Stops listening. Sockets that were taken live on, connections that were not are closed.", [.handle]
        ) { call throws(Failure) in
            try call.server().close()
            return .null
        },
        state("server.isListening", "Whether it listens.", .boolean) { .boolean($0.isListening) },
        state("server.hasPendingConnections", "Whether a connection waits to be taken.", .boolean) { .boolean($0.hasPendingConnections) },
        Operation(
            "server.nextPendingConnection", "Takes the connection that has waited longest; it is Connected.", [.handle], .handleOrNull
        ) { call throws(Failure) in
            let server = try call.server()
            guard server.hasPendingConnections else { return .null }
            // Checked before the connection is taken, or it would be lost.
            try call.session.checkRoomForHandle()
            guard let socket = server.nextPendingConnection() else { return .null }
            // One that the client has put there itself has its handle.
            if let entry = call.session.entry(of: socket) { return .integer(entry.number) }
            return try call.create(socket)
        },
        state("server.maxPendingConnections", "How many connections wait to be taken at most.", .integer("30 at first.")) {
            .integer($0.maxPendingConnections)
        },
        Operation(
            "server.setMaxPendingConnections", "Sets how many connections wait to be taken at most; the system keeps the rest queued.",
            [.handle, Parameter("count", .integer(nil), "At least 1.")]
        ) { call throws(Failure) in
            let server = try call.server()
            let count = try call.integer("count")
            try call.run { () throws(SocketError) in try server.setMaxPendingConnections(count) }
            return .null
        },
        state("server.listenBacklog", "The length of the system's queue.", .integer("50 at first.")) { .integer($0.listenBacklog) },
        Operation(
            "server.setListenBacklog", "Sets the length of the system's queue, for the next listen.",
            [.handle, Parameter("count", .integer(nil), "At least 1.")]
        ) { call throws(Failure) in
            let server = try call.server()
            let count = try call.integer("count")
            try call.run { () throws(SocketError) in try server.setListenBacklog(count) }
            return .null
        },
        state("server.address", "The address it listens at.", .textOrNull("Null when it does not listen.")) { .textOrNull($0.address) },
        state("server.port", "The port it listens at.", .integer("0 when it does not listen.")) { .integer($0.port) },
        state("server.error", "The last error; NoError before any.", .choice(SocketError.Code.allCases.map(\.name))) { .text($0.error.name) },
        state("server.errorString", "The last error in words.", .text("Empty before any error.")) { .text($0.errorString) },
        state("server.descriptor", "The number of the native descriptor in the sidecar.", .integer("-1 when it does not listen.")) {
            .integer(Int($0.descriptor))
        },
        Operation(
            "server.setDescriptor",
            """
                Listens with a native descriptor that is bound and listening already: over a Unix socket the one that came with \
                the request (SCM_RIGHTS), over standard input and output one that the sidecar has inherited.
                """,
            [.handle, Parameter("descriptor", .integer(nil), """
                Its number in the sidecar. Of a descriptor that came with the request any small number will do.
                """)],
            errors: [.unsupportedSocketOperation, .operation]
        ) { call throws(Failure) in
            let server = try call.server()
            try call.withDescriptor { descriptor throws(SocketError) in try server.setDescriptor(descriptor) }
            return .null
        },
        Operation(
            "server.takeDescriptor",
            """
                Gives the listening descriptor away: it comes with the answer (SCM_RIGHTS) and the server listens no more. No \
                connection may wait to be taken. Over a Unix socket only.
                """,
            [.handle], .integer("Its number in the sidecar, which means nothing to the client."), errors: [.operation, .unsupportedSocketOperation]
        ) { call throws(Failure) in
            let server = try call.server()
            try call.checkCanHandOver()
            return call.handOver(try call.run { () throws(SocketError) in try server.takeDescriptor() })
        },
        Operation(
            "server.setIncomingHandler",
            """
                What becomes of connections that are accepted: "socket", they wait for server.nextPendingConnection; "descriptor", each \
                is told by the event server.incomingConnection, with a number for socket.setDescriptor.
                """,
            [.handle, Parameter("incoming", .choice(Incoming.allCases.map(\.rawValue)), "From now on.")]
        ) { call throws(Failure) in
            _ = try call.server()
            try call.entry().setIncoming(Incoming(rawValue: try call.text("incoming")) ?? .socket)
            return .null
        },
        Operation(
            "server.addPendingConnection",
            "Puts a connected socket into the queue of connections that wait to be taken; server.nextPendingConnection then answers its handle.",
            [.handle, Parameter("socket", .handle, "A stream socket of this client, in state Connected.")], errors: [.operation]
        ) { call throws(Failure) in
            let server = try call.server()
            let socket = try call.streamSocket("socket")
            try call.run { () throws(SocketError) in try server.addPendingConnection(socket) }
            return .null
        },
        Operation(
            "server.pauseAccepting", "Accepts no more until resumeAccepting; connections wait in the system's queue.", [.handle]
        ) { call throws(Failure) in
            _ = try call.server()
            try call.entry().pauseAccepting()
            return .null
        },
        Operation("server.resumeAccepting", "Accepts again.", [.handle]) { call throws(Failure) in
            _ = try call.server()
            try call.entry().resumeAccepting()
            return .null
        },
        Operation(
            "server.waitForNewConnection", "Answers when a connection waits to be taken; at once if one does.",
            [
                .handle,
                Parameter("timeout", .integer(-1...Int(Int32.max)), "Milliseconds to wait at most; 0 only looks, -1 is no limit.", .integer(0)),
            ], .object([("available", .boolean), ("timedOut", .boolean)])
        ) { call throws(Failure) in
            let server = try call.server()
            return try call.wait(ifAbandoned: outcome(false, timedOut: false)) { timeout, finish in
                let wait = server.beginWaitForNewConnection(timeout: timeout) { available, timedOut in
                    finish(.success(outcome(available, timedOut: timedOut)))
                }
                return wait.map { wait in { wait.cancel() } }
            }
        },
    ]

    private static func outcome(_ available: Bool, timedOut: Bool) -> Reply {
        .object([("available", .boolean(available)), ("timedOut", .boolean(timedOut))])
    }

    private static func state(
        _ name: StaticString, _ summary: StaticString, _ result: ResultType, _ get: @escaping @Sendable (Server) -> Reply
    ) -> Operation {
        Operation(name, summary, [.handle], result) { call throws(Failure) in get(try call.server()) }
    }
}
