import Sluice

/// One property of an object, by name. Those that can be set are numbers and switches; a switch is 1 or 0 here.
struct Property: Sendable {
    let name: String
    let type: ValueType
    let get: @Sendable (HandleEntry) -> Reply
    /// Nil for properties that can only be read.
    let set: (@Sendable (HandleEntry, Int) throws(SocketError) -> Void)?

    init(_ name: String, _ type: ValueType, get: @escaping @Sendable (HandleEntry) -> Reply) {
        self.name = name
        self.type = type
        self.get = get
        set = nil
    }

    init(
        _ name: String, _ type: ValueType, get: @escaping @Sendable (HandleEntry) -> Reply,
        set: @escaping @Sendable (HandleEntry, Int) throws(SocketError) -> Void
    ) {
        self.name = name
        self.type = type
        self.get = get
        self.set = set
    }
}

/// The properties of one kind of object.
struct PropertyTable: Sendable {
    let kind: String
    let properties: [Property]

    func find(_ name: String, parameter: String) throws(Failure) -> Property {
        guard let property = properties.first(where: { $0.name == name }) else {
            throw .invalidParameter(
                parameter, "a \(kind) has no property \"\(brief(name))\"; it has \(properties.map(\.name).joined(separator: ", "))")
        }
        return property
    }

    func all(of entry: HandleEntry) -> Reply {
        .object(properties.map { ($0.name, $0.get(entry)) })
    }

    /// Sets all of them or, where one cannot be set, none.
    func set(_ values: [(String, JSON)], of entry: HandleEntry, parameter: String) throws(Failure) {
        var checked: [(property: Property, number: Int)] = []
        for (name, value) in values {
            let property = try find(name, parameter: parameter)
            guard property.set != nil else {
                throw .invalidParameter(parameter, "the property \"\(name)\" can only be read")
            }
            guard property.type.accepts(value), let number = value.wholeNumber ?? value.boolean.map({ $0 ? 1 : 0 }) else {
                throw .invalidParameter(parameter, "the property \"\(name)\" takes \(property.type.description)")
            }
            checked.append((property, number))
        }
        var done: [(property: Property, before: Reply)] = []
        for (property, number) in checked {
            let before = property.get(entry)
            do throws(SocketError) {
                try property.set?(entry, number)
            } catch {
                for (property, before) in done.reversed() { restore(property, before, entry) }
                throw Failure(error)
            }
            done.append((property, before))
        }
    }

    private func restore(_ property: Property, _ before: Reply, _ entry: HandleEntry) {
        switch before {
        case .integer(let number): try? property.set?(entry, number)
        case .boolean(let truth): try? property.set?(entry, truth ? 1 : 0)
        default: break
        }
    }

    /// Gives a fresh object its handle, with the properties that the call sets. The handle exists only if all could be set.
    func create(_ source: EventSource, _ call: Call) throws(Failure) -> Reply {
        let entry = try call.session.add(source)
        guard let values = try call.value("properties") else { return .integer(entry.number) }
        do throws(Failure) {
            try set(Self.members(of: values), of: entry, parameter: "properties")
        } catch {
            call.session.destroy(entry)
            throw error
        }
        return .integer(entry.number)
    }

    static func members(of object: JSON) -> [(String, JSON)] {
        var members: [(String, JSON)] = []
        object.forEachMember { key, value in
            members.append((String(decoding: key, as: UTF8.self), value))
            return true
        }
        return members
    }
}

