import Glibc

/// What carries a stream's bytes in place of a descriptor's own recv(2) and send(2): encryption, or a way of the user's own
/// (a tunnel, a serial line, memory). The socket in front of it keeps its face: states, events, buffers, limits, waits.
///
/// All calls come on the loop's thread. Results are as those of system calls: a count, or minus an error number of errno(3).
/// A transport tells its socket with `transportReady` when a call that said -EAGAIN is worth another try. It may do so, and
/// call any other operation of the socket, at any time but from inside its own functions.
public protocol Transport: AnyObject {
    /// Begins to connect: 0 when that is done, -EINPROGRESS when it is under way (`socket.setState(.connected)` then ends it, or
    /// `setError` and `setState(.unconnected)`), or why it cannot be. Not asked when `setState(.connected)` comes by itself.
    func connect(to host: String, port: Int) -> Int
    /// Up to `buffer.count` bytes; 0 at the end of the stream, -EAGAIN when nothing is there now.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int
    /// How many of the bytes were taken; -EAGAIN when none can be now. What was taken is not offered again.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int
    /// Nothing more will be sent: 0 when the peer is told; -EAGAIN to be asked again after `transportReady`.
    func finishSending() -> Int
    /// The connection is over, for whatever reason. Another `connect` may follow.
    func close()
    /// For blocking waits: sleeps until receiving, or sending, may be worth a try, or the time (milliseconds, -1 is no limit) is over.
    /// Returns as poll(2); -EOPNOTSUPP where that cannot be waited for.
    func wait(readable: Bool, writable: Bool, timeout: Int) -> Int
    /// Why the last call failed, where an error number cannot say it.
    var failure: SocketError? { get }
}

extension Transport {
    public func connect(to host: String, port: Int) -> Int { -Int(EOPNOTSUPP) }
    public func finishSending() -> Int { 0 }
    public func wait(readable: Bool, writable: Bool, timeout: Int) -> Int { -Int(EOPNOTSUPP) }
    public var failure: SocketError? { nil }
}

extension StreamSocket {
    /// Puts a transport of the user's own behind this socket, or takes it away (nil). It stays until it is replaced: `connectToHost`
    /// then asks it to connect. Only while the socket is Unconnected, otherwise OperationError.
    public func setTransport(_ transport: (any Transport)?) throws(SocketError) {
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        guard state == .unconnected else { try refuse(.operation, "The transport cannot change while \(state.name)") }
        releaseDescriptor()
        install(transport)
    }

    func install(_ transport: (any Transport)?) {
        if transport != nil { flags.insert(.hasTransport) } else { flags.remove(.hasTransport) }
        details.transport = transport
    }

    var transport: (any Transport)? { flags.contains(.hasTransport) ? existingDetails?.transport : nil }

    /// The transport tells that receiving, or sending, may be worth a try again.
    public func transportReady(readable: Bool, writable: Bool) {
        guard flags.contains(.transportInUse) else { return }
        guard !flags.contains(.inTransport) else {
            requestTurn(.transportInTurn)
            return
        }
        guard !goesOnWithTransport() else { return }
        if writable, flags.contains(.writeBlocked) {
            flags.remove(.writeBlocked)
            let begun = epoch
            _ = sendQueue()
            guard begun == epoch else { return }
        }
        if readable { receive() }
    }

    /// The connection goes over the transport from here on.
    func useTransport() { flags.insert(.transportInUse) }

    /// A read by way of the transport.
    func receive(over transport: any Transport, _ place: UnsafeMutableRawPointer, _ room: Int) -> Int {
        guard flags.contains(.transportInUse), !flags.contains(.inTransport) else { return -Int(EAGAIN) }
        flags.insert(.inTransport)
        let received = transport.receive(into: UnsafeMutableRawBufferPointer(start: place, count: room))
        flags.remove(.inTransport)
        // Closed from inside the transport: nobody is there to take it.
        guard flags.contains(.transportInUse) else { return -Int(EAGAIN) }
        return min(received, room)
    }

    /// Connects by way of the transport, which knows what host and port mean to it.
    func connectTransport(_ transport: any Transport, to host: String, port: Int, openMode: OpenMode) throws(SocketError) {
        try beginConnecting(to: host, port: port)
        self.openMode = openMode.isDisjoint(with: .readWrite) ? openMode.union(.readWrite) : openMode
        details.peer = port > 0 ? "\(host.abbreviated):\(port)" : host.abbreviated
        let attempt = TransportConnecting(self, transport: transport, address: peerDescription ?? "")
        details.connecting = attempt
        useTransport()
        let begun = epoch
        setState(.connecting)
        guard begun == epoch else { return }
        startConnectTimer { socket in
            socket.connectFailed(socket.connectTimeoutError)
        }
        let result = transport.connect(to: host, port: port)
        guard begun == epoch, state == .connecting else { return }
        attempt.isUnderWay = true
        if result == 0 {
            transportConnected()
        } else if result != -Int(EINPROGRESS) {
            let number = Int32(clamping: -result)
            connectFailed(transport.failure ?? SocketError.from(errno: number, doing: .connect, peer: peerDescription))
        }
    }

    fileprivate func transportConnected() {
        if state == .unconnected { forgetLastConnection(keepsUnread: false) }
        useTransport()
        if !isOpen { openMode = .readWrite }
        connectionMade(readiness: .readable)
    }

