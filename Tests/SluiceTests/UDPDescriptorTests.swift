import Glibc
import Sluice
import Testing

@Suite struct UDPDescriptorTests {
    @Test func aBoundDescriptorIsTakenOver() throws {
        let bench = try Bench()
        defer { bench.end() }
        let raw = try RawDatagrams()
        let port = raw.port
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.setDescriptor(raw.release(), state: .bound)
        #expect(log.events == ["stateChanged(Bound)"] && socket.isOpen && socket.localPort == port && socket.localAddress == "127.0.0.1")
        let peer = try RawDatagrams()
        try peer.send("x", to: port)
        bench.run { log.saw(.readyRead) }
        let datagram = try socket.readDatagram()
        #expect(text(datagram.data) == "x" && datagram.destinationAddress == "127.0.0.1" && datagram.hopLimit == 64)
        #expect(code { _ = try socket.write("no peer") } == .operation)
        try peer.send("y", to: port)
        bench.run(untilPending: socket)
        #expect(code { _ = try socket.readAll() } == .operation, "read and write are for the peer of a connected socket")
        #expect(try text(socket.readDatagram().data) == "y")
    }

    @Test func anUnconnectedDescriptorCanConnect() throws {
        let bench = try Bench()
        defer { bench.end() }
        let raw = try RawDatagrams()
        let peer = try RawDatagrams()
        let (number, port) = (raw.descriptor, raw.port)
        let socket = bench.udpSocket()
        try socket.setDescriptor(raw.release(), state: .unconnected)
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(socket.descriptor == number && socket.localPort == port)
        #expect(try socket.write("x") == 1)
        #expect(try peer.receive().sender.port == port)
    }

    @Test func aConnectedDescriptorIsTakenOver() throws {
        let bench = try Bench()
        defer { bench.end() }
        let raw = try RawDatagrams()
        let peer = try RawDatagrams()
        try check(RawAddress.ipv4(port: peer.port).call { connect(raw.descriptor, $0, $1) }, "connect")
        try peer.send("early", to: raw.port)
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.setDescriptor(raw.release())
        #expect(log.events == ["stateChanged(Connected)"] && socket.peerPort == peer.port)
        bench.run { log.saw(.readyRead) }
        #expect(text(try socket.readAll()) == "early")
        #expect(try socket.write("x") == 1)
        #expect(try peer.receiveText() == "x")
    }

    @Test func unfitDescriptorsAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let raw = try RawDatagrams()
        let stream = try rawSocket(AF_INET)
        defer { close(stream) }
        #expect(code { try socket.setDescriptor(stream, state: .bound) } == .unsupportedSocketOperation)
        #expect(code { try socket.setDescriptor(raw.descriptor) } == .unsupportedSocketOperation)
        #expect(code { try socket.setDescriptor(-1) } == .unsupportedSocketOperation)
        #expect(code { try socket.setDescriptor(raw.descriptor, state: .listening) } == .invalidArgument)
        let other = try bench.boundSocket()
        #expect(code { try socket.setDescriptor(other.descriptor, state: .bound) } == .operation)
        #expect(socket.state == .unconnected && socket.descriptor == -1)
    }

    @Test func aDescriptorIsGivenAway() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let port = socket.localPort
        let sender = try bench.boundSocket()
        try sender.writeDatagrams((0..<10).map { OutgoingDatagram([UInt8($0)], address: "127.0.0.1", port: port) })
        // In the system or here: what is unread would be lost to the next owner.
        var entry = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
        try #require(poll(&entry, 1, Int32(Bench.patience)) == 1)
        #expect(code { _ = try socket.takeDescriptor() } == .operation)
        bench.run { log.saw(.readyRead) }
        var count = 0
        bench.run {
            count += (try? socket.readDatagrams(maxCount: 100).count) ?? 0
            return count == 10
        }
        let descriptor = try socket.takeDescriptor()
        defer { close(descriptor) }
        #expect(socket.state == .unconnected && socket.descriptor == -1)
        #expect(code { _ = try socket.takeDescriptor() } == .invalidState)
        // The next owner gets them one by one.
        try sender.writeDatagrams((0..<10).map { OutgoingDatagram([UInt8($0)], address: "127.0.0.1", port: port) })
        for number in 0..<10 {
            var bytes = [UInt8](repeating: 0, count: 100)
            #expect(recv(descriptor, &bytes, 100, 0) == 1 && bytes[0] == UInt8(number))
        }
        try socket.bind("127.0.0.1")
        #expect(socket.state == .bound)
    }

    @Test func nothingLeaks() throws {
        func open() -> Int {
            guard let directory = opendir("/proc/self/fd") else { return 0 }
            defer { closedir(directory) }
            var count = 0
            while readdir(directory) != nil { count += 1 }
            return count
        }
        var descriptors: Set<Int32> = []
        for _ in 0..<50 {
            let bench = try Bench()
            let socket = try bench.boundSocket()
            descriptors.insert(socket.descriptor)
            try socket.writeDatagram([1], address: "127.0.0.1", port: socket.localPort)
            bench.run(untilPending: socket)
            try socket.writeDatagram([1], address: "localhost", port: socket.localPort)
            bench.end()
        }
        // Other tests open descriptors meanwhile, but not fifty that stay.
        #expect(descriptors.count < 50 || open() < 1000)
    }
}
