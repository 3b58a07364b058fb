import Glibc

/// What a client wants to reach or to occupy.
enum AccessTarget {
    case name(String, port: Int)
    case address(AccessAddress, port: Int)
    case everyAddress(port: Int)
    case path(String)
    case abstract(String)

    var port: Int? {
        switch self {
        case .name(_, let port), .address(_, let port), .everyAddress(let port): port
        case .path, .abstract: nil
        }
    }

    /// Whether the addresses it comes to are not known here.
    var isIndefinite: Bool {
        switch self {
        case .name, .everyAddress: true
        case .address, .path, .abstract: false
        }
    }
}

/// An address as its bytes; an IPv4 address within IPv6 is the IPv4 address.
struct AccessAddress: Equatable, Sendable {
    let bytes: [UInt8]

    init?(literal text: String) {
        guard !text.utf8.contains(0) else { return nil }
        // An interface behind % says where, not who.
        let plain = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false).first.map(String.init) ?? text
        var four = in_addr()
        var six = in6_addr()
        if plain == text, inet_pton(AF_INET, plain, &four) == 1 {
            bytes = withUnsafeBytes(of: four) { Array($0) }
        } else if inet_pton(AF_INET6, plain, &six) == 1 {
            let all = withUnsafeBytes(of: six) { Array($0) }
            let isMapped = all.prefix(10).allSatisfy { $0 == 0 } && all[10] == 0xFF && all[11] == 0xFF
            bytes = isMapped ? Array(all.suffix(4)) : all
        } else {
            return nil
        }
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    var isAny: Bool { bytes.allSatisfy { $0 == 0 } }
    var loopback: AccessAddress {
        AccessAddress(bytes: bytes.count == 4 ? [127, 0, 0, 1] : [UInt8](repeating: 0, count: 15) + [1])
    }

    /// Whether this address and the other begin with the same so many bits.
    func shares(_ bits: Int, with other: AccessAddress) -> Bool {
        guard bytes.count == other.bytes.count else { return false }
        var left = bits
        for (one, two) in zip(bytes, other.bytes) where left > 0 {
            let mask: UInt8 = left >= 8 ? 0xFF : ~(0xFF >> UInt8(left))
            if (one ^ two) & mask != 0 { return false }
            left -= 8
        }
        return true
    }
}

/// One `--allow` or `--deny`.
struct AccessRule: Sendable {
    private enum Subject: Sendable {
        case anyHost
        case name(String)
        /// Every name below this one (".example.com").
        case domain(String)
        case network(AccessAddress, bits: Int)
        case path(String)
        case abstract(String)
    }

    let text: String
    private let subject: Subject
    private var ports: ClosedRange<Int>?

    init?(_ text: String) {
        self.text = text
        if text.utf8.contains(0) || text.isEmpty { return nil }
        if text.hasPrefix("/") {
            subject = .path(canonicalPath(of: text, followsLast: true))
            return
        }
        if text.hasPrefix("@") {
            subject = .abstract(String(text.dropFirst()))
            return
        }
        guard let (host, ports) = Self.split(text), let subject = Self.subject(of: host) else { return nil }
        self.subject = subject
        self.ports = ports
    }

    /// Host and ports of `host`, `host:port`, `[address]:port`; an address with colons and no brackets has no port.
    private static func split(_ text: String) -> (host: String, ports: ClosedRange<Int>?)? {
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            let host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            if rest.isEmpty { return (host, nil) }
            guard rest.hasPrefix(":"), let ports = portRange(rest.dropFirst()) else { return nil }
            return (host, ports)
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        if parts.count == 2 {
            guard let ports = portRange(parts[1]) else { return nil }
            return (String(parts[0]), ports)
        }
        return (text, nil)
    }

    private static func portRange(_ text: Substring) -> ClosedRange<Int>? {
        if text == "*" { return 0...65535 }
        let bounds = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { Int($0) }
        guard let first = bounds.first ?? nil, let last = bounds.last ?? nil, first >= 0, last <= 65535, first <= last else { return nil }
        return first...last
    }

    private static func subject(of host: String) -> Subject? {
        if host == "*" { return .anyHost }
        let parts = host.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if let first = parts.first, let address = AccessAddress(literal: first) {
            let most = address.bytes.count * 8
            guard parts.count == 2 else { return .network(address, bits: most) }
            guard let bits = Int(parts[1]), bits >= 0, bits <= most else { return nil }
            return .network(address, bits: bits)
        }
        let name = host.lowercased()
        guard !name.isEmpty, !name.contains("/"), !name.contains(":") else { return nil }
        if name.hasPrefix("*.") {
            let domain = String(name.dropFirst())
            return domain.count > 1 && !domain.contains("*") ? .domain(domain) : nil
        }
        return name.contains("*") ? nil : .name(name.hasSuffix(".") ? String(name.dropLast()) : name)
    }

    // MARK: Questions

    /// Whether the rule is about host names in particular.
    var namesHost: Bool {
        switch subject {
        case .name, .domain: true
        default: false
        }
    }

    func matches(_ target: AccessTarget) -> Bool {
        if let port = target.port, let ports, !ports.contains(port) { return false }
        switch (subject, target) {
        case (.anyHost, .name), (.anyHost, .address), (.anyHost, .everyAddress): return true
        case (.name(let wanted), .name(let name, _)): return name == wanted
        case (.domain(let domain), .name(let name, _)): return name.hasSuffix(domain)
        case (.network(let network, let bits), .address(let address, _)): return address.shares(bits, with: network)
        case (.network(let network, let bits), .everyAddress): return bits == 0 && network.isAny
        case (.path(let wanted), .path(let path)): return path == wanted || path.hasPrefix(wanted == "/" ? wanted : wanted + "/")
        case (.abstract(let wanted), .abstract(let name)): return name.hasPrefix(wanted)
        default: return false
        }
    }

    /// Whether the rule is about addresses that this name might turn out to have, or that "every address" includes.
    func couldConcern(_ target: AccessTarget) -> Bool {
        guard case .network = subject, let port = target.port else { return false }
        return ports?.contains(port) ?? true
    }
}
