/// SOCKS 5 (RFC 1928) with user and password (RFC 1929).
///
/// Whoever has credentials offers nothing else, so that they are asked for; only when the proxy wants none is it tried without.
struct SOCKS5Dialogue: ProxyDialogue {
    private enum Phase { case method, authentication, reply, peer }

    private let proxy: Proxy
    private let command: SOCKS5Wire.Command
    private let target: ProxyEndpoint
    /// For messages.
    private let targetText: String
    private var user: String
    private var password: String
    private var withoutCredentials = false
    private var phase = Phase.method
    private var received: [UInt8] = []

    init(_ proxy: Proxy, _ command: SOCKS5Wire.Command, target: ProxyEndpoint, targetText: String) {
        self.proxy = proxy
        self.command = command
        self.target = target
        self.targetText = targetText
        user = proxy.user
        password = proxy.password
    }

    private var offersCredentials: Bool { !user.isEmpty && !withoutCredentials }

    mutating func open() -> [UInt8] {
        phase = .method
        received = []
        return [SOCKS5Wire.version, 1, offersCredentials ? 2 : 0]
    }

    mutating func authenticate(user: String, password: String) {
        self.user = user
        self.password = password
        withoutCredentials = false
    }

    /// A proxy that refused something is not to be asked again on the same connection.
    mutating func resume() -> [UInt8] { open() }

    mutating func take(_ bytes: UnsafeRawBufferPointer, used: inout Int) -> ProxyStep {
        used = 0
        while used < bytes.count {
            received.append(bytes[used])
            used += 1
            if let step = decide() { return step }
        }
        return .more
    }

    /// Nil while more is needed.
    private mutating func decide() -> ProxyStep? {
        switch phase {
        case .method:
            guard received[0] == SOCKS5Wire.version else { return .failed(notSOCKS(received[0])) }
            return received.count < 2 ? nil : chosen(received[1])
        case .authentication:
            // The RFC says 1; some proxies repeat the version of SOCKS.
            guard received[0] == 1 || received[0] == SOCKS5Wire.version else { return .failed(notSOCKS(received[0])) }
            guard received.count == 2 else { return nil }
            guard received[1] == 0 else {
                return unauthorized("The proxy \(proxy) does not accept the user \"\(user)\" with this password")
            }
            return request()
        case .reply, .peer:
            return reply()
        }
    }

    private mutating func chosen(_ method: UInt8) -> ProxyStep {
        switch method {
        case 0 where !offersCredentials:
            return request()
        case 2 where offersCredentials:
            expect(.authentication)
            return .send([1] + Self.counted(user) + Self.counted(password))
        case 0xff where offersCredentials:
            withoutCredentials = true
            return .reconnect
        case 0xff:
            let reason =
                user.isEmpty
                ? "The proxy \(proxy) asks for credentials"
                : "The proxy \(proxy) accepts neither a user with a password nor a connection without"
            return unauthorized(reason)
        default:
            return .failed(
                SocketError(.proxyProtocol, "The proxy \(proxy) answered with the authentication method \(method), which was not offered"))
        }
    }

    private func unauthorized(_ message: String) -> ProxyStep {
        .unauthorized(realm: "", keepsConnection: false, SocketError(.proxyAuthenticationRequired, message))
    }

    private static func counted(_ text: String) -> [UInt8] {
        let bytes = text.utf8.prefix(255)
        return [UInt8(truncatingIfNeeded: bytes.count)] + bytes
    }

    private mutating func expect(_ next: Phase) {
        phase = next
        received = []
    }

    private mutating func request() -> ProxyStep {
        expect(.reply)
        var bytes: [UInt8] = [SOCKS5Wire.version, command.rawValue, 0]
        SOCKS5Wire.append(target, to: &bytes)
        return .send(bytes)
    }

    private mutating func reply() -> ProxyStep? {
        guard received[0] == SOCKS5Wire.version else { return .failed(notSOCKS(received[0])) }
        guard received.count >= 2 else { return nil }
        // What follows a refusal says nothing more, and not every proxy sends it.
        guard received[1] == 0 else { return .failed(refusal(received[1])) }
        let parsed = received.withUnsafeBytes { SOCKS5Wire.parse(UnsafeRawBufferPointer(rebasing: $0.dropFirst(3))) }
        switch parsed {
        case .incomplete: return nil
        case .unknownType(let type):
            return .failed(SocketError(.proxyProtocol, "The proxy \(proxy) answered with an address of the unknown type \(type)"))
        case .endpoint(let endpoint, _):
            guard command == .bind, phase == .reply else { return .done(endpoint) }
            expect(.peer)
            return .listening(endpoint)
        }
    }

    private func notSOCKS(_ byte: UInt8) -> SocketError {
        SocketError(.proxyProtocol, "The proxy \(proxy) does not speak SOCKS 5: it answered with \(byte) where the version belongs")
    }

    private func refusal(_ code: UInt8) -> SocketError {
        let place = "(\(targetText), by way of the proxy \(proxy))"
        switch code {
        case 1: return SocketError(.network, "The proxy failed, without saying why \(place)")
        case 2: return SocketError(.socketAccess, "The proxy's rules do not allow the connection \(place)")
        case 3: return SocketError(.network, "The network is unreachable for the proxy \(place)")
        case 4: return SocketError(.hostNotFound, "The proxy cannot find or reach the host \(place)")
        case 5: return SocketError(.connectionRefused, "Connection refused \(place)")
        case 6: return SocketError(.network, "The time to live was over on the way from the proxy to the host \(place)")
        case 7: return SocketError(.unsupportedSocketOperation, "The proxy does not offer this kind of connection \(place)")
        case 8: return SocketError(.unsupportedSocketOperation, "The proxy does not support this kind of address \(place)")
        default: return SocketError(.unknown, "The proxy answered with the unknown error \(code) \(place)")
        }
    }
}
