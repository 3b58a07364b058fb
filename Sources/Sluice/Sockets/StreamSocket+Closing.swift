import Glibc

/// The peer's end.
extension StreamSocket {
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
        var error = transport?.failure ?? SocketError.from(errno: number, doing: action, peer: peerDescription)
        error.message += unsentSuffix
        endByPeer(error, canSend: false)
    }

    private func endByPeer(_ error: SocketError, canSend: Bool) {
        let begun = epoch
        flags.insert(.readFinished)
        reportWritten()
        guard begun == epoch else { return }
        report(error)
        guard begun == epoch else { return }
        if !canSend { letGoOfUnsent() }
        enterClosing()
    }
}
