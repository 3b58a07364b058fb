import Glibc
import Sluice
import Testing

@Suite struct UDPMulticastTests {
    @Test func aGroupIsHeardAfterJoining() throws {
        let bench = try Bench()
        defer { bench.end() }
        let receiver = bench.udpSocket()
        try receiver.bind("AnyIPv4")
        try receiver.joinMulticastGroup("239.255.43.21", interface: "lo")
        let sender = try bench.boundSocket("AnyIPv4")
        try sender.setMulticastInterface("lo")
        #expect(sender.multicastInterface == "lo")
        try sender.setOption(.multicastTtl, 3)
        try sender.writeDatagram(Array("group".utf8), address: "239.255.43.21", port: receiver.localPort)
        bench.run(untilPending: receiver)
        let datagram = try receiver.readDatagram()
        #expect(text(datagram.data) == "group" && datagram.destinationAddress == "239.255.43.21" && datagram.hopLimit == 3)
        #expect(datagram.interfaceIndex == Int(if_nametoindex("lo")) && datagram.senderPort == sender.localPort)

        try receiver.leaveMulticastGroup("239.255.43.21", interface: "lo")
        try sender.writeDatagram(Array("left".utf8), address: "239.255.43.21", port: receiver.localPort)
        try sender.writeDatagram(Array("direct".utf8), address: "127.0.0.1", port: receiver.localPort)
        bench.run(untilPending: receiver)
        #expect(try receiver.nextText() == "direct")
    }

    @Test func groupsOfIPv6AreJoinedByInterface() throws {
        guard hasIPv6 else { return }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        try socket.setMulticastInterface("lo")
        try socket.setOption(.multicastTtl, 5)
        try socket.bind("AnyIPv6")
        #expect(socket.multicastInterface == "lo")
        #expect(try socket.option(.multicastTtl) == 5)
        try socket.joinMulticastGroup("ff01::4321", interface: "lo")
        #expect(code { try socket.joinMulticastGroup("ff01::4321%lo") } == .operation)
        try socket.leaveMulticastGroup("ff01::4321", interface: "lo")
        // The scope of the address names the interface as well.
        try socket.joinMulticastGroup("ff01::4321%lo")
        try socket.leaveMulticastGroup("ff01::4321%lo")
        try socket.setMulticastInterface("")
        #expect(socket.multicastInterface == "")
    }

    /// Loopback has no groups of IPv6 and hears its own of IPv4 always: an interface to somewhere is needed.
    @Test(arguments: [("AnyIPv4", "239.255.43.22"), ("AnyIPv6", "ff02::4322"), ("any", "ff02::4323")])
    func ownDatagramsAreHeardUnlessLoopbackIsOff(address: String, group: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let isIPv6 = group.contains(":")
        guard let interface = multicastInterface(isIPv6 ? AF_INET6 : AF_INET) else { return }
        let receiver = bench.udpSocket()
        try receiver.bind(address)
        try receiver.joinMulticastGroup(group, interface: interface)
        let sender = try bench.boundSocket(address)
        try sender.setMulticastInterface(interface)
        try sender.setOption(.multicastTtl, 2)
        try sender.setOption(.multicastLoopback, 0)
        try sender.writeDatagram(Array("unheard".utf8), address: group, port: receiver.localPort)
        try sender.setOption(.multicastLoopback, 1)
        try sender.writeDatagram(Array("heard".utf8), address: group, port: receiver.localPort)
        bench.run(untilPending: receiver)
        let datagram = try receiver.readDatagram()
        #expect(text(datagram.data) == "heard" && datagram.hopLimit == 2 && datagram.senderPort == sender.localPort)
        #expect(datagram.interfaceIndex == Int(if_nametoindex(interface)))
        #expect(datagram.destinationAddress == (isIPv6 ? "\(group)%\(interface)" : group))
    }

    /// An interface other than loopback that is up and has groups and an address of this family.
    private func multicastInterface(_ family: Int32) -> String? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            let flags = entry.pointee.ifa_flags
            guard let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == family else { continue }
            let wanted = UInt32(IFF_UP | IFF_RUNNING | IFF_MULTICAST)
            if flags & wanted == wanted, flags & UInt32(IFF_LOOPBACK) == 0 { return String(cString: entry.pointee.ifa_name) }
        }
        return nil
    }

    @Test func datagramsComeFromTheChosenInterface() throws {
        let bench = try Bench()
        defer { bench.end() }
        let receiver = bench.udpSocket()
        try receiver.bind("AnyIPv4")
        try receiver.joinMulticastGroup("239.255.43.24", interface: "lo")
        let sender = try bench.boundSocket("AnyIPv4")
        try sender.setMulticastInterface("lo")
        try sender.writeDatagram(Array("x".utf8), address: "239.255.43.24", port: receiver.localPort)
        bench.run(untilPending: receiver)
        #expect(try receiver.readDatagram().senderAddress == "127.0.0.1")
    }

    @Test func aConnectedSocketJoinsNoGroup() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        let log = Recorder(socket)
        #expect(code { try socket.joinMulticastGroup("239.255.43.25", interface: "lo") } == .operation)
        #expect(log.errors.count == 1 && socket.state == .connected)
    }

    @Test func mistakesAreErrors() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        #expect(code { try socket.joinMulticastGroup("239.255.43.21") } == .operation)
        #expect(socket.multicastInterface == "")
        try socket.bind("AnyIPv4")
        #expect(code { try socket.joinMulticastGroup("127.0.0.1") } == .invalidArgument)
        #expect(code { try socket.joinMulticastGroup("nonsense") } == .invalidArgument)
        #expect(code { try socket.joinMulticastGroup("239.255.43.21", interface: "no-such-if") } == .invalidArgument)
        #expect(code { try socket.joinMulticastGroup("239.255.43.21", interface: "4294967295") } == .invalidArgument)
        #expect(code { try socket.joinMulticastGroup("ff01::4321", interface: "lo") } == .unsupportedSocketOperation)
        #expect(code { try socket.leaveMulticastGroup("239.255.43.21", interface: "lo") } == .operation)
        try socket.joinMulticastGroup("239.255.43.21", interface: "\(if_nametoindex("lo"))")
        #expect(code { try socket.joinMulticastGroup("239.255.43.21", interface: "lo") } == .operation)
        #expect(code { try socket.setMulticastInterface("no-such-if") } == .invalidArgument)
        #expect(log.errors.count == 9 && socket.state == .bound)
        guard hasIPv6 else { return }
        let both = try bench.boundSocket("any")
        #expect(code { try both.joinMulticastGroup("239.255.43.21", interface: "lo") } == .unsupportedSocketOperation)
        try both.joinMulticastGroup("ff01::4321", interface: "lo")
    }
}
