import CLinux
import Glibc

/// What the blocking form of waits does with a stream.
extension StreamSocket {
    func sleepOnStream(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        if let transport { return sleepOnTransport(transport, deadline: deadline) }
        if kind == .readyRead {
            // Nobody answers a question that was not sent.
            if bytesToWrite > 0 { _ = flushQueue() }
            guard state == .connected else { return true }
            if bytesToWrite == 0 { return receiveBlocking(timeout: timeout, deadline: deadline) }
        }
        pollOnce(until: deadline, singleChunk: kind == .readyRead)
        return true
    }

    /// One poll(2), and what it finds.
    private func pollOnce(until deadline: UInt64?, singleChunk: Bool) {
        let canRead = state == .connected && !flags.contains(.readFinished) && readRoom > 0
        var entry = pollfd(fd: rawDescriptor, events: 0, revents: 0)
        if canRead { entry.events |= Int16(POLLIN) | Int16(CLINUX_POLLRDHUP) }
        if bytesToWrite > 0 { entry.events |= Int16(POLLOUT) }
        // A hang-up is reported whether asked for or not. While nothing can be done about it, it must not keep us awake.
        if entry.events == 0, flags.contains(.hungUp) { entry.fd = -1 }
        guard System.poll(&entry, 1, timeoutMilliseconds: Self.milliseconds(until: deadline)) > 0 else { return }
        let found = Int32(entry.revents)
        if found & (POLLERR | POLLHUP | CLINUX_POLLRDHUP) != 0 { flags.insert(.hungUp) }
        // Reading comes first: two peers that both only wrote would wait for each other.
        let begun = epoch
        if canRead, found & ~POLLOUT != 0 { receive(chunks: singleChunk ? 1 : .max) }
        guard begun == epoch else { return }
        if found & (POLLOUT | POLLERR | POLLHUP) != 0, bytesToWrite > 0 { _ = flushQueue() }
    }

    /// Nothing to send: one recv(2) that sleeps by itself does all there is to do. False at the deadline.
    private func receiveBlocking(timeout: Int, deadline: UInt64?) -> Bool {
        let room = readRoom
        let limit = timeout < 0 ? 0 : Int32(clamping: timeout)
        guard timeout != 0, room > 0, readBuffer.count < BufferPool.scratchSize, makeBlocking(timeout: limit), claimScratch()
        else {
            pollOnce(until: deadline, singleChunk: true)
            return timeout != 0 && Self.milliseconds(until: deadline) != 0
        }
        let place = loop.buffers.incoming.pointee.bytes
        let received = flags.isDisjoint(with: .indirect)
            ? System.recvOnce(rawDescriptor, place, room) : receiveIndirectly(place, room, waiting: true)
        switch received {
        case 1...:
            if keep(received) { announceRead(keepWindow: true) } else { connectionBroken(ENOMEM, doing: .read) }
        case -Int(EINTR):
            pollOnce(until: deadline, singleChunk: true)
            return Self.milliseconds(until: deadline) != 0
        case -Int(EAGAIN):
            return false
        default:
            handleNothing(received)
        }
        return true
    }
}
