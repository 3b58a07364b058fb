import CLinux
import Glibc

extension UDPSocket {
    /// What receiving a packet costs, however small it is, in bytes of the fair share of a turn.
    private static let packetCost = 256
    private static let packetLimit = Int(CLINUX_RECEIVER_PACKETS)

    // MARK: From the system

    /// A socket without a descriptor may be in these states too, when it merely shows them.
    var isLive: Bool { rawDescriptor >= 0 && (state == .bound || state == .connected) }

    /// Tells of datagrams until nothing is left, or until a handler reads nothing: then no more is told before something is read.
    func receive() {
        let begun = epoch
        share = EventLoop.fairShare
        while isLive, !datagramFlags.contains(.announced) {
            if inbox.isEmpty {
                guard datagramFlags.contains(.moreInSystem) else { return }
                guard share > 0 else {
                    requestTurn(.announceInTurn)
                    return
                }
                guard fetch(wait: false) > 0, begun == epoch else { return }
            }
            // Inside the handler the turn that is in progress goes on with it.
            if flags.contains(.inReadyRead) { return }
            announce()
            guard begun == epoch else { return }
        }
    }

    private func announce() {
        progress.received &+= 1
        guard !flags.contains(.inReadyRead) else { return }
        let begun = epoch
        datagramFlags.insert(.announced)
        flags.insert(.inReadyRead)
        send(.readyRead, .readyRead(bytesAvailable: inbox.front.count))
        if begun == epoch, isSubscribed(to: .lineAvailable), canReadLine { send(.lineAvailable, .lineAvailable) }
        flags.remove(.inReadyRead)
        if begun == epoch { completeWaits() }
    }

    /// Gets what the system has, when nothing is left unread. Above 0 when there is something to read, 0 when there is nothing,
    /// minus errno for an error, which was told. `wait`: sleeps until something comes, as long as the descriptor allows.
    func fetch(wait: Bool) -> Int {
        let begun = epoch
        let scratch = loop.buffers.datagrams
        // One error for each datagram that was sent to nobody; no flood of them holds up the turn.
        for _ in 0..<64 {
            if let owner = scratch.owner, owner !== self { owner.settleInbox() }
            scratch.owner = nil
            var count = scratch.receive(rawDescriptor, limit: Self.packetLimit, wait: wait)
            let isFull = count == Self.packetLimit
            if count > 0, let association, let packets = scratch.packets {
                count = association.unwrap(packets, count: count)
                if count == 0 {
                    // As after a signal, the caller looks at its deadline.
                    if wait { return -Int(EINTR) }
                    continue
                }
            }
            if count > 0, let packets = scratch.packets {
                inbox.load(packets, count: count)
                scratch.owner = self
                for index in 0..<count { share -= Int(packets[index].size) + Self.packetCost }
                if !isFull { datagramFlags.remove(.moreInSystem) } else { datagramFlags.insert(.moreInSystem) }
                return count
            }
            if count == -Int(EAGAIN) || count == 0 {
                datagramFlags.remove(.moreInSystem)
                return 0
            }
            if count == -Int(EINTR) { return count }
            let number = Int32(truncatingIfNeeded: -count)
            reportEarlierFailure(number)
            guard begun == epoch, System.mayBeEarlierFailure(number), !wait else { return count }
            if !inbox.isEmpty { return 1 }
        }
        lookAgain()
        return 0
    }

    /// Makes room in the loop's scratch area.
    private func settleInbox() {
        guard !inbox.settle() else { return }
        datagramFlags.remove(.announced)
        datagramFlags.insert(.lostForMemory)
        requestTurn([])
    }

    /// Whether there is a datagram to read.
    private func fillInbox() -> Bool {
        if !inbox.isEmpty { return true }
        guard isLive else { return false }
        // Inside its own handler the socket knows whether the system has more, and keeps to its share of the turn.
        if flags.contains(.inReadyRead), share <= 0 || !datagramFlags.contains(.moreInSystem) { return false }
        guard fetch(wait: false) > 0 else { return false }
        // The system will not tell of it any more: unless it is read before, the next turn does.
        if !flags.contains(.inReadyRead) { requestTurn(.announceInTurn) }
        return true
    }

    /// Something was read: what is left, and what comes, is told again.
    private func didRead() {
        datagramFlags.remove(.announced)
        if !flags.contains(.inReadyRead) { announceRest() }
        noteChange(settings: false)
    }

    private func announceRest() {
        if !datagramFlags.contains(.announced), !inbox.isEmpty || datagramFlags.contains(.moreInSystem) {
            requestTurn(.announceInTurn)
        }
    }

