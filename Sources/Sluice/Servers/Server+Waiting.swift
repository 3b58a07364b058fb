import Glibc

/// Waiting for a connection that can be taken.
extension Server {
    /// Waits on the calling thread, with or without a running loop, until a connection can be taken; at once when one waits
    /// already. 0 looks once, -1 waits without limit. Accepts even while paused.
    public func waitForNewConnection(timeout: Int = 0) -> (available: Bool, timedOut: Bool) {
        guard isListening else { return (hasPendingConnections, false) }
        let deadline = StreamSocket.deadline(after: timeout)
        let begun = epoch
        let takenBefore = takenCount
        while begun == epoch {
            if !hasPendingConnections { accept(limit: 1, evenWhilePaused: true) }
            if hasPendingConnections || takenCount != takenBefore {
                if error == .socketTimeout { lastError = nil }
                return (true, false)
            }
            guard begun == epoch else { break }
            let timeLeft = StreamSocket.milliseconds(until: deadline)
            guard timeLeft != 0 else { return (false, waitTimedOut()) }
            // While the system has no descriptor for us the queue stays readable: sleeping on it would not be sleeping.
            let pause = retryTimer == nil ? timeLeft : min(timeLeft < 0 ? .max : timeLeft, Int32(Self.retryDelay))
            sleep(listening: retryTimer == nil, milliseconds: pause)
            if retryTimer != nil {
                retryTimer?.cancel()
                retryTimer = nil
            }
        }
        return (false, false)
    }

    /// Sleeps until a connection comes, or more of the header of one that came, and handles that.
    private func sleep(listening: Bool, milliseconds: Int32) {
        if let proxyListener {
            proxyListener.advance(until: Socket.deadline(after: Int(milliseconds)))
            return
        }
        guard !arriving.isEmpty else {
            var entry = pollfd(fd: listening ? rawDescriptor : -1, events: Int16(POLLIN), revents: 0)
            _ = System.poll(&entry, 1, timeoutMilliseconds: milliseconds)
            return
        }
        let connections = arriving
        var entries = [pollfd(fd: listening ? rawDescriptor : -1, events: Int16(POLLIN), revents: 0)]
        entries += connections.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
        let earliest = StreamSocket.milliseconds(until: connections.map(\.deadline).min())
        let limit = milliseconds < 0 ? earliest : min(milliseconds, earliest)
        let count = entries.count
        _ = entries.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { System.poll($0, count, timeoutMilliseconds: limit) }
        }
        for (connection, entry) in zip(connections, entries.dropFirst()) { connection.polled(ready: entry.revents != 0) }
    }

    private func waitTimedOut() -> Bool {
        if remembersTimeouts { lastError = SocketError(.socketTimeout, "The operation timed out") }
        return true
    }

    /// The form that the running loop answers: once, with what the blocking form would return; nil when it is answered at once.
    @discardableResult
    public func beginWaitForNewConnection(
        timeout: Int, _ completion: @escaping (_ available: Bool, _ timedOut: Bool) -> Void
    ) -> ServerWait? {
        if hasPendingConnections || !isListening {
            completion(hasPendingConnections, false)
            return nil
        }
        if timeout == 0 {
            let (available, timedOut) = waitForNewConnection(timeout: 0)
            completion(available, timedOut)
            return nil
        }
        let wait = ServerWait(completion)
        if timeout > 0 {
            wait.timer = loop.addTimer(after: timeout) { [weak self, weak wait] in
                guard let self, let wait else { return }
                self.waits.removeAll { $0 === wait }
                self.updateWatching()
                wait.complete(false, timedOut: self.waitTimedOut())
            }
        }
        waits.append(wait)
        updateWatching()
        return wait
    }

    func completeWaits(connectionCame: Bool = false) {
        let available = connectionCame || hasPendingConnections
        guard !waits.isEmpty, available || !isListening else { return }
        let answered = waits
        waits = []
        updateWatching()
        if available, error == .socketTimeout { lastError = nil }
        for wait in answered { wait.complete(available, timedOut: false) }
    }
}

/// A deferred wait for a connection.
public final class ServerWait {
    private var completion: ((_ available: Bool, _ timedOut: Bool) -> Void)?
    fileprivate var timer: Timer?

    fileprivate init(_ completion: @escaping (_ available: Bool, _ timedOut: Bool) -> Void) { self.completion = completion }

    /// Gives up; the closure is not called.
    public func cancel() {
        timer?.cancel()
        completion = nil
    }

    fileprivate func complete(_ available: Bool, timedOut: Bool) {
        guard let completion else { return }
        cancel()
        completion(available, timedOut)
    }
}
