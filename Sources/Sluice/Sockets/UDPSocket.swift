import CLinux
import Glibc

/// A datagram socket (RFC 768): bound to an address, from where it talks to anybody, or connected to one peer.
///
/// Every datagram is sent and received whole, once or not at all: the network may lose them, double them or change their order.
/// An error concerns one datagram, is told by `errorOccurred`, and changes nothing about the socket.
public final class UDPSocket: Socket {
    struct DatagramFlags: OptionSet {
        let rawValue: UInt8

        /// `readyRead` was told, and nothing was read since.
        static let announced = DatagramFlags(rawValue: 1 << 0)
        /// The system may hold datagrams that it will not tell of again.
        static let moreInSystem = DatagramFlags(rawValue: 1 << 1)
        /// bytesWritten is still to be told, of no bytes perhaps.
        static let unreported = DatagramFlags(rawValue: 1 << 2)
        static let dualStack = DatagramFlags(rawValue: 1 << 3)
        static let ipv6 = DatagramFlags(rawValue: 1 << 4)
        /// Datagrams were lost for want of memory.
        static let lostForMemory = DatagramFlags(rawValue: 1 << 5)
    }

    var datagramFlags: DatagramFlags = []
    /// The port of this socket, once somebody has asked.
    var ownPort: UInt16 = 0
    /// Datagrams up to this size may leave several in one message.
    var largestSegment: UInt16 = .max
    /// How much more may be received in this turn.
    var share = 0
    /// Sent, and not yet told by bytesWritten.
    var unreported = 0
    /// Counts errors of earlier datagrams that the network told (ICMP): each ends the waits for datagrams that are in progress.
    public internal(set) var failureCount: Int32 = 0
    /// What it was when the blocking wait in progress began (-1: there is none).
    var failureCountOfWait: Int32 = -1
    var inbox = DatagramInbox()
    /// What only some sockets need at some time.
    var extras: UDPExtras?

    public init(loop: EventLoop) { super.init(loop: loop, kind: .udpSocket) }

    deinit {
        endAssociation()
        endConnecting()
        endClosing()
        existingDetails?.waits.forEach { $0.cancel() }
        dropUnread()
        dropUnsent()
        releaseDescriptor()
    }

    public override var socketType: SocketType { .udp }

    var existingOutbox: DatagramOutbox? { extras?.outbox }

    func makeExtras() -> UDPExtras {
        if let extras { return extras }
        let fresh = UDPExtras()
        extras = fresh
        return fresh
    }

    // MARK: Binding and connecting

    /// Gives the socket an address to receive at: Bound. "any" is both families, port 0 picks one. With ShareAddress (or
    /// ReuseAddressHint) several sockets may have one address if all of them ask for it (SO_REUSEADDR); with ReusePort the system
    /// spreads what comes over them.
    public override func bind(_ address: String = "any", port: Int = 0, mode: BindMode = []) throws(SocketError) {
        if let proxy = try proxyForDatagrams(with: address) {
            try bind(by: proxy, port: port)
        } else {
            try bind(address, port: port, mode: mode, type: System.datagram)
        }
    }

    /// Fixes the peer: from then on only its datagrams come in, and `read` and `write` are for it, one datagram each. Nothing is
    /// sent. An address is connected to before this returns; a name is looked up first. A bound socket keeps its address.
    public override func connectToHost(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) {
        let proxy = try proxyForDatagrams(with: host, port: port)
        let waiting = state == .bound ? existingOutbox : nil
        try connect(to: host, port: port, openMode: openMode.union(.unbuffered), protocol: `protocol`) {
            way(to: host, port: $0, by: proxy)
        }
        if let waiting {
            report(SocketError(.datagramWrite, "\(waiting.summary) were not sent: the socket was connected before they could be"))
        }
    }

    /// Nil when it worked.
    func connectDescriptor(to host: HostAddress, port: UInt16) -> SocketError? {
        let isFresh = rawDescriptor < 0
        do throws(SocketError) {
            if isFresh { try open(host.protocolFamily) }
            guard let reached = reachable(host) else {
                throw SocketError(
                    .connectionRefused, "\(host) cannot be reached from \(localAddress), which the socket is bound to",
                    systemError: EAFNOSUPPORT)
            }
            let result = System.connect(rawDescriptor, SocketAddress(reached, port: port))
            guard result == 0 else {
                throw SocketError.from(
                    errno: Int32(truncatingIfNeeded: -result), doing: .connect, peer: host.description(port: port))
            }
            if slot < 0 { try watchDescriptor(.connected) }
            ownPort = 0
            details.peer = host.description(port: port)
            // What came to the bound socket before is still there, and the system does not tell of it again.
            if !isFresh { lookAgain() }
            return nil
        } catch {
            if isFresh { releaseDescriptor() }
            return error
        }
    }