    // MARK: Datagrams

    /// Whether a datagram waits to be read. False while Unconnected.
    public var hasPendingDatagrams: Bool { fillInbox() }

    /// The size of the next datagram, -1 when there is none.
    public var pendingDatagramSize: Int { fillInbox() ? inbox.front.count : -1 }

    /// The next datagram, with who sent it and all else that is known of it. At most `maxSize` bytes of it (-1: all) are kept, and
    /// the rest is lost. When there is none TemporaryError is thrown; unless all of it was asked for, it is told by
    /// errorOccurred too.
    public func readDatagram(maxSize: Int = -1) throws(SocketError) -> Datagram {
        guard maxSize >= -1 else { throw SocketError(.invalidArgument, "maxSize must be -1 (all) or a size, not \(maxSize)") }
        try requireDatagram(isTold: maxSize >= 0)
        return takeFront(maxSize < 0 ? .max : maxSize)
    }

    /// The next datagram, as much of it as there is room for; the rest is lost. When there is none TemporaryError is thrown, and
    /// told by errorOccurred unless `quietly` is asked for.
    public func readDatagram(
        into buffer: UnsafeMutableRawBufferPointer, quietly: Bool = false
    ) throws(SocketError) -> (count: Int, details: DatagramDetails) {
        try requireDatagram(isTold: !quietly)
        let front = inbox.front
        let count = min(front.count, buffer.count)
        if count > 0 { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: front[..<count])) }
        var details = frontDetails
        if count < front.count { details.truncated = true }
        inbox.removeFront()
        didRead()
        return (count, details)
    }

    /// As many datagrams as there are, up to `maxCount`; none is no error.
    public func readDatagrams(maxCount: Int) throws(SocketError) -> [Datagram] {
        var datagrams: [Datagram] = []
        try readDatagrams(maxCount: maxCount) { bytes, details in
            if datagrams.isEmpty { datagrams.reserveCapacity(min(maxCount, inbox.datagramCount)) }
            datagrams.append(Datagram(data: Array(bytes), details: details))
        }
        return datagrams
    }

    /// The same without memory for each: `body` is lent the bytes while it runs, in which it leaves the socket alone. Returns how
    /// many there were.
    @discardableResult
    public func readDatagrams(
        maxCount: Int, _ body: (UnsafeRawBufferPointer, DatagramDetails) -> Void
    ) throws(SocketError) -> Int {
        try checkSize(maxCount, "maxCount")
        try requireState()
        var count = 0
        while count < maxCount {
            if inbox.isEmpty, count > 0, !datagramFlags.contains(.moreInSystem) { break }
            guard fillInbox() else { break }
            body(UnsafeRawBufferPointer(inbox.front), frontDetails)
            inbox.removeFront()
            didRead()
            count += 1
        }
        return count
    }

    private func requireState() throws(SocketError) {
        guard isLive else { throw SocketError(.operation, "The socket is neither bound nor connected: nothing can be received") }
    }

    private func requireDatagram(isTold: Bool) throws(SocketError) {
        try requireState()
        let failures = failureCount
        guard !fillInbox() else { return }
        if failures != failureCount, let lastError { throw lastError }
        let error = SocketError(.temporary, "No datagram is waiting to be read")
        if isTold { report(error) }
        throw error
    }

    private var frontDetails: DatagramDetails {
        if ownPort == 0 { ownPort = UInt16(clamping: localPort) }
        return inbox.details(localPort: Int(ownPort)) ?? .unknown
    }

    private func takeFront(_ limit: Int) -> Datagram {
        let front = inbox.front
        var datagram = Datagram(data: Array(front.prefix(limit)), details: frontDetails)
        if limit < front.count { datagram.details.truncated = true }
        inbox.removeFront()
        didRead()
        return datagram
    }

    // MARK: As a stream of datagrams, each read on its own

    private func checkReadable() throws(SocketError) {
        guard isReadable else { throw SocketError(.operation, "The socket is not open for reading") }
        guard state == .connected else {
            throw SocketError(.operation, "The socket is not connected: what comes is read by readDatagram")
        }
    }

    /// Reads from the next datagram, never from two. What does not fit stays, and is read next; an empty datagram is read by any
    /// read.
    func readStream(into buffer: UnsafeMutableRawBufferPointer, limit: Int) throws(SocketError) -> Int {
        try checkReadable()
        guard fillInbox() else { return 0 }
        let front = inbox.front
        let count = min(front.count, buffer.count, limit)
        if count > 0 { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: front[..<count])) }
        return removeStream(count, of: front.count)
    }

    func skipStream(_ maxSize: Int) throws(SocketError) -> Int {
        try checkSize(maxSize, "maxSize")
        try checkReadable()
        guard fillInbox() else { return 0 }
        let size = inbox.front.count
        return removeStream(min(size, maxSize), of: size)
    }

    private func removeStream(_ count: Int, of size: Int) -> Int {
        guard count > 0 || size == 0 else { return 0 }
        inbox.consume(count)
        didRead()
        return count
    }

    func peekStream(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        try checkReadable()
        guard fillInbox() else { return 0 }
        let front = inbox.front
        let count = min(front.count, buffer.count)
        if count > 0 { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: front[..<count])) }
        return count
    }

    /// The length of the first line in the next datagram with its newline; nil when there is no newline.
    var frontLineLength: Int? {
        let front = inbox.front
        guard let start = front.baseAddress, let newline = memchr(start, 0x0a, front.count) else { return nil }
        return newline - start + 1
    }

    func measureLine(_ maxSize: Int) -> Int {
        // What the system still has is a line too.
        if state == .connected { _ = fillInbox() }
        let length = frontLineLength ?? inbox.front.count
        return maxSize > 0 ? min(length, maxSize) : length
    }

    /// Back into the datagram it was read from where some of that is still unread; otherwise as a datagram of its own.
    func putBack(_ byte: UInt8) throws(SocketError) {
        try checkReadable()
        switch inbox.prepend(byte) {
        case true?: break
        case false?: throw SocketError(.limitReached, "No more than \(DatagramInbox.backRoom) bytes can be put back")
        case nil: throw SocketError(.outOfMemory, "There is no memory for the byte")
        }
        if inbox.ownsMemory, loop.buffers.datagrams.owner === self { loop.buffers.datagrams.owner = nil }
    }

    // MARK: Waiting

    /// A datagram that was told and not read counts; so do those to come. An error of an earlier datagram ends a wait.
    var verdictOnReading: Bool? {
        guard isLive else { return false }
        if datagramFlags.contains(.announced), !inbox.isEmpty { return true }
        return failureCountOfWait >= 0 && failureCountOfWait != failureCount ? false : nil
    }

    func sleepOnDatagrams(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        share = EventLoop.fairShare
        if kind == .readyRead {
            guard isLive else { return true }
            if !inbox.isEmpty {
                announceInWait()
                return true
            }
        }
        if let lookup = existingOutbox?.lookup {
            if lookup.wait(untilNanoseconds: deadline) { lookup.finishIfReady() }
            return true
        }
        if kind == .readyRead, !flags.contains(.writeBlocked) {
            return receiveBlocking(timeout: timeout, deadline: deadline)
        }
        pollOnce(for: kind, until: deadline)
        return true
    }

    private func announceInWait() {
        let begun = epoch
        announce()
        if begun == epoch { announceRest() }
    }

    /// One recvmmsg(2) that sleeps by itself does all there is to do. False at the deadline.
    private func receiveBlocking(timeout: Int, deadline: UInt64?) -> Bool {
        let limit = timeout < 0 ? 0 : Int32(clamping: timeout)
        let waits = timeout != 0 && makeBlocking(timeout: limit)
        switch fetch(wait: waits) {
        case 1...:
            announceInWait()
            return true
        case -Int(EINTR):
            pollOnce(for: .readyRead, until: deadline)
            return Self.milliseconds(until: deadline) != 0
        case 0:
            if !waits, timeout != 0 { pollOnce(for: .readyRead, until: deadline) }
            return !waits && timeout != 0
        default:
            return true
        }
    }

    private func pollOnce(for kind: Wait.Kind, until deadline: UInt64?) {
        var entry = pollfd(fd: rawDescriptor, events: 0, revents: 0)
        if kind == .readyRead { entry.events |= Int16(POLLIN) }
        if flags.contains(.writeBlocked) { entry.events |= Int16(POLLOUT) }
        guard System.poll(&entry, 1, timeoutMilliseconds: Self.milliseconds(until: deadline)) > 0 else { return }
        let begun = epoch
        if Int32(entry.revents) & POLLERR != 0 { reportPendingError() }
        guard begun == epoch else { return }
        if Int32(entry.revents) & POLLOUT != 0 { _ = sendQueue() }
        guard begun == epoch, kind == .readyRead, inbox.isEmpty, Int32(entry.revents) & POLLIN != 0 else { return }
        if fetch(wait: false) > 0, begun == epoch { announceInWait() }
    }
}
