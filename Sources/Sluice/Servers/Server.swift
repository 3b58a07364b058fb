import Glibc

/// What TCP and local servers share: they listen, accept, and keep the connections until they are taken.
open class Server: EventSource, ReadinessHandler {
    private static let standardPendingLimit = 30
    private static let standardBacklog = 50
    private static let batchLimit = 64
    /// What a connection may send before somebody takes it: nobody has set a limit for it yet.
    static let untakenReadLimit = 64 << 10
    /// Milliseconds until accepting is tried again after the system had no descriptor for it.
    static let retryDelay = 50

    var rawDescriptor: Int32 = -1
    var proxySetting = Proxy.default
    /// What the proxy Default means to this server; nil, at first, is `Proxy.application`.
    public var applicationProxy: Proxy?
    /// Listens in place of a descriptor.
    var proxyListener: ProxyListener?
    private var slot: Int32 = -1
    private var pending: [StreamSocket] = []
    /// Makes encrypted sockets of the connections.
    var encryption: ServerEncryption?
    /// Takes the raw descriptor of each connection, instead of a socket being made of it.
    private var incomingHandler: ((Int32) -> Void)?
    /// Connections whose PROXY header is not there yet.
    var readsProxyHeaders = false
    var arriving: [ArrivingConnection] = []
    /// Every socket that was accepted and still exists. They do not keep the server alive, nor it them.
    private var accepted: [Unmanaged<StreamSocket>] = []
    var waits: [ServerWait] = []
    var retryTimer: Timer?
    private var isPaused = false
    private var watchesNow = false
    private var acceptErrorTold = false
    /// The turn of the loop in which a connection was accepted last; when they come in consecutive turns, several are
    /// accepted at once. A single one then costs no second accept that finds nothing.
    private var lastTurn: UInt64 = 0
    private var acceptsBatches = false
    private(set) var epoch: UInt32 = 0
    /// Counts the connections that came, for waits.
    private(set) var takenCount: UInt32 = 0

    public private(set) var isListening = false
    /// The last error; nil after a successful listen.
    public internal(set) var lastError: SocketError?
    /// How many connections may wait to be taken, 30 at first. At the limit the system keeps the rest in its queue.
    public private(set) var maxPendingConnections = Server.standardPendingLimit
    /// The length of the system's queue (listen(2)), 50 at first; for the next `listen`.
    public private(set) var listenBacklog = Server.standardBacklog

    override init(loop: EventLoop, kind: ObjectKind) { super.init(loop: loop, kind: kind) }

    deinit {
        retryTimer?.cancel()
        for socket in accepted { socket.takeUnretainedValue().server = nil }
        closeDescriptor()
    }

    public var error: SocketError.Code { lastError?.code ?? .noError }
    public var errorString: String { lastError?.message ?? "" }
    /// A socket that was added may have been destroyed since.
    public var hasPendingConnections: Bool { pending.contains { !$0.isDestroyed } }
    /// The listening descriptor, -1 when there is none. It stays this object's.
    public var descriptor: Int32 { rawDescriptor }
    /// "*" is any address of both families.
    public var address: String { boundAddress?.boundDescription(of: rawDescriptor) ?? proxyListener?.endpoint?.address?.description ?? "" }
    public var port: Int { Int(boundAddress?.port ?? proxyListener?.endpoint?.port ?? 0) }

    private var boundAddress: SocketAddress? { rawDescriptor >= 0 ? System.localAddress(rawDescriptor) : nil }

    public func setMaxPendingConnections(_ count: Int) throws(SocketError) {
        guard count >= 1 else { throw SocketError(.invalidArgument, "maxPendingConnections must be at least 1, not \(count)") }
        maxPendingConnections = count
        updateWatching()
    }

    public func setListenBacklog(_ size: Int) throws(SocketError) {
        guard size >= 1, size <= Int(Int32.max) else {
            throw SocketError(.invalidArgument, "listenBacklog must be from 1 to \(Int32.max), not \(size)")
        }
        listenBacklog = size
    }

