/// The object model: what a socket is and does, by name.
///
/// Every change of a property is the event `propertyChanged`, for who subscribes to it. What another event tells of is told before
/// that event; what a call changes is told before it returns. What changes and changes back in between is not told.
extension Socket {
    /// Every property with its value, in the order of the table. A native option shows what was set (else the documented default)
    /// before there is a descriptor, and what the system says while there is one.
    public func properties() -> [(name: String, value: PropertyValue)] { table.properties.map { ($0.name, $0.get(self)) } }

    public func property(_ name: String) throws(SocketError) -> PropertyValue { try table.find(name).get(self) }

    /// InvalidArgument tells an unknown name, or what the property takes instead of this value.
    public func setProperty(_ name: String, _ value: PropertyValue) throws(SocketError) { try setProperties([(name, value)]) }

    /// Sets all of them or, where one cannot be set, none.
    public func setProperties(_ values: [(String, PropertyValue)]) throws(SocketError) { try set(values, fromText: false) }

    /// For an object that is created with properties: sets them, and sends `completed` in the loop's next turn.
    public func completeProperties(_ values: [(String, PropertyValue)]) throws(SocketError) {
        try setProperties(values)
        model.completeInTurn()
    }

    /// All properties as a JSON object. Native options are there as they were set: 0 or false where that leaves them to the system,
    /// null where even that would be something else.
    public func toJson() throws(SocketError) -> String { try JSONText.write(settings) }

    /// Sets the properties of a JSON object, all of them or none; what can only be read is left out. `completed` is sent in the
    /// loop's next turn, before anything is connected.
    public func fromJson(_ text: String) throws(SocketError) {
        guard let members = try PropertyValue(json: text).members else {
            throw SocketError(.invalidArgument, "The JSON text must be an object of properties")
        }
        try set(members.map { ($0.name, $0.value) }, fromText: true)
        model.completeInTurn()
    }

    /// The names and types of the properties that sockets of this kind have.
    public static func propertyDescriptions(of kind: ObjectKind) -> [PropertyDescription] {
        SocketProperties.table(of: kind).descriptions
    }

    var table: PropertyTable<Socket> { SocketProperties.table(of: kind) }

    var settings: PropertyValue {
        .object(table.properties.map { PropertyValue.Member($0.name, PropertyTable.setting($0, self)) })
    }

    private func set(_ values: [(String, PropertyValue)], fromText: Bool) throws(SocketError) {
        let checked = try table.checked(values, for: self, fromText: fromText)
        try table.set(checked, of: self)
        settled(checked.map(\.property))
    }

    /// What follows from set properties, once all are set.
    func settled(_ properties: [Property<Socket>]) {
        guard !properties.isEmpty else { return }
        if properties.contains(where: { $0.role == .target }) { autoConnect?.targetWasSet() }
        noteChange()
    }
}

// MARK: - Names

extension Socket {
    /// The object's name in the graph of its loop; "" is none. No two sockets of a loop and scope have the same.
    public var objectId: String { existingDetails?.model?.objectId ?? "" }

    public func setObjectId(_ id: String) throws(SocketError) {
        try checkObjectId(id)
        guard id != objectId else { return }
        loop.objectNames.rename(self, to: id)
        model.objectId = id
        noteChange()
    }

    func checkObjectId(_ id: String) throws(SocketError) {
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        guard id.isEmpty || id == objectId || loop.objectNames.find(id, scope: objectScope) == nil else {
            throw SocketError(.invalidArgument, "Another object has the objectId \"\(id.abbreviated)\"")
        }
    }

    /// Within what an objectId is unique, and which sockets make one graph. It is for whoever serves several users with one loop,
    /// and is set before the objectId; 0 at first.
    public var objectScope: Int {
        get { existingDetails?.model?.scope ?? 0 }
        set { if newValue != objectScope, objectId.isEmpty { model.scope = newValue } }
    }
}

/// The sockets of a loop that have a name.
final class ObjectNames {
    private struct Key: Hashable {
        let scope: Int
        let id: String
    }

    /// A socket takes its name away before it goes.
    private var sockets: [Key: Unmanaged<Socket>] = [:]

    func find(_ id: String, scope: Int) -> Socket? { sockets[Key(scope: scope, id: id)]?.takeUnretainedValue() }

    func rename(_ socket: Socket, to id: String) {
        forget(socket.objectId, scope: socket.objectScope)
        if !id.isEmpty { sockets[Key(scope: socket.objectScope, id: id)] = .passUnretained(socket) }
    }

    func forget(_ id: String, scope: Int) { sockets[Key(scope: scope, id: id)] = nil }

    /// In the order of their names.
    func all(scope: Int) -> [Socket] {
        sockets.filter { $0.key.scope == scope }.sorted { $0.key.id < $1.key.id }.map { $0.value.takeUnretainedValue() }
    }
}

extension EventLoop {
    /// The properties of all sockets that have an objectId, as one JSON object with a member for each.
    public func toJson(scope: Int = 0) throws(SocketError) -> String {
        try JSONText.write(.object(objectNames.all(scope: scope).map { PropertyValue.Member($0.objectId, $0.settings) }))
    }

    /// Sets the properties of the sockets that a JSON object has members for, as `Socket.fromJson` does each: all or none. A name
    /// that no socket has is refused.
    public func fromJson(_ text: String, scope: Int = 0) throws(SocketError) {
        guard let members = try JSONText.parse(text, limit: JSONText.graphSizeLimit).members else {
            throw SocketError(.invalidArgument, "The JSON text must be an object with a member for each object")
        }
        var plan: [(socket: Socket, values: [(property: Property<Socket>, value: PropertyValue)])] = []
        for member in members {
            guard let socket = objectNames.find(member.name, scope: scope) else {
                throw SocketError(.invalidArgument, "No object has the objectId \"\(member.name.abbreviated)\"")
            }
            plan.append((socket, try Self.naming(member.name) { () throws(SocketError) in try Self.plan(member, for: socket) }))
        }
        var done: [(socket: Socket, before: [(property: Property<Socket>, value: PropertyValue)])] = []
        for (socket, values) in plan {
            let before = values.map { ($0.property, PropertyTable.setting($0.property, socket)) }
            do throws(SocketError) {
                try socket.table.set(values, of: socket)
            } catch {
                for (socket, before) in done.reversed() { try? socket.table.set(before, of: socket) }
                throw error
            }
            done.append((socket, before))
        }
        for (socket, values) in plan {
            socket.model.completeInTurn()
            socket.settled(values.map(\.property))
        }
    }

    private static func plan(
        _ member: PropertyValue.Member, for socket: Socket
    ) throws(SocketError) -> [(property: Property<Socket>, value: PropertyValue)] {
        guard let properties = member.value.members else {
            throw SocketError(.invalidArgument, "What is set must be an object of properties, not \(member.value.sample)")
        }
        for property in properties where property.name == "objectId" && property.value != .text(member.name) {
            throw SocketError(.invalidArgument, "The property \"objectId\" must be the name that the object has in the graph")
        }
        return try socket.table.checked(properties.map { ($0.name, $0.value) }, for: socket, fromText: true)
    }

    private static func naming<Result>(_ id: String, _ body: () throws(SocketError) -> Result) throws(SocketError) -> Result {
        do throws(SocketError) { return try body() } catch {
            var error = error
            error.message = "Object \"\(id.abbreviated)\": \(error.message)"
            throw error
        }
    }
}
