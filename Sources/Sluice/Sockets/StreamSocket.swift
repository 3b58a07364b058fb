import Glibc

/// Getting connected: it runs its phases in order, and ends by telling the socket that it has a connection, or why not.
protocol Connecting: AnyObject {
    /// Every address that was tried so far.
    var attempts: [ConnectionAttempt] { get }
    /// Gives up without a word.
    func cancel()
    /// For blocking waits: sleeps until something happens or the deadline (monotonic nanoseconds, nil is none) has come,
    /// and handles what happened.
    func advance(until deadline: UInt64?)
}

/// What TCP, local and TLS sockets share: a stream of bytes with buffers on both sides.
///
/// The order of events is part of the contract: `stateChanged` comes before the event that names what happened; the last data
/// before the end; `disconnected` once, and last.
public class StreamSocket: Socket, ReadinessHandler, TurnHandler {
    /// The place in the loop's poller, -1 when there is none.
    var slot: Int32 = -1
    /// What waits look for.
    var progress = Progress()
    var readLimit = 0
    var writeLimit = 0
    var readBuffer = ReadBuffer()
    var writeQueue: WriteQueue?
    /// Sent, and not yet told by bytesWritten.
    var unreported = 0
    /// What SO_RCVTIMEO is set to, in milliseconds.
    var receiveTimeout: Int32 = 0
    /// The server that accepted this socket, and the place in its list.
    var serverIndex: Int32 = -1
    unowned(unsafe) var server: Server?

    /// A connection that a server accepted, open and Connected from the start. Its descriptor is in blocking mode.
    func beginAccepted(_ descriptor: Int32, by server: Server) throws(SystemError) {
        rawDescriptor = descriptor
        flags.insert(.blocking)
        openMode = .readWrite
        state = .connected
        readLimit = Server.untakenReadLimit
        try register()
        server.remember(self)
    }

    /// Somebody took this socket from its server's queue.
    func taken() {
        readLimit = 0
        resumeReading()
        announceUnread()
    }

    /// Counts of what happened, for waits to compare with what they began with.
    struct Progress {
        /// Chunks that were received, and times that something was sent.
        var received: UInt32 = 0
        var sent: UInt32 = 0
        /// Times that accepted bytes were dropped.
        var dropped: UInt32 = 0
        /// Connections that ended, and among them attempts that never came to be one.
        var ended: UInt32 = 0
        var failed: UInt32 = 0
    }

    deinit {
        server?.forget(self)
        endConnecting()
        endClosing()
        existingDetails?.waits.forEach { $0.cancel() }
        dropBuffers()
        releaseDescriptor()
    }

    /// What to watch a connection for. Everything is edge-triggered, once and for all: no system call per pause or resume.
    var interest: Readiness { [.readable, .writable, .readHangup, .edgeTriggered] }

    /// Checks what can be checked of a descriptor that somebody hands in.
    func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {}

    // MARK: Coming to a connection

    /// The common beginning of every kind of connect: refuses what the state does not allow and forgets the last connection.
    func beginConnecting(to name: String) throws(SocketError) {
        guard state == .unconnected || state == .bound else {
            try refuse(.operation, "The socket is in state \(state.name): disconnect or abort it first")
        }
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        if state == .unconnected { releaseDescriptor() }
        epoch &+= 1
        dropBuffers()
        flags.subtract([.closeWhenConnected, .readFinished, .writeFinishing, .writeFinished, .readPaused, .writeBlocked,
            .hungUp, .readChannelFinishedSent, .receiveInTurn, .announceInTurn, .optionsPending])
        clearError()
        details.peerName = name
        details.peer = nil
    }

    var connectTimeoutError: SocketError {
        SocketError(.socketTimeout, "The connection was not made in time" + peerSuffix, systemError: ETIMEDOUT)
    }

