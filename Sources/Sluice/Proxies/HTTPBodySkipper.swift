/// Passes over the body of an answer, so that the connection can go on behind it.
struct HTTPBodySkipper {
    /// What is longer than this is not worth it: another connection is cheaper, and nothing is read without a limit.
    static let sizeLimit = 64 << 10

    enum Progress { case incomplete, complete, hopeless }

    private enum Phase { case data, chunkSize, chunkExtension, chunkEnd, trailer }

    private var phase: Phase
    private let isChunked: Bool
    private var left: Int
    private var total = 0
    private var digits = 0
    private var lineIsEmpty = true

    /// Nil when the body cannot be passed over.
    init?(_ body: HTTPHead.Body) {
        switch body {
        case .untilClose: return nil
        case .length(let length):
            guard length <= Self.sizeLimit else { return nil }
            isChunked = false
            left = length
            phase = .data
        case .chunked:
            isChunked = true
            left = 0
            phase = .chunkSize
        }
    }

    var isComplete: Bool { !isChunked && left == 0 }

    mutating func take(_ byte: UInt8) -> Progress {
        total += 1
        guard total <= Self.sizeLimit else { return .hopeless }
        switch phase {
        case .data:
            left -= 1
            guard left == 0 else { return .incomplete }
            guard isChunked else { return .complete }
            phase = .chunkEnd
        case .chunkSize:
            if let digit = Character(UnicodeScalar(byte)).hexDigitValue {
                digits += 1
                guard digits <= 6 else { return .hopeless }
                left = left << 4 | digit
                return .incomplete
            }
            guard digits > 0 else { return .hopeless }
            phase = .chunkExtension
            return endOfSizeLine(byte)
        case .chunkExtension:
            return endOfSizeLine(byte)
        case .chunkEnd:
            if byte == UInt8(ascii: "\n") { beginChunk() } else if byte != UInt8(ascii: "\r") { return .hopeless }
        case .trailer:
            if byte == UInt8(ascii: "\n") {
                if lineIsEmpty { return .complete }
                lineIsEmpty = true
            } else if byte != UInt8(ascii: "\r") {
                lineIsEmpty = false
            }
        }
        return .incomplete
    }

    private mutating func endOfSizeLine(_ byte: UInt8) -> Progress {
        guard byte == UInt8(ascii: "\n") else { return .incomplete }
        phase = left == 0 ? .trailer : .data
        lineIsEmpty = true
        return .incomplete
    }

    private mutating func beginChunk() {
        phase = .chunkSize
        left = 0
        digits = 0
    }
}
