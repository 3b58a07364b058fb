/// JSON text of a fixed shape, written straight into the output: what has a known form needs no tree of values first.
extension OutputBuffer {
    /// A JSON string: in quotes, with everything escaped that has to be. The bytes must be UTF-8.
    func append(quoted bytes: UnsafeRawBufferPointer) {
        append(byte: 34)
        var from = 0
        while true {
            let to = endOfPlainText(bytes, from: from)
            append(UnsafeRawBufferPointer(rebasing: bytes[from..<to]))
            guard to < bytes.count else { break }
            append(escaped: bytes[to])
            from = to + 1
        }
        append(byte: 34)
    }

    func append(quoted text: String) {
        var text = text
        text.withUTF8 { append(quoted: UnsafeRawBufferPointer($0)) }
    }

    private func append(escaped byte: UInt8) {
        append(byte: 92)
        switch byte {
        case 34, 92: append(byte: byte)
        case 8: append(byte: UInt8(ascii: "b"))
        case 9: append(byte: UInt8(ascii: "t"))
        case 10: append(byte: UInt8(ascii: "n"))
        case 12: append(byte: UInt8(ascii: "f"))
        case 13: append(byte: UInt8(ascii: "r"))
        default:
            append("u00")
            append(byte: 48 + byte >> 4)
            let low = byte & 15
            append(byte: low < 10 ? 48 + low : 87 + low)
        }
    }

    func append(boolean value: Bool) {
        append(value ? "true" as StaticString : "false")
    }

    /// The two members that carry bytes: `"data":…,"encoding":…`. Text goes as text when it is valid UTF-8.
    func append(dataMembers bytes: UnsafeRawBufferPointer, asBase64: Bool) {
        append("\"data\":")
        if !asBase64, isUTF8(bytes) {
            append(quoted: bytes)
            append(",\"encoding\":\"utf8\"")
        } else {
            append(byte: 34)
            append(base64: bytes)
            append("\",\"encoding\":\"base64\"")
        }
    }

    func append(list names: [String]) {
        append(byte: UInt8(ascii: "["))
        var isFirst = true
        for name in names {
            if !isFirst { append(byte: UInt8(ascii: ",")) }
            isFirst = false
            append(quoted: name)
        }
        append(byte: UInt8(ascii: "]"))
    }
}

/// The offset of the first byte from `from` on that cannot stand in a JSON string as it is.
private func endOfPlainText(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int {
    var index = from
    // Eight bytes at a time: the high bit of each byte of `odd` says that it is below 32, a quote or a backslash.
    while index + 8 <= bytes.count {
        let word = bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
        let low = (word &- 0x2020_2020_2020_2020) & ~word
        let quote = word ^ 0x2222_2222_2222_2222
        let slash = word ^ 0x5C5C_5C5C_5C5C_5C5C
        let odd = low | ((quote &- 0x0101_0101_0101_0101) & ~quote) | ((slash &- 0x0101_0101_0101_0101) & ~slash)
        if odd & 0x8080_8080_8080_8080 != 0 { break }
        index += 8
    }
    while index < bytes.count {
        let byte = bytes[index]
        if byte < 32 || byte == 34 || byte == 92 { break }
        index += 1
    }
    return index
}

/// How many bytes `append(quoted:)` makes of these, quotes included.
func quotedSize(_ bytes: UnsafeRawBufferPointer) -> Int {
    var size = bytes.count + 2
    for byte in bytes {
        switch byte {
        case 8, 9, 10, 12, 13, 34, 92: size += 1
        case 0..<32: size += 5
        default: break
        }
    }
    return size
}
