import Glibc

extension UDPSocket {
    /// Where a datagram goes.
    enum Target {
        case peer
        case address(Destination)
        /// To be looked up first.
        case name(String, port: UInt16)
    }

    // MARK: One datagram

    /// Sends one datagram, whole or not at all, and returns its size; it may be empty. `address` is an address or a name; without
    /// one it goes to the peer of a connected socket. An unbound socket is bound first: to any IPv4 address if the destination is
    /// one, else to any of both families. What the system does not take at once, and what goes to a name that has to be looked
    /// up, is queued (see `setWriteBufferSize`) and counts in `bytesToWrite`. Whatever fails, now or later, is told by
    /// errorOccurred.
    @discardableResult
    public func writeDatagram(
        _ bytes: UnsafeRawBufferPointer, address: String? = nil, port: Int? = nil, options: DatagramOptions? = nil
    ) throws(SocketError) -> Int {
        switch try target(address, port) {
        case .peer:
            try send(bytes, to: nil, options: options)
        case .address(let destination):
            try send(bytes, to: destination, options: options)
        case .name(let name, let port):
            try queue(bytes, to: name, port: port, options: options)
        }
        return bytes.count
    }

    @discardableResult
    public func writeDatagram(
        _ data: [UInt8], address: String? = nil, port: Int? = nil, options: DatagramOptions? = nil
    ) throws(SocketError) -> Int {
        var failure: SocketError?
        let count = data.withUnsafeBytes { bytes in
            do throws(SocketError) {
                return try writeDatagram(bytes, address: address, port: port, options: options)
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return count
    }

    func writeToPeer(_ bytes: UnsafeRawBufferPointer) throws(SocketError) -> Int {
        guard isWritable else { throw SocketError(.operation, "The socket is not open for writing") }
        guard state == .connected, isLive else { throw SocketError(.operation, "The socket is not connected") }
        try send(bytes, to: nil, options: nil)
        return bytes.count
    }

    /// Sends or queues; throws what it has told.
    func send(_ bytes: UnsafeRawBufferPointer, to destination: Destination?, options: DatagramOptions?) throws(SocketError) {
        let ipv6 = options != nil && isIPv6(destination)
        if let options, let objection = options.objection(ipv6: ipv6) { try refuse(.invalidArgument, objection) }
        if association != nil, let options, options != DatagramOptions() {
            try refuse(.unsupportedSocketOperation, "A proxy's relay takes no options for a datagram")
        }
        guard !flags.contains(.writeBlocked), association?.isReady ?? true else {
            try queue(bytes, to: destination, options: options)
            return
        }
        var outcome = DatagramSender.Outcome()
        if let association {
            outcome = relayOnce(bytes, to: destination ?? association.peer)
        } else if let options {
            let sender = loop.buffers.datagrams.sender
            sender.begin()
            _ = sender.add(bytes, to: destination, ipv6: ipv6, options: options, largestSegment: 0)
            outcome = sender.send(rawDescriptor, isConnected: state == .connected)
        } else {
            outcome = sendOnce(bytes, to: destination)
        }
        if outcome.earlierFailure != 0 {
            let begun = epoch
            reportEarlierFailure(outcome.earlierFailure)
            guard begun == epoch else { return }
        }
        switch outcome.failure {
        case 0:
            sent(bytes.count)
        case EAGAIN:
            try queue(bytes, to: destination, options: options)
        default:
            let error = failure(outcome.failure, size: bytes.count, destination: destination)
            report(error)
            throw error
        }
    }

    /// A connected socket tells errors of earlier datagrams in place of sending: then it sends after all.
    @inline(__always)
    private func sendOnce(_ bytes: UnsafeRawBufferPointer, to destination: Destination?) -> DatagramSender.Outcome {
        var outcome = DatagramSender.Outcome()
        var result = System.sendDatagram(rawDescriptor, bytes, to: destination)
        if result >= 0 { return outcome }
        let number = Int32(truncatingIfNeeded: -result)
        if state == .connected, System.mayBeEarlierFailure(number) {
            result = System.sendDatagram(rawDescriptor, bytes, to: destination)
            // Failing twice in the same way: it is this one's own.
            if result != -Int(number) { outcome.earlierFailure = number }
        }
        outcome.failure = result >= 0 ? 0 : Int32(truncatingIfNeeded: -result)
        return outcome
    }

    func failure(_ number: Int32, size: Int, destination: Destination?) -> SocketError {
        let place = destination?.address.description ?? peerDescription
        var error = SocketError.from(errno: number, doing: .write, peer: place)
        if number == EMSGSIZE {
            error.message = "The datagram of \(size) bytes is too large to send" + (place.map { " (\($0))" } ?? "")
        }
        return error
    }

    /// Something was sent. Told at once; from inside its own handler the sum is told after that.
    func sent(_ bytes: Int) {
        progress.sent &+= 1
        unreported += bytes
        datagramFlags.insert(.unreported)
        guard !flags.contains(.inBytesWritten) else { return }
        let begun = epoch
        flags.insert(.inBytesWritten)
        while datagramFlags.contains(.unreported), begun == epoch {
            let amount = unreported
            unreported = 0
            datagramFlags.remove(.unreported)
            send(.bytesWritten, .bytesWritten(amount))
        }
        flags.remove(.inBytesWritten)
        if begun == epoch { completeWaits() }
    }

    // MARK: Destinations

    /// Throws what it has told.
    private func target(_ address: String?, _ port: Int?) throws(SocketError) -> Target {
        guard !isDestroyed else { throw SocketError(.invalidHandle, "The socket was destroyed") }
        guard isLive || state == .unconnected else {
            try refuse(.operation, "The socket is \(state.name): no datagram can be sent")
        }
        guard let address else {
            if state == .connected { return .peer }
            let error = SocketError(.network, "The datagram has no destination: give an address and a port, or connect first", systemError: EDESTADDRREQ)
            report(error)
            throw error
        }
        if let known = knownTarget(address, port) { return known }
        guard let portNumber = UInt16(exactly: port ?? 0), portNumber > 0 else {
            try refuse(.portNumberOutOfRange, "The port must be a number from 1 to 65535, not \(port ?? 0)")
        }
        guard !address.isEmpty else { try refuse(.invalidArgument, "The datagram's address is empty") }
        guard let host = HostAddress(literal: address) else {
            try bindToSend("any", for: address)
            guard let association, association.proxy.hostNameLookup else { return .name(address, port: portNumber) }
            if let objection = ProxyEndpoint.objection(to: address) { try refuse(objection.code, objection.message) }
            let place = Destination(relayed: ProxyEndpoint(host: .name(address), port: portNumber))
            makeExtras().destination = (address, Int(portNumber), place)
            return .address(place)
        }
        guard !host.isAny else { try refuse(.invalidArgument, "\(host) is no address that anything can be sent to") }
        try bindToSend(host.unmapped.isIPv4 ? "AnyIPv4" : "any", for: address)
        guard let destination = destination(host, port: portNumber) else {
            try refuse(.unsupportedSocketOperation, "The socket is bound to \(localAddress), from where \(host) cannot be reached")
        }
        makeExtras().destination = (address, Int(portNumber), destination)
        return .address(destination)
    }

    /// Where many datagrams go that can leave together: nothing has to be done or told first.
    private func directTarget(_ address: String?, _ port: Int?) -> Target? {
        guard isLive, association == nil else { return nil }
        guard let address else { return state == .connected ? .peer : nil }
        if let known = knownTarget(address, port) { return known }
        guard let portNumber = UInt16(exactly: port ?? 0), portNumber > 0, let host = HostAddress(literal: address), !host.isAny,
            let destination = destination(host, port: portNumber)
        else { return nil }
        makeExtras().destination = (address, Int(portNumber), destination)
        return .address(destination)
    }

    /// The last destination again. It is forgotten with the descriptor.
    @inline(__always)
    private func knownTarget(_ address: String, _ port: Int?) -> Target? {
        guard state != .unconnected, let last = extras?.destination, last.port == port, last.text == address else { return nil }
        return .address(last.place)
    }

    /// As this socket has to name it; nil when it cannot be reached.
    func destination(_ host: HostAddress, port: UInt16) -> Destination? {
        if association != nil { return Destination(relayed: ProxyEndpoint(host: .address(host), port: port)) }
        return reachable(host).map { Destination($0, port: port) }
    }

    /// An unbound socket is bound to what suits its first destination, to both families if that is a name.
    private func bindToSend(_ address: String, for destination: String) throws(SocketError) {
        guard state == .unconnected else { return }
        if let proxy = try proxyForDatagrams(with: destination) {
            try bind(by: proxy, port: 0)
        } else {
            try bind(address, port: 0, mode: [], type: System.datagram)
        }
        guard state == .bound else { throw SocketError(.operation, "The socket was closed before the datagram was sent") }
    }

    /// Nil is the peer.
    private func isIPv6(_ destination: Destination?) -> Bool {
        if let destination { return destination.isIPv6 }
        guard let peer = System.peerAddress(rawDescriptor)?.hostAddress else { return datagramFlags.contains(.ipv6) }
        return peer.isIPv6 && !peer.isIPv4Mapped
    }

    // MARK: Many datagrams

    /// Sends datagrams in their order and in as few system calls as possible, and returns how many were sent or queued. It ends
    /// where no more can be queued, or at the first that cannot be sent: that error is told by errorOccurred, and thrown if it
    /// is about the first of all.
    @discardableResult
    public func writeDatagrams(_ datagrams: [OutgoingDatagram]) throws(SocketError) -> Int { try writeAll(datagrams) }

    @discardableResult
    public func writeDatagrams(_ datagrams: [BorrowedDatagram]) throws(SocketError) -> Int { try writeAll(datagrams) }

    /// The same of datagrams that all go to one place (no address: the peer). Their bytes stay valid during the call.
    @discardableResult
    public func writeDatagrams(_ row: [UnsafeRawBufferPointer], address: String? = nil, port: Int? = nil) throws(SocketError) -> Int {
        try writeAll(row.count, size: { row[$0].count }) { first in
            directTarget(address, port).flatMap { sendRow(row, from: first, to: $0) }
        } alone: { index throws(SocketError) in
            try writeDatagram(row[index], address: address, port: port)
        }
    }

    private func writeAll<Item: AddressedDatagram>(_ datagrams: [Item]) throws(SocketError) -> Int {
        try writeAll(datagrams.count, size: { datagrams[$0].withBytes { $0.count } }) { first in
            directTarget(datagrams[first].address, datagrams[first].port).map { target in
                sendTogether(datagrams, from: first, to: target) { directTarget($0.address, $0.port) }
            }
        } alone: { index throws(SocketError) in
            try writeAlone(datagrams[index])
        }
    }

    /// `together` sends as many as go in one call, from the one given on; nil: something has to be done or told first.
    private func writeAll(
        _ count: Int, size: (Int) -> Int, together: (Int) -> DatagramSender.Outcome?, alone: (Int) throws(SocketError) -> Void
    ) throws(SocketError) -> Int {
        var done = 0
        while done < count {
            // A handler closed the socket.
            if done > 0, state == .unconnected { break }
            if !flags.contains(.writeBlocked), let outcome = together(done) {
                done += outcome.datagrams
                tell(outcome)
                if outcome.datagrams > 0 || noteSegments(outcome) { continue }
            }
            // What is left is about this one alone: to be bound for, looked up, queued or refused.
            do throws(SocketError) {
                if done > 0, flags.contains(.writeBlocked), !hasRoom(for: size(done)) { break }
                try alone(done)
                done += 1
            } catch {
                if done == 0 { throw error }
                break
            }
        }
        return done
    }

    private func sendRow(_ row: [UnsafeRawBufferPointer], from first: Int, to target: Target) -> DatagramSender.Outcome? {
        let destination: Destination?
        switch target {
        case .peer: destination = nil
        case .address(let address): destination = address
        case .name: return nil
        }
        let sender = loop.buffers.datagrams.sender
        sender.begin()
        sender.add(row: row[first...], to: destination, largestSegment: Int(largestSegment))
        return sender.send(rawDescriptor, isConnected: state == .connected)
    }

    private func writeAlone(_ datagram: some AddressedDatagram) throws(SocketError) {
        var failure: SocketError?
        datagram.withBytes { bytes in
            do throws(SocketError) {
                try writeDatagram(bytes, address: datagram.address, port: datagram.port, options: datagram.options)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Sends as many as fit into one call. `target`: nil ends the row.
    func sendTogether<Item: OutgoingBytes>(
        _ datagrams: [Item], from start: Int, to target: Target, _ targetOf: (Item) -> Target?
    ) -> DatagramSender.Outcome {
        let sender = loop.buffers.datagrams.sender
        sender.begin()
        return datagrams.withUnsafeBufferPointer { gather($0, start, target, targetOf, sender) }
    }

    /// Each call holds on to the bytes of one datagram until all of them are sent: so they need not be copied.
    private func gather<Item: OutgoingBytes>(
        _ datagrams: UnsafeBufferPointer<Item>, _ index: Int, _ target: Target, _ targetOf: (Item) -> Target?, _ sender: DatagramSender
    ) -> DatagramSender.Outcome {
        datagrams[index].withBytes { bytes in
            guard add(bytes, target, datagrams[index].options, sender), index + 1 < datagrams.count,
                let next = targetOf(datagrams[index + 1])
            else { return sender.send(rawDescriptor, isConnected: state == .connected) }
            return gather(datagrams, index + 1, next, targetOf, sender)
        }
    }

    private func add(_ bytes: UnsafeRawBufferPointer, _ target: Target, _ options: DatagramOptions?, _ sender: DatagramSender) -> Bool {
        let destination: Destination?
        switch target {
        case .peer: destination = nil
        case .address(let address): destination = address
        case .name: return false
        }
        let ipv6 = options != nil && isIPv6(destination)
        if let options, options.objection(ipv6: ipv6) != nil { return false }
        return sender.add(bytes, to: destination, ipv6: ipv6, options: options, largestSegment: Int(largestSegment))
    }

    func tell(_ outcome: DatagramSender.Outcome) {
        let begun = epoch
        if outcome.datagrams > 0 { sent(outcome.bytes) }
        if outcome.earlierFailure != 0, begun == epoch { reportEarlierFailure(outcome.earlierFailure) }
    }

    /// The way to the destination may be too narrow for joined datagrams of this size, or the network card may not be able to take
    /// them apart: from then on they leave one by one. False when that is not what failed.
    func noteSegments(_ outcome: DatagramSender.Outcome) -> Bool {
        guard outcome.failedSegment > 0 else { return false }
        switch outcome.failure {
        case EINVAL, EMSGSIZE: largestSegment = UInt16(clamping: outcome.failedSegment - 1)
        case EIO, EOPNOTSUPP: largestSegment = 0
        default: return false
        }
        return true
    }
}

/// Bytes that can be sent as a datagram; they stay where they are while `body` runs.
protocol OutgoingBytes {
    var options: DatagramOptions? { get }
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result
}

protocol AddressedDatagram: OutgoingBytes {
    var address: String? { get }
    var port: Int? { get }
}

extension OutgoingDatagram: AddressedDatagram {
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result { data.withUnsafeBytes(body) }
}

extension BorrowedDatagram: AddressedDatagram {
    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result { body(bytes) }
}

extension DatagramOptions {
    /// What is wrong with them for a datagram of this family.
    func objection(ipv6: Bool) -> String? {
        if let hopLimit, !(1...255).contains(hopLimit) { return "hopLimit must be 1 to 255, not \(hopLimit)" }
        if let interfaceIndex, interfaceIndex < 0 || interfaceIndex > Int(Int32.max) {
            return "There is no interface of number \(interfaceIndex)"
        }
        if let source, source.unmapped.isIPv4 == ipv6 { return "\(source) cannot be the source: the datagram is IPv\(ipv6 ? 6 : 4)" }
        return nil
    }
}
