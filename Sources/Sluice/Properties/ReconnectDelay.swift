/// How long to wait before connecting again: `first` milliseconds after a connection that held, twice as long after each
/// failure, `ceiling` at most; each pause is shortened by a random part of up to `jitter` percent, so that many clients of
/// a server that was restarted do not come all at once.
struct ReconnectDelay: Sendable {
    static let range = 1...86_400_000

    var first = 250
    var ceiling = 30_000
    var jitter = 25

    init() {}

    /// An object with some of the members; the others stay as in `old`.
    init(_ value: PropertyValue, over old: ReconnectDelay) throws(SocketError) {
        self = old
        for member in value.members ?? [] {
            guard let number = member.value.integer else {
                throw SocketError(.invalidArgument, "\"\(member.name.abbreviated)\" must be an integer, not \(member.value.sample)")
            }
            switch member.name {
            case "first": first = number
            case "ceiling": ceiling = number
            case "jitter": jitter = number
            default: throw SocketError(.invalidArgument, "it has first, ceiling and jitter, but no \"\(member.name.abbreviated)\"")
            }
        }
        guard Self.range.contains(first), Self.range.contains(ceiling), first <= ceiling, (0...100).contains(jitter) else {
            throw SocketError(.invalidArgument, "it takes \(PropertyType.reconnectDelay.description)")
        }
    }

    var value: PropertyValue {
        .object([.init("first", .integer(first)), .init("ceiling", .integer(ceiling)), .init("jitter", .integer(jitter))])
    }

    /// The pause after so many attempts that failed.
    func milliseconds(failures: Int) -> Int {
        let pause = min(ceiling, first << min(failures, 32))
        return max(1, pause - Int.random(in: 0...(pause * jitter / 100)))
    }

    /// Without the random part.
    func longest(failures: Int) -> Int { min(ceiling, first << min(failures, 32)) }
}
