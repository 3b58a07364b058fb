import Sluice

extension OperationTable {
    /// Names, and this machine's interfaces.
    static let hostOperations: [Operation] = [
        Operation(
            "host.lookup", "Looks a name up. An address is its own answer. $/cancelRequest ends it.",
            [
                Parameter("name", .string, "A name or an address."),
                Parameter("protocol", .networkProtocol, "Which addresses are wanted.", .text("any")),
                Parameter("timeout", .integer(-1...Int(Int32.max)), "Milliseconds to wait at most; -1 is no limit.", .integer(60000)),
            ], .anything("A list of addresses as text, in the order in which to try them."),
            errors: [.hostNotFound, .emptyHostName, .socketTimeout]
        ) { call throws(Failure) in
            let name = try call.text("name")
            let networkProtocol: NetworkProtocol = try call.named("protocol")
            let timeout = try call.integer("timeout")
            let session = call.session
            let query = try call.run { () throws(SocketError) in
                try HostQuery(name, protocol: networkProtocol, timeout: timeout, loop: session.service.loop)
            }
            // No handle of the client's stands for it.
            return try session.wait(call.caller, handle: 0, isUnlimited: timeout < 0, ifAbandoned: .null) { finish in
                query.onEvent { [unowned query] event in
                    guard case .finished(let error) = event else { return }
                    finish(error.map { .failure(Failure($0)) } ?? .success(.list(query.addresses.map { .text($0.description) })))
                }
                return {
                    session.service.keepUntilEndOfTurn(query)
                    query.destroy()
                }
            }
        },
        Operation(
            "host.interfaces", "The network interfaces of this machine.", [],
            .anything("A list of {name, index, flags (a list of names), addresses (a list of texts)}."), errors: [.socketResource]
        ) { call throws(Failure) in
            let interfaces = try call.run { () throws(SocketError) in try NetworkInterface.all() }
            return .list(interfaces.map { interface in
                .object([
                    ("name", .text(interface.name)), ("index", .integer(interface.index)), ("flags", .names(interface.flags.names)),
                    ("addresses", .list(interface.addresses.map { .text($0.description) })),
                ])
            })
        },
    ]
}
