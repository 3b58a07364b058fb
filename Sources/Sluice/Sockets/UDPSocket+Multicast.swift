import Glibc

extension UDPSocket {
    /// Receives what is sent to a group from now on (RFC 1112, RFC 3493). `interface`: its name or number; without one it is that
    /// to which the route to the group leads. The socket has to be bound, to AnyIPv4 or an IPv4 address for a group of IPv4.
    public func joinMulticastGroup(_ group: String, interface: String? = nil) throws(SocketError) {
        try changeMembership(of: group, interface: interface, join: true)
    }

    /// As it was joined.
    public func leaveMulticastGroup(_ group: String, interface: String? = nil) throws(SocketError) {
        try changeMembership(of: group, interface: interface, join: false)
    }

    private func changeMembership(of group: String, interface: String?, join: Bool) throws(SocketError) {
        // To a connected socket nothing comes that was not sent to its own address.
        guard state == .bound, isLive else {
            let what = state == .bound ? "without a descriptor" : state.name
            try refuse(.operation, "The socket is \(what): it has to be bound to \(join ? "join" : "leave") a group")
        }
        guard let address = HostAddress(literal: group), address.isMulticast else {
            try refuse(.invalidArgument, "\"\(group.abbreviated)\" is not the address of a multicast group")
        }
        guard address.isIPv6 == datagramFlags.contains(.ipv6) else {
            try refuse(
                .unsupportedSocketOperation,
                "A socket bound to \(localAddress) cannot join \(address): bind it to \(address.isIPv6 ? "AnyIPv6" : "AnyIPv4")")
        }
        let number = try interfaceNumber(interface)
        // The scope of a group of IPv6 (ff02::1%eth0) names the interface too.
        let result = System.changeMembership(
            rawDescriptor, of: address, interface: number == 0 ? address.scope : number, join: join)
        guard result < 0 else { return }
        let error = membershipError(Int32(truncatingIfNeeded: -result), group: group, interface: interface)
        report(error)
        throw error
    }

    /// 0 for none.
    private func interfaceNumber(_ name: String?) throws(SocketError) -> UInt32 {
        guard let name, !name.isEmpty else { return 0 }
        guard let number = System.interfaceIndex(name) else {
            try refuse(.invalidArgument, "There is no network interface \"\(name.abbreviated)\"")
        }
        return number
    }

    private func membershipError(_ number: Int32, group: String, interface: String?) -> SocketError {
        let place = (interface.map { $0.isEmpty ? group : "\(group), \($0)" } ?? group).abbreviated
        switch number {
        case EADDRINUSE:
            return SocketError(.operation, "The socket is in the group already (\(place))", systemError: number)
        case EADDRNOTAVAIL:
            return SocketError(.operation, "The socket is not in the group (\(place))", systemError: number)
        case ENODEV:
            return SocketError(.network, "No network interface leads to the group (\(place))", systemError: number)
        case ENOBUFS, ENOMEM:
            return SocketError(.socketResource, "The system allows no more groups (\(place))", systemError: number)
        default:
            return SocketError.from(errno: number, doing: .setOption, peer: place)
        }
    }

    /// The name of the interface by which datagrams to groups leave; "" when the system chooses.
    public var multicastInterface: String {
        if let name = extras?.multicastInterface { return name }
        guard descriptor >= 0, datagramFlags.contains(.ipv6) else { return "" }
        let (result, number) = System.getOption(rawDescriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF)
        return result == 0 && number > 0 ? System.interfaceName(UInt32(number)) ?? "" : ""
    }

    /// Chooses the interface, by name or number; "" leaves it to the system. Without a descriptor it is kept and set when there
    /// is one.
    public func setMulticastInterface(_ interface: String) throws(SocketError) {
        let number = try interfaceNumber(interface)
        if rawDescriptor >= 0 {
            let result = setMulticastInterface(rawDescriptor, number)
            guard result >= 0 else {
                let error = SocketError.from(errno: Int32(truncatingIfNeeded: -result), doing: .setOption, peer: interface.abbreviated)
                report(error)
                throw error
            }
        }
        makeExtras().multicastInterface = number == 0 ? nil : System.interfaceName(number) ?? interface
    }

    /// 0, or minus errno.
    func setMulticastInterface(_ descriptor: Int32, _ number: UInt32) -> Int {
        guard datagramFlags.contains(.ipv6) else { return System.setMulticastInterface(descriptor, number, ipv6: false) }
        let result = System.setMulticastInterface(descriptor, number, ipv6: true)
        // The IPv4 side of a socket for both families, where there is IPv4.
        if result >= 0, datagramFlags.contains(.dualStack) { _ = System.setMulticastInterface(descriptor, number, ipv6: false) }
        return result
    }
}
