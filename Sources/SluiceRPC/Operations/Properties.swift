import Sluice

/// The properties of objects: the core's table, between JSON and it.
enum Properties {
    /// Gives a fresh object its handle, with the properties that the call sets. The handle exists only if all could be set.
    static func create(_ source: EventSource, _ call: Call) throws(Failure) -> Reply {
        let entry = try call.session.add(source)
        guard let given = try call.value("properties") else { return .integer(entry.number) }
        do throws(Failure) {
            var values = members(of: given)
            if let socket = entry.socket {
                try set(values, of: entry, socket, "properties") { values throws(SocketError) in try socket.completeProperties(values) }
            } else if let server = source as? Server {
                let incoming = try takeIncoming(from: &values)
                let isTyped = areTyped(values, Server.propertyDescriptions(of: server.kind))
                try rename(isTyped ? nil : "properties") { () throws(SocketError) in try server.setProperties(values) }
                if let incoming { entry.setIncoming(incoming) }
            }
        } catch {
            call.session.destroy(entry)
            throw error
        }
        return .integer(entry.number)
    }

    static func all(_ call: Call) throws(Failure) -> Reply {
        let socket = try call.socket()
        return try call.entry().whileNotHeldBack { () throws(Failure) in
            .object(socket.properties().map { ($0.name, Reply($0.value)) })
        }
    }

    static func one(_ name: String, _ call: Call) throws(Failure) -> Reply {
        let socket = try call.socket()
        return try call.entry().whileNotHeldBack { () throws(Failure) in
            Reply(try rename("name") { () throws(SocketError) in try socket.property(name) })
        }
    }

    static func set(_ object: JSON, _ call: Call) throws(Failure) {
        let socket = try call.socket()
        try set(members(of: object), of: try call.entry(), socket, "properties") { values throws(SocketError) in
            try socket.setProperties(values)
        }
    }

    static func set(_ name: String, _ value: JSON, _ call: Call) throws(Failure) {
        let socket = try call.socket()
        let isKnown = Socket.propertyDescriptions(of: socket.kind).contains { $0.name == name }
        try set([(name, PropertyValue(value))], of: try call.entry(), socket, isKnown ? "value" : "name") { values throws(SocketError) in
            try socket.setProperties(values)
        }
    }

    // MARK: As text

    static func toJson(_ call: Call) throws(Failure) -> Reply {
        let socket = try call.socket()
        guard try call.boolean("graph") else {
            return try call.entry().whileNotHeldBack { () throws(Failure) in
                .text(try call.run { () throws(SocketError) in try socket.toJson() })
            }
        }
        return try whileNoneIsHeldBack(call.session) { () throws(Failure) in
            .text(try call.run { () throws(SocketError) in try socket.loop.toJson(scope: call.session.number) })
        }
    }

    static func fromJson(_ call: Call) throws(Failure) {
        let socket = try call.socket()
        let text = try call.text("text")
        if try call.boolean("graph") {
            try checkGraph(text, call.session)
            try whileNoneIsHeldBack(call.session) { () throws(Failure) in
                try rename("text") { () throws(SocketError) in try socket.loop.fromJson(text, scope: call.session.number) }
            }
        } else {
            // What is no object at all is for the core to refuse.
            let values = try rename("text") { () throws(SocketError) in try PropertyValue(json: text) }.membersOrNone
            try set(values, of: try call.entry(), socket, "text") { _ throws(SocketError) in try socket.fromJson(text) }
        }
    }

    /// The rules hold for whatever a text lets sockets connect to.
    private static func checkGraph(_ text: String, _ session: Session) throws(Failure) {
        guard !session.service.rules.isEmpty, let graph = try? PropertyValue(json: text) else { return }
        for (name, values) in graph.membersOrNone {
            for entry in session.handles.values {
                if let socket = entry.socket, socket.objectId == name { try checkTarget(of: socket, values.membersOrNone, session) }
            }
        }
    }

    private static func whileNoneIsHeldBack<Result>(_ session: Session, _ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let held = session.handles.values.filter(\.isHeldBack)
        for entry in held { entry.holdBack(false) }
        defer { for entry in held { entry.holdBack(true) } }
        return try body()
    }

    // MARK: Setting

    private static func set(
        _ values: [(String, PropertyValue)], of entry: HandleEntry, _ socket: Socket, _ parameter: StaticString,
        _ body: ([(String, PropertyValue)]) throws(SocketError) -> Void
    ) throws(Failure) {
        let session = entry.session
        // Names are the client's own: another client's objects may have the same.
        if values.contains(where: { $0.0 == "objectId" }) { socket.objectScope = session.number }
        try checkTarget(of: socket, values, session)
        try entry.whileNotHeldBack { () throws(Failure) in
            let isTyped = areTyped(values, Socket.propertyDescriptions(of: socket.kind))
            try rename(isTyped ? nil : parameter) { () throws(SocketError) in try body(values) }
        }
    }

