import Glibc

/// What every socket can do. Which operations a kind supports is told by its subclass; what it does not is refused
/// with UnsupportedSocketOperationError.
open class Socket: EventSource, ReadinessHandler, TurnHandler {
    /// Milliseconds to connect and to close, until set otherwise.
    static let standardTimeLimit = 60_000

    struct Flags: OptionSet {
        let rawValue: UInt32
        /// `disconnectFromHost` came before there was a connection: close once it is there.
        static let closeWhenConnected = Flags(rawValue: 1 << 0)
        /// The peer sends no more.
        static let readFinished = Flags(rawValue: 1 << 1)
        /// `shutdownWrite` was asked for, and done.
        static let writeFinishing = Flags(rawValue: 1 << 2)
        static let writeFinished = Flags(rawValue: 1 << 3)
        /// The read buffer is full; reading goes on when there is room.
        static let readPaused = Flags(rawValue: 1 << 4)
        /// The system takes no more for the moment.
        static let writeBlocked = Flags(rawValue: 1 << 5)
        /// The system said that the peer has closed, in one direction at least: read until the end comes.
        static let hungUp = Flags(rawValue: 1 << 6)
        /// Events that are not sent from inside their own handlers.
        static let inReadyRead = Flags(rawValue: 1 << 7)
        static let inBytesWritten = Flags(rawValue: 1 << 8)
        /// The loop will give this socket a turn, or have it send.
        static let turnRequested = Flags(rawValue: 1 << 9)
        static let sendRequested = Flags(rawValue: 1 << 10)
        /// What to do in that turn.
        static let receiveInTurn = Flags(rawValue: 1 << 11)
        static let announceInTurn = Flags(rawValue: 1 << 12)
        static let allowHalfOpen = Flags(rawValue: 1 << 13)
        static let pauseOnSslErrors = Flags(rawValue: 1 << 14)
        /// The descriptor is in blocking mode.
        static let blocking = Flags(rawValue: 1 << 15)
        /// EPOLLOUT is asked for at the moment (sockets whose kind asks only while blocked).
        static let watchesWritable = Flags(rawValue: 1 << 16)
        /// Closing without ever having been connected: no `disconnected` is told.
        static let onlyBound = Flags(rawValue: 1 << 24)
        /// A transport stands behind this socket, carries its connection, is being called, asked for a turn of the loop.
        static let hasTransport = Flags(rawValue: 1 << 22)
        static let transportInUse = Flags(rawValue: 1 << 23)
        static let inTransport = Flags(rawValue: 1 << 25)
        static let transportInTurn = Flags(rawValue: 1 << 26)
        /// Descriptors may come along with the bytes.
        static let passesDescriptors = Flags(rawValue: 1 << 27)
        /// The last read stopped at a descriptor that came with the bytes: there may be more behind it.
        static let stoppedAtDescriptor = Flags(rawValue: 1 << 28)
        /// Accepted, and still in its server's queue.
        static let untaken = Flags(rawValue: 1 << 30)
        /// Descriptors wait for a byte to travel with.
        static let descriptorsToSend = Flags(rawValue: 1 << 29)
        /// Receiving is more than recv(2).
        static let indirect: Flags = [.hasTransport, .passesDescriptors]
        /// What the object is rather than what its connection does: it stays when a connection ends or is replaced.
        static let lasting: Flags = [
            .allowHalfOpen, .pauseOnSslErrors, .turnRequested, .sendRequested, .hasTransport, .passesDescriptors,
        ]
        static let readChannelFinishedSent = Flags(rawValue: 1 << 17)
        /// The queue was dropped, and borrowed memory is given back: nothing new is accepted meanwhile.
        static let dropping = Flags(rawValue: 1 << 19)
        /// An option was set while connecting: the descriptor that wins does not have it yet.
        static let optionsPending = Flags(rawValue: 1 << 20)
        /// The last sync failed without an error of its own.
        static let syncErrorIsOld = Flags(rawValue: 1 << 21)
        /// Bytes that an unbuffered write sent at once are told in the next turn.
        static let reportWrittenInTurn = Flags(rawValue: 1 << 18)
    }

