import Logging
import Sluice

/// One client: its connection, its handles, its calls that wait, and what it still has to be sent.
///
/// From its first byte to its last a session goes through `Phase`, forwards only.
final class Session {
    enum Phase: Int, Comparable {
        case serving
        /// The client sends no more; what it asked for is still answered.
        case draining
        /// All is answered; the rest of the output goes out.
        case finishing
        /// The same, and then the connection becomes the stream of a socket.
        case attaching
        case closed

        static func < (left: Phase, right: Phase) -> Bool { left.rawValue < right.rawValue }
    }

    let service: Sidecar
    let number: Int
    let channel: Channel
    let inheritsDescriptors: Bool
    private(set) var phase = Phase.serving

    var handles: [Int: HandleEntry] = [:]
    /// What the proxy Default means to this client's objects; nil until it says so.
    var applicationProxy: Proxy? {
        didSet { for entry in handles.values { entry.setApplicationProxy(applicationProxy) } }
    }
    private var nextHandle = 1

    private var pending: [Int: PendingCall] = [:]
    private var nextPending = 1

    let framer: Framer
    private let output = OutputBuffer()
    private var attachments: [Channel.Attachment] = []
    var receivedDescriptors: [Int32] = []
    var heldDescriptors = HeldDescriptors()
    /// What this connection is to be the stream of, and what came behind the request for that.
    private var attachedSocket: StreamSocket?
    var bytesAfterAttaching: [UInt8] = []

    private var isDirty = false
    private var isBlocked = false
    private(set) var isHeldBack = false
    private var isDropped = false
    private var answersSinceFlush = 0
    /// Bytes in batches that are not complete.
    private var gathered = 0

    // Where messages end, counted in bytes from the session's beginning: a client that is dropped gets its current one whole.
    private var writtenTotal = 0
    private var messageEnds: [Int] = []
    private var lastSentEnd = 0

    private(set) var requests = 0
    var bytesIn = 0
    private var endTimer: Timer?
    private var hangupTimer: Timer?
    private var writtenAtLastCheck = 0

    init(service: Sidecar, number: Int, channel: Channel, inheritsDescriptors: Bool) {
        self.service = service
        self.number = number
        self.channel = channel
        self.inheritsDescriptors = inheritsDescriptors
        framer = Framer(limit: service.limits.maxMessage)
    }

    var log: Logger { service.log }
    var unsent: Int { output.count + gathered }
    /// Whether so much waits to be sent that the client may lag behind.
    var isOutputLong: Bool { output.count > service.limits.softOutput }
    var sentTotal: Int { writtenTotal - output.count }
    var pendingCount: Int { pending.count }

    func noteRequest() { requests += 1 }

    // MARK: Handles

    /// Gives the object a number that this session uses for no other.
    func add(_ source: EventSource) throws(Failure) -> HandleEntry {
        try checkRoomForHandle()
        let entry = HandleEntry(source, number: nextHandle, session: self)
        nextHandle += 1
        handles[entry.number] = entry
        if let applicationProxy { entry.setApplicationProxy(applicationProxy) }
        if isHeldBack { entry.holdBack(true) }
        return entry
    }

    /// The handle that this session has for an object, if any.
    func entry(of source: EventSource) -> HandleEntry? {
        handles[Int(clamping: source.tag)].flatMap { $0.source === source ? $0 : nil }
    }

    func checkRoomForHandle() throws(Failure) {
        guard handles.count < service.limits.maxHandles else {
            throw .limitReached("This client holds \(handles.count) handles, the limit (--max-handles). End some with handle.destroy.")
        }
    }

    func destroy(_ entry: HandleEntry) {
        service.keepUntilEndOfTurn(entry.source)
        entry.source.destroy()
        entry.endRelay()
        handles[entry.number] = nil
        for (key, call) in pending where call.handle == entry.number {
            pending[key] = nil
            call.end()
            answer(call.caller, .success(call.ifAbandoned))
        }
    }

