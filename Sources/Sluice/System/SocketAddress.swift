import Glibc

/// An address as the system's calls take and give it: a host with a port, or the name of a local socket.
struct SocketAddress: Sendable {
    /// What a path may have at most: its place in the structure, less the final NUL.
    static let maximumPathLength = 107

    private var storage = sockaddr_storage()
    private var length: socklen_t = 0

    private static let pathOffset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path) ?? 2

    init(_ host: HostAddress, port: UInt16) {
        switch host.storage {
        case .anyDualStack:
            fill(sockaddr_in6(sin6_family: sa_family_t(AF_INET6), sin6_port: port.bigEndian, sin6_flowinfo: 0, sin6_addr: in6_addr(), sin6_scope_id: 0))
        case .ipv4(let number):
            fill(sockaddr_in(sin_family: sa_family_t(AF_INET), sin_port: port.bigEndian, sin_addr: in_addr(s_addr: number.bigEndian),
                             sin_zero: (0, 0, 0, 0, 0, 0, 0, 0)))
        case .ipv6(let high, let low, let scope):
            var address = in6_addr()
            withUnsafeMutableBytes(of: &address) {
                $0.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
                $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
            }
            fill(sockaddr_in6(sin6_family: sa_family_t(AF_INET6), sin6_port: port.bigEndian, sin6_flowinfo: 0, sin6_addr: address, sin6_scope_id: scope))
        }
    }

    /// The name of a local socket: a path, or with `abstract` a name outside the file system. Nil when it is empty, longer than
    /// `maximumPathLength` bytes or contains a NUL.
    init?(localPath path: [UInt8], abstract: Bool) {
        guard !path.isEmpty, path.count <= SocketAddress.maximumPathLength, !path.contains(0) else { return nil }
        storage.ss_family = sa_family_t(AF_UNIX)
        let start = SocketAddress.pathOffset + (abstract ? 1 : 0)
        withUnsafeMutableBytes(of: &storage) { bytes in
            UnsafeMutableRawBufferPointer(rebasing: bytes[start...]).copyBytes(from: path)
        }
        // A path ends with its NUL; an abstract name is as long as the length says.
        length = socklen_t(start + path.count + (abstract ? 0 : 1))
    }

    /// Filled by a call such as getsockname; nil when the call returns anything but 0.
    init?(filledBy call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, &size) }
        }
        guard result == 0 else { return nil }
        // The system tells the full length even when it had to cut.
        length = min(size, socklen_t(MemoryLayout<sockaddr_storage>.size))
    }

    /// From an address in the system's memory (getaddrinfo, recvmsg).
    init?(_ address: UnsafePointer<sockaddr>?, length: socklen_t) {
        guard let address, length >= 2, Int(length) <= MemoryLayout<sockaddr_storage>.size else { return nil }
        withUnsafeMutableBytes(of: &storage) {
            $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(length)))
        }
        self.length = length
    }

    private mutating func fill<Address>(_ address: Address) {
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: Address.self) }
        length = socklen_t(MemoryLayout<Address>.size)
    }

    private func load<Address>(_ type: Address.Type) -> Address {
        withUnsafeBytes(of: storage) { $0.load(as: type) }
    }

    /// AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC when there is no address.
    var family: Int32 { Int32(storage.ss_family) }

    /// Nil for anything but an internet address. `::` is what it is, IPv6: only the socket knows whether it takes IPv4 too.
    var hostAddress: HostAddress? {
        switch family {
        case AF_INET:
            return HostAddress(ipv4: UInt32(bigEndian: load(sockaddr_in.self).sin_addr.s_addr))
        case AF_INET6:
            let address = load(sockaddr_in6.self)
            let (high, low) = withUnsafeBytes(of: address.sin6_addr) {
                (UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)), UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
            }
            return HostAddress(ipv6High: high, low: low, scope: address.sin6_scope_id)
        default:
            return nil
        }
    }

    /// 0 for anything but an internet address.
    var port: UInt16 {
        switch family {
        case AF_INET: UInt16(bigEndian: load(sockaddr_in.self).sin_port)
        case AF_INET6: UInt16(bigEndian: load(sockaddr_in6.self).sin6_port)
        default: 0
        }
    }

    /// The path or the abstract name of a local socket; nil when it has none, as connecting ones have.
    var localPath: String? {
        guard family == AF_UNIX, Int(length) > SocketAddress.pathOffset else { return nil }
        return withUnsafeBytes(of: storage) { bytes in
            let name = bytes[SocketAddress.pathOffset..<Int(length)]
            if name.first == 0 { return String(decoding: name.dropFirst(), as: UTF8.self) }
            return String(decoding: name.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    /// A local socket's name outside the file system.
    var isAbstract: Bool {
        guard family == AF_UNIX, Int(length) > SocketAddress.pathOffset else { return false }
        return withUnsafeBytes(of: storage) { $0[SocketAddress.pathOffset] == 0 }
    }

    func withSockAddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}

extension SocketAddress: CustomStringConvertible {
    /// As people write it: `127.0.0.1:80`, `[::1]:80`, a path, `@name`.
    var description: String {
        if let hostAddress { return hostAddress.description(port: port) }
        guard let localPath else { return "" }
        return isAbstract ? "@" + localPath : localPath
    }
}
