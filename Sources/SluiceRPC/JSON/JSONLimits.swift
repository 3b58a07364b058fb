/// What a JSON text may cost before it is parsed. A tree of values takes up to sixty times the memory of its text, and
/// writing it out recurses as deep as it is nested; both are known from a glance at the text.
struct JSONLimits {
    /// How deep arrays and objects may stand in each other.
    var depth: Int
    /// How many values a text may hold.
    var values = 1_000_000

    /// Why the text may not be parsed, or nil.
    func exceeded(by bytes: UnsafeRawBufferPointer) -> String? {
        if bytes.count <= depth { return nil }
        // A plain count of opening brackets is quick and settles all ordinary texts; only those that hold many of them, perhaps
        // within strings, or are large, are worth a second look.
        if bytes.count <= values, roughBracketCount(bytes) <= depth { return nil }
        return exactlyExceeded(by: bytes)
    }

    /// At least the number of opening brackets, eight bytes at a time. The two kinds differ in one bit.
    private func roughBracketCount(_ bytes: UnsafeRawBufferPointer) -> Int {
        var count = 0
        var index = 0
        while index + 8 <= bytes.count {
            let word = (bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) | 0x2020_2020_2020_2020) ^ 0x7B7B_7B7B_7B7B_7B7B
            // The high bit of each byte that is zero now, and sometimes of one above it.
            count += ((word &- 0x0101_0101_0101_0101) & ~word & 0x8080_8080_8080_8080).nonzeroBitCount
            index += 8
        }
        while index < bytes.count {
            if bytes[index] | 0x20 == 0x7B { count += 1 }
            index += 1
        }
        return count
    }

    private func exactlyExceeded(by bytes: UnsafeRawBufferPointer) -> String? {
        var nesting = 0
        var count = 1
        var index = 0
        while index < bytes.count {
            switch bytes[index] {
            case 91, 123:
                nesting += 1
                count += 1
                if nesting > depth { return "nested deeper than the limit of \(depth) (--max-depth)" }
            case 93, 125:
                nesting -= 1
            case 44:
                count += 1
            case 34:
                index = endOfString(bytes, from: index + 1)
            default:
                break
            }
            if count > values { return "more than \(values) values in one message" }
            index += 1
        }
        return nil
    }

    /// The offset of the quote that ends a string, or the end of the text.
    private func endOfString(_ bytes: UnsafeRawBufferPointer, from: Int) -> Int {
        var index = from
        while index < bytes.count {
            switch bytes[index] {
            case 34: return index
            case 92: index += 2
            default: index += 1
            }
        }
        return index
    }
}
