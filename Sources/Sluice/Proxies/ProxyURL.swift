/// Proxies as the environment names them.
extension Proxy {
    /// `http://user:password@host:port`, `socks5://…` (names are looked up here), `socks5h://…` and `socks://…` (names are looked
    /// up by the proxy), or `host:port`, which is HTTP. Without a port it is 1080, or 8080 of HTTP proxies. Nil for what is none of these.
    public init?(url: String) {
        var rest = Substring(url)
        var type = Kind.http
        var hostNameLookup = true
        if let range = Self.range(of: "://", in: rest) {
            switch rest[..<range.lowerBound].lowercased() {
            case "http": break
            case "socks5":
                type = .socks5
                hostNameLookup = false
            case "socks5h", "socks": type = .socks5
            default: return nil
            }
            rest = rest[range.upperBound...]
        }
        rest = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        var user = ""
        var password = ""
        if let at = rest.lastIndex(of: "@") {
            let credentials = rest[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            user = Self.decoded(credentials.first ?? "")
            password = credentials.count > 1 ? Self.decoded(credentials[1]) : ""
            rest = rest[rest.index(after: at)...]
        }
        guard let (host, port) = Self.splitPort(rest, isURL: true) else { return nil }
        let fallback = type == .http ? 8080 : 1080
        self.init(
            type: type, host: String(host), port: port ?? fallback, user: user, password: password, hostNameLookup: hostNameLookup)
        do throws(SocketError) { try check() } catch { return nil }
    }

    /// `host`, `host:port`, `[address]`, `[address]:port`, or, but for URLs (RFC 3986), a bare IPv6 address. Nil when the port is no port.
    static func splitPort(_ text: Substring, isURL: Bool = false) -> (host: Substring, port: Int?)? {
        var host = text
        var port: Substring?
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = text[text.index(after: text.startIndex)..<end]
            let tail = text[text.index(after: end)...]
            guard tail.isEmpty || tail.first == ":" else { return nil }
            if !tail.isEmpty { port = tail.dropFirst() }
        } else if let colon = text.lastIndex(of: ":"), text.firstIndex(of: ":") == colon {
            host = text[..<colon]
            port = text[text.index(after: colon)...]
        } else if isURL, text.contains(":") {
            return nil
        }
        guard let port, !port.isEmpty else { return (host, nil) }
        guard let number = UInt16(port), number > 0 else { return nil }
        return (host, Int(number))
    }

    private static func range(of mark: String, in text: Substring) -> Range<Substring.Index>? {
        var start = text.startIndex
        while start < text.endIndex {
            if text[start...].hasPrefix(mark) { return start..<text.index(start, offsetBy: mark.count) }
            start = text.index(after: start)
        }
        return nil
    }

    /// With `%41` as "A". A sign without two digits is itself: passwords are often put there as they are.
    private static func decoded(_ text: Substring) -> String {
        let bytes = Array(text.utf8)
        var result: [UInt8] = []
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = Character(UnicodeScalar(bytes[index + 1])).hexDigitValue,
                let low = Character(UnicodeScalar(bytes[index + 2])).hexDigitValue {
                result.append(UInt8(high << 4 | low))
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }
}
