/// Waiting for one thing that a socket does.
///
/// There are two forms with the same results and the same events: the blocking one (`socket.wait(for:timeout:)`) runs that
/// socket alone, on the calling thread and without the loop; the deferred one (`socket.beginWait`) answers by a closure while
/// the loop runs.
public final class Wait {
    public enum Kind: Sendable {
        case connected
        /// New bytes; what is in the buffer already does not count.
        case readyRead
        /// Any of the queued bytes sent.
        case bytesWritten
        /// All of the queued bytes sent.
        case sync
        case disconnected
        /// The handshake of TLS is over.
        case encrypted
    }

    let kind: Kind
    private unowned(unsafe) let socket: Socket
    private var completion: ((Bool) -> Void)?
    private var timer: Timer?
    private let begin: Socket.Progress
    private let errorsBefore: UInt32

    fileprivate init(_ kind: Kind, socket: Socket, timeout: Int, completion: @escaping (Bool) -> Void) {
        self.kind = kind
        self.socket = socket
        self.completion = completion
        begin = socket.progress
        errorsBefore = socket.errorCount
        if timeout >= 0 {
            timer = socket.loop.addTimer(after: timeout) { [weak self] in self?.timedOut() }
        }
    }

    /// Gives up; the closure is not called.
    public func cancel() {
        timer?.cancel()
        completion = nil
    }

    var isOver: Bool { completion == nil }

    fileprivate var verdict: Bool? { socket.verdict(on: kind, since: begin) }

    fileprivate func complete(_ result: Bool) {
        guard let completion else { return }
        cancel()
        socket.waitEnded(kind, result, errorsBefore: errorsBefore)
        completion(result)
    }

    private func timedOut() {
        guard completion != nil else { return }
        let socket = socket
        socket.forget(self)
        socket.waitTimedOut(kind)
        complete(false)
    }
}

extension Socket {
    /// Waits until the connection is made. False: it failed, or time ran out, which ends the attempt.
    public func waitForConnected(timeout: Int = 30000) -> Bool { wait(for: .connected, timeout: timeout) }
    /// Waits for new bytes; what is there already does not count. False: the connection ended, or time ran out.
    public func waitForReadyRead(timeout: Int = 30000) -> Bool { wait(for: .readyRead, timeout: timeout) }
    /// Waits until any of the queued bytes went to the system. False at once when nothing is queued.
    public func waitForBytesWritten(timeout: Int = 30000) -> Bool { wait(for: .bytesWritten, timeout: timeout) }
    /// Waits until the socket is Unconnected. False at once when it is already.
    public func waitForDisconnected(timeout: Int = 30000) -> Bool { wait(for: .disconnected, timeout: timeout) }

    /// Waits until all that was written is with the system.
    public func sync(timeout: Int = 30000) throws(SocketError) {
        guard bytesToWrite > 0 else { return }
        if !wait(for: .sync, timeout: timeout) { throw syncFailure }
    }

    /// Why a sync did not succeed.
    public var syncFailure: SocketError {
        if !flags.contains(.syncErrorIsOld), let lastError { return lastError }
        return SocketError(.operation, "The socket was closed before everything was sent")
    }
}

extension Socket {
    /// Begins a wait that the running loop answers, exactly once, with what the blocking form would return; nil when it was
    /// answered at once. `cancel` it if the answer is not wanted any more.
    @discardableResult
    public func beginWait(_ kind: Wait.Kind, timeout: Int, _ completion: @escaping (Bool) -> Void) -> Wait? {
        if let verdict = verdict(on: kind) {
            waitEnded(kind, verdict, errorsBefore: errorCount)
            completion(verdict)
            return nil
        }
        let wait = Wait(kind, socket: self, timeout: timeout, completion: completion)
        details.waits.append(wait)
        if bytesToWrite > 0, state == .connected { sendSoon() }
        return wait
    }

    /// Whether a wait that began then is answered by now. It is about the connection that it began with: when a handler
    /// has connected again meanwhile, that is another one.
    func verdict(on kind: Wait.Kind, since begin: Progress) -> Bool? {
        let anyEnded = progress.ended != begin.ended
        // Where the socket connects again by itself, failed attempts are no end.
        let ended = connectsAgain ? progress.ended &- begin.ended != progress.failed &- begin.failed : anyEnded
        switch kind {
        case .readyRead where progress.received != begin.received: return true
        case .bytesWritten where progress.sent != begin.sent: return true
        case .sync where progress.dropped != begin.dropped: return false
        case .sync where bytesToWrite == 0: return true
        case .sync where keepsUnsent: return nil
        case .sync where ended: return true
        case .disconnected where anyEnded: return progress.failed == begin.failed
        case _ where ended: return false
        case .disconnected: return nil
        default: return verdict(on: kind)
        }
    }

    /// What can be said without waiting.
    func verdict(on kind: Wait.Kind) -> Bool? {
        let connecting = state == .hostLookup || state == .connecting || pausesBeforeConnecting
        switch kind {
        case .connected:
            if state == .connected { return true }
            return connecting ? nil : false
        case .readyRead:
            return connecting ? nil : readVerdict
        case .bytesWritten:
            return bytesToWrite == 0 || state == .unconnected && !pausesBeforeConnecting ? false : nil
        case .sync:
            if bytesToWrite == 0 { return true }
            return state == .unconnected && !pausesBeforeConnecting ? false : nil
        case .encrypted:
            return encryptionVerdict
        case .disconnected:
            return state == .unconnected || state == .bound ? false : nil
        }
    }

    /// A time-out that was told earlier is not an error of a wait that succeeded, nor the reason of a sync that failed.
    func waitEnded(_ kind: Wait.Kind, _ result: Bool, errorsBefore: UInt32) {
        if result, error == .socketTimeout, errorCount == errorsBefore { clearError() }
        if kind == .sync {
            if errorCount == errorsBefore { flags.insert(.syncErrorIsOld) } else { flags.remove(.syncErrorIsOld) }
        }
    }

    /// What running out of time means for a wait.
    func waitTimedOut(_ kind: Wait.Kind) {
        if kind == .connected, state == .hostLookup || state == .connecting {
            connectFailed(connectTimeoutError)
        } else {
            report(SocketError(.socketTimeout, "The operation timed out" + peerSuffix))
            completeWaits()
        }
    }

    fileprivate func forget(_ wait: Wait) { existingDetails?.waits.removeAll { $0 === wait } }

    /// Answers the waits for reading with no: an error came instead.
    func failReadWaits() {
        guard let details = existingDetails, !details.waits.isEmpty else { return }
        let waits = details.waits.filter { $0.kind == .readyRead }
        for wait in waits {
            forget(wait)
            wait.complete(false)
        }
    }

    /// Answers the waits whose time has come. Called after the events of what happened.
    func completeWaits() {
        guard let details = existingDetails, !details.waits.isEmpty else { return }
        let waits = details.waits
        for wait in waits {
            if wait.isOver {
                forget(wait)
            } else if let verdict = wait.verdict {
                forget(wait)
                wait.complete(verdict)
            }
        }
    }
}
