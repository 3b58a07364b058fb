import Sluice

/// How what a socket receives comes to the client.
enum Delivery: String, CaseIterable {
    /// The client asks for it.
    case pull
    /// Each piece comes as the event `socket.data`.
    case push
    /// Each line comes as the event `socket.line`.
    case lines
}

/// What becomes of the connections that a server accepts.
enum Incoming: String, CaseIterable {
    /// They wait to be taken as sockets.
    case socket
    /// Each is told with its descriptor.
    case descriptor
}

/// What happened to a socket between two calls of its client. The sidecar's loop always runs, so that what a blocking program would
/// find when it begins to wait is here often over by then; such a wait is answered at once.
struct News: OptionSet {
    let rawValue: UInt8
    /// Bytes have come since the last read or the last wait for them.
    static let arrived = News(rawValue: 1)
    /// Bytes went to the system since the last wait for that.
    static let written = News(rawValue: 2)
    /// The connection has ended.
    static let wentAway = News(rawValue: 4)
}

/// One of a client's handles, and what the session keeps beside the object itself.
final class HandleEntry: EventReceiver {
    let number: Int
    let source: EventSource
    unowned let session: Session

    /// The events that the client wants. The object sends some more, for the session's own use.
    var subscribed = EventMask.standard { didSet { applySubscription() } }
    var delivery = Delivery.pull
    /// Whether delivered bytes always go as base64.
    var deliversBase64 = false
    private(set) var news: News = []
    /// The state is what the client has set: there is no connection behind it.
    var isVirtual = false
    /// The errors of earlier datagrams that the client knows, or has had the occasion to.
    private var knownFailures: Int32 = 0

    /// A relay moves this socket's data, and gets its events first.
    private(set) var isRelayed = false
    /// Of a relay.
    private var sides: [HandleEntry] = []

    /// Of servers.
    private(set) var incoming = Incoming.socket
    private var isPausedByClient = false
    private var isPausedForLimit = false

    /// The limit that the client has set, while a smaller one holds the socket back.
    private var heldLimit: Int?
    /// That limit is being changed, which is none of the client's business.
    private var isAdjusting = false

    private static let needed: EventMask = [
        EventMask(.readyRead), EventMask(.bytesWritten), EventMask(.readChannelFinished), EventMask(.disconnected), EventMask(.finished),
    ]

    init(_ source: EventSource, number: Int, session: Session) {
        self.source = source
        self.number = number
        self.session = session
        source.tag = UInt64(number)
        applySubscription()
        source.receiver = self
    }

    var socket: Socket? { source as? Socket }

    /// What the proxy Default means to this object.
    func setApplicationProxy(_ proxy: Proxy?) {
        socket?.applicationProxy = proxy
        (source as? Server)?.applicationProxy = proxy
    }

    private func applySubscription() {
        // What a relay listens to is its own affair.
        if !isRelayed { source.subscribedEvents = subscribed.union(Self.needed) }
    }

    func receive(_ event: Event, from source: EventSource) {
        switch event {
        case .readyRead: news.insert(.arrived)
        case .bytesWritten: news.insert(.written)
        case .disconnected: news.insert(.wentAway)
        case .propertyChanged where isAdjusting: return
        case .finished: endRelay()
        default: break
        }
        if delivery != .pull, !session.preparesDelivery(of: event, self) { return }
        if subscribed.contains(EventMask(event.type)) { session.tell(event, from: source) }
    }

    // MARK: News

    func forget(_ news: News) { self.news.subtract(news) }

    /// To be called before a connection is begun: what happened to the one before is no news then.
    func forgetLastConnection() {
        guard let state = socket?.state, state == .unconnected || state == .bound else { return }
        news = []
        isVirtual = false
        forgetFailures()
    }

    private func forgetFailures() {
        if let socket = source as? UDPSocket { knownFailures = socket.failureCount }
    }

    /// The client has read. `something`: there was something to read.
    func didRead(something: Bool) {
        forget(.arrived)
        if something { forgetFailures() }
    }

