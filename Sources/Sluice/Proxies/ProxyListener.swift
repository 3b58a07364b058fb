import Glibc

/// Listening by way of a SOCKS 5 proxy (BIND). The proxy accepts one connection and passes it on over the connection that asked for
/// it; then it is asked again, on another one.
final class ProxyListener: ProxyConnectorDelegate {
    /// Milliseconds until a proxy that could not listen any more is asked again.
    private static let retryDelay = 1000

    private unowned(unsafe) let server: Server
    private let proxy: Proxy
    private let wish: ProxyEndpoint
    private var connector: ProxyConnector?
    private var retryTimer: Timer?
    private var hasListened = false
    private var failureTold = false
    /// Where the proxy listens for us.
    private(set) var endpoint: ProxyEndpoint?

    init(_ server: Server, _ proxy: Proxy, wish: ProxyEndpoint) {
        self.server = server
        self.proxy = proxy
        self.wish = wish
    }

    deinit { cancel() }

    /// Asks the proxy, unless it listens already or nothing is wanted now. `isAwaited`: somebody waits, whatever else holds.
    func goOn(isAwaited: Bool = false) {
        guard connector == nil, retryTimer == nil, isAwaited || server.wantsConnections else { return }
        let dialogue = SOCKS5Dialogue(proxy, .bind, target: wish, targetText: "listening on \(wish)")
        let connector = ProxyConnector(
            proxy, dialogue, loop: server.loop, timeout: Socket.standardProxyTimeout,
            interest: [.readable, .writable, .readHangup, .edgeTriggered], delegate: self)
        self.connector = connector
        connector.start()
    }

    func cancel() {
        connector?.cancel()
        connector = nil
        retryTimer?.cancel()
        retryTimer = nil
    }

    /// For blocking waits: sleeps until something happens or the deadline has come, and handles it.
    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            goOn(isAwaited: true)
            if let connector {
                connector.advance(until: deadline)
            } else {
                let end = retryTimer.map { min($0.deadline, deadline ?? .max) } ?? deadline
                System.sleep(milliseconds: Socket.milliseconds(until: end))
            }
            if let retryTimer, retryTimer.deadline <= System.monotonicNanoseconds() { retryTimer.fire() }
        }
    }

    // MARK: The proxy

    func makeProxyDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor {
        do throws(SystemError) {
            let descriptor = try System.socket(family: address.family, type: System.stream, nonBlocking: true)
            // It may say nothing for days: only so is it noticed that the proxy is gone.
            System.setOption(descriptor.rawValue, SOL_SOCKET, SO_KEEPALIVE, 1)
            System.setOption(descriptor.rawValue, SOL_SOCKET, SO_OOBINLINE, 1)
            return descriptor
        } catch {
            throw SocketError.from(error)
        }
    }

    func reachable(_ addresses: [HostAddress]) -> [HostAddress] { addresses }
    /// A server has nobody to ask: its proxy's credentials are those that were set.
    func proxyAsksForCredentials(realm: String) -> Bool { false }

    func proxyListens(at endpoint: ProxyEndpoint) {
        hasListened = true
        failureTold = false
        var place = endpoint
        if place.address?.isAny == true, let own = connector?.peerAddress { place.host = .address(own) }
        guard place != self.endpoint else { return }
        self.endpoint = place
        server.send(.stateChanged, .stateChanged(.listening))
    }

    func proxyIsDone(_ connection: ProxyConnection, _ endpoint: ProxyEndpoint?) {
        withExtendedLifetime(self) {
            connector = nil
            server.loop.poller.unregister(connection.slot)
            _ = System.setNonBlocking(connection.descriptor, false)
            server.take(
                connection.descriptor,
                addresses: (source: Self.address(of: endpoint), destination: Self.address(of: self.endpoint)))
            if server.proxyListener === self { goOn() }
        }
    }

    private static func address(of endpoint: ProxyEndpoint?) -> SocketAddress {
        SocketAddress(endpoint?.address ?? .anyIPv4, port: endpoint?.port ?? 0)
    }

    func proxyFailed(_ error: SocketError) {
        withExtendedLifetime(self) {
            var error = error
            error.attempts = connector?.attempts ?? []
            connector = nil
            guard hasListened else {
                server.tell(error)
                if server.proxyListener === self { server.close() }
                return
            }
            endpoint = nil
            retryTimer = server.loop.addTimer(after: Self.retryDelay) { [unowned(unsafe) self] in
                retryTimer = nil
                goOn()
            }
            guard !failureTold else { return }
            failureTold = true
            server.tell(error)
        }
    }
}

extension Server {
    /// What `listen` goes by; Default, which is the application's proxy, at first.
    public var proxy: Proxy { proxySetting }

    /// For the next `listen` of a TCP server: with SOCKS 5 the proxy listens (BIND), one connection at a time. That takes a moment:
    /// `listen` returns at once, `stateChanged(Listening)` tells when the proxy listens, and `address` and `port` then say where; if
    /// it does not, that is an `acceptError`, and the server listens no more. Loopback addresses are listened on here, whatever the
    /// proxy. An HTTP proxy cannot listen: `listen` throws UnsupportedSocketOperationError. Local servers refuse every proxy that is one.
    public func setProxy(_ proxy: Proxy) throws(SocketError) {
        try proxy.check()
        guard !proxy.isUsed || kind == .tcpServer else {
            throw SocketError(.unsupportedSocketOperation, "A \(kind.name) listens without a proxy")
        }
        proxySetting = proxy
    }
}

extension Proxy {
    /// What somebody who wants to be reached goes by when this is his setting; nil is by nothing. `host` and `port`: with whom, where
    /// that is known.
    func inForceToReceive(
        at address: HostAddress, host: String = "", port: Int = 0, application: Proxy?
    ) throws(SocketError) -> Proxy? {
        var proxy = self
        if type == .default {
            guard !address.isLoopback else { return nil }
            proxy = application ?? Self.application
            // The environment's HTTP proxies are for who wants to reach, not for who wants to be reached.
            if proxy.type == .default { proxy = try Self.forQuery(host: host, port: port).first { $0.type == .socks5 } ?? .none }
        }
        guard proxy.type != .http else {
            throw SocketError(.unsupportedSocketOperation, "An HTTP proxy can only connect: nothing can be received by way of \(proxy)")
        }
        return proxy.isUsed ? proxy : nil
    }
}