    /// What the transport says about its connection. Connected begins the flow of bytes, Unconnected ends it.
    func setTransportState(_ newState: SocketState) {
        switch newState {
        case .connected where state != .closing: transportConnected()
        case .unconnected where state == .hostLookup || state == .connecting:
            connectFailed(lastError ?? SocketError(.network, "The transport did not connect" + peerSuffix))
        case .unconnected:
            let begun = epoch
            if bytesToWrite > 0 {
                report(SocketError(.remoteHostClosed, "The transport ended the connection\(peerSuffix)\(unsentSuffix)"))
                guard begun == epoch else { return }
            }
            finishClose()
        default: setState(newState)
        }
    }

    /// For blocking waits: tries what the transport may have by now, and else sleeps on it. False at the deadline, and where the
    /// transport cannot be waited for.
    func sleepOnTransport(_ transport: any Transport, deadline: UInt64?) -> Bool {
        let before = progress
        let begun = epoch
        let canRead = state == .connected && !flags.contains(.readFinished) && readRoom > 0
        if canRead { receive(chunks: 1) }
        // The end of the stream is an answer too, and nothing can be waited for behind it.
        guard begun == epoch, progress.received == before.received, !canRead || !flags.contains(.readFinished) else { return true }
        if bytesToWrite > 0 || flags.contains(.writeBlocked) {
            flags.remove(.writeBlocked)
            _ = sendQueue(share: .max)
            if bytesToWrite == 0 { withdrawSend() }
        }
        guard begun == epoch, progress.sent == before.sent else { return true }
        let timeLeft = Self.milliseconds(until: deadline)
        let result = transport.wait(
            readable: canRead && !flags.contains(.readFinished), writable: flags.contains(.writeBlocked), timeout: Int(timeLeft))
        return result >= 0 || result == -Int(EINTR)
    }
}

/// The transport connects; it ends that by setting the socket's state.
private final class TransportConnecting: Connecting {
    private unowned(unsafe) let socket: StreamSocket
    private let transport: any Transport
    private let address: String
    private let started = System.monotonicNanoseconds()
    var isUnderWay = false

    init(_ socket: StreamSocket, transport: any Transport, address: String) {
        self.socket = socket
        self.transport = transport
        self.address = address
    }

    var attempts: [ConnectionAttempt] {
        [ConnectionAttempt(
            address: address, phase: .connect, milliseconds: Int((System.monotonicNanoseconds() - started) / 1_000_000), systemError: 0)]
    }

    func cancel() {}

    func advance(until deadline: UInt64?) {
        let result = transport.wait(readable: true, writable: true, timeout: Int(StreamSocket.milliseconds(until: deadline)))
        guard result < 0, result != -Int(EINTR), socket.state == .connecting else { return }
        socket.connectFailed(SocketError.from(errno: Int32(clamping: -result), doing: .connect, peer: address))
    }
}

// MARK: - What a transport shows of its connection

extension Socket {
    /// What is shown while there is no descriptor to ask.
    struct ShownAddresses {
        var localAddress = ""
        var localPort = 0
        var peerAddress = ""
        var peerPort = 0
        /// There is a descriptor, but its peer is a proxy; so is its own end, as far as the proxy has told another.
        var isByProxy = false
        var hasLocalEnd = false

        func hides(local: Bool) -> Bool { isByProxy && (!local || hasLocalEnd) }
    }

    /// These are for whoever brings the connection: the object shows what its transport sets. A socket that has a connection
    /// of its own shows that, and refuses them with OperationError. The next connection begins with nothing set.
    public func setPeerName(_ name: String) throws(SocketError) {
        try checkVirtual("peerName")
        details.peerName = name
    }

    public func setPeerAddress(_ address: String) throws(SocketError) {
        try checkVirtual("peerAddress")
        details.shown.peerAddress = address
    }

    public func setPeerPort(_ port: Int) throws(SocketError) {
        try checkVirtual("peerPort")
        details.shown.peerPort = try checkPort(port)
    }

    public func setLocalAddress(_ address: String) throws(SocketError) {
        try checkVirtual("localAddress")
        details.shown.localAddress = address
    }

    public func setLocalPort(_ port: Int) throws(SocketError) {
        try checkVirtual("localPort")
        details.shown.localPort = try checkPort(port)
    }

    /// With a transport behind the socket this is how it tells of its connection: Connected begins the flow of bytes and tells
    /// `connected`; Unconnected ends it, as a failure (with what `setError` said) while connecting. Without one it only changes what
    /// `state` says.
    public func setState(to newState: SocketState) throws(SocketError) {
        try checkVirtual("state")
        guard state != newState else { return }
        if flags.contains(.hasTransport), let stream = self as? StreamSocket {
            stream.setTransportState(newState)
        } else {
            state = newState
            noteChange()
        }
    }

    /// Sets what `error` says, without an event.
    public func setError(_ code: SocketError.Code) throws(SocketError) {
        try checkVirtual("error")
        // A text of somebody's own stays.
        details.error = code == .noError ? nil : SocketError(code, details.error?.message ?? "Unknown error")
        noteChange(settings: false)
    }

    /// Sets what `errorString` says, without an event.
    public func setErrorString(_ text: String) throws(SocketError) {
        try checkVirtual("errorString")
        var error = details.error ?? SocketError(.noError, "")
        error.message = text
        details.error = error
        noteChange(settings: false)
    }

    private func checkVirtual(_ name: String) throws(SocketError) {
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        guard rawDescriptor < 0, flags.contains(.hasTransport) || existingDetails?.connecting == nil else {
            throw SocketError(.operation, "The socket has a connection of its own: its \(name) cannot be set")
        }
    }

    private func checkPort(_ port: Int) throws(SocketError) -> Int {
        guard (0...65535).contains(port) else {
            throw SocketError(.portNumberOutOfRange, "The port must be a number from 0 to 65535, not \(port)")
        }
        return port
    }
}