    // MARK: Listening

    /// Remembers why listening did not work, and throws it.
    func fail(_ error: SocketError) -> SocketError {
        lastError = error
        return error
    }

    func checkNotListening() throws(SocketError) {
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The server was destroyed") }
        guard !isListening else { throw fail(SocketError(.operation, "The server is already listening: close it first")) }
    }

    /// Starts to accept on a listening descriptor, which is this object's from now on.
    func begin(_ descriptor: consuming Descriptor) throws(SocketError) {
        epoch &+= 1
        do throws(SystemError) {
            _ = System.setNonBlocking(descriptor.rawValue, true)
            slot = try loop.poller.register(descriptor.rawValue, for: .readable, handler: self)
        } catch {
            throw fail(SocketError.from(error))
        }
        rawDescriptor = descriptor.release()
        watchesNow = true
        isListening = true
        isPaused = false
        acceptErrorTold = false
        acceptsBatches = false
        lastError = nil
    }

    /// Starts to listen by way of a proxy.
    func begin(_ listener: ProxyListener) {
        epoch &+= 1
        proxyListener = listener
        isListening = true
        isPaused = false
        acceptErrorTold = false
        lastError = nil
        listener.goOn()
    }

    /// Listens on a descriptor that is bound and listening already, and owns it from now on.
    public func setDescriptor(_ descriptor: Int32) throws(SocketError) {
        try checkNotListening()
        guard System.isOpen(descriptor), System.isListening(descriptor), fits(descriptor) else {
            throw fail(
                SocketError(.unsupportedSocketOperation, "\(descriptor) is not the descriptor of a listening socket of this kind"))
        }
        guard !loop.holds(descriptor) else {
            throw fail(SocketError(.operation, "The descriptor \(descriptor) belongs to another object"))
        }
        try begin(Descriptor(owning: descriptor))
    }

    /// Gives the listening descriptor away: the caller closes it, and this object listens no more. Waiting connections must
    /// have been taken.
    public func takeDescriptor() throws(SocketError) -> Int32 {
        guard isListening else { throw SocketError(.invalidState, "The server is not listening") }
        guard proxyListener == nil else { throw SocketError(.unsupportedSocketOperation, "A proxy listens: there is no descriptor") }
        guard pending.isEmpty else { throw SocketError(.operation, "\(pending.count) connections wait to be taken") }
        loop.poller.unregister(slot)
        slot = -1
        let taken = rawDescriptor
        rawDescriptor = -1
        stopListening()
        return taken
    }

    /// Whether a descriptor is of the kind that this server accepts on.
    func fits(_ descriptor: Int32) -> Bool { false }

    /// Stops listening. Connections that were taken live on; those that were not are closed.
    open func close() {
        guard isListening else { return }
        willClose()
        closeDescriptor()
        stopListening()
    }

    /// The last moment before the descriptor is closed.
    func willClose() {}

    private func closeDescriptor() {
        proxyListener?.cancel()
        proxyListener = nil
        guard rawDescriptor >= 0 else { return }
        if slot >= 0 { loop.poller.unregister(slot) }
        slot = -1
        System.close(rawDescriptor)
        rawDescriptor = -1
    }

    private func stopListening() {
        epoch &+= 1
        isListening = false
        retryTimer?.cancel()
        retryTimer = nil
        arriving = []
        let dropped = pending
        pending = []
        // Sockets that somebody added are theirs.
        for socket in dropped where socket.flags.contains(.untaken) { socket.destroy() }
        completeWaits()
    }

    override func shutDown() {
        close()
        for socket in accepted { socket.takeUnretainedValue().server = nil }
        let children = accepted.map { $0.takeUnretainedValue() }
        accepted = []
        for socket in children { socket.abort() }
        waits = []
        incomingHandler = nil
    }

    // MARK: Taking connections in another way

