import Sluice
import Testing

@Suite struct ProxySettingsTests {
    @Test func namesAndNumbersAreFixed() {
        #expect(Proxy.Kind.allCases.map(\.rawValue) == [0, 1, 2, 3])
        #expect(Proxy.Kind.allCases.map(\.name) == ["Default", "Socks5", "None", "Http"])
        for kind in Proxy.Kind.allCases { #expect(Proxy.Kind(name: kind.name) == kind) }
        #expect(Proxy.Kind(name: "NoProxy") == Proxy.Kind.none && Proxy.Kind(name: "Socks5Proxy") == .socks5)
        #expect(Proxy.Kind(name: "HttpCachingProxy") == nil)
    }

    @Test func aDescriptionTellsNoSecret() {
        let proxy = Proxy.socks5("::1", port: 1080, user: "joe", password: "secret")
        #expect("\(proxy)" == "socks5h://[::1]:1080")
        #expect(String(reflecting: proxy) == "socks5h://[::1]:1080")
        #expect("\(Proxy.http("gate", port: 3128, user: "joe", password: "secret"))" == "http://gate:3128")
        #expect("\(Proxy.none) \(Proxy.default)" == "None Default")
    }

    @Test func whatNoProxyCanBeIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let wrong: [Proxy] = [
            .socks5("", port: 1080), .http("gate", port: 0), .http("gate", port: 65536), .http("gate", port: -1), .http("a b", port: 1),
            .http("gate\r\nX: y", port: 1), .http("gate", port: 1, user: "a\r\nX: y"), .http("gate", port: 1, user: "a", password: "\n"),
            .socks5("gate", port: 1, user: String(repeating: "u", count: 256)),
            .socks5("gate", port: 1, user: "u", password: String(repeating: "p", count: 256)),
        ]
        for proxy in wrong {
            #expect(code { try socket.setProxy(proxy) } == .invalidArgument, "\(proxy)")
            #expect(code { try Proxy.setApplication(proxy) } == .invalidArgument)
        }
        #expect(socket.proxy == .default && Proxy.application == .none)
        try socket.setProxy(.http("gate", port: 3128, user: "joe", password: "secret"))
        #expect(socket.proxy == .http("gate", port: 3128, user: "joe", password: "secret"))
        try socket.setProxy(.default)
        #expect(socket.proxy == .default)
        #expect(socket.proxyTimeout == 30_000)
        #expect(code { try socket.setProxyTimeout(-2) } == .invalidArgument)
        try socket.setProxyTimeout(-1)
        #expect(socket.proxyTimeout == -1)
        #expect(code { try socket.authenticateProxy(user: "joe", password: "") } == .operation)
    }

