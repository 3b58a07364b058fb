import Glibc

extension StreamSocket {
    // MARK: The peer's end

    /// The peer has sent all it will.
    func endOfStream() {
        flags.insert(.readFinished)
        if allowHalfOpen {
            let begun = epoch
            flags.insert(.readChannelFinishedSent)
            send(.readChannelFinished, .readChannelFinished)
            guard begun == epoch else { return }
            completeWaits()
            guard begun == epoch, flags.contains(.writeFinished), state == .connected else { return }
            setState(.closing)
            guard begun == epoch else { return }
            finishClose()
            return
        }
        endByPeer(SocketError(.remoteHostClosed, "The remote host closed the connection" + peerSuffix), canSend: true)
    }

    /// A read or write failed for good. What the system still has for us is read first: it may hold the peer's last words, and
    /// a failing write must not drop them.
    func connectionBroken(_ number: Int32, doing action: SocketError.Action) {
        let begun = epoch
        if action == .write, state == .connected, !flags.contains(.readFinished) {
            while readRoom > 0, receiveChunk(readRoom) > 0 {
                announceRead()
                guard begun == epoch, state == .connected else { return }
            }
        }
        var error = SocketError.from(errno: number, doing: action, peer: peerDescription)
        if bytesToWrite > 0 { error.message += "; \(bytesToWrite) bytes were not sent" }
        endByPeer(error, canSend: false)
    }

    private func endByPeer(_ error: SocketError, canSend: Bool) {
        let begun = epoch
        flags.insert(.readFinished)
        reportWritten()
        guard begun == epoch else { return }
        report(error)
        guard begun == epoch else { return }
        if !canSend { writeQueueDropped() }
        enterClosing()
    }

    private func enterClosing() {
        let begun = epoch
        setState(.closing)
        guard begun == epoch else { return }
        if bytesToWrite > 0 {
            waitForRest()
        } else {
            finishClose()
        }
    }

    // MARK: Our own end

    /// Closes once everything is sent: at once when nothing is pending; the bytes that are already received stay readable.
    /// While connecting it is remembered.
    func closeGracefully() {
        switch state {
        case .unconnected, .closing, .listening:
            return
        case .hostLookup, .connecting:
            flags.insert(.closeWhenConnected)
        case .bound:
            unbind()
        case .connected:
            let begun = epoch
            reportWritten()
            if begun == epoch, state == .connected { enterClosing() }
        }
    }

    /// As `closeGracefully`, but the device is closed now: unread bytes are dropped, and nothing can be read or written any more.
    func closeDevice() {
        let begun = epoch
        if isOpen {
            send(.aboutToClose, .aboutToClose)
            guard begun == epoch else { return }
            openMode = []
            readBuffer.removeAll()
        }
        closeGracefully()
        if begun == epoch { deviceClosed() }
    }

    /// Closes now, whatever is pending or going on.
    func closeAtOnce() {
        if state == .unconnected {
            closeDevice()
            return
        }
        epoch &+= 1
        let begun = epoch
        let wasConnected = state == .connected || state == .closing
        endConnecting()
        endClosing()
        writeQueueDropped()
        if isOpen {
            send(.aboutToClose, .aboutToClose)
            guard begun == epoch else { return }
        }
        openMode = []
        readBuffer.removeAll()
        finish(wasConnected: wasConnected)
    }

    private func unbind() {
        epoch &+= 1
        finish(wasConnected: false)
    }

    /// The last steps of every close in which all was sent that could be.
    func finishClose() {
        epoch &+= 1
        endClosing()
        writeQueueDropped()
        finish(wasConnected: true)
    }

    private func finish(wasConnected: Bool) {
        let begun = epoch
        unregister()
        progress.ended &+= 1
        if !wasConnected { progress.failed &+= 1 }
        defer { completeWaits() }
        connectionForgotten()
        setState(.unconnected)
        guard begun == epoch else { return }
        if !flags.contains(.readChannelFinishedSent) {
            send(.readChannelFinished, .readChannelFinished)
            guard begun == epoch else { return }
        }
        if wasConnected {
            send(.disconnected, .disconnected)
            guard begun == epoch else { return }
        }
        releaseDescriptor()
    }

    /// Closing with bytes to send: they go as the system takes them, within closeTimeout.
    private func waitForRest() {
        requestSend()
        endClosing()
        guard closeTimeout >= 0 else { return }
        details.closeTimer = loop.addTimer(after: closeTimeout) { [unowned(unsafe) self] in closeTimedOut() }
    }

    private func closeTimedOut() {
        guard state == .closing else { return }
        let begun = epoch
        report(
            SocketError(
                .socketTimeout,
                "The remote host did not take the rest within \(closeTimeout) ms\(peerSuffix); \(bytesToWrite) bytes were not sent"))
        guard begun == epoch else { return }
        finishClose()
    }
}