    /// Gives each accepted connection to `handler` as a raw descriptor (blocking, close-on-exec) instead of making a socket of it; nil:
    /// makes sockets again. The descriptor is the handler's, to wrap (`setDescriptor`), pass on or close. After it `newConnection` is
    /// sent; nothing waits to be taken but what the handler gives to `addPendingConnection`. The handler is kept until `destroy()`.
    public func setIncomingHandler(_ handler: ((_ descriptor: Int32) -> Void)?) { incomingHandler = isDestroyed ? nil : handler }

    /// Gives each accepted connection as the event `incomingConnection` instead of making a socket of it: the descriptor is the
    /// receiver's then. While nobody is subscribed to the event, connections are closed.
    public func sendIncomingConnections() {
        setIncomingHandler { [unowned(unsafe) self] descriptor in
            guard isSubscribed(to: .incomingConnection) else {
                System.close(descriptor)
                return
            }
            send(.incomingConnection, .incomingConnection(descriptor: descriptor))
        }
    }

    /// Puts a socket into the queue of connections that wait to be taken, and tells of it by `pendingConnectionAvailable`. It may be
    /// of any kind and may come from anywhere, but it must live on this server's loop, and can wait only once.
    public func addPendingConnection(_ socket: StreamSocket) throws(SocketError) {
        guard !isDestroyed, !socket.isDestroyed else { throw SocketError(.invalidHandle, "The server or the socket was destroyed") }
        guard socket.loop === loop else { throw SocketError(.wrongThread, "The socket lives on another loop than the server") }
        guard isListening else { throw SocketError(.operation, "The server is not listening") }
        guard socket.state == .connected else { throw SocketError(.operation, "The socket is \(socket.state.name), not Connected") }
        guard !pending.contains(where: { $0 === socket }) else { throw SocketError(.operation, "The socket waits to be taken already") }
        pending.append(socket)
        updateWatching()
        send(.pendingConnectionAvailable, .pendingConnectionAvailable)
        completeWaits()
    }

    // MARK: Accepted sockets

    func remember(_ socket: StreamSocket) {
        socket.server = self
        socket.serverIndex = Int32(truncatingIfNeeded: accepted.count)
        accepted.append(.passUnretained(socket))
    }

    func forget(_ socket: StreamSocket) {
        let index = Int(socket.serverIndex)
        socket.server = nil
        guard index >= 0, index < accepted.count, let last = accepted.popLast() else { return }
        if index < accepted.count {
            accepted[index] = last
            last.takeUnretainedValue().serverIndex = Int32(truncatingIfNeeded: index)
        }
    }

    /// A socket of the server's kind for a fresh connection.
    func makeSocket() -> StreamSocket { TCPSocket(loop: loop) }

    /// The connection that has waited longest, in state Connected (or Unconnected with its last bytes, when the peer has gone
    /// already); nil when none waits. It is the caller's from now on.
    public func nextPendingConnection() -> StreamSocket? {
        pending.removeAll { $0.isDestroyed }
        guard !pending.isEmpty else { return nil }
        let socket = pending.removeFirst()
        socket.taken()
        updateWatching()
        return socket
    }

    // MARK: Accepting

    /// Accepts no more until `resumeAccepting`. What waits already can be taken.
    public func pauseAccepting() {
        guard isListening else { return }
        isPaused = true
        updateWatching()
    }

    public func resumeAccepting() {
        guard isListening else { return }
        isPaused = false
        retryTimer?.cancel()
        retryTimer = nil
        updateWatching()
    }

    private var canAccept: Bool { isListening && pending.count < maxPendingConnections && arriving.count < Self.mostArriving }

    /// A pause does not concern those who wait for a connection.
    private var mayAccept: Bool { !isPaused || !waits.isEmpty }

    /// Whether a connection that came now would be taken.
    var wantsConnections: Bool { canAccept && mayAccept }

