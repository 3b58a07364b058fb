/// Whether the bytes are valid UTF-8 (no overlong forms, no surrogates, nothing beyond U+10FFFF).
func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var index = 0
    let count = bytes.count
    while index < count {
        // Most of what travels is ASCII: eight bytes at a time while no high bit is set.
        while index + 8 <= count, bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
            index += 8
        }
        guard index < count else { break }
        let first = bytes[index]
        if first < 0x80 {
            index += 1
            continue
        }
        let length = sequenceLength(first)
        guard length > 1, index + length <= count else { return false }
        let second = bytes[index + 1]
        guard second & 0xC0 == 0x80, secondFits(second, after: first) else { return false }
        if length > 2, bytes[index + 2] & 0xC0 != 0x80 { return false }
        if length > 3, bytes[index + 3] & 0xC0 != 0x80 { return false }
        index += length
    }
    return true
}

/// The number of bytes a character has whose first byte is this one; 0 if no character begins so.
private func sequenceLength(_ first: UInt8) -> Int {
    switch first {
    case 0..<0x80: 1
    case 0xC2..<0xE0: 2
    case 0xE0..<0xF0: 3
    case 0xF0..<0xF5: 4
    default: 0
    }
}

private func secondFits(_ second: UInt8, after first: UInt8) -> Bool {
    switch first {
    case 0xE0: second >= 0xA0
    case 0xED: second < 0xA0
    case 0xF0: second >= 0x90
    case 0xF4: second < 0x90
    default: true
    }
}
