/// Connects a socket by itself to the host that its properties name, and again after every failure and every end of a connection
/// that the user did not ask for.
///
/// It begins when `hostname` and `port` (of local sockets `serverName`) are set as properties while `autoConnect` is true, in the
/// loop's next turn. `disconnectFromHost`, `close`, `abort` and giving the descriptor away end it, until one of its properties is set
/// again or `connectToHost` is called for the same host and port; a connection to another host is none of its business.
///
/// The socket is open all the while. What is written without a connection is kept, up to writeBufferSize, and so is what was not
/// with the system when a connection ended: it goes out on the next one, once and in order. What the system had taken by then
/// may or may not have arrived, which nobody can tell, and is not sent again. What was received and not read stays, and comes before what the next
/// connection brings. Datagrams are not kept: for them connecting only fixes the peer.
///
/// When a property names another host while there is a connection, that ends as by `disconnectFromHost`, and the next is to the
/// new host. While a pause lasts the state is Unconnected; waits for `connected` go on through it, and through failed attempts.
final class AutoConnect: Connecting {
    struct Target: Equatable {
        /// A local server's name for local sockets.
        var host = ""
        var port = -1
        var `protocol` = NetworkProtocol.any
    }

    var target = Target()
    var isEnabled = true
    var delay = ReconnectDelay()

    private unowned(unsafe) let socket: Socket
    /// The user has ended it.
    private var isHalted = false
    /// The connection ends because another one is wanted.
    private var isRetargeting = false
    /// The next call of the socket's is this object's own. Whoever asks takes it back, as handlers come after that.
    private var isActing = false
    /// What the present connection, or attempt, is for; nil when it is not for us.
    private var current: Target?
    private var failures = 0
    private var connectedAt: UInt64 = 0
    private var timer: Timer?

    init(_ socket: Socket) { self.socket = socket }

    /// Whether a connection is wanted.
    var isActive: Bool { isEnabled && !isHalted && hasTarget }
    /// Whether the next attempt has its time.
    var isPausing: Bool { timer != nil }
    /// Whether the end of a connection is followed by another to the same host.
    var connectsAgain: Bool { isActive && !isRetargeting }

    private var hasTarget: Bool { !target.host.isEmpty && (socket.kind == .localSocket || target.port > 0) }

    // MARK: What the user does

    /// One of the properties was set, even if to what it was.
    func targetWasSet() {
        let wasHalted = isHalted
        isHalted = false
        guard isActive else {
            suspend()
            return
        }
        switch socket.state {
        case .unconnected, .bound:
            failures = 0
            open()
            schedule(after: 0)
        case .hostLookup, .connecting:
            guard current != target, !isForTarget else { break }
            isRetargeting = true
            socket.giveUpConnecting()
        case .connected:
            if isForTarget { current = target }
            guard current != target else { break }
            isRetargeting = true
            isActing = true
            socket.disconnectFromHost()
        // What ends by itself is followed by another connection anyway.
        case .closing: isRetargeting = wasHalted || current != target
        case .listening: break
        }
    }

    /// Whether a connection that was not made for us is to where ours would be.
    private var isForTarget: Bool {
        guard current == nil else { return false }
        if let local = socket as? LocalSocket { return local.serverName == target.host }
        let port = socket.peerPort
        return socket.peerName == target.host && (port == target.port || port == 0)
    }

    /// A connect begins: by itself, or by a call of the user's. Returns whether what was received before stays.
    func connectBegins(to host: String, port: Int) -> Bool {
        stopPause()
        if isActing {
            isActing = false
            return socket.kind != .udpSocket
        }
        isRetargeting = false
        if hasTarget, host == target.host, port == target.port || socket.kind == .localSocket {
            isHalted = false
            current = target
        } else {
            if connectsAgain, socket.bytesToWrite > 0 { socket.model.reportInTurn(unsentError) }
            isHalted = true
            current = nil
        }
        return false
    }

    /// The user ends the connection.
    func userCloses() {
        if isActing { isActing = false } else { halt() }
    }

    func halt() {
        isHalted = true
        isRetargeting = false
        stopPause()
    }

    /// Tells what was written and will not be sent, when there is no connection that could.
    func dropKept(telling: Bool) {
        guard socket.state == .unconnected || socket.state == .bound, socket.kind != .udpSocket, socket.bytesToWrite > 0 else {
            socket.completeWaits()
            return
        }
        let error = unsentError
        let begun = socket.epoch
        socket.dropUnsent()
        guard begun == socket.epoch else { return }
        if telling { socket.report(error) }
        if begun == socket.epoch { socket.completeWaits() }
    }

    private var unsentError: SocketError {
        SocketError(.operation, "No connection to \(target.host.abbreviated) is wanted any more: \(socket.bytesToWrite) bytes were not sent")
    }

