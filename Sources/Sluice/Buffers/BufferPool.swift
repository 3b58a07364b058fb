/// Memory that the sockets of one loop share, so that an idle socket owns none and a busy one allocates none.
final class BufferPool {
    /// How much is read from a descriptor at once.
    static let scratchSize = 64 << 10
    private static let pooledQueues = 64

    /// Where reads land. The bytes belong to the owner until it has taken what its reader left over.
    let incoming: UnsafeMutablePointer<Scratch>
    /// Where the small writes of the running handler are gathered. What the system does not take at once moves to a queue.
    let outgoing: UnsafeMutablePointer<Scratch>

    /// Where datagrams land; it takes memory when the first one is looked for.
    let datagrams = DatagramScratch()

    private var queues: [WriteQueue] = []

    init() {
        incoming = .allocate(capacity: 1)
        incoming.initialize(to: Scratch())
        outgoing = .allocate(capacity: 1)
        outgoing.initialize(to: Scratch())
    }

    deinit {
        for area in [incoming, outgoing] {
            area.pointee.bytes.deallocate()
            area.deallocate()
        }
    }

    func takeQueue() -> WriteQueue { queues.popLast() ?? WriteQueue() }

    /// Takes back an empty queue.
    func recycle(_ queue: WriteQueue) {
        guard queues.count < Self.pooledQueues else { return }
        queues.append(queue)
    }
}

/// Memory through which the bytes of one socket after the other pass. It is reached by pointer and its owner is unmanaged, so
/// that no references are counted on the way.
struct Scratch {
    let bytes: UnsafeMutableRawPointer = .allocate(byteCount: BufferPool.scratchSize, alignment: 64)
    /// Whose bytes are in it. The socket gives it up before it goes away.
    var owner: Unmanaged<StreamSocket>?
    /// How many there are (of the outgoing area; what came in is counted by the owner's buffer).
    var count = 0

    @inline(__always)
    func isOwned(by socket: StreamSocket) -> Bool { owner?.toOpaque() == Unmanaged.passUnretained(socket).toOpaque() }
}
