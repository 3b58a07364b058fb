import Glibc

extension Socket {
    func register() throws(SystemError) {
        slot = try loop.poller.register(rawDescriptor, for: interest, handler: self)
    }

    /// Has the loop watch the descriptor if it is watched in this state; else the loop only knows that it is held.
    func watchDescriptor(_ state: SocketState) throws(SocketError) {
        guard watches(state) else {
            loop.idleDescriptors.insert(rawDescriptor)
            return
        }
        loop.idleDescriptors.remove(rawDescriptor)
        do throws(SystemError) { try register() } catch { throw SocketError.from(error) }
    }

    /// Closes what carried the connection, if there is anything.
    func releaseDescriptor() {
        if flags.contains(.transportInUse) { endTransport() }
        guard rawDescriptor >= 0 else { return }
        System.close(detachDescriptor())
    }

    /// Forgets the descriptor, which stays open.
    private func detachDescriptor() -> Int32 {
        unregister()
        loop.idleDescriptors.remove(rawDescriptor)
        if existingDetails?.shown.isByProxy == true { details.shown = ShownAddresses() }
        receiveTimeout = 0
        flags.subtract([.blocking, .watchesWritable])
        defer { rawDescriptor = -1 }
        return rawDescriptor
    }

    func unregister() {
        guard slot >= 0 else { return }
        loop.poller.unregister(slot)
        slot = -1
    }

    func requestTurn(_ reason: Flags) {
        flags.insert(reason)
        guard !flags.contains(.turnRequested) else { return }
        flags.insert(.turnRequested)
        loop.requestTurn(self)
    }

    /// Sockets that do not watch for writability all the time do so while blocked.
    func watchWritable(_ watch: Bool) {
        guard slot >= 0, !interest.contains(.writable), watch != flags.contains(.watchesWritable) else { return }
        if watch { flags.insert(.watchesWritable) } else { flags.remove(.watchesWritable) }
        // Changing a live registration fails only without memory; the turn that is asked for then tries again.
        do throws(SystemError) {
            try loop.poller.change(slot, to: watch ? interest.union(.writable) : interest)
        } catch {
            flags.remove([.writeBlocked, .watchesWritable])
            sendSoon()
        }
    }

    /// Has recv(2) without MSG_DONTWAIT sleep at most so long; 0 is without limit.
    func makeBlocking(timeout: Int32) -> Bool {
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

    /// `type`: System.stream or System.datagram.
    func bind(_ address: String, port: Int, mode: BindMode, type: Int32) throws(SocketError) {
        guard let portNumber = UInt16(exactly: port) else {
            throw SocketError(.portNumberOutOfRange, "The port must be a number from 0 to 65535, not \(port)")
        }
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        guard state == .unconnected else { try refuse(.operation, "The socket is in state \(state.name): bind comes first") }
        guard let host = HostAddress(parsing: address) else {
            try refuse(.unsupportedSocketOperation, "\"\(address.abbreviated)\" is not an address to bind to")
        }
        releaseDescriptor()
        epoch &+= 1
        do throws(SocketError) {
            let descriptor = try ListeningAddress.bind(host, port: portNumber, mode: mode, type: type, reuseAddress: false)
            prepare(descriptor.rawValue)
            rawDescriptor = descriptor.release()
            try watchDescriptor(.bound)
        } catch {
            releaseDescriptor()
            report(error)
            throw error
        }
        clearError()
        setState(.bound)
    }

    func adoptDescriptor(
        _ descriptor: Int32, state: SocketState, openMode: OpenMode
    ) throws(SocketError) {
        guard [.connected, .unconnected, .bound].contains(state) else {
            throw SocketError(.invalidArgument, "A descriptor can be taken over as Connected, Bound or Unconnected, not as \(state.name)")
        }
        guard !flags.contains(.hasTransport) else {
            try refuse(.unsupportedSocketOperation, "A transport carries this socket's bytes: it takes no descriptor")
        }
        guard System.isOpen(descriptor), System.isSocket(descriptor) else {
            try refuse(.unsupportedSocketOperation, "\(descriptor) is not the descriptor of a socket")
        }
        try checkDescriptor(descriptor, state: state)
        if state == .connected, System.peerAddress(descriptor) == nil {
            try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is not connected")
        }
        guard descriptor != rawDescriptor else {
            try refuse(.unsupportedSocketOperation, "The descriptor \(descriptor) is this socket's own already")
        }
        guard !loop.holds(descriptor) else {
            try refuse(.operation, "The descriptor \(descriptor) belongs to another object")
        }
        autoConnect?.halt()
        endConnecting()
        epoch &+= 1
        releaseDescriptor()
        dropUnread()
        dropUnsent()
        flags.formIntersection(.lasting)
        rawDescriptor = descriptor
        clearError()
        self.openMode = openMode
        prepare(descriptor)
        do throws(SocketError) {
            try watchDescriptor(state)
        } catch {
            rawDescriptor = -1
            throw error
        }
        setState(state)
    }

    func giveDescriptor() throws(SocketError) -> Int32 {
        guard descriptor >= 0 else { throw SocketError(.invalidState, "The socket has no descriptor") }
        guard !flags.contains(.hasTransport) else {
            throw SocketError(.unsupportedSocketOperation, "Behind the descriptor goes on what a transport began: it cannot be given away")
        }
        guard isSettled else {
            throw SocketError(
                .operation, "\(bytesAvailable) bytes are unread and \(bytesToWrite) unsent: read and flush before taking the descriptor")
        }
        if receiveTimeout != 0 { _ = System.setReceiveTimeout(rawDescriptor, milliseconds: 0) }
        _ = System.setNonBlocking(rawDescriptor, false)
        autoConnect?.halt()
        let taken = detachDescriptor()
        epoch &+= 1
        progress.ended &+= 1
        openMode = []
        endConnecting()
        endClosing()
        setState(.unconnected)
        completeWaits()
        return taken
    }
}
