import Glibc

extension StreamSocket {
    /// How many bytes a write of this size may add; throws when nothing may be written at all.
    private func acceptable(_ size: Int) throws(SocketError) -> Int {
        guard isWritable, !flags.contains(.dropping) else { throw SocketError(.operation, "The socket is not open for writing") }
        guard state != .unconnected && state != .bound || keepsUnsent else { throw SocketError(.operation, "The socket is not connected") }
        guard !flags.contains(.writeFinishing) else {
            throw SocketError(.operation, "The writing side was shut down: nothing more can be written")
        }
        return writeLimit == 0 ? size : max(0, min(size, writeLimit - bytesToWrite))
    }

    /// What waits in the loop's outgoing area. While anything does, there is no queue.
    var gatheredCount: Int {
        let area = loop.buffers.outgoing
        return area.pointee.isOwned(by: self) ? area.pointee.count : 0
    }

    /// Puts bytes that will leave when the handler ends into the loop's outgoing area. False where they need a queue.
    private func gather(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let area = loop.buffers.outgoing
        guard writeQueue == nil, state == .connected, !flags.contains(.descriptorsToSend), let source = bytes.baseAddress else { return false }
        if area.pointee.owner == nil {
            area.pointee.owner = .passUnretained(self)
            area.pointee.count = 0
        }
        guard area.pointee.isOwned(by: self), area.pointee.count + bytes.count <= BufferPool.scratchSize else { return false }
        memcpy(area.pointee.bytes + area.pointee.count, source, bytes.count)
        area.pointee.count += bytes.count
        return true
    }

    /// The queue, with what was gathered at its head. Nil without memory: everything is then where it was.
    func queueForWriting() -> WriteQueue? {
        if let writeQueue { return writeQueue }
        let queue = loop.buffers.takeQueue()
        let area = loop.buffers.outgoing
        if area.pointee.isOwned(by: self) {
            guard queue.append(UnsafeRawBufferPointer(start: area.pointee.bytes, count: area.pointee.count)) else {
                loop.buffers.recycle(queue)
                return nil
            }
            area.pointee.owner = nil
        }
        writeQueue = queue
        return queue
    }

    /// Accepts all bytes, or as many as writeBufferSize allows; they leave when the handler or the turn of the loop ends, or with
    /// `flush` or a wait. Before there is a connection they are kept until it is made.
    func queueCopy(of bytes: UnsafeRawBufferPointer) throws(SocketError) -> Int {
        let size = try acceptable(bytes.count)
        guard size > 0 else { return 0 }
        let accepted = UnsafeRawBufferPointer(rebasing: bytes[..<size])
        guard gather(accepted) || queueForWriting()?.append(accepted) ?? false else {
            throw SocketError(.outOfMemory, "There is no memory to keep \(size) bytes until they are sent")
        }
        queueGrew()
        return size
    }

    /// As a write, but the bytes are sent from where they are. They must stay valid and unchanged until `release` is called: once
    /// they are with the system, or dropped; at the latest when this object goes. Nothing is cut: beyond writeBufferSize
    /// LimitReached is thrown, and `release` is not called.
    func queueBorrowed(_ bytes: UnsafeRawBufferPointer, release: (() -> Void)?) throws(SocketError) -> Int {
        guard try acceptable(bytes.count) == bytes.count else {
            throw SocketError(.limitReached, "writeBufferSize \(writeLimit) does not allow \(bytes.count) bytes more")
        }
        guard queueForWriting()?.append(borrowed: bytes, release: release) ?? false else {
            throw SocketError(.outOfMemory, "There is no memory to queue \(bytes.count) bytes")
        }
        if !bytes.isEmpty { queueGrew() }
        return bytes.count
    }

    private func queueGrew() {
        if openMode.contains(.unbuffered), state == .connected {
            transmit(share: .max)
            if unreported > 0 { requestTurn(.reportWrittenInTurn) }
        } else if state == .connected || state == .closing {
            requestSend()
        }
        noteChange(settings: false)
    }

    func requestSend() {
        guard !flags.contains(.sendRequested), !flags.contains(.writeBlocked) else { return }
        flags.insert(.sendRequested)
        loop.requestSend(self)
    }

    /// The loop need not send: in a blocking program its turn may never come, and its list would keep the socket for ever.
    func withdrawSend() {
        if flags.contains(.sendRequested), loop.withdrawSend(self) { flags.remove(.sendRequested) }
    }

    /// The loop's call after a handler or at the end of a turn.
    func sendGathered() {
        flags.remove(.sendRequested)
        guard !flags.contains(.writeBlocked) else { return }
        _ = sendQueue()
    }

    /// Sends what the system takes now. Returns whether any byte left.
    func flushQueue() -> Bool {
        guard state == .connected || state == .closing, bytesToWrite > 0 else { return false }
        flags.remove(.writeBlocked)
        let sent = sendQueue(share: .max)
        if bytesToWrite == 0 { withdrawSend() }
        return sent
    }

    /// Sends, tells of it, and finishes what only waited for that. Returns whether any byte left.
    func sendQueue(share: Int = EventLoop.fairShare * 4) -> Bool {
        guard state == .connected || state == .closing else { return false }
        let begun = epoch
        let sent = transmit(share: share)
        guard begun == epoch else { return sent }
        reportWritten()
        guard begun == epoch else { return sent }
        if bytesToWrite == 0 { writingDone() }
        return sent
    }