    /// How a wait of this kind is answered by what happened before it began; nil when it is not.
    func verdict(on kind: Wait.Kind) -> Bool? {
        switch kind {
        case .readyRead:
            if news.contains(.arrived), hasSomethingToRead { return true }
            // The answer to a datagram may have been that nobody is there.
            return (source as? UDPSocket).flatMap { $0.failureCount == knownFailures ? nil : false }
        case .bytesWritten: return news.contains(.written) ? true : nil
        case .disconnected: return news.contains(.wentAway) ? true : nil
        case .connected, .sync, .encrypted: return nil
        }
    }

    private var hasSomethingToRead: Bool {
        if let socket = source as? UDPSocket { return socket.hasPendingDatagrams }
        return (socket?.bytesAvailable ?? 0) > 0
    }

    /// A wait of this kind was answered: the client knows.
    func forget(_ kind: Wait.Kind) {
        switch kind {
        case .readyRead:
            forget(.arrived)
            forgetFailures()
        case .bytesWritten: forget(.written)
        case .disconnected: forget(.wentAway)
        case .connected, .sync, .encrypted: break
        }
    }

    /// The same of a wait that took its time. One that was in vain tells nothing but of an earlier datagram.
    func waitEnded(_ kind: Wait.Kind, _ succeeded: Bool) {
        if succeeded { forget(kind) } else if kind == .readyRead { forgetFailures() }
    }

    // MARK: Holding back

    /// Stops or resumes reading from the network, unseen by the client. A full read buffer is what stops a socket.
    func holdBack(_ held: Bool) {
        // Datagrams that are not read stay with the system, which drops what is too much.
        guard let socket, !(socket is UDPSocket), !isRelayed else { return }
        isAdjusting = true
        defer { isAdjusting = false }
        if held, heldLimit == nil {
            heldLimit = socket.readBufferSize
            try? socket.setReadBufferSize(max(1, socket.bytesAvailable))
        } else if !held, let limit = heldLimit {
            heldLimit = nil
            try? socket.setReadBufferSize(limit)
        }
    }

    var isHeldBack: Bool { heldLimit != nil }

    /// Runs `body` with the limits that the client has set.
    func whileNotHeldBack<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        guard isHeldBack else { return try body() }
        holdBack(false)
        defer { holdBack(true) }
        return try body()
    }

    var readBufferSize: Int { heldLimit ?? socket?.readBufferSize ?? 0 }

    func setReadBufferSize(_ size: Int) throws(SocketError) {
        guard let socket else { return }
        if heldLimit != nil {
            // Checked as the socket would, which cannot be asked now.
            guard size >= 0 else { throw SocketError(.invalidArgument, "readBufferSize must not be negative (\(size))") }
            heldLimit = size
        } else {
            try socket.setReadBufferSize(size)
        }
    }

    // MARK: Relays

    /// This is the handle of a relay between these two.
    func beginRelay(between sides: [HandleEntry]) {
        self.sides = sides
        for side in sides {
            side.isRelayed = true
            side.delivery = .pull
        }
    }

    /// The sockets are the client's again. For all other objects nothing.
    func endRelay() {
        for side in sides {
            side.isRelayed = false
            side.applySubscription()
            if session.isHeldBack { side.holdBack(true) }
        }
        sides = []
    }

    // MARK: Accepting

    var givesDescriptors: Bool { incoming == .descriptor }

    func setIncoming(_ incoming: Incoming) {
        guard let server = source as? Server, incoming != self.incoming else { return }
        self.incoming = incoming
        if incoming == .socket {
            server.setIncomingHandler(nil)
            pauseForLimit(false)
        } else {
            // The server keeps the closure until it ends.
            server.setIncomingHandler { [unowned self] descriptor in session.hold(descriptor, from: self) }
            if session.holdsManyDescriptors { pauseForLimit(true) }
        }
    }

    func pauseAccepting() {
        isPausedByClient = true
        (source as? Server)?.pauseAccepting()
    }

    func resumeAccepting() {
        isPausedByClient = false
        if !isPausedForLimit { (source as? Server)?.resumeAccepting() }
    }

    /// Pauses a server whose connections the client does not use, unseen by it.
    func pauseForLimit(_ paused: Bool) {
        guard isPausedForLimit != paused, let server = source as? Server else { return }
        isPausedForLimit = paused
        if paused { server.pauseAccepting() } else if !isPausedByClient { server.resumeAccepting() }
    }
}