    /// Whether all names are known, can be set, and have values of the right type: what is wrong then is a value out of range.
    private static func areTyped(_ values: [(String, PropertyValue)], _ known: [PropertyDescription]) -> Bool {
        values.allSatisfy { name, value in
            guard let property = known.first(where: { $0.name == name }) else { return false }
            return property.isWritable && property.takes(value)
        }
    }

    /// Whether the rules let a socket connect by itself to where these properties would have it.
    private static func checkTarget(of socket: Socket, _ values: [(String, PropertyValue)], _ session: Session) throws(Failure) {
        let rules = session.service.rules
        guard !rules.isEmpty else { return }
        func value(_ name: String) -> PropertyValue? {
            values.last { $0.0 == name }?.1 ?? (try? socket.property(name))
        }
        if let local = socket as? LocalSocket {
            guard values.contains(where: { $0.0 == "serverName" }), case .text(let name)? = value("serverName"), !name.isEmpty else { return }
            try rules.checkLocal(name, isAbstract: local.socketOptions.contains(.abstractNamespace), connects: true)
        } else {
            guard values.contains(where: { $0.0 == "hostname" || $0.0 == "port" }), case .text(let host)? = value("hostname"), !host.isEmpty,
                let port = value("port")?.wholeNumber, port > 0
            else { return }
            try rules.checkConnect(host, port: port)
        }
    }

    /// What the core finds wrong with a property is wrong with the parameter that it came by, if there is one to name.
    private static func rename<Result>(_ parameter: StaticString?, _ body: () throws(SocketError) -> Result) throws(Failure) -> Result {
        do throws(SocketError) { return try body() } catch {
            guard let parameter, error.code == .invalidArgument else { throw Failure(error) }
            throw .invalidParameter(parameter.text, error.message)
        }
    }

    /// The one property of servers that is not the core's.
    private static func takeIncoming(from values: inout [(String, PropertyValue)]) throws(Failure) -> Incoming? {
        guard let index = values.firstIndex(where: { $0.0 == "incoming" }) else { return nil }
        let value = values.remove(at: index).1
        guard case .text(let name) = value, let incoming = Incoming(rawValue: name) else {
            throw .invalidParameter("properties", "The property \"incoming\" takes one of socket, descriptor")
        }
        return incoming
    }

    static func members(of object: JSON) -> [(String, PropertyValue)] {
        var members: [(String, PropertyValue)] = []
        object.forEachMember { key, value in
            members.append((String(decoding: key, as: UTF8.self), PropertyValue(value)))
            return true
        }
        return members
    }
}

extension PropertyDescription {
    /// Whether the value is of the type that the description begins with; of what is said by name that is a matter of the name.
    fileprivate func takes(_ value: PropertyValue) -> Bool {
        switch value {
        case .boolean: type.hasPrefix("true or false")
        case .integer, .real: type.hasPrefix("an integer") && value.wholeNumber != nil
        case .text: type.hasPrefix("a text")
        case .object: type.hasPrefix("an object")
        case .null, .list: false
        }
    }
}

extension PropertyValue {
    /// Recursion is bounded: no message is nested deeper than the limit.
    init(_ json: JSON) {
        switch json.kind {
        case .null: self = .null
        case .boolean: self = .boolean(json.boolean ?? false)
        case .integer: self = .integer(json.integer ?? 0)
        case .real: self = .real(json.real ?? 0)
        case .string: self = .text(json.string ?? "")
        case .array: self = .list((0..<json.count).compactMap { json[$0].map { PropertyValue($0) } })
        case .object: self = .object(Properties.members(of: json).map { Member($0.0, $0.1) })
        }
    }

    /// Those of an object.
    fileprivate var membersOrNone: [(String, PropertyValue)] {
        if case .object(let members) = self { members.map { ($0.name, $0.value) } } else { [] }
    }

    fileprivate var wholeNumber: Int? {
        switch self {
        case .integer(let number): number
        case .real(let number): Int(exactly: number)
        default: nil
        }
    }
}

extension Reply {
    init(_ value: PropertyValue) {
        self =
            switch value {
            case .null: .null
            case .boolean(let truth): .boolean(truth)
            case .integer(let number): .integer(number)
            case .real(let number): .real(number)
            case .text(let text): .text(text)
            case .list(let elements): .list(elements.map { Reply($0) })
            case .object(let members): .object(members.map { ($0.name, Reply($0.value)) })
            }
    }
}
