import CLinux
import Glibc

extension StreamSocket {
    /// Nothing but the descriptor stands between this socket and its peer at the moment.
    var canBeSpliced: Bool {
        state == .connected && rawDescriptor >= 0 && slot >= 0 && isSettled
            && flags.isDisjoint(with: [.hasTransport, .readFinished, .writeFinishing, .hungUp, .descriptorsToSend])
    }
}

/// Two descriptors joined by two pipes: bytes move from one to the other without coming to this process.
///
/// It borrows the sockets' places in the poller. It ends at the first end of a stream, or failure, that it meets: the sockets then look for
/// themselves, as they do without it.
final class SplicedPair {
    private let loop: EventLoop
    private let forth: Direction
    private let back: Direction
    private var ends: [End] = []
    private let whenOver: () -> Void
    private var isOver = false

    /// Nil when the system has no pipes to spare.
    init?(_ a: StreamSocket, _ b: StreamSocket, whenOver: @escaping () -> Void) {
        guard let forth = Direction(from: a, to: b), let back = Direction(from: b, to: a) else { return nil }
        loop = a.loop
        self.forth = forth
        self.back = back
        self.whenOver = whenOver
        for socket in [a, b] {
            _ = System.setNonBlocking(socket.rawDescriptor, true)
            socket.flags.remove(.blocking)
            let end = End(self)
            ends.append(end)
            loop.poller.transfer(socket.slot, to: end)
            try? loop.poller.change(socket.slot, to: [.readable, .writable, .readHangup, .edgeTriggered])
        }
        loop.requestTurn(Turn(self))
    }

    func moved(from socket: StreamSocket) -> Int { socket === forth.source ? forth.moved : back.moved }

    /// Gives the sockets back to themselves. What was in the pipes is queued where it was going; returns how many bytes could not be.
    func end() -> Int {
        isOver = true
        let lost = forth.empty() + back.empty()
        for socket in [forth.source, back.source] where socket.slot >= 0 {
            loop.poller.transfer(socket.slot, to: socket)
            try? loop.poller.change(socket.slot, to: socket.interest)
            socket.requestTurn(.receiveInTurn)
        }
        return lost
    }

    private func pump() {
        guard !isOver else { return }
        var wantsTurn = false
        for direction in [forth, back] {
            switch direction.pump() {
            case .blocked: break
            case .shareUsed: wantsTurn = true
            case .failed(let socket, let number, let action):
                whenOver()
                if socket.state == .connected { socket.connectionBroken(number, doing: action) }
                return
            }
        }
        // The other direction's bytes first: they would have to be copied.
        if forth.isEnded || back.isEnded, forth.isEmpty, back.isEmpty {
            whenOver()
        } else if wantsTurn {
            loop.requestTurn(Turn(self))
        }
    }

    private final class End: ReadinessHandler {
        private unowned let pair: SplicedPair

        init(_ pair: SplicedPair) { self.pair = pair }

        func descriptorReady(_ readiness: Readiness) {
            let pair = pair
            withExtendedLifetime(pair) { pair.pump() }
        }
    }

    private final class Turn: TurnHandler {
        private weak var pair: SplicedPair?

        init(_ pair: SplicedPair) { self.pair = pair }

        func takeTurn() { pair?.pump() }
    }

    /// One way: from a socket into a pipe, and out of it into the other socket.
    private final class Direction {
        private static let chunk = 1 << 20

        enum Outcome {
            case blocked
            case shareUsed
            case failed(StreamSocket, Int32, SocketError.Action)
        }

        let source: StreamSocket
        private let sink: StreamSocket
        private let input: Descriptor
        private let output: Descriptor
        private var inPipe = 0
        private(set) var moved = 0
        private(set) var isEnded = false

        var isEmpty: Bool { inPipe == 0 }

        init?(from source: StreamSocket, to sink: StreamSocket) {
            var ends: (Int32, Int32) = (-1, -1)
            guard clinux_pipe(&ends.0, &ends.1) == 0 else { return nil }
            output = Descriptor(owning: ends.0)
            input = Descriptor(owning: ends.1)
            self.source = source
            self.sink = sink
        }

        func pump() -> Outcome {
            var share = EventLoop.fairShare * 4
            while share > 0 {
                let taken = isEnded ? -Int(EAGAIN) : System.splice(fromSocket: source.rawDescriptor, to: input.rawValue, Self.chunk)
                if taken > 0 {
                    inPipe += taken
                    source.progress.received &+= 1
                } else if taken == 0 || taken == -Int(EINVAL) {
                    // The end, which the socket will meet when it reads; or a descriptor that cannot be spliced.
                    isEnded = true
                } else if taken != -Int(EAGAIN) {
                    return .failed(source, Int32(clamping: -taken), .read)
                }
                guard inPipe > 0 else { return .blocked }
                let given = System.splice(from: output.rawValue, toSocket: sink.rawDescriptor, inPipe)
                guard given > 0 else { return given == -Int(EAGAIN) ? .blocked : .failed(sink, Int32(clamping: -given), .write) }
                inPipe -= given
                moved += given
                share -= given
                sink.progress.sent &+= 1
            }
            return .shareUsed
        }

        /// Queues what is in the pipe. Returns how many bytes could not be.
        func empty() -> Int {
            var lost = 0
            withUnsafeTemporaryAllocation(byteCount: BufferPool.scratchSize, alignment: 16) { buffer in
                while inPipe > 0, let base = buffer.baseAddress {
                    let count = read(output.rawValue, base, min(buffer.count, inPipe))
                    guard count > 0 else { break }
                    inPipe -= count
                    let queued = (try? sink.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]))) ?? 0
                    moved += queued
                    lost += count - queued
                }
            }
            return lost + inPipe
        }
    }
}
