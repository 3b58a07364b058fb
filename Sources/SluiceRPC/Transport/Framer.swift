import Glibc

/// Cuts the bytes of a connection into messages.
///
/// One message a line, or each behind a `Content-Length:` header; which of the two is seen from the connection's first bytes.
/// Whatever comes, the next good message is found again: after a line that is too long at the next newline, after a body
/// that is too long behind it, after a header that is none at the next one.
final class Framer {
    enum Style { case undecided, lines, headers }

    enum Item {
        case message(UnsafeRawBufferPointer)
        /// A message above the limit; it was left out.
        case tooLarge
        /// What stands where a header should.
        case badHeader(String)
        /// The input has ended before the message it announced.
        case cutOff
    }

    private(set) var style = Style.undecided
    private let limit: Int
    /// The part of a line or body that is here so far.
    private let partial = OutputBuffer()
    /// A line above the limit is left out up to its newline, a body up to its length.
    private var isSkippingLine = false
    private var bytesToSkip = 0
    private var bodyLength: Int?
    private var declaredLength: Int?
    private var isAfterBadHeader = false
    /// Headers came, but none that tells a length.
    private var hasOtherHeaders = false

    private static let headerLimit = 8192
    private static let opening: StaticString = "content-"

    init(limit: Int) { self.limit = limit }

    /// Takes what was read; `receive` gets each message that is now complete and says whether to go on. The bytes it gets
    /// are valid only during the call. Returns what was not looked at because nothing more was wanted.
    @discardableResult
    func feed(_ chunk: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) -> [UInt8] {
        var rest = chunk
        if style == .undecided {
            guard let whole = decide(&rest) else { return [] }
            if let whole { return whole.withBytes { Array(process($0, receive)) } }
        }
        return Array(process(rest, receive))
    }

    /// The end of input: a last line may lack its newline.
    func finish(_ receive: (Item) -> Bool) {
        if isSkippingLine { return }
        if style == .headers {
            if bodyLength != nil || bytesToSkip > 0 || !partial.isEmpty { _ = receive(.cutOff) }
            return
        }
        style = .lines
        let last = takePartial()
        last.withBytes { if !isBlank($0) { _ = receive(.message($0)) } }
    }

    // MARK: Choosing

    /// Nil: more bytes are needed. Else the style is set; the inner value is what was held back and belongs before the rest,
    /// with the rest added.
    private func decide(_ rest: inout UnsafeRawBufferPointer) -> OutputBuffer?? {
        if partial.isEmpty {
            while let first = rest.first, first == 10 || first == 13 || first == 32 || first == 9 {
                rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
            }
        }
        guard !rest.isEmpty else { return nil }
        if partial.isEmpty, rest[0] | 0x20 != UInt8(ascii: "c") {
            style = .lines
            return .some(nil)
        }
        partial.append(rest)
        let opening = UnsafeBufferPointer(start: Self.opening.utf8Start, count: Self.opening.utf8CodeUnitCount)
        let matched = partial.withBytes { zip($0, opening).prefix { $0 | 0x20 == $1 }.count }
        if matched < opening.count, matched == partial.count { return nil }
        style = matched == opening.count ? .headers : .lines
        return .some(takePartial())
    }

    private func takePartial() -> OutputBuffer {
        let taken = OutputBuffer()
        taken.append(partial)
        partial.removeAll()
        return taken
    }

    /// Returns what is left when nothing more is wanted.
    private func process(_ bytes: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) -> UnsafeRawBufferPointer {
        style == .headers ? feedHeaders(bytes, receive) : feedLines(bytes, receive)
    }

    // MARK: Lines

    private func feedLines(_ bytes: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) -> UnsafeRawBufferPointer {
        var rest = bytes
        while !rest.isEmpty {
            guard let newline = newlineOffset(rest) else {
                keepLine(rest, receive)
                return Self.nothing
            }
            let line = UnsafeRawBufferPointer(rebasing: rest[..<newline])
            rest = UnsafeRawBufferPointer(rebasing: rest[(newline + 1)...])
            guard finishLine(line, receive) else { return rest }
        }
        return Self.nothing
    }

    private static var nothing: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// The beginning or the middle of a line.
    private func keepLine(_ piece: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) {
        if isSkippingLine { return }
        if partial.count + piece.count > limit {
            partial.removeAll()
            isSkippingLine = true
            _ = receive(.tooLarge)
        } else {
            partial.append(piece)
        }
    }

    /// The end of a line. False when nothing more is wanted.
    private func finishLine(_ piece: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) -> Bool {
        if isSkippingLine {
            isSkippingLine = false
            return true
        }
        if partial.count + piece.count > limit {
            partial.removeAll()
            return receive(.tooLarge)
        }
        if partial.isEmpty { return isBlank(piece) || receive(.message(piece)) }
        partial.append(piece)
        defer { partial.removeAll() }
        return partial.withBytes { isBlank($0) || receive(.message($0)) }
    }

