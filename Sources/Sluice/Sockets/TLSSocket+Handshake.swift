import Glibc

/// From a connection to an encrypted one.
extension TLSSocket {
    // MARK: Beginning

    /// The connection is there. Encryption stands before anybody is told of it: no handler can write past it.
    func connectionMadeForTLS(_ readiness: Readiness, tell: (Readiness) -> Void) {
        guard let context = contextOnceConnected else {
            tell(readiness)
            return
        }
        contextOnceConnected = nil
        earlierAttempts = existingDetails?.connecting?.attempts ?? []
        let deadline = existingDetails?.connectTimer?.deadline
        do throws(SocketError) {
            try install(context)
        } catch {
            connectFailed(error)
            return
        }
        let begun = epoch
        tell(readiness)
        guard begun == epoch, phase == .shakingHands else { return }
        startHandshakeTimer(milliseconds: deadline.map { Int(Self.milliseconds(until: $0)) })
        _ = goOnWithHandshake()
    }

    /// Encrypts a connection that is there already.
    func startEncryption(_ role: TLSContext.Role) throws(SocketError) {
        guard state == .connected else {
            throw SocketError(.operation, "The socket is \(state.name): only a connection that is Connected can be encrypted")
        }
        guard phase == .plain else { throw SocketError(.operation, "The connection is encrypted already, or about to be") }
        guard !flags.contains(.writeFinishing), !flags.contains(.readFinished) else {
            throw SocketError(.operation, "One side of the connection has ended: it cannot be encrypted any more")
        }
        try begin(try loop.tlsContexts.context(for: configuration, role: role))
        requestTurn(.transportInTurn)
    }

    func begin(_ context: TLSContext) throws(SocketError) {
        earlierAttempts = []
        try install(context)
        startHandshakeTimer(milliseconds: connectTimeout >= 0 ? connectTimeout : nil)
    }

    /// Puts the session between this socket and what carries its bytes.
    private func install(_ context: TLSContext) throws(SocketError) {
        if context.role == .client, context.verifyMode == .peer, configuration.verifyName.isEmpty, peerName.isEmpty,
            !forgives(TLSError(.hostNameMismatch, ""))
        {
            throw SocketError(
                .sslInvalidUserData,
                "verifyName is not set, and the connection was not made by a host's name: the peer's certificate cannot be checked for any")
        }
        let session = try TLSSession(
            context, descriptor: rawDescriptor, below: transport, hostName: peerName, configuration: configuration,
            early: readBuffer.isEmpty ? [] : unreadBytes, plain: state == .connected ? bytesToWrite : 0, peerSuffix: peerSuffix)
        session.forgives = { [unowned(unsafe) self] in forgives($0) }
        session.isToPause = { [unowned(unsafe) self] in pauseMode.contains(.onSslErrors) }
        dropUnread()
        self.session = session
        install(session)
        useTransport()
        flags.remove(.readPaused)
        phase = .shakingHands
        handshakeBegan = System.monotonicNanoseconds()
        timeLeftAtPause = nil
        encryptedIsUntold = false
        pauseIsKnown = false
        lastTicket = ""
        lastErrors = []
        lastPresented = []
    }

