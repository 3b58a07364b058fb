import Glibc

/// The bytes that were received and not yet read.
///
/// Either it owns its storage, or it is a window on memory that somebody else owns for the moment (the loop's scratch area):
/// a reader that takes everything at once is then served without a copy. `settle()` copies what is left in the window.
struct ReadBuffer: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    /// 0 while the bytes are a window.
    private var capacity = 0
    private var head = 0
    private var tail = 0
    /// Bytes from `head` on that are known to contain no newline.
    private var scanned = 0

    /// Storage up to this size is kept when the buffer runs empty in the middle of a transfer.
    private static let smallestCapacity = 4096

    deinit { if capacity > 0 { free(base) } }

    var count: Int { tail - head }
    var isEmpty: Bool { tail == head }
    var isWindow: Bool { capacity == 0 && base != nil }

    private var start: UnsafeMutableRawPointer? { base.map { $0 + head } }

    /// Shows these bytes without copying them. Only for an empty buffer.
    mutating func setWindow(_ bytes: UnsafeMutableRawPointer, count: Int) {
        removeAll()
        base = bytes
        head = 0
        tail = count
        scanned = 0
    }

    /// Gives up the window: what is left in it is copied. False without memory; the bytes are then still in the window.
    mutating func settle() -> Bool {
        guard isWindow else { return true }
        let window = start
        let left = count
        guard left > 0 else {
            base = nil
            head = 0
            tail = 0
            return true
        }
        let size = max(left, Self.smallestCapacity)
        guard let storage = malloc(size), let window else { return false }
        storage.copyMemory(from: window, byteCount: left)
        base = storage
        capacity = size
        head = 0
        tail = left
        return true
    }

    /// Room for `size` more bytes at the end; fill it and tell `commit` how many came. Nil without memory.
    mutating func reserve(_ size: Int) -> UnsafeMutableRawPointer? {
        guard settle() else { return nil }
        if tail + size > capacity, !makeRoom(size) { return nil }
        return base.map { $0 + tail }
    }

    mutating func commit(_ size: Int) { tail += size }

    private mutating func makeRoom(_ size: Int) -> Bool {
        let left = count
        // Moving is cheaper than growing as long as at least half of the storage is free.
        if left + size <= capacity, left <= capacity / 2, let base {
            memmove(base, base + head, left)
        } else {
            let wanted = max(left + size, capacity * 2, Self.smallestCapacity)
            guard let storage = malloc(wanted) else { return false }
            if let base, left > 0 { memcpy(storage, base + head, left) }
            free(base)
            base = storage
            capacity = wanted
        }
        head = 0
        tail = left
        return true
    }

    /// Copies up to `size` bytes and takes them out, unless only a look was wanted. Returns how many.
    mutating func read(into destination: UnsafeMutableRawPointer, size: Int, peek: Bool) -> Int {
        let amount = min(size, count)
        guard amount > 0, let start else { return 0 }
        destination.copyMemory(from: start, byteCount: amount)
        if !peek { skip(amount) }
        return amount
    }

    mutating func skip(_ amount: Int) {
        head += amount
        scanned = max(0, scanned - amount)
        if head == tail { releaseStorage() }
    }

    mutating func removeAll() {
        head = tail
        scanned = 0
        releaseStorage()
    }

    private mutating func releaseStorage() {
        if capacity > 0 { free(base) }
        base = nil
        capacity = 0
        head = 0
        tail = 0
        scanned = 0
    }

    /// Puts one byte in front. False without memory.
    mutating func prepend(_ byte: UInt8) -> Bool {
        guard settle() else { return false }
        if head == 0 {
            let room = max(64, count)
            guard let storage = malloc(room + count + Self.smallestCapacity) else { return false }
            if let base, count > 0 { memcpy(storage + room, base + head, count) }
            let left = count
            free(base)
            base = storage
            capacity = room + left + Self.smallestCapacity
            head = room
            tail = room + left
        }
        head -= 1
        base?.storeBytes(of: byte, toByteOffset: head, as: UInt8.self)
        scanned = 0
        return true
    }

    /// The length of the first line with its newline, nil while none is complete. Bytes are looked at once only,
    /// however often this is asked.
    mutating func firstLineLength() -> Int? {
        guard let start, scanned < count else { return nil }
        guard let newline = memchr(start + scanned, 0x0A, count - scanned) else {
            scanned = count
            return nil
        }
        let index = UnsafeMutableRawPointer(newline) - start
        scanned = index
        return index + 1
    }
}
