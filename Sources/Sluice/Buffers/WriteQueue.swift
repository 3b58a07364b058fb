import Glibc

/// The bytes that were accepted and are not yet with the system, in pieces: copies of what was written, and memory of the
/// caller's that is sent without a copy.
final class WriteQueue {
    private struct Piece {
        var base: UnsafeMutableRawPointer
        /// 0 for memory of the caller's.
        var capacity: Int
        var start: Int
        var end: Int
        var release: (() -> Void)?

        var count: Int { end - start }
    }

    private static let smallPiece = 4096
    private static let largePiece = 64 << 10
    private static let piecesPerCall = 64
    private static let bytesPerCall = 1 << 20

    private var pieces: [Piece] = []
    private var first = 0
    private(set) var count = 0
    /// Callbacks of borrowed memory that is done with. They wait for `runReleases`, as they may come back with another write.
    private var releases: [() -> Void] = []
    /// One piece's memory, kept for the next write.
    private var spare: (base: UnsafeMutableRawPointer, capacity: Int)?

    deinit {
        removeAll()
        runReleases()
        if let spare { free(spare.base) }
    }

    var isEmpty: Bool { count == 0 }

    /// Copies the bytes. False without memory: nothing was taken then.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard var source = bytes.baseAddress, !bytes.isEmpty else { return true }
        var left = bytes.count
        let last = pieces.count - 1
        let room = last >= first && pieces[last].capacity > 0 ? pieces[last].capacity - pieces[last].end : 0
        let fitting = min(room, left)
        // The rest's memory comes first, so that a failure leaves everything as it was.
        var fresh: (base: UnsafeMutableRawPointer, capacity: Int)?
        if left > fitting {
            fresh = takeMemory(for: left - fitting)
            if fresh == nil { return false }
        }
        if fitting > 0 {
            memcpy(pieces[last].base + pieces[last].end, source, fitting)
            pieces[last].end += fitting
            source += fitting
            left -= fitting
        }
        if let fresh {
            memcpy(fresh.base, source, left)
            pieces.append(Piece(base: fresh.base, capacity: fresh.capacity, start: 0, end: left, release: nil))
        }
        count += bytes.count
        return true
    }

    /// Queues memory that the caller keeps valid until `release` is called.
    func append(borrowed bytes: UnsafeRawBufferPointer, release: (() -> Void)?) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else {
            release?()
            return
        }
        pieces.append(
            Piece(base: UnsafeMutableRawPointer(mutating: base), capacity: 0, start: 0, end: bytes.count, release: release))
        count += bytes.count
    }

    private func takeMemory(for size: Int) -> (base: UnsafeMutableRawPointer, capacity: Int)? {
        if let spare, spare.capacity >= size {
            self.spare = nil
            return spare
        }
        // Small writes that go on are gathered in ever larger pieces; a large one gets just what it needs.
        let capacity = size >= Self.largePiece ? size : max(size, pieces.count > first ? Self.largePiece : Self.smallPiece)
        guard let base = malloc(capacity) else { return nil }
        return (base, capacity)
    }

    /// Sends as much as one call takes. Returns the bytes sent or minus the error number, and whether all that was offered went.
    func send(to descriptor: Int32) -> (sent: Int, complete: Bool) {
        guard first < pieces.count else { return (0, true) }
        if pieces.count - first == 1 {
            let piece = pieces[first]
            let sent = System.send(descriptor, piece.base + piece.start, piece.count, MSG_DONTWAIT)
            if sent > 0 { consume(sent) }
            return (sent, sent == piece.count)
        }
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.piecesPerCall) { vector in
            var filled = 0
            var offered = 0
            var index = first
            while index < pieces.count, filled < vector.count, offered < Self.bytesPerCall {
                let piece = pieces[index]
                vector[filled] = iovec(iov_base: piece.base + piece.start, iov_len: piece.count)
                filled += 1
                offered += piece.count
                index += 1
            }
            guard let base = vector.baseAddress else { return (0, true) }
            let sent = System.sendVector(descriptor, base, filled, MSG_DONTWAIT)
            if sent > 0 { consume(sent) }
            return (sent, sent == offered)
        }
    }

    private func consume(_ amount: Int) {
        var left = amount
        count -= amount
        while left > 0, first < pieces.count {
            let taken = min(left, pieces[first].count)
            pieces[first].start += taken
            left -= taken
            guard pieces[first].count == 0 else { break }
            discard(pieces[first])
            first += 1
        }
        if first == pieces.count {
            pieces.removeAll(keepingCapacity: pieces.count <= Self.piecesPerCall)
            first = 0
        } else if first >= Self.piecesPerCall {
            pieces.removeFirst(first)
            first = 0
        }
    }

    private func discard(_ piece: Piece) {
        if piece.capacity == 0 {
            if let release = piece.release { releases.append(release) }
        } else if spare == nil, piece.capacity <= Self.largePiece {
            spare = (piece.base, piece.capacity)
        } else {
            free(piece.base)
        }
    }

    func removeAll() {
        let dropped = pieces[first...]
        pieces = []
        first = 0
        count = 0
        for piece in dropped { discard(piece) }
    }

    /// Gives borrowed memory back. To be called when the queue is in a state in which anything may be done to it.
    func runReleases() {
        guard !releases.isEmpty else { return }
        let done = releases
        releases = []
        for release in done { release() }
    }

    /// While a peer does not read, a few bytes must not keep a large piece: they move to memory of their size.
    func shrink() {
        if let spare {
            free(spare.base)
            self.spare = nil
        }
        guard pieces.count - first == 1, pieces[first].capacity > 4 * pieces[first].count,
            let base = malloc(pieces[first].count)
        else { return }
        let piece = pieces[first]
        memcpy(base, piece.base + piece.start, piece.count)
        free(piece.base)
        pieces[first] = Piece(base: base, capacity: piece.count, start: 0, end: piece.count, release: nil)
    }

    /// Called when it is empty and goes back to the pool: small memory is worth keeping, large is not.
    func prepareForReuse() {
        if let spare, spare.capacity > Self.largePiece {
            free(spare.base)
            self.spare = nil
        }
    }
}
