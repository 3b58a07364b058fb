import Glibc
import Sluice
import Testing

/// Native descriptors: taken over, given away, checked.
@Suite struct DescriptorTests {
    /// Both ends of a fresh connection without any of the library.
    private func pair(_ transport: Transport) throws -> (RawPeer, RawPeer) {
        switch transport {
        case .tcp:
            let listener = try RawListener.tcp()
            let client = try RawPeer.connect(to: .ipv4(port: listener.port))
            return (client, try listener.accept())
        case .local:
            var ends: [Int32] = [0, 0]
            try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends), "socketpair")
            return (RawPeer(owning: ends[0]), RawPeer(owning: ends[1]))
        }
    }

    private func socket(_ bench: Bench, _ transport: Transport) -> StreamSocket {
        transport == .tcp ? bench.tcpSocket() : bench.localSocket()
    }

    @Test(arguments: Transport.allCases) func aConnectionIsTakenOver(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (end, peer) = try pair(transport)
        try peer.send("early")
        let socket = socket(bench, transport)
        let log = Recorder(socket)
        let descriptor = end.release()
        try socket.setDescriptor(descriptor)
        #expect(log.events == ["stateChanged(Connected)"])
        #expect(socket.descriptor == descriptor && socket.isOpen && socket.isValid && socket.openMode == .readWrite)
        if transport == .tcp { #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == peer.localAddress.port && socket.peerName == "") }
        bench.run { socket.bytesAvailable == 5 }
        try socket.put("answer")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(6) == "answer")
        peer.close()
        bench.run { socket.isGone }
        #expect(log.changes.suffix(3) == closingEvents)
    }

    @Test(arguments: [OpenMode.readOnly, .writeOnly, [.readWrite, .unbuffered]]) func theModeIsAsAsked(mode: OpenMode) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (end, peer) = try pair(.tcp)
        let socket = bench.tcpSocket()
        try socket.setDescriptor(end.release(), openMode: mode)
        #expect(socket.openMode == mode && socket.isReadable == mode.contains(.readOnly) && socket.isWritable == mode.contains(.writeOnly))
        withExtendedLifetime(peer) {}
    }

    @Test(arguments: Transport.allCases) func whatDoesNotFitIsRefusedAndChangesNothing(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        var pipeEnds: [Int32] = [0, 0]
        try check(pipe(&pipeEnds), "pipe")
        let pipes = pipeEnds.map { RawPeer(owning: $0) }
        let file = RawPeer(owning: try check(open(bench.folder.path("file"), O_CREAT | O_RDWR, 0o600), "open"))
        let datagram = RawPeer(owning: try rawSocket(AF_INET, SOCK_DGRAM))
        let other = try pair(transport == .tcp ? .local : .tcp)
        let listening = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(bench.folder.path("server")))
        let fresh = RawPeer(owning: try rawSocket(transport == .tcp ? AF_INET : AF_UNIX))
        let candidates = [-1, .min, 19_999, pipes[0].descriptor, file.descriptor, datagram.descriptor, other.0.descriptor, listening.descriptor, fresh.descriptor]

        let link = try bench.link(transport)
        let idle = socket(bench, transport)
        for candidate in candidates {
            #expect(code { try idle.setDescriptor(candidate) } == .unsupportedSocketOperation, "\(candidate)")
            #expect(idle.state == .unconnected && idle.descriptor == -1 && !idle.isOpen && !idle.isValid)
            #expect(code { try link.socket.setDescriptor(candidate) } == .unsupportedSocketOperation, "\(candidate)")
        }
        #expect(idle.error == .unsupportedSocketOperation)
        try link.peer.send("alive")
        bench.run { link.socket.bytesAvailable == 5 }
        for raw in [pipes[0], file, datagram, other.0, fresh] { #expect(fcntl(raw.descriptor, F_GETFD) >= 0, "it stays the caller's") }
    }

    @Test func statesThatAreNoneAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (end, peer) = try pair(.tcp)
        let socket = bench.tcpSocket()
        for state in [SocketState.hostLookup, .listening, .closing] {
            #expect(code { try socket.setDescriptor(end.descriptor, state: state) } == .invalidArgument)
        }
        #expect(socket.state == .unconnected)
        try end.send("still the caller's")
        #expect(try peer.receive() == Array("still the caller's".utf8))
    }

    @Test func oneDescriptorHasOneObject() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let second = bench.tcpSocket()
        #expect(code { try second.setDescriptor(link.socket.descriptor) } == .operation)
        #expect(second.state == .unconnected && link.socket.state == .connected)
        try link.peer.send("alive")
        bench.run { link.socket.bytesAvailable == 5 }
        link.socket.abort()
        // Another loop is another thread's: its objects are only known to it, so this is for one loop.
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        #expect(code { try second.setDescriptor(server.descriptor) } == .unsupportedSocketOperation)
    }

    @Test func aBoundSocketsDescriptorIsHeldToo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let bound = bench.tcpSocket()
        try bound.bind("127.0.0.1")
        let second = bench.tcpSocket()
        #expect(code { try second.setDescriptor(bound.descriptor, state: .bound) } == .operation)
    }

    @Test(arguments: Transport.allCases) func theOldConnectionIsDroppedWithoutAWord(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("old")
        bench.run { link.socket.bytesAvailable == 3 }
        try link.socket.put("never sent")
        link.log.clear()
        let (end, peer) = try pair(transport)
        try link.socket.setDescriptor(end.release())
        #expect(link.log.events.isEmpty && link.socket.bytesAvailable == 0 && link.socket.bytesToWrite == 0)
        #expect(try link.peer.receive().isEmpty)
        try peer.send("new")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(try text(link.socket.readAll()) == "new")
    }

    @Test func aSocketsOwnDescriptorIsRefusedAndStaysInUse() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let log = Recorder(link.socket)
        #expect(code { try link.socket.setDescriptor(link.socket.descriptor) } == .unsupportedSocketOperation)
        #expect(log.errors.count == 1 && link.socket.state == .connected && link.socket.isOpen)
        try link.peer.send("alive")
        bench.run { link.socket.bytesAvailable == 5 }
    }

    @Test func aBoundDescriptorKeepsItsPort() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let bound = try rawSocket(AF_INET)
        try check(RawAddress.ipv4("127.0.0.3", port: 0).call { bind(bound, $0, $1) }, "bind")
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setDescriptor(bound, state: .bound)
        #expect(log.events == ["stateChanged(Bound)"] && socket.localAddress == "127.0.0.3")
        let port = socket.localPort
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
        let peer = try listener.accept()
        #expect(peer.remoteAddress.host == "127.0.0.3" && peer.remoteAddress.port == port)
        #expect(socket.descriptor == bound, "it stays what it was")
        try socket.put("hello")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(5) == "hello")
    }

    @Test func anUnconnectedDescriptorCanConnect() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let fresh = try rawSocket(AF_INET)
        try check(RawAddress.ipv4("127.0.0.3", port: 0).call { bind(fresh, $0, $1) }, "bind")
        try socket.setDescriptor(fresh, state: .unconnected)
        #expect(socket.state == .unconnected && socket.descriptor == -1)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.descriptor == fresh && socket.localAddress == "127.0.0.3", "it is the one that connects")
        try socket.put("hello")
        let peer = try listener.accept()
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(5) == "hello")
    }

    @Test func connectingADescriptorThatWaitsDoesNotWait() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let fresh = try rawSocket(AF_INET)
        let socket = bench.tcpSocket()
        try socket.setDescriptor(fresh, state: .unconnected)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        #expect(socket.state == .connecting)
        socket.abort()
        #expect(socket.state == .unconnected)
    }

    @Test func aDescriptorMayReplaceAnAttempt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setConnectTimeout(5)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        let (end, peer) = try pair(.tcp)
        try socket.setDescriptor(end.release())
        var later = false
        _ = bench.loop.addTimer(after: 15) { later = true }
        bench.run { later }
        #expect(socket.state == .connected && !log.saw(.errorOccurred))
        try peer.send("alive")
        bench.run { socket.bytesAvailable == 5 }
    }

    // MARK: Given away

    @Test(arguments: Transport.allCases) func theConnectionLivesOnElsewhere(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let taken = RawPeer(owning: try link.socket.takeDescriptor())
        #expect(link.socket.state == .unconnected && link.socket.descriptor == -1 && !link.socket.isOpen && !link.socket.isValid)
        #expect(!link.log.saw(.disconnected), "the connection has not ended")
        _ = fcntl(taken.descriptor, F_SETFL, 0)
        try link.peer.send("hello")
        #expect(try taken.receiveText(5) == "hello")
        try taken.send("world")
        #expect(try link.peer.receiveText(5) == "world")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 0)
        // Back into another object.
        let heir = socket(bench, transport)
        try heir.setDescriptor(taken.release())
        try link.peer.send("again")
        bench.run { heir.bytesAvailable == 5 }
    }

    @Test(arguments: Transport.allCases) func nothingUnreadOrUnsentIsLeftBehind(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put("unsent")
        #expect(code { _ = try link.socket.takeDescriptor() } == .operation)
        #expect(link.socket.flush())
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        #expect(code { _ = try link.socket.takeDescriptor() } == .operation)
        #expect(link.socket.state == .connected && link.socket.bytesAvailable == 6)
        _ = try link.socket.readAll()
        RawPeer(owning: try link.socket.takeDescriptor()).close()
        #expect(code { _ = try link.socket.takeDescriptor() } == .invalidState)
        #expect(code { _ = try bench.tcpSocket().takeDescriptor() } == .invalidState)
    }

    @Test(arguments: Transport.allCases) func aTakenDescriptorCarriesNoTimeLimit(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(!link.socket.waitForReadyRead(timeout: 20))
        let descriptor = try link.socket.takeDescriptor()
        defer { close(descriptor) }
        var limit = timeval(tv_sec: -1, tv_usec: -1)
        var size = socklen_t(MemoryLayout<timeval>.size)
        #expect(getsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, &size) == 0)
        #expect(limit.tv_sec == 0 && limit.tv_usec == 0, "a wait's time limit is not the next owner's")
    }

    @Test func theObjectWaitsAgainAfterItsDescriptorWasTaken() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(!link.socket.waitForReadyRead(timeout: 1))
        RawPeer(owning: try link.socket.takeDescriptor()).close()
        let listener = try RawListener.tcp()
        try link.socket.connectToHost("127.0.0.1", port: listener.port)
        let server = try Worker {
            let peer = try listener.accept()
            let request = try peer.receiveExactly(4)
            for _ in 0..<1000 { sched_yield() }
            try peer.send(request)
        }
        #expect(link.socket.waitForConnected(timeout: Bench.patience))
        try link.socket.put("ping")
        #expect(link.socket.waitForReadyRead(timeout: Bench.patience), "it has to wait, not to look once")
        try server.join()
    }

    @Test func aDescriptorTakenInTheHandlerEndsTheReading() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var taken: RawPeer?
        link.log.once(.readyRead) {
            _ = try? link.socket.readAll()
            taken = (try? link.socket.takeDescriptor()).map { RawPeer(owning: $0) }
        }
        try link.peer.send("first")
        bench.run { taken != nil }
        try link.peer.send("second")
        try bench.settle()
        #expect(link.log.count(of: .readyRead) == 1)
        #expect(try taken?.receiveText(6) == "second")
    }
}