    /// Ends all handles without further events. What was accepted by write is still sent, within limits.
    private func releaseHandles() {
        let entries = handles
        handles = [:]
        // Relays first: what they were about to pass on is then the sockets' to send.
        for entry in entries.values where entry.source is Relay {
            service.keepUntilEndOfTurn(entry.source)
            entry.source.destroy()
        }
        for entry in entries.values {
            service.keepUntilEndOfTurn(entry.source)
            if let socket = entry.socket, !entry.isVirtual, socket.bytesToWrite > 0, service.linger(socket) { continue }
            entry.source.receiver = nil
            entry.source.destroy()
        }
        for descriptor in receivedDescriptors { service.close(descriptor) }
        receivedDescriptors = []
        heldDescriptors.closeAll()
    }

    // MARK: Calls that wait

    /// Registers a call that answers later. `start` gets the closure to answer with, and returns what cancels the wait.
    func wait(
        _ caller: Caller, handle: Int, isUnlimited: Bool, ifAbandoned: Reply,
        _ start: (@escaping (Result<Reply, Failure>) -> Void) -> (() -> Void)?
    ) throws(Failure) -> Reply {
        guard pending.count < Limits.maxPending else {
            throw .limitReached("This client has \(pending.count) calls waiting, which is the limit. Let some of them end, or cancel them.")
        }
        let call = PendingCall(caller: caller, handle: handle, isUnlimited: isUnlimited, ifAbandoned: ifAbandoned)
        let key = nextPending
        nextPending += 1
        pending[key] = call
        // The core lets go of the closure when the wait is over or cancelled, and one of both always happens.
        let cancelWait = start { [self] result in
            guard !call.isOver else { return }
            pending[key] = nil
            call.end()
            answer(call.caller, result)
        }
        if call.isOver { cancelWait?() } else { call.cancelWait = cancelWait }
        return .deferred
    }

    /// Cancels the calls that wait under this id; they are answered all the same.
    func cancel(_ id: RequestID) {
        cancelPending("The request was cancelled.") { $0.caller.id == id }
    }

    private func cancelPending(_ reason: String, where isMeant: (PendingCall) -> Bool) {
        for key in pending.keys.sorted() {
            guard let call = pending[key], isMeant(call) else { continue }
            pending[key] = nil
            call.end()
            answer(call.caller, .failure(.cancelled(reason)))
        }
    }

    // MARK: Answers and events

    func answer(_ caller: Caller, _ result: Result<Reply, Failure>) {
        guard let id = caller.id else {
            noteProgress()
            return
        }
        guard phase < .finishing else { return }
        if let batch = caller.batch {
            let before = batch.answers.count
            batch.add { Self.write(result, id, to: $0) }
            gathered += batch.answers.count - before
            completeBatch(batch)
            if unsent > service.limits.maxOutput { drop() }
        } else {
            send { Self.write(result, id, to: $0) }
        }
        answersSinceFlush += 1
        if answersSinceFlush >= 32 { flush() }
    }

    /// One request of the batch is dealt with. A batch of notifications alone is answered by nothing.
    func completeBatch(_ batch: Batch) {
        guard batch.isCompleteNow(), !batch.answers.isEmpty else { return }
        gathered -= batch.answers.count
        send { output in
            output.append(batch.answers)
            output.append(byte: UInt8(ascii: "]"))
        }
    }

    private static func write(_ result: Result<Reply, Failure>, _ id: RequestID, to output: OutputBuffer) {
        output.append("{\"jsonrpc\":\"2.0\",\"id\":")
        id.write(to: output)
        switch result {
        case .success(let reply):
            output.append(",\"result\":")
            reply.write(to: output)
        case .failure(let failure):
            output.append(",\"error\":")
            failure.write(to: output)
        }
        output.append(byte: UInt8(ascii: "}"))
    }

