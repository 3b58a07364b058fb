/// CONNECT (RFC 9110, 9.3.6), with Basic or Digest where the proxy asks for it.
struct HTTPConnectDialogue: ProxyDialogue {
    private enum Phase { case head, body }

    /// How often the proxy may call a nonce stale before that is taken for a refusal.
    private static let staleLimit = 3

    private let proxy: Proxy
    /// As the request names the target: IPv6 in brackets.
    private let target: String
    private let targetText: String
    private var user: String
    private var password: String
    private var phase = Phase.head
    private var head = HTTPHead()
    private var skipper: HTTPBodySkipper?
    /// Bytes of answers on this connection that were only passed over.
    private var passed = 0
    /// The field that the next request carries.
    private var authorization: String?
    /// These credentials were sent already.
    private var wereSent = false
    private var staleCount = 0
    private var challenges: [HTTPChallenge] = []

    init(_ proxy: Proxy, target: ProxyEndpoint, targetText: String) {
        self.proxy = proxy
        self.target =
            switch target.host {
            // A scope is of this machine, and means nothing to the proxy.
            case .address(let address): address.withoutScope.description(port: target.port)
            case .name(let name): "\(name):\(target.port)"
            }
        self.targetText = targetText
        user = proxy.user
        password = proxy.password
    }

    mutating func open() -> [UInt8] {
        passed = 0
        return request()
    }

    mutating func resume() -> [UInt8] { request() }

    mutating func authenticate(user: String, password: String) {
        self.user = user
        self.password = password
        wereSent = false
        staleCount = 0
        _ = authorize()
    }

    private mutating func request() -> [UInt8] {
        phase = .head
        head = HTTPHead()
        skipper = nil
        var text = "CONNECT \(target) HTTP/1.1\r\nHost: \(target)\r\nProxy-Connection: keep-alive\r\nUser-Agent: Sluice\r\n"
        if let authorization { text += "Proxy-Authorization: \(authorization)\r\n" }
        return Array((text + "\r\n").utf8)
    }

    mutating func take(_ bytes: UnsafeRawBufferPointer, used: inout Int) -> ProxyStep {
        used = 0
        while used < bytes.count {
            let byte = bytes[used]
            used += 1
            if let step = phase == .head ? takeHead(byte) : takeBody(byte) { return step }
        }
        return .more
    }

    private mutating func takeHead(_ byte: UInt8) -> ProxyStep? {
        switch head.take(byte, total: passed) {
        case .incomplete: return nil
        case .tooLarge:
            return .failed(
                SocketError(.proxyProtocol, "The proxy \(proxy) sends a header of more than \(HTTPHead.sizeLimit) bytes"))
        case .notHTTP:
            return .failed(SocketError(.proxyProtocol, "The proxy \(proxy) does not speak HTTP: its answer begins with no status line"))
        case .complete: return answered()
        }
    }

    private mutating func answered() -> ProxyStep? {
        passed += head.size
        switch head.status {
        case 101: return .failed(unexpected)
        case 100...199:
            head = HTTPHead()
            return nil
        // A Content-Length here says nothing: what follows is the tunnel.
        case 200...299: return .done(nil)
        case 407: return challenged()
        // So tinyproxy refuses credentials.
        case 401 where wereSent:
            return unauthorized("The proxy \(proxy) does not accept the user \"\(user)\" with this password", false)
        case 403, 405: return .failed(refusal(.socketAccess, "The proxy's rules do not allow the connection"))
        case 404: return .failed(refusal(.hostNotFound, "The proxy cannot find the host"))
        case 503: return .failed(refusal(.connectionRefused, "The proxy could not connect"))
        default: return .failed(unexpected)
        }
    }

    private var unexpected: SocketError { refusal(.proxyProtocol, "The proxy made no connection") }

    private func refusal(_ code: SocketError.Code, _ reason: String) -> SocketError {
        SocketError(code, "\(reason): \"\(head.statusText)\" (\(targetText), by way of the proxy \(proxy))")
    }

