import CLinux
import Glibc

/// A datagram socket's place at a SOCKS 5 proxy (UDP ASSOCIATE): the socket sends every datagram to the proxy's relay, with the
/// destination in front, and gets every one from there with its sender in front. The connection that asked for it stays open; its end
/// is the association's.
final class ProxyAssociation: HostConnecting, ProxyConnectorDelegate, ProxyAuthenticating, ReadinessHandler {
    private unowned(unsafe) let socket: UDPSocket
    let proxy: Proxy
    private var connector: ProxyConnector?
    private var control: ProxyConnection?
    private var lookup: HostLookup?
    private let port: UInt16
    private var report: [ConnectionAttempt] = []
    /// The relay is known, and the socket is connected to it.
    private(set) var isReady = false
    /// Of a socket that talks to one peer alone.
    private(set) var peer: Destination?
    private(set) var peerEndpoint: ProxyEndpoint?

    /// `port`: of the one peer that the socket is to talk to.
    init(_ socket: UDPSocket, _ proxy: Proxy, port: UInt16 = 0) {
        self.socket = socket
        self.proxy = proxy
        self.port = port
    }

    deinit { cancel() }

    var attempts: [ConnectionAttempt] { report + (connector?.attempts ?? []) }
    var isUnderWay: Bool { lookup != nil || connector?.isUnderWay == true }

    // MARK: Beginning

    /// Asks the proxy; what is written meanwhile waits.
    func start() {
        let target = ProxyEndpoint(host: .address(.anyIPv4), port: 0)
        let dialogue = SOCKS5Dialogue(proxy, .udpAssociate, target: target, targetText: socket.peerDescription ?? "datagrams")
        let connector = ProxyConnector(
            proxy, dialogue, loop: socket.loop, timeout: socket.proxyTimeout,
            interest: [.readable, .writable, .readHangup, .edgeTriggered], delegate: self)
        self.connector = connector
        socket.details.connecting = self
        connector.start()
    }

    func start(addresses: [HostAddress]) {
        guard let first = addresses.first else { return }
        connect(to: .address(first))
    }

    func start(lookupOf name: String, protocol: NetworkProtocol) {
        guard !proxy.hostNameLookup else {
            if let objection = ProxyEndpoint.objection(to: name) {
                socket.failInTurn(objection)
            } else {
                connect(to: .name(name))
            }
            return
        }
        lookup = HostLookup(name: name, protocol: `protocol`, loop: socket.loop) { [weak self] lookup in
            guard let self, self.lookup === lookup else { return }
            self.lookup = nil
            switch lookup.result {
            case .success(let addresses)? where !addresses.isEmpty: self.start(addresses: addresses)
            case .failure(let error)?: self.socket.connectFailed(error)
            default: self.socket.connectFailed(SocketError(.hostNotFound, "Host not found: \(name.abbreviated)"))
            }
        }
    }

    private func connect(to host: ProxyEndpoint.Host) {
        withExtendedLifetime(self) {
            let endpoint = ProxyEndpoint(host: host, port: port)
            peer = Destination(relayed: endpoint)
            peerEndpoint = endpoint
            let begun = socket.epoch
            socket.setState(.connecting)
            guard begun == socket.epoch else { return }
            if endpoint.address != nil { socket.send(.hostFound, .hostFound) }
            guard begun == socket.epoch else { return }
            do throws(SocketError) {
                try socket.openForRelay()
                start()
            } catch {
                socket.connectFailed(error)
            }
        }
    }

    // MARK: Ending

