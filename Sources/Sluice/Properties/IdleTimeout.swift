/// Ends a connection over which nothing has gone for too long.
///
/// Bytes do not know of it: now and then it looks whether the counts of what was sent and received are still the same. A
/// connection ends when it was idle for the limit at least, and for a quarter of it longer at most.
final class IdleTimeout {
    private static let looks = 4

    private unowned(unsafe) let socket: Socket
    private(set) var limit = 0
    private(set) var timer: Timer?
    private var received: UInt32 = 0
    private var sent: UInt32 = 0
    private var quietLooks = 0

    init(_ socket: Socket) { self.socket = socket }

    func set(_ limit: Int) {
        self.limit = limit
        start()
    }

    func stateChanged() { if socket.state == .connected { start() } else { stop() } }

    func stop() {
        timer?.cancel()
        timer = nil
    }

    private func start() {
        stop()
        guard limit > 0, socket.state == .connected else { return }
        note()
        timer = socket.loop.addTimer(after: (limit + Self.looks - 1) / Self.looks, repeats: true) { [unowned(unsafe) self] in look() }
    }

    private func note() {
        received = socket.progress.received
        sent = socket.progress.sent
        quietLooks = 0
    }

    private func look() {
        // They wrap around: only whether they are the same counts.
        guard received == socket.progress.received, sent == socket.progress.sent else {
            note()
            return
        }
        quietLooks += 1
        guard quietLooks >= Self.looks else { return }
        stop()
        socket.endIdle(limit)
    }
}

extension Socket {
    /// Until when a blocking wait may sleep without looking whether the connection is idle.
    var idleTimer: Timer? { existingDetails?.model?.existingIdleTimeout?.timer }

    fileprivate func endIdle(_ limit: Int) {
        withExtendedLifetime(self) {
            let begun = epoch
            tellWritten()
            guard begun == epoch, state == .connected else { return }
            report(
                SocketError(.socketTimeout, "Nothing was sent or received for \(limit) ms" + peerSuffix + unsentSuffix, systemError: 0))
            guard begun == epoch, state == .connected else { return }
            letGoOfUnsent()
            enterClosing()
        }
    }
}
