import Glibc

extension UDPSocket {
    /// The socket's place at a proxy, if it goes by one.
    var association: ProxyAssociation? { extras?.association }

    /// What datagrams of this socket go by, while it is still to be bound or connected. `host`: the peer, or the own address.
    func proxyForDatagrams(with host: String, port: Int = 0) throws(SocketError) -> Proxy? {
        do throws(SocketError) {
            let place = HostAddress(parsing: host) ?? (Proxy.isLoopback(host) ? .localHost : .anyDualStack)
            return try proxy.inForceToReceive(at: place, host: host, port: port, application: applicationProxy)
        } catch {
            report(error)
            throw error
        }
    }

    /// Binds by way of a proxy: nothing is known of the relay yet, and what is written waits for it.
    func bind(by proxy: Proxy, port: Int) throws(SocketError) {
        guard port == 0 || !(0...65535).contains(port) else {
            try refuse(.unsupportedSocketOperation, "A proxy picks the port itself: port \(port) cannot be bound by way of \(proxy)")
        }
        releaseDescriptor()
        let association = ProxyAssociation(self, proxy)
        makeExtras().association = association
        makeExtras().bindsForRelay = true
        defer { extras?.bindsForRelay = false }
        details.shown = ShownAddresses(isByProxy: true, hasLocalEnd: true)
        do throws(SocketError) {
            try bind("any", port: port, mode: [], type: System.datagram)
        } catch {
            endAssociation()
            throw error
        }
        guard state == .bound, extras?.association === association else { return }
        association.start()
    }

    /// How this socket comes to talk to one peer alone.
    func way(to host: String, port: UInt16, by proxy: Proxy?) -> any HostConnecting {
        endAssociation()
        guard let proxy else { return UDPConnecting(self, host: host, port: port) }
        let association = ProxyAssociation(self, proxy, port: port)
        makeExtras().association = association
        return association
    }

    /// A descriptor for the relay, unless the socket is bound already.
    func openForRelay() throws(SocketError) {
        guard rawDescriptor < 0 else { return }
        makeExtras().bindsForRelay = true
        defer { extras?.bindsForRelay = false }
        let descriptor = try ListeningAddress.bind(.anyDualStack, port: 0, mode: [], type: System.datagram, reuseAddress: false)
        prepare(descriptor.rawValue)
        rawDescriptor = descriptor.release()
        try watchDescriptor(.bound)
    }

    /// Nil when it worked.
    func connectToRelay(_ relay: HostAddress, port: UInt16, of proxy: Proxy) -> SocketError? {
        // Every datagram has its own header.
        System.setCoalescing(rawDescriptor, false)
        guard let reached = reachable(relay) else {
            return SocketError(
                .network, "The relay \(relay) of the proxy \(proxy) cannot be reached from this machine", systemError: EAFNOSUPPORT)
        }
        let result = System.connect(rawDescriptor, SocketAddress(reached, port: port))
        guard result != 0 else { return nil }
        let place = "the relay \(relay.description(port: port)) of the proxy \(proxy)"
        return SocketError.from(errno: Int32(clamping: -result), doing: .connect, peer: place)
    }

    /// The relay is there.
    func associationMade() {
        let begun = epoch
        // It lives on with the socket: the end of connecting is not its own.
        details.connecting = nil
        if state == .connecting {
            if let peer = association?.peerEndpoint { showEnds(peer: peer, local: nil) }
            details.shown.hasLocalEnd = true
            connectionMade()
        }
        guard begun == epoch else { return }
        flags.remove(.writeBlocked)
        _ = sendQueue()
    }

    /// There is no relay, or none any more.
    func associationFailed(_ error: SocketError) {
        if state == .hostLookup || state == .connecting {
            endAssociation()
            connectFailed(error)
            return
        }
        var error = error
        if let outbox = existingOutbox { error.message += "; \(outbox.summary) were not sent" }
        let begun = epoch
        dropUnsent()
        report(error)
        guard begun == epoch else { return }
        closeAtOnce()
    }

    func endAssociation() {
        guard let association = extras?.association else { return }
        extras?.association = nil
        withExtendedLifetime(association) {
            association.cancel()
            if existingDetails?.connecting === association { details.connecting = nil }
        }
    }

    /// As sending to a destination once: errors of earlier datagrams come in place of sending, and then it is tried again.
    func relayOnce(_ bytes: UnsafeRawBufferPointer, to destination: Destination?) -> DatagramSender.Outcome {
        var outcome = DatagramSender.Outcome()
        guard let destination else {
            outcome.failure = EDESTADDRREQ
            return outcome
        }
        let first = sendRelayed(bytes, to: destination)
        var result = first
        if first < 0, System.mayBeEarlierFailure(Int32(clamping: -first)) {
            result = sendRelayed(bytes, to: destination)
            if result != first { outcome.earlierFailure = Int32(clamping: -first) }
        }
        outcome.failure = result >= 0 ? 0 : Int32(clamping: -result)
        return outcome
    }

    /// The same as sending to a destination, by way of the relay: the header goes in front.
    func sendRelayed(_ bytes: UnsafeRawBufferPointer, to destination: Destination) -> Int {
        destination.relayHeader.withUnsafeBytes { header in
            var pieces = (
                iovec(iov_base: UnsafeMutableRawPointer(mutating: header.baseAddress), iov_len: header.count),
                iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            )
            return withUnsafeBytes(of: &pieces) { memory in
                memory.assumingMemoryBound(to: iovec.self).baseAddress.map { System.sendVector(rawDescriptor, $0, 2) } ?? -Int(EINVAL)
            }
        }
    }

    /// What waited, each with its header.
    func sendRelayedQueue(_ outbox: DatagramOutbox) -> Bool {
        guard association?.isReady == true else { return false }
        let begun = epoch
        var hasSent = false
        flags.remove(.writeBlocked)
        while begun == epoch, existingOutbox === outbox, outbox.hasItems {
            let item = outbox.items[outbox.first]
            guard let destination = item.destination ?? association?.peer else { break }
            let result = item.data.withUnsafeBytes { sendRelayed($0, to: destination) }
            if result == -Int(EAGAIN) {
                waitUntilWritable()
                return hasSent
            }
            outbox.removeFirst(1)
            if result >= 0 {
                hasSent = true
                sent(item.data.count)
            } else {
                report(failure(Int32(clamping: -result), size: item.data.count, destination: destination))
            }
        }
        return hasSent
    }
}