    /// Answers what has no readable id.
    func refuse(_ failure: Failure) {
        answer(Caller(id: .null, batch: nil), .failure(failure))
    }

    /// Adds one message to the output; it leaves at the end of the turn at the latest.
    func send(_ write: (OutputBuffer) -> Void) {
        guard phase < .finishing else { return }
        append(write)
        if unsent > service.limits.maxOutput {
            flush()
            if unsent > service.limits.maxOutput { drop() }
        }
    }

    private func append(_ write: (OutputBuffer) -> Void) {
        let begin = output.count
        write(output)
        if framer.style == .headers {
            let header = "Content-Length: \(output.count - begin)\r\n\r\n"
            Array(header.utf8).withUnsafeBytes { output.insert($0, at: begin) }
        } else {
            output.append(byte: 10)
        }
        writtenTotal += output.count - begin
        messageEnds.append(writtenTotal)
        noteProgress()
    }

    /// Hands a descriptor to the client with the next message.
    func attach(_ descriptor: Int32) {
        attachments.append(Channel.Attachment(offset: output.count, descriptor: descriptor))
    }

    // MARK: Output

    /// Has the session looked at when the turn ends.
    private func noteProgress() {
        guard !isDirty else { return }
        isDirty = true
        service.noteDirty(self)
    }

    func endOfTurn() {
        isDirty = false
        flush()
        guard phase != .closed else { return }
        if phase == .draining, pending.isEmpty { finish() }
        if phase == .finishing, output.isEmpty { close() }
        if phase == .attaching, output.isEmpty { becomeStream() }
    }

    func flush() {
        answersSinceFlush = 0
        guard phase != .closed, !output.isEmpty else { return }
        switch channel.write(output, attachments: &attachments) {
        case .done:
            messageEnds.removeAll(keepingCapacity: messageEnds.count < 1024)
            lastSentEnd = writtenTotal
            setBlocked(false)
        case .blocked:
            let sent = sentTotal
            if let next = messageEnds.firstIndex(where: { $0 > sent }), next > 0 {
                lastSentEnd = messageEnds[next - 1]
                messageEnds.removeFirst(next)
            }
            setBlocked(true)
        case .broken:
            log.debug("client is gone", metadata: ["client": "\(number)"])
            close()
            return
        }
        holdBackSockets()
    }

    private func setBlocked(_ blocked: Bool) {
        guard isBlocked != blocked else { return }
        isBlocked = blocked
        channel.watchWritable(blocked)
    }

    /// A client that lags behind gets nothing more from the network until it has caught up.
    private func holdBackSockets() {
        if !isHeldBack, isOutputLong {
            isHeldBack = true
            for entry in handles.values { entry.holdBack(true) }
        } else if isHeldBack, output.count <= service.limits.softOutput / 2 {
            isHeldBack = false
            // What is delivered to it now may be too much again.
            for entry in handles.values where !isHeldBack {
                entry.holdBack(false)
                if entry.delivery != .pull { deliver(entry) }
            }
        }
    }

    // MARK: The stream of a socket

    /// Ends all else that this client has; the answer to this call is the last message.
    func prepareToAttach(_ entry: HandleEntry, _ socket: StreamSocket) {
        cancelPending("The connection becomes the stream of a socket.") { _ in true }
        entry.holdBack(false)
        handles[entry.number] = nil
        releaseHandles()
        socket.receiver = nil
        socket.subscribedEvents = .none
        attachedSocket = socket
    }

    /// To be called when a call is answered.
    func attachIfPrepared() {
        guard attachedSocket != nil, phase < .finishing else { return }
        phase = .attaching
        channel.stopReading()
        startEndTimer()
        noteProgress()
    }

    private func becomeStream() {
        guard let socket = attachedSocket, let descriptor = channel.detach() else { return close() }
        attachedSocket = nil
        service.attach(descriptor, to: socket, first: bytesAfterAttaching)
        close()
    }

