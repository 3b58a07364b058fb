import CLinux
import Glibc

/// A network interface of this machine.
public struct NetworkInterface: Sendable {
    /// What an interface is and can (netdevice(7)).
    public struct Flags: NamedFlags {
        public let rawValue: Int32
        public init(rawValue: Int32) { self.rawValue = rawValue }

        public static let isUp = Flags(rawValue: 1)
        public static let isRunning = Flags(rawValue: 2)
        public static let canBroadcast = Flags(rawValue: 4)
        public static let isLoopBack = Flags(rawValue: 8)
        public static let isPointToPoint = Flags(rawValue: 16)
        public static let canMulticast = Flags(rawValue: 32)

        public static var table: [(name: String, flags: Flags)] {
            [
                ("IsUp", .isUp), ("IsRunning", .isRunning), ("CanBroadcast", .canBroadcast), ("IsLoopBack", .isLoopBack),
                ("IsPointToPoint", .isPointToPoint), ("CanMulticast", .canMulticast),
            ]
        }
        public static var emptyName: String { "None" }

        fileprivate init(system: UInt32) {
            let pairs: [(Int, Flags)] = [
                (IFF_UP, .isUp), (IFF_RUNNING, .isRunning), (IFF_BROADCAST, .canBroadcast),
                (IFF_LOOPBACK, .isLoopBack), (IFF_POINTOPOINT, .isPointToPoint),
                (IFF_MULTICAST, .canMulticast),
            ]
            self = pairs.reduce(into: []) { if Int(system) & $1.0 != 0 { $0.insert($1.1) } }
        }
    }

    /// As multicast and link-local addresses name it: "lo", "eth0".
    public let name: String
    /// The system's number for it, 1 and up.
    public let index: Int
    public let flags: Flags
    public let addresses: [HostAddress]

    /// All interfaces, those without an address too, in the order of their numbers.
    public static func all() throws(SocketError) -> [NetworkInterface] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { throw SocketError.from(SystemError(number: errno, call: "getifaddrs")) }
        defer { freeifaddrs(list) }
        var found: [String: (index: Int, flags: UInt32, addresses: [HostAddress])] = [:]
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            let name = String(cString: entry.ifa_name)
            var interface = found[name] ?? (Int(if_nametoindex(entry.ifa_name)), entry.ifa_flags, [])
            if let address = SocketAddress(entry.ifa_addr, length: Self.length(of: entry.ifa_addr))?.hostAddress {
                interface.addresses.append(address)
            }
            found[name] = interface
        }
        return found.map { NetworkInterface(name: $0.key, index: $0.value.index, flags: Flags(system: $0.value.flags), addresses: $0.value.addresses) }
            .sorted { ($0.index, $0.name) < ($1.index, $1.name) }
    }

    /// 0 for what is no internet address.
    private static func length(of address: UnsafePointer<sockaddr>?) -> socklen_t {
        switch Int32(address?.pointee.sa_family ?? 0) {
        case AF_INET: socklen_t(MemoryLayout<sockaddr_in>.size)
        case AF_INET6: socklen_t(MemoryLayout<sockaddr_in6>.size)
        default: 0
        }
    }
}
