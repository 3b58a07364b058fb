import Glibc
import Sluice
import Testing

@Suite struct UDPConnectTests {
    @Test func linesAreReadOneAfterTheOther() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try peer.send("one\ntwo\n", to: socket.localPort)
        bench.run { socket.canReadLine }
        try peer.send("three\n", to: socket.localPort)
        var lines: [String] = []
        for _ in 0..<4 { lines.append(text(try socket.readLine())) }
        #expect(lines == ["one\n", "two\n", "three\n", ""])
    }

    @Test func whatComesToAWriteOnlySocketIsReadAsDatagrams() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: peer.port, openMode: .writeOnly)
        try peer.send("in", to: socket.localPort)
        bench.run { log.saw(.readyRead) }
        #expect(socket.bytesAvailable == 2 && socket.hasPendingDatagrams)
        #expect(code { _ = try socket.read(maxSize: 10) } == .operation)
        #expect(try text(socket.readDatagram().data) == "in")
    }

    private static let made = [
        "stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected",
    ]

    @Test func anAddressIsConnectedToBeforeTheCallReturns() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(log.events == Self.made && socket.state == .connected)
        #expect(socket.openMode == [.readWrite, .unbuffered] && socket.isValid && socket.peerName == "127.0.0.1")
        #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == peer.port && socket.localAddress == "127.0.0.1")
        #expect(!peer.hasPending)

        log.clear()
        #expect(code { try socket.connectToHost("127.0.0.1", port: 9) } == .operation)
        #expect(log.events == ["errorOccurred(OperationError)"] && socket.state == .connected && socket.peerPort == peer.port)

        #expect(try socket.write("one") == 3)
        #expect(try socket.write([]) == 0)
        #expect(try socket.writeDatagram(Array("explicit".utf8), address: "127.0.0.1", port: peer.port) == 8)
        #expect(try peer.receiveText() == "one")
        #expect(try peer.receiveText() == "")
        #expect(try peer.receiveText() == "explicit")
        #expect(log.bytesWritten == 11 && log.count(of: .bytesWritten) == 3)
    }

    @Test func aNameIsLookedUp() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("localhost", port: peer.port, protocol: .ipv4)
        #expect(log.events == ["stateChanged(HostLookup)"] && socket.isOpen && socket.descriptor == -1)
        #expect(code { _ = try socket.write("early") } == .operation)
        #expect(code { _ = try socket.writeDatagram([1], address: "127.0.0.1", port: 9) } == .operation)
        log.clear()
        bench.run { log.saw(.connected) }
        #expect(log.events == Array(Self.made.dropFirst()))
        #expect(socket.peerName == "localhost" && socket.peerAddress == "127.0.0.1")
    }

    @Test func failuresAreToldAfterTheState() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        for (host, port, expected) in [
            ("does-not-exist.invalid", 9, SocketError.Code.hostNotFound), ("", 9, .emptyHostName), ("127.0.0.1", 0, .portNumberOutOfRange),
        ] {
            log.clear()
            try socket.connectToHost(host, port: port)
            #expect(log.events == ["stateChanged(HostLookup)"])
            bench.run { log.saw(.errorOccurred) }
            #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Unconnected)", "errorOccurred(\(expected.name))"])
            #expect(socket.error == expected && socket.state == .unconnected && !socket.isValid)
        }
        log.clear()
        #expect(code { try socket.connectToHost("127.0.0.1", port: 70000) } == .portNumberOutOfRange)
        #expect(log.events.isEmpty)
        try socket.connectToHost("127.0.0.1", port: 9, protocol: .ipv6)
        #expect(socket.error == .hostNotFound && socket.state == .unconnected)
    }

    @Test func readingKeepsToTheBordersOfDatagrams() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: peer.port)
        for part in ["ab\ncd\n", "second", "", "third", "x"] { try peer.send(part, to: socket.localPort) }
        bench.run { log.saw(.readyRead) }
        #expect(socket.bytesAvailable == 6 && socket.canReadLine && !socket.atEnd)
        #expect(text(try socket.peek(maxSize: 2)) == "ab")
        #expect(text(try socket.peek(maxSize: 100)) == "ab\ncd\n")
        #expect(text(try socket.peekAll()) == "ab\ncd\n" && socket.bytesAvailable == 6)
        #expect(text(try socket.readLine()) == "ab\n" && socket.bytesAvailable == 3)
        #expect(try socket.getChar() == UInt8(ascii: "c"))
        try socket.ungetChar(UInt8(ascii: "C"))
        #expect(text(try socket.readLine(maxSize: 2)) == "Cd")
        #expect(text(try socket.readAll()) == "\n")
        #expect(socket.bytesAvailable == 6)
        #expect(text(try socket.read(maxSize: 3)) == "sec")
        #expect(try socket.skip(100) == 3)
        // The empty one is read by any read.
        #expect(socket.pendingDatagramSize == 0 && socket.atEnd)
        #expect(try socket.read(maxSize: 100) == [])
        #expect(text(try socket.read(maxSize: 100)) == "third")
        #expect(try socket.getChar() == UInt8(ascii: "x"))
        #expect(try socket.readAll() == [])
        #expect(try socket.getChar() == nil && socket.bytesAvailable == 0)
        #expect(!socket.canReadLine)
    }

    @Test func bytesCanBePutBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try socket.ungetChar(2)
        try socket.ungetChar(1)
        #expect(socket.bytesAvailable == 2)
        try peer.send("abc", to: socket.localPort)
        #expect(try socket.read(maxSize: 10) == [1, 2])
        bench.run(untilPending: socket)
        // Before the first byte it is a datagram of its own.
        try socket.ungetChar(9)
        #expect(try socket.readDatagram().data == [9])
        #expect(try socket.nextText() == "abc")
        for _ in 0..<4096 { try socket.ungetChar(7) }
        #expect(code { try socket.ungetChar(7) } == .limitReached)
        #expect(try socket.readAll() == Array(repeating: 7, count: 4096))
    }

    @Test func onlyThePeerIsHeard() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try RawDatagrams().send("stranger", to: socket.localPort)
        try peer.send("friend", to: socket.localPort)
        bench.run(untilPending: socket)
        let datagram = try socket.readDatagram()
        #expect(text(datagram.data) == "friend" && datagram.senderPort == peer.port && datagram.destinationPort == socket.localPort)
        #expect(!socket.hasPendingDatagrams)
    }

    @Test func aRefusalConcernsOneDatagram() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawDatagrams.deafPort()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        log.clear()
        #expect(try socket.write("one") == 3)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == ["bytesWritten(3)", "errorOccurred(ConnectionRefusedError)"])
        #expect(socket.state == .connected && socket.error == .connectionRefused && socket.lastError?.systemError == ECONNREFUSED)
        #expect(socket.errorString.contains("127.0.0.1:\(deaf.port)"))
        #expect(!socket.hasPendingDatagrams)

        // Told by the next write, which succeeds; then by a read.
        log.clear()
        #expect(try socket.write("two") == 3)
        #expect(try socket.write("three") == 5)
        #expect(log.events == ["bytesWritten(3)", "errorOccurred(ConnectionRefusedError)", "bytesWritten(5)"])
        log.clear()
        #expect(code { _ = try socket.readDatagram() } == .connectionRefused)
        #expect(log.events == ["errorOccurred(ConnectionRefusedError)"])
        log.clear()
        #expect(try socket.writeDatagrams(Array(repeating: OutgoingDatagram([1, 2]), count: 10)) == 10)
        bench.run { log.saw(.errorOccurred) }
        try bench.settle()
        #expect(log.bytesWritten == 3 + 3 + 5 + 20 && socket.state == .connected)

        // It does not stick: the peer's answer comes as if nothing had been.
        log.clear()
        try check(RawAddress.ipv4(port: socket.localPort).call { connect(deaf.holder.descriptor, $0, $1) }, "connect")
        #expect(try socket.write("four") == 4)
        #expect(try deaf.holder.receiveText() == "four")
        try deaf.holder.send("answer", to: socket.localPort)
        bench.run(untilPending: socket)
        #expect(try socket.nextText() == "answer" && log.errors.isEmpty)
    }

    @Test func anUnconnectedSocketIsNotToldOfRefusals() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawDatagrams.deafPort()
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        for _ in 0..<3 { try socket.writeDatagram([1], address: "127.0.0.1", port: deaf.port) }
        try bench.settle()
        #expect(log.events == Array(repeating: "bytesWritten(1)", count: 3) && socket.error == .noError)
    }

    @Test func disconnectingDropsWhatIsUnread() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try peer.send("x", to: socket.localPort)
        bench.run { log.saw(.readyRead) }
        log.clear()
        socket.disconnectFromHost()
        #expect(log.events == ["stateChanged(Closing)"] + closingEvents)
        #expect(socket.bytesAvailable == 0 && socket.isOpen && !socket.isValid && socket.peerName == "127.0.0.1")
        #expect(socket.localPort == 0 && socket.peerPort == 0)
        // It can be used again, unconnected and connected.
        log.clear()
        try socket.writeDatagram([1], address: "127.0.0.1", port: peer.port)
        #expect(log.events == ["stateChanged(Bound)", "bytesWritten(1)"] && socket.localAddress == "0.0.0.0")
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(socket.state == .connected)
        log.clear()
        socket.close()
        #expect(log.events == ["aboutToClose", "stateChanged(Closing)"] + closingEvents && !socket.isOpen)
        try socket.connectToHost("127.0.0.1", port: peer.port)
        log.clear()
        socket.abort()
        #expect(log.events == ["aboutToClose"] + closingEvents)
    }

    @Test func aBoundSocketKeepsItsAddress() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.bind("127.0.0.2")
        let port = socket.localPort
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(socket.state == .connected && socket.localPort == port && socket.localAddress == "127.0.0.2")
        #expect(try socket.write("x") == 1)
        #expect(try peer.receive().sender.host == "127.0.0.2")
        try peer.send(Array("y".utf8), to: .ipv4("127.0.0.2", port: port))
        bench.run(untilPending: socket)
        #expect(try socket.nextText() == "y")
        guard hasIPv6 else { return }
        let other = try bench.boundSocket()
        try other.connectToHost("::1", port: 9)
        #expect(other.state == .unconnected && other.error == .connectionRefused)
        let both = try bench.boundSocket("any")
        try both.connectToHost("127.0.0.1", port: peer.port)
        #expect(both.state == .connected && both.peerAddress == "::ffff:127.0.0.1")
        #expect(try both.write([5]) == 1)
        #expect(try peer.receive().bytes == [5])
    }

    @Test func leavingWhileLookingUp() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("localhost", port: peer.port)
        socket.disconnectFromHost()
        #expect(socket.state == .hostLookup)
        bench.run { log.saw(.disconnected) }
        #expect(log.events == Self.made + ["stateChanged(Closing)"] + closingEvents)
        log.clear()
        try socket.connectToHost("localhost", port: peer.port)
        socket.abort()
        try bench.settle()
        #expect(log.events == ["stateChanged(HostLookup)", "aboutToClose", "stateChanged(Unconnected)", "readChannelFinished"])
    }

    @Test(arguments: [SocketState.hostLookup, .connecting, .connected])
    func aHandlerMayLeaveInEveryState(state: SocketState) throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        log.once(in: state) { socket.abort() }
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try bench.settle()
        #expect(socket.state == .unconnected && socket.descriptor == -1 && !log.saw(.connected))
        log.clear()
        log.once(in: state) { socket.destroy() }
        try socket.connectToHost("127.0.0.1", port: peer.port)
        try bench.settle()
        #expect(socket.isDestroyed && socket.descriptor == -1)
    }

    @Test func aReadOnlySocketWritesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let reader = bench.udpSocket()
        try reader.connectToHost("127.0.0.1", port: peer.port, openMode: .readOnly)
        #expect(code { _ = try reader.write("x") } == .operation)
    }

    @Test func pathMtuIsKnownOnceConnected() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(try socket.option(.pathMtu) > 1000)
        #expect(code { try socket.setOption(.pathMtu, 1500) } == .unsupportedSocketOperation)
    }
}
