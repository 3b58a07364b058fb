import Glibc

/// A TCP connection (RFC 9293), as client or accepted by a `TCPServer`.
///
/// One object can make any number of connections, one after the other.
public final class TCPSocket: StreamSocket {
    public init(loop: EventLoop) { super.init(loop: loop, kind: .tcpSocket) }

    public override var socketType: SocketType { .tcp }

    /// TCP wakes for writability only after it refused a write: asking for it all the time costs nothing.
    override var interest: Readiness { [.readable, .writable, .readHangup, .edgeTriggered] }

    /// Starts to connect and returns at once. `host` is a name or an address; a name is looked up, and its addresses race
    /// (RFC 8305). The state goes to HostLookup, Connecting (then `hostFound`) and Connected (then `connected`); a failure is
    /// `errorOccurred` in state Unconnected, an empty host EmptyHostNameError and port 0 PortNumberOutOfRangeError among them.
    /// Throws OperationError, and changes nothing, while connecting or connected; a port that no port number can be is refused.
    public override func connectToHost(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) {
        guard let portNumber = UInt16(exactly: port) else {
            throw SocketError(.portNumberOutOfRange, "The port must be a number from 1 to 65535, not \(port)")
        }
        guard `protocol` != .unknown else { throw SocketError(.invalidArgument, "The protocol must be any, IPv4 or IPv6") }
        try beginConnecting(to: host)
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
        let connecting = TCPConnecting(self, host: host, port: portNumber)
        details.connecting = connecting
        startConnectTimer { socket in
            socket.connectFailed(socket.connectTimeoutError)
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

    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String) {
        releaseDescriptor()
        adopt(descriptor, slot: slot)
        if flags.contains(.optionsPending), let family = System.socketFamily(descriptor) {
            applyOptions(to: descriptor, family: family)
        }
        details.peer = peer
        connectionMade(readiness: readiness)
    }

    /// A socket that is bound to "any" of both families reaches IPv4 by mapped addresses.
    func asReached(_ address: HostAddress) -> HostAddress {
        rawDescriptor >= 0 && address.isIPv4 && System.isDualStack(rawDescriptor) ? address.mappedToIPv6 : address
    }

    /// A bound socket connects from where it is bound, or not at all.
    func canReach(_ address: HostAddress) -> Bool {
        rawDescriptor < 0 || System.socketFamily(rawDescriptor) == address.protocolFamily
    }

    func descriptorForAttempt(at address: SocketAddress) throws(SocketError) -> Descriptor {
        do throws(SystemError) {
            // A bound socket connects from where it is bound.
            if rawDescriptor >= 0 { return try System.duplicate(rawDescriptor) }
            let descriptor = try System.socket(family: address.family, type: System.stream, nonBlocking: true)
            System.setOption(descriptor.rawValue, SOL_SOCKET, SO_OOBINLINE, 1)
            applyOptions(to: descriptor.rawValue, family: address.family)
            return descriptor
        } catch {
            throw SocketError.from(errno: error.number, doing: .create, peer: address.description)
        }
    }

    /// Gives the socket its own address before it connects. Port 0 picks one.
    public override func bind(_ address: String = "any", port: Int = 0, mode: BindMode = []) throws(SocketError) {
        guard let portNumber = UInt16(exactly: port) else {
            throw SocketError(.portNumberOutOfRange, "The port must be a number from 0 to 65535, not \(port)")
        }
        guard state == .unconnected else { try refuse(.operation, "The socket is in state \(state.name): bind comes first") }
        guard let host = HostAddress(parsing: address) else {
            try refuse(.unsupportedSocketOperation, "\"\(address.abbreviated)\" is not an address to bind to")
        }
        releaseDescriptor()
        epoch &+= 1
        do throws(SocketError) {
            let descriptor = try ListeningAddress.bind(host, port: portNumber, mode: mode, reuseAddress: false)
            rawDescriptor = descriptor.release()
            loop.idleDescriptors.insert(rawDescriptor)
        } catch {
            report(error)
            throw error
        }
        if let family = System.socketFamily(rawDescriptor) { applyOptions(to: rawDescriptor, family: family) }
        clearError()
        setState(.bound)
    }

    override func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {
        let family = System.socketFamily(descriptor)
        guard family == AF_INET || family == AF_INET6, System.socketType(descriptor) == System.stream,
            !System.isListening(descriptor)
        else { try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not that of a TCP connection") }
    }
}

/// An attempt that fails as soon as the caller has returned to its loop.
private final class FailingConnect: Connecting, TurnHandler {
    let attempts: [ConnectionAttempt] = []
    private unowned(unsafe) let socket: StreamSocket
    private var error: SocketError?

    init(_ socket: StreamSocket, _ error: SocketError) {
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
