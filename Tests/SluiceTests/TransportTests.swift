import Glibc
import Sluice
import Testing

/// One end of a connection through memory.
private final class MemoryTransport: Sluice.Transport {
    /// What the other end may take.
    private var incoming: [UInt8] = []
    private var peerEnded = false
    private weak var other: MemoryTransport?
    weak var socket: StreamSocket?
    /// How much of what is offered is taken, and how much may be on its way.
    var sendLimit = Int.max
    var capacity = Int.max
    var answerToConnect = 0
    var sendFailure: Int32 = 0
    var goodbyesRefused = 0
    private(set) var connects: [String] = []
    private(set) var closes = 0
    private(set) var failure: SocketError?
    private var isBroken = false

    static func pair() -> (MemoryTransport, MemoryTransport) {
        let (one, two) = (MemoryTransport(), MemoryTransport())
        one.other = two
        two.other = one
        return (one, two)
    }

    func connect(to host: String, port: Int) -> Int {
        connects.append("\(host):\(port)")
        return answerToConnect
    }

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        if isBroken { return -Int(EIO) }
        guard !incoming.isEmpty else { return peerEnded ? 0 : -Int(EAGAIN) }
        let count = min(buffer.count, incoming.count)
        buffer.copyBytes(from: incoming[..<count])
        incoming.removeFirst(count)
        other?.wake(readable: false)
        return count
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard sendFailure == 0 else { return -Int(sendFailure) }
        guard let other else { return -Int(EPIPE) }
        let count = min(bytes.count, sendLimit, capacity - other.incoming.count)
        guard count > 0 else { return -Int(EAGAIN) }
        other.incoming += bytes[..<count]
        other.wake(readable: true)
        return count
    }

    func finishSending() -> Int {
        guard goodbyesRefused == 0 else {
            goodbyesRefused -= 1
            return -Int(EAGAIN)
        }
        other?.peerEnded = true
        other?.wake(readable: true)
        return 0
    }

    func close() { closes += 1 }

    func wait(readable: Bool, writable: Bool, timeout: Int) -> Int {
        // Memory brings nothing by itself: whoever slept on it without a limit would sleep for ever.
        timeout < 0 ? -Int(EOPNOTSUPP) : 0
    }

    func breakDown(_ error: SocketError) {
        failure = error
        isBroken = true
        socket?.transportReady(readable: true, writable: false)
    }

    private func wake(readable: Bool) { socket?.transportReady(readable: readable, writable: !readable) }
}

/// Sockets over a transport of the user's own.
@Suite struct TransportTests {
    private struct Pair {
        let bench: Bench
        let one: TCPSocket, two: TCPSocket
        let oneTransport: MemoryTransport, twoTransport: MemoryTransport
        let log: Recorder
    }

    /// Two sockets whose transports lead to each other.
    private func pair(connected: Bool = true) throws -> Pair {
        let bench = try Bench()
        let (one, two) = (bench.tcpSocket(), bench.tcpSocket())
        let (first, second) = MemoryTransport.pair()
        first.socket = one
        second.socket = two
        try one.setTransport(first)
        try two.setTransport(second)
        let log = Recorder(one)
        if connected {
            try one.connectToHost("somewhere", port: 7)
            try two.setState(to: .connected)
        }
        return Pair(bench: bench, one: one, two: two, oneTransport: first, twoTransport: second, log: log)
    }