    /// A connection is no longer wanted, but one that is there may stay.
    private func suspend() {
        stopPause()
        isRetargeting = false
        dropKept(telling: true)
    }

    // MARK: What the connection does

    func stateChanged() {
        switch socket.state {
        case .connected: connectedAt = System.monotonicNanoseconds()
        case .unconnected: ended()
        default: break
        }
    }

    private func ended() {
        current = nil
        let lasted = connectedAt == 0 ? 0 : (System.monotonicNanoseconds() - connectedAt) / 1_000_000
        connectedAt = 0
        guard isActive, !isPausing else { return }
        if isRetargeting {
            isRetargeting = false
            failures = 0
            open()
            schedule(after: 0)
            return
        }
        // A connection that ended sooner than the pause before it lasted is as bad as none.
        if lasted >= UInt64(delay.longest(failures: max(0, failures - 1))) { failures = 0 }
        let pause = delay.milliseconds(failures: failures)
        failures += 1
        schedule(after: pause)
    }

    private func open() {
        if !socket.isOpen { socket.openMode = socket.kind == .udpSocket ? [.readWrite, .unbuffered] : .readWrite }
    }

    private func schedule(after milliseconds: Int) {
        stopPause()
        // The end of writing was the last connection's, unless something has to be sent before it.
        if socket.flags.contains(.writeFinished) { socket.flags.subtract([.writeFinishing, .writeFinished]) }
        timer = socket.loop.addTimer(after: milliseconds) { [unowned(unsafe) self] in attempt() }
        // Blocking waits run it from there.
        socket.details.connecting = self
    }

    private func stopPause() {
        timer?.cancel()
        timer = nil
        if socket.existingDetails?.connecting === self { socket.existingDetails?.connecting = nil }
    }

    private func attempt() {
        withExtendedLifetime((self, socket)) {
            stopPause()
            // The object is complete before it connects; a handler of that may have changed its mind.
            socket.existingDetails?.model?.takeTurn()
            guard isActive, !isPausing, socket.state == .unconnected || socket.state == .bound else { return }
            let finishes = socket.flags.contains(.writeFinishing)
            isActing = true
            current = target
            do throws(SocketError) {
                try socket.connect(to: target)
            } catch {
                // Nothing was begun.
                isActing = false
                if socket.state == .unconnected, isActive, !isPausing { ended() }
            }
            if finishes, socket.state != .unconnected, socket.bytesToWrite > 0 { socket.flags.insert(.writeFinishing) }
        }
    }

    // MARK: As the way to a connection, while it pauses

    let attempts: [ConnectionAttempt] = []
    var isUnderWay: Bool { isPausing }

    func cancel() {
        timer?.cancel()
        timer = nil
    }

    func advance(until deadline: UInt64?) {
        guard let timer else { return }
        let end = min(timer.deadline, deadline ?? .max)
        System.sleep(milliseconds: Socket.milliseconds(until: end))
        if timer.isActive, timer.deadline <= System.monotonicNanoseconds() { timer.fire() }
    }
}

extension Socket {
    var connectsAgain: Bool { autoConnect?.connectsAgain ?? false }
    /// Whether what is unsent outlives the connection.
    var keepsUnsent: Bool { connectsAgain && kind != .udpSocket }
    func letGoOfUnsent() { if keepsUnsent { parkUnsent() } else { dropUnsent() } }

    /// Unconnected only until the next attempt.
    var pausesBeforeConnecting: Bool { autoConnect?.isPausing ?? false }

    /// For the end of a message about a connection that ended.
    var unsentSuffix: String {
        guard bytesToWrite > 0 else { return "" }
        return keepsUnsent ? "; \(bytesToWrite) bytes wait for the next connection" : "; \(bytesToWrite) bytes were not sent"
    }

    fileprivate func connect(to target: AutoConnect.Target) throws(SocketError) {
        if let local = self as? LocalSocket {
            try local.connectToServer(target.host)
        } else {
            try connectAutomatically(to: target.host, port: target.port, protocol: target.protocol)
        }
    }

    /// Ends an attempt without a word but the state's.
    fileprivate func giveUpConnecting() {
        endConnecting()
        epoch &+= 1
        progress.ended &+= 1
        progress.failed &+= 1
        releaseDescriptor()
        setState(.unconnected)
        completeWaits()
    }

    /// The user ends what there is. Unless a handler begins something new in between, the caller goes on.
    func stopConnectingByItself(telling: Bool) -> Bool {
        guard let autoConnect else { return true }
        let begun = epoch
        let kept = autoConnect.connectsAgain
        autoConnect.userCloses()
        if kept, !autoConnect.connectsAgain { autoConnect.dropKept(telling: telling) }
        return begun == epoch
    }
}