    private func open(_ family: Int32) throws(SocketError) {
        do throws(SystemError) {
            rawDescriptor = try System.socket(family: family, type: System.datagram, nonBlocking: true).release()
        } catch {
            throw SocketError.from(error)
        }
        prepare(rawDescriptor)
    }

    /// The peer is fixed.
    func connectionMade() {
        let begun = epoch
        endConnecting()
        clearError()
        setState(.connected)
        guard begun == epoch else { return }
        send(.connected, .connected)
        guard begun == epoch else { return }
        completeWaits()
        guard begun == epoch else { return }
        if flags.contains(.closeWhenConnected) { disconnectFromHost() }
    }

    /// How this socket has to name a destination: nil when it cannot send there.
    func reachable(_ host: HostAddress) -> HostAddress? {
        if !datagramFlags.contains(.ipv6) {
            let four = host.unmapped
            return four.isIPv4 ? four : nil
        }
        if datagramFlags.contains(.dualStack) { return host.mappedToIPv6 }
        return host.isIPv6 && !host.isIPv4Mapped ? host : nil
    }

    override func prepare(_ descriptor: Int32) {
        if extras?.bindsForRelay != true { endAssociation() }
        let family = System.socketFamily(descriptor) ?? AF_INET
        let isDualStack = family == AF_INET6 && System.isDualStack(descriptor)
        datagramFlags = datagramFlags.intersection(.unreported)
        if family == AF_INET6 { datagramFlags.insert(.ipv6) }
        if isDualStack { datagramFlags.insert(.dualStack) }
        ownPort = 0
        largestSegment = .max
        extras?.destination = nil
        System.prepareForDatagrams(descriptor, family: family, dualStack: isDualStack)
        if let interface = extras?.multicastInterface, let number = System.interfaceIndex(interface) {
            _ = setMulticastInterface(descriptor, number)
        }
        super.prepare(descriptor)
    }

    // MARK: Descriptors

    override func watches(_ state: SocketState) -> Bool { state == .connected || state == .bound }

    override func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {
        let family = System.socketFamily(descriptor)
        guard family == AF_INET || family == AF_INET6, System.socketType(descriptor) == System.datagram else {
            try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not that of a datagram socket")
        }
    }

    /// Gives the descriptor away: the caller closes it, and this object is Unconnected. Nothing unread or unsent may be left, in
    /// the system neither.
    public override func takeDescriptor() throws(SocketError) -> Int32 {
        guard descriptor >= 0 else { throw SocketError(.invalidState, "The socket has no descriptor") }
        guard association == nil else {
            throw SocketError(.unsupportedSocketOperation, "The descriptor only speaks to the proxy's relay: it cannot be given away")
        }
        if inbox.isEmpty, fetch(wait: false) > 0 { lookAgain() }
        // The next owner expects one datagram at a time: none may wait that the system has joined.
        System.setCoalescing(rawDescriptor, false)
        do throws(SocketError) {
            guard !isReadableNow else { throw SocketError(.operation, "Datagrams are unread: read them before taking the descriptor") }
            let taken = try giveDescriptor()
            extras = nil
            return taken
        } catch {
            if rawDescriptor >= 0 { System.setCoalescing(rawDescriptor, true) }
            throw error
        }
    }

    private var isReadableNow: Bool {
        var entry = pollfd(fd: rawDescriptor, events: Int16(POLLIN), revents: 0)
        return System.poll(&entry, 1, timeoutMilliseconds: 0) > 0 && Int32(entry.revents) & POLLIN != 0
    }

    override var isSettled: Bool { inbox.isEmpty && existingOutbox == nil }
    override func connectionForgotten() { endAssociation() }

    override func connectFailed(_ error: SocketError) {
        var error = error
        if error.attempts.isEmpty, let association { error.attempts = association.attempts }
        endAssociation()
        super.connectFailed(error)
    }

    // MARK: Closing

    /// Sends what is queued first (Closing); nothing queued: at once. What is unread is dropped. A socket that was merely bound
    /// ends in the same way, but without `disconnected`. While connecting it is remembered.
    public override func disconnectFromHost() {
        guard stopConnectingByItself(telling: false) else { return }
        guard state == .bound || state == .connected else {
            closeGracefully()
            return
        }
        let begun = epoch
        if state == .bound { flags.insert(.onlyBound) } else { flags.remove(.onlyBound) }
        dropUnread()
        setState(.closing)
        guard begun == epoch else { return }
        if existingOutbox == nil { finishClose() } else { waitForRest() }
    }

    override func dropUnread() {
        inbox.removeAll()
        datagramFlags.subtract([.announced, .moreInSystem])
        if loop.buffers.datagrams.owner === self { loop.buffers.datagrams.owner = nil }
    }

    override func dropUnsent() {
        unreported = 0
        datagramFlags.remove(.unreported)
        guard let outbox = existingOutbox else { return }
        extras?.outbox = nil
        outbox.cancelLookups()
    }

    // MARK: Turns and readiness