    func updateWatching() {
        guard slot >= 0 else {
            proxyListener?.goOn()
            return
        }
        let watch = canAccept && mayAccept && retryTimer == nil
        guard watch != watchesNow else { return }
        watchesNow = watch
        // Changing a live registration fails only without memory.
        try? loop.poller.change(slot, to: watch ? .readable : [])
    }

    func descriptorReady(_ readiness: Readiness) {
        if loop.turnCount == lastTurn &+ 1 { acceptsBatches = true }
        lastTurn = loop.turnCount
        accept(limit: acceptsBatches ? Self.batchLimit : 1)
        updateWatching()
    }

    /// Returns how many were accepted.
    @discardableResult
    func accept(limit: Int, evenWhilePaused: Bool = false) -> Int {
        let begun = epoch
        var count = 0
        while count < limit, begun == epoch, rawDescriptor >= 0, canAccept, evenWhilePaused || mayAccept {
            let result = System.accept(rawDescriptor, nonBlocking: false)
            if result >= 0 {
                count += 1
                let descriptor = Int32(truncatingIfNeeded: result)
                if readsProxyHeaders { readHeader(of: descriptor) } else { take(descriptor) }
                continue
            }
            if result == -Int(EAGAIN) {
                acceptsBatches = acceptsBatches && count > 1
                break
            }
            // accept(2) also delivers errors of the connection that would have been next: they are not the server's.
            guard acceptFailed(Int32(truncatingIfNeeded: -result)) else { break }
        }
        return count
    }

    /// `addresses`: of the connection's ends, where they are not those of the descriptor.
    func take(_ descriptor: Int32, addresses: (source: SocketAddress, destination: SocketAddress)? = nil) {
        takenCount &+= 1
        if let incomingHandler {
            hand(descriptor, to: incomingHandler)
            return
        }
        let socket = encryption?.makeSocket(loop) ?? makeSocket()
        do throws(SystemError) {
            try socket.beginAccepted(descriptor, by: self)
        } catch {
            _ = acceptFailed(error.number)
            return
        }
        if let addresses { socket.showAddresses(peer: addresses.source, local: addresses.destination) }
        acceptErrorTold = false
        pending.append(socket)
        announce(pending: pending.count)
        completeWaits()
    }

    private func hand(_ descriptor: Int32, to handler: (Int32) -> Void) {
        acceptErrorTold = false
        let begun = epoch
        handler(descriptor)
        guard begun == epoch else { return }
        send(.newConnection, .newConnection(pending: pending.count))
        completeWaits(connectionCame: true)
    }

    /// Tells of a connection that waits.
    func announce(pending count: Int) {
        let begun = epoch
        send(.pendingConnectionAvailable, .pendingConnectionAvailable)
        guard begun == epoch else { return }
        send(.newConnection, .newConnection(pending: count))
    }

    /// True when accepting can simply go on.
    func acceptFailed(_ number: Int32) -> Bool {
        switch number {
        case EMFILE, ENFILE, ENOBUFS, ENOMEM:
            // Told once, not for every try: until something is closed nothing will change.
            retryTimer?.cancel()
            retryTimer = loop.addTimer(after: Self.retryDelay) { [unowned(unsafe) self] in retry() }
            if !acceptErrorTold {
                acceptErrorTold = true
                tell(SocketError.from(errno: number, doing: .accept, peer: nil))
            }
            return false
        case EBADF, EINVAL, ENOTSOCK, EOPNOTSUPP, EFAULT:
            tell(SocketError.from(errno: number, doing: .accept, peer: nil))
            close()
            return false
        default:
            return true
        }
    }

    private func retry() {
        retryTimer = nil
        accept(limit: 1)
        updateWatching()
    }

    func tell(_ error: SocketError) {
        lastError = error
        send(.acceptError, .acceptError(error))
    }

    /// Whether running out of time in `waitForNewConnection` is remembered as an error.
    var remembersTimeouts: Bool { true }
}
