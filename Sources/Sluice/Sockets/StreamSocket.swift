import Glibc

/// What TCP, local and TLS sockets share: a stream of bytes with buffers on both sides.
///
/// The order of events is part of the contract: `stateChanged` comes before the event that names what happened; the last data
/// before the end; `disconnected` once, and last.
public class StreamSocket: Socket {
    var readLimit = 0
    var writeLimit = 0
    var readBuffer = ReadBuffer()
    var writeQueue: WriteQueue?
    /// Sent, and not yet told by bytesWritten.
    var unreported = 0
    /// The server that accepted this socket, and the place in its list.
    var serverIndex: Int32 = -1
    unowned(unsafe) var server: Server?

    /// A connection that a server accepted, open and Connected from the start. Its descriptor is in blocking mode.
    func beginAccepted(_ descriptor: Int32, by server: Server) throws(SystemError) {
        rawDescriptor = descriptor
        flags.formUnion([.blocking, .untaken])
        openMode = .readWrite
        state = .connected
        readLimit = Server.untakenReadLimit
        try register()
        server.remember(self)
    }

    /// The ends of the connection are not those of the descriptor: a load balancer stands between.
    func showAddresses(peer: SocketAddress, local: SocketAddress) {
        details.shown = ShownAddresses(
            localAddress: local.hostAddress?.description ?? "", localPort: Int(local.port),
            peerAddress: peer.hostAddress?.description ?? "", peerPort: Int(peer.port), isByProxy: true, hasLocalEnd: true)
        details.peer = peer.description
    }

    /// Somebody took this socket from its server's queue.
    func taken() {
        guard flags.contains(.untaken) else { return }
        flags.remove(.untaken)
        readLimit = 0
        resumeReading()
        announceUnread()
    }

    deinit {
        server?.forget(self)
        endConnecting()
        endClosing()
        existingDetails?.waits.forEach { $0.cancel() }
        dropUnread()
        dropUnsent()
        releaseDescriptor()
    }

    /// What to watch a connection for. Everything is edge-triggered, once and for all: no system call per pause or resume.
    override var interest: Readiness { [.readable, .writable, .readHangup, .edgeTriggered] }

    // MARK: Coming to a connection

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

    /// Takes over an open descriptor, connected ones with their place in the poller if they have one.
    func adopt(_ descriptor: Int32, slot: Int32) {
        rawDescriptor = descriptor
        self.slot = slot
        if slot >= 0 { loop.poller.transfer(slot, to: self) }
    }

    override func dropUnread() {
        readBuffer.removeAll()
        if loop.buffers.incoming.pointee.isOwned(by: self) { loop.buffers.incoming.pointee.owner = nil }
    }

    override func dropUnsent() {
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

    override func parkUnsent() {
        unreported = 0
        withdrawSend()
        // Bytes that only wait for the end of a handler lie in memory that all sockets share.
        if gatheredCount > 0, queueForWriting() == nil { dropUnsent() }
    }

    // MARK: Turns and readiness

    override func takeTurn() {
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
        if flags.contains(.transportInTurn) {
            flags.remove(.transportInTurn)
            transportReady(readable: true, writable: true)
            guard begun == epoch else { return }
        }
        if flags.contains(.receiveInTurn) {
            flags.remove(.receiveInTurn)
            receive()
        }
    }

    override var isSettled: Bool { readBuffer.isEmpty && bytesToWrite == 0 }
    override func sendSoon() { requestSend() }
    override func tellWritten() { reportWritten() }

    override func descriptorReady(_ readiness: Readiness) {
        if flags.contains(.transportInUse) {
            transportReady(readable: true, writable: true)
            return
        }
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
        noteChange()
    }

    /// `write` accepts bytes while fewer than so many are unsent (0: no limit).
    public override func setWriteBufferSize(_ size: Int) throws(SocketError) {
        try checkSize(size, "writeBufferSize")
        writeLimit = size
        noteChange()
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

    override var readVerdict: Bool? {
        // Behind a full buffer nothing new can come before something is read.
        state == .connected && !flags.contains(.readFinished) && readRoom > 0 ? nil : false
    }

    /// As recv(2) that waits or does not, or minus errno, where there is more to it than that.
    func receiveIndirectly(_ place: UnsafeMutableRawPointer, _ room: Int, waiting: Bool) -> Int {
        guard let transport else { return -Int(ENOTCONN) }
        return receive(over: transport, place, room)
    }

    /// As `WriteQueue.send(to:)`, with what travels beside the bytes.
    func sendWithDescriptors(_ queue: WriteQueue) -> (sent: Int, complete: Bool) { queue.send(to: rawDescriptor) }

    override func saidGoodbye() -> Bool {
        guard let transport, flags.contains(.transportInUse), !flags.contains(.writeFinished) else { return true }
        return finishSending(transport) != -Int(EAGAIN)
    }

    /// Has the transport a handshake of its own to go on with? True: nothing else may happen to the bytes yet.
    func goesOnWithTransport() -> Bool { false }

    override func endTransport() {
        flags.remove(.transportInUse)
        guard let transport else { return }
        if rawDescriptor < 0 { details.shown = ShownAddresses() }
        flags.insert(.inTransport)
        transport.close()
        flags.remove(.inTransport)
    }

    override func sleepOnce(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        sleepOnStream(for: kind, timeout: timeout, deadline: deadline)
    }

    override func shutDown() {
        super.shutDown()
        // Whose transport it is may count on its end, even if the loop still has a turn for this object.
        if flags.contains(.hasTransport) { install(nil) }
        server?.forget(self)
    }
}