    private func newlineOffset(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard let base = bytes.baseAddress, let found = memchr(base, 10, bytes.count) else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private func isBlank(_ line: UnsafeRawBufferPointer) -> Bool {
        line.allSatisfy { $0 == 32 || $0 == 13 || $0 == 9 }
    }

    // MARK: Headers

    private func feedHeaders(_ bytes: UnsafeRawBufferPointer, _ receive: (Item) -> Bool) -> UnsafeRawBufferPointer {
        var rest = bytes
        while !rest.isEmpty {
            if bytesToSkip > 0 {
                let skipped = min(bytesToSkip, rest.count)
                bytesToSkip -= skipped
                rest = UnsafeRawBufferPointer(rebasing: rest[skipped...])
            } else if let length = bodyLength {
                let taken = min(length - partial.count, rest.count)
                let piece = UnsafeRawBufferPointer(rebasing: rest[..<taken])
                rest = UnsafeRawBufferPointer(rebasing: rest[taken...])
                guard addToBody(piece, length, receive) else { return rest }
            } else {
                let newline = newlineOffset(rest)
                let piece = UnsafeRawBufferPointer(rebasing: rest[..<(newline ?? rest.count)])
                rest = UnsafeRawBufferPointer(rebasing: rest[(newline.map { $0 + 1 } ?? rest.count)...])
                if partial.count <= Self.headerLimit { partial.append(piece) }
                if newline != nil, !finishHeader(receive) { return rest }
            }
        }
        return Self.nothing
    }

    private func addToBody(_ piece: UnsafeRawBufferPointer, _ length: Int, _ receive: (Item) -> Bool) -> Bool {
        if partial.isEmpty, piece.count == length {
            bodyLength = nil
            return receive(.message(piece))
        }
        partial.append(piece)
        guard partial.count == length else { return true }
        bodyLength = nil
        defer { partial.removeAll() }
        return partial.withBytes { receive(.message($0)) }
    }

    /// One header line is complete in `partial`.
    private func finishHeader(_ receive: (Item) -> Bool) -> Bool {
        let isTooLong = partial.count > Self.headerLimit
        let line = partial.withBytes { String(decoding: $0, as: UTF8.self) }
        partial.removeAll()
        let text = line.hasSuffix("\r") ? line.dropLast() : line[...]
        if text.isEmpty {
            return finishHeaders(receive)
        }
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        if !isTooLong, parts.count == 2, isToken(parts[0]) {
            if parts[0].lowercased() != "content-length" {
                hasOtherHeaders = true
                return true
            }
            if let length = length(parts[1]) {
                declaredLength = length
                isAfterBadHeader = false
                return true
            }
        }
        guard complain(of: text, receive) else { return false }
        // A length that was too small or too large leaves the rest of a body in front of the next header.
        if !isTooLong, let length = lengthAtEnd(of: text) {
            declaredLength = length
            isAfterBadHeader = false
        }
        return true
    }

    /// As many digits as surely fit.
    private func length(_ text: Substring) -> Int? {
        let value = text.drop { $0 == " " || $0 == "\t" }
        guard !value.isEmpty, value.utf8.count <= 18, value.utf8.allSatisfy({ $0 >= 48 && $0 <= 57 }) else { return nil }
        return Int(value)
    }

    private func lengthAtEnd(of text: Substring) -> Int? {
        let name = "content-length"
        guard let colon = text.lastIndex(of: ":"), text[..<colon].utf8.count >= name.utf8.count,
            text[..<colon].suffix(name.count).lowercased() == name
        else { return nil }
        return length(text[text.index(after: colon)...])
    }

    /// One complaint for all that is amiss before the next good header.
    private func complain(of text: Substring, _ receive: (Item) -> Bool) -> Bool {
        declaredLength = nil
        hasOtherHeaders = false
        if isAfterBadHeader { return true }
        isAfterBadHeader = true
        return receive(.badHeader(String(text.prefix(60))))
    }

    private func isToken(_ name: Substring) -> Bool {
        !name.isEmpty && name.utf8.allSatisfy { $0 == 0x2D || (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) }
    }

    private func finishHeaders(_ receive: (Item) -> Bool) -> Bool {
        // Blank lines between messages are no harm; headers without a length are.
        guard let length = declaredLength else { return hasOtherHeaders ? complain(of: "a header without Content-Length", receive) : true }
        declaredLength = nil
        hasOtherHeaders = false
        if length > limit {
            bytesToSkip = length
            return receive(.tooLarge)
        }
        bodyLength = length
        if length > 0 { return true }
        bodyLength = nil
        return receive(.message(UnsafeRawBufferPointer(start: nil, count: 0)))
    }
}
