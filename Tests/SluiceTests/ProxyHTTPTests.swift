import Glibc
import Sluice
import Testing

private let established = "HTTP/1.1 200 Connection established\r\n\r\n"

@Suite struct ProxyHTTPTests {
    private let begin = ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound"]

    @Test func anAddressIsReached() throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(established), .echo])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(log.events == begin)
        #expect(try socket.write("ping") == 4)
        bench.run { socket.bytesAvailable == 4 }
        #expect(log.changes == begin + ["stateChanged(Connected)", "connected"])
        let lines = text(proxy.received[0]).components(by: "\r\n")
        #expect(lines.first == "CONNECT 192.0.2.1:80 HTTP/1.1")
        #expect(lines.contains("Host: 192.0.2.1:80") && lines.contains("Proxy-Connection: keep-alive"))
        #expect(!text(proxy.received[0]).contains("Authorization"))
        #expect(lines.suffix(2) == ["", "ping"])
        #expect(socket.peerAddress == "192.0.2.1" && socket.peerPort == 80 && socket.localAddress == "127.0.0.1" && socket.localPort > 0)
    }

    @Test(arguments: [("example.com", "example.com:80"), ("::1", "[::1]:80"), ("2001:db8:0:0::5", "[2001:db8::5]:80"), ("fe80::1%lo", "[fe80::1]:80")])
    func theTargetIsWrittenAsAnAuthority(host: String, authority: String) throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(established), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.http)
        try socket.connectToHost(host, port: 80)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(text(proxy.received[0]).hasPrefix("CONNECT \(authority) HTTP/1.1\r\nHost: \(authority)\r\n"))
    }

    @Test(arguments: [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.0 200\r\n\r\n", "HTTP/1.1 204 No\nX: y\n\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\nno field\r\n: y\r\n continued\r\n\r\n",
    ])
    func whatFollowsASuccessIsTheStream(head: String) throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(head + "hello world"), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setReadBufferSize(4)
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        var bytes: [UInt8] = []
        socket.onEvent { [unowned socket] event in
            guard case .readyRead = event else { return }
            #expect(socket.bytesAvailable <= 4)
            bytes += (try? socket.readAll()) ?? []
        }
        bench.run { bytes.count == 11 }
        #expect(text(bytes) == "hello world")
    }

    @Test(arguments: [
        (403, SocketError.Code.socketAccess), (405, .socketAccess), (404, .hostNotFound), (503, .connectionRefused), (302, .proxyProtocol),
        (400, .proxyProtocol), (500, .proxyProtocol), (502, .proxyProtocol), (504, .proxyProtocol), (101, .proxyProtocol), (999, .proxyProtocol),
    ])
    func aStatusHasItsOwnError(status: Int, code: SocketError.Code) throws {
        let proxy = try ScriptedProxy([.receiveHead, .text("HTTP/1.1 \(status) So it is\r\nContent-Length: 4\r\n\r\nnope"), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == begin + ["stateChanged(Unconnected)", "errorOccurred(\(code.name))"])
        let error = try #require(log.errors.first)
        #expect(error.message.contains("\(status) So it is") && error.message.contains("192.0.2.1:80"))
        #expect(error.message.contains("http://127.0.0.1:\(proxy.port)"))
        #expect(error.attempts.map(\.phase) == [.connect, .proxy])
        #expect(socket.bytesAvailable == 0)
    }

    @Test(arguments: [
        ("", SocketError.Code.proxyConnectionClosed), ("HTTP/1.1 200 OK\r\n", .proxyConnectionClosed), ("SSH-2.0-x\r\n", .proxyProtocol), ("\u{5}\0", .proxyProtocol),
        ("HTTP/2 200 OK\r\n\r\n", .proxyProtocol), ("HTTP/1.1 20 OK\r\n\r\n", .proxyProtocol), ("HTTP/1.1 2000 OK\r\n\r\n", .proxyProtocol),
        ("HTTP/1.1 -20 OK\r\n\r\n", .proxyProtocol), ("HTTP/1.1\r\n\r\n", .proxyProtocol), ("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", .proxyProtocol),
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Negotiate\r\n\r\n", .proxyAuthenticationRequired),
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=\"r\"\r\n\r\n", .proxyAuthenticationRequired),
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: \r\n\r\n", .proxyProtocol), ("HTTP/1.1 407 Who\r\nProxy-Authenticate: =,=\",\r\n\r\n", .proxyProtocol),
        ("HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"r\"\r\n\r\n", .proxyAuthenticationRequired),
    ])
    func nonsenseIsToldFromTheEnd(answer: String, code: SocketError.Code) throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(answer)])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events.last == "errorOccurred(\(code.name))" && log.count(of: .errorOccurred) == 1)
        #expect(socket.errorString.contains("http://127.0.0.1:\(proxy.port)"))
    }

    @Test(arguments: ["HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\n"])
    func aHeaderWithoutEndIsNotReadForEver(begin: String) throws {
        let filler: String = begin.hasSuffix("\n") ? String(repeating: "Name: value\r\n", count: 20_000) : String(repeating: "y", count: 262_144)
        let proxy = try ScriptedProxy([.receiveHead, .text(begin), .text(filler), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyProtocol && socket.errorString.contains("65536"))
    }

    @Test func answersWithoutEndAreNotReadForEver() throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 10_000)), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyProtocol)
    }

    // MARK: Credentials

    private static let challenge = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"the gate\"\r\n"

    /// How the proxy may end its question, and whether the connection then goes on.
    @Test(arguments: [
        ("Content-Length: 0\r\n\r\n", true), ("Content-Length: 5\r\n\r\nwhat?", true), ("Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nwho\r\n1\r\n?\r\n0\r\nT: r\r\n\r\n", true),
        ("Connection: close\r\nContent-Length: 0\r\n\r\n", false), ("Proxy-Connection: Close\r\nContent-Length: 0\r\n\r\n", false), ("\r\nuntil the end", false),
        ("Content-Length: 1000000\r\n\r\n", false), ("Content-Length: 99999999999999999999\r\n\r\n", false), ("Transfer-Encoding: gzip\r\n\r\nx", false),
        ("Transfer-Encoding: chunked\r\n\r\nzzz\r\n", false), ("Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n", false), ("Transfer-Encoding: chunked\r\n\r\n1\r\nab", false),
    ])
    func theConnectionIsUsedAgainWhereItCanBe(tail: String, isKept: Bool) throws {
        let question: [ScriptedProxy.Step] = [.receiveHead, .text(Self.challenge + tail)]
        let answer: [ScriptedProxy.Step] = [.receiveHead, .text(established), .hold]
        let proxy = try isKept ? ScriptedProxy(question + answer) : ScriptedProxy(question + [.hold], answer)
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "joe", password: "secret"))
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.connected) || log.saw(.errorOccurred) }
        #expect(log.events == begin + ["stateChanged(Connected)", "connected"])
        let requests = proxy.texts.joined().components(by: "\r\n\r\n").dropLast()
        #expect(requests.count == 2)
        #expect(requests.first?.contains("Authorization") == false, "nothing is sent that was not asked for")
        #expect(requests.last?.contains("Proxy-Authorization: Basic am9lOnNlY3JldA==") == true)
    }

    @Test func theAnswerMayBeGivenInTheHandler() throws {
        let proxy = try ScriptedProxy([
            .receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n"), .receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n"),
            .receiveHead, .text(established), .hold,
        ])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "joe", password: "wrong"))
        var questions: [(Proxy, String)] = []
        socket.onEvent { [unowned socket] event in
            guard case .proxyAuthenticationRequired(let asking, let realm) = event else { return }
            #expect(socket.state == .connecting)
            questions.append((asking, realm))
            #expect(throws: Never.self) { try socket.authenticateProxy(user: "eve", password: "right") }
            #expect(code { try socket.authenticateProxy(user: "eve", password: "again") } == .operation)
        }
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(questions.count == 1)
        #expect(questions.first?.0 == .http("127.0.0.1", port: proxy.port, user: "joe") && questions.first?.1 == "the gate")
        #expect(proxy.texts.joined().contains("Basic ZXZlOnJpZ2h0"))
        #expect(socket.proxy.user == "joe", "the answer holds for this connection")
    }

    @Test func theAnswerMayComeLater() throws {
        let proxy = try ScriptedProxy([
            .receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n"), .receiveHead, .text(established), .hold,
        ])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        socket.awaitsProxyAuthentication = true
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.proxyAuthenticationRequired) }
        try bench.settle()
        #expect(socket.state == .connecting)
        #expect(code { try socket.authenticateProxy(user: "a\nb", password: "") } == .invalidArgument)
        try socket.authenticateProxy(user: "joe", password: "secret")
        bench.run { log.saw(.connected) }
        #expect(log.events == begin + ["proxyAuthenticationRequired", "stateChanged(Connected)", "connected"])
    }

    /// A proxy may end the connection in the moment in which we go on with it.
    @Test func theProxyMayHangUpAtOnce() throws {
        let question = Self.challenge + "Content-Length: 0\r\n\r\n"
        for end in [[], [.reset]] as [[ScriptedProxy.Step]] {
            let proxy = try ScriptedProxy([.receiveHead, .text(question), .receiveHead] + end, [.receiveHead, .text(established), .hold])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.tcpSocket()
            try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "joe", password: "secret"))
            try socket.connectToHost("192.0.2.1", port: 80)
            #expect(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
            #expect(proxy.texts[1].contains("Basic"))
        }
    }

    @Test func theProxyMayHangUpMeanwhile() throws {
        let proxy = try ScriptedProxy(
            [.receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n")], [.receiveHead, .text(established), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        socket.awaitsProxyAuthentication = true
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        bench.run { log.saw(.proxyAuthenticationRequired) }
        try bench.settle()
        try socket.authenticateProxy(user: "joe", password: "secret")
        bench.run { log.saw(.connected) || log.saw(.errorOccurred) }
        #expect(log.saw(.connected))
    }

    @Test func withoutAnAnswerItFailsAtOnce() throws {
        for user in ["", "joe"] {
            let question: [ScriptedProxy.Step] = [.receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n")]
            let proxy = try ScriptedProxy(question + (user.isEmpty ? [.hold] : question + [.hold]))
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: user, password: "wrong"))
            try socket.connectToHost("192.0.2.1", port: 80)
            bench.run { log.saw(.errorOccurred) }
            #expect(log.events == begin + ["proxyAuthenticationRequired", "stateChanged(Unconnected)", "errorOccurred(ProxyAuthenticationRequiredError)"])
            #expect(socket.errorString.contains("the gate") && !socket.errorString.contains("wrong"))
        }
    }

    @Test func whoWaitsForAnAnswerCanBeStopped() throws {
        for ending in 0..<4 {
            let proxy = try ScriptedProxy([.receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n"), .hold])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            socket.awaitsProxyAuthentication = true
            try socket.setProxyTimeout(ending == 0 ? 1 : 30_000)
            try socket.setProxy(proxy.http)
            if ending == 3 { log.on(.proxyAuthenticationRequired) { socket.destroy() } }
            try socket.connectToHost("192.0.2.1", port: 80)
            bench.run { log.saw(.proxyAuthenticationRequired) || log.saw(.errorOccurred) }
            switch ending {
            case 0: bench.run { log.saw(.errorOccurred) }
            case 1: socket.abort()
            case 2: try socket.authenticateProxy(user: "", password: "")
            default: break
            }
            #expect(socket.state == .unconnected)
            #expect(log.saw(.errorOccurred) == (ending == 0 || ending == 2))
            try bench.settle()
        }
    }

    /// It is the credentials that are wrong here: whoever asks for ever is not answered for ever.
    @Test func questionsComeToAnEnd() throws {
        let question: [ScriptedProxy.Step] = [.receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n")]
        let proxy = try ScriptedProxy(Array(repeating: question, count: 17).flatMap { $0 } + [.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        var count = 0
        socket.onEvent { [unowned socket] event in
            guard case .proxyAuthenticationRequired = event else { return }
            count += 1
            try? socket.authenticateProxy(user: "joe", password: "guess \(count)")
        }
        try socket.setProxy(proxy.http)
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyAuthenticationRequired && count == 16)
    }

    @Test func basicHasNoRoomForAColon() throws {
        let proxy = try ScriptedProxy([.receiveHead, .text(Self.challenge + "Content-Length: 0\r\n\r\n"), .hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        try socket.setProxy(.http("127.0.0.1", port: proxy.port, user: "a:b", password: "x"))
        try socket.connectToHost("192.0.2.1", port: 80)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.error == .proxyAuthenticationRequired)
    }
}

extension String {
    /// The pieces between the separators.
    func components(by separator: String) -> [String] {
        var result: [String] = []
        var rest = Substring(self)
        var piece = ""
        while let first = rest.unicodeScalars.first {
            if rest.unicodeScalars.starts(with: separator.unicodeScalars) {
                result.append(piece)
                piece = ""
                rest = Substring(rest.unicodeScalars.dropFirst(separator.unicodeScalars.count))
            } else {
                piece.unicodeScalars.append(first)
                rest = Substring(rest.unicodeScalars.dropFirst())
            }
        }
        return result + [piece]
    }
}
