import Sluice

/// The result of an operation, before it is text.
enum Reply {
    case null
    case boolean(Bool)
    case integer(Int)
    case text(String)
    case names([String])
    case data([UInt8], asBase64: Bool)
    case json(JSON)
    indirect case object([(name: String, value: Reply)])
    /// Text that is JSON already.
    case written([UInt8])
    /// The answer comes later.
    case deferred

    /// Text, or null where there is none.
    static func textOrNull(_ text: String) -> Reply { text.isEmpty ? .null : .text(text) }

    func write(to output: OutputBuffer) {
        switch self {
        case .null, .deferred: output.append("null")
        case .boolean(let value): output.append(boolean: value)
        case .integer(let number): output.append(integer: number)
        case .text(let text): output.append(quoted: text)
        case .names(let names): output.append(list: names)
        case .json(let value): value.write(to: output)
        case .written(let text): text.withUnsafeBytes { output.append($0) }
        case .data(let bytes, let asBase64):
            output.append(byte: UInt8(ascii: "{"))
            bytes.withUnsafeBytes { output.append(dataMembers: $0, asBase64: asBase64) }
            output.append(byte: UInt8(ascii: "}"))
        case .object(let members):
            output.append(byte: UInt8(ascii: "{"))
            var isFirst = true
            for member in members {
                if !isFirst { output.append(byte: UInt8(ascii: ",")) }
                isFirst = false
                output.append(quoted: member.name)
                output.append(byte: UInt8(ascii: ":"))
                member.value.write(to: output)
            }
            output.append(byte: UInt8(ascii: "}"))
        }
    }
}
