/// Our own end of a connection.
extension Socket {
    func enterClosing() {
        let begun = epoch
        setState(.closing)
        guard begun == epoch else { return }
        if bytesToWrite > 0, !keepsUnsent {
            waitForRest()
        } else if saidGoodbye() {
            finishClose()
        } else {
            waitForRest()
        }
    }

    /// Closes once everything is sent: at once when nothing is pending; the bytes that are already received stay readable.
    /// While connecting it is remembered.
    func closeGracefully() {
        guard stopConnectingByItself(telling: true) else { return }
        switch state {
        case .unconnected, .closing, .listening:
            return
        case .hostLookup, .connecting:
            flags.insert(.closeWhenConnected)
        case .bound:
            unbind()
        case .connected:
            let begun = epoch
            tellWritten()
            if begun == epoch, state == .connected { enterClosing() }
        }
    }

    /// As `closeGracefully`, but the device is closed now: unread bytes are dropped, and nothing can be read or written any more.
    func closeDevice() {
        guard stopConnectingByItself(telling: true) else { return }
        let begun = epoch
        if isOpen {
            send(.aboutToClose, .aboutToClose)
            guard begun == epoch else { return }
            openMode = []
            dropUnread()
        }
        disconnectFromHost()
        if begun == epoch { deviceClosed() }
        noteChange(settings: false)
    }

    /// Closes now, whatever is pending or going on.
    func closeAtOnce() {
        guard stopConnectingByItself(telling: false) else { return }
        if state == .unconnected {
            closeDevice()
            return
        }
        epoch &+= 1
        let begun = epoch
        let wasConnected = (state == .connected || state == .closing) && !flags.contains(.onlyBound)
        endConnecting()
        endClosing()
        dropUnsent()
        if isOpen {
            send(.aboutToClose, .aboutToClose)
            guard begun == epoch else { return }
        }
        openMode = []
        dropUnread()
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
        letGoOfUnsent()
        finish(wasConnected: !flags.contains(.onlyBound))
    }

    private func finish(wasConnected: Bool) {
        let begun = epoch
        unregister()
        progress.ended &+= 1
        if !wasConnected, !flags.contains(.onlyBound) { progress.failed &+= 1 }
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
        existingDetails?.shown = ShownAddresses()
    }

    /// Closing with bytes to send: they go as the system takes them, within closeTimeout.
    func waitForRest() {
        sendSoon()
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

    func endClosing() {
        existingDetails?.closeTimer?.cancel()
        existingDetails?.closeTimer = nil
    }
}
