import Glibc

/// An IPv4 or IPv6 address, or "any" of both at once. There is no null address: where one may be missing it is an optional.
public struct HostAddress: Hashable, Sendable {
    enum Storage: Hashable, Sendable {
        /// Listens on all addresses of both families with one IPv6 socket.
        case anyDualStack
        case ipv4(UInt32)
        case ipv6(UInt64, UInt64, scope: UInt32)
    }

    let storage: Storage

    init(storage: Storage) {
        self.storage = storage
    }

    /// The address as a number, the first byte highest: 127.0.0.1 is 0x7f000001.
    public init(ipv4: UInt32) {
        storage = .ipv4(ipv4)
    }

    /// `scope`: the number of the interface that a link-local address belongs to, or 0.
    public init(ipv6High high: UInt64, low: UInt64, scope: UInt32 = 0) {
        storage = .ipv6(high, low, scope: scope)
    }

    public static let anyDualStack = HostAddress(storage: .anyDualStack)
    public static let anyIPv4 = HostAddress(ipv4: 0)
    public static let anyIPv6 = HostAddress(ipv6High: 0, low: 0)
    public static let localHost = HostAddress(ipv4: 0x7f00_0001)
    public static let localHostIPv6 = HostAddress(ipv6High: 0, low: 1)
    public static let broadcast = HostAddress(ipv4: 0xffff_ffff)

    // MARK: Text

    /// A literal and nothing else: four decimal numbers, or IPv6 with an optional `%` and the name or number of an interface.
    /// No name is looked up; nil for what is no literal, an interface that does not exist included.
    public init?(literal text: String) {
        // To C the text would end at a NUL, and what is behind it would go unnoticed.
        guard !text.isEmpty, !text.utf8.contains(0) else { return nil }

        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 {
            self.init(ipv4: UInt32(bigEndian: four.s_addr))
            return
        }

        let parts = text.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)
        var six = in6_addr()
        guard let address = parts.first, inet_pton(AF_INET6, String(address), &six) == 1 else { return nil }
        var scope: UInt32 = 0
        if parts.count == 2 {
            guard let number = HostAddress.scope(of: parts[1]) else { return nil }
            scope = number
        }
        let (high, low) = withUnsafeBytes(of: six) {
            (UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)), UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
        self.init(ipv6High: high, low: low, scope: scope)
    }

    /// A literal, or the name of a special address: "any" (or "*"), "AnyIPv4", "AnyIPv6", "LocalHost", "LocalHostIPv6",
    /// "Broadcast", in capitals or not. For bind and listen; a host to connect to is no special name.
    public init?(parsing text: String) {
        switch text.lowercased() {
        case "any", "*": self = .anyDualStack
        case "anyipv4": self = .anyIPv4
        case "anyipv6": self = .anyIPv6
        case "localhost": self = .localHost
        case "localhostipv6": self = .localHostIPv6
        case "broadcast": self = .broadcast
        default: self.init(literal: text)
        }
    }

    private static func scope(of name: Substring) -> UInt32? {
        guard !name.isEmpty else { return nil }
        if name.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) { return UInt32(name) }
        let number = if_nametoindex(String(name))
        return number == 0 ? nil : number
    }

    /// With the port, IPv6 in brackets: `127.0.0.1:80`, `[::1]:80`.
    func description(port: UInt16) -> String {
        protocolFamily == AF_INET6 && storage != .anyDualStack ? "[\(self)]:\(port)" : "\(self):\(port)"
    }

    // MARK: Kinds

    public var networkProtocol: NetworkProtocol {
        switch storage {
        case .anyDualStack: .any
        case .ipv4: .ipv4
        case .ipv6: .ipv6
        }
    }

    /// The family of a socket that uses this address.
    var protocolFamily: Int32 {
        if case .ipv4 = storage { AF_INET } else { AF_INET6 }
    }

    public var isIPv4: Bool { protocolFamily == AF_INET }

    /// Literally IPv6; not "any" of both families.
    public var isIPv6: Bool { networkProtocol == .ipv6 }

    /// An IPv4 address within IPv6 (`::ffff:192.0.2.1`), as a dual-stack socket shows its IPv4 peers.
    public var isIPv4Mapped: Bool {
        if case .ipv6(0, let low, _) = storage { low >> 32 == 0xffff } else { false }
    }

    /// The IPv4 address inside a mapped one; any other as it is.
    public var unmapped: HostAddress {
        guard isIPv4Mapped, case .ipv6(_, let low, _) = storage else { return self }
        return HostAddress(ipv4: UInt32(truncatingIfNeeded: low))
    }

    /// As an IPv6 socket has to name it: IPv4 mapped, any other as it is.
    public var mappedToIPv6: HostAddress {
        guard case .ipv4(let number) = storage else { return self }
        return HostAddress(ipv6High: 0, low: 0xffff_0000_0000 | UInt64(number))
    }

    public var isLoopback: Bool {
        switch unmapped.storage {
        case .anyDualStack: false
        case .ipv4(let number): number >> 24 == 127
        case .ipv6(let high, let low, _): high == 0 && low == 1
        }
    }

    /// A link-local IPv6 address that does not say on which interface.
    var needsScope: Bool {
        if case .ipv6(let high, _, scope: 0) = storage { high >> 54 == 0x3fa } else { false }
    }

    public var isMulticast: Bool {
        switch unmapped.storage {
        case .anyDualStack: false
        case .ipv4(let number): number >> 28 == 0xe
        case .ipv6(let high, _, _): high >> 56 == 0xff
        }
    }

    /// One of the three "any" addresses, which can be bound to but not connected to.
    public var isAny: Bool {
        switch unmapped.storage {
        case .anyDualStack: true
        case .ipv4(let number): number == 0
        case .ipv6(let high, let low, _): high == 0 && low == 0
        }
    }

    /// The number of the interface that a link-local address belongs to, or 0.
    public var scope: UInt32 {
        if case .ipv6(_, _, let scope) = storage { scope } else { 0 }
    }
}