    @Test func aConnectionIsMadeAndEnded() throws {
        let pair = try pair(connected: false)
        defer { pair.bench.end() }
        try pair.one.connectToHost("somewhere", port: 7)
        #expect(pair.oneTransport.connects == ["somewhere:7"])
        #expect(pair.log.events == ["stateChanged(Connecting)", "stateChanged(Connected)", "connected"])
        #expect(pair.one.isValid && pair.one.isOpen && pair.one.descriptor == -1 && pair.one.peerName == "somewhere")
        try pair.two.setState(to: .connected)
        try pair.one.put("question\n")
        pair.bench.run { pair.two.canReadLine }
        #expect(try text(pair.two.readLine()) == "question\n")
        pair.log.clear()
        pair.two.disconnectFromHost()
        #expect(pair.two.isGone && pair.twoTransport.closes == 1)
        pair.bench.run { pair.one.isGone }
        #expect(pair.log.changes == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(pair.oneTransport.closes == 1 && !pair.one.isValid)
        // The transport stays: it can be used again.
        try pair.one.connectToHost("elsewhere", port: 8)
        #expect(pair.oneTransport.connects == ["somewhere:7", "elsewhere:8"] && pair.one.state == .connected)
    }

    @Test(arguments: [1, 7, 4096]) func nothingIsLostThroughANarrowOne(sendLimit: Int) throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.oneTransport.sendLimit = sendLimit
        pair.oneTransport.capacity = 3 * sendLimit
        let bytes = pattern(sendLimit * 1000)
        try pair.one.put(Array(bytes.prefix(11)))
        try pair.one.put(Array(bytes.dropFirst(11)))
        var arrived: [UInt8] = []
        pair.two.onEvent { event in
            if case .readyRead = event { arrived += (try? pair.two.readAll()) ?? [] }
        }
        pair.one.disconnectFromHost()
        #expect(pair.one.state == .closing)
        pair.bench.run { pair.one.isGone }
        pair.bench.run { pair.two.isGone }
        #expect(arrived == bytes)
        #expect(pair.log.bytesWritten == bytes.count)
        pair.two.receiver = nil
    }

    @Test func aReadLimitPushesBack() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.oneTransport.capacity = 100
        try pair.two.setReadBufferSize(50)
        try pair.one.put(pattern(1000))
        try pair.bench.settle()
        #expect(pair.two.bytesAvailable == 50 && pair.one.bytesToWrite == 850)
        var arrived: [UInt8] = []
        pair.bench.run {
            arrived += (try? pair.two.read(maxSize: 1000)) ?? []
            return arrived.count == 1000
        }
        #expect(arrived == pattern(1000))
    }

    @Test func connectingMayTakeItsTime() throws {
        let pair = try pair(connected: false)
        defer { pair.bench.end() }
        pair.oneTransport.answerToConnect = -Int(EINPROGRESS)
        try pair.one.connectToHost("somewhere", port: 7)
        #expect(pair.one.state == .connecting)
        try pair.one.put("early")
        try pair.one.setPeerAddress("192.0.2.1")
        try pair.one.setPeerPort(7)
        try pair.one.setLocalAddress("192.0.2.2")
        try pair.one.setLocalPort(70)
        try pair.one.setState(to: .connected)
        #expect(pair.one.peerAddress == "192.0.2.1" && pair.one.peerPort == 7 && pair.one.localAddress == "192.0.2.2" && pair.one.localPort == 70)
        try pair.two.setState(to: .connected)
        pair.bench.run { pair.two.bytesAvailable == 5 }
        pair.one.abort()
        #expect(pair.one.isGone && pair.one.peerAddress == "" && pair.one.localPort == 0)
        #expect(code { try pair.one.setPeerPort(70_000) } == .portNumberOutOfRange)
    }

    @Test func connectingMayFail() throws {
        let pair = try pair(connected: false)
        defer { pair.bench.end() }
        pair.oneTransport.answerToConnect = -Int(ECONNREFUSED)
        try pair.one.connectToHost("somewhere", port: 7)
        #expect(pair.log.events == ["stateChanged(Connecting)", "stateChanged(Unconnected)", "errorOccurred(ConnectionRefusedError)"])
        #expect(pair.one.errorString == "Connection refused (somewhere:7)")
        pair.oneTransport.answerToConnect = -Int(EINPROGRESS)
        try pair.one.connectToHost("somewhere", port: 7)
        pair.log.clear()
        try pair.one.setError(.proxyNotFound)
        try pair.one.setErrorString("the tunnel is not there")
        try pair.one.setState(to: .unconnected)
        #expect(pair.log.events == ["stateChanged(Unconnected)", "errorOccurred(ProxyNotFoundError)"])
        #expect(pair.one.errorString == "the tunnel is not there" && pair.oneTransport.closes == 2)
    }

    @Test func itsTimeToConnectIsLimited() throws {
        let pair = try pair(connected: false)
        defer { pair.bench.end() }
        pair.oneTransport.answerToConnect = -Int(EINPROGRESS)
        try pair.one.setConnectTimeout(1)
        try pair.one.connectToHost("somewhere", port: 7)
        pair.bench.run { pair.one.isGone }
        #expect(pair.log.events.last == "errorOccurred(SocketTimeoutError)" && pair.oneTransport.closes == 1)
    }

    @Test func whatFailsIsToldInItsOwnWords() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.log.clear()
        pair.oneTransport.breakDown(SocketError(.sslInternal, "the key was lost"))
        #expect(pair.log.errors.map(\.message) == ["the key was lost"] && pair.one.isGone && pair.oneTransport.closes == 1)
    }

    @Test func aFailedSendEndsTheConnection() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.log.clear()
        pair.oneTransport.sendFailure = EPIPE
        try pair.one.put("lost")
        pair.bench.run { pair.one.isGone }
        #expect(pair.log.errors.map(\.code) == [.remoteHostClosed])
        #expect(pair.one.errorString.hasSuffix("4 bytes were not sent"))
    }

    @Test func theNextConnectionBeginsAnew() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        try pair.two.put("left unread")
        pair.bench.run { pair.one.bytesAvailable > 0 }
        pair.two.disconnectFromHost()
        pair.bench.run { pair.one.isGone }
        #expect(pair.one.error == .remoteHostClosed)
        let (first, second) = MemoryTransport.pair()
        first.socket = pair.one
        second.socket = pair.two
        try pair.one.setTransport(first)
        try pair.two.setTransport(second)
        try pair.one.setState(to: .connected)
        try pair.two.setState(to: .connected)
        #expect(pair.one.error == .noError && pair.one.bytesAvailable == 0)
        try pair.two.put("fresh")
        pair.bench.run { pair.one.bytesAvailable == 5 }
        try pair.one.put("answer")
        pair.bench.run { pair.two.bytesAvailable == 6 }
    }

    @Test func theGoodbyeMayHaveToWait() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.oneTransport.goodbyesRefused = 2
        pair.one.disconnectFromHost()
        #expect(pair.one.state == .closing)
        pair.one.transportReady(readable: false, writable: true)
        #expect(pair.one.state == .closing)
        pair.one.transportReady(readable: false, writable: true)
        #expect(pair.one.isGone && pair.oneTransport.closes == 1)
        pair.bench.run { pair.two.isGone }
    }

    @Test func oneSideCanEndBeforeTheOther() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.two.allowHalfOpen = true
        try pair.one.put("last words")
        try pair.one.shutdownWrite()
        let log = Recorder(pair.two)
        pair.bench.run { log.saw(.readChannelFinished) }
        #expect(try text(pair.two.readAll()) == "last words" && pair.two.state == .connected)
        try pair.two.put("answer")
        pair.bench.run { pair.one.bytesAvailable == 6 }
        try pair.two.shutdownWrite()
        #expect(pair.two.isGone)
        pair.bench.run { pair.one.isGone }
    }

    @Test func theEndAnswersAWaitThatHasNoLimit() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        pair.one.allowHalfOpen = true
        pair.oneTransport.socket = nil
        pair.two.disconnectFromHost()
        #expect(!pair.one.waitForReadyRead(timeout: -1))
        #expect(pair.one.state == .connected && pair.one.error == .noError && pair.log.saw(.readChannelFinished))
    }

    @Test func waitsWorkWithoutTheLoop() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        // Nobody wakes the socket: the wait has to look for itself.
        pair.oneTransport.socket = nil
        try pair.two.put("answer")
        #expect(pair.two.waitForBytesWritten(timeout: Bench.patience))
        #expect(pair.one.waitForReadyRead(timeout: Bench.patience))
        #expect(try text(pair.one.readAll()) == "answer")
        #expect(!pair.one.waitForReadyRead(timeout: 1))
        #expect(pair.one.error == .socketTimeout && pair.one.state == .connected)
        pair.two.abort()
        try pair.one.setState(to: .unconnected)
        #expect(!pair.one.waitForReadyRead(timeout: 1))
    }

    @Test(arguments: [EventType.readyRead, .bytesWritten, .connected]) func itMayBeDestroyedInAnyHandler(type: EventType) throws {
        let pair = try pair(connected: false)
        defer { pair.bench.end() }
        pair.log.once(type) { pair.one.destroy() }
        try pair.one.connectToHost("somewhere", port: 7)
        try pair.two.setState(to: .connected)
        if !pair.one.isDestroyed { try pair.one.put("question") }
        try pair.two.put("answer")
        pair.bench.run { pair.one.isDestroyed }
        #expect(pair.oneTransport.closes == 1)
    }

    @Test func theTransportCannotChangeInBetween() throws {
        let pair = try pair()
        defer { pair.bench.end() }
        #expect(code { try pair.one.setTransport(nil) } == .operation)
        #expect(code { _ = try pair.one.takeDescriptor() } == .invalidState)
        #expect(code { try pair.one.setDescriptor(0) } == .unsupportedSocketOperation)
        pair.one.abort()
        try pair.one.setTransport(nil)
        let listener = try RawListener.tcp()
        try pair.one.connectToHost("127.0.0.1", port: listener.port)
        #expect(pair.one.waitForConnected(timeout: Bench.patience) && pair.one.descriptor >= 0)
        #expect(code { try pair.one.setPeerName("another") } == .operation)
    }
}