    /// Moves bytes from the queue to the system, without a word unless the connection turns out to be broken.
    @discardableResult
    private func transmit(share: Int) -> Bool {
        if let transport, flags.contains(.transportInUse) { return transmit(over: transport, share: share) }
        guard rawDescriptor >= 0 else { return false }
        guard let queue = writeQueue else { return transmitGathered() }
        var total = 0
        var failure: Int32 = 0
        while !queue.isEmpty {
            let (sent, complete) = flags.contains(.descriptorsToSend) ? sendWithDescriptors(queue) : queue.send(to: rawDescriptor)
            if sent < 0 {
                if sent == -Int(EAGAIN) { blocked(queue) } else { failure = Int32(truncatingIfNeeded: -sent) }
                break
            }
            total += sent
            if !complete {
                blocked(queue)
                break
            }
            if total >= share {
                requestSend()
                break
            }
        }
        if total > 0 {
            progress.sent &+= 1
            unreported += total
        }
        if queue.isEmpty, writeQueue === queue {
            writeQueue = nil
            watchWritable(false)
            loop.buffers.recycle(queue)
        }
        queue.runReleases()
        if failure != 0 { connectionBroken(failure, doing: .write) }
        return total > 0
    }

    /// Sends what was gathered from where it is.
    private func transmitGathered() -> Bool {
        let area = loop.buffers.outgoing
        guard area.pointee.isOwned(by: self) else { return false }
        let count = area.pointee.count
        let result = System.send(rawDescriptor, area.pointee.bytes, count)
        guard result >= 0 || result == -Int(EAGAIN) else {
            connectionBroken(Int32(truncatingIfNeeded: -result), doing: .write)
            return false
        }
        let sent = max(0, result)
        area.pointee.owner = nil
        if sent < count {
            let queue = loop.buffers.takeQueue()
            writeQueue = queue
            guard queue.append(UnsafeRawBufferPointer(start: area.pointee.bytes + sent, count: count - sent)) else {
                connectionBroken(ENOMEM, doing: .write)
                return false
            }
            blocked(queue)
        }
        guard sent > 0 else { return false }
        progress.sent &+= 1
        unreported += sent
        return true
    }

    /// As `transmit`, by way of the transport.
    private func transmit(over transport: any Transport, share: Int) -> Bool {
        guard bytesToWrite > 0, !flags.contains(.inTransport), let queue = queueForWriting() else { return false }
        let begun = epoch
        var total = 0
        var failure: Int32 = 0
        while !queue.isEmpty, total < share {
            flags.insert(.inTransport)
            let sent = queue.offer { transport.send($0) }
            flags.remove(.inTransport)
            guard begun == epoch, writeQueue === queue else { return total > 0 }
            if sent <= 0 {
                if sent == 0 || sent == -Int(EAGAIN) { blocked(queue) } else { failure = Int32(clamping: -sent) }
                break
            }
            queue.consume(sent)
            total += sent
        }
        if total >= share, !queue.isEmpty { requestSend() }
        if total > 0 {
            progress.sent &+= 1
            unreported += total
        }
        if queue.isEmpty {
            writeQueue = nil
            loop.buffers.recycle(queue)
        }
        queue.runReleases()
        if failure != 0, begun == epoch { connectionBroken(failure, doing: .write) }
        return total > 0
    }

    /// The system takes no more: it will tell when it does.
    private func blocked(_ queue: WriteQueue) {
        flags.insert(.writeBlocked)
        queue.shrink()
        watchWritable(true)
    }

    /// Tells what was sent since the last time; not from inside its own handler, where the sum is told after it.
    func reportWritten() {
        guard unreported > 0, !flags.contains(.inBytesWritten) else { return }
        let begun = epoch
        flags.insert(.inBytesWritten)
        while unreported > 0, begun == epoch {
            let amount = unreported
            unreported = 0
            send(.bytesWritten, .bytesWritten(amount))
        }
        flags.remove(.inBytesWritten)
        completeWaits()
    }

    /// Nothing is left to send.
    func writingDone() {
        if flags.contains(.writeFinishing), !flags.contains(.writeFinished) {
            let result = endWriting()
            if result == -Int(EAGAIN) { return }
            flags.insert(.writeFinished)
            if result < 0, result != -Int(ENOTCONN) {
                connectionBroken(Int32(truncatingIfNeeded: -result), doing: .write)
                return
            }
            if flags.contains(.readFinished), state == .connected {
                let begun = epoch
                setState(.closing)
                guard begun == epoch else { return }
            }
        }
        if state == .closing, saidGoodbye() { finishClose() }
    }

    private func endWriting() -> Int {
        guard let transport, flags.contains(.transportInUse) else { return System.shutdown(rawDescriptor, Int(SHUT_WR)) }
        return finishSending(transport)
    }

    /// -EAGAIN: it has to be asked again once it is writable.
    func finishSending(_ transport: any Transport) -> Int {
        guard !flags.contains(.inTransport) else { return 0 }
        flags.insert(.inTransport)
        let result = transport.finishSending()
        flags.remove(.inTransport)
        if result == -Int(EAGAIN) {
            flags.insert(.writeBlocked)
            watchWritable(true)
        }
        return result
    }

    /// Ends the writing side: what is queued is sent, then FIN (SHUT_WR of shutdown(2)). Reading goes on. Before there is a
    /// connection it is remembered.
    func finishWriting() throws(SocketError) {
        guard isOpen, state != .unconnected, state != .bound else {
            throw SocketError(.operation, "The socket is not connected")
        }
        guard !flags.contains(.writeFinishing) else { return }
        flags.insert(.writeFinishing)
        let begun = epoch
        if state == .connected { reportWritten() }
        if begun == epoch, state == .connected, bytesToWrite == 0 { writingDone() }
    }
}
