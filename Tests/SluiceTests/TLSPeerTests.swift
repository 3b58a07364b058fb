import Glibc
import Sluice
import Testing

/// Against other implementations of the other end: Python's ssl and the openssl program.
@Suite struct TLSPeerTests {
    @Test(arguments: ["1.2", "1.3"]) func aPythonServerEchoes(_ version: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try PeerProgram.python("echo", version)
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        socket.allowHalfOpen = true
        try socket.connectToHostEncrypted("localhost", port: peer.port, protocol: .ipv4)
        let bytes = pattern(2_000_000)
        try socket.put(bytes)
        bench.run { socket.bytesAvailable == bytes.count || socket.isGone }
        #expect(socket.sessionProtocol == "TLSv\(version)")
        #expect(try socket.readAll() == bytes)
        try socket.shutdownWrite()
        bench.run { socket.isGone }
        #expect(log.errors.isEmpty, "\(log.errors)")
        try peer.program.expect("end")
    }

    @Test(arguments: ["1.2", "1.3"]) func aPythonClientIsServed(_ version: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer(.server().with { $0.certificateAuthorities = Certificates.path("root.pem") })
        let peer = try PeerProgram(["python3", Certificates.folderOfPeers + "/peer.py", Certificates.folder, "client", "\(listener.port)", version, "client", "1000000"])
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        let log = tlsLog(server)
        server.allowHalfOpen = true
        log.on(.readyRead) { _ = try? server.write(server.readAll()) }
        log.on(.readChannelFinished) { server.disconnectFromHost() }
        bench.run { server.isGone }
        #expect(server.peerCertificate == nil, "the connection is over")
        #expect(log.errors.isEmpty, "\(log.errors)")
        try peer.expect("TLSv\(version) same")
    }

    @Test func aPythonClientWithoutACertificateIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer(.server().with { $0.certificateAuthorities = Certificates.path("root.pem") })
        let peer = try PeerProgram(["python3", Certificates.folderOfPeers + "/peer.py", Certificates.folder, "client", "\(listener.port)"])
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        let log = tlsLog(server)
        bench.run { server.isGone }
        #expect(log.errors.first?.message.contains("the peer gave no certificate") == true)
        try peer.expect("error")
    }

    @Test func whatAPythonClientMakesOfOurCertificate() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer(.server("expired"))
        let peer = try PeerProgram(["python3", Certificates.folderOfPeers + "/peer.py", Certificates.folder, "client", "\(listener.port)"])
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        let log = tlsLog(server)
        bench.run { server.isGone }
        #expect(log.errors.first?.code == .sslHandshakeFailed)
        #expect(log.errors.first?.message.contains("our certificate has expired") == true, "\(log.errors)")
        try peer.expect("error CERTIFICATE_VERIFY_FAILED")
    }

    @Test(arguments: ["1.2", "1.3"]) func anEndWithoutAWordIsAnError(_ version: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try PeerProgram.python("truncate", version)
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        socket.allowHalfOpen = true
        try socket.connectToHostEncrypted("localhost", port: peer.port, protocol: .ipv4)
        bench.run { socket.isGone }
        #expect(text(try socket.readAll()) == "half of it")
        #expect(log.errors.map(\.code) == [.sslInternal])
        #expect(log.errors.first?.message.contains("cut off") == true)
    }

    // MARK: openssl

    @Test func theOpensslServer() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try PeerProgram([
            "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", Certificates.path("other.pem"), "-key", Certificates.path("other.key"), "-servername", "localhost", "-cert2", Certificates.path("server.pem"),
            "-key2", Certificates.path("server.key"), "-servername_fatal", "-naccept", "1", "-rev",
        ])
        let port = try Self.port(peer.expect("ACCEPT 127.0.0.1:", "\n"))
        // For the name it is asked for, it shows its second certificate, without the one that issued it.
        let socket = try bench.tlsSocket(.client.with { $0.certificateAuthorities = Certificates.path("middle.pem") })
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("localhost", port: port, protocol: .ipv4)
        try socket.put("hello\n")
        bench.run { socket.bytesAvailable == 6 || socket.isGone }
        #expect(text(try socket.readAll()) == "olleh\n", "\(log.errors)")
    }

    /// "ACCEPT 127.0.0.1:40000"
    private static func port(_ line: String) throws -> Int {
        let digits = line.split { !$0.isNumber }.last ?? ""
        return try #require(Int(digits), "\(line)")
    }

    @Test func theOpensslClientMayNotRenegotiate() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let peer = try PeerProgram([
            "openssl", "s_client", "-connect", "127.0.0.1:\(listener.port)", "-tls1_2", "-CAfile", Certificates.path("root.pem"), "-verify_return_error",
            "-servername", "localhost",
        ])
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        let log = tlsLog(server)
        bench.run { server.isEncrypted || server.isGone }
        #expect(server.sessionProtocol == "TLSv1.2")
        try peer.terminal.send("one\n")
        bench.run { server.canReadLine }
        #expect(text(try server.readLine()) == "one\n")
        try server.put("SERVER SAYS\n")
        bench.run { server.bytesToWrite == 0 }
        try peer.expect("SERVER SAYS")
        // A line with only an R has the client ask for it. Ours says no, and openssl gives up.
        try peer.terminal.send("R\n")
        bench.run { server.isGone }
        #expect(!log.errors.isEmpty)
        #expect(server.bytesAvailable == 0)
    }

    @Test func keyUpdatesAreFollowed() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let peer = try PeerProgram([
            "openssl", "s_client", "-connect", "127.0.0.1:\(listener.port)", "-tls1_3", "-CAfile", Certificates.path("root.pem"), "-servername", "localhost",
        ])
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        bench.run { server.isEncrypted || server.isGone }
        for round in 0..<5 {
            try peer.terminal.send("K\n")
            try peer.takesAll()
            try peer.terminal.send("round \(round)\n")
            bench.run { server.canReadLine || server.isGone }
            #expect(text(try server.readLine()) == "round \(round)\n")
            try server.put("answer \(round)\n")
            bench.run { server.bytesToWrite == 0 }
            try peer.expect("answer \(round)")
        }
    }
}