    // MARK: The end

    /// The client sends no more. What waits is answered as it ends; what would wait for ever, after half a minute.
    func inputEnded() {
        guard phase == .serving else { return }
        if channel.isHungUp {
            close()
            return
        }
        phase = .draining
        channel.stopReading()
        if pending.values.contains(where: \.isUnlimited) {
            endTimer = service.loop.addTimer(after: 30_000) { [weak self] in
                self?.cancelPending("The client sends no more, and the wait had no limit.", where: \.isUnlimited)
            }
        }
        // Nothing is read any more, so nothing tells that the client has gone altogether: it has to be asked.
        hangupTimer = service.loop.addTimer(after: 250, repeats: true) { [weak self] in
            if let self, self.channel.isHungUp { self.close() }
        }
        noteProgress()
    }

    /// Answers all that waits as cancelled, sends what there is to send, and closes.
    func end(_ reason: String) {
        cancelPending(reason) { _ in true }
        finish()
    }

    /// Closes when all output is out.
    func finish() {
        guard phase < .finishing else { return }
        phase = .finishing
        if !isDropped { channel.stopReading() }
        cancelPending("The session is over.") { _ in true }
        releaseHandles()
        startEndTimer()
        noteProgress()
    }

    /// A client that takes nothing for this long at the end does not get the rest.
    private func startEndTimer() {
        writtenAtLastCheck = sentTotal
        endTimer?.cancel()
        hangupTimer?.cancel()
        endTimer = service.loop.addTimer(after: 5000, repeats: true) { [weak self] in
            guard let self else { return }
            if self.sentTotal == self.writtenAtLastCheck { self.close() }
            self.writtenAtLastCheck = self.sentTotal
        }
    }

    /// The client lags so far behind that it would hurt: what it is being sent is completed, then it is told, and closed. What
    /// it goes on to send is read and thrown away: a client that is busy writing has to get through with that before it reads.
    private func drop() {
        isDropped = true
        let limit = service.limits.maxOutput
        log.warning("client dropped: it does not read its output", metadata: ["client": "\(number)", "unsent": "\(unsent)", "limit": "\(limit)"])
        service.noteDropped()
        let sent = sentTotal
        let end = sent == lastSentEnd ? sent : messageEnds.first { $0 > sent } ?? writtenTotal
        writtenTotal -= output.count - (end - sent)
        output.truncate(to: end - sent)
        messageEnds = end > sent ? [end] : []
        for attachment in attachments where attachment.offset >= output.count { service.close(attachment.descriptor) }
        attachments.removeAll { $0.offset >= output.count }
        let failure = Failure.limitReached(
            "More than \(limit) bytes of output were not read (--max-output); this client is dropped, and its handles are closed.")
        append { Self.write(.failure(failure), .null, to: $0) }
        finish()
    }

    func close() {
        guard phase != .closed else { return }
        phase = .closed
        endTimer?.cancel()
        hangupTimer?.cancel()
        for call in pending.values { call.end() }
        pending = [:]
        releaseHandles()
        if let socket = attachedSocket {
            service.keepUntilEndOfTurn(socket)
            socket.destroy()
            attachedSocket = nil
        }
        channel.close()
        for attachment in attachments { service.close(attachment.descriptor) }
        attachments = []
        service.sessionClosed(self)
    }
}

extension Session: ChannelHandler {
    func channelReadable() {
        guard phase == .serving || isDropped else { return }
        let intake = service.read(for: self)
        guard phase == .serving else {
            if case .end = intake { channel.stopReading() }
            return
        }
        switch intake {
        case .bytes, .nothing:
            channel.continueReading()
        case .end:
            framer.finish { [self] item in
                handle(item)
                return phase == .serving
            }
            inputEnded()
        }
    }

    func channelWritable() {
        flush()
        noteProgress()
    }
}
