import Testing

@testable import Sluice

/// Connections over which nothing goes end by themselves.
@Suite struct IdleTimeoutTests {
    let bench = try! Bench()

    @Test(arguments: Transport.allCases)
    func anIdleConnectionEnds(_ transport: Transport) throws {
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("rest")
        bench.run { link.socket.bytesAvailable == 4 }
        link.log.clear()
        try link.socket.setProperty("idleTimeout", .integer(20))
        link.socket.subscribedEvents.remove(EventMask(.propertyChanged))
        link.log.clear()
        bench.run { link.socket.isGone }
        #expect(link.log.changes == ["errorOccurred(SocketTimeoutError)", "stateChanged(Closing)"] + closingEvents)
        #expect(link.log.errors.first?.message.contains("Nothing was sent or received for 20 ms") == true)
        #expect(try link.peer.receive() == [])
        #expect(try text(link.socket.readAll()) == "rest")
        try bench.settle()
        #expect(link.log.changes.count == 5)
    }

    @Test(arguments: [true, false])
    func trafficInEitherDirectionKeepsItAlive(_ sends: Bool) throws {
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.setIdleTimeout(400)
        var beats = 0
        // Long after it would have ended.
        let heart = bench.loop.addTimer(after: 20, repeats: true) {
            beats += 1
            if sends { _ = try? link.socket.write("x") } else { try? link.peer.send("x") }
        }
        bench.run { beats >= 40 }
        #expect(link.socket.state == .connected)
        heart.cancel()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.socketTimeout])
    }

    @Test func theCountersMayWrapAround() throws {
        defer { bench.end() }
        let link = try bench.link()
        link.socket.progress.received = .max
        try link.socket.setIdleTimeout(200)
        try link.peer.send("x")
        bench.run { link.socket.progress.received == 0 }
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.socketTimeout])
    }

    @Test func whatThePeerDoesNotTakeIsTold() throws {
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(16 << 20))
        try link.socket.setIdleTimeout(30)
        bench.run { link.socket.isGone }
        let left = (16 << 20) - link.log.bytesWritten
        #expect(left > 0)
        #expect(link.log.errors.first?.message.contains("\(left) bytes were not sent") == true)
        #expect(link.socket.bytesToWrite == 0)
    }

    @Test func itCanBeTakenBackAndIsForEveryConnection() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.setIdleTimeout(10)
        let log = Recorder(socket)
        for _ in 0..<3 {
            try socket.connectToHost("127.0.0.1", port: listener.port)
            bench.run { socket.state == .connected }
            let peer = try listener.accept()
            bench.run { socket.isGone }
            #expect(try peer.receive() == [])
        }
        #expect(log.errors.map(\.code) == [.socketTimeout, .socketTimeout, .socketTimeout])
        try socket.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket.state == .connected }
        try socket.setIdleTimeout(0)
        #expect(socket.idleTimer == nil)
        #expect(bench.loop.timers.isEmpty)
    }

    @Test func handlersMayDoAnything() throws {
        defer { bench.end() }
        for action in 0..<4 {
            let link = try bench.link()
            try link.socket.setIdleTimeout(10)
            link.log.once(.errorOccurred) {
                switch action {
                case 0: link.socket.destroy()
                case 1: link.socket.abort()
                case 2: link.socket.disconnectFromHost()
                default: try? link.socket.setIdleTimeout(0)
                }
            }
            bench.run { link.log.saw(.disconnected) }
            try bench.settle()
            #expect(link.log.count(of: .disconnected) == 1)
            #expect(link.socket.isGone)
        }
    }

    @Test func aSocketMayGoInItsOwnTimeout() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        var socket: TCPSocket? = TCPSocket(loop: bench.loop)
        weak let gone = socket
        try socket?.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket?.state == .connected }
        let peer = try listener.accept()
        socket?.onEvent { if case .errorOccurred = $0 { socket = nil } }
        try socket?.setIdleTimeout(5)
        bench.run { socket == nil }
        try bench.settle()
        #expect(gone == nil)
        #expect(try peer.receive() == [])
    }

    @Test(arguments: WaitForm.allCases)
    func waitsSeeIt(_ form: WaitForm) throws {
        defer { bench.end() }
        for kind in [Wait.Kind.readyRead, .disconnected] {
            let link = try bench.link()
            try link.socket.setIdleTimeout(20)
            #expect(wait(form, bench, link.socket, kind, Bench.patience) == (kind == .disconnected))
            #expect(link.log.errors.map(\.code) == [.socketTimeout])
            #expect(link.socket.isGone)
        }
        // A shorter wait ends by itself and leaves the connection.
        let link = try bench.link()
        try link.socket.setIdleTimeout(60_000)
        #expect(!wait(form, bench, link.socket, .readyRead, 10))
        #expect(link.socket.state == .connected)
        try link.peer.send("x")
        #expect(wait(form, bench, link.socket, .readyRead, Bench.patience))
    }

    @Test func autoConnectComesBackAndKeepsWhatWasWritten() throws {
        defer { bench.end() }
        let server = try RestartableServer()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectByItself(to: server.port, more: [("idleTimeout", .integer(30))])
        bench.run { log.errors.count == 3 && socket.state == .connected }
        #expect(log.errors.allSatisfy { $0.code == .socketTimeout })
        #expect(log.count(of: .disconnected) == 3)
    }

    @Test func aConnectedDatagramSocketEndsToo() throws {
        defer { bench.end() }
        let peer = bench.keep(UDPSocket(loop: bench.loop))
        try peer.bind("127.0.0.1")
        let socket = bench.keep(UDPSocket(loop: bench.loop))
        let log = Recorder(socket)
        try socket.setIdleTimeout(20)
        try socket.connectToHost("127.0.0.1", port: peer.localPort)
        _ = try socket.write([1])
        bench.run { socket.state == .unconnected }
        #expect(log.errors.map(\.code) == [.socketTimeout])
        #expect(log.count(of: .disconnected) == 1)
        // One that is merely bound has no connection that could be idle.
        try socket.bind("127.0.0.1")
        #expect(socket.idleTimer == nil)
    }
}
