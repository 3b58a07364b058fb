import Sluice

/// The result of an operation, before it is text.
enum Reply {
    case null
    case boolean(Bool)
    case integer(Int)
    case real(Double)
    case text(String)
    case names([String])
    case data([UInt8], asBase64: Bool)
    case datagram(Datagram, asBase64: Bool)
    case json(JSON)
    indirect case list([Reply])
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
        // What is no number has no place in JSON.
        case .real(let number): output.append(text: number.isFinite ? "\(number)" : "null")
        case .text(let text): output.append(quoted: text)
        case .names(let names): output.append(list: names)
        case .json(let value): value.write(to: output)
        case .written(let text): text.withUnsafeBytes { output.append($0) }
        case .data(let bytes, let asBase64):
            output.append(byte: UInt8(ascii: "{"))
            bytes.withUnsafeBytes { output.append(dataMembers: $0, asBase64: asBase64) }
            output.append(byte: UInt8(ascii: "}"))
        case .datagram(let datagram, let asBase64):
            output.append(byte: UInt8(ascii: "{"))
            output.append(datagram, asBase64: asBase64)
            output.append(byte: UInt8(ascii: "}"))
        case .list(let elements):
            output.append(byte: UInt8(ascii: "["))
            for (index, element) in elements.enumerated() {
                if index > 0 { output.append(byte: UInt8(ascii: ",")) }
                element.write(to: output)
            }
            output.append(byte: UInt8(ascii: "]"))
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

extension OutputBuffer {
    /// The members that tell a datagram; null stands for what the system did not tell.
    func append(_ datagram: Datagram, asBase64: Bool) {
        datagram.data.withUnsafeBytes { append(dataMembers: $0, asBase64: asBase64) }
        append(",\"senderAddress\":")
        append(quotedOrNull: datagram.senderAddress)
        append(",\"senderPort\":")
        append(integer: datagram.senderPort)
        append(",\"destinationAddress\":")
        append(quotedOrNull: datagram.destinationAddress)
        append(",\"destinationPort\":")
        append(integer: datagram.destinationPort)
        append(",\"interfaceIndex\":")
        append(integer: datagram.interfaceIndex)
        append(",\"hopLimit\":")
        append(integer: datagram.hopLimit)
        append(",\"truncated\":")
        append(boolean: datagram.truncated)
    }

    private func append(quotedOrNull text: String) {
        if text.isEmpty { append("null") } else { append(quoted: text) }
    }
}