extension HostAddress: CustomStringConvertible {
    /// As inet_ntop prints it, with `%` and the interface's name where there is a scope; "*" for any of both families.
    public var description: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: HostAddress.textCapacity) { buffer in
            guard let start = buffer.baseAddress else { return "" }
            write(to: start)
            return String(cString: start)
        }
    }

    /// Room for any description and the NUL at its end.
    public static let textCapacity = 64

    /// Writes the description, ended by NUL, to memory of `textCapacity` bytes.
    public func write(to text: UnsafeMutablePointer<CChar>) {
        switch storage {
        case .anyDualStack:
            text[0] = CChar(UInt8(ascii: "*"))
            text[1] = 0
        case .ipv4(let number):
            HostAddress.write(ipv4: number, to: text)
        case .ipv6(let high, let low, let scope):
            var address = in6_addr()
            withUnsafeMutableBytes(of: &address) {
                $0.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            text[0] = 0
            inet_ntop(AF_INET6, &address, text, socklen_t(INET6_ADDRSTRLEN))
            if scope != 0 { HostAddress.appendScope(scope, byName: true, to: text) }
        }
    }

    /// The number itself also when there is no such interface (any more).
    static func appendScope(_ scope: UInt32, byName: Bool, to text: UnsafeMutablePointer<CChar>) {
        var place = text + strlen(text)
        place[0] = CChar(UInt8(ascii: "%"))
        place += 1
        if !byName || if_indextoname(scope, place) == nil { write(scope, to: &place) }
    }

    /// By hand: this is done for every datagram.
    private static func write(ipv4 number: UInt32, to text: UnsafeMutablePointer<CChar>) {
        var place = text
        var rest = number
        for _ in 0..<4 {
            place = write(octet: rest >> 24, to: place)
            place[0] = CChar(truncatingIfNeeded: UInt8(ascii: "."))
            place += 1
            rest <<= 8
        }
        // In place of the last dot.
        place[-1] = 0
    }

    /// A number below 256 in decimal. Returns where it ends.
    @inline(__always)
    private static func write(octet number: UInt32, to place: UnsafeMutablePointer<CChar>) -> UnsafeMutablePointer<CChar> {
        // Dividing by multiplying: exact up to 255.
        let hundreds = (number &* 41) >> 12
        let tens = (number &* 205) >> 11
        let ones = number &- tens &* 10
        var place = place
        if number >= 100 {
            place[0] = digit(hundreds)
            place += 1
        }
        if number >= 10 {
            place[0] = digit(tens &- hundreds &* 10)
            place += 1
        }
        place[0] = digit(ones)
        return place + 1
    }

    @inline(__always)
    private static func digit(_ number: UInt32) -> CChar { CChar(truncatingIfNeeded: number &+ 0x30) }

    /// In decimal, ended by NUL, to where `place` then points.
    private static func write(_ number: UInt32, to place: inout UnsafeMutablePointer<CChar>) {
        if number >= 10 { write(number / 10, to: &place) }
        place[0] = CChar(UInt8(ascii: "0") + UInt8(number % 10))
        place[1] = 0
        place += 1
    }
}
