/// Work that is gathered now and done in the next round. Rounds may nest: when doing one item leads to another round, that goes
/// on with the items that are left, so that nothing has to wait for the outer one to end.
struct WorkList<Element> {
    private var gathered: [Element] = []
    private var round: [Element] = []
    private var position = 0

    var isEmpty: Bool { gathered.isEmpty && round.isEmpty }

    mutating func append(_ element: Element) { gathered.append(element) }
    mutating func append(contentsOf elements: [Element]) { gathered.append(contentsOf: elements) }

    /// Takes back an item that is gathered and not yet in a round; false when there is none. Mostly it is the last.
    mutating func withdraw(where matches: (Element) -> Bool) -> Bool {
        guard let index = gathered.lastIndex(where: matches) else { return false }
        gathered.remove(at: index)
        return true
    }

    /// Everything there is; nothing is left here.
    mutating func takeAll() -> [Element] {
        defer { self = WorkList() }
        return round[position...] + gathered
    }

    /// Begins a round with all that is gathered, unless one is going on. The two arrays take turns, so that no memory is
    /// allocated once they are large enough.
    mutating func beginRound() {
        if round.isEmpty { swap(&gathered, &round) }
    }

    /// The next item of the round.
    mutating func next() -> Element? {
        guard position < round.count else { return nil }
        let element = round[position]
        position += 1
        if position == round.count {
            round.removeAll(keepingCapacity: true)
            position = 0
        }
        return element
    }
}
