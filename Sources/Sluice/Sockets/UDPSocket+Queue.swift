import Glibc

/// Datagrams that could not be sent yet: the system took no more for the moment, or a name is being looked up. There is one only
/// while there are any.
final class DatagramOutbox {
    struct Item: OutgoingBytes {
        let data: [UInt8]
        let destination: Destination?
        let options: DatagramOptions?

        func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result { data.withUnsafeBytes(body) }
    }

    /// What waits for one name.
    final class Name {
        let name: String
        var lookup: HostLookup?
        var items: [(data: [UInt8], port: UInt16, options: DatagramOptions?)] = []

        init(_ name: String) { self.name = name }
    }

    /// Unless writeBufferSize says otherwise.
    static let standardLimit = 1 << 20
    static let datagramLimit = 4096

    private(set) var items: [Item] = []
    private(set) var first = 0
    private var names: [Name] = []
    /// All that waits.
    private(set) var bytes = 0
    private var count = 0

    var isEmpty: Bool { count == 0 }
    var summary: String { "\(count) datagrams of \(bytes) bytes in all" }
    var hasItems: Bool { first < items.count }
    /// The one that began first.
    var lookup: HostLookup? { names.first?.lookup }

    /// An empty queue takes any datagram, whatever the limit.
    func hasRoom(for size: Int, limit: Int) -> Bool {
        count == 0 || (bytes + size <= (limit > 0 ? limit : Self.standardLimit) && count < Self.datagramLimit)
    }

    func append(_ item: Item) {
        items.append(item)
        count += 1
        bytes += item.data.count
    }

    func removeFirst(_ number: Int) {
        for item in items[first..<first + number] { bytes -= item.data.count }
        count -= number
        first += number
        if first == items.count {
            items = []
            first = 0
        } else if first >= Self.datagramLimit {
            items.removeFirst(first)
            first = 0
        }
    }

    /// The lookup of this name that is going on, or room for a new one.
    func append(_ data: [UInt8], to name: String, port: UInt16, options: DatagramOptions?) -> Name {
        count += 1
        bytes += data.count
        let entry = names.first { $0.name == name } ?? Name(name)
        if entry.items.isEmpty { names.append(entry) }
        entry.items.append((data, port, options))
        return entry
    }

    func remove(_ name: Name) {
        names.removeAll { $0 === name }
        count -= name.items.count
        for item in name.items { bytes -= item.data.count }
    }

    func cancelLookups() {
        for name in names { name.lookup?.cancel() }
    }
}

extension UDPSocket {
    private func makeOutbox() -> DatagramOutbox {
        if let existingOutbox { return existingOutbox }
        let fresh = DatagramOutbox()
        makeExtras().outbox = fresh
        return fresh
    }

    func hasRoom(for size: Int) -> Bool { existingOutbox?.hasRoom(for: size, limit: writeBufferSize) ?? true }

    /// Throws what it has told.
    private func checkRoom(for size: Int) throws(SocketError) {
        if !hasRoom(for: size) { try refuse(.temporary, "No datagram can be taken for the moment: \(bytesToWrite) bytes wait to be sent") }
    }

    // MARK: Until the system takes more

    func queue(_ bytes: UnsafeRawBufferPointer, to destination: Destination?, options: DatagramOptions?) throws(SocketError) {
        // A size that no queue helps with is better known now.
        guard bytes.count <= Int(UInt16.max) else {
            try refuse(.datagramTooLarge, "The datagram of \(bytes.count) bytes is too large to send")
        }
        try checkRoom(for: bytes.count)
        makeOutbox().append(DatagramOutbox.Item(data: Array(bytes), destination: destination, options: options))
        waitUntilWritable()
        noteChange(settings: false)
    }

    func waitUntilWritable() {
        flags.insert(.writeBlocked)
        watchWritable(true)
    }

