/// The `id` of a request, to be sent back as it came: the same type and the same value.
enum RequestID: Hashable {
    /// What a fault is answered with whose request has no readable id; legal in a request too, if unwise.
    case null
    case integer(Int)
    case real(Double)
    case string(String)

    /// Nil for what the protocol does not allow as an id: booleans, arrays and objects.
    init?(_ value: JSON) {
        switch value.kind {
        case .integer: self = .integer(value.integer ?? 0)
        case .string: self = .string(value.string ?? "")
        case .real: self = .real(value.real ?? 0)
        case .null: self = .null
        case .object, .array, .boolean: return nil
        }
    }

    func write(to output: OutputBuffer) {
        switch self {
        case .null: output.append("null")
        case .integer(let number): output.append(integer: number)
        // The shortest digits that mean the same number, where the JSON library would send all seventeen.
        case .real(let number): output.append(text: number.description)
        case .string(let text): output.append(quoted: text)
        }
    }
}