    func cancel() {
        lookup?.cancel()
        lookup = nil
        connector?.cancel()
        connector = nil
        isReady = false
        guard let control else { return }
        self.control = nil
        socket.loop.poller.unregister(control.slot)
        System.close(control.descriptor)
    }

    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            if let connector {
                connector.advance(until: deadline)
            } else if let lookup, lookup.wait(untilNanoseconds: deadline) {
                _ = lookup.finishIfReady()
            }
        }
    }

    func timeoutError(after milliseconds: Int) -> SocketError? {
        connector.flatMap { $0.isUnderWay ? $0.timeoutError(after: milliseconds) : nil }
    }

    var detour: Proxy? { connector?.proxy }

    // MARK: The proxy

    func makeProxyDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor {
        do throws(SystemError) {
            let descriptor = try System.socket(family: address.family, type: System.stream, nonBlocking: true)
            System.setOption(descriptor.rawValue, SOL_SOCKET, SO_KEEPALIVE, 1)
            return descriptor
        } catch {
            throw SocketError.from(error)
        }
    }

    func reachable(_ addresses: [HostAddress]) -> [HostAddress] { addresses }

    func proxyAsksForCredentials(realm: String) -> Bool { socket.askForProxyCredentials(proxy, realm: realm) }
    var asksForCredentials: Bool { connector?.asksForCredentials ?? false }

    func authenticate(user: String, password: String) throws(SocketError) {
        try proxy.checkCredentials(user: user, password: password)
        connector?.authenticate(user: user, password: password)
    }

    func proxyListens(at endpoint: ProxyEndpoint) {}

    func proxyIsDone(_ connection: ProxyConnection, _ endpoint: ProxyEndpoint?) {
        withExtendedLifetime(self) {
            report = attempts
            connector = nil
            socket.loop.poller.transfer(connection.slot, to: self)
            control = connection
            guard let endpoint, var relay = endpoint.address, endpoint.port > 0 else {
                failed(SocketError(.proxyProtocol, "The proxy \(proxy) named no address to which datagrams could be sent"))
                return
            }
            // "Here" is where the proxy is.
            if relay.isAny {
                guard let place = System.peerAddress(connection.descriptor)?.hostAddress else {
                    failed(SocketError(.proxyConnectionClosed, "The proxy \(proxy) closed the connection"))
                    return
                }
                relay = place.unmapped
            }
            if let error = socket.connectToRelay(relay, port: endpoint.port, of: proxy) {
                failed(error)
                return
            }
            isReady = true
            if control?.readiness.isDisjoint(with: [.readHangup, .hangup, .error]) == false {
                descriptorReady(.readHangup)
                return
            }
            socket.associationMade()
        }
    }

    func proxyFailed(_ error: SocketError) {
        withExtendedLifetime(self) {
            var error = error
            error.attempts = attempts
            failed(error)
        }
    }

    private func failed(_ error: SocketError) {
        cancel()
        socket.associationFailed(error)
    }

    /// Nothing is said any more over this connection: whatever happens to it is its end.
    func descriptorReady(_ readiness: Readiness) {
        guard control != nil, isReady else { return }
        let isOver = !readiness.isDisjoint(with: [.readHangup, .hangup, .error])
        guard isOver else { return }
        withExtendedLifetime(self) {
            failed(SocketError(.proxyConnectionClosed, "The proxy \(proxy) ended the connection that its datagrams belong to"))
        }
    }

    // MARK: Datagrams

    /// Takes the relay's header off the packets, in their place. What is no whole datagram for this socket is dropped. Returns how many
    /// are left.
    func unwrap(_ packets: UnsafeMutablePointer<clinux_packet>, count: Int) -> Int {
        let peerAddress = peerEndpoint?.address?.withoutScope
        var kept = 0
        for index in 0..<count {
            var packet = packets[index]
            guard let bytes = packet.bytes,
                let header = SOCKS5Wire.datagramHeader(UnsafeRawBufferPointer(start: bytes, count: Int(packet.size)))
            else { continue }
            if let peerAddress, let sender = header.endpoint.address, sender != peerAddress || header.endpoint.port != port { continue }
            packet.bytes = bytes + header.length
            packet.size -= UInt32(header.length)
            packet.sender = header.endpoint.address?.endpoint ?? clinux_endpoint()
            packet.sender.port = header.endpoint.port
            packet.destination = clinux_endpoint()
            packets[kept] = packet
            kept += 1
        }
        return kept
    }
}

extension SOCKS5Wire {
    /// RFC 1928, 7. Nil for a fragment, which nobody sends, and for what is no datagram of a relay.
    static func datagramHeader(_ bytes: UnsafeRawBufferPointer) -> (endpoint: ProxyEndpoint, length: Int)? {
        guard bytes.count > 4, bytes[2] == 0,
            case .endpoint(let endpoint, let length) = parse(UnsafeRawBufferPointer(rebasing: bytes[3...]))
        else { return nil }
        return (endpoint, 3 + length)
    }
}

extension Destination {
    /// By way of a relay, to whom the socket is connected.
    convenience init(relayed endpoint: ProxyEndpoint) {
        var header: [UInt8] = [0, 0, 0]
        SOCKS5Wire.append(endpoint, to: &header)
        self.init(endpoint.address ?? .anyIPv4, port: endpoint.port, relayHeader: header)
    }
}
