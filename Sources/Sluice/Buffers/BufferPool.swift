/// Memory that the sockets of one loop share, so that an idle socket owns none and a busy one allocates none.
final class BufferPool {
    /// How much is read from a descriptor at once.
    static let scratchSize = 64 << 10
    private static let pooledQueues = 64

    /// Where reads land. The bytes belong to `scratchOwner` until it has taken what its reader left over.
    let scratch: UnsafeMutableRawPointer
    unowned(unsafe) var scratchOwner: StreamSocket?

    private var queues: [WriteQueue] = []

    init() { scratch = .allocate(byteCount: Self.scratchSize, alignment: 64) }

    deinit { scratch.deallocate() }

    func takeQueue() -> WriteQueue { queues.popLast() ?? WriteQueue() }

    /// Takes back an empty queue.
    func recycle(_ queue: WriteQueue) {
        guard queues.count < Self.pooledQueues else { return }
        queues.append(queue)
    }
}
