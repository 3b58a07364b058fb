import Glibc

/// A stream to a process on this machine (unix(7)), as client or accepted by a `LocalServer`.
public final class LocalSocket: StreamSocket {
    public init(loop: EventLoop) {
        super.init(loop: loop, kind: .localSocket)
        flags.insert(.passesDescriptors)
    }

    public override var socketType: SocketType { .local }

    /// A Unix socket wakes its sender for each piece that the peer takes: writability is asked for only while it matters.
    override var interest: Readiness { [.readable, .readHangup, .edgeTriggered] }

    /// The name as given; "" when not connected.
    public var serverName: String { existingDetails?.serverName ?? "" }
    /// The whole path, or the abstract name; "" when not connected.
    public var fullServerName: String { existingDetails?.fullServerName ?? "" }
    /// Only AbstractNamespace matters to a client.
    public var socketOptions: LocalServerAccess { existingDetails?.localOptions ?? [] }

    public func setServerName(_ name: String) throws(SocketError) {
        guard state == .unconnected else { try refuse(.operation, "The server's name cannot change while \(state.name)") }
        setServerName(name, fullName: "")
    }

    public func setSocketOptions(_ options: LocalServerAccess) throws(SocketError) {
        guard state == .unconnected else { try refuse(.operation, "The options cannot change while \(state.name)") }
        details.localOptions = options
    }

    func setServerName(_ name: String, fullName: String) {
        details.serverName = name
        details.fullServerName = fullName
    }

    /// Connects to the server of this name: a bare name is looked for in the temporary folder (TMPDIR), a path is taken as it
    /// is, and with the option AbstractNamespace the name has no file. Where there is room in the server's queue this is done
    /// when the call returns; otherwise the state stays Connecting until there is, within connectTimeout.
    public func connectToServer(_ name: String, openMode: OpenMode = .readWrite) throws(SocketError) {
        if let transport {
            try connectTransport(transport, to: name, port: 0, openMode: openMode)
            return
        }
        try beginConnecting(to: name)
        details.peerName = ""
        setServerName(name, fullName: "")
        let begun = epoch
        setState(.connecting)
        guard begun == epoch else { return }
        let mode = openMode.isDisjoint(with: .readWrite) ? openMode.union(.readWrite) : openMode
        details.peer = fullName(of: name).abbreviated
        let attempt = LocalConnecting(self, name: name, openMode: mode)
        details.connecting = attempt
        startConnectTimer { socket in
            socket.connectFailed(socket.connectTimeoutError)
        }
        attempt.start()
    }

    /// Connects to the server whose name was set.
    public func connectToServer(openMode: OpenMode = .readWrite) throws(SocketError) {
        try connectToServer(serverName, openMode: openMode)
    }

    func fullName(of name: String) -> String {
        LocalAddress.fullName(name, abstract: socketOptions.contains(.abstractNamespace))
    }

    public override func connectToHost(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) {
        throw SocketError(.unsupportedSocketOperation, "A local socket connects to a server by its name: use connectToServer")
    }

    public func disconnectFromServer() { disconnectFromHost() }

    private var openModeOnceConnected: OpenMode = []

    override func willAnnounceConnection() { openMode = openModeOnceConnected }

    fileprivate func made(_ descriptor: Int32, slot: Int32, fullName: String, openMode: OpenMode) {
        details.fullServerName = fullName
        details.peer = fullName
        openModeOnceConnected = openMode
        // One that was handed in without a connection is of no use.
        releaseDescriptor()
        adopt(descriptor, slot: slot)
        connectionMade(readiness: [])
    }

    override func connectFailed(_ error: SocketError) {
        setServerName("", fullName: "")
        guard !keepsUnsent else {
            super.connectFailed(error)
            return
        }
        // The device may still be open from the connection before.
        let begun = epoch
        if isOpen { send(.aboutToClose, .aboutToClose) }
        guard begun == epoch else { return }
        openMode = []
        super.connectFailed(error)
    }

    override func receiveIndirectly(_ place: UnsafeMutableRawPointer, _ room: Int, waiting: Bool) -> Int {
        guard !flags.contains(.hasTransport) else { return super.receiveIndirectly(place, room, waiting: waiting) }
        return receiveWithDescriptors(place, room, waiting: waiting)
    }

