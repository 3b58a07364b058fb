import Sluice

extension OperationTable {
    /// The version of the protocol as told by session.hello; it changes when a client could break by it.
    static let protocolVersion = 1

    /// The session itself, and what there is to call.
    static let sessionOperations: [Operation] = [
        Operation(
            "session.hello", "Introduces the client, and tells what the sidecar is and can do. Optional.",
            [
                Parameter("client", .string, "The client's name, for the log.", .text("")),
                Parameter("protocol", .integer(nil), "The version of the protocol that the client speaks.", .integer(1)),
            ],
            .object([
                ("server", .text("Always sluiced.")), ("version", .text("Its version.")), ("protocol", .integer("The version of the protocol.")),
                ("limits", .anything("Limits by name.")), ("capabilities", .anything("Names of what is there beyond the basics.")),
                ("activated", .anything("What the service manager has passed, for server.setDescriptor: a list of {descriptor, name}.")),
            ])
        ) { call throws(Failure) in
            let client = try call.text("client")
            let version = try call.integer("protocol")
            guard version == protocolVersion else {
                throw .invalidArgument("This sidecar speaks protocol version \(protocolVersion), not \(version)")
            }
            call.session.log.info("hello", metadata: ["client": "\(call.session.number)", "name": "\(brief(client))"])
            return call.session.greeting
        },
        Operation(
            "session.ping", "Answers at once, with what was sent.",
            [Parameter("payload", .anything, "Anything.", .optional)], .anything("The payload, or null.")
        ) { call throws(Failure) in
            try call.value("payload").map { .json($0) } ?? .null
        },
        Operation(
            "echo", "Answers with the parameters as they were sent: for measuring and for trying out.", [], .anything("The parameters, or null."),
            takesAnything: true
        ) { call throws(Failure) in
            call.arguments.whole.map { .json($0) } ?? .null
        },
        Operation(
            "session.stats", "Counts of this session, and of the sidecar as a whole.", [], .anything("Numbers by name.")
        ) { call throws(Failure) in
            .object(call.session.statistics + [("sidecar", .object(call.session.service.statistics))])
        },
        Operation(
            "session.shutdown", "Ends the sidecar, for all its clients: what waits is answered, output goes out, connections close."
        ) { call throws(Failure) in
            call.session.service.endAfterTurn()
            return .null
        },
        Operation(
            "rpc.discover", "The description of all operations, as an OpenRPC document.", [], .anything("An OpenRPC document.")
        ) { call throws(Failure) in
            .written(OpenRPC.document)
        },
    ]
}

extension Session {
    var greeting: Reply {
        let limits = service.limits
        return .object([
            ("server", .text("sluiced")), ("version", .text(Sidecar.version)), ("protocol", .integer(OperationTable.protocolVersion)),
            ("limits", .object([
                ("messageSize", .integer(limits.maxMessage)), ("depth", .integer(limits.maxDepth)), ("handles", .integer(limits.maxHandles)),
                ("clients", .integer(limits.maxClients)), ("output", .integer(limits.maxOutput)), ("batch", .integer(Limits.maxBatch)),
                ("waits", .integer(Limits.maxPending)), ("data", .integer(limits.maxData)),
            ])),
            ("capabilities", .names(["batch", "cancel", "delivery", "headers"] + (channel.passesDescriptors ? ["descriptors"] : []))),
            ("activated", .list(service.activated.map { .object([("descriptor", .integer(Int($0.number))), ("name", .text($0.name))]) })),
        ])
    }

    var statistics: [(name: String, value: Reply)] {
        [
            ("client", .integer(number)), ("requests", .integer(requests)), ("handles", .integer(handles.count)), ("waits", .integer(pendingCount)),
            ("bytesReceived", .integer(bytesIn)), ("bytesSent", .integer(sentTotal)), ("bytesUnsent", .integer(unsent)),
            ("heldBack", .boolean(isHeldBack)),
        ]
    }
}