    private var unreadBytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: readBuffer.count) { buffer, count in
            count = buffer.baseAddress.map { readBuffer.read(into: $0, size: buffer.count, peek: true) } ?? 0
        }
    }

    private func startHandshakeTimer(milliseconds: Int?) {
        guard let milliseconds else { return }
        details.connectTimer = loop.addTimer(after: milliseconds) { [unowned(unsafe) self] in
            guard phase == .shakingHands else { return }
            handshakeFailed(SocketError(.socketTimeout, "The TLS handshake was not done in time" + peerSuffix, systemError: ETIMEDOUT))
        }
    }

    // MARK: Going on

    /// True while there is no encrypted connection, so that nothing else may happen to its bytes.
    func goOnWithHandshake() -> Bool {
        guard phase == .shakingHands, let session else { return phase == .paused || phase == .over }
        let begun = epoch
        if session.plainLeft > 0 {
            flags.remove(.writeBlocked)
            _ = sendQueue(share: .max)
            guard begun == epoch, session.plainLeft == 0 else { return true }
        }
        while begun == epoch, phase == .shakingHands {
            switch session.shakeHands() {
            case .waiting:
                watchWritable(session.hasOutput)
                return true
            case .judging:
                judge(session)
            case .failed(let error):
                tellFailure(error, session)
            case .done:
                established()
                return begun != epoch
            }
        }
        return true
    }

    /// The errors are told, and their fate is decided: now, or by `resume`.
    private func judge(_ session: TLSSession) {
        guard session.verdict == nil else { return }
        if !session.errors.allSatisfy(forgives) {
            let begun = epoch
            if pauseMode.contains(.onSslErrors) {
                phase = .paused
                if let timer = existingDetails?.connectTimer, timer.isActive { timeLeftAtPause = Int(Self.milliseconds(until: timer.deadline)) }
                existingDetails?.connectTimer?.cancel()
            }
            send(.sslErrors, .sslErrors(session.errors))
            guard begun == epoch, phase == .shakingHands, session.verdict == nil else { return }
        }
        session.verdict = session.errors.allSatisfy(forgives)
    }

    func resumeHandshake() {
        guard phase == .paused, let session else { return }
        phase = .shakingHands
        pauseIsKnown = false
        session.verdict = session.errors.allSatisfy(forgives)
        startHandshakeTimer(milliseconds: timeLeftAtPause)
        requestTurn(.transportInTurn)
    }

    private func established() {
        phase = .encrypted
        endConnecting()
        clearError()
        watchWritable(false)
        let begun = epoch
        if flags.contains(.untaken) {
            encryptedIsUntold = true
        } else {
            send(.encrypted, .encrypted)
        }
        guard begun == epoch else { return }
        completeWaits()
        guard begun == epoch else { return }
        flags.remove(.writeBlocked)
        if bytesToWrite > 0 {
            requestSend()
        } else if flags.contains(.writeFinishing) || state == .closing {
            writingDone()
        }
        guard begun == epoch else { return }
        requestTurn(.receiveInTurn)
    }

    func tellEncrypted() {
        guard encryptedIsUntold, !flags.contains(.untaken) else { return }
        encryptedIsUntold = false
        if phase == .encrypted { send(.encrypted, .encrypted) }
    }

    // MARK: Failing

    /// A server judges in the midst of its handshake: what it found is told before the failure.
    private func tellFailure(_ error: SocketError, _ session: TLSSession) {
        let begun = epoch
        if session.role == .server, session.verdict == false, !session.judgesAfterwards { send(.sslErrors, .sslErrors(session.errors)) }
        guard begun == epoch else { return }
        handshakeFailed(error)
    }

    private func handshakeFailed(_ error: SocketError) {
        let begun = epoch
        var error = error
        let took = Int((System.monotonicNanoseconds() - handshakeBegan) / 1_000_000)
        error.attempts = earlierAttempts + [
            ConnectionAttempt(address: peerDescription ?? "", phase: .tls, milliseconds: took, systemError: error.systemError)
        ]
        error.message += unsentSuffix
        phase = .over
        endConnecting()
        // What would be written now could never leave.
        flags.formUnion([.readFinished, .writeFinishing, .writeFinished])
        report(error)
        guard begun == epoch else { return }
        letGoOfUnsent()
        if state == .closing { finishClose() } else { enterClosing() }
    }

    // MARK: Ending

    private static let lingeringInterval = 5

    /// All is sent, and the peer was told; but closing now could undo it. It then goes on in state Closing, within closeTimeout.
    func lingers() -> Bool {
        guard let session, !session.isSafeToClose else { return false }
        if lingering == nil {
            lingering = loop.addTimer(after: Self.lingeringInterval, repeats: true) { [unowned(unsafe) self] in endLingering() }
        }
        return true
    }

    func endLingering() {
        guard lingering != nil, state == .closing, session?.isSafeToClose ?? true else { return }
        finishClose()
    }

    func sleepWhileLingering(deadline: UInt64?) -> Bool {
        let left = Self.milliseconds(until: deadline)
        let pause = Int32(Self.lingeringInterval)
        _ = session?.wait(readable: true, writable: false, timeout: Int(left < 0 ? pause : min(left, pause)))
        endLingering()
        return left != 0
    }

    /// The connection is no more.
    func endEncryption() {
        lingering?.cancel()
        lingering = nil
        contextOnceConnected = nil
        withdrawTurn()
        guard let session else { return }
        if session.isEstablished { lastTicket = session.ticket }
        phase = .over
        encryptedIsUntold = false
        existingDetails?.connectTimer?.cancel()
    }

    /// In the last events of a connection its session is still there to be asked.
    func letGoOfSession() {
        if session != nil, state == .unconnected || state == .bound { releaseDescriptor() }
    }

    /// The descriptor is gone, and with it the session; a transport of the user's own is what it was before.
    func withdrawSession() {
        guard let session else { return }
        self.session = nil
        lastErrors = session.errors
        lastPresented = session.presented
        install(session.below)
        phase = .plain
    }

    // MARK: Blocking waits

    /// In a blocking program the loop's turn may never come, and its list would keep the socket for ever. When it comes after all, the descriptor
    /// is found ready.
    private func withdrawTurn() {
        guard flags.contains(.turnRequested), session?.below == nil, flags.isDisjoint(with: [.announceInTurn, .reportWrittenInTurn]),
            !encryptedIsUntold, loop.withdrawTurn(self)
        else { return }
        flags.subtract([.turnRequested, .transportInTurn, .receiveInTurn])
    }

    func sleepOnHandshake(for kind: Wait.Kind, deadline: UInt64?) -> Bool {
        guard phase == .shakingHands, let session else {
            pauseIsKnown = true
            if kind == .encrypted { return true }
            if deadline != nil { System.sleep(milliseconds: Self.milliseconds(until: deadline)) }
            return false
        }
        let begun = epoch
        defer { withdrawTurn() }
        _ = goOnWithHandshake()
        guard begun == epoch, phase == .shakingHands else { return true }
        var end = deadline
        if let timer = existingDetails?.connectTimer, timer.isActive { end = min(end ?? .max, timer.deadline) }
        guard session.wait(readable: true, writable: session.hasOutput, timeout: Int(Self.milliseconds(until: end))) >= 0 else { return false }
        if begun == epoch { _ = goOnWithHandshake() }
        return true
    }
}
