import Glibc
import Sluice
import Testing

/// What holds for every kind of proxy.
@Suite struct ProxyTests {
    private static let kinds = [Proxy.Kind.socks5, .http]

    private static func success(_ kind: Proxy.Kind) -> [ScriptedProxy.Step] {
        kind == .http
            ? [.receiveHead, .text("HTTP/1.1 200 OK\r\n\r\n")]
            : [.receive(3), .send([5, 0]), .receive(10), .send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])]
    }

    @Test(arguments: kinds)
    func aProxyThatRefusesIsToldOf(kind: Proxy.Kind) throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: deaf.port))
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == [
            "stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Unconnected)", "errorOccurred(ProxyConnectionRefusedError)",
        ])
        let error = try #require(socket.lastError)
        #expect(error.systemError == ECONNREFUSED && error.message.contains("127.0.0.1:\(deaf.port)"))
        #expect(error.attempts.map(\.phase) == [.connect] && error.attempts.first?.systemError == ECONNREFUSED)
    }

    @Test(arguments: kinds)
    func aProxyThatIsUnknownIsToldOf(kind: Proxy.Kind) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(Proxy(type: kind, host: "does-not-exist.invalid", port: 1080))
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(ProxyNotFoundError)"])
        #expect(socket.errorString.contains("does-not-exist.invalid"))
        #expect(socket.lastError?.attempts.map(\.phase) == [.lookup])
    }

    @Test(arguments: kinds)
    func aProxyMayBeGivenByName(kind: Proxy.Kind) throws {
        let proxy = try ScriptedProxy(Self.success(kind) + [.echo])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(Proxy(type: kind, host: "localhost", port: proxy.port))
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        try socket.put("x")
        #expect(socket.waitForReadyRead(timeout: Bench.patience))
    }

    @Test(arguments: kinds)
    func aHangingProxyIsGivenUp(kind: Proxy.Kind) throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxyTimeout(20)
        try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: hanging.port))
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(socket.error == .proxyConnectionTimeout && socket.errorString.contains("127.0.0.1:\(hanging.port)"))
        #expect(socket.lastError?.attempts.map(\.phase) == [.connect])
    }

    @Test(arguments: kinds, 0..<5)
    func aSilentProxyIsGivenUp(kind: Proxy.Kind, way: Int) throws {
        let script: [ScriptedProxy.Step] = way == 4 ? [Self.success(kind)[0], .send(kind == .http ? Array("HTTP/1.1 2".utf8) : [5]), .hold] : [.hold]
        let proxy = try ScriptedProxy(script)
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port))
        if way == 0 || way == 4 { try socket.setProxyTimeout(20) } else if way == 1 { try socket.setConnectTimeout(20) }
        try socket.connectToHost("192.0.2.1", port: 80)
        switch way {
        case 0, 1: bench.run { log.saw(.errorOccurred) }
        case 2: #expect(!socket.waitForConnected(timeout: 20))
        case 3:
            try socket.setProxyTimeout(1)
            socket.abort()
            try socket.connectToHost("192.0.2.1", port: 80)
            #expect(!socket.waitForConnected(timeout: Bench.patience))
        default: #expect(!socket.waitForConnected(timeout: Bench.patience))
        }
        // How long the caller wants to wait is his own affair.
        #expect(socket.error == (way == 2 ? .socketTimeout : .proxyConnectionTimeout))
        #expect(socket.errorString.contains("127.0.0.1:\(proxy.port)"), "\(socket.errorString)")
        #expect(log.count(of: .errorOccurred) == 1 && socket.state == .unconnected)
        if way != 3 { #expect(socket.lastError?.attempts.map(\.phase) == [.connect, .proxy]) }
    }

    @Test(arguments: kinds)
    func aDisconnectIsRememberedAndAnAbortActs(kind: Proxy.Kind) throws {
        let proxy = try ScriptedProxy([.hold], Self.success(kind) + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port))
        try socket.connectToHost("192.0.2.1", port: 80)
        try bench.settle()
        socket.disconnectFromHost()
        try bench.settle()
        #expect(socket.state == .connecting)
        log.clear()
        socket.abort()
        #expect(log.events == ["aboutToClose", "stateChanged(Unconnected)", "readChannelFinished"])
        log.clear()
        try socket.connectToHost("192.0.2.1", port: 80)
        try socket.put("last words")
        socket.disconnectFromHost()
        bench.run { log.saw(.disconnected) }
        bench.end()
        proxy.finish()
        #expect(text(proxy.received[1]).hasSuffix("last words"))
    }

    @Test(arguments: kinds)
    func itCanBeDestroyedInEveryEvent(kind: Proxy.Kind) throws {
        for event in [EventType.stateChanged, .hostFound, .connected, .errorOccurred] {
            for succeeds in [true, false] {
                let proxy = try ScriptedProxy(succeeds ? Self.success(kind) + [.hold] : [])
                defer { proxy.finish() }
                let bench = try Bench()
                defer { bench.end() }
                let socket = bench.tcpSocket()
                let log = Recorder(socket)
                try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port))
                log.on(event) { socket.destroy() }
                try socket.connectToHost("192.0.2.1", port: 80)
                bench.run { log.saw(.connected) || log.saw(.errorOccurred) || socket.isDestroyed }
                socket.destroy()
                // Whoever waits for a connection gets one.
                _ = try? RawPeer.connect(to: .ipv4(port: proxy.port))
                try bench.settle()
                #expect(socket.state == .unconnected)
            }
        }
    }

    @Test(arguments: kinds)
    func muchDataGoesThrough(kind: Proxy.Kind) throws {
        let proxy = try ScriptedProxy(Self.success(kind) + [.echo])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let data = pattern(3_000_000)
        var received: [UInt8] = []
        let log = Recorder(socket)
        log.on(.readyRead) { received += (try? socket.readAll()) ?? [] }
        try socket.setReadBufferSize(10_000)
        try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port))
        try socket.connectToHost("192.0.2.1", port: 80)
        try socket.put(data)
        bench.run { received.count == data.count }
        #expect(received == data && log.bytesWritten == data.count)
    }

    /// Whatever a proxy says, it ends, and it ends once.
    @Test(arguments: kinds)
    func damagedAnswersComeToAnEnd(kind: Proxy.Kind) throws {
        let challenge = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        let answer = kind == .http ? Array((challenge + "HTTP/1.1 200 OK\r\n\r\n").utf8) : [5, 2, 1, 0, 5, 0, 0, 3, 4, 97, 98, 99, 100, 0, 80]
        for seed in 1...60 as ClosedRange<UInt64> {
            let noise = pattern(8, seed: seed)
            var bytes = answer
            switch noise[0] % 3 {
            case 0: bytes[Int(noise[1]) % bytes.count] = noise[2]
            case 1: bytes.insert(contentsOf: noise[2...4], at: Int(noise[1]) % bytes.count)
            default: bytes.removeSubrange(Int(noise[1]) % bytes.count..<bytes.count)
            }
            let proxy = try ScriptedProxy([.send(bytes)])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            try socket.setProxyTimeout(200)
            try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port, user: "joe", password: "secret"))
            try socket.connectToHost("192.0.2.1", port: 80)
            bench.run { log.saw(.errorOccurred) }
            try bench.settle()
            #expect(log.count(of: .errorOccurred) == 1 && socket.state == .unconnected)
        }
    }

    /// What concerns the whole process has one of its own.
    @Test func theApplicationsProxyIsForAllWhoHaveNone() async {
        await #expect(processExitsWith: .success) {
            let proxy = try ScriptedProxy(Self.success(.socks5) + [.hold], Self.success(.http) + [.hold], Self.success(.http) + [.hold])
            let bench = try Bench()
            let listener = try RawListener.tcp()
            func connect(_ host: String, port: Int = 80) throws -> TCPSocket {
                let socket = bench.tcpSocket()
                try socket.connectToHost(host, port: port)
                try #require(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
                return socket
            }
            try Proxy.setApplication(proxy.socks5)
            try #require(Proxy.application == proxy.socks5)
            try connect("192.0.2.1").abort()
            // What is here is reached straight.
            for host in ["127.0.0.1", "localhost"] { try #require(connect(host, port: listener.port).peerAddress == "127.0.0.1") }
            let server = bench.tcpServer()
            try server.listen("127.0.0.1")
            try #require(server.port > 0)
            let datagrams = bench.keep(UDPSocket(loop: bench.loop))
            try datagrams.bind("127.0.0.1")
            try #require(datagrams.localPort > 0)

            try Proxy.setApplication(proxy.http)
            try connect("192.0.2.1").abort()
            try #require(code { try bench.tcpServer().listen() } == .unsupportedSocketOperation)
            // Default leaves it to the environment.
            setenv("http_proxy", "http://127.0.0.1:\(proxy.port)", 1)
            try Proxy.setApplication(.default)
            try connect("192.0.2.1").abort()
            setenv("no_proxy", "192.0.2.0/24", 1)
            let straight = bench.tcpSocket()
            try straight.setConnectTimeout(1)
            try straight.connectToHost("192.0.2.1", port: 80)
            try #require(!straight.waitForConnected(timeout: Bench.patience))
            try #require(straight.lastError?.attempts.allSatisfy { $0.phase == .connect } == true)
            bench.end()
            proxy.finish()
        }
    }
}
