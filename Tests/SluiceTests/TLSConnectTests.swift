import Glibc
import Sluice
import Testing

/// Coming to be encrypted, with the library at both ends.
@Suite struct TLSConnectTests {
    @Test(arguments: TLSVersion.allCases) func bytesGoBothWays(_ version: TLSVersion) throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair(.client, .server().with { $0.minimumVersion = version; if version == .tls12 { $0.ciphers = "ECDHE+AESGCM" } })
        #expect(pair.client.sessionProtocol == "TLSv1.3")
        #expect(pair.client.sessionCipher == pair.server.sessionCipher)
        #expect(pair.clientLog.events == [
            "stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected", "encrypted",
        ])
        #expect(pair.serverLog.events == ["encrypted"])
        let question = pattern(300_000, seed: 1), answer = pattern(500_000, seed: 2)
        try pair.client.put(question)
        try pair.server.put(answer)
        bench.run { pair.server.bytesAvailable == question.count && pair.client.bytesAvailable == answer.count }
        #expect(try pair.server.readAll() == question)
        #expect(try pair.client.readAll() == answer)
        #expect(pair.clientLog.bytesWritten == question.count)
        #expect(pair.serverLog.bytesWritten == answer.count)
        pair.client.disconnectFromHost()
        bench.run { pair.server.isGone }
        #expect(pair.serverLog.errors.map(\.code) == [.remoteHostClosed])
        #expect(pair.clientLog.errors.isEmpty)
    }

    @Test func whatIsWrittenEarlyWaitsForTheEncryption() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(prepare: { socket in
            socket.onEvent { _ in }
        })
        try pair.client.put("early")
        _ = pair.client.flush()
        #expect(!pair.client.isEncrypted && pair.client.bytesToWrite == 5)
        bench.run { pair.server.bytesAvailable == 5 }
        #expect(text(try pair.server.readAll()) == "early")
        bench.run { pair.client.bytesToWrite == 0 }
        #expect(pair.clientLog.bytesWritten == 5)
    }

    /// Connect, write, close: all of it is sent.
    @Test func closingWhileTheHandshakeGoesOnSendsWhatWasWritten() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("localhost", port: listener.port, protocol: .ipv4)
        log.once(.connected) { try? socket.put(pattern(100_000)); socket.disconnectFromHost() }
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection()))
        let serverLog = tlsLog(server)
        bench.run { server.isGone && socket.isGone }
        #expect(try server.readAll() == pattern(100_000))
        #expect(serverLog.errors.map(\.code) == [.remoteHostClosed])
        #expect(log.errors.isEmpty)
        #expect(log.changes.suffix(5) == ["stateChanged(Closing)", "encrypted"] + closingEvents)
    }

    @Test func theNameAndTheProtocolAreAgreedOn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair(.client.with { $0.alpn = ["h2", "http/1.1"] }, .server().with { $0.alpn = ["x", "http/1.1"] })
        #expect(pair.client.negotiatedProtocol == "http/1.1")
        #expect(pair.server.negotiatedProtocol == "http/1.1")
        let certificate = try #require(pair.client.peerCertificate)
        #expect(certificate.commonName == "server")
        #expect(certificate.issuer == "CN=middle" || certificate.issuer == "CN=Middle")
        #expect(certificate.subjectAlternativeNames == ["DNS:localhost", "IP:127.0.0.1", "IP:::1"])
        #expect(certificate.validUntil.text == "2049-12-31T00:00:00Z")
        #expect(certificate.pem.hasPrefix("-----BEGIN CERTIFICATE-----"))
        #expect(certificate.fingerprint.count == 64)
        #expect(pair.client.peerCertificateChain.map(\.commonName) == ["server", "Middle"])
        #expect(pair.server.peerCertificate == nil)
    }

    @Test func withoutACommonProtocolThereIsNoConnection() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(.client.with { $0.alpn = ["a"] }, .server().with { $0.alpn = ["b"] })
        bench.run { pair.client.isGone && pair.server.isGone }
        #expect(pair.clientLog.errors.first?.code == .sslHandshakeFailed)
        #expect(pair.clientLog.errors.first?.message.contains("application protocol") == true)
    }

    @Test func anAddressIsVerifiedAsOne() throws {
        let bench = try Bench()
        defer { bench.end() }
        _ = try bench.tlsPair(host: "127.0.0.1")
    }

    /// STARTTLS: the border between plain and encrypted is kept, whatever came when.
    @Test(arguments: [false, true]) func aPlainConnectionTurnsEncrypted(unreadAtTheServer: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = bench.tcpServer()
        try listener.listen("127.0.0.1")
        let client = try bench.tlsSocket()
        let clientLog = tlsLog(client)
        try client.connectToHost("localhost", port: listener.port, protocol: .ipv4)
        bench.run { listener.hasPendingConnections && client.state == .connected }
        let accepted = try #require(listener.nextPendingConnection())
        let server = try bench.tlsSocket(.server())
        try server.setDescriptor(try accepted.takeDescriptor())
        let serverLog = tlsLog(server)
        #expect(!client.isEncrypted && client.sessionProtocol == "")
        try client.put("STARTTLS\n")
        bench.run { server.canReadLine }
        #expect(text(try server.readLine()) == "STARTTLS\n")
        try server.put("go\n")
        if unreadAtTheServer {
            // The client's part of the handshake is there, and read, before the server begins its own.
            bench.run { client.canReadLine }
            #expect(text(try client.readLine()) == "go\n")
            try client.startClientEncryption()
            bench.run { server.bytesAvailable > 0 }
            try server.startServerEncryption()
        } else {
            try server.startServerEncryption()
            try server.put("first encrypted")
            bench.run { client.canReadLine }
            #expect(text(try client.readLine()) == "go\n")
            try client.startClientEncryption()
        }
        bench.run { client.isEncrypted && server.isEncrypted }
        try client.put("hello")
        bench.run { server.bytesAvailable == 5 }
        #expect(text(try server.readAll()) == "hello")
        if !unreadAtTheServer {
            bench.run { client.bytesAvailable > 0 }
            #expect(text(try client.readAll()) == "first encrypted")
        }
        #expect(clientLog.errors.isEmpty && serverLog.errors.isEmpty)
        #expect(code { try client.startClientEncryption() } == .operation)
    }

    @Test func itWorksOverLocalSockets() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = bench.localServer()
        try listener.setTLSConfiguration(.server())
        try listener.listen(bench.folder.path("server"))
        let local = bench.localSocket()
        try local.connectToServer(bench.folder.path("server"))
        bench.run { listener.hasPendingConnections && local.state == .connected }
        let server = bench.keep(try #require(listener.nextPendingConnection() as? TLSSocket))
        let client = try bench.tlsSocket(.client)
        try client.setDescriptor(try local.takeDescriptor())
        // Nothing says whom the certificate should be for.
        #expect(code { try client.startClientEncryption() } == .sslInvalidUserData)
        try client.setConfiguration(.client.with { $0.verifyName = "localhost" })
        try client.startClientEncryption()
        bench.run { client.isEncrypted && server.isEncrypted }
        try client.put(pattern(1_000_000))
        bench.run { server.bytesAvailable == 1_000_000 }
        #expect(try server.readAll() == pattern(1_000_000))
    }

    @Test func oneObjectConnectsAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let plain = bench.tcpServer()
        try plain.listen("127.0.0.1")
        let client = try bench.tlsSocket()
        for round in 0..<6 {
            if round % 3 == 2 {
                try client.connectToHost("localhost", port: plain.port, protocol: .ipv4)
                bench.run { plain.hasPendingConnections && client.state == .connected }
                #expect(!client.isEncrypted)
                try client.put("plain")
                let server = bench.keep(try #require(plain.nextPendingConnection()))
                bench.run { server.bytesAvailable == 5 }
                client.disconnectFromHost()
                bench.run { client.isGone && server.isGone }
                continue
            }
            try client.connectToHostEncrypted("localhost", port: listener.port, protocol: .ipv4)
            bench.run { listener.hasPendingConnections }
            let server = bench.keep(try #require(listener.nextPendingConnection()))
            bench.run { client.isEncrypted }
            try client.put("hello")
            bench.run { server.bytesAvailable == 5 }
            if round % 2 == 0 { client.abort() } else { client.disconnectFromHost() }
            bench.run { client.isGone && server.isGone }
        }
    }

    @Test func itGoesThroughAProxy() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let relay = try Interloper(bench, to: listener.port) { _, _ in nil }
        relay.isProxy = true
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try socket.setProxy(Proxy(type: .http, host: "127.0.0.1", port: relay.port))
        try socket.connectToHostEncrypted("localhost", port: 443)
        bench.run { socket.isEncrypted || socket.isGone }
        #expect(relay.request.hasPrefix("CONNECT localhost:443 HTTP/1.1\r\n"))
        #expect(socket.isEncrypted && log.errors.isEmpty, "\(log.errors)")
        let server = bench.keep(try #require(listener.nextPendingConnection()))
        try socket.put("hello")
        bench.run { server.bytesAvailable == 5 }
    }

    /// However the bytes come.
    @Test(arguments: [1, 3, 100, 5000]) func theSizeOfThePiecesDoesNotMatter(_ size: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let relay = try Interloper(bench, to: listener.port) { _, _ in nil }
        relay.largestPiece = size
        let socket = try bench.tlsSocket()
        try socket.connectToHostEncrypted("localhost", port: relay.port, protocol: .ipv4)
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection()))
        try server.put(pattern(20_000))
        try socket.put(pattern(30_000))
        bench.run { socket.bytesAvailable == 20_000 && server.bytesAvailable == 30_000 }
        #expect(try socket.readAll() == pattern(20_000))
        #expect(try server.readAll() == pattern(30_000))
        socket.disconnectFromHost()
        bench.run { server.isGone && socket.isGone }
        #expect(server.error == .remoteHostClosed)
    }
}
