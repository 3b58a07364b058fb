import Sluice
import Testing

/// Whom to believe.
@Suite struct TLSVerifyTests {
    private struct Case: CustomTestStringConvertible, Sendable {
        let certificate: String
        var chain: String?
        var host = "localhost"
        let code: TLSError.Code
        let words: String
        var testDescription: String { chain ?? certificate }
    }

    private static let cases = [
        Case(certificate: "expired", code: .certificateExpired, words: "the peer's certificate has expired (on 2021-01-01T00:00:00Z)"),
        Case(certificate: "future", code: .certificateNotYetValid, words: "is not valid yet (before 2048-01-01T00:00:00Z)"),
        Case(certificate: "other", code: .hostNameMismatch, words: "the peer's certificate is for example.org, *.example.net, not localhost"),
        Case(certificate: "other", host: "127.0.0.1", code: .hostNameMismatch, words: "example.org, *.example.net, not 127.0.0.1"),
        Case(certificate: "nameless", code: .hostNameMismatch, words: "names no host, so it is not for localhost"),
        Case(certificate: "self", chain: "self.pem", code: .selfSignedCertificate, words: "self-signed certificate"),
        Case(certificate: "stranger", code: .selfSignedCertificateInChain, words: "a root certificate that is not trusted"),
        Case(certificate: "server", chain: "server.pem", code: .unableToGetLocalIssuerCertificate, words: "the authority that issued the peer's certificate is not known"),
        Case(certificate: "client", code: .invalidPurpose, words: "made for another purpose"),
    ]

    @Test(arguments: cases, [false, true]) private func aBadCertificateIsRefused(_ bad: Case, blocking: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(.client, .server(bad.certificate, chain: bad.chain), host: bad.host)
        var seen: [String] = []
        pair.clientLog.on(.sslErrors) { seen = pair.client.sslErrors.map(\.name) }
        if blocking {
            var done = false
            let worker = bench.loop.addTimer(after: 0, repeats: true) {}
            defer { worker.cancel() }
            bench.run { done = done || pair.server.isGone || pair.client.isGone; return done }
            #expect(!pair.client.waitForEncrypted(timeout: Bench.patience))
        }
        bench.run { pair.client.isGone && pair.server.isGone }
        let error = try #require(pair.clientLog.errors.first)
        #expect(error.code == .sslHandshakeFailed)
        #expect(error.message.contains(bad.words), "\(error.message)")
        #expect(error.message.contains("(\(bad.host)") || error.message.contains("(127.0.0.1"), "\(error.message)")
        #expect(error.attempts.last?.phase == .tls)
        #expect(error.attempts.contains { $0.phase == .connect })
        #expect(seen.contains(bad.code.name))
        #expect(pair.client.sslErrors.contains { $0.code == bad.code } && pair.client.peerCertificate != nil, "still known")
        #expect(pair.clientLog.changes.suffix(6) == ["sslErrors", "errorOccurred(SslHandshakeFailedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(!pair.clientLog.saw(.encrypted))
        // The other side is told why.
        #expect(pair.serverLog.errors.first?.code == .sslHandshakeFailed, "\(pair.serverLog.errors)")
    }

    @Test func theOrderOfTheChainDoesNotMatter() throws {
        let bench = try Bench()
        defer { bench.end() }
        _ = try bench.tlsPair(.client, .server(chain: "shuffled-chain.pem"))
    }

    @Test func whatIsListedIsTrustedItself() throws {
        let bench = try Bench()
        defer { bench.end() }
        _ = try bench.tlsPair(.client.with { $0.certificateAuthorities = Certificates.path("self.pem") }, .server("self", chain: "self.pem"))
        _ = try bench.tlsPair(.client.with { $0.certificateAuthorities = Certificates.text("server.pem") }, .server(chain: "server.pem"))
    }