    var flags: Flags = []
    public internal(set) var state = SocketState.unconnected
    public internal(set) var openMode: OpenMode = []
    /// The open descriptor, -1 when there is none. It outlives the state Connected until the events of the close are over,
    /// so that their handlers can still ask for addresses.
    var rawDescriptor: Int32 = -1
    /// The place in the loop's poller, -1 when there is none.
    var slot: Int32 = -1
    /// What waits look for.
    var progress = Progress()
    /// Counts of what happened, for waits to compare with what they began with.
    struct Progress {
        /// Chunks that were received, and times that something was sent.
        var received: UInt32 = 0
        var sent: UInt32 = 0
        /// Times that accepted bytes were dropped.
        var dropped: UInt16 = 0
        /// Connections that ended, and among them attempts that never came to be one.
        var ended: UInt16 = 0
        var failed: UInt16 = 0
    }

    /// What SO_RCVTIMEO is set to, in milliseconds.
    var receiveTimeout: Int32 = 0
    /// Changes with each connection's begin and end: who sends an event compares it afterwards, because the handler
    /// may have closed or reconnected this socket.
    var epoch: UInt32 = 0
    /// Counts errors, so that an old one can be told from a new one.
    var errorCount: UInt32 = 0
    private var storedDetails: SocketDetails?

    var details: SocketDetails {
        if let storedDetails { return storedDetails }
        let fresh = SocketDetails()
        storedDetails = fresh
        return fresh
    }
    var existingDetails: SocketDetails? { storedDetails }

    override init(loop: EventLoop, kind: ObjectKind) { super.init(loop: loop, kind: kind) }

    open var socketType: SocketType { .unknown }

    // MARK: State

    /// The last error; NoError before any, and again after a connect, bind or wait succeeded.
    public var error: SocketError.Code { storedDetails?.error?.code ?? .noError }
    public var errorString: String { storedDetails?.error?.message ?? "" }
    /// The last error with all that is known of it.
    public var lastError: SocketError? { storedDetails?.error }

    /// True while there is a live descriptor: Bound, Connected, Closing.
    public var isValid: Bool { descriptor >= 0 || flags.contains(.transportInUse) && (state == .connected || state == .closing) }
    public var isOpen: Bool { !openMode.isDisjoint(with: .readWrite) }
    public var isReadable: Bool { openMode.contains(.readOnly) }
    public var isWritable: Bool { openMode.contains(.writeOnly) }
    /// Always true: a socket has no position to seek to.
    public var isSequential: Bool { true }

    /// The native descriptor, -1 while there is none to speak of. It stays this object's.
    public var descriptor: Int32 {
        switch state {
        case .connected, .closing, .bound, .listening: rawDescriptor
        case .unconnected, .hostLookup, .connecting: -1
        }
    }

    /// "*" is any address of both families.
    public var localAddress: String { address(local: true)?.boundDescription(of: rawDescriptor) ?? shown?.localAddress ?? "" }
    public var localPort: Int { address(local: true).map { Int($0.port) } ?? shown?.localPort ?? 0 }
    public var peerAddress: String { address(local: false)?.hostAddress?.description ?? shown?.peerAddress ?? "" }
    public var peerPort: Int { address(local: false).map { Int($0.port) } ?? shown?.peerPort ?? 0 }
    /// The host as given to `connectToHost`; "" for accepted sockets.
    public var peerName: String { storedDetails?.peerName ?? "" }

    private func address(local: Bool) -> SocketAddress? {
        guard rawDescriptor >= 0, storedDetails?.shown.hides(local: local) != true else { return nil }
        return local ? System.localAddress(rawDescriptor) : System.peerAddress(rawDescriptor)
    }

    /// What a transport or a proxy shows of the connection.
    private var shown: ShownAddresses? {
        guard let shown = storedDetails?.shown, shown.isByProxy == (rawDescriptor >= 0) else { return nil }
        return shown
    }

