import Glibc

/// Moves bytes both ways between two connected sockets, inside the loop, until both connections have ended. The end of one side's
/// sending is passed on to the other; when a side breaks, the other gets what was received before that, and is closed.
///
/// Plain sockets are joined in the system (splice(2)): their bytes never come to this process. Encrypted ones, and those with
/// transports, are read and written, with at most 256 KiB on their way in each direction.
///
/// While it runs, the sockets' `readyRead`, `lineAvailable` and `bytesWritten` are the relay's, and nothing should be read from them
/// or written to them; all other events reach their receivers as ever. It keeps itself and both sockets alive until `finished`.
public final class Relay: EventSource, EventReceiver, TurnHandler {
    /// Bytes that may wait for a slow side before the other is held back.
    private static let limit = 256 << 10

    /// One of the two sockets, and what it was before.
    private final class Side {
        let socket: StreamSocket
        let receiver: (any EventReceiver)?
        let subscribedEvents: EventMask
        private let readLimit: Int
        private let allowHalfOpen: Bool
        /// How many of its bytes the other has got.
        var moved = 0
        var endPassedOn = false
        var isGone: Bool { socket.state == .unconnected }

        init(_ socket: StreamSocket) {
            self.socket = socket
            receiver = socket.receiver
            subscribedEvents = socket.subscribedEvents
            readLimit = socket.readLimit
            allowHalfOpen = socket.allowHalfOpen
        }

        func letGo() {
            socket.receiver = receiver
            socket.subscribedEvents = subscribedEvents
            socket.allowHalfOpen = allowHalfOpen
            socket.readLimit = readLimit
        }
    }

    private let a: Side
    private let b: Side
    private var splice: SplicedPair?
    private var hasSpliced = false
    private var isPumping = false
    /// The first thing that went wrong; nil when both sides ended in order.
    public private(set) var error: SocketError?
    public private(set) var isFinished = false

    /// Both must be Connected, live on one loop, and be in no other relay; what they have received already goes along.
    public init(_ first: StreamSocket, _ second: StreamSocket) throws(SocketError) {
        guard first !== second else { throw SocketError(.invalidArgument, "A relay needs two sockets: these are the same") }
        guard first.loop === second.loop else { throw SocketError(.wrongThread, "The sockets live on different loops") }
        for socket in [first, second] {
            guard !socket.isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
            guard socket.state == .connected, socket.isReadable, socket.isWritable else {
                throw SocketError(.operation, "A relay needs connected sockets that are open for reading and writing: this one is \(socket.state.name)")
            }
            guard !(socket.receiver is Relay) else { throw SocketError(.operation, "The socket is in another relay") }
        }
        a = Side(first)
        b = Side(second)
        super.init(loop: first.loop, kind: .relay)
        for socket in [first, second] {
            socket.receiver = self
            socket.subscribedEvents = EventMask.all.subtracting(EventMask(.propertyChanged))
            socket.allowHalfOpen = true
            try? socket.setReadBufferSize(Self.limit)
        }
        loop.requestTurn(self)
    }

    /// How many bytes the second socket has got from the first, and the first from the second.
    public var counters: (aToB: Int, bToA: Int) {
        (a.moved + (splice?.moved(from: a.socket) ?? 0), b.moved + (splice?.moved(from: b.socket) ?? 0))
    }

    // MARK: Events of the sockets

    public func receive(_ event: Event, from source: EventSource) {
        withExtendedLifetime(self) {
            let isA = source === a.socket
            switch event {
            case .readyRead, .lineAvailable, .bytesWritten:
                pump()
                return
            case .errorOccurred(let failure) where failure.code != .remoteHostClosed || failure.systemError != 0:
                if error == nil { error = failure }
            case .stateChanged(.closing), .stateChanged(.unconnected):
                endSplice()
            default: break
            }
            let side = isA ? a : b
            if side.subscribedEvents.contains(EventMask(event.type)) { side.receiver?.receive(event, from: source) }
            switch event {
            case .readChannelFinished, .disconnected, .stateChanged(.unconnected): loop.requestTurn(self)
            default: break
            }
        }
    }

    func takeTurn() {
        guard !isFinished else { return }
        pump()
        if !isFinished { beginSplice() }
    }

    // MARK: By way of the buffers

    private func pump() {
        guard !isPumping, !isFinished, splice == nil else { return }
        isPumping = true
        move(from: a, to: b.socket)
        move(from: b, to: a.socket)
        isPumping = false
        if a.isGone || b.isGone { closeRest() }
        if a.isGone, b.isGone { finish() }
        if canSplice { loop.requestTurn(self) }
    }

    private func move(from side: Side, to sink: StreamSocket) {
        let source = side.socket
        withUnsafeTemporaryAllocation(byteCount: BufferPool.scratchSize, alignment: 16) { buffer in
            while source.bytesAvailable > 0, sink.state == .connected, sink.bytesToWrite < Self.limit {
                guard let count = try? source.read(into: buffer), count > 0 else { return }
                let written = (try? sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))) ?? 0
                side.moved += written
                if written < count, error == nil { error = SocketError(.limitReached, "\(count - written) bytes could not be passed on") }
            }
        }
        let ended = source.state == .unconnected || source.flags.contains(.readFinished)
        if ended, !side.endPassedOn, source.bytesAvailable == 0, sink.state == .connected {
            side.endPassedOn = true
            try? sink.shutdownWrite()
        }
    }

    /// One side is gone: the other gets what there still is, and ends.
    private func closeRest() {
        for (gone, other) in [(a, b), (b, a)] where gone.isGone && other.socket.state == .connected && gone.socket.bytesAvailable == 0 {
            if other.endPassedOn || !gone.socket.flags.contains(.readFinished) || error != nil { other.socket.disconnectFromHost() }
        }
    }

    // MARK: By way of the system

    private var canSplice: Bool { !hasSpliced && !isFinished && a.socket.canBeSpliced && b.socket.canBeSpliced }

    private func beginSplice() {
        guard canSplice else { return }
        hasSpliced = true
        splice = SplicedPair(a.socket, b.socket) { [unowned(unsafe) self] in
            endSplice()
            pump()
        }
    }

    private func endSplice() {
        guard let ended = splice else { return }
        a.moved += ended.moved(from: a.socket)
        b.moved += ended.moved(from: b.socket)
        splice = nil
        let lost = ended.end()
        if lost > 0, error == nil { error = SocketError(.remoteHostClosed, "\(lost) bytes could not be passed on") }
    }

    // MARK: The end

    private func finish() {
        isFinished = true
        letGo()
        send(.finished, .finished(error))
    }

    /// The sockets are whose they were before.
    private func letGo() {
        endSplice()
        for side in [a, b] where side.socket.receiver === self { side.letGo() }
    }

    /// Lets go of the sockets, which stay connected; what was on its way is queued at its target.
    override func shutDown() {
        guard !isFinished else { return }
        isFinished = true
        letGo()
        for side in [a, b] where side.socket.state == .connected { side.socket.requestTurn(.receiveInTurn) }
    }
}
