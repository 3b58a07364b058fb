import Synchronization

/// The application's proxy. Sockets on any thread ask for it.
private let applicationProxy = Mutex(Proxy.none)

extension Proxy {
    /// What sockets and servers use whose own proxy is Default: none, until somebody sets one. A library must not send the host
    /// program's connections elsewhere because of a variable in the environment; who wants that sets Default here, and then each
    /// connection goes as `forQuery` says. Loopback addresses and "localhost" are reached without it in every case. Any thread.
    public static var application: Proxy { applicationProxy.withLock { $0 } }

    /// For the connections and servers that are begun from now on. Any thread.
    public static func setApplication(_ proxy: Proxy) throws(SocketError) {
        try proxy.check()
        applicationProxy.withLock { $0 = proxy }
    }

    /// What a connection to this host goes by when this is the setting of its socket; nil is straight there. `application`: what
    /// Default means to the socket, where that is not the application's.
    func inForce(for host: String, port: Int, application: Proxy?) throws(SocketError) -> Proxy? {
        switch type {
        case .none: return nil
        case .socks5, .http: return self
        case .default:
            guard !Self.isLoopback(host) else { return nil }
            let application = application ?? Self.application
            switch application.type {
            case .none: return nil
            case .socks5, .http: return application
            case .default: return try Self.forQuery(host: host, port: port).first { $0.isUsed }
            }
        }
    }

    static func isLoopback(_ host: String) -> Bool {
        if let address = HostAddress(literal: host) { return address.isLoopback }
        let name = host.lowercased()
        return name == "localhost" || name == "localhost." || name.hasSuffix(".localhost")
    }
}