    @Test func aLocalSocketTakesNoProxy() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.localSocket()
        #expect(code { try socket.setProxy(.socks5("gate", port: 1080)) } == .unsupportedSocketOperation)
        try socket.setProxy(.none)
    }

    @Test(arguments: [
        ("http://gate:3128", Proxy.http("gate", port: 3128)),
        ("gate:3128", .http("gate", port: 3128)),
        ("gate", .http("gate", port: 8080)),
        ("http://gate/", .http("gate", port: 8080)),
        ("HTTP://joe:se%63ret%40@gate:1/", .http("gate", port: 1, user: "joe", password: "secret@")),
        ("http://a@b@gate:1", .http("gate", port: 1, user: "a@b")),
        ("socks5h://[2001:db8::1]:1081", .socks5("2001:db8::1", port: 1081)),
        ("socks://gate", .socks5("gate", port: 1080)),
        ("socks5://gate", Proxy(type: .socks5, host: "gate", port: 1080, hostNameLookup: false)),
        ("http://%zz%4:p@gate:1", .http("gate", port: 1, user: "%zz%4", password: "p")),
    ])
    func aURLNamesAProxy(url: String, proxy: Proxy) {
        #expect(Proxy(url: url) == proxy)
    }

    @Test(arguments: ["", "https://gate:1", "socks4://gate", "http://", "http://:80", "http://gate:0", "http://gate:65536", "http://gate:x", "http://[::1", "://gate", "http://a%0ab@gate:1",
                      "http://::1:3128"])
    func whatNamesNoProxyIsNone(url: String) {
        #expect(Proxy(url: url) == nil)
    }

    private static func query(_ host: String, _ port: Int, _ variables: [String: String]) throws -> [Proxy] {
        try Proxy.forQuery(host: host, port: port) { variables[$0] }
    }

    @Test func theEnvironmentNamesProxiesByPort() throws {
        let all = ["http_proxy": "web:1", "https_proxy": "tls:2", "all_proxy": "socks5h://any:3"]
        #expect(try Self.query("example.com", 80, all) == [.http("web", port: 1)])
        #expect(try Self.query("example.com", 443, all) == [.http("tls", port: 2)])
        #expect(try Self.query("example.com", 22, all) == [.socks5("any", port: 3)])
        #expect(try Self.query("example.com", 80, ["ALL_PROXY": "any:3"]) == [.http("any", port: 3)])
        #expect(try Self.query("example.com", 22, ["HTTP_PROXY": "web:1", "HTTPS_PROXY": "tls:2"]) == [.none])
        #expect(try Self.query("example.com", 443, ["HTTPS_PROXY": "tls:2"]) == [.http("tls", port: 2)])
        #expect(try Self.query("example.com", 80, ["HTTP_PROXY": "web:1"]) == [.http("web", port: 1)])
        #expect(try Self.query("example.com", 80, ["HTTP_PROXY": "web:1", "REQUEST_METHOD": "GET"]) == [.none])
        #expect(try Self.query("example.com", 80, ["http_proxy": "", "all_proxy": "any:3"]) == [.http("any", port: 3)])
        #expect(try Self.query("example.com", 80, [:]) == [.none])
        #expect(code { _ = try Self.query("example.com", 80, ["http_proxy": "https://gate"]) } == .unsupportedSocketOperation)
        for loopback in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            #expect(try Self.query(loopback, 80, all) == [.none])
        }
    }

    @Test(arguments: [
        ("example.com", "example.com", true), ("www.example.com", "example.com", true), ("EXAMPLE.com.", ".Example.COM", true),
        ("www.example.com", "*.example.com", true), ("notexample.com", "example.com", false), ("example.com", "www.example.com", false),
        ("a.b", "*", true), ("example.com", "other.org, example.com", true), ("example.com", "other.org example.com:80", true),
        ("example.com", "example.com:81", false), ("192.0.2.7", "192.0.2.7", true), ("192.0.2.7", "192.0.2.0/24", true),
        ("192.0.3.7", "192.0.2.0/24", false), ("192.0.2.7", "0.0.0.0/0", true), ("192.0.2.7", "192.0.2.7:80", true),
        ("192.0.2.7", "192.0.2.7:81", false), ("192.0.2.7", "192.0.2.0/33", false), ("192.0.2.7", "192.0.2.0/-1", false),
        ("2001:db8::7", "2001:db8::/32", true), ("2001:db9::7", "2001:db8::/32", false), ("2001:db8::7", "[2001:db8::7]:80", true),
        ("2001:db8::7", "2001:db8:0:0::7", true), ("2001:db8::7", "2001:db8::/127", false), ("2001:db8::7", "2001:db8::6/127", true),
        ("::ffff:192.0.2.7", "192.0.2.0/24", true), ("192.0.2.7", "2.7", false), ("1.example", "", false), ("example.com", ".", false),
    ])
    func exceptionsAreReachedStraight(host: String, list: String, isStraight: Bool) throws {
        let expected: [Proxy] = isStraight ? [.none] : [.http("gate", port: 1)]
        #expect(try Self.query(host, 80, ["all_proxy": "gate:1", "no_proxy": list]) == expected)
        #expect(try Self.query(host, 80, ["all_proxy": "gate:1", "NO_PROXY": list]) == expected)
    }
}
