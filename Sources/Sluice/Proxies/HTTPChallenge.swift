/// One way to authenticate that a proxy offers (RFC 9110, 11.3).
struct HTTPChallenge {
    /// In small letters.
    let scheme: String
    private(set) var parameters: [(name: String, value: String)] = []

    /// The value of the parameter, nil when there is none.
    subscript(_ name: String) -> String? { parameters.first { $0.name == name }?.value }

    var realm: String { self["realm"] ?? "" }

    /// Reads the values of all Proxy-Authenticate fields; what cannot be understood is passed over.
    static func parse(_ values: [String]) -> [HTTPChallenge] { values.flatMap(parse) }

    private static func parse(_ value: String) -> [HTTPChallenge] {
        var scanner = Scanner(bytes: Array(value.utf8))
        var challenges: [HTTPChallenge] = []
        while true {
            scanner.skip { $0 == UInt8(ascii: ",") || isSpace($0) }
            let token = scanner.token()
            guard !token.isEmpty else {
                // Whatever this is, it begins nothing.
                guard scanner.advance() else { return challenges }
                continue
            }
            let afterToken = scanner.position
            scanner.skip(while: isSpace)
            if scanner.next == UInt8(ascii: "="), !challenges.isEmpty {
                _ = scanner.advance()
                scanner.skip(while: isSpace)
                let text = scanner.next == UInt8(ascii: "\"") ? scanner.quoted() : scanner.token()
                challenges[challenges.count - 1].parameters.append((token.lowercased(), text))
            } else {
                scanner.position = afterToken
                challenges.append(HTTPChallenge(scheme: token.lowercased()))
            }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private struct Scanner {
        let bytes: [UInt8]
        var position = 0

        var next: UInt8? { position < bytes.count ? bytes[position] : nil }

        mutating func advance() -> Bool {
            guard position < bytes.count else { return false }
            position += 1
            return true
        }

        mutating func skip(while condition: (UInt8) -> Bool) {
            while let next, condition(next) { position += 1 }
        }

        mutating func token() -> String {
            let start = position
            skip { $0 > 0x20 && $0 != 0x7f && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=") && $0 != UInt8(ascii: "\"") }
            return String(decoding: bytes[start..<position], as: UTF8.self)
        }

        /// From one quotation mark to the next, or to the end where there is none.
        mutating func quoted() -> String {
            _ = advance()
            var text: [UInt8] = []
            while let byte = next {
                position += 1
                if byte == UInt8(ascii: "\"") { break }
                if byte == UInt8(ascii: "\\"), let escaped = next {
                    text.append(escaped)
                    position += 1
                } else {
                    text.append(byte)
                }
            }
            return String(decoding: text, as: UTF8.self)
        }
    }
}
