import Glibc
import Sluice
import Testing

/// What a Digest field says, and whether it is right.
private struct DigestField {
    let values: [String: String]

    /// From the request's text; nil when it has none.
    init?(_ request: String) {
        guard let line = request.components(by: "\r\n").first(where: { $0.hasPrefix("Proxy-Authorization: Digest ") }) else { return nil }
        var values: [String: String] = [:]
        for pair in String(line.dropFirst("Proxy-Authorization: Digest ".count)).components(by: ", ") {
            let parts = pair.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            values[String(parts[0])] = String(parts[1].drop { $0 == "\"" }.reversed().drop { $0 == "\"" }.reversed())
        }
        self.values = values
    }

    func isRight(user: String, password: String, target: String, _ hash: (String) -> String) -> Bool {
        let value = { (name: String) in values[name] ?? "" }
        var secret = hash("\(user):\(value("realm")):\(password)")
        if value("algorithm").lowercased().hasSuffix("-sess") { secret = hash("\(secret):\(value("nonce")):\(value("cnonce"))") }
        let middle = values["qop"] == nil ? value("nonce") : "\(value("nonce")):\(value("nc")):\(value("cnonce")):\(value("qop"))"
        return value("response") == hash("\(secret):\(middle):\(hash("CONNECT:\(target)"))") && value("uri") == target
    }
}

@Suite struct ProxyDigestTests {
    @Test func theReferencesAreRight() {
        #expect(ReferenceHash.md5("") == "d41d8cd98f00b204e9800998ecf8427e")
        #expect(ReferenceHash.md5(String(repeating: "a", count: 100)) == "36a92cc94a9e0fa21f625f8bfb007adf")
        #expect(ReferenceHash.sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(ReferenceHash.sha256(String(repeating: "a", count: 100)) == "2816597888e4a0d3a36b82b83316ab32680eb8f00f8cd3b904d681246d285a0e")
    }

    private static func question(_ challenges: String...) -> ScriptedProxy.Step {
        .text("HTTP/1.1 407 Who\r\n" + challenges.map { "Proxy-Authenticate: \($0)\r\n" }.joined() + "Content-Length: 0\r\n\r\n")
    }

    /// Connects once and returns what was sent to the question, and whether it is right.
    private static func answer(to challenges: [String], user: String = "joe", password: String = "secret") throws -> (DigestField?, String) {
        let question = ScriptedProxy.Step.text(
            "HTTP/1.1 407 Who\r\n" + challenges.map { "Proxy-Authenticate: \($0)\r\n" }.joined() + "Content-Length: 0\r\n\r\n")
        let proxy = try ScriptedProxy([.receiveHead, question, .receiveHead, .text("HTTP/1.1 200 OK\r\n\r\n"), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: user, password: password))
        try socket.connectToHost("example.com", port: 443)
        #expect(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
        return (DigestField(proxy.texts[0]), proxy.texts[0])
    }

    @Test(arguments: ["", ", algorithm=MD5", ", algorithm=\"MD5-sess\"", ", algorithm=SHA-256", ", algorithm=sha-256-SESS"], ["", ", qop=\"auth\"", ", qop=\"auth-int, auth\"", ", qop=auth"])
    func everyKindIsRight(algorithm: String, quality: String) throws {
        let (field, text) = try Self.answer(to: ["Digest realm=\"the \\\"gate\\\"\", nonce=\"n\(algorithm.count)\", opaque=\"o\"" + algorithm + quality])
        let digest = try #require(field, "\(text)")
        let hash = algorithm.lowercased().contains("sha") ? ReferenceHash.sha256 : ReferenceHash.md5
        // The realm is hashed as it is meant, and written as it must be.
        #expect(text.contains("realm=\"the \\\"gate\\\"\""))
        var plain = digest.values
        plain["realm"] = "the \"gate\""
        #expect(DigestField(values: plain).isRight(user: "joe", password: "secret", target: "example.com:443", hash))
        #expect(digest.values["username"] == "joe" && digest.values["opaque"] == "o")
        #expect(digest.values["qop"] == (quality.isEmpty ? nil : "auth") && digest.values["nc"] == (quality.isEmpty ? nil : "00000001"))
    }

    @Test func theStrongestIsTaken() throws {
        let (field, _) = try Self.answer(to: [
            "Basic realm=\"b\", Digest realm=\"m\", nonce=\"1\", qop=\"auth\", algorithm=MD5", "Negotiate abc==, Digest realm=\"s\", nonce=\"2\", qop=\"auth\", algorithm=SHA-256",
            "Digest realm=\"x\", nonce=\"3\", algorithm=SHA-512-256", "Digest realm=\"y\", nonce=\"4\", qop=\"auth-int\", algorithm=SHA-256",
        ])
        #expect(field?.values["realm"] == "s" && field?.values["algorithm"] == "SHA-256")
        let (none, text) = try Self.answer(to: ["Digest realm=\"x\", nonce=\"3\", algorithm=SHA-512-256", "Basic realm=\"b\""])
        #expect(none == nil && text.contains("Proxy-Authorization: Basic "))
    }

    @Test func theUserMayBeHashed() throws {
        let (field, _) = try Self.answer(to: ["Digest realm=\"r\", nonce=\"1\", qop=\"auth\", algorithm=SHA-256, userhash=true"])
        #expect(field?.values["username"] == ReferenceHash.sha256("joe:r") && field?.values["userhash"] == "true")
        #expect(field?.isRight(user: "joe", password: "secret", target: "example.com:443", ReferenceHash.sha256) == true)
    }

    @Test func nothingOfTheProxysEndsTheLine() throws {
        let (_, text) = try Self.answer(to: ["Digest realm=\"a\u{1}b\", nonce=\"x\\\\y\", algorithm=MD5, opaque=\"\u{7f}\""], user: "jo\"e")
        #expect(text.contains("username=\"jo\\\"e\"") && text.contains("nonce=\"x\\\\y\"") && text.contains("opaque=\"\""))
        #expect(text.components(by: "\r\n").filter { $0.contains("Digest") }.count == 1)
    }

    @Test func aStaleNonceIsNoRefusal() throws {
        let proxy = try ScriptedProxy([
            .receiveHead, Self.question("Digest realm=\"r\", nonce=\"1\", qop=\"auth\""),
            .receiveHead, Self.question("Digest realm=\"r\", nonce=\"2\", qop=\"auth\", stale=TRUE"),
            .receiveHead, .text("HTTP/1.1 200 OK\r\n\r\n"), .hold,
        ])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "joe", password: "secret"))
        try socket.connectToHost("example.com", port: 443)
        bench.run { log.saw(.connected) || log.saw(.errorOccurred) }
        #expect(log.saw(.connected) && !log.saw(.proxyAuthenticationRequired))
        #expect(proxy.texts[0].contains("nonce=\"2\""))
    }

    @Test func staleForEverIsARefusal() throws {
        let question = Self.question("Digest realm=\"r\", nonce=\"1\", qop=\"auth\", stale=true")
        let proxy = try ScriptedProxy((0..<5).flatMap { _ in [.receiveHead, question] } + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "joe", password: "secret"))
        try socket.connectToHost("example.com", port: 443)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.count(of: .proxyAuthenticationRequired) == 1 && socket.error == .proxyAuthenticationRequired)
    }
}

extension DigestField {
    init(values: [String: String]) { self.values = values }
}
