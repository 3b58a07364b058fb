/// The value of a property, as it travels over every face of the library: what JSON can say.
public enum PropertyValue: Equatable, Sendable {
    case null
    case boolean(Bool)
    case integer(Int)
    case real(Double)
    case text(String)
    case list([PropertyValue])
    case object([Member])

    public struct Member: Equatable, Sendable {
        public var name: String
        public var value: PropertyValue

        public init(_ name: String, _ value: PropertyValue) {
            self.name = name
            self.value = value
        }
    }

    /// Reads a JSON text. What is wrong with it is InvalidArgument with line and column; names that stand twice in an object are
    /// refused, and so is what is longer than 1 MiB or nested deeper than 16 levels.
    public init(json: String) throws(SocketError) { self = try JSONText.parse(json, limit: JSONText.sizeLimit) }

    /// As compact JSON. Throws LimitReached for what is nested deeper than 16 levels.
    public func json() throws(SocketError) -> String { try JSONText.write(self) }

    var boolean: Bool? { if case .boolean(let value) = self { value } else { nil } }
    var text: String? { if case .text(let value) = self { value } else { nil } }
    var members: [Member]? { if case .object(let members) = self { members } else { nil } }

    /// A whole number, also where it is written as a real (1.0): some languages know no other numbers.
    var integer: Int? {
        switch self {
        case .integer(let value): value
        case .real(let value) where value.magnitude <= 9_007_199_254_740_992: Int(exactly: value)
        default: nil
        }
    }

    /// For messages: what it is, cut short.
    var sample: String {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .real(let value): "\(value)"
        case .text(let value): "\"\(value.abbreviated)\""
        case .list: "a list"
        case .object: "an object"
        }
    }
}
