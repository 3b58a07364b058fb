/// The head of an HTTP answer: the status line and the fields, gathered byte by byte and within a limit.
struct HTTPHead {
    static let sizeLimit = 64 << 10

    enum Progress { case incomplete, complete, tooLarge, notHTTP }

    private var bytes: [UInt8] = []
    private var lineIsEmpty = false
    private(set) var status = 0
    /// "407 Proxy Authentication Required"
    private(set) var statusText = ""
    private var minorVersion = 0
    /// Names in small letters, in the order in which they came.
    private(set) var fields: [(name: String, value: String)] = []

    /// `total`: how much of the limit is used up already.
    mutating func take(_ byte: UInt8, total: Int) -> Progress {
        let place = bytes.count
        guard place + total < Self.sizeLimit else { return .tooLarge }
        bytes.append(byte)
        if place < Self.start.count, byte != Self.start[place] { return .notHTTP }
        switch byte {
        case UInt8(ascii: "\n"):
            if lineIsEmpty { return parse() ? .complete : .notHTTP }
            lineIsEmpty = true
        case UInt8(ascii: "\r"): break
        default: lineIsEmpty = false
        }
        return .incomplete
    }

    private static let start = Array("HTTP/1.".utf8)

    var size: Int { bytes.count }

    private mutating func parse() -> Bool {
        var lines: [Substring.UTF8View.SubSequence] = []
        let text = String(decoding: bytes, as: UTF8.self)
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            lines.append(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
        }
        guard let first = lines.first, parseStatus(String(Substring(first))) else { return false }
        for line in lines.dropFirst() where !line.isEmpty { parseField(String(Substring(line))) }
        return true
    }

    private mutating func parseStatus(_ line: String) -> Bool {
        let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let minor = parts[0].last?.wholeNumberValue, parts[0].utf8.count == 8 else { return false }
        let code = parts[1].prefix(3)
        guard code.utf8.count == 3, code.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(code), number >= 100,
            parts[1].dropFirst(3).first.map({ $0 == " " }) ?? true
        else { return false }
        minorVersion = minor
        status = number
        statusText = String(parts[1].filter { !$0.isNewline && $0 >= " " }).abbreviated
        return true
    }

    private mutating func parseField(_ line: String) {
        if line.first == " " || line.first == "\t" {
            // A field that goes on in the next line.
            if !fields.isEmpty { fields[fields.count - 1].value += " " + Self.trimmed(Substring(line)) }
            return
        }
        guard let colon = line.firstIndex(of: ":") else { return }
        fields.append((line[..<colon].lowercased(), Self.trimmed(line[line.index(after: colon)...])))
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while let first = text.first, first == " " || first == "\t" { text = text.dropFirst() }
        while let last = text.last, last == " " || last == "\t" { text = text.dropLast() }
        return String(text)
    }

    func values(of name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    private func lists(_ token: String, in name: String) -> Bool {
        values(of: name).contains { value in
            value.lowercased().split(separator: ",").contains { Self.trimmed($0) == token }
        }
    }

    /// Whether the connection goes on after this answer.
    var keepsConnection: Bool {
        let names = ["connection", "proxy-connection"]
        if names.contains(where: { lists("close", in: $0) }) { return false }
        return minorVersion >= 1 || names.contains { lists("keep-alive", in: $0) }
    }

    enum Body { case length(Int), chunked, untilClose }

    var body: Body {
        if !values(of: "transfer-encoding").isEmpty { return lists("chunked", in: "transfer-encoding") ? .chunked : .untilClose }
        guard let text = values(of: "content-length").first else { return .untilClose }
        guard !text.isEmpty, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(text) else { return .untilClose }
        return .length(length)
    }
}
