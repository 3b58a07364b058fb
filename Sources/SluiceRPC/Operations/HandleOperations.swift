import Sluice

extension OperationTable {
    /// Of every object.
    static let handleOperations: [Operation] = [
        Operation(
            "handle.destroy", "Closes the object at once and drops what is pending. Its number names nothing from then on.", [.handle]
        ) { call throws(Failure) in
            call.session.destroy(try call.entry())
            return .null
        },
        Operation(
            "handle.kind", "What kind of object it is.", [.handle], .choice(ObjectKind.allCases.map(\.name))
        ) { call throws(Failure) in
            .text(try call.entry().source.kind.name)
        },
        Operation(
            "handle.subscribe", "Which events the object sends. At first these are all but bytesWritten and propertyChanged (\"default\").",
            [.handle, Parameter("events", .events, "Names of events, or all of them, or none.")]
        ) { call throws(Failure) in
            let entry = try call.entry()
            if let value = try call.value("events"), let mask = EventMask(value) {
                entry.subscribed = mask
                // Whoever names this event means to answer it.
                entry.socket?.awaitsProxyAuthentication = names(value, .proxyAuthenticationRequired)
            }
            return .null
        },
    ]

    private static func names(_ events: JSON, _ type: EventType) -> Bool {
        if let name = events.string { return name == type.name }
        return (0..<events.count).contains { events[$0]?.string == type.name }
    }
}
