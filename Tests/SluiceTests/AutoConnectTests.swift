import Glibc
import Testing

@testable import Sluice

/// A server of the test's own that can go away and come back at the same port.
final class RestartableServer {
    private(set) var listener: RawListener?
    let port: Int
    private let placeholder: Int32

    /// Nobody else gets the port while nobody listens.
    init(listening: Bool = true) throws {
        let holder = try rawSocket(AF_INET)
        Self.setReuse(holder)
        try check(RawAddress.ipv4(port: 0).call { bind(holder, $0, $1) }, "bind")
        port = RawAddress.filled { getsockname(holder, $0, $1) }.port
        placeholder = holder
        if listening { try start() }
    }

    deinit { close(placeholder) }

    static func setReuse(_ descriptor: Int32) {
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, socklen_t(MemoryLayout<Int32>.size))
    }

    func start() throws { listener = try RawListener(reusing: .ipv4(port: port)) }
    /// Connections that were not accepted are reset.
    func stop() { listener = nil }
    func accept() throws -> RawPeer { try #require(listener).accept() }
    var hasConnection: Bool { listener?.hasConnection ?? false }
}

extension TCPSocket {
    /// Has it connect by itself, and not wait long in between.
    func connectByItself(to port: Int, more: [(String, PropertyValue)] = []) throws {
        try setProperties(
            [
                ("hostname", .text("127.0.0.1")), ("port", .integer(port)),
                ("reconnectDelay", .object([.init("first", .integer(1)), .init("ceiling", .integer(4))])),
            ] + more)
    }
}

/// Connecting by itself, and again.
@Suite struct AutoConnectTests {
    let bench = try! Bench()

