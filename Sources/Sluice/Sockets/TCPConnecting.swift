import Glibc

/// The way of a TCP socket to its connection: the name is looked up unless it is an address, then the addresses race. With a
/// proxy it is the proxy's address that is found and connected to; the dialogue with it comes last.
final class TCPConnecting: HostConnecting, ConnectionRaceDelegate {
    private unowned(unsafe) let socket: TCPSocket
    private let host: String
    private let port: UInt16
    private let proxy: Proxy?
    private var lookup: HostLookup?
    private var race: ConnectionRace?
    private var connector: ProxyConnector?
    private var target: ProxyEndpoint?
    private var lookupReport: [ConnectionAttempt] = []

    init(_ socket: TCPSocket, host: String, port: UInt16, proxy: Proxy?) {
        self.socket = socket
        self.host = host
        self.port = port
        self.proxy = proxy
    }

    var attempts: [ConnectionAttempt] { lookupReport + (race?.report ?? []) + (connector?.attempts ?? []) }

    func start(addresses: [HostAddress]) { go(to: addresses) }

    func start(lookupOf name: String, protocol: NetworkProtocol) {
        if let proxy, proxy.hostNameLookup {
            if let objection = ProxyEndpoint.objection(to: name) {
                socket.failInTurn(objection)
            } else {
                go(to: .name(name), by: proxy)
            }
            return
        }
        let started = System.monotonicNanoseconds()
        lookup = HostLookup(name: name, protocol: `protocol`, loop: socket.loop) { [weak self] lookup in
            guard let self, self.lookup === lookup else { return }
            self.lookup = nil
            self.lookedUp(lookup.result, started: started)
        }
    }

    private func lookedUp(_ result: Result<[HostAddress], SocketError>?, started: UInt64) {
        var entry = ConnectionAttempt(
            address: host.abbreviated, phase: .lookup, milliseconds: Int((System.monotonicNanoseconds() - started) / 1_000_000), systemError: 0)
        switch result {
        case .success(let addresses) where !addresses.isEmpty:
            lookupReport.append(entry)
            go(to: addresses)
        case .failure(let error):
            entry.systemError = error.systemError
            lookupReport.append(entry)
            fail(error)
        default:
            lookupReport.append(entry)
            fail(SocketError(.hostNotFound, "Host not found: \(host)"))
        }
    }

    private func go(to addresses: [HostAddress]) {
        if let proxy, let first = addresses.first { go(to: .address(first), by: proxy) } else { raceTo(addresses) }
    }

    /// Tells of the progress. False when somebody has ended the attempt meanwhile.
    private func announce(hostIsFound: Bool) -> Bool {
        let begun = socket.epoch
        socket.setState(.connecting)
        guard begun == socket.epoch else { return false }
        if hostIsFound { socket.send(.hostFound, .hostFound) }
        return begun == socket.epoch
    }

    private func raceTo(_ addresses: [HostAddress]) {
        let reachable = addresses.map(socket.asReached).filter(socket.canReach)
        let race = ConnectionRace(
            loop: socket.loop, addresses: reachable.map { SocketAddress($0, port: port) },
            interest: socket.interest, delegate: self)
        self.race = race
        guard announce(hostIsFound: true) else { return }
        guard !reachable.isEmpty else {
            socket.failInTurn(
                SocketError(
                    .connectionRefused, "\(host) cannot be reached from \(socket.localAddress), which the socket is bound to",
                    systemError: EAFNOSUPPORT, attempts: attempts))
            return
        }
        race.start()
    }

    private func go(to place: ProxyEndpoint.Host, by proxy: Proxy) {
        let target = ProxyEndpoint(host: place, port: port)
        self.target = target
        let targetText = socket.peerDescription ?? target.description
        let dialogue: any ProxyDialogue =
            if proxy.type == .http {
                HTTPConnectDialogue(proxy, target: target, targetText: targetText)
            } else {
                SOCKS5Dialogue(proxy, .connect, target: target, targetText: targetText)
            }
        let connector = ProxyConnector(
            proxy, dialogue, loop: socket.loop, timeout: socket.proxyTimeout, interest: socket.interest, delegate: self)
        self.connector = connector
        // A name is found, or not, by the proxy.
        if announce(hostIsFound: target.address != nil) { connector.start() }
    }

    private func fail(_ error: SocketError) {
        var error = error
        error.attempts = attempts
        socket.connectFailed(error)
    }

    var isUnderWay: Bool { lookup != nil || race?.isUnderWay == true || connector?.isUnderWay == true }

    func timeoutError(after milliseconds: Int) -> SocketError? {
        connector.flatMap { $0.isUnderWay ? $0.timeoutError(after: milliseconds) : nil }
    }

    var detour: Proxy? { connector?.proxy }

    var descriptorInUse: Int32 { race?.descriptorInUse ?? -1 }

    func cancel() {
        lookup?.cancel()
        lookup = nil
        race?.cancel()
        connector?.cancel()
    }

    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            if let connector {
                connector.advance(until: deadline)
            } else if let race {
                race.advance(until: deadline)
            } else if let lookup, lookup.wait(untilNanoseconds: deadline) {
                _ = lookup.finishIfReady()
            }
        }
    }

    // MARK: The race

    func makeDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor {
        try socket.descriptorForAttempt(at: address)
    }

    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String) {
        socket.raceWon(descriptor: descriptor, slot: slot, readiness: readiness, peer: peer)
    }

    func raceLost(_ error: SocketError) { fail(error) }
}

// MARK: - The proxy

extension TCPConnecting: ProxyConnectorDelegate, ProxyAuthenticating {
    func makeProxyDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor {
        try socket.descriptorForAttempt(at: address)
    }

    func reachable(_ addresses: [HostAddress]) -> [HostAddress] { addresses.map(socket.asReached).filter(socket.canReach) }

    func proxyAsksForCredentials(realm: String) -> Bool {
        connector.map { socket.askForProxyCredentials($0.proxy, realm: realm) } ?? false
    }

    func proxyListens(at endpoint: ProxyEndpoint) {}

    func proxyIsDone(_ connection: ProxyConnection, _ endpoint: ProxyEndpoint?) {
        withExtendedLifetime(self) {
            socket.releaseDescriptor()
            if let target { socket.showEnds(peer: target, local: endpoint) }
            // What came behind the answer is still with the system, which has told of it already.
            socket.raceWon(
                descriptor: connection.descriptor, slot: connection.slot, readiness: connection.readiness.union(.readable),
                peer: socket.peerDescription ?? "")
        }
    }

    func proxyFailed(_ error: SocketError) { fail(error) }

    var asksForCredentials: Bool { connector?.asksForCredentials ?? false }

    func authenticate(user: String, password: String) throws(SocketError) {
        try connector?.proxy.checkCredentials(user: user, password: password)
        connector?.authenticate(user: user, password: password)
    }
}
