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
    private unowned let session: Session

    /// The events that the client wants. The object sends some more, for the session's own use.
    var subscribed = EventMask.standard { didSet { source.subscribedEvents = subscribed.union(Self.needed) } }
    var delivery = Delivery.pull
    /// Whether delivered bytes always go as base64.
    var deliversBase64 = false
    private(set) var news: News = []

    /// The limit that the client has set, while a smaller one holds the socket back.
    private var heldLimit: Int?

    private static let needed: EventMask = [
        EventMask(.readyRead), EventMask(.bytesWritten), EventMask(.readChannelFinished), EventMask(.disconnected),
    ]

    init(_ source: EventSource, number: Int, session: Session) {
        self.source = source
        self.number = number
        self.session = session
        source.tag = UInt64(number)
        source.subscribedEvents = subscribed.union(Self.needed)
        source.receiver = self
    }

    var socket: Socket? { source as? Socket }

    func receive(_ event: Event, from source: EventSource) {
        switch event {
        case .readyRead: news.insert(.arrived)
        case .bytesWritten: news.insert(.written)
        case .disconnected: news.insert(.wentAway)
        default: break
        }
        if delivery != .pull, !session.preparesDelivery(of: event, self) { return }
        if subscribed.contains(EventMask(event.type)) { session.tell(event, from: source) }
    }

    // MARK: News

    func forget(_ news: News) { self.news.subtract(news) }

    /// To be called before a connection is begun: what happened to the one before is no news then.
    func forgetLastConnection() {
        if let state = socket?.state, state == .unconnected || state == .bound { news = [] }
    }

    /// Whether a wait of this kind is answered by what happened before it began.
    func isNews(_ kind: Wait.Kind) -> Bool {
        switch kind {
        case .readyRead: news.contains(.arrived) && (socket?.bytesAvailable ?? 0) > 0
        case .bytesWritten: news.contains(.written)
        case .disconnected: news.contains(.wentAway)
        case .connected, .sync: false
        }
    }

    /// A wait of this kind was answered: the client knows.
    func forget(_ kind: Wait.Kind) {
        switch kind {
        case .readyRead: forget(.arrived)
        case .bytesWritten: forget(.written)
        case .disconnected: forget(.wentAway)
        case .connected, .sync: break
        }
    }

    // MARK: Holding back

    /// Stops or resumes reading from the network, unseen by the client. A full read buffer is what stops a socket.
    func holdBack(_ held: Bool) {
        guard let socket else { return }
        if held, heldLimit == nil {
            heldLimit = socket.readBufferSize
            try? socket.setReadBufferSize(max(1, socket.bytesAvailable))
        } else if !held, let limit = heldLimit {
            heldLimit = nil
            try? socket.setReadBufferSize(limit)
        }
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
}