    @Test func theSystemsAuthoritiesDoNotKnowOurs() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(TLSConfiguration())
        bench.run { pair.client.isGone }
        #expect(pair.clientLog.errors.first?.code == .sslHandshakeFailed)
    }

    @Test func errorsCanBeForgivenByName() throws {
        let bench = try Bench()
        defer { bench.end() }
        let forgiving = try bench.tlsConnect(.client, .server("expired")) { $0.ignoreErrors([.certificateExpired]) }
        bench.run { forgiving.client.isEncrypted || forgiving.client.isGone }
        #expect(forgiving.client.isEncrypted)
        #expect(forgiving.client.sslErrors.map(\.code) == [.certificateExpired])
        #expect(!forgiving.clientLog.saw(.sslErrors))
        let other = try bench.tlsConnect(.client, .server("other")) { $0.ignoreErrors([.certificateExpired]) }
        bench.run { other.client.isGone }
        #expect(!other.clientLog.saw(.encrypted))
        let all = try bench.tlsConnect(.client, .server("other")) { $0.ignoreErrors() }
        bench.run { all.client.isEncrypted || all.client.isGone }
        #expect(all.client.isEncrypted)
    }

    @Test func errorsCanBeForgivenWhenTheyAreTold() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(.client, .server("expired"))
        pair.clientLog.once(.sslErrors) { pair.client.ignoreErrors(pair.client.sslErrors.map(\.code)) }
        bench.run { pair.client.isEncrypted || pair.client.isGone }
        #expect(pair.client.isEncrypted)
    }

    @Test(arguments: [false, true]) func theHandshakeWaitsForAVerdict(_ accepted: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(.client, .server("other")) { $0.setPauseMode(.onSslErrors) }
        try pair.client.put("secret")
        bench.run { pair.clientLog.saw(.sslErrors) }
        try bench.settle()
        #expect(!pair.client.isEncrypted && !pair.server.isEncrypted && pair.client.state == .connected)
        #expect(pair.client.peerCertificate?.subjectAlternativeNames.first == "DNS:example.org")
        if accepted { pair.client.ignoreErrors() }
        pair.client.resume()
        bench.run { pair.client.isGone || pair.server.bytesAvailable == 6 }
        #expect(pair.client.isEncrypted == accepted)
        #expect(pair.server.bytesAvailable == (accepted ? 6 : 0))
    }

    @Test func aBlockingWaitComesBackFromAPause() throws {
        let peer = try PeerProgram.python("present", "expired")
        let socket = TLSSocket(loop: try EventLoop())
        try socket.setConfiguration(.client)
        socket.setPauseMode(.onSslErrors)
        try socket.connectToHostEncrypted("localhost", port: peer.port, protocol: .ipv4)
        #expect(!socket.waitForEncrypted(timeout: -1))
        #expect(!socket.waitForEncrypted(timeout: -1))
        #expect(socket.state == .connected && socket.error == .noError)
        #expect(socket.sslErrors.map(\.code) == [.certificateExpired])
        socket.ignoreErrors([.certificateExpired])
        socket.resume()
        #expect(socket.waitForEncrypted(timeout: Bench.patience))
    }

    @Test func destroyingInsideTheVerdictIsFine() throws {
        for action in 0..<3 {
            let bench = try Bench()
            defer { bench.end() }
            let pair = try bench.tlsConnect(.client, .server("other"))
            pair.clientLog.once(.sslErrors) {
                switch action {
                case 0: pair.client.destroy()
                case 1: pair.client.abort()
                default: pair.client.disconnectFromHost()
                }
            }
            bench.run { pair.server.isGone && pair.client.isGone }
            #expect(!pair.clientLog.saw(.encrypted))
        }
    }

    // MARK: Clients' certificates

    @Test(arguments: TLSVersion.allCases) func aServerVerifiesItsClients(_ version: TLSVersion) throws {
        let bench = try Bench()
        defer { bench.end() }
        let ciphers = version == .tls12 ? "" : "TLS_AES_128_GCM_SHA256"
        let strict = TLSConfiguration.server().with { $0.certificateAuthorities = Certificates.path("root.pem"); $0.ciphers = ciphers }
        let known = try bench.tlsPair(.client.with { $0.certificate = Certificates.path("client-chain.pem"); $0.privateKey = Certificates.path("client.key") }, strict)
        #expect(known.server.peerCertificate?.commonName == "client")
        #expect(known.server.peerCertificateChain.map(\.commonName) == ["client", "Middle"])
        let anonymous = try bench.tlsConnect(.client, strict)
        bench.run { anonymous.client.isGone && anonymous.server.isGone }
        #expect(anonymous.serverLog.errors.first?.message.contains("the peer gave no certificate") == true)
        #expect(anonymous.clientLog.errors.first?.code == .sslHandshakeFailed)
        #expect(anonymous.clientLog.errors.first?.message.contains("the peer requires a certificate") == true, "\(anonymous.clientLog.errors)")
        let stranger = try bench.tlsConnect(
            .client.with { $0.certificate = Certificates.path("stranger-chain.pem"); $0.privateKey = Certificates.path("stranger.key") }, strict)
        bench.run { stranger.client.isGone && stranger.server.isGone }
        #expect(stranger.serverLog.changes.prefix(2) == ["sslErrors", "errorOccurred(SslHandshakeFailedError)"])
        #expect(stranger.clientLog.errors.first?.message.contains("authority that issued our certificate") == true, "\(stranger.clientLog.errors)")
    }

    @Test(arguments: [false, true]) func aServerPausesToo(_ accepted: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsConnect(
            .client.with { $0.certificate = Certificates.path("stranger-chain.pem"); $0.privateKey = Certificates.path("stranger.key") },
            .server().with { $0.certificateAuthorities = Certificates.path("root.pem") },
            prepareServer: { $0.setPauseMode(.onSslErrors) })
        try pair.client.put("hello")
        bench.run { pair.serverLog.saw(.sslErrors) }
        try bench.settle()
        #expect(!pair.server.isEncrypted && pair.server.bytesAvailable == 0)
        if accepted { pair.server.ignoreErrors() }
        pair.server.resume()
        bench.run { pair.server.isGone || pair.server.bytesAvailable == 5 }
        #expect(pair.server.bytesAvailable == (accepted ? 5 : 0))
        #expect(pair.server.isEncrypted == accepted, "\(pair.serverLog.events) \(pair.serverLog.errors)")
    }

    @Test func aQueryDecidesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let asking = TLSConfiguration.server().with { $0.certificateAuthorities = Certificates.path("root.pem"); $0.verifyMode = .query }
        let anonymous = try bench.tlsPair(.client, asking)
        #expect(anonymous.server.peerCertificate == nil)
        let stranger = try bench.tlsPair(
            .client.with { $0.certificate = Certificates.path("stranger-chain.pem"); $0.privateKey = Certificates.path("stranger.key") }, asking)
        #expect(stranger.server.sslErrors.map(\.code) == [.selfSignedCertificateInChain])
        #expect(!stranger.serverLog.saw(.sslErrors))
        _ = try bench.tlsPair(.client.with { $0.verifyMode = .none }, .server("expired"))
    }
}