    /// Sends what is queued, as far as the system takes it. Returns whether anything left.
    func sendQueue() -> Bool {
        guard let outbox = existingOutbox, outbox.hasItems, rawDescriptor >= 0 else { return false }
        let begun = epoch
        if association != nil {
            let hasSent = sendRelayedQueue(outbox)
            if begun == epoch, existingOutbox === outbox, !outbox.hasItems { queueSent() }
            return hasSent
        }
        var hasSent = false
        flags.remove(.writeBlocked)
        while begun == epoch, existingOutbox === outbox, outbox.hasItems {
            let outcome = sendTogether(outbox.items, from: outbox.first, to: target(of: outbox.items[outbox.first])) { target(of: $0) }
            outbox.removeFirst(outcome.datagrams)
            if outcome.datagrams > 0 { hasSent = true }
            if outcome.failure == EAGAIN { waitUntilWritable() }
            tell(outcome)
            guard begun == epoch, existingOutbox === outbox, !flags.contains(.writeBlocked) else { return hasSent }
            guard outcome.datagrams == 0, outcome.failure != 0, !noteSegments(outcome), outbox.hasItems else { continue }
            let item = outbox.items[outbox.first]
            outbox.removeFirst(1)
            report(failure(outcome.failure, size: item.data.count, destination: item.destination))
        }
        if begun == epoch { queueSent() }
        return hasSent
    }

    private func target(of item: DatagramOutbox.Item) -> Target {
        item.destination.map { .address($0) } ?? .peer
    }

    private func queueSent() {
        guard let outbox = existingOutbox else { return }
        if !outbox.hasItems { watchWritable(false) }
        guard outbox.isEmpty else { return }
        extras?.outbox = nil
        let begun = epoch
        completeWaits()
        if begun == epoch, state == .closing { finishClose() }
    }

    // MARK: Until a name is looked up

    func queue(_ bytes: UnsafeRawBufferPointer, to name: String, port: UInt16, options: DatagramOptions?) throws(SocketError) {
        guard bytes.count <= Int(UInt16.max) else {
            try refuse(.datagramTooLarge, "The datagram of \(bytes.count) bytes is too large to send")
        }
        try checkRoom(for: bytes.count)
        let entry = makeOutbox().append(Array(bytes), to: name, port: port, options: options)
        guard entry.lookup == nil else { return }
        // The lookups of a socket end with it.
        entry.lookup = HostLookup(name: name, protocol: ownProtocol, loop: loop) { [unowned(unsafe) self] lookup in
            lookedUp(entry, lookup.result)
        }
    }

    /// Which addresses are of use.
    private var ownProtocol: NetworkProtocol {
        guard state != .unconnected, !datagramFlags.contains(.dualStack) else { return .any }
        return datagramFlags.contains(.ipv6) ? .ipv6 : .ipv4
    }

    private func lookedUp(_ entry: DatagramOutbox.Name, _ result: Result<[HostAddress], SocketError>?) {
        guard let outbox = existingOutbox, let result else { return }
        outbox.remove(entry)
        do throws(SocketError) {
            let addresses = try result.get()
            guard let host = addresses.first(where: { reachable($0) != nil }) else {
                throw SocketError(.hostNotFound, "\(entry.name.abbreviated) has no address that can be reached from \(localAddress)")
            }
            for item in entry.items {
                guard let destination = destination(host, port: item.port) else { continue }
                sendLookedUp(item.data, to: destination, options: item.options)
                // Whoever closed the socket meanwhile has dropped the rest.
                guard existingOutbox === outbox, rawDescriptor >= 0 else { return }
            }
        } catch {
            var error = error
            let bytes = entry.items.reduce(0) { $0 + $1.data.count }
            error.message += "; \(entry.items.count) datagrams of \(bytes) bytes in all were not sent"
            report(error)
        }
        if existingOutbox === outbox { queueSent() }
    }

    private func sendLookedUp(_ data: [UInt8], to destination: Destination, options: DatagramOptions?) {
        data.withUnsafeBytes { bytes in
            // What fails was told.
            try? send(bytes, to: destination, options: options)
        }
    }
}