    override func takeTurn() {
        flags.remove(.turnRequested)
        let begun = epoch
        if datagramFlags.contains(.lostForMemory) {
            datagramFlags.remove(.lostForMemory)
            report(SocketError(.outOfMemory, "There was no memory to keep unread datagrams: they are lost"))
            guard begun == epoch else { return }
        }
        if flags.contains(.sendRequested) {
            flags.remove(.sendRequested)
            _ = sendQueue()
            guard begun == epoch else { return }
        }
        if flags.contains(.announceInTurn) {
            flags.remove(.announceInTurn)
            receive()
        }
    }

    override func descriptorReady(_ readiness: Readiness) {
        let begun = epoch
        if readiness.contains(.error) {
            reportPendingError()
            guard begun == epoch else { return }
        }
        if flags.contains(.writeBlocked), readiness.contains(.writable) {
            _ = sendQueue()
            guard begun == epoch else { return }
        }
        if readiness.contains(.readable) {
            datagramFlags.insert(.moreInSystem)
            receive()
        }
    }

    /// Asks for a turn in which to look for datagrams.
    func lookAgain() {
        datagramFlags.insert(.moreInSystem)
        requestTurn(.announceInTurn)
    }

    /// An error that ICMP reported of an earlier datagram. Asking for it ends it.
    func reportPendingError() {
        let number = System.socketError(rawDescriptor)
        if number != 0 { reportEarlierFailure(number) }
    }

    func reportEarlierFailure(_ number: Int32) {
        let begun = epoch
        failureCount = (failureCount &+ 1) & .max
        report(SocketError.from(errno: number, doing: .read, peer: peerDescription))
        if begun == epoch { failReadWaits() }
    }

    // MARK: What is told in the extensions

    /// The size of the next datagram, or of what is left of it when it is read as a stream; 0 when there is none.
    public override var bytesAvailable: Int { max(0, pendingDatagramSize) }
    override var bytesHeld: Int { inbox.front.count }
    public override var bytesToWrite: Int { existingOutbox?.bytes ?? 0 }
    public override var atEnd: Bool { !isReadable || inbox.front.isEmpty }
    public override var canReadLine: Bool { isReadable && frontLineLength != nil }
    public override var readBufferSize: Int { extras?.readLimit ?? 0 }
    public override var writeBufferSize: Int { extras?.writeLimit ?? 0 }

    /// Without effect: the system's own buffer (option ReceiveBufferSize) decides how many datagrams wait.
    public override func setReadBufferSize(_ size: Int) throws(SocketError) {
        try checkSize(size, "readBufferSize")
        makeExtras().readLimit = size
        noteChange()
    }

    /// How many bytes may wait where the system takes no more for the moment, or for the lookup of a name; 0: 1 MiB.
    public override func setWriteBufferSize(_ size: Int) throws(SocketError) {
        try checkSize(size, "writeBufferSize")
        makeExtras().writeLimit = size
        noteChange()
    }

    public override func read(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try readStream(into: buffer, limit: buffer.count)
    }

    public override func peek(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try peekStream(into: buffer)
    }

    public override func readLine(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try readStream(into: buffer, limit: lineLength(maxSize: 0))
    }

    public override func lineLength(maxSize: Int) -> Int { measureLine(maxSize) }
    public override func skip(_ maxSize: Int) throws(SocketError) -> Int { try skipStream(maxSize) }
    public override func ungetChar(_ byte: UInt8) throws(SocketError) { try putBack(byte) }

    /// Sends one datagram to the peer.
    public override func write(_ bytes: UnsafeRawBufferPointer) throws(SocketError) -> Int { try writeToPeer(bytes) }

    /// As `write`: datagrams leave at once, and what must wait is copied. `release` is called before this returns, unless it throws.
    public override func write(borrowed bytes: UnsafeRawBufferPointer, release: (() -> Void)?) throws(SocketError) -> Int {
        let count = try writeToPeer(bytes)
        release?()
        return count
    }

    public override func flush() -> Bool { sendQueue() }
    override func sendSoon() { requestTurn(.sendRequested) }
    override var readVerdict: Bool? { verdictOnReading }

    public override func wait(for kind: Wait.Kind, timeout: Int) -> Bool {
        let outerCount = failureCountOfWait
        failureCountOfWait = failureCount
        defer { failureCountOfWait = outerCount }
        return waitBlocking(for: kind, timeout: timeout)
    }

    override func sleepOnce(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        sleepOnDatagrams(for: kind, timeout: timeout, deadline: deadline)
    }
}

/// What only some datagram sockets need at some time, so that an idle one does not pay for it.
final class UDPExtras {
    var outbox: DatagramOutbox?
    /// Of a socket whose datagrams go by way of a proxy; and while its own descriptor is being made.
    var association: ProxyAssociation?
    var bindsForRelay = false
    var readLimit = 0
    var writeLimit = 0
    /// As it was set.
    var multicastInterface: String?
    /// The last one that was sent to, so that sending there again needs no parsing.
    var destination: (text: String, port: Int, place: Destination)?
}
