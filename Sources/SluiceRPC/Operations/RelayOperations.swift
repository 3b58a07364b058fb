import Sluice

extension OperationTable {
    /// Bytes between two sockets, which the client does not see.
    static let relayOperations: [Operation] = [
        Operation(
            "relay.create",
            """
                Moves bytes both ways between two connected sockets, inside the sidecar, until both connections have ended: then \
                the event relay.finished comes. Until then the sockets' data are the relay's; handle.destroy of the relay gives them back.
                """,
            [
                Parameter("a", .handle, "A connected stream socket of this client."),
                Parameter("b", .handle, "Another one."),
            ], .handle, errors: [.operation]
        ) { call throws(Failure) in
            let a = try call.streamSocket("a")
            let b = try call.streamSocket("b")
            try call.session.checkRoomForHandle()
            let sides = [try call.entry("a"), try call.entry("b")]
            // With the limits that the client has set: the relay restores what it finds.
            for entry in sides { entry.holdBack(false) }
            do throws(Failure) {
                let relay = try call.run { () throws(SocketError) in try Relay(a, b) }
                let entry = try call.session.add(relay)
                entry.beginRelay(between: sides)
                return .integer(entry.number)
            } catch {
                if call.session.isHeldBack { for entry in sides { entry.holdBack(true) } }
                throw error
            }
        },
        Operation(
            "socket.attach",
            """
                Makes this connection to the sidecar the socket's byte stream: this answer is the last message, and from then on bytes go \
                straight through, both ways, until both ends are closed. All else that this client has ends. Over a Unix socket only.
                """,
            [Parameter("handle", .handle, "A connected stream socket of this client.")], errors: [.operation, .unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.streamSocket("handle")
            let entry = try call.entry()
            guard call.session.channel.isOneUnixSocket, call.caller.batch == nil, call.caller.id != nil else {
                throw .unsupported("""
                    Only a Unix socket can become a byte stream, after an answer of its own: connect to a sidecar that runs with --socket PATH, and \
                    call this outside a batch.
                    """)
            }
            guard socket.state == .connected, !entry.isVirtual, !entry.isRelayed else {
                throw Failure(SocketError(.operation, "The socket must be Connected, and in no relay, to be attached: it is \(socket.state.name)"))
            }
            call.session.prepareToAttach(entry, socket)
            return .null
        },
        Operation(
            "relay.counters", "How many bytes were passed on.", [.handle],
            .object([("aToB", .integer("What the second socket got from the first.")), ("bToA", .integer("What the first got from the second."))])
        ) { call throws(Failure) in
            let counters = try call.relay().counters
            return .object([("aToB", .integer(counters.aToB)), ("bToA", .integer(counters.bToA))])
        },
    ]
}