    @Test func itConnectsInTheNextTurnOnceHostAndPortAreSet() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProperty("hostname", .text("127.0.0.1"))
        try bench.settle()
        #expect(socket.state == .unconnected && !socket.isOpen)
        try socket.setProperty("port", .integer(server.port))
        #expect(socket.state == .unconnected && socket.isOpen)
        bench.run { socket.state == .connected }
        #expect(log.changes.filter { $0 != "propertyChanged" } == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected"])
        #expect(socket.peerName == "127.0.0.1")
        #expect(socket.openMode == .readWrite)
    }

    @Test func itLeavesPlainConnectionsAlone() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        try socket.setProperties([("autoConnect", .boolean(false)), ("hostname", .text("127.0.0.1")), ("port", .integer(server.port))])
        try bench.settle()
        #expect(socket.state == .unconnected && !socket.isOpen)
        try socket.connectToHost("127.0.0.1", port: server.port)
        bench.run { socket.state == .connected }
        #expect(code { _ = try socket.setProperty("nothing", .null) } == .invalidArgument)
        let peer = try server.accept()
        peer.close()
        bench.run { socket.isGone }
        try bench.settle()
        #expect(socket.state == .unconnected)
        #expect(code { _ = try socket.write([1]) } == .operation)
        try socket.setProperty("autoConnect", .boolean(true))
        bench.run { socket.state == .connected }
    }

    @Test func everyFailedAttemptIsToldUntilOneSucceeds() throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        try socket.put("early")
        bench.run { log.count(of: .errorOccurred) >= 5 }
        #expect(log.errors.allSatisfy { $0.code == .connectionRefused && $0.message.contains("5 bytes wait for the next connection") })
        #expect(socket.bytesToWrite == 5)
        try server.start()
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(5) == "early")
        #expect(log.bytesWritten == 5)
        #expect(socket.error == .noError)
        #expect(!log.saw(.disconnected))
    }

    @Test func itComesBackAfterTheServerWasRestartedAndNothingIsLostOrDoubled() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        for round in 0..<5 {
            bench.run { socket.state == .connected }
            let peer = try server.accept()
            let collector = try bench.collect(peer)
            try socket.put("a\(round);")
            bench.run { socket.bytesToWrite == 0 && collector.bytes.last == UInt8(ascii: ";") }
            #expect(text(collector.bytes) == (round == 0 ? "a0;" : "b\(round - 1);c\(round - 1);a\(round);"))
            server.stop()
            if round % 2 == 0 { peer.close() } else { peer.reset() }
            bench.run { socket.isGone }
            try socket.put("b\(round);")
            if round % 2 == 0 { bench.run { log.errors.last?.code == .connectionRefused } }
            try socket.put("c\(round);")
            log.clear()
            try server.start()
        }
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(6) == "b4;c4;")
    }

    /// The system takes what it takes; from there on every byte goes out, whatever happens in between.
    @Test(arguments: [false, true])
    func aHalfSentQueueGoesOnWhereItStopped(_ borrowed: Bool) throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let bytes = pattern(24 << 20)
        var released = 0
        try bytes.withUnsafeBytes { whole in
            let piece = whole.count / 6
            for index in 0..<6 {
                let part = UnsafeRawBufferPointer(rebasing: whole[index * piece..<(index + 1) * piece])
                if borrowed { _ = try socket.write(borrowed: part) { released += 1 } } else { _ = try socket.write(part) }
            }
            var start = 0
            for round in 0..<3 {
                bench.run { server.hasConnection }
                let peer = try server.accept()
                bench.run { socket.state == .connected && log.bytesWritten > start }
                // Nobody reads until the system takes no more.
                try bench.settle()
                let collector = try bench.collect(peer)
                let enough = 1 << 20
                bench.run { collector.bytes.count >= enough }
                #expect(collector.bytes.elementsEqual(bytes[start..<start + collector.bytes.count]))
                server.stop()
                if round == 1 { peer.close() } else { peer.reset() }
                bench.run { socket.isGone }
                #expect(socket.bytesToWrite == bytes.count - log.bytesWritten)
                start = log.bytesWritten
                try server.start()
            }
            bench.run { socket.state == .connected }
            let last = try server.accept()
            let collector = try bench.collect(last)
            bench.run { socket.bytesToWrite == 0 && start + collector.bytes.count == bytes.count }
            #expect(collector.bytes.elementsEqual(bytes[start...]))
            #expect(log.bytesWritten == bytes.count)
            #expect(released == (borrowed ? 6 : 0))
        }
    }

    @Test func theWriteBufferSizeLimitsWhatIsKept() throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port, more: [("writeBufferSize", .integer(10))])
        #expect(try socket.write("12345678") == 8)
        #expect(try socket.write("abcdefgh") == 2)
        #expect(try socket.write("x") == 0)
        let log = Recorder(socket)
        bench.run { log.saw(.errorOccurred) }
        #expect(try socket.write("x") == 0)
        try server.start()
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(10) == "12345678ab")
    }

    @Test func whatWasNotReadStaysAcrossConnections() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let first = try server.accept()
        try first.send("goodbye ")
        bench.run { socket.bytesAvailable == 8 }
        first.close()
        bench.run { server.hasConnection && socket.state == .connected }
        #expect(socket.bytesAvailable == 8)
        try server.accept().send("hello")
        bench.run { socket.bytesAvailable == 13 }
        #expect(try text(socket.readAll()) == "goodbye hello")
    }

    // MARK: The user ends it

    enum Ending: CaseIterable { case disconnect, close, abort, destroy, give }

    private func end(_ socket: TCPSocket, _ ending: Ending) {
        switch ending {
        case .disconnect: socket.disconnectFromHost()
        case .close: socket.close()
        case .abort: socket.abort()
        case .destroy: socket.destroy()
        case .give: if let descriptor = try? socket.takeDescriptor() { Glibc.close(descriptor) }
        }
    }

    @Test(arguments: Ending.allCases)
    func whatTheUserEndsStaysEnded(_ ending: Ending) throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let peer = try server.accept()
        end(socket, ending)
        bench.run { socket.isGone }
        try bench.settle()
        #expect(!socket.pausesBeforeConnecting)
        #expect(socket.state == .unconnected)
        #expect(!server.hasConnection)
        peer.close()
        guard ending != .destroy else { return }
        // To set one of the properties, even to the same, begins anew.
        try socket.setProperty("port", .integer(server.port))
        bench.run { socket.state == .connected }
    }

    @Test(arguments: Ending.allCases)
    func thePauseCanBeEndedToo(_ ending: Ending) throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        try socket.setProperty("reconnectDelay", .object([.init("first", .integer(80_000)), .init("ceiling", .integer(80_000))]))
        try socket.put("kept")
        bench.run { log.saw(.errorOccurred) }
        #expect(socket.state == .unconnected && socket.pausesBeforeConnecting && socket.bytesToWrite == 4)
        log.clear()
        end(socket, ending)
        if ending == .give {
            #expect(socket.pausesBeforeConnecting)
            return
        }
        #expect(socket.bytesToWrite == 0)
        #expect(!socket.pausesBeforeConnecting)
        // What could not be sent is told unless it was to be dropped.
        #expect(log.errors.map(\.code) == (ending == .disconnect || ending == .close ? [.operation] : []))
        #expect(log.errors.allSatisfy { $0.message.contains("4 bytes were not sent") })
        try bench.settle()
        #expect(socket.state == .unconnected)
    }

    @Test(arguments: ["autoConnect", "hostname", "port"])
    func takingTheTargetAwayEndsThePauseAndLeavesAConnectionAlone(_ name: String) throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let values: [String: PropertyValue] = ["autoConnect": .boolean(false), "hostname": .text(""), "port": .integer(-1)]
        try socket.setProperty(name, #require(values[name]))
        try bench.settle()
        #expect(socket.state == .connected)
        log.clear()
        try socket.put("to an end")
        server.stop()
        bench.run { socket.isGone }
        #expect(socket.bytesToWrite == 0)
        #expect(code { _ = try socket.write([1]) } == .operation)
        try bench.settle()
        #expect(socket.state == .unconnected)
        try socket.connectByItself(to: server.port, more: [("autoConnect", .boolean(true))])
        try socket.put("kept")
        bench.run { log.errors.last?.code == .connectionRefused }
        log.clear()
        try socket.setProperty(name, #require(values[name]))
        #expect(log.errors.last?.message.contains("4 bytes were not sent") == true)
        try bench.settle()
        #expect(!socket.pausesBeforeConnecting)
    }

    @Test func connectToHostGoesOnWithTheSameHostAndNotWithAnother() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let other = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        socket.abort()
        try socket.connectToHost("127.0.0.1", port: other.port)
        bench.run { socket.state == .connected }
        try other.accept().close()
        bench.run { socket.isGone }
        try bench.settle()
        #expect(socket.state == .unconnected)
        #expect(try server.accept().receive() == [])
        try socket.connectToHost("127.0.0.1", port: server.port)
        bench.run { socket.state == .connected }
        log.clear()
        try server.accept().close()
        bench.run { log.saw(.disconnected) && socket.state == .connected }
        // In the pause: what was kept for the one is not for the other.
        try socket.setProperty("reconnectDelay", .object([.init("first", .integer(80_000)), .init("ceiling", .integer(80_000))]))
        try server.accept().close()
        bench.run { socket.pausesBeforeConnecting }
        try socket.put("for the first")
        log.clear()
        try socket.connectToHost("127.0.0.1", port: other.port)
        bench.run { socket.state == .connected }
        #expect(log.errors.map(\.code) == [.operation])
        #expect(log.errors.first?.message.contains("13 bytes were not sent") == true)
        let peer = try other.accept()
        try socket.put("second")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(6) == "second")
    }

    // MARK: The name changes

    @Test func anotherTargetEndsTheConnectionInOrder() throws {
        defer { bench.end() }
        let one = try RestartableServer()
        let two = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: one.port)
        bench.run { socket.state == .connected }
        let first = try one.accept()
        try socket.put("for one")
        log.clear()
        try socket.setProperty("port", .integer(two.port))
        bench.run { socket.state == .connected && socket.peerPort == two.port }
        #expect(try text(first.receiveToEnd()) == "for one")
        #expect(!log.saw(.errorOccurred))
        #expect(log.count(of: .disconnected) == 1)
        let second = try two.accept()
        // Setting it again to the same changes nothing.
        try socket.setProperty("port", .integer(two.port))
        try socket.setProperty("hostname", .text("127.0.0.1"))
        try bench.settle()
        #expect(socket.state == .connected && !two.hasConnection)
        #expect(try second.receiveNow() == nil)
    }

    @Test func anotherTargetTakesWhatWasWrittenWithoutAConnection() throws {
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: hanging.port)
        try socket.put("text")
        bench.run { socket.state == .connecting }
        try socket.setProperty("port", .integer(server.port))
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(4) == "text")
        #expect(!log.saw(.errorOccurred))
    }

    // MARK: Handlers

    enum Moment: CaseIterable { case error, closing, unconnected, readChannelFinished, disconnected, connected }

    @Test(arguments: Moment.allCases, Ending.allCases.dropLast())
    func handlersMayEndIt(_ moment: Moment, _ ending: Ending) throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let peer = try server.accept()
        let log = Recorder(socket)
        var isEnded = false
        let action = {
            isEnded = true
            end(socket, ending)
        }
        switch moment {
        case .error: log.once(.errorOccurred, action)
        case .closing: log.once(in: .closing, action)
        case .unconnected: log.once(in: .unconnected, action)
        case .readChannelFinished: log.once(.readChannelFinished, action)
        case .disconnected: log.once(.disconnected, action)
        case .connected: log.once(.connected, action)
        }
        try socket.put("some")
        peer.close()
        bench.run { isEnded && socket.isGone }
        try bench.settle()
        #expect(socket.isGone && !socket.pausesBeforeConnecting && socket.bytesToWrite == 0)
    }

    @Test func handlersMayWriteAndConnect() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let log = Recorder(socket)
        var written: [String] = []
        for (type, text) in [(EventType.errorOccurred, "1"), (.readChannelFinished, "2"), (.disconnected, "3"), (.hostFound, "4"), (.connected, "5")] {
            log.once(type) {
                written.append(text)
                _ = try? socket.write(text)
            }
        }
        log.once(.disconnected) { try? socket.connectToHost("127.0.0.1", port: server.port) }
        try server.accept().close()
        bench.run { socket.state == .connected && written.count == 5 && socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(5) == "12345")
    }

    @Test func settingTheSameAgainInAHandlerKeepsWhatWaits() throws {
        defer { bench.end() }
        for moment in [EventType.errorOccurred, .stateChanged, .readChannelFinished, .disconnected] {
            let server = try RestartableServer()
            let socket = bench.tcpSocket()
            try socket.connectByItself(to: server.port)
            bench.run { socket.state == .connected }
            let log = Recorder(socket)
            log.once(moment) {
                _ = try? socket.write("x")
                try? socket.connectByItself(to: server.port)
            }
            try server.accept().close()
            bench.run { log.saw(.disconnected) && socket.state == .connected && socket.bytesToWrite == 0 }
            #expect(try server.accept().receiveText(1) == "x")
        }
    }

    @Test func aBoundSocketConnectsFromWhereItIs() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.1")
        try socket.connectByItself(to: server.port)
        try socket.put("dropped")
        socket.disconnectFromHost()
        #expect(log.errors.first?.message.contains("7 bytes were not sent") == true)
        #expect(socket.bytesToWrite == 0 && socket.state == .unconnected)
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        #expect(socket.localPort == port)
    }

    @Test func disconnectingWhileConnectingSendsWhatWaits() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        try socket.put("last words")
        bench.run { socket.state == .connecting }
        socket.disconnectFromHost()
        bench.run { socket.isGone }
        #expect(try text(server.accept().receiveToEnd()) == "last words")
        #expect(log.errors.isEmpty)
        // And tells what could not be sent.
        server.stop()
        try socket.connectByItself(to: server.port)
        try socket.put("lost")
        log.once(in: .connecting) { socket.disconnectFromHost() }
        bench.run { log.saw(.errorOccurred) }
        #expect(log.errors.first?.message.contains("4 bytes were not sent") == true)
        try bench.settle()
        #expect(socket.isGone && !socket.pausesBeforeConnecting && socket.bytesToWrite == 0)
    }

    @Test func theEndOfWritingIsSentAfterWhatWaits() throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port, more: [("allowHalfOpen", .boolean(true))])
        let log = Recorder(socket)
        try socket.put("all")
        log.once(in: .connecting) { try? socket.shutdownWrite() }
        bench.run { log.count(of: .errorOccurred) == 2 }
        #expect(code { _ = try socket.write([1]) } == .operation)
        try server.start()
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        let peer = try server.accept()
        #expect(try text(peer.receiveToEnd()) == "all")
        #expect(socket.state == .connected)
        // A new connection begins with both sides open.
        peer.close()
        bench.run { server.hasConnection && socket.state == .connected }
        try socket.put("again")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try server.accept().receiveText(5) == "again")
    }

    @Test func aSocketThatIsLetGoOfInThePauseGoes() throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        var released = 0
        var socket: TCPSocket? = TCPSocket(loop: bench.loop)
        weak let gone = socket
        try socket?.connectByItself(to: server.port)
        try [UInt8](repeating: 1, count: 9).withUnsafeBytes { bytes in
            _ = try socket?.write(borrowed: bytes) { released += 1 }
            let log = Recorder(socket!)
            bench.run { log.saw(.errorOccurred) }
            socket = nil
        }
        #expect(gone == nil)
        #expect(released == 1)
        try bench.settle()
    }

    // MARK: The pause

    @Test func thePauseDoublesUpToItsCeilingAndIsShortenedAtRandom() throws {
        let delay = try ReconnectDelay(
            .object([.init("first", .integer(100)), .init("ceiling", .integer(1000)), .init("jitter", .integer(0))]), over: ReconnectDelay())
        #expect((0..<6).map { delay.milliseconds(failures: $0) } == [100, 200, 400, 800, 1000, 1000])
        #expect(delay.milliseconds(failures: .max) == 1000)
        var jittered = delay
        jittered.jitter = 50
        let pauses = (0..<500).map { _ in jittered.milliseconds(failures: 2) }
        #expect(pauses.allSatisfy { (200...400).contains($0) })
        #expect(Set(pauses).count > 10)
        jittered.jitter = 100
        #expect((0..<500).allSatisfy { _ in jittered.milliseconds(failures: 0) >= 1 })
    }

    // MARK: Waits

    @Test(arguments: WaitForm.allCases)
    func waitsGoOnThroughFailedAttempts(_ form: WaitForm) throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        let log = Recorder(socket)
        // After some attempts the server is there.
        log.on(.errorOccurred) { if log.errors.count == 3 { try? server.start() } }
        #expect(wait(form, bench, socket, .connected, Bench.patience))
        #expect(log.errors.count >= 3)
        let first = try server.accept()
        #expect(wait(form, bench, socket, .connected, 0))
        try first.send("x")
        #expect(wait(form, bench, socket, .readyRead, Bench.patience))
        // A wait is about the connection that it began with.
        first.close()
        #expect(!wait(form, bench, socket, .readyRead, Bench.patience))
        try socket.put("to be sent")
        #expect(wait(form, bench, socket, .sync, Bench.patience))
        #expect(socket.bytesToWrite == 0)
        #expect(try server.accept().receiveText(10) == "to be sent")
    }

    @Test(arguments: WaitForm.allCases)
    func waitsInThePauseEndInTime(_ form: WaitForm) throws {
        defer { bench.end() }
        let server = try RestartableServer(listening: false)
        let socket = bench.tcpSocket()
        try socket.connectByItself(to: server.port)
        let log = Recorder(socket)
        try socket.put("kept")
        for kind in [Wait.Kind.connected, .readyRead, .bytesWritten, .sync] {
            #expect(!wait(form, bench, socket, kind, 30))
            #expect(log.errors.contains { $0.code == .socketTimeout })
            #expect(socket.bytesToWrite == 4)
        }
        #expect(!wait(form, bench, socket, .disconnected, Bench.patience) || socket.state == .unconnected)
        log.on(.errorOccurred) { socket.abort() }
        #expect(!wait(form, bench, socket, .connected, Bench.patience))
        #expect(!socket.pausesBeforeConnecting)
    }

    @Test func aSyncLastsUntilAllIsSentOverSeveralConnections() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port)
        bench.run { socket.state == .connected }
        let bytes = pattern(16 << 20)
        try socket.put(bytes)
        let first = try server.accept()
        log.once(.bytesWritten) { first.reset() }
        var start = 0
        log.once(.disconnected) { start = log.bytesWritten }
        let reader = try Worker { [listener = try #require(server.listener)] in
            let received = try listener.accept().receiveToEnd()
            guard bytes.suffix(received.count).elementsEqual(received), !received.isEmpty else { throw RawFailure("what came is not the rest", 0) }
        }
        #expect(socket.waitForConnected())
        try socket.sync()
        #expect(start > 0 && log.bytesWritten == bytes.count)
        socket.disconnectFromHost()
        try reader.join()
    }

    // MARK: Other kinds

    @Test func aLocalSocketFindsItsServerAgain() throws {
        defer { bench.end() }
        let path = bench.folder.path("server")
        let socket = bench.localSocket()
        let log = Recorder(socket)
        try socket.setProperties([("serverName", .text(path)), ("reconnectDelay", .object([.init("first", .integer(1)), .init("ceiling", .integer(3))]))])
        try socket.put("one")
        bench.run { log.count(of: .errorOccurred) >= 3 }
        #expect(try socket.property("serverName") == .text(path))
        var listener: RawListener? = try RawListener(at: .local(path))
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        let peer = try #require(listener).accept()
        #expect(try peer.receiveText(3) == "one")
        listener = nil
        unlink(path)
        peer.close()
        bench.run { socket.isGone }
        try socket.put("two")
        listener = try RawListener(at: .local(path))
        bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try #require(listener).accept().receiveText(3) == "two")
        #expect(log.bytesWritten == 6)
        #expect(log.saw(.aboutToClose) == false)
        // Connecting to the same server by hand goes on with it.
        socket.disconnectFromServer()
        try socket.connectToServer(path)
        let third = try #require(listener).accept()
        log.clear()
        third.close()
        bench.run { log.saw(.disconnected) && socket.state == .connected }
    }

    @Test func aDatagramSocketFixesItsPeer() throws {
        defer { bench.end() }
        let peer = bench.keep(UDPSocket(loop: bench.loop))
        try peer.bind("127.0.0.1")
        let socket = bench.keep(UDPSocket(loop: bench.loop))
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        let values: [(String, PropertyValue)] = [("hostname", .text("127.0.0.1")), ("port", .integer(peer.localPort))]
        try socket.setProperties(values)
        bench.run { socket.state == .connected }
        #expect(socket.localPort == port)
        _ = try socket.write([1, 2])
        bench.run { peer.hasPendingDatagrams }
        let datagram = try peer.readDatagram()
        #expect(datagram.data == [1, 2])
        socket.disconnectFromHost()
        try bench.settle()
        #expect(socket.state == .unconnected)
        try socket.setProperties(values)
        bench.run { socket.state == .connected }
        // Another peer.
        let other = bench.keep(UDPSocket(loop: bench.loop))
        try other.bind("127.0.0.1")
        try socket.setProperty("port", .integer(other.localPort))
        bench.run { socket.state == .connected && socket.peerPort == other.localPort }
    }
}
