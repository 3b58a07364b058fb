import Glibc

/// The bytes that were accepted and are not yet with the system, in pieces: copies of what was written, and memory of the
/// caller's that is sent without a copy.
final class WriteQueue {
    /// One piece. Copied bytes stand right behind it, in the same allocation.
    private struct Piece {
        var next: UnsafeMutablePointer<Piece>?
        var bytes: UnsafeMutableRawPointer
        /// 0 for memory of the caller's.
        var capacity: Int
        var start = 0
        var end = 0
        var release: (() -> Void)?

        var count: Int { end - start }
    }

    private static let smallPiece = 4096 - MemoryLayout<Piece>.stride
    private static let largePiece = 64 << 10
    private static let piecesPerCall = 64
    private static let bytesPerCall = 1 << 20

    private var first: UnsafeMutablePointer<Piece>?
    private var last: UnsafeMutablePointer<Piece>?
    private(set) var count = 0
    /// A piece that is done with, kept for the next write.
    private var spare: UnsafeMutablePointer<Piece>?
    /// Callbacks of borrowed memory that is done with. They wait for `runReleases`, as they may come back with another write.
    private var releases: [() -> Void] = []

    deinit {
        removeAll()
        runReleases()
        freeSpare()
    }

    var isEmpty: Bool { count == 0 }

    // MARK: Filling

    /// Copies the bytes. False without memory: nothing was taken then.
    func append(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard var source = bytes.baseAddress, !bytes.isEmpty else { return true }
        var left = bytes.count
        let room = last.map { $0.pointee.capacity > 0 ? $0.pointee.capacity - $0.pointee.end : 0 } ?? 0
        let fitting = min(room, left)
        // The rest's memory comes first, so that a failure leaves everything as it was.
        var fresh: UnsafeMutablePointer<Piece>?
        if left > fitting {
            fresh = makePiece(for: left - fitting)
            if fresh == nil { return false }
        }
        if fitting > 0, let last {
            memcpy(last.pointee.bytes + last.pointee.end, source, fitting)
            last.pointee.end += fitting
            source += fitting
            left -= fitting
        }
        if let fresh {
            memcpy(fresh.pointee.bytes, source, left)
            fresh.pointee.end = left
            link(fresh)
        }
        count += bytes.count
        return true
    }

    /// Queues memory that the caller keeps valid until `release` is called. False without memory: it was not taken then.
    func append(borrowed bytes: UnsafeRawBufferPointer, release: (() -> Void)?) -> Bool {
        guard let base = bytes.baseAddress, !bytes.isEmpty else {
            release?()
            return true
        }
        guard let memory = malloc(MemoryLayout<Piece>.stride) else { return false }
        let piece = memory.bindMemory(to: Piece.self, capacity: 1)
        piece.initialize(
            to: Piece(bytes: UnsafeMutableRawPointer(mutating: base), capacity: 0, end: bytes.count, release: release))
        link(piece)
        count += bytes.count
        return true
    }

    private func link(_ piece: UnsafeMutablePointer<Piece>) {
        if let last { last.pointee.next = piece } else { first = piece }
        last = piece
    }

    private func makePiece(for size: Int) -> UnsafeMutablePointer<Piece>? {
        if let piece = spare, piece.pointee.capacity >= size {
            spare = nil
            return piece
        }
        // Small writes that go on are gathered in ever larger pieces; a large one gets just what it needs.
        return Self.allocate(size >= Self.largePiece ? size : max(size, first == nil ? Self.smallPiece : Self.largePiece))
    }

    private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<Piece>? {
        guard let memory = malloc(MemoryLayout<Piece>.stride + capacity) else { return nil }
        let piece = memory.bindMemory(to: Piece.self, capacity: 1)
        piece.initialize(to: Piece(bytes: memory + MemoryLayout<Piece>.stride, capacity: capacity))
        return piece
    }

    // MARK: Sending

    /// Sends as much as one call takes. Returns the bytes sent or minus the error number, and whether all that was offered went.
    func send(to descriptor: Int32) -> (sent: Int, complete: Bool) {
        guard let first else { return (0, true) }
        guard first.pointee.next != nil else {
            let offered = first.pointee.count
            let sent = System.send(descriptor, first.pointee.bytes + first.pointee.start, offered)
            if sent > 0 { consume(sent) }
            return (sent, sent == offered)
        }
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: Self.piecesPerCall) { vector in
            var filled = 0
            var offered = 0
            var piece: UnsafeMutablePointer<Piece>? = first
            while let current = piece, filled < vector.count, offered < Self.bytesPerCall {
                vector[filled] = iovec(iov_base: current.pointee.bytes + current.pointee.start, iov_len: current.pointee.count)
                filled += 1
                offered += current.pointee.count
                piece = current.pointee.next
            }
            guard let base = vector.baseAddress else { return (0, true) }
            let sent = System.sendVector(descriptor, base, filled)
            if sent > 0 { consume(sent) }
            return (sent, sent == offered)
        }
    }

    /// Offers the first piece to `taker`, which says as send(2) how much it took: `consume` that then. In between the queue may have
    /// been emptied.
    func offer(to taker: (UnsafeRawBufferPointer) -> Int) -> Int {
        guard let first else { return 0 }
        let piece = UnsafeRawBufferPointer(start: first.pointee.bytes + first.pointee.start, count: first.pointee.count)
        return min(taker(piece), piece.count)
    }

    /// Takes away what was sent.
    func consume(_ amount: Int) {
        var left = amount
        count -= amount
        while left > 0, let piece = first {
            let taken = min(left, piece.pointee.count)
            piece.pointee.start += taken
            left -= taken
            if piece.pointee.count == 0 { dropFirst(piece) }
        }
    }

    private func dropFirst(_ piece: UnsafeMutablePointer<Piece>) {
        first = piece.pointee.next
        if first == nil { last = nil }
        if let release = piece.pointee.release { releases.append(release) }
        let capacity = piece.pointee.capacity
        if spare == nil, capacity > 0, capacity <= Self.largePiece {
            piece.pointee.next = nil
            piece.pointee.start = 0
            piece.pointee.end = 0
            spare = piece
        } else {
            Self.free(piece)
        }
    }

    private static func free(_ piece: UnsafeMutablePointer<Piece>) {
        piece.deinitialize(count: 1)
        Glibc.free(piece)
    }

    private func freeSpare() {
        guard let spare else { return }
        Self.free(spare)
        self.spare = nil
    }

    /// Drops everything.
    func removeAll() {
        count = 0
        while let piece = first { dropFirst(piece) }
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
        freeSpare()
        guard let piece = first, piece == last, piece.pointee.capacity > 4 * piece.pointee.count,
            let smaller = Self.allocate(piece.pointee.count)
        else { return }
        memcpy(smaller.pointee.bytes, piece.pointee.bytes + piece.pointee.start, piece.pointee.count)
        smaller.pointee.end = piece.pointee.count
        first = smaller
        last = smaller
        Self.free(piece)
    }
}