    override func sendWithDescriptors(_ queue: WriteQueue) -> (sent: Int, complete: Bool) { sendQueueWithDescriptors(queue) }

    override var isSettled: Bool { super.isSettled && !hasUntakenDescriptors }

    override func dropUnread() {
        super.dropUnread()
        dropUntakenDescriptors()
    }

    override func dropUnsent() {
        super.dropUnsent()
        dropUnsentDescriptors()
    }

    override func deviceClosed() { setServerName("", fullName: "") }
    override func connectionForgotten() { setServerName("", fullName: "") }

    /// Who is at the other end: the process that connected, or that listened (SO_PEERCRED, unix(7)).
    public func peerCredentials() throws(SocketError) -> (pid: Int32, uid: UInt32, gid: UInt32) {
        guard descriptor >= 0 else { throw SocketError(.invalidState, "The socket is not connected") }
        do throws(SystemError) { return try System.peerCredentials(rawDescriptor) } catch { throw SocketError.from(error) }
    }

    override func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {
        guard System.socketFamily(descriptor) == AF_UNIX, System.socketType(descriptor) == System.stream,
            !System.isListening(descriptor)
        else { try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not that of a local connection") }
    }
}

/// Connecting to a local server: done at once, or refused at once, unless the server's queue is full.
private final class LocalConnecting: Connecting {
    /// The system does not tell when there is room in the queue: it has to be asked.
    private static let shortestPause = 1
    private static let longestPause = 64

    private unowned(unsafe) let socket: LocalSocket
    private let name: String
    private let openMode: OpenMode
    private let started = System.monotonicNanoseconds()
    private var pause = LocalConnecting.shortestPause
    private var retry: Timer?
    private var lastErrno: Int32 = 0

    init(_ socket: LocalSocket, name: String, openMode: OpenMode) {
        self.socket = socket
        self.name = name
        self.openMode = openMode
    }

    var attempts: [ConnectionAttempt] {
        [ConnectionAttempt(
            address: socket.fullName(of: name).abbreviated, phase: .connect, milliseconds: Int((System.monotonicNanoseconds() - started) / 1_000_000),
            systemError: lastErrno)]
    }

    func start() {
        let abstract = socket.socketOptions.contains(.abstractNamespace)
        let fullName = socket.fullName(of: name)
        do throws(SocketError) {
            let descriptor: Descriptor
            do throws(SystemError) {
                descriptor = try System.socket(family: AF_UNIX, type: System.stream, nonBlocking: true)
            } catch {
                throw SocketError.from(error)
            }
            let result = try LocalAddress.connect(descriptor.rawValue, name: name, abstract: abstract)
            if result == -Int(EAGAIN) {
                lastErrno = EAGAIN
                tryLater()
                return
            }
            guard result == 0 else {
                lastErrno = Int32(truncatingIfNeeded: -result)
                throw SocketError.from(errno: lastErrno, doing: .connectLocal, peer: fullName)
            }
            try connected(descriptor, fullName: fullName)
        } catch {
            // A name that no server can have is one that is not found.
            socket.connectFailed(error.code.isMisuse ? SocketError(.hostNotFound, error.message) : error)
        }
    }

    private func connected(_ descriptor: consuming Descriptor, fullName: String) throws(SocketError) {
        socket.applyOptions(to: descriptor.rawValue, family: AF_UNIX)
        let slot: Int32
        do throws(SystemError) {
            slot = try socket.loop.poller.register(descriptor.rawValue, for: socket.interest, handler: socket)
        } catch {
            throw SocketError.from(error)
        }
        socket.made(descriptor.release(), slot: slot, fullName: fullName, openMode: openMode)
    }

    private func tryLater() {
        retry = socket.loop.addTimer(after: pause) { [weak self] in self?.start() }
        pause = min(pause * 2, Self.longestPause)
    }

    func cancel() {
        retry?.cancel()
        retry = nil
    }

    func advance(until deadline: UInt64?) {
        guard let retry else { return }
        let end = min(retry.deadline, deadline ?? .max)
        System.sleep(milliseconds: StreamSocket.milliseconds(until: end))
        if retry.isActive, retry.deadline <= System.monotonicNanoseconds() { retry.fire() }
    }
}