    /// How messages name the other end.
    var peerDescription: String? {
        if let known = storedDetails?.peer { return known }
        return address(local: false).map { $0.description }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// The other end, for the end of a message.
    var peerSuffix: String { peerDescription.map { " (\($0))" } ?? "" }

    // MARK: Limits

    /// Whether the connection goes on for sending after the peer has ended its side (then told by readChannelFinished alone).
    public var allowHalfOpen: Bool {
        get { flags.contains(.allowHalfOpen) }
        set {
            if newValue { flags.insert(.allowHalfOpen) } else { flags.remove(.allowHalfOpen) }
            noteChange()
        }
    }
    /// Milliseconds that looking up and connecting may take, 60,000 at first; -1 is no limit. For the next attempt.
    public var connectTimeout: Int { storedDetails?.connectTimeout ?? Self.standardTimeLimit }
    /// Milliseconds that sending the rest may take in state Closing, 60,000 at first; -1 is no limit. For the next close.
    public var closeTimeout: Int { storedDetails?.closeTimeout ?? Self.standardTimeLimit }

    public func setConnectTimeout(_ milliseconds: Int) throws(SocketError) {
        try checkTimeLimit(milliseconds, "connectTimeout")
        details.connectTimeout = milliseconds
        noteChange()
    }

    public func setCloseTimeout(_ milliseconds: Int) throws(SocketError) {
        try checkTimeLimit(milliseconds, "closeTimeout")
        details.closeTimeout = milliseconds
        noteChange()
    }

    func checkTimeLimit(_ milliseconds: Int, _ name: String) throws(SocketError) {
        guard milliseconds >= -1 else {
            throw SocketError(.invalidArgument, "\(name) must be -1 (no limit) or a number of milliseconds, not \(milliseconds)")
        }
    }

    public var pauseMode: PauseMode { flags.contains(.pauseOnSslErrors) ? .onSslErrors : [] }

    public func setPauseMode(_ mode: PauseMode) {
        if mode.contains(.onSslErrors) { flags.insert(.pauseOnSslErrors) } else { flags.remove(.pauseOnSslErrors) }
    }

    /// Goes on after a pause. Nothing pauses but the encryption of TLS sockets.
    open func resume() {}

    // MARK: Options

    /// The value in force, as the system tells it; before there is a descriptor the value that was set.
    public func option(_ option: SocketOption) throws(SocketError) -> Int {
        let descriptor = descriptorForOptions
        if descriptor >= 0, let family = System.socketFamily(descriptor) {
            return try System.getSocketOption(descriptor, option, family: family, socketType: socketType)
        }
        try option.checkSupported(by: socketType)
        if let stored = storedDetails?.options.first(where: { $0.option == option }) { return stored.value }
        throw SocketError(
            .invalidState, "\(option.name) is not known before the socket has a descriptor: connect or bind it, or set the option first")
    }

    /// Sets an option; without a descriptor it is kept and applied when there is one.
    /// A value that does not fit is InvalidArgument, an option that this kind does not have UnsupportedSocketOperationError.
    public func setOption(_ option: SocketOption, _ value: Int) throws(SocketError) {
        try option.check(value, for: socketType)
        let descriptor = descriptorForOptions
        if descriptor >= 0, let family = System.socketFamily(descriptor) {
            try System.setSocketOption(descriptor, option, value, family: family, socketType: socketType)
        }
        details.setOption(option, option.isSwitch ? (value == 0 ? 0 : 1) : value)
        if state == .hostLookup || state == .connecting { flags.insert(.optionsPending) }
        noteChange()
    }

    /// While connecting it is that of the attempt which began first.
    private var descriptorForOptions: Int32 {
        rawDescriptor >= 0 ? rawDescriptor : existingDetails?.connecting?.descriptorInUse ?? -1
    }

    /// Gives a fresh descriptor the options that were set before. What the descriptor's family does not have is left out.
    func applyOptions(to descriptor: Int32, family: Int32) {
        for (option, value) in storedDetails?.options ?? [] {
            try? System.setSocketOption(descriptor, option, value, family: family, socketType: socketType)
        }
    }

    // MARK: Errors

    /// Remembers the error and tells of it.
    func report(_ error: SocketError) {
        details.error = error
        errorCount &+= 1
        send(.errorOccurred, .errorOccurred(error))
    }

    /// Refuses a call that the state does not allow: remembered, told and thrown.
    func refuse(_ code: SocketError.Code, _ message: String) throws(SocketError) -> Never {
        let error = SocketError(code, message)
        report(error)
        throw error
    }

    func clearError() { storedDetails?.error = nil }

    func setState(_ newState: SocketState) {
        guard state != newState else { return }
        state = newState
        send(.stateChanged, .stateChanged(newState))
        existingDetails?.model?.stateChanged()
    }

    func unsupported(_ operation: String) -> SocketError {
        SocketError(.unsupportedSocketOperation, "A \(kind.name) has no \(operation)")
    }

    // MARK: Operations that depend on the kind

    /// Starts to connect and returns at once; see `TCPSocket`.
    open func connectToHost(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) { throw unsupported("connectToHost") }

    open func disconnectFromHost() { closeGracefully() }
    open func abort() { closeAtOnce() }
    open func close() { closeDevice() }
    open func shutdownWrite() throws(SocketError) { throw unsupported("shutdownWrite") }
    open func bind(_ address: String = "any", port: Int = 0, mode: BindMode = []) throws(SocketError) { throw unsupported("bind") }

    /// Takes over a native descriptor. What this object had before is closed without a word.
    open func setDescriptor(
        _ descriptor: Int32, state: SocketState = .connected, openMode: OpenMode = .readWrite
    ) throws(SocketError) { try adoptDescriptor(descriptor, state: state, openMode: openMode) }

    /// Gives the descriptor away, in blocking mode: the caller closes it, and this object is Unconnected. Nothing unread or unsent
    /// may be left.
    open func takeDescriptor() throws(SocketError) -> Int32 { try giveDescriptor() }

    open var bytesAvailable: Int { 0 }
    /// The same of what was received already: the system is not asked, and nothing happens.
    var bytesHeld: Int { bytesAvailable }
    open var bytesToWrite: Int { 0 }
    open var atEnd: Bool { bytesAvailable == 0 }
    open var canReadLine: Bool { false }

    open func read(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int { throw unsupported("read") }
    open func peek(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int { throw unsupported("peek") }
    open func readLine(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int { throw unsupported("readLine") }
    /// The length of what `readLine` would give, up to `maxSize` (0: no limit).
    open func lineLength(maxSize: Int) -> Int { 0 }
    open func skip(_ maxSize: Int) throws(SocketError) -> Int { throw unsupported("skip") }
    open func ungetChar(_ byte: UInt8) throws(SocketError) { throw unsupported("ungetChar") }
    open func write(_ bytes: UnsafeRawBufferPointer) throws(SocketError) -> Int { throw unsupported("write") }

    open func write(borrowed bytes: UnsafeRawBufferPointer, release: (() -> Void)?) throws(SocketError) -> Int {
        throw unsupported("write")
    }

    open func flush() -> Bool { false }

    open var readBufferSize: Int { 0 }
    open func setReadBufferSize(_ size: Int) throws(SocketError) {}
    open var writeBufferSize: Int { 0 }
    open func setWriteBufferSize(_ size: Int) throws(SocketError) {}

    /// Waits on the calling thread, for this object alone; see `Wait`.
    open func wait(for kind: Wait.Kind, timeout: Int) -> Bool { waitBlocking(for: kind, timeout: timeout) }

    // MARK: What the kinds do each in their way

    /// What to watch the descriptor for.
    var interest: Readiness { [.readable, .edgeTriggered] }
    /// Gives a fresh or adopted descriptor what this socket wants of it.
    func prepare(_ descriptor: Int32) {
        if let family = System.socketFamily(descriptor) { applyOptions(to: descriptor, family: family) }
    }
    func descriptorReady(_ readiness: Readiness) {}
    /// Checks what can be checked of a descriptor that somebody hands in.
    func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {}
    /// Whether the descriptor is watched in this state; while connecting it is not this object that watches.
    func watches(_ state: SocketState) -> Bool { state == .connected }
    /// Nothing is unread or unsent.
    var isSettled: Bool { true }
    func takeTurn() {}
    /// Has the loop send what is queued.
    func sendSoon() {}
    /// Tells what was sent and not yet told.
    func tellWritten() {}
    /// Tells the peer that nothing more will be sent. False when that takes until the descriptor is writable.
    func saidGoodbye() -> Bool { true }
    /// The transport's connection is over.
    func endTransport() {}
    /// Drops what was received and not read, and what was accepted and not sent.
    func dropUnread() {}
    func dropUnsent() {}
    /// The connection has ended, and what is unsent waits for the next one.
    func parkUnsent() { dropUnsent() }
    /// `close` was called: the connection may still be sending.
    func deviceClosed() {}
    /// The connection is no more; its events are still to come.
    func connectionForgotten() {}
    /// What can be said of a wait for encryption, without waiting.
    var encryptionVerdict: Bool? { false }
    /// What can be said of a wait for readyRead once there is a connection, without waiting.
    var readVerdict: Bool? { false }
    /// For blocking waits: sleeps until something happens to the descriptor or the deadline has come, and handles it. False at
    /// the deadline.
    func sleepOnce(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool { false }

    override func observe(_ isObserved: Bool) { watchProperties(isObserved) }

    override func sendObserved(_ type: EventType, _ event: Event) { sendWithChanges(type, event) }

    /// Connects to the host that the properties name.
    func connectAutomatically(to host: String, port: Int, protocol: NetworkProtocol) throws(SocketError) {
        try connectToHost(host, port: port, protocol: `protocol`)
    }

    override func shutDown() {
        existingDetails?.model?.end()
        if state != .unconnected { abort() }
        // After a close the descriptor outlives the state until the events are over; here they are.
        openMode = []
        dropUnread()
        dropUnsent()
        releaseDescriptor()
        existingDetails?.waits.forEach { $0.cancel() }
        existingDetails?.waits = []
    }

    /// A connect attempt came to nothing.
    func connectFailed(_ error: SocketError) {
        var error = error
        if error.attempts.isEmpty, let attempts = existingDetails?.connecting?.attempts { error.attempts = attempts }
        error.message += unsentSuffix
        endConnecting()
        epoch &+= 1
        let begun = epoch
        progress.ended &+= 1
        progress.failed &+= 1
        letGoOfUnsent()
        releaseDescriptor()
        details.error = error
        errorCount &+= 1
        setState(.unconnected)
        // Even if a handler has started the next attempt by now, this one's failure is told.
        if begun == epoch { details.error = error }
        send(.errorOccurred, .errorOccurred(error))
        completeWaits()
    }
}

// MARK: - Reading and writing in other shapes

extension Socket {
    private func gather(
        _ size: Int, _ fill: (UnsafeMutableRawBufferPointer) throws(SocketError) -> Int
    ) throws(SocketError) -> [UInt8] {
        var failure: SocketError?
        let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            do throws(SocketError) {
                count = try fill(UnsafeMutableRawBufferPointer(buffer))
            } catch {
                failure = error
                count = 0
            }
        }
        if let failure { throw failure }
        return bytes
    }

    func checkSize(_ size: Int, _ name: String) throws(SocketError) {
        guard size >= 0 else { throw SocketError(.invalidArgument, "\(name) must not be negative (\(size))") }
    }

    /// At most `maxSize` bytes; empty when nothing is there.
    public func read(maxSize: Int) throws(SocketError) -> [UInt8] {
        try checkSize(maxSize, "maxSize")
        // One byte at least, so that the read itself tells why nothing can be read.
        return try gather(min(maxSize, max(1, bytesAvailable))) { buffer throws(SocketError) in try read(into: buffer) }
    }

    public func readAll() throws(SocketError) -> [UInt8] { try read(maxSize: bytesAvailable) }

    /// A line with its newline, or what is there when none is complete. `maxSize` 0 is no limit.
    public func readLine(maxSize: Int = 0) throws(SocketError) -> [UInt8] {
        try checkSize(maxSize, "maxSize")
        return try gather(lineLength(maxSize: maxSize)) { buffer throws(SocketError) in try readLine(into: buffer) }
    }

    /// As `read`, but the bytes stay.
    public func peek(maxSize: Int) throws(SocketError) -> [UInt8] {
        try checkSize(maxSize, "maxSize")
        return try gather(min(maxSize, max(1, bytesAvailable))) { buffer throws(SocketError) in try peek(into: buffer) }
    }

    public func peekAll() throws(SocketError) -> [UInt8] { try peek(maxSize: bytesAvailable) }

    /// One byte, nil when none is there.
    public func getChar() throws(SocketError) -> UInt8? { try read(maxSize: 1).first }

    public func putChar(_ byte: UInt8) throws(SocketError) {
        guard try write([byte]) == 1 else {
            throw SocketError(.limitReached, "The write buffer is full: writeBufferSize is \(writeBufferSize) bytes")
        }
    }

    public func write(_ bytes: [UInt8]) throws(SocketError) -> Int {
        var failure: SocketError?
        let count = bytes.withUnsafeBytes { buffer in
            do throws(SocketError) { return try write(buffer) } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return count
    }

    public func write(_ text: String) throws(SocketError) -> Int { try write(Array(text.utf8)) }
}
