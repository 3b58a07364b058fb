/// What a socket knows of proxies: only who sets or uses one pays for it.
struct ProxyUse {
    var setting = Proxy.default
    var application: Proxy?
    var timeout = Socket.standardProxyTimeout
    var awaitsCredentials = false
}

/// A way to a connection on which a proxy may ask for credentials.
protocol ProxyAuthenticating: AnyObject {
    var asksForCredentials: Bool { get }
    func authenticate(user: String, password: String) throws(SocketError)
}

extension Socket {
    /// Milliseconds for a proxy, until set otherwise.
    static let standardProxyTimeout = 30_000

    /// What the next connection goes by; Default, which is the application's proxy, at first.
    public var proxy: Proxy { existingDetails?.proxyUse?.setting ?? .default }

    /// For the next connection, or bind of a datagram socket; one that exists or is being made stays as it is. Local sockets refuse
    /// every proxy that is one. A bound TCP socket connects to the proxy from where it is bound.
    public func setProxy(_ proxy: Proxy) throws(SocketError) {
        try proxy.check()
        guard !proxy.isUsed || (socketType != .local && socketType != .unknown) else {
            throw SocketError(.unsupportedSocketOperation, "A \(kind.name) reaches its server without a proxy")
        }
        guard proxy != self.proxy else { return }
        proxyUse.setting = proxy
    }

    /// What the proxy Default means to this socket; nil, at first, is `Proxy.application`.
    public var applicationProxy: Proxy? {
        get { existingDetails?.proxyUse?.application }
        set { if newValue != applicationProxy { proxyUse.application = newValue } }
    }

    /// Milliseconds that a proxy may take, 30,000 at first, -1 without limit: to be found, connected to and to do what it is asked
    /// for; and again after it got credentials. Beyond it is ProxyConnectionTimeoutError. connectTimeout holds for all together.
    public var proxyTimeout: Int { existingDetails?.proxyUse?.timeout ?? Self.standardProxyTimeout }

    public func setProxyTimeout(_ milliseconds: Int) throws(SocketError) {
        try checkTimeLimit(milliseconds, "proxyTimeout")
        proxyUse.timeout = milliseconds
        noteChange()
    }

    /// Whether `authenticateProxy` may come after the handlers of proxyAuthenticationRequired have returned: the attempt then waits for it,
    /// within proxyTimeout and connectTimeout. False at first: whoever does not answer in the handler gets
    /// ProxyAuthenticationRequiredError at once. Where nobody is subscribed to the event, nothing waits in any case.
    public var awaitsProxyAuthentication: Bool {
        get { existingDetails?.proxyUse?.awaitsCredentials ?? false }
        set { if newValue != awaitsProxyAuthentication { proxyUse.awaitsCredentials = newValue } }
    }

    /// The answer to proxyAuthenticationRequired: the attempt goes on with these credentials, which hold for it alone (`setProxy` is for
    /// more). Without a user it is given up. Throws OperationError when no proxy asks.
    public func authenticateProxy(user: String, password: String) throws(SocketError) {
        guard let way = proxyDialogue, way.asksForCredentials else {
            throw SocketError(.operation, "No proxy asks for credentials")
        }
        try way.authenticate(user: user, password: password)
    }

    private var proxyDialogue: (any ProxyAuthenticating)? { existingDetails?.connecting as? any ProxyAuthenticating }

    private var proxyUse: ProxyUse {
        get { details.proxyUse ?? ProxyUse() }
        set { details.proxyUse = newValue }
    }

    /// Tells that a proxy wants credentials. Whether it is worth waiting for an answer that did not come in the handlers.
    func askForProxyCredentials(_ proxy: Proxy, realm: String) -> Bool {
        guard isSubscribed(to: .proxyAuthenticationRequired) else { return false }
        var shown = proxy
        shown.password = ""
        send(.proxyAuthenticationRequired, .proxyAuthenticationRequired(proxy: shown, realm: realm))
        return awaitsProxyAuthentication
    }

    /// The object shows the ends of its connection, not those of the way there.
    func showEnds(peer: ProxyEndpoint, local: ProxyEndpoint?) {
        details.shown.isByProxy = true
        details.shown.peerAddress = peer.address.map { $0.withoutScope.description } ?? ""
        details.shown.peerPort = Int(peer.port)
        details.shown.localAddress = local?.address?.description ?? ""
        details.shown.localPort = Int(local?.port ?? 0)
        details.shown.hasLocalEnd = local != nil
    }
}
