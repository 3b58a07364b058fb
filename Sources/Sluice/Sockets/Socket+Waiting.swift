/// The blocking form of waits: this socket alone, on the calling thread, with or without a running loop.
extension Socket {
    func waitBlocking(for kind: Wait.Kind, timeout: Int) -> Bool {
        if let verdict = verdict(on: kind) {
            waitEnded(kind, verdict, errorsBefore: errorCount)
            return verdict
        }
        // From inside the first events of an attempt nothing can be waited for: the call that goes on with it has to return first.
        if state == .hostLookup || state == .connecting, existingDetails?.connecting?.isUnderWay != true { return false }
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
            var end = earliest(deadline, existingDetails?.closeTimer)
            var limit = timeout
            if let idleTimer, idleTimer.isActive {
                end = earliest(end, idleTimer)
                // It is for us to look; the system is not to sleep longer than that.
                limit = max(1, Int(Self.milliseconds(until: end)))
            }
            guard sleepOnce(for: kind, timeout: limit, deadline: end) || limit != timeout else { return false }
        }
        let now = System.monotonicNanoseconds()
        for timer in [existingDetails?.connectTimer, existingDetails?.closeTimer, idleTimer] {
            if let timer, timer.isActive, timer.deadline <= now { timer.fire() }
        }
        return deadline.map { now < $0 } ?? true
    }

    private func earliest(_ deadline: UInt64?, _ timer: Timer?) -> UInt64? {
        guard let timer, timer.isActive else { return deadline }
        return min(deadline ?? .max, timer.deadline)
    }
}
