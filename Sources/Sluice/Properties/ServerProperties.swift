/// The properties of servers.
enum ServerProperties {
    static let tcp = PropertyTable(owner: "A TcpServer", properties: rows)
    static let local = PropertyTable(owner: "A LocalServer", properties: rows)

    static func table(of kind: ObjectKind) -> PropertyTable<Server> { kind == .localServer ? local : tcp }

    private static let rows: [Property<Server>] = [
        Property(
            name: "maxPendingConnections", type: .integer(1...Int(Int32.max)), get: { .integer($0.maxPendingConnections) },
            set: { server, value throws(SocketError) in try server.setMaxPendingConnections(value.integer ?? 0) }),
        Property(
            name: "listenBacklog", type: .integer(1...Int(Int32.max)), get: { .integer($0.listenBacklog) },
            set: { server, value throws(SocketError) in try server.setListenBacklog(value.integer ?? 0) }),
        Property(
            name: "proxyProtocol", type: .boolean, get: { .boolean($0.proxyProtocol) },
            set: { server, value in server.proxyProtocol = value.boolean ?? false }),
        Property(name: "isListening", type: .boolean, get: { .boolean($0.isListening) }),
        Property(name: "hasPendingConnections", type: .boolean, get: { .boolean($0.hasPendingConnections) }),
        Property(name: "address", type: .text(limit: .max), get: { .text($0.address) }),
        Property(name: "port", type: .integer(0...65535), get: { .integer($0.port) }),
        Property(name: "error", type: .error, get: { .text($0.error.name) }),
        Property(name: "errorString", type: .text(limit: .max), get: { .text($0.errorString) }),
    ]
}

extension Server {
    /// Every property with its value.
    public func properties() -> [(name: String, value: PropertyValue)] {
        ServerProperties.table(of: kind).properties.map { ($0.name, $0.get(self)) }
    }

    public func property(_ name: String) throws(SocketError) -> PropertyValue {
        try ServerProperties.table(of: kind).find(name).get(self)
    }

    public func setProperty(_ name: String, _ value: PropertyValue) throws(SocketError) { try setProperties([(name, value)]) }

    /// Sets all of them or, where one cannot be set, none; the error names the property.
    public func setProperties(_ values: [(String, PropertyValue)]) throws(SocketError) {
        let table = ServerProperties.table(of: kind)
        try table.set(try table.checked(values, for: self, fromText: false), of: self)
    }

    public static func propertyDescriptions(of kind: ObjectKind) -> [PropertyDescription] {
        ServerProperties.table(of: kind).descriptions
    }
}
