import Glibc

/// A TCP connection (RFC 9293), as client or accepted by a `TCPServer`.
///
/// One object can make any number of connections, one after the other.
public class TCPSocket: StreamSocket {
    public init(loop: EventLoop) { super.init(loop: loop, kind: .tcpSocket) }

    override init(loop: EventLoop, kind: ObjectKind) { super.init(loop: loop, kind: kind) }

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
        if let transport { return try connectTransport(transport, to: host, port: port, openMode: openMode) }
        let proxy = try proxy.inForce(for: host, port: port, application: applicationProxy)
        try connect(to: host, port: port, openMode: openMode, protocol: `protocol`) {
            TCPConnecting(self, host: host, port: $0, proxy: proxy)
        }
    }

    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String) {
        if rawDescriptor >= 0, (try? watchDescriptor(.connected)) != nil {
            // What won is a duplicate of the socket's own descriptor, whose number stays.
            loop.poller.unregister(slot)
            System.close(descriptor)
        } else {
            releaseDescriptor()
            adopt(descriptor, slot: slot)
        }
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
            if rawDescriptor >= 0 {
                // One that was handed in may be one that waits, which connecting must not.
                _ = System.setNonBlocking(rawDescriptor, true)
                flags.remove(.blocking)
                return try System.duplicate(rawDescriptor)
            }
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
        try bind(address, port: port, mode: mode, type: System.stream)
    }

    override func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {
        let family = System.socketFamily(descriptor)
        guard family == AF_INET || family == AF_INET6, System.socketType(descriptor) == System.stream,
            !System.isListening(descriptor)
        else { try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not that of a TCP connection") }
    }
}
