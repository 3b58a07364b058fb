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

/// One of a client's handles, and what the session keeps beside the object itself.
final class HandleEntry {
    let number: Int
    let source: EventSource

    /// The events that the client wants. The object may send more, for the session's own use.
    var subscribed = EventMask.standard { didSet { subscribe() } }
    var delivery = Delivery.pull { didSet { subscribe() } }
    /// Whether delivered bytes always go as base64.
    var deliversBase64 = false

    /// The limit that the client has set, while a smaller one holds the socket back.
    private var heldLimit: Int?

    init(_ source: EventSource, number: Int) {
        self.source = source
        self.number = number
        source.tag = UInt64(number)
    }

    var socket: Socket? { source as? Socket }

    private func subscribe() {
        var mask = subscribed
        if delivery != .pull {
            mask.formUnion([EventMask(.readyRead), EventMask(.readChannelFinished), EventMask(.disconnected)])
        }
        source.subscribedEvents = mask
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
