import Glibc

/// Binding to an address of this machine.
enum ListeningAddress {
    /// A non-blocking descriptor that is bound. `type`: System.stream or System.datagram. `reuseAddress`: also where old
    /// connections still linger, as every server wants.
    static func bind(
        _ host: HostAddress, port: UInt16, mode: BindMode, type: Int32 = System.stream, reuseAddress: Bool
    ) throws(SocketError) -> Descriptor {
        do throws(SystemError) {
            return try attempt(host, port: port, mode: mode, type: type, reuseAddress: reuseAddress)
        } catch {
            // "Any" on a machine without IPv6 is any IPv4.
            if host == .anyDualStack, error.number == EAFNOSUPPORT {
                return try bind(.anyIPv4, port: port, mode: mode, type: type, reuseAddress: reuseAddress)
            }
            if error.number == EINVAL, host.needsScope {
                throw SocketError(
                    .socketAddressNotAvailable, "A link-local address needs its interface: \(host.description)%eth0, for example", systemError: EINVAL)
            }
            throw SocketError.from(errno: error.number, doing: .bind, peer: host.description(port: port))
        }
    }

    private static func attempt(
        _ host: HostAddress, port: UInt16, mode: BindMode, type: Int32, reuseAddress: Bool
    ) throws(SystemError) -> Descriptor {
        let descriptor = try System.socket(family: host.protocolFamily, type: type, nonBlocking: true)
        let number = descriptor.rawValue
        if host.protocolFamily == AF_INET6 {
            System.setOption(number, Int32(IPPROTO_IPV6), IPV6_V6ONLY, host == .anyDualStack ? 0 : 1)
        }
        // Urgent bytes come in their place in the stream; accepted sockets inherit it.
        System.setOption(number, SOL_SOCKET, SO_OOBINLINE, 1)
        let shares = !mode.isDisjoint(with: [.shareAddress, .reuseAddressHint])
        if (reuseAddress || shares) && !mode.contains(.dontShareAddress) { System.setOption(number, SOL_SOCKET, SO_REUSEADDR, 1) }
        if mode.contains(.reusePort) { System.setOption(number, SOL_SOCKET, SO_REUSEPORT, 1) }
        let result = System.bind(number, SocketAddress(host, port: port))
        guard result >= 0 else { throw SystemError(number: Int32(truncatingIfNeeded: -result), call: "bind") }
        return descriptor
    }
}

extension SocketAddress {
    /// The address that this descriptor is bound to, in words: an IPv6 "any" may stand for both families.
    func boundDescription(of descriptor: Int32) -> String {
        guard let host = hostAddress else { return "" }
        return host == .anyIPv6 && System.isDualStack(descriptor) ? HostAddress.anyDualStack.description : host.description
    }
}