/// The setters on a socket that has no transport change what its getters say, and nothing else.
@Suite struct VirtualSocketTests {
    @Test func theObjectShowsWhatWasSet() throws {
        let bench = try Bench()
        defer { bench.end() }
        for socket: Socket in [bench.tcpSocket(), bench.localSocket(), bench.keep(UDPSocket(loop: bench.loop))] {
            let log = Recorder(socket)
            try socket.setLocalAddress("127.0.0.9")
            try socket.setLocalPort(77)
            try socket.setPeerAddress("127.0.0.8")
            try socket.setPeerPort(88)
            try socket.setPeerName("peer.example")
            try socket.setState(to: .connected)
            try socket.setError(.network)
            #expect(socket.localAddress == "127.0.0.9" && socket.localPort == 77 && socket.peerAddress == "127.0.0.8" && socket.peerPort == 88)
            #expect(socket.peerName == "peer.example" && socket.state == .connected && socket.error == .network && !socket.isValid)
            #expect(socket.errorString == "Unknown error")
            try socket.setErrorString("out of paper")
            #expect(socket.errorString == "out of paper")
            try bench.settle()
            #expect(log.events == [])
            try socket.setState(to: .unconnected)
            try socket.setError(.noError)
            #expect(socket.state == .unconnected && socket.errorString == "")
        }
    }

    @Test func theNextConnectionShowsItsOwn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setLocalPort(77)
        try socket.setPeerName("peer.example")
        let listener = try RawListener.tcp()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.localPort == 0 && socket.localAddress == "" && socket.peerName == "127.0.0.1")
        #expect(code { try socket.setState(to: .connected) } == .operation)
        bench.run { socket.state == .connected }
        #expect(socket.peerPort == listener.port)
    }
}
