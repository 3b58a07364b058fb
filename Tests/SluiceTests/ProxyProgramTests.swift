import Glibc
import Sluice
import Testing

/// Against the proxies that there are.
@Suite struct ProxyProgramTests {
    private static func has(_ names: String...) -> Bool { names.allSatisfy { Program.path($0) != nil } }

    private static func path(_ name: String) throws -> String { try #require(Program.path(name)) }

    /// Sends something there and back through the proxy.
    private static func exchange(_ proxy: Sluice.Proxy, _ host: String, _ port: Int, bytes: Int = 200_000) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy)
        try socket.connectToHost(host, port: port)
        bench.run { log.saw(.connected) || log.saw(.errorOccurred) }
        try #require(socket.state == .connected, "\(proxy) \(host): \(socket.errorString)")
        #expect(socket.peerPort == port && socket.peerName == host)
        let data = pattern(bytes)
        try socket.put(data)
        var received: [UInt8] = []
        log.on(.readyRead) { received += (try? socket.readAll()) ?? [] }
        bench.run { received.count == data.count || log.saw(.errorOccurred) }
        #expect(received == data)
        socket.disconnectFromHost()
        #expect(socket.state == .unconnected)
    }

    private static func failure(_ proxy: Sluice.Proxy, _ host: String, _ port: Int) throws -> SocketError.Code {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy)
        try socket.connectToHost(host, port: port)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.errorString.contains(":\(proxy.port)"))
        return socket.error
    }

    @Test(.enabled(if: has("microsocks"), "microsocks is not installed"))
    func microsocks() throws {
        let (program, port) = try Program.listening { try Program(Self.path("microsocks"), ["-i", "127.0.0.1", "-p", "\($0)"]) }
        defer { withExtendedLifetime(program) {} }
        let echo = try EchoServer()
        let proxy = Proxy.socks5("127.0.0.1", port: port)
        try Self.exchange(proxy, "127.0.0.1", echo.port)
        try Self.exchange(proxy, "localhost", echo.port)
        try Self.exchange(.socks5("localhost", port: port, user: "not", password: "needed"), "127.0.0.1", echo.port)
        if hasIPv6 { try Self.exchange(proxy, "::1", EchoServer(.ipv6(port: 0)).port) }
        #expect(try Self.failure(proxy, "127.0.0.1", RawListener.deaf().port) == .connectionRefused)
        // It calls an unknown name a general failure.
        #expect([.hostNotFound, .network].contains(try Self.failure(proxy, "does-not-exist.invalid", 80)))

        // It has no datagrams and does not listen.
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setProxy(proxy)
        try server.listen()
        bench.run { log.saw(.acceptError) }
        #expect(server.error == .unsupportedSocketOperation)
        let datagrams = bench.keep(UDPSocket(loop: bench.loop))
        try datagrams.setProxy(proxy)
        try datagrams.connectToHost("192.0.2.1", port: 53)
        #expect(!datagrams.waitForConnected(timeout: Bench.patience))
        #expect(datagrams.error == .unsupportedSocketOperation)
    }

    @Test(.enabled(if: has("microsocks"), "microsocks is not installed"))
    func microsocksWithCredentials() throws {
        let (program, port) = try Program.listening {
            try Program(Self.path("microsocks"), ["-i", "127.0.0.1", "-p", "\($0)", "-u", "joe", "-P", "secret"])
        }
        defer { withExtendedLifetime(program) {} }
        let echo = try EchoServer()
        try Self.exchange(.socks5("127.0.0.1", port: port, user: "joe", password: "secret"), "127.0.0.1", echo.port)
        #expect(try Self.failure(.socks5("127.0.0.1", port: port), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)
        #expect(try Self.failure(.socks5("127.0.0.1", port: port, user: "joe", password: "x"), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)

        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        socket.onEvent { [unowned socket] event in
            if case .proxyAuthenticationRequired = event { try? socket.authenticateProxy(user: "joe", password: "secret") }
        }
        for proxy in [Proxy.socks5("127.0.0.1", port: port), .socks5("127.0.0.1", port: port, user: "joe", password: "wrong")] {
            try socket.setProxy(proxy)
            try socket.connectToHost("127.0.0.1", port: echo.port)
            #expect(socket.waitForConnected(timeout: Bench.patience))
            socket.abort()
        }
    }

    private static func dante(_ folder: TempFolder) throws -> (Program, Int) {
        try Program.listening { port in
            let file = try folder.write("danted-\(port).conf", """
                logoutput: stderr
                internal: 127.0.0.1 port = \(port)
                external: lo
                clientmethod: none
                socksmethod: none
                user.privileged: root
                user.unprivileged: root
                client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }
                socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: bind connect udpassociate }
                socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 command: bindreply udpreply }

                """)
            return try Program(path("danted"), ["-f", file, "-p", folder.path("danted.pid")])
        }
    }

    @Test(.enabled(if: has("danted") && getuid() == 0, "dante-server is not installed, or this is not root"))
    func dante() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (program, port) = try Self.dante(bench.folder)
        defer { withExtendedLifetime(program) {} }
        let proxy = Proxy.socks5("127.0.0.1", port: port)
        let echo = try EchoServer()
        try Self.exchange(proxy, "127.0.0.1", echo.port)
        try Self.exchange(proxy, "localhost", echo.port)
        #expect(try Self.failure(proxy, "127.0.0.1", RawListener.deaf().port) == .connectionRefused)

        // BIND: two connections, one after the other.
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.setProxy(proxy)
        try server.listen()
        for round in 1...2 {
            bench.run { log.count(of: .stateChanged) == round || log.saw(.acceptError) }
            try #require(!log.saw(.acceptError), "\(server.errorString)")
            #expect(server.address == "127.0.0.1" && server.port > 0)
            let peer = try RawPeer.connect(to: .ipv4(port: server.port))
            try peer.send("hello")
            bench.run { server.hasPendingConnections }
            let socket = bench.keep(try #require(server.nextPendingConnection()))
            #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == peer.localAddress.port)
            bench.run { socket.bytesAvailable == 5 }
            try socket.put("world")
            try bench.settle()
            #expect(try peer.receiveText(5) == "world")
        }
        server.close()

        // UDP ASSOCIATE.
        let target = try RawDatagrams()
        let datagrams = bench.keep(UDPSocket(loop: bench.loop))
        try datagrams.setProxy(proxy)
        for size in [1, 100, 9000] {
            try datagrams.writeDatagram(pattern(size), address: "127.0.0.1", port: target.port)
            bench.run { datagrams.bytesToWrite == 0 }
            let (bytes, sender) = try target.receive()
            #expect(bytes == pattern(size))
            try target.send(pattern(size, seed: 2), to: sender)
            bench.run { datagrams.hasPendingDatagrams }
            let answer = try datagrams.readDatagram()
            #expect(answer.data == pattern(size, seed: 2) && answer.senderAddress == "127.0.0.1" && answer.senderPort == target.port)
        }
    }

    @Test(.enabled(if: has("tinyproxy"), "tinyproxy is not installed"), arguments: [false, true])
    func tinyproxy(withCredentials: Bool) throws {
        let folder = try TempFolder()
        let (program, port) = try Program.listening { port in
            let file = try folder.write("tinyproxy.conf", "Port \(port)\nListen 127.0.0.1\nTimeout 60\n" + (withCredentials ? "BasicAuth joe secret\n" : ""))
            return try Program(Self.path("tinyproxy"), ["-d", "-c", file])
        }
        defer { withExtendedLifetime(program) {} }
        let echo = try EchoServer()
        let user = withCredentials ? "joe" : ""
        let proxy = Proxy.http("127.0.0.1", port: port, user: user, password: withCredentials ? "secret" : "")
        try Self.exchange(proxy, "127.0.0.1", echo.port)
        try Self.exchange(proxy, "localhost", echo.port)
        if hasIPv6 { try Self.exchange(proxy, "::1", EchoServer(.ipv6(port: 0)).port) }
        // It calls everything that does not work a server error.
        #expect(try Self.failure(proxy, "127.0.0.1", RawListener.deaf().port) == .proxyProtocol)
        guard withCredentials else { return }
        #expect(try Self.failure(.http("127.0.0.1", port: port), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)
        #expect(try Self.failure(.http("127.0.0.1", port: port, user: "joe", password: "x"), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)
    }

    @Test(.enabled(if: has("squid", "digest_file_auth", "basic_ncsa_auth"), "squid is not installed"), arguments: ["none", "basic", "digest"])
    func squid(method: String) throws {
        let folder = try TempFolder()
        let secret = ReferenceHash.md5("joe:the gate:secret")
        let digest = try folder.write("digest", "joe:the gate:\(secret)\n")
        // crypt(3) with MD5 of "secret".
        let basic = try folder.write("basic", "joe:$apr1$salt1234$\(Self.aprHash)\n")
        var authentication = ""
        switch method {
        case "digest": authentication = "auth_param digest program \(try Self.path("digest_file_auth")) -c \(digest)\nauth_param digest children 1 startup=1\nauth_param digest realm the gate\n"
        case "basic": authentication = "auth_param basic program \(try Self.path("basic_ncsa_auth")) \(basic)\nauth_param basic children 1 startup=1\nauth_param basic realm the gate\n"
        default: break
        }
        let rule = method == "none" ? "http_access allow all\n" : "acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n"
        chmod(folder.path, 0o777)
        let (program, port) = try Program.listening { port in
            let file = try folder.write("squid.conf", "http_port 127.0.0.1:\(port)\npid_filename none\ncache_log /dev/null\naccess_log none\ncache deny all\nnetdb_filename none\nshutdown_lifetime 0 seconds\nvisible_hostname test\n" + authentication + rule)
            return try Program(Self.path("squid"), ["-N", "-f", file])
        }
        defer { withExtendedLifetime(program) {} }
        let echo = try EchoServer()
        let user = method == "none" ? "" : "joe"
        let proxy = Proxy.http("127.0.0.1", port: port, user: user, password: "secret")
        try Self.exchange(proxy, "127.0.0.1", echo.port)
        try Self.exchange(proxy, "localhost", echo.port)
        #expect(try Self.failure(proxy, "127.0.0.1", RawListener.deaf().port) == .connectionRefused)
        guard method != "none" else { return }
        #expect(try Self.failure(.http("127.0.0.1", port: port), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)
        #expect(try Self.failure(.http("127.0.0.1", port: port, user: "joe", password: "x"), "127.0.0.1", echo.port) == .proxyAuthenticationRequired)
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        var realms: [String] = []
        socket.onEvent { [unowned socket] event in
            guard case .proxyAuthenticationRequired(_, let realm) = event else { return }
            realms.append(realm)
            try? socket.authenticateProxy(user: "joe", password: "secret")
        }
        try socket.setProxy(.http("127.0.0.1", port: port, user: "joe", password: "wrong"))
        try socket.connectToHost("127.0.0.1", port: echo.port)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(realms == ["the gate"])
    }

    private static let aprHash = "G61s9lpZAELkzUFCbj/53/"
}