    private mutating func challenged() -> ProxyStep? {
        challenges = HTTPChallenge.parse(head.values(of: "proxy-authenticate"))
        guard !challenges.isEmpty else {
            return .failed(
                SocketError(.proxyProtocol, "The proxy \(proxy) asks for credentials without saying how (no Proxy-Authenticate)"))
        }
        guard head.keepsConnection, let skipper = HTTPBodySkipper(head.body) else { return decide(keepsConnection: false) }
        if skipper.isComplete { return decide(keepsConnection: true) }
        self.skipper = skipper
        phase = .body
        return nil
    }

    private mutating func takeBody(_ byte: UInt8) -> ProxyStep? {
        passed += 1
        switch skipper?.take(byte) {
        case .incomplete: return nil
        case .complete: return decide(keepsConnection: true)
        case .hopeless, nil: return decide(keepsConnection: false)
        }
    }

    /// The answer is over: what to do about the credentials.
    private mutating func decide(keepsConnection: Bool) -> ProxyStep {
        // Answers that are passed over count together, so that they come to an end.
        let keeps = keepsConnection && passed < HTTPHead.sizeLimit / 2
        if wereSent {
            let isStale = challenges.contains(where: HTTPDigest.isStale) && staleCount < Self.staleLimit
            guard isStale else {
                return unauthorized("The proxy \(proxy) does not accept the user \"\(user)\" with this password", keeps)
            }
            staleCount += 1
        }
        guard Self.best(of: challenges) != nil else {
            let schemes = challenges.map(\.scheme).joined(separator: ", ").abbreviated
            return .failed(
                SocketError(
                    .proxyAuthenticationRequired, "The proxy \(proxy) asks for credentials in a way that is not supported (\(schemes))"))
        }
        guard !user.isEmpty else { return unauthorized("The proxy \(proxy) asks for credentials", keeps) }
        if let objection = authorize() { return .failed(objection) }
        return keeps ? .repeated(request()) : .reconnect
    }

    private func unauthorized(_ message: String, _ keepsConnection: Bool) -> ProxyStep {
        let realm = Self.best(of: challenges)?.realm ?? challenges.first?.realm ?? ""
        let error = SocketError(.proxyAuthenticationRequired, realm.isEmpty ? message : "\(message) (realm \"\(realm.abbreviated)\")")
        return .unauthorized(realm: realm, keepsConnection: keepsConnection, error)
    }

    /// The strongest one that can be met.
    private static func best(of challenges: [HTTPChallenge]) -> HTTPChallenge? {
        for algorithm in HTTPDigest.Algorithm.allCases.reversed() {
            if let challenge = challenges.first(where: { HTTPDigest($0)?.algorithm == algorithm }) { return challenge }
        }
        return challenges.first { $0.scheme == "basic" }
    }

    /// Makes the field for the next request. Returns why it cannot be made.
    private mutating func authorize() -> SocketError? {
        authorization = nil
        guard let challenge = Self.best(of: challenges) else { return nil }
        if var digest = HTTPDigest(challenge) {
            authorization = digest.authorization(user: user, password: password, method: "CONNECT", target: target)
            if authorization == nil {
                return SocketError(
                    .proxyAuthenticationRequired, "The proxy \(proxy) asks for a digest whose algorithm the system does not allow")
            }
        } else {
            guard !user.utf8.contains(UInt8(ascii: ":")) else {
                return SocketError(
                    .proxyAuthenticationRequired, "The proxy \(proxy) asks for Basic authentication, in which no user can have a colon")
            }
            authorization = HTTPCredentials.basic(user: user, password: password)
        }
        wereSent = true
        return nil
    }
}

extension HostAddress {
    var withoutScope: HostAddress {
        guard case .ipv6(let high, let low, _) = storage else { return self }
        return HostAddress(ipv6High: high, low: low)
    }
}