    func startConnectTimer(_ onTimeout: @escaping (StreamSocket) -> Void) {
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

    /// A connect attempt came to nothing.
    func connectFailed(_ error: SocketError) {
        var error = error
        if error.attempts.isEmpty, let attempts = existingDetails?.connecting?.attempts { error.attempts = attempts }
        if bytesToWrite > 0 { error.message += "; \(bytesToWrite) bytes were not sent" }
        endConnecting()
        epoch &+= 1
        let begun = epoch
        progress.ended &+= 1
        progress.failed &+= 1
        writeQueueDropped()
        releaseDescriptor()
        details.error = error
        errorCount &+= 1
        setState(.unconnected)
        // Even if a handler has started the next attempt by now, this one's failure is told.
        if begun == epoch { details.error = error }
        send(.errorOccurred, .errorOccurred(error))
        completeWaits()
    }

    /// There is a connection. `readiness`: what its descriptor was known to be ready for.
    func connectionMade(readiness: Readiness) {
        let begun = epoch
        endConnecting()
        clearError()
        setState(.connected)
        guard begun == epoch else { return }
        willAnnounceConnection()
        send(.connected, .connected)
        guard begun == epoch else { return }
        completeWaits()
        guard begun == epoch else { return }
        if flags.contains(.closeWhenConnected) {
            disconnectFromHost()
            guard begun == epoch else { return }
        }
        if bytesToWrite > 0 { requestSend() } else if flags.contains(.writeFinishing) { writingDone() }
        guard begun == epoch else { return }
        // Reading begins in the next turn: whoever waits for the connection comes first.
        if !readiness.isDisjoint(with: [.readHangup, .error, .hangup]) { flags.insert(.hungUp) }
        if flags.contains(.hungUp) || readiness.contains(.readable) { requestTurn(.receiveInTurn) }
    }

    /// The last moment before `connected` is sent.
    func willAnnounceConnection() {}

    /// `close` was called: the connection may still be sending.
    func deviceClosed() {}

    /// The connection is no more; its events are still to come.
    func connectionForgotten() {}

    /// Takes over an open descriptor, connected ones with their place in the poller if they have one.
    func adopt(_ descriptor: Int32, slot: Int32) {
        rawDescriptor = descriptor
        self.slot = slot
        if slot >= 0 { loop.poller.transfer(slot, to: self) }
    }

    func register() throws(SystemError) {
        slot = try loop.poller.register(rawDescriptor, for: interest, handler: self)
    }

    /// Closes the descriptor, if there is one.
    func releaseDescriptor() {
        guard rawDescriptor >= 0 else { return }
        System.close(detachDescriptor())
    }

    /// Forgets the descriptor, which stays open.
    private func detachDescriptor() -> Int32 {
        unregister()
        loop.idleDescriptors.remove(rawDescriptor)
        receiveTimeout = 0
        flags.subtract([.blocking, .watchesWritable])
        defer { rawDescriptor = -1 }
        return rawDescriptor
    }

    func unregister() {
        guard slot >= 0 else { return }
        loop.poller.unregister(slot)
        slot = -1
    }

    func dropBuffers() {
        readBuffer.removeAll()
        if loop.buffers.incoming.pointee.isOwned(by: self) { loop.buffers.incoming.pointee.owner = nil }
        writeQueueDropped()
    }

    func writeQueueDropped() {
        unreported = 0
        if gatheredCount > 0 {
            loop.buffers.outgoing.pointee.owner = nil
            progress.dropped &+= 1
            withdrawSend()
        }
        guard let queue = writeQueue else { return }
        writeQueue = nil
        withdrawSend()
        if !queue.isEmpty { progress.dropped &+= 1 }
        queue.removeAll()
        loop.buffers.recycle(queue)
        flags.insert(.dropping)
        queue.runReleases()
        flags.remove(.dropping)
    }

    // MARK: Turns and readiness

    func requestTurn(_ reason: Flags) {
        flags.insert(reason)
        guard !flags.contains(.turnRequested) else { return }
        flags.insert(.turnRequested)
        loop.requestTurn(self)
    }

    func takeTurn() {
        flags.remove(.turnRequested)
        let begun = epoch
        if flags.contains(.reportWrittenInTurn) {
            flags.remove(.reportWrittenInTurn)
            reportWritten()
            guard begun == epoch else { return }
        }
        if flags.contains(.announceInTurn) {
            flags.remove(.announceInTurn)
            if !readBuffer.isEmpty { announceRead() }
            guard begun == epoch else { return }
        }
        if flags.contains(.receiveInTurn) {
            flags.remove(.receiveInTurn)
            receive()
        }
    }

    func descriptorReady(_ readiness: Readiness) {
        if !readiness.isDisjoint(with: [.readHangup, .error, .hangup]) { flags.insert(.hungUp) }
        if flags.contains(.writeBlocked), !readiness.isDisjoint(with: [.writable, .error, .hangup]) {
            flags.remove(.writeBlocked)
            let begun = epoch
            _ = sendQueue()
            guard begun == epoch else { return }
        }
        if flags.contains(.readFinished), readiness.contains(.error), state == .connected {
            // Half-open and idle: nothing else would notice a reset.
            let number = System.socketError(rawDescriptor)
            // After the peer's FIN Linux calls its reset a broken pipe.
            if number != 0 { connectionBroken(number == EPIPE ? ECONNRESET : number, doing: .read) }
            return
        }
        if !readiness.isDisjoint(with: [.readable, .readHangup, .error, .hangup]) { receive() }
    }

    // MARK: State

    public override var bytesAvailable: Int { readBuffer.count }
    public override var bytesToWrite: Int { writeQueue?.count ?? gatheredCount }
    public override var canReadLine: Bool { readBuffer.firstLineLength() != nil }

    public override var readBufferSize: Int { readLimit }
    public override var writeBufferSize: Int { writeLimit }

    /// At most so many bytes are kept unread (0: no limit); beyond that the peer is held back by the system's flow control.
    public override func setReadBufferSize(_ size: Int) throws(SocketError) {
        try checkSize(size, "readBufferSize")
        readLimit = size
        resumeReading()
    }

    /// `write` accepts bytes while fewer than so many are unsent (0: no limit).
    public override func setWriteBufferSize(_ size: Int) throws(SocketError) {
        try checkSize(size, "writeBufferSize")
        writeLimit = size
    }

    // MARK: Reading, writing, closing, waiting: what these do is told in the extensions

    public override func read(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try readBytes(into: buffer, peek: false)
    }

    public override func peek(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try readBytes(into: buffer, peek: true)
    }

    public override func readLine(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try readLineBytes(into: buffer)
    }

    public override func lineLength(maxSize: Int) -> Int { measureLine(maxSize: maxSize) }
    public override func skip(_ maxSize: Int) throws(SocketError) -> Int { try skipBytes(maxSize) }
    public override func ungetChar(_ byte: UInt8) throws(SocketError) { try putBack(byte) }
    public override func write(_ bytes: UnsafeRawBufferPointer) throws(SocketError) -> Int { try queueCopy(of: bytes) }

    public override func write(borrowed bytes: UnsafeRawBufferPointer, release: (() -> Void)?) throws(SocketError) -> Int {
        try queueBorrowed(bytes, release: release)
    }

    public override func flush() -> Bool { flushQueue() }
    public override func shutdownWrite() throws(SocketError) { try finishWriting() }
    public override func disconnectFromHost() { closeGracefully() }
    public override func close() { closeDevice() }
    public override func abort() { closeAtOnce() }
    public override func wait(for kind: Wait.Kind, timeout: Int) -> Bool { waitBlocking(for: kind, timeout: timeout) }
    override func verdict(on kind: Wait.Kind) -> Bool? { streamVerdict(on: kind) }
    override func waitTimedOut(_ kind: Wait.Kind) { streamWaitTimedOut(kind) }

    // MARK: Descriptors

    /// Takes over a native descriptor. What this object had before is closed without a word.
    public override func setDescriptor(
        _ descriptor: Int32, state: SocketState = .connected, openMode: OpenMode = .readWrite
    ) throws(SocketError) {
        guard [.connected, .unconnected, .bound].contains(state) else {
            throw SocketError(.invalidArgument, "A descriptor can be taken over as Connected, Bound or Unconnected, not as \(state.name)")
        }
        guard System.isOpen(descriptor), System.isSocket(descriptor) else {
            try refuse(.unsupportedSocketOperation, "\(descriptor) is not the descriptor of a socket")
        }
        try checkDescriptor(descriptor, state: state)
        if state == .connected, System.peerAddress(descriptor) == nil {
            try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not connected")
        }
        guard descriptor == rawDescriptor || !loop.holds(descriptor) else {
            try refuse(.operation, "The descriptor \(descriptor) belongs to another object")
        }
        endConnecting()
        epoch &+= 1
        if descriptor != rawDescriptor { releaseDescriptor() } else { _ = detachDescriptor() }
        dropBuffers()
        flags.formIntersection([.allowHalfOpen, .pauseOnSslErrors, .turnRequested, .sendRequested])
        rawDescriptor = descriptor
        clearError()
        self.openMode = openMode
        if state == .connected {
            do throws(SystemError) { try register() } catch {
                rawDescriptor = -1
                throw SocketError.from(error)
            }
        } else {
            loop.idleDescriptors.insert(descriptor)
        }
        setState(state)
    }

    /// Gives the descriptor away, in blocking mode: the caller closes it, and this object is Unconnected. Nothing unread or unsent
    /// may be left.
    public override func takeDescriptor() throws(SocketError) -> Int32 {
        guard descriptor >= 0 else { throw SocketError(.invalidState, "The socket has no descriptor") }
        guard readBuffer.isEmpty, bytesToWrite == 0 else {
            throw SocketError(
                .operation, "\(bytesAvailable) bytes are unread and \(bytesToWrite) unsent: read and flush before taking the descriptor")
        }
        if receiveTimeout != 0 { _ = System.setReceiveTimeout(rawDescriptor, milliseconds: 0) }
        _ = System.setNonBlocking(rawDescriptor, false)
        let taken = detachDescriptor()
        epoch &+= 1
        progress.ended &+= 1
        openMode = []
        endConnecting()
        endClosing()
        setState(.unconnected)
        completeWaits()
        return taken
    }

    func endClosing() {
        existingDetails?.closeTimer?.cancel()
        existingDetails?.closeTimer = nil
    }

    override func shutDown() {
        if state != .unconnected { abort() }
        // After a close the descriptor outlives the state until the events are over; here they are.
        openMode = []
        dropBuffers()
        releaseDescriptor()
        server?.forget(self)
        existingDetails?.waits.forEach { $0.cancel() }
        existingDetails?.waits = []
    }
}
