import CLinux
import Glibc
import Logging
import Sluice

/// The service: one loop, its clients, and what they share.
public final class Sidecar {
    public let loop: EventLoop
    public let limits: Limits
    let rules: AccessRules
    let log: Logger

    private var sessions: [Int: Session] = [:]
    private var nextSession = 1
    private var dirty: [Session] = []
    /// Objects whose handles ended in this turn: their own code may still be running.
    private var departed: [EventSource] = []
    private var lingering: [ObjectIdentifier: Lingering] = [:]
    /// Connections that have become the byte streams of sockets.
    private var attached: [ObjectIdentifier: Relay] = [:]
    private var listeners: [UnixListener] = []
    /// What the service manager has passed and nobody has taken.
    private(set) var activated: [ActivatedDescriptor]
    private var isEnding = false
    private let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 * 1024, alignment: 16)
    private var droppedClients = 0
    private(set) var servedClients = 0
    let startTime = ContinuousClock.now

    public static let version = "0.1.0"

    /// Throws when the system lacks the descriptors for an event loop.
    public init(limits: Limits, rules: AccessRules, log: Logger, activated: [ActivatedDescriptor] = []) throws(SocketError) {
        JSON.prepare()
        loop = try EventLoop()
        self.limits = limits
        self.rules = rules
        self.log = log
        self.activated = activated
        loop.afterTurn { [unowned self] in endOfTurn() }
    }

    deinit { scratch.deallocate() }

    // MARK: Serving

    /// Serves the one client at these descriptors, which become the sidecar's; `run` ends when it is gone.
    public func serve(input: Int32, output: Int32) throws(SocketError) {
        let channel = Channel(input: input, output: output, loop: loop)
        try start(channel, inheritsDescriptors: true)
    }

    /// Serves whoever connects to this path and belongs to the same user.
    public func listen(path: String) throws(SocketError) {
        listeners = [try UnixListener(path: path, loop: loop, log: log) { [unowned self] in accept($0) }]
    }

    /// Serves whoever connects to the Unix sockets that the service manager has passed, and belongs to the same user.
    public func listenActivated() throws(SocketError) {
        let sockets = activated.filter { UnixListener.canListen($0.number) }
        guard !sockets.isEmpty else {
            throw SocketError(
                .operation, "no listening Unix socket was passed to this process (LISTEN_FDS): --activated is for a service with a socket unit")
        }
        for socket in sockets {
            noteTaken(activated: socket.number)
            listeners.append(try UnixListener(activated: socket.number, loop: loop, log: log) { [unowned self] in accept($0) })
        }
    }

    func noteTaken(activated number: Int32) { activated.removeAll { $0.number == number } }

    /// Runs until the end is asked for, or the only client is gone.
    public func run() throws(SocketError) {
        try loop.run()
        endListening()
    }

    private func endListening() {
        for listener in listeners { listener.close() }
        listeners = []
    }

    /// Ends in good order: what is asked is answered, output goes out, connections close. Bounded; asked for again it ends at once.
    public func end() {
        if isEnding {
            loop.stop()
            return
        }
        isEnding = true
        endListening()
        _ = loop.addTimer(after: 5000) { [unowned self] in loop.stop() }
        for relay in attached.values { relay.destroy() }
        attached = [:]
        for session in sessions.values { session.end("The sidecar is ending.") }
        stopIfDone()
    }

    /// As `end`, once the running call is answered.
    func endAfterTurn() {
        _ = loop.addTimer(after: 0) { [weak self] in
            guard let self, !self.isEnding else { return }
            self.end()
        }
    }

    private func start(_ channel: Channel, inheritsDescriptors: Bool) throws(SocketError) {
        let session = Session(service: self, number: nextSession, channel: channel, inheritsDescriptors: inheritsDescriptors)
        nextSession += 1
        try channel.start(session)
        sessions[session.number] = session
        servedClients += 1
        log.debug("client connected", metadata: ["client": "\(session.number)"])
    }

    private func accept(_ descriptor: Int32) {
        guard sessions.count + attached.count < limits.maxClients else {
            log.warning("client refused: too many clients", metadata: ["limit": "\(limits.maxClients)"])
            UnixListener.refuse(descriptor, .limitReached("The sidecar has \(sessions.count) clients, the limit (--max-clients)."))
            return
        }
        do throws(SocketError) {
            try start(Channel(unixSocket: descriptor, loop: loop), inheritsDescriptors: false)
        } catch {
            log.error("client refused", metadata: ["error": "\(error.message)"])
        }
    }

    func sessionClosed(_ session: Session) {
        log.debug("client disconnected", metadata: ["client": "\(session.number)"])
        if session.channel.failure != 0 {
            hasFailedClient = true
            log.error(
                "input or output failed",
                metadata: ["client": "\(session.number)", "error": "\(errnoName(session.channel.failure))"])
        }
        sessions[session.number] = nil
        stopIfDone()
    }

    /// Whether a client was dropped because it did not read its output.
    public var hasDroppedClient: Bool { droppedClients > 0 }
    /// Whether a client was lost because its input or output failed, other than by its going.
    public private(set) var hasFailedClient = false

    func noteDropped() { droppedClients += 1 }

    private func stopIfDone() {
        if sessions.isEmpty, lingering.isEmpty, attached.isEmpty, listeners.isEmpty { loop.stop() }
    }

    // MARK: For the sessions

    /// One read for this client into the memory that all share, and the messages in it.
    func read(for session: Session) -> Channel.Intake {
        let intake = session.channel.read(into: scratch) { descriptor in
            session.received(descriptor)
        }
        if case .bytes(let count) = intake, session.phase == .serving {
            session.bytesIn += count
            let rest = session.framer.feed(UnsafeRawBufferPointer(rebasing: scratch[..<min(count, scratch.count)])) { item in
                session.handle(item)
                return session.phase == .serving
            }
            if session.phase == .attaching { session.bytesAfterAttaching = rest }
        }
        return intake
    }

    func noteDirty(_ session: Session) { dirty.append(session) }

    func keepUntilEndOfTurn(_ source: EventSource) { departed.append(source) }

    func close(_ descriptor: Int32) { Glibc.close(descriptor) }

    /// What the service as a whole does and has.
    var statistics: [(name: String, value: Reply)] {
        [
            ("clients", .integer(sessions.count)), ("clientsServed", .integer(servedClients)), ("clientsDropped", .integer(droppedClients)),
            ("handles", .integer(sessions.values.reduce(0) { $0 + $1.handles.count })), ("uptime", .integer(milliseconds(since: startTime))),
        ]
    }

    private func endOfTurn() {
        while !dirty.isEmpty {
            let sessions = dirty
            dirty.removeAll(keepingCapacity: true)
            for session in sessions { session.endOfTurn() }
        }
        if !departed.isEmpty { departed.removeAll(keepingCapacity: true) }
    }

    // MARK: Connections that are the streams of sockets

    /// Joins a client's connection with a socket, until both have ended. `first`: what the client has sent already.
    func attach(_ connection: Int32, to socket: StreamSocket, first: [UInt8]) {
        let end = LocalSocket(loop: loop)
        do throws(SocketError) {
            try end.setDescriptor(connection)
        } catch {
            log.error("a connection could not be attached", metadata: ["error": "\(error.message)"])
            Glibc.close(connection)
            keepUntilEndOfTurn(socket)
            socket.destroy()
            return
        }
        do throws(SocketError) {
            if !first.isEmpty { _ = try socket.write(first) }
            let relay = try Relay(end, socket)
            let key = ObjectIdentifier(relay)
            attached[key] = relay
            relay.onEvent { [weak self] event in
                if case .finished = event { self?.endAttachment(key) }
            }
        } catch {
            // The socket has ended by now: the client sees the end of its stream.
            log.debug("a connection could not be attached", metadata: ["error": "\(error.message)"])
            for each in [end, socket] {
                keepUntilEndOfTurn(each)
                each.destroy()
            }
        }
    }

    private func endAttachment(_ key: ObjectIdentifier) {
        guard let relay = attached.removeValue(forKey: key) else { return }
        keepUntilEndOfTurn(relay)
        stopIfDone()
    }

    // MARK: Sockets whose client is gone

    /// Lets a socket send what it has accepted, for half a minute at most. False if it cannot.
    func linger(_ socket: Socket) -> Bool {
        guard socket.state != .unconnected, socket.state != .bound || socket is UDPSocket else { return false }
        let key = ObjectIdentifier(socket)
        let timer = loop.addTimer(after: 30_000) { [weak self] in self?.endLingering(key) }
        lingering[key] = Lingering(socket, timer: timer) { [weak self] in self?.endLingering(key) }
        socket.disconnectFromHost()
        return true
    }

    private func endLingering(_ key: ObjectIdentifier) {
        guard let entry = lingering.removeValue(forKey: key) else { return }
        entry.timer.cancel()
        keepUntilEndOfTurn(entry.socket)
        entry.socket.receiver = nil
        entry.socket.destroy()
        stopIfDone()
    }

    /// A socket without a client, and who hears that it is through.
    private final class Lingering: EventReceiver {
        let socket: Socket
        let timer: Timer
        private let ended: () -> Void

        init(_ socket: Socket, timer: Timer, ended: @escaping () -> Void) {
            self.socket = socket
            self.timer = timer
            self.ended = ended
            socket.subscribedEvents = EventMask(.stateChanged)
            socket.receiver = self
        }

        func receive(_ event: Event, from source: EventSource) {
            if socket.state == .unconnected { ended() }
        }
    }
}

func milliseconds(since start: ContinuousClock.Instant) -> Int {
    let (seconds, attoseconds) = start.duration(to: .now).components
    return Int(seconds) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
}
