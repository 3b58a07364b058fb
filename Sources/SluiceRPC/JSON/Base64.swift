/// Base64 as RFC 4648 section 4 has it: the plain alphabet, always padded, nothing else between.
private let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

func base64Size(_ count: Int) -> Int { (count + 2) / 3 * 4 }

extension OutputBuffer {
    func append(base64 bytes: UnsafeRawBufferPointer) {
        let digits = UnsafeBufferPointer(start: alphabet.utf8Start, count: 64)
        append(upTo: base64Size(bytes.count)) { out in
            var from = 0
            var to = 0
            while from + 3 <= bytes.count {
                let group = Int(bytes[from]) << 16 | Int(bytes[from + 1]) << 8 | Int(bytes[from + 2])
                out[to] = digits[group >> 18]
                out[to + 1] = digits[group >> 12 & 63]
                out[to + 2] = digits[group >> 6 & 63]
                out[to + 3] = digits[group & 63]
                from += 3
                to += 4
            }
            let left = bytes.count - from
            if left > 0 {
                let group = Int(bytes[from]) << 16 | (left == 2 ? Int(bytes[from + 1]) << 8 : 0)
                out[to] = digits[group >> 18]
                out[to + 1] = digits[group >> 12 & 63]
                out[to + 2] = left == 2 ? digits[group >> 6 & 63] : 61
                out[to + 3] = 61
                to += 4
            }
            return to
        }
    }
}

/// The bytes that this text stands for; nil unless it is base64 to the letter: no blanks, full padding, no stray bits at the end.
func decodeBase64(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    guard text.count % 4 == 0 else { return nil }
    guard text.count > 0 else { return [] }
    var padding = 0
    if text[text.count - 1] == 61 { padding = text[text.count - 2] == 61 ? 2 : 1 }
    let size = text.count / 4 * 3 - padding

    var isValid = true
    let result = [UInt8](unsafeUninitializedCapacity: size) { out, filled in
        for from in stride(from: 0, to: text.count, by: 4) {
            let isLast = from + 4 == text.count
            var group: UInt32 = 0
            for position in 0..<4 {
                let isPadding = isLast && position >= 4 - padding
                let digit = isPadding ? 0 : base64Digit(text[from + position])
                if digit > 63 { isValid = false }
                group = group << 6 | UInt32(digit & 63)
            }
            let wanted = isLast ? 3 - padding : 3
            // Bits beyond the last byte must be zero, so that there is one text only for the same bytes.
            if wanted < 3, group & (wanted == 2 ? 0xFF : 0xFFFF) != 0 { isValid = false }
            guard isValid else { return }
            for position in 0..<wanted {
                out[filled] = UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * position))
                filled += 1
            }
        }
    }
    return isValid ? result : nil
}

private func base64Digit(_ byte: UInt8) -> UInt8 {
    switch byte {
    case 65...90: byte - 65
    case 97...122: byte - 71
    case 48...57: byte + 4
    case 43: 62
    case 47: 63
    default: 255
    }
}