/// The properties of sockets.
enum SocketProperties {
    static let table = PropertyTable(
        kind: "socket",
        properties: [
            Property("readBufferSize", .integer(nil), get: { .integer($0.readBufferSize) }) { entry, size throws(SocketError) in
                try entry.setReadBufferSize(size)
            },
            Property("writeBufferSize", .integer(nil), get: read { .integer($0.writeBufferSize) }) { entry, size throws(SocketError) in
                try entry.socket?.setWriteBufferSize(size)
            },
            Property("connectTimeout", .integer(nil), get: read { .integer($0.connectTimeout) }) { entry, limit throws(SocketError) in
                try entry.socket?.setConnectTimeout(limit)
            },
            Property("closeTimeout", .integer(nil), get: read { .integer($0.closeTimeout) }) { entry, limit throws(SocketError) in
                try entry.socket?.setCloseTimeout(limit)
            },
            Property("allowHalfOpen", .boolean, get: read { .boolean($0.allowHalfOpen) }) { entry, allow throws(SocketError) in
                entry.socket?.allowHalfOpen = allow != 0
            },
            option("lowDelay", .lowDelay), option("keepAlive", .keepAlive), option("multicastLoopback", .multicastLoopback),
            option("multicastTtl", .multicastTtl), option("typeOfService", .typeOfService),
            option("sendBufferSize", .sendBufferSize), option("receiveBufferSize", .receiveBufferSize),
            Property("pathMtu", .integer(nil), get: read { (try? $0.option(.pathMtu)).map { .integer($0) } ?? .null }),
            Property("state", .state, get: read { .text($0.state.name) }),
            Property("error", .string, get: read { .text($0.error.name) }),
            Property("errorString", .string, get: read { .text($0.errorString) }),
            Property("bytesAvailable", .integer(nil), get: read { .integer($0.bytesAvailable) }),
            Property("bytesToWrite", .integer(nil), get: read { .integer($0.bytesToWrite) }),
            Property("canReadLine", .boolean, get: read { .boolean($0.canReadLine) }),
            Property("atEnd", .boolean, get: read { .boolean($0.atEnd) }),
            Property("isOpen", .boolean, get: read { .boolean($0.isOpen) }),
            Property("isReadable", .boolean, get: read { .boolean($0.isReadable) }),
            Property("isWritable", .boolean, get: read { .boolean($0.isWritable) }),
        ])

    private static func read(_ get: @escaping @Sendable (Socket) -> Reply) -> @Sendable (HandleEntry) -> Reply {
        { entry in entry.socket.map(get) ?? .null }
    }

    /// A native option. One that was never set is unknown before there is a descriptor; switches are then off.
    private static func option(_ name: String, _ option: SocketOption) -> Property {
        let isSwitch = option == .lowDelay || option == .keepAlive || option == .multicastLoopback
        return Property(
            name, isSwitch ? .boolean : .integer(nil),
            get: read { socket in
                let value = try? socket.option(option)
                return isSwitch ? .boolean(value ?? 0 != 0) : value.map { .integer($0) } ?? .null
            }
        ) { entry, value throws(SocketError) in try entry.socket?.setOption(option, value) }
    }

    static func create(_ socket: Socket, _ call: Call) throws(Failure) -> Reply { try table.create(socket, call) }

    static func all(of entry: HandleEntry, _ call: Call) throws(Failure) -> Reply {
        _ = try call.socket()
        return table.all(of: entry)
    }

    static func get(_ name: String, of entry: HandleEntry, _ call: Call) throws(Failure) -> Reply {
        _ = try call.socket()
        return try table.find(name, parameter: "name").get(entry)
    }

    static func set(_ values: JSON, of entry: HandleEntry, _ call: Call) throws(Failure) {
        _ = try call.socket()
        try table.set(PropertyTable.members(of: values), of: entry, parameter: "properties")
    }

    static func set(_ values: [(String, JSON)], of entry: HandleEntry, _ call: Call) throws(Failure) {
        _ = try call.socket()
        try table.set(values, of: entry, parameter: "value")
    }
}

/// What servers can be created with.
enum ServerProperties {
    static let table = PropertyTable(
        kind: "server",
        properties: [
            Property("maxPendingConnections", .integer(nil), get: read { .integer($0.maxPendingConnections) }) { entry, count throws(SocketError) in
                try (entry.source as? Server)?.setMaxPendingConnections(count)
            },
            Property("listenBacklog", .integer(nil), get: read { .integer($0.listenBacklog) }) { entry, size throws(SocketError) in
                try (entry.source as? Server)?.setListenBacklog(size)
            },
        ])

    private static func read(_ get: @escaping @Sendable (Server) -> Reply) -> @Sendable (HandleEntry) -> Reply {
        { entry in (entry.source as? Server).map(get) ?? .null }
    }

    static func create(_ server: Server, _ call: Call) throws(Failure) -> Reply { try table.create(server, call) }
}
