import Glibc
import Sluice
import Testing

private let accepted: [UInt8] = [5, 0, 0, 1, 10, 0, 0, 9, 0x12, 0x34]
private let greeted: [UInt8] = [5, 0]

@Suite struct ProxySOCKS5Tests {
    private let begin = ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound"]

    @Test func anAddressIsReached() throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send(accepted), .echo])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(log.events == begin)
        #expect(try socket.write("ping") == 4)
        bench.run { socket.bytesAvailable == 4 }
        #expect(log.changes == begin + ["stateChanged(Connected)", "connected"])
        #expect(try text(socket.readAll()) == "ping")
        #expect(proxy.received == [[5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 1, 0, 80] + Array("ping".utf8)])
        #expect(socket.peerName == "192.0.2.1" && socket.peerAddress == "192.0.2.1" && socket.peerPort == 80)
        #expect(socket.localAddress == "10.0.0.9" && socket.localPort == 0x1234 && socket.isValid)
        #expect(socket.error == .noError)
        socket.disconnectFromHost()
        #expect(socket.state == .unconnected && socket.peerAddress == "" && socket.peerPort == 0 && socket.localAddress == "")
        // The next connection goes elsewhere, and nothing of the last one is left.
        let listener = try RawListener.tcp()
        try socket.setProxy(.none)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == listener.port && socket.localAddress == "127.0.0.1")
    }

    @Test func aNameGoesToTheProxy() throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(18), .send(accepted), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("example.com", port: 443)
        bench.run { log.saw(.connected) }
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "stateChanged(Connected)", "connected"])
        #expect(proxy.received == [[5, 1, 0, 5, 1, 0, 3, 11] + Array("example.com".utf8) + [1, 187]])
        #expect(socket.peerName == "example.com" && socket.peerAddress == "" && socket.peerPort == 443)
    }

    @Test func aNameIsLookedUpHereWhereThatIsWanted() throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send(accepted), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        var setting = proxy.socks5
        setting.hostNameLookup = false
        try socket.setProxy(setting)
        try socket.connectToHost("localhost", port: 80, protocol: .ipv4)
        bench.run { log.saw(.connected) }
        #expect(log.events == begin + ["stateChanged(Connected)", "connected"])
        #expect(proxy.received == [[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0, 80]])
        #expect(socket.peerAddress == "127.0.0.1")
    }

    @Test func anIPv6AddressIsReached() throws {
        let reply: [UInt8] = [5, 0, 0, 4] + [UInt8](repeating: 0, count: 15) + [1, 0, 1]
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(22), .send(reply), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("2001:db8::5", port: 80)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(Array(proxy.received[0].dropFirst(6)) == [4, 0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [5, 0, 80])
        #expect(socket.peerAddress == "2001:db8::5" && socket.localAddress == "::1")
    }

    @Test func bytesBehindTheAnswerAreTheStreams() throws {
        let tail = pattern(3000)
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send(accepted + tail), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setReadBufferSize(7)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        var bytes: [UInt8] = []
        log.on(.readyRead) {
            #expect(socket.bytesAvailable <= 7)
            bytes += (try? socket.readAll()) ?? []
        }
        bench.run { bytes.count == tail.count }
        #expect(bytes == tail)
    }

    @Test func theEndRightBehindTheAnswerIsSeen() throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send(accepted + Array("bye".utf8))])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.disconnected) }
        #expect(try text(socket.readAll()) == "bye")
        #expect(log.changes == begin + ["stateChanged(Connected)", "connected", "errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
    }

    @Test func answersComeByteByByte() throws {
        let proxy = try ScriptedProxy(
            [.receive(3)] + greeted.flatMap { [.send([$0]), .mark(0)] } + [.receive(10)] + accepted.map { .send([$0]) } + [.echo])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        _ = try socket.write("x")
        #expect(socket.waitForReadyRead(timeout: Bench.patience))
        #expect(try text(socket.readAll()) == "x")
    }

    @Test func credentialsAreSent() throws {
        let proxy = try ScriptedProxy(
            [.receive(3), .send([5, 2]), .receive(5), .send([1, 0]), .receive(10), .send(accepted), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(.socks5("127.0.0.1", port: proxy.port, user: "u", password: "p"))
        try socket.connectToHost("192.0.2.1", port: 9)
        bench.run { log.saw(.connected) }
        #expect(proxy.received == [[5, 1, 2, 1, 1, 0x75, 1, 0x70, 5, 1, 0, 1, 192, 0, 2, 1, 0, 9]])
        #expect(!log.saw(.proxyAuthenticationRequired))
    }

    @Test func aProxyThatWantsNoCredentialsGetsNone() throws {
        let proxy = try ScriptedProxy(
            [.receive(3), .send([5, 0xff]), .hold], [.receive(3), .send([5, 0]), .receive(10), .send(accepted), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(.socks5("127.0.0.1", port: proxy.port, user: "u", password: "p"))
        try socket.connectToHost("192.0.2.1", port: 9)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(proxy.received[1].prefix(3) == [5, 1, 0])
    }

    @Test(arguments: [
        (1, SocketError.Code.network), (2, .socketAccess), (3, .network), (4, .hostNotFound), (5, .connectionRefused), (6, .network),
        (7, .unsupportedSocketOperation), (8, .unsupportedSocketOperation), (99, .unknown),
    ] as [(UInt8, SocketError.Code)])
    func aRefusalHasItsOwnError(reply: UInt8, code: SocketError.Code) throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send([5, reply])])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == begin + ["stateChanged(Unconnected)", "errorOccurred(\(code.name))"])
        let error = try #require(log.errors.first)
        #expect(error.message.contains("192.0.2.1:80") && error.message.contains("socks5h://127.0.0.1:\(proxy.port)"))
        #expect(error.attempts.map(\.phase) == [.connect, .proxy])
        #expect(error.attempts.map(\.address) == ["127.0.0.1:\(proxy.port)", "socks5h://127.0.0.1:\(proxy.port)"])
        #expect(socket.isOpen && !socket.isValid)
    }

    @Test(arguments: [
        ([[5, 0], [4, 0, 0, 1]], SocketError.Code.proxyProtocol), ([[72, 84]], .proxyProtocol), ([[4, 0]], .proxyProtocol), ([[5, 2]], .proxyProtocol),
        ([[5, 1]], .proxyProtocol), ([[5, 0], [5, 0, 0, 9]], .proxyProtocol), ([[5, 0], [0xff]], .proxyProtocol), ([[]], .proxyConnectionClosed),
        ([[5]], .proxyConnectionClosed), ([[5, 0]], .proxyConnectionClosed), ([[5, 0], [5, 0, 0, 1, 1, 2]], .proxyConnectionClosed),
        ([[5, 0], [5]], .proxyConnectionClosed), ([[5, 0], [5, 0, 0, 3, 200]], .proxyConnectionClosed), ([[5, 0xff]], .proxyAuthenticationRequired),
    ] as [([[UInt8]], SocketError.Code)])
    func nonsenseIsToldFromTheEnd(answers: [[UInt8]], code: SocketError.Code) throws {
        var script: [ScriptedProxy.Step] = []
        for (index, answer) in answers.enumerated() { script += [.receive(index == 0 ? 3 : 10), .send(answer)] }
        let proxy = try ScriptedProxy(script)
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events.last == "errorOccurred(\(code.name))" && log.count(of: .errorOccurred) == 1)
        #expect(socket.errorString.contains("socks5h://127.0.0.1:\(proxy.port)"))
        #expect(socket.state == .unconnected)
    }

    @Test func aResetIsTheProxysToo() throws {
        let proxy = try ScriptedProxy([.receive(3), .reset])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyConnectionClosed && socket.lastError?.systemError == ECONNRESET)
    }

    @Test(arguments: [String(repeating: "a", count: 300), "a b", "a\r\nb", "a/b", "a@b", "1.2.3", "", "ü"])
    func aNameThatNoProxyCanBeGivenIsHostNotFound(name: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        for proxy in [Proxy.socks5("127.0.0.1", port: deaf.port), .http("127.0.0.1", port: deaf.port)] {
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            try socket.setProxy(proxy)
            try socket.connectToHost(name, port: 80)
            #expect(log.events == ["stateChanged(HostLookup)"])
            bench.run { log.saw(.errorOccurred) }
            #expect(socket.error == (name.isEmpty ? .emptyHostName : .hostNotFound))
        }
    }

    @Test func aBoundSocketConnectsFromWhereItIsBound() throws {
        let proxy = try ScriptedProxy([.receive(3), .send(greeted), .receive(10), .send([5, 5])])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.socks5)
        try socket.bind("127.0.0.1")
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .connectionRefused)
        guard hasIPv6 else { return }
        try socket.bind("::1")
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyConnectionRefused && socket.lastError?.systemError == EAFNOSUPPORT)
    }
}
