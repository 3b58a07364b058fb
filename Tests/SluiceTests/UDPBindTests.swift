import Glibc
import Sluice
import Testing

@Suite struct UDPBindTests {
    @Test func aFreshSocketHasNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        #expect(socket.kind == .udpSocket && socket.socketType == .udp && socket.state == .unconnected)
        #expect(!socket.isOpen && !socket.isValid && socket.descriptor == -1 && socket.isSequential)
        #expect(socket.error == .noError && socket.bytesAvailable == 0 && socket.bytesToWrite == 0 && socket.atEnd)
        #expect(!socket.hasPendingDatagrams && socket.pendingDatagramSize == -1 && !socket.canReadLine)
        #expect(code { _ = try socket.readDatagram(maxSize: 10) } == .operation)
        #expect(code { _ = try socket.readDatagrams(maxCount: 10) } == .operation)
        #expect(code { _ = try socket.read(maxSize: 10) } == .operation)
        #expect(code { _ = try socket.write([1]) } == .operation)
        #expect(log.events.isEmpty && socket.error == .noError)
    }

    @Test func bindingTellsTheState() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.1")
        #expect(log.events == ["stateChanged(Bound)"])
        #expect(socket.state == .bound && !socket.isOpen && socket.isValid && socket.openMode == [])
        #expect(socket.localAddress == "127.0.0.1" && socket.localPort > 0)
        #expect(socket.peerAddress == "" && socket.peerPort == 0 && socket.peerName == "")

        #expect(code { try socket.bind("127.0.0.1") } == .operation)
        #expect(socket.state == .bound && log.events == ["stateChanged(Bound)", "errorOccurred(OperationError)"])
        #expect(code { _ = try socket.write([1]) } == .operation)
        #expect(code { _ = try socket.read(maxSize: 1) } == .operation)
    }

    @Test func anyIsBothFamilies() throws {
        let bench = try Bench()
        defer { bench.end() }
        guard hasIPv6 else { return }
        let socket = bench.udpSocket()
        try socket.bind()
        #expect(socket.localAddress == "*" && socket.localPort > 0)
        try RawDatagrams().send("four", to: socket.localPort)
        bench.run(untilPending: socket)
        let four = try socket.readDatagram()
        #expect(text(four.data) == "four" && four.senderAddress == "::ffff:127.0.0.1")
        #expect(four.destinationAddress == "::ffff:127.0.0.1" && four.hopLimit == 64)
        let peer = try RawDatagrams(at: .ipv6(port: 0))
        try peer.send(Array("six".utf8), to: .ipv6(port: socket.localPort))
        bench.run(untilPending: socket)
        let six = try socket.readDatagram()
        #expect(text(six.data) == "six" && six.senderAddress == "::1" && six.senderPort == peer.port && six.destinationAddress == "::1%\(six.interfaceIndex)")
    }

    @Test func anyOfOneFamilyIsThatAlone() throws {
        let bench = try Bench()
        defer { bench.end() }
        let four = bench.udpSocket()
        try four.bind("AnyIPv4")
        #expect(four.localAddress == "0.0.0.0")
        guard hasIPv6 else { return }
        let six = bench.udpSocket()
        try six.bind("AnyIPv6", port: four.localPort)
        #expect(six.localAddress == "::" && six.localPort == four.localPort)
    }

    @Test func anAddressInUseIsRefusedUnlessBothShareIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let first = try bench.boundSocket()
        let second = bench.udpSocket()
        let log = Recorder(second)
        for mode: BindMode in [[], .dontShareAddress, .shareAddress] {
            #expect(code { try second.bind("127.0.0.1", port: first.localPort, mode: mode) } == .addressInUse)
            #expect(second.state == .unconnected && !second.isValid && second.descriptor == -1)
        }
        #expect(log.events == Array(repeating: "errorOccurred(AddressInUseError)", count: 3))

        let sharing = bench.udpSocket()
        try sharing.bind("127.0.0.1", mode: .shareAddress)
        try second.bind("127.0.0.1", port: sharing.localPort, mode: .reuseAddressHint)
        #expect(second.localPort == sharing.localPort && second.error == .noError)
        #expect(rawOption(second.descriptor, SOL_SOCKET, SO_REUSEADDR) == 1 && rawOption(second.descriptor, SOL_SOCKET, SO_REUSEPORT) == 0)
        #expect(rawOption(first.descriptor, SOL_SOCKET, SO_REUSEADDR) == 0)
    }

    @Test func aReusedPortIsSpreadOverTheSockets() throws {
        let bench = try Bench()
        defer { bench.end() }
        let first = bench.udpSocket()
        try first.bind("127.0.0.1", mode: .reusePort)
        let second = bench.udpSocket()
        try second.bind("127.0.0.1", port: first.localPort, mode: .reusePort)
        for number in 0..<64 { try RawDatagrams().send("\(number)", to: first.localPort) }
        var received: Set<String> = []
        bench.run {
            for socket in [first, second] {
                while socket.hasPendingDatagrams { received.insert((try? socket.nextText()) ?? "") }
            }
            return received.count == 64
        }
    }

    @Test(arguments: ["", "nonsense", "1.2.3", "::g", "300.1.1.1"])
    func whatIsNoAddressIsRefused(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        #expect(code { try socket.bind(address) } == .unsupportedSocketOperation)
        #expect(socket.state == .unconnected && socket.error == .unsupportedSocketOperation)
    }

    @Test(arguments: [-1, 65536, Int.max])
    func whatIsNoPortIsRefused(port: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        #expect(code { try socket.bind("127.0.0.1", port: port) } == .portNumberOutOfRange)
        #expect(socket.state == .unconnected)
    }

    @Test func anAddressOfElsewhereIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        #expect(code { try bench.udpSocket().bind("198.51.100.7") } == .socketAddressNotAvailable)
    }

    @Test(arguments: ["close", "disconnect"])
    func closingABoundSocketTellsOfNoDisconnection(way: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        if way == "close" { socket.close() } else { socket.disconnectFromHost() }
        #expect(log.events == ["stateChanged(Closing)", "stateChanged(Unconnected)", "readChannelFinished"])
        #expect(!socket.isValid && socket.localAddress == "" && socket.localPort == 0 && socket.descriptor == -1)
        log.clear()
        try socket.bind("127.0.0.1")
        socket.abort()
        #expect(log.events == ["stateChanged(Bound)", "stateChanged(Unconnected)", "readChannelFinished"])
        socket.abort()
        socket.close()
        socket.disconnectFromHost()
        #expect(log.events.count == 3)
    }

    @Test func aHandlerMayCloseOrBindAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        log.once(in: .bound) { socket.abort() }
        try socket.bind("127.0.0.1")
        #expect(socket.state == .unconnected && socket.descriptor == -1)
        log.clear()
        log.once(in: .unconnected) { #expect(code { try socket.bind("127.0.0.1") } == nil) }
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        socket.close()
        #expect(socket.state == .bound && socket.isValid && port > 0)
        try RawDatagrams().send("again", to: socket.localPort)
        bench.run(untilPending: socket)
        #expect(try socket.nextText() == "again")
    }

    @Test func destroyingIsTheEnd() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        socket.destroy()
        #expect(log.events == ["stateChanged(Unconnected)", "readChannelFinished"])
        #expect(code { try socket.bind("127.0.0.1") } == .invalidHandle)
        #expect(code { try socket.writeDatagram([1], address: "127.0.0.1", port: 9) } == .invalidHandle)
        #expect(code { try socket.connectToHost("127.0.0.1", port: 9) } == .invalidHandle)
        #expect(socket.descriptor == -1 && log.events.count == 2)
    }

    @Test func optionsAreKeptUntilThereIsADescriptor() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        try socket.setOption(.multicastTtl, 9)
        try socket.setOption(.broadcast, 0)
        try socket.setOption(.receiveBufferSize, 16384)
        #expect(try socket.option(.multicastTtl) == 9)
        #expect(code { try socket.setOption(.lowDelay, 1) } == .unsupportedSocketOperation)
        #expect(code { try socket.setOption(.multicastTtl, 300) } == .invalidArgument)
        try socket.bind("127.0.0.1")
        #expect(try socket.option(.multicastTtl) == 9)
        #expect(rawOption(socket.descriptor, SOL_SOCKET, SO_BROADCAST) == 0)
        #expect(try socket.option(.receiveBufferSize) == 32768)
        socket.close()
        try socket.bind("127.0.0.1")
        #expect(try socket.option(.multicastTtl) == 9)

        let other = try bench.boundSocket()
        #expect(rawOption(other.descriptor, SOL_SOCKET, SO_BROADCAST) == 1)
        #expect(fcntl(other.descriptor, F_GETFL) & O_NONBLOCK != 0 && fcntl(other.descriptor, F_GETFD) & FD_CLOEXEC != 0)
        #expect(try other.option(.multicastTtl) == 1 && other.option(.multicastLoopback) == 1 && other.option(.typeOfService) == 0)
        #expect(code { _ = try other.option(.pathMtu) } == .unsupportedSocketOperation)
    }
}
