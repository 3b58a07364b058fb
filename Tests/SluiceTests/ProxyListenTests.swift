import Glibc
import Sluice
import Testing

@Suite struct ProxyListenTests {
    private static let listening: [UInt8] = [5, 0, 0, 1, 10, 0, 0, 9, 0x12, 0x34]
    private static let arrived: [UInt8] = [5, 0, 0, 1, 192, 0, 2, 77, 0x30, 0x39]
    private static let begin: [ScriptedProxy.Step] = [.receive(3), .send([5, 0]), .receive(10)]

    @Test func theProxyListens() throws {
        let proxy = try ScriptedProxy(Self.begin + [.send(Self.listening), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setProxy(proxy.socks5)
        #expect(server.proxy == proxy.socks5)
        try server.listen("any", port: 4660)
        #expect(server.isListening && server.port == 0 && server.address == "" && log.events == [] && server.descriptor == -1)
        bench.run { log.saw(.stateChanged) }
        #expect(log.events == ["stateChanged(Listening)"])
        #expect(server.address == "10.0.0.9" && server.port == 0x1234)
        #expect(code { _ = try server.takeDescriptor() } == .unsupportedSocketOperation)
        #expect(code { try server.listen() } == .operation)
        server.close()
        #expect(!server.isListening && server.port == 0)
    }

    @Test func eachConnectionIsServedAndThenTheNext() throws {
        let serve: [ScriptedProxy.Step] = Self.begin + [.send(Self.listening), .send(Self.arrived + Array("hello".utf8)), .echo]
        let proxy = try ScriptedProxy(serve, serve, Self.begin + [.send([5, 0, 0, 1, 10, 0, 0, 9, 0, 7]), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setProxy(proxy.socks5)
        try server.listen()
        for round in 1...2 {
            bench.run { server.hasPendingConnections }
            let socket = bench.keep(try #require(server.nextPendingConnection()))
            #expect(socket.state == .connected && socket.peerAddress == "192.0.2.77" && socket.peerPort == 12345)
            #expect(socket.localAddress == "10.0.0.9" && socket.localPort == 0x1234)
            bench.run { socket.bytesAvailable == 5 }
            #expect(try text(socket.readAll()) == "hello")
            try socket.put("round \(round)")
            bench.run { socket.bytesAvailable == 7 }
            // The scripts are played one after the other.
            socket.abort()
        }
        bench.run { log.count(of: .stateChanged) == 2 }
        #expect(server.port == 7)
        #expect(log.count(of: .newConnection) == 2 && !log.saw(.acceptError))
    }

    @Test func aBlockingProgramNeedsNoLoop() throws {
        let proxy = try ScriptedProxy(Self.begin + [.send(Self.listening), .send(Self.arrived), .hold], Self.begin + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.setMaxPendingConnections(1)
        try server.setProxy(proxy.socks5)
        try server.listen()
        #expect(server.waitForNewConnection(timeout: Bench.patience).available)
        #expect(server.port == 0x1234)
        let socket = bench.keep(try #require(server.nextPendingConnection()))
        #expect(socket.peerAddress == "192.0.2.77")
        socket.abort()
        let result = server.waitForNewConnection(timeout: 1)
        #expect(!result.available && result.timedOut)
    }

    @Test func whoWaitsForAConnectionIsServedWhilePaused() throws {
        let proxy = try ScriptedProxy(
            Self.begin + [.send(Self.listening), .send(Self.arrived), .hold], Self.begin + [.send(Self.listening), .send(Self.arrived), .hold],
            Self.begin + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.setProxy(proxy.socks5)
        try server.listen()
        server.pauseAccepting()
        for _ in 0..<2 {
            #expect(server.waitForNewConnection(timeout: Bench.patience).available)
            bench.keep(try #require(server.nextPendingConnection())).abort()
        }
        server.resumeAccepting()
        try bench.settle()
    }

    @Test(arguments: [([5, 7], SocketError.Code.unsupportedSocketOperation), ([5, 1], .network), ([], .proxyConnectionClosed), ([9], .proxyProtocol)] as [([UInt8], SocketError.Code)])
    func aRefusalEndsIt(answer: [UInt8], code: SocketError.Code) throws {
        let proxy = try ScriptedProxy(Self.begin + [.send(answer)])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setProxy(proxy.socks5)
        try server.listen()
        bench.run { log.saw(.acceptError) }
        #expect(log.events == ["acceptError(\(code.name))"] && !server.isListening && server.error == code)
        #expect(server.errorString.contains("127.0.0.1:\(proxy.port)"))
    }

    @Test func aProxyThatHasGoneIsAskedAgain() throws {
        let proxy = try ScriptedProxy(
            Self.begin + [.send(Self.listening)], Self.begin + [.send(Self.listening), .send(Self.arrived), .hold], Self.begin + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setMaxPendingConnections(1)
        try server.setProxy(proxy.socks5)
        try server.listen()
        bench.run { log.saw(.acceptError) }
        #expect(log.errors.first?.code == .proxyConnectionClosed && server.isListening && server.port == 0)
        bench.run { server.hasPendingConnections }
        #expect(log.count(of: .acceptError) == 1 && log.count(of: .stateChanged) == 2)
        _ = server.nextPendingConnection().map { bench.keep($0).abort() }
        try bench.settle()
    }

    @Test func whatNoProxyIsForIsDoneHereOrRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.setProxy(.http("127.0.0.1", port: 9))
        #expect(code { try server.listen() } == .unsupportedSocketOperation)
        #expect(!server.isListening && server.error == .unsupportedSocketOperation)
        try server.listen("127.0.0.1")
        #expect(server.isListening && server.port > 0 && server.address == "127.0.0.1")
        #expect(code { try bench.localServer().setProxy(.socks5("gate", port: 1)) } == .unsupportedSocketOperation)
    }

    @Test func itCanBeStoppedAnywhere() throws {
        for ending in 0..<4 {
            let proxy = try ScriptedProxy(ending < 2 ? [.hold] : Self.begin + [.send(Self.listening), .hold])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let server = bench.tcpServer()
            let log = Recorder(server)
            try server.setProxy(proxy.socks5)
            try server.listen()
            if ending >= 2 { bench.run { log.saw(.stateChanged) } } else { try bench.settle() }
            if ending % 2 == 0 { server.close() } else { server.destroy() }
            try bench.settle()
            #expect(!server.isListening && !log.saw(.acceptError))
        }
    }
}
