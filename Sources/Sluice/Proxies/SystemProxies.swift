import Glibc

extension Proxy {
    /// What the system's settings, which are the environment, say about connections to this host: the proxies in the order in which
    /// to use them, `[.none]` for a straight connection.
    ///
    /// Port 80 goes by http_proxy and port 443 by https_proxy; where these are not set, and for every other port, it is all_proxy. Each
    /// variable may be written in capitals too (the small one counts first); HTTP_PROXY is left alone in CGI programs, where it is a
    /// header that anybody may send. no_proxy is a list, divided by commas or spaces, of hosts that are reached straight: names (with
    /// all that ends in them), addresses, networks (192.0.2.0/24), each with `:port` at the end if only that is meant, or `*`
    /// for all. Loopback addresses and "localhost" are always reached straight. Throws UnsupportedSocketOperationError for a proxy
    /// that this library cannot talk to: passing it by in silence could give away what it was to hide.
    public static func forQuery(host: String, port: Int) throws(SocketError) -> [Proxy] {
        try forQuery(host: host, port: port) { name in getenv(name).map { String(cString: $0) } }
    }

    /// The same for settings that are kept elsewhere; `environment` gives the value of a variable.
    public static func forQuery(host: String, port: Int, environment: (String) -> String?) throws(SocketError) -> [Proxy] {
        if isLoopback(host) { return [.none] }
        let exceptions = [environment("no_proxy"), environment("NO_PROXY")].compactMap { $0 }.first { !$0.isEmpty } ?? ""
        if isException(host: host, port: port, in: exceptions) { return [.none] }
        var names: [String] = []
        switch port {
        case 80: names = environment("REQUEST_METHOD") == nil ? ["http_proxy", "HTTP_PROXY"] : ["http_proxy"]
        case 443: names = ["https_proxy", "HTTPS_PROXY"]
        default: break
        }
        for name in names + ["all_proxy", "ALL_PROXY"] {
            guard let value = environment(name), !value.isEmpty else { continue }
            guard let proxy = Proxy(url: value) else {
                let message = "The environment's \(name) names no proxy that can be used: it must be http://, socks5:// or socks5h://"
                throw SocketError(.unsupportedSocketOperation, message)
            }
            return [proxy]
        }
        return [.none]
    }

    private static func isException(host: String, port: Int, in list: String) -> Bool {
        let target = HostAddress(literal: host)?.unmapped
        var name = Substring(host.lowercased())
        if name.last == "." { name = name.dropLast() }
        return list.split(whereSeparator: { $0 == "," || $0 == " " || $0 == "\t" }).contains { entry in
            if entry == "*" { return true }
            if let target {
                if let network = AddressRange(String(entry)) { return network.contains(target) }
                guard let (place, itsPort) = splitPort(entry), let address = HostAddress(literal: String(place)) else { return false }
                return address.unmapped == target && (itsPort ?? port) == port
            }
            guard let (place, itsPort) = splitPort(entry), (itsPort ?? port) == port else { return false }
            return matches(name, place)
        }
    }

    /// "example.com", ".example.com" and "*.example.com" are the domain and everything below it.
    private static func matches(_ name: Substring, _ entry: Substring) -> Bool {
        var domain = Substring(entry.lowercased())
        if domain.hasPrefix("*") { domain = domain.dropFirst() }
        if domain.first == "." { domain = domain.dropFirst() }
        if domain.last == "." { domain = domain.dropLast() }
        guard !domain.isEmpty else { return false }
        return name == domain || name.hasSuffix("." + domain)
    }
}

/// The addresses that begin with the same bits: `192.0.2.0/24`, `2001:db8::/32`.
struct AddressRange {
    private let address: HostAddress
    private let bits: Int

    /// Nil for what is no network.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = HostAddress(literal: String(parts[0])), let bits = Int(parts[1]),
            bits >= 0, bits <= (address.isIPv4 ? 32 : 128), parts[1].utf8.allSatisfy({ $0 != UInt8(ascii: "+") })
        else { return nil }
        self.address = address
        self.bits = bits
    }

    func contains(_ other: HostAddress) -> Bool {
        switch (address.storage, other.storage) {
        case (.ipv4(let mine), .ipv4(let its)):
            return bits == 0 || (mine ^ its) >> UInt32(32 - bits) == 0
        case (.ipv6(let high, let low, _), .ipv6(let itsHigh, let itsLow, _)):
            if bits == 0 { return true }
            if bits <= 64 { return (high ^ itsHigh) >> UInt64(64 - bits) == 0 }
            return high == itsHigh && (low ^ itsLow) >> UInt64(128 - bits) == 0
        default:
            return false
        }
    }
}
