import Glibc

/// Getting connected: it runs its phases in order, and ends by telling the socket that it has a connection, or why not.
protocol Connecting: AnyObject {
    /// Every address that was tried so far.
    var attempts: [ConnectionAttempt] { get }
    /// Whether anything can come of it by waiting. Its first events are sent before that.
    var isUnderWay: Bool { get }
    /// The descriptor of the attempt that began first, of those that run; -1 when there is none.
    var descriptorInUse: Int32 { get }
    /// Gives up without a word.
    func cancel()
    /// For blocking waits: sleeps until something happens or the deadline (monotonic nanoseconds, nil is none) has come,
    /// and handles what happened.
    func advance(until deadline: UInt64?)
    /// What running out of time means, where somebody else than the target is to blame for it.
    func timeoutError(after milliseconds: Int) -> SocketError?
    /// The proxy by way of which it goes, if it does.
    var detour: Proxy? { get }
}

extension Connecting {
    var isUnderWay: Bool { true }
    var descriptorInUse: Int32 { -1 }
    func timeoutError(after milliseconds: Int) -> SocketError? { nil }
    var detour: Proxy? { nil }
}

/// A way to a host that is given by its addresses or by name.
protocol HostConnecting: Connecting {
    func start(addresses: [HostAddress])
    func start(lookupOf name: String, protocol: NetworkProtocol)
}

extension Socket {
    /// The common beginning of every kind of connect: refuses what the state does not allow and forgets the last connection.
    func beginConnecting(to name: String, port: Int = 0) throws(SocketError) {
        guard state == .unconnected || state == .bound else {
            try refuse(.operation, "The socket is in state \(state.name): disconnect or abort it first")
        }
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        let keepsUnread = autoConnect?.connectBegins(to: name, port: port) ?? false
        // One that was handed in without a connection is what to connect.
        if state == .unconnected, !loop.idleDescriptors.contains(rawDescriptor) { releaseDescriptor() }
        forgetLastConnection(keepsUnread: keepsUnread)
        details.peerName = name
        details.peer = nil
        details.shown = ShownAddresses()
    }

    /// Nothing of what the last connection was is that of the next one.
    func forgetLastConnection(keepsUnread: Bool) {
        epoch &+= 1
        if !keepsUnread { dropUnread() }
        letGoOfUnsent()
        flags.subtract([.closeWhenConnected, .readFinished, .writeFinishing, .writeFinished, .readPaused, .writeBlocked,
            .hungUp, .onlyBound, .readChannelFinishedSent, .receiveInTurn, .announceInTurn, .optionsPending])
        clearError()
    }

    var connectTimeoutError: SocketError {
        let detour = existingDetails?.connecting?.detour.map { "by way of the proxy \($0)" }
        let way = [peerDescription, detour].compactMap { $0 }.joined(separator: ", ")
        let suffix = way.isEmpty ? "" : " (\(way))"
        return SocketError(.socketTimeout, "The connection was not made in time" + suffix, systemError: ETIMEDOUT)
    }

    func startConnectTimer(_ onTimeout: @escaping (Socket) -> Void) {
        guard connectTimeout >= 0 else { return }
        // A weak reference would give the socket a side table, and every later retain of it would take the slow path.
        // The timers end with the socket.
        details.connectTimer = loop.addTimer(after: connectTimeout) { [unowned(unsafe) self] in onTimeout(self) }
    }

    func endConnecting() {
        guard let details = existingDetails else { return }
        details.connectTimer?.cancel()
        details.connectTimer = nil
        details.connecting?.cancel()
        details.connecting = nil
    }

    /// Connects to a host: what the kinds do differently is `way`, which gets the port.
    func connect(
        to host: String, port: Int, openMode: OpenMode, protocol: NetworkProtocol, by way: (UInt16) -> any HostConnecting
    ) throws(SocketError) {
        guard let portNumber = UInt16(exactly: port) else {
            throw SocketError(.portNumberOutOfRange, "The port must be a number from 1 to 65535, not \(port)")
        }
        guard `protocol` != .unknown else { throw SocketError(.invalidArgument, "The protocol must be any, IPv4 or IPv6") }
        try beginConnecting(to: host, port: port)
        self.openMode = openMode.isDisjoint(with: .readWrite) ? openMode.union(.readWrite) : openMode
        let begun = epoch
        setState(.hostLookup)
        guard begun == epoch else { return }
        if host.isEmpty {
            failInTurn(SocketError(.emptyHostName, "The host name is empty"))
            return
        }
        if portNumber == 0 {
            failInTurn(SocketError(.portNumberOutOfRange, "Port 0 cannot be connected to: the port must be from 1 to 65535"))
            return
        }
        details.peer = "\(host.abbreviated):\(port)"
        let connecting = way(portNumber)
        details.connecting = connecting
        startConnectTimer { socket in
            let blamed = socket.existingDetails?.connecting?.timeoutError(after: socket.connectTimeout)
            socket.connectFailed(blamed ?? socket.connectTimeoutError)
        }
        if let address = HostAddress(literal: host) {
            if `protocol` == .any || address.networkProtocol == `protocol` {
                connecting.start(addresses: [address])
            } else {
                connectFailed(SocketError(.hostNotFound, "\(host.abbreviated) is not an \(`protocol`.name) address"))
            }
        } else {
            connecting.start(lookupOf: host, protocol: `protocol`)
        }
    }

    /// Fails in the next turn, as other failed attempts do.
    func failInTurn(_ error: SocketError) {
        let failing = FailingConnect(self, error)
        details.connecting = failing
        loop.requestTurn(failing)
    }
}

/// An attempt that fails as soon as the caller has returned to its loop.
private final class FailingConnect: Connecting, TurnHandler {
    let attempts: [ConnectionAttempt] = []
    private unowned(unsafe) let socket: Socket
    private var error: SocketError?

    init(_ socket: Socket, _ error: SocketError) {
        self.socket = socket
        self.error = error
    }

    func cancel() { error = nil }
    func advance(until deadline: UInt64?) { takeTurn() }

    func takeTurn() {
        guard let error else { return }
        cancel()
        socket.connectFailed(error)
    }
}
