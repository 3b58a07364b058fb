import Sluice

/// An enumeration of the core that travels by name or by number.
protocol NamedValue: RawRepresentable, CaseIterable, Sendable where RawValue == Int32 {
    var name: String { get }
    init?(name: String)
}

extension SocketState: NamedValue {}
extension NetworkProtocol: NamedValue {}
extension SocketOption: NamedValue {}
extension SocketError.Code: NamedValue {}

extension NamedValue {
    init?(_ value: JSON) {
        if let name = value.string {
            self.init(name: name)
        } else if let number = value.wholeNumber, let raw = Int32(exactly: number) {
            self.init(rawValue: raw)
        } else {
            return nil
        }
    }

    static var allNames: [String] { allCases.map(\.name) }
}

extension NamedFlags {
    /// Flags come as a list of names, as one string with `|` between, or as a number.
    init?(_ value: JSON) {
        switch value.kind {
        case .string:
            guard let text = value.string, let flags = Self.flags(of: text) else { return nil }
            self = flags
        case .array:
            var all = Self()
            for index in 0..<value.count {
                guard let element = value[index], element.kind == .string || element.kind == .integer, let flags = Self(element) else { return nil }
                all.formUnion(flags)
            }
            self = all
        default:
            guard let number = value.wholeNumber, let raw = Int32(exactly: number) else { return nil }
            self.init(rawValue: raw)
            guard isSubset(of: Self.all) else { return nil }
        }
    }

    private static func flags(of text: String) -> Self? {
        if text.isEmpty { return Self() }
        var all = Self()
        for name in text.split(separator: "|", omittingEmptySubsequences: false) {
            let trimmed = name.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed()
            guard let flags = Self(name: String(trimmed)) else { return nil }
            all.formUnion(flags)
        }
        return all
    }

    static var allNames: [String] { [emptyName] + table.map(\.name) }
}

/// What a parameter takes.
enum ValueType: Sendable {
    case handle
    case integer(ClosedRange<Int>?)
    case boolean
    /// A number, or true and false for 1 and 0.
    case setting
    case string
    case data
    case choice([String])
    case state
    case error
    case networkProtocol
    case option
    case openMode
    case bindMode
    case pauseMode
    case access
    case events
    case object
    /// A list of datagrams to be sent; its elements are looked at elsewhere.
    case datagrams
    /// A list of some of these names.
    case list([String])
    case anything

    /// Whether the value is of this type; ranges are looked at elsewhere.
    func accepts(_ value: JSON) -> Bool {
        switch self {
        case .handle, .integer: value.wholeNumber != nil
        case .boolean: value.kind == .boolean
        case .setting: value.wholeNumber != nil || value.kind == .boolean
        case .string, .data: value.kind == .string
        case .choice(let names): value.string.map(names.contains) ?? false
        case .state: SocketState(value) != nil
        case .error: SocketError.Code(value) != nil
        case .networkProtocol: NetworkProtocol(value) != nil
        case .option: SocketOption(value) != nil
        case .openMode: OpenMode(value) != nil
        case .bindMode: BindMode(value) != nil
        case .pauseMode: PauseMode(value) != nil
        case .access: LocalServerAccess(value) != nil
        case .events: EventMask(value) != nil
        case .object: value.kind == .object
        case .datagrams: value.kind == .array
        case .list(let names):
            value.kind == .array && (0..<value.count).allSatisfy { value[$0]?.string.map(names.contains) ?? false }
        case .anything: true
        }
    }

    /// What it takes, to be read after "takes".
    var description: String {
        switch self {
        case .handle: "a handle (an integer)"
        case .integer(let range): range.map { "an integer from \($0.lowerBound) to \($0.upperBound)" } ?? "an integer"
        case .boolean: "true or false"
        case .setting: "an integer, true or false"
        case .string: "a string"
        case .data: "a string (text, or base64 with \"encoding\": \"base64\")"
        case .choice(let names): "one of \(list(names))"
        case .state: "a state by name or number: \(list(SocketState.allNames))"
        case .error: "an error by name or number: \(list(SocketError.Code.allNames))"
        case .networkProtocol: "a protocol by name or number: \(list(NetworkProtocol.allNames)), or any"
        case .option: "an option by name or number: \(list(SocketOption.allNames))"
        case .openMode: "a list of flags, or a number: \(list(OpenMode.allNames))"
        case .bindMode: "a list of flags, or a number: \(list(BindMode.allNames))"
        case .pauseMode: "a list of flags, or a number: \(list(PauseMode.allNames))"
        case .access: "a list of flags, or a number: \(list(LocalServerAccess.allNames))"
        case .events: "\"all\", \"none\", \"default\", or a list of events: \(list(EventType.allCases.map(\.name)))"
        case .object: "an object"
        case .datagrams: "a list of datagrams: [{data, encoding?, address?, port?}, …]"
        case .list(let names): "a list of some of \(list(names))"
        case .anything: "anything"
        }
    }

    private func list(_ names: [String]) -> String { names.joined(separator: ", ") }
}

extension EventMask {
    init?(_ value: JSON) {
        switch value.kind {
        case .string:
            switch value.string {
            case "all": self = .all
            case "none": self = .none
            case "default": self = .standard
            case let name?:
                guard let type = EventType(name: name) else { return nil }
                self = EventMask(type)
            case nil: return nil
            }
        case .array:
            var mask = EventMask.none
            for index in 0..<value.count {
                guard let element = value[index], element.kind == .string, let part = EventMask(element) else { return nil }
                mask.formUnion(part)
            }
            self = mask
        default:
            guard let number = value.wholeNumber, let raw = UInt32(exactly: number) else { return nil }
            self = EventMask(rawValue: raw).intersection(.all)
        }
    }
}
