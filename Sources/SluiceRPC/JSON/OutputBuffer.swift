/// Bytes on their way out: they are added at the end and taken away at the front.
///
/// All offsets count from the first byte that is still there. The memory behind it is owned here alone; nothing hands it
/// out beyond the call of a closure.
final class OutputBuffer {
    private var base: UnsafeMutableRawPointer?
    private var capacity = 0
    private var start = 0
    private var end = 0

    /// Memory that an empty buffer keeps; what a large answer needed beyond that goes back to the system.
    private static let kept = 256 * 1024

    deinit { base?.deallocate() }

    var count: Int { end - start }
    var isEmpty: Bool { end == start }

    // MARK: Adding

    func append(byte: UInt8) {
        room(for: 1).storeBytes(of: byte, as: UInt8.self)
        end += 1
    }

    func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        room(for: bytes.count).copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
    }

    /// Text that is already what shall go out (no quotes are added, nothing is escaped).
    func append(_ text: StaticString) {
        guard text.hasPointerRepresentation else { return append(text: text.description) }
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    func append(text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    func append(_ other: OutputBuffer) {
        other.withBytes { append($0) }
    }

    func append(integer number: Int) {
        if number >= 0, number < 10 { return append(byte: UInt8(48 + number)) }
        withUnsafeTemporaryAllocation(byteCount: 20, alignment: 1) { digits in
            var left = number.magnitude
            var position = 20
            repeat {
                position -= 1
                digits[position] = UInt8(48 + left % 10)
                left /= 10
            } while left > 0
            if number < 0 { append(byte: 45) }
            append(UnsafeRawBufferPointer(rebasing: digits[position...]))
        }
    }

    /// Lets `fill` write up to `size` bytes behind the end; what it returns (at most `size`) is how many it wrote.
    func append(upTo size: Int, _ fill: (UnsafeMutableRawBufferPointer) -> Int) {
        let space = UnsafeMutableRawBufferPointer(start: room(for: size), count: size)
        end += max(0, min(size, fill(space)))
    }

    /// Puts bytes in at `offset`, moving what follows.
    func insert(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        guard let source = bytes.baseAddress, bytes.count > 0, offset >= 0, offset <= count else { return }
        let tail = count - offset
        _ = room(for: bytes.count)
        guard let base else { return }
        let place = base + (start + offset)
        (place + bytes.count).copyMemory(from: place, byteCount: tail)
        place.copyMemory(from: source, byteCount: bytes.count)
        end += bytes.count
    }

    // MARK: Taking away

    func removeFirst(_ size: Int) {
        start += max(0, min(size, count))
        if start == end { removeAll() }
    }

    /// Forgets everything from `offset` on.
    func truncate(to offset: Int) {
        guard offset >= 0, offset < count else { return }
        end = start + offset
        if start == end { removeAll() }
    }

    func removeAll() {
        start = 0
        end = 0
        if capacity > Self.kept {
            base?.deallocate()
            base = nil
            capacity = 0
        }
    }

    // MARK: Looking

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        guard let base else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
        return body(UnsafeRawBufferPointer(start: base + start, count: count))
    }

    // MARK: Memory

    /// The place behind the last byte, with room for `size` more.
    private func room(for size: Int) -> UnsafeMutableRawPointer {
        if let base, capacity - end >= size { return base + end }
        return grow(by: size)
    }

    private func grow(by size: Int) -> UnsafeMutableRawPointer {
        let used = count
        // Moving to the front is enough when at least half of the memory is free by it; else doubling keeps appending cheap.
        if let base, start >= capacity / 2, capacity - used >= size {
            base.copyMemory(from: base + start, byteCount: used)
            start = 0
            end = used
            return base + end
        }
        let wanted = max(4096, max(used + size, capacity * 2))
        let fresh = UnsafeMutableRawPointer.allocate(byteCount: wanted, alignment: 16)
        if let base {
            fresh.copyMemory(from: base + start, byteCount: used)
            base.deallocate()
        }
        base = fresh
        capacity = wanted
        start = 0
        end = used
        return fresh + end
    }
}
