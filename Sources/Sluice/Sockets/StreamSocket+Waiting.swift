import CLinux
import Glibc

/// The blocking form of waits: this socket alone, on the calling thread, with or without a running loop.
extension StreamSocket {
    func waitBlocking(for kind: Wait.Kind, timeout: Int) -> Bool {
        if let verdict = verdict(on: kind) {
            waitEnded(kind, verdict, errorsBefore: errorCount)
            return verdict
        }
        let begin = progress
        let errorsBefore = errorCount
        let deadline = Self.deadline(after: timeout)
        while true {
            let timeLeft = step(for: kind, timeout: timeout, deadline: deadline)
            if let verdict = verdict(on: kind, since: begin) {
                waitEnded(kind, verdict, errorsBefore: errorsBefore)
                return verdict
            }
            guard timeLeft else { break }
        }
        waitTimedOut(kind)
        waitEnded(kind, false, errorsBefore: errorsBefore)
        return false
    }

    static func deadline(after milliseconds: Int) -> UInt64? {
        guard milliseconds >= 0 else { return nil }
        let (nanoseconds, overflow) = UInt64(milliseconds).multipliedReportingOverflow(by: 1_000_000)
        return overflow ? nil : System.monotonicNanoseconds().addingReportingOverflow(nanoseconds).partialValue
    }

    /// For poll(2), rounded up; -1 without a deadline.
    static func milliseconds(until deadline: UInt64?) -> Int32 {
        guard let deadline else { return -1 }
        let now = System.monotonicNanoseconds()
        return deadline <= now ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
    }

    /// Sleeps until something happens to this socket or the deadline has come, and handles it. False at the deadline.
    private func step(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        if let connecting = existingDetails?.connecting {
            connecting.advance(until: earliest(deadline, existingDetails?.connectTimer))
        } else {
            if kind == .readyRead {
                // Nobody answers a question that was not sent.
                if bytesToWrite > 0 { _ = flushQueue() }
                guard state == .connected else { return true }
                if bytesToWrite == 0 { return receiveBlocking(timeout: timeout, deadline: deadline) }
            }
            pollOnce(until: earliest(deadline, existingDetails?.closeTimer), singleChunk: kind == .readyRead)
        }
        let now = System.monotonicNanoseconds()
        for timer in [existingDetails?.connectTimer, existingDetails?.closeTimer] {
            if let timer, timer.isActive, timer.deadline <= now { timer.fire() }
        }
        return deadline.map { now < $0 } ?? true
    }

    private func earliest(_ deadline: UInt64?, _ timer: Timer?) -> UInt64? {
        guard let timer, timer.isActive else { return deadline }
        return min(deadline ?? .max, timer.deadline)
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
        let received = System.recvOnce(rawDescriptor, loop.buffers.incoming.pointee.bytes, room)
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

    /// Has recv(2) without MSG_DONTWAIT sleep at most so long; 0 is without limit.
    private func makeBlocking(timeout: Int32) -> Bool {
        if !flags.contains(.blocking) {
            guard System.setNonBlocking(rawDescriptor, false) >= 0 else { return false }
            flags.insert(.blocking)
        }
        if receiveTimeout != timeout {
            guard System.setReceiveTimeout(rawDescriptor, milliseconds: timeout) >= 0 else { return false }
            receiveTimeout = timeout
        }
        return true
    }
}
