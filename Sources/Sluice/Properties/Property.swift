/// What values a property takes.
enum PropertyType: Sendable {
    case boolean
    case integer(ClosedRange<Int>)
    case text(limit: Int)
    case networkProtocol
    case reconnectDelay
    /// Can only be read.
    case state
    case error

    /// To be read after "takes".
    var description: String {
        switch self {
        case .boolean: "true or false"
        case .integer(let range): range.upperBound == .max ? "an integer from \(range.lowerBound)" : "an integer from \(range.lowerBound) to \(range.upperBound)"
        case .text(let limit): "a text of up to \(limit) bytes without U+0000"
        case .networkProtocol: "a protocol by name or number: any, IPv4 or IPv6"
        case .reconnectDelay:
            "an object with first and ceiling (milliseconds, first at most ceiling, \(ReconnectDelay.range.lowerBound) to \(ReconnectDelay.range.upperBound)) "
                + "and jitter (percent, 0 to 100), or some of them"
        case .state: "a state by name"
        case .error: "an error by name"
        }
    }

    func accepts(_ value: PropertyValue) -> Bool {
        switch self {
        case .boolean: value.boolean != nil
        case .integer(let range): value.integer.map(range.contains) ?? false
        case .text(let limit): value.text.map { $0.utf8.count <= limit && !$0.utf8.contains(0) } ?? false
        case .networkProtocol: NetworkProtocol(property: value).map { $0 != .unknown } ?? false
        case .reconnectDelay: value.members != nil
        case .state, .error: false
        }
    }
}

extension NetworkProtocol {
    init?(property value: PropertyValue) {
        if let name = value.text {
            self.init(name: name)
        } else if let number = value.integer, let raw = Int32(exactly: number) {
            self.init(rawValue: raw)
        } else {
            return nil
        }
    }
}

/// One property of one kind of object: what every face of the library knows of it.
struct Property<Object: EventSource>: Sendable {
    typealias Getter = @Sendable (Object) -> PropertyValue
    typealias Setter = @Sendable (Object, PropertyValue) throws(SocketError) -> Void

    let name: String
    let type: PropertyType
    let get: Getter
    /// Nil for properties that can only be read.
    var set: Setter?
    /// What the type alone does not say.
    var check: Setter?
    /// What was set, where that is not what is in force; null where nothing was.
    var setting: Getter?
    /// Null is taken too: as if it had never been set.
    var takesNull = false
    /// What is to be done after setting them: said by the table's owner.
    var role = Role.plain

    enum Role {
        case plain
        /// Changes by itself, without anybody setting it.
        case live
        /// A native option: what is shown of it changes when a descriptor comes or goes.
        case option
        /// Says where to connect by itself, or whether to.
        case target
    }
}

/// What is known of a property without an object that has it.
public struct PropertyDescription: Sendable {
    public let name: String
    /// What it takes: "true or false", "an integer from 0 to 255", …
    public let type: String
    public let isWritable: Bool
}

/// The properties of one kind of object.
struct PropertyTable<Object: EventSource>: Sendable {
    /// With its article.
    let owner: String
    let properties: [Property<Object>]

    var descriptions: [PropertyDescription] {
        properties.map { PropertyDescription(name: $0.name, type: $0.type.description, isWritable: $0.set != nil) }
    }

    func find(_ name: String) throws(SocketError) -> Property<Object> {
        guard let property = properties.first(where: { $0.name == name }) else {
            throw SocketError(
                .invalidArgument,
                "\(owner) has no property \"\(name.abbreviated)\"; it has \(properties.map(\.name).joined(separator: ", "))")
        }
        return property
    }

    /// Finds what is wrong with the values. `fromText`: what can only be read is left out instead of refused.
    func checked(
        _ values: [(String, PropertyValue)], for object: Object, fromText: Bool
    ) throws(SocketError) -> [(property: Property<Object>, value: PropertyValue)] {
        guard !object.isDestroyed else { throw SocketError(.invalidHandle, "The object was destroyed") }
        var checked: [(property: Property<Object>, value: PropertyValue)] = []
        for (name, value) in values {
            let property = try find(name)
            guard !checked.contains(where: { $0.property.name == name }) else {
                throw SocketError(.invalidArgument, "The property \"\(name)\" is set twice")
            }
            guard property.set != nil else {
                if fromText { continue }
                throw SocketError(.invalidArgument, "The property \"\(name)\" can only be read")
            }
            // An option that nobody set is in the text too, and must not become one that was set.
            if fromText, property.role == .option, value == Self.setting(property, object) { continue }
            guard property.type.accepts(value) || property.takesNull && value == .null else {
                throw SocketError(.invalidArgument, "The property \"\(name)\" takes \(property.type.description), not \(value.sample)")
            }
            do throws(SocketError) { try property.check?(object, value) } catch { throw Self.naming(name, error) }
            checked.append((property, value))
        }
        return checked
    }

    /// Sets all of them or, where one cannot be set, none.
    func set(_ values: [(property: Property<Object>, value: PropertyValue)], of object: Object) throws(SocketError) {
        let observer = (object as? Socket)?.existingDetails?.model?.observer
        observer?.isHeld = true
        defer { observer?.isHeld = false }
        var done: [(property: Property<Object>, before: PropertyValue)] = []
        for (property, value) in values {
            let before = Self.setting(property, object)
            do throws(SocketError) {
                try property.set?(object, value)
            } catch {
                for (property, before) in done.reversed() { try? property.set?(object, before) }
                throw Self.naming(property.name, error)
            }
            done.append((property, before))
        }
    }

    static func setting(_ property: Property<Object>, _ object: Object) -> PropertyValue {
        property.setting.map { $0(object) } ?? property.get(object)
    }

    private static func naming(_ name: String, _ error: SocketError) -> SocketError {
        var error = error
        error.message = "The property \"\(name)\" was not set: \(error.message)"
        return error
    }
}
