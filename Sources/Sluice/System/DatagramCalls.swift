import CLinux
import Glibc

extension System {
    /// One datagram, without waiting: its size, or minus errno. No destination: to the connected peer. Never raises SIGPIPE.
    static func sendDatagram(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, to destination: Destination?) -> Int {
        let flags = Int32(truncatingIfNeeded: MSG_DONTWAIT | MSG_NOSIGNAL)
        while true {
            let result =
                if let destination {
                    destination.address.withSockAddr { sendto(descriptor, bytes.baseAddress, bytes.count, flags, $0, $1) }
                } else {
                    Glibc.send(descriptor, bytes.baseAddress, bytes.count, flags)
                }
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// Has the system tell what it knows of each datagram, and hand over several in one piece where it can.
    static func prepareForDatagrams(_ descriptor: Int32, family: Int32, dualStack: Bool) {
        System.setOption(descriptor, SOL_SOCKET, SO_BROADCAST, 1)
        clinux_request_details(descriptor, family == AF_INET6, dualStack)
        setCoalescing(descriptor, true)
    }

    /// Systems without it hand over one datagram at a time, which is all the same to the reader.
    static func setCoalescing(_ descriptor: Int32, _ on: Bool) {
        _ = clinux_set_coalescing(descriptor, on)
    }

    // MARK: Groups

    /// `interface` 0: the one that the route to the group leads through. 0, or minus errno.
    static func changeMembership(_ descriptor: Int32, of group: HostAddress, interface: UInt32, join: Bool) -> Int {
        var request = group_req()
        request.gr_interface = interface
        SocketAddress(group, port: 0).withSockAddr { address, size in
            withUnsafeMutableBytes(of: &request.gr_group) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(size)))
            }
        }
        return outcome(
            setsockopt(
                descriptor, Int32(group.isIPv4 ? IPPROTO_IP : IPPROTO_IPV6), join ? MCAST_JOIN_GROUP : MCAST_LEAVE_GROUP,
                &request, socklen_t(MemoryLayout<group_req>.size)))
    }

    /// Where datagrams to groups leave; 0 leaves it to the system. 0, or minus errno.
    static func setMulticastInterface(_ descriptor: Int32, _ interface: UInt32, ipv6: Bool) -> Int {
        if ipv6 { return setOption(descriptor, Int32(IPPROTO_IPV6), IPV6_MULTICAST_IF, Int32(bitPattern: interface)) }
        var request = ip_mreqn()
        request.imr_ifindex = Int32(bitPattern: interface)
        // Without it the datagrams would come from an address of another interface.
        if let address = interfaceAddress(interface) { request.imr_address = address }
        return outcome(
            setsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &request, socklen_t(MemoryLayout<ip_mreqn>.size)))
    }

    /// The number of an interface that is given by name or number; nil when there is none.
    static func interfaceIndex(_ name: String) -> UInt32? {
        if let number = UInt32(name), number > 0 { return interfaceName(number) == nil ? nil : number }
        guard !name.utf8.contains(0) else { return nil }
        let number = if_nametoindex(name)
        return number == 0 ? nil : number
    }

    /// The first IPv4 address of an interface.
    private static func interfaceAddress(_ number: UInt32) -> in_addr? {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard number > 0, let name = interfaceName(number), getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        for entry in sequence(first: list, next: { $0?.pointee.ifa_next }) {
            guard let entry = entry?.pointee, let address = entry.ifa_addr, Int32(address.pointee.sa_family) == AF_INET,
                String(cString: entry.ifa_name) == name
            else { continue }
            return UnsafeRawPointer(address).loadUnaligned(as: sockaddr_in.self).sin_addr
        }
        return nil
    }

    static func interfaceName(_ number: UInt32) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IF_NAMESIZE)) { buffer in
            guard let start = buffer.baseAddress, let name = if_indextoname(number, start) else { return nil }
            return String(cString: name)
        }
    }
}

extension HostAddress {
    /// Nil when it is not known.
    init?(_ endpoint: clinux_endpoint) {
        switch Int32(endpoint.family) {
        case AF_INET: self.init(ipv4: UInt32(truncatingIfNeeded: endpoint.low))
        case AF_INET6: self.init(ipv6High: endpoint.high, low: endpoint.low, scope: endpoint.scope)
        default: return nil
        }
    }

    var endpoint: clinux_endpoint {
        var endpoint = clinux_endpoint()
        switch storage {
        case .anyDualStack:
            endpoint.family = UInt16(AF_INET6)
        case .ipv4(let number):
            endpoint.family = UInt16(AF_INET)
            endpoint.low = UInt64(number)
        case .ipv6(let high, let low, let scope):
            endpoint.family = UInt16(AF_INET6)
            endpoint.high = high
            endpoint.low = low
            endpoint.scope = scope
        }
        return endpoint
    }
}

/// What the datagram sockets of one loop share: where datagrams land, and where they are gathered for sending.
final class DatagramScratch {
    /// Whose unread datagrams are in it.
    unowned(unsafe) var owner: UDPSocket?
    private var receiver: OpaquePointer?
    private(set) lazy var sender = DatagramSender()

    deinit { if let receiver { clinux_receiver_destroy(receiver) } }

    /// Receives what the system has, over what was received before. Returns how many packets came, or minus errno. `wait`:
    /// sleeps until something comes, as long as the descriptor allows; a signal then ends it with -EINTR.
    func receive(_ descriptor: Int32, limit: Int, wait: Bool) -> Int {
        if receiver == nil { receiver = clinux_receiver_create() }
        guard let receiver else { return -Int(ENOMEM) }
        while true {
            let count = clinux_receive_packets(descriptor, receiver, UInt32(clamping: limit), wait)
            if count >= 0 { return Int(count) }
            let number = errno
            if number != EINTR || wait { return -Int(number) }
        }
    }

    var packets: UnsafeMutablePointer<clinux_packet>? { receiver.flatMap { clinux_receiver_packets($0) } }
}

/// Where datagrams go, as the socket has to name it. An object, so that a row of datagrams that go one way shares it.
final class Destination {
    let address: SocketAddress
    /// What travels is IPv6; mapped addresses are IPv4.
    let isIPv6: Bool
    /// What a relay wants to have in front of each datagram.
    let relayHeader: [UInt8]

    init(_ host: HostAddress, port: UInt16, relayHeader: [UInt8] = []) {
        self.relayHeader = relayHeader
        address = SocketAddress(host, port: port)
        isIPv6 = host.isIPv6 && !host.isIPv4Mapped
    }
}

/// Datagrams on their way to the system, in as few messages as they fit: those in a row that are of one size and go one way
/// make one message, which the system (or the network card) takes apart again.
final class DatagramSender {
    private static let messageLimit = Int(CLINUX_SENDER_MESSAGES)
    private static let pieceLimit = 512
    /// What the system allows to be cut from one message.
    private static let segmentsPerMessage = 64
    private static let bytesPerMessage = 65_000
    /// Room for an IPv4 or IPv6 address each.
    private static let nameStride = MemoryLayout<sockaddr_in6>.stride

    private let messages = UnsafeMutablePointer<clinux_outgoing>.allocate(capacity: messageLimit)
    private let pieces = UnsafeMutablePointer<iovec>.allocate(capacity: pieceLimit)
    private let names = UnsafeMutableRawPointer.allocate(byteCount: messageLimit * nameStride, alignment: 8)
    private var messageCount = 0
    private var pieceCount = 0
    /// Of the last message.
    private var lastSize = 0
    private var lastTotal = 0
    private var lastDestination: Destination?
    private var isLastComplete = false

    deinit {
        messages.deallocate()
        pieces.deallocate()
        names.deallocate()
    }

    func begin() {
        messageCount = 0
        pieceCount = 0
        lastDestination = nil
    }

    /// Adds a datagram; its bytes must stay where they are until it is sent. No destination: the connected peer.
    /// `largestSegment`: up to which size datagrams may be joined. False when there is no room for another.
    func add(
        _ bytes: UnsafeRawBufferPointer, to destination: Destination?, ipv6: Bool, options: DatagramOptions?, largestSegment: Int
    ) -> Bool {
        guard pieceCount < Self.pieceLimit else { return false }
        if options == nil, joins(bytes.count, destination, largestSegment) {
            let message = messages + (messageCount - 1)
            message.pointee.segment = UInt32(truncatingIfNeeded: lastSize)
            message.pointee.count += 1
            lastTotal += bytes.count
            isLastComplete = bytes.count < lastSize
        } else {
            guard messageCount < Self.messageLimit else { return false }
            begin(to: destination, ipv6: ipv6, options: options)
            lastSize = bytes.count
            lastTotal = bytes.count
            lastDestination = destination
            isLastComplete = options != nil || bytes.isEmpty
        }
        pieces[pieceCount] = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
        pieceCount += 1
        return true
    }

    /// Adds datagrams that go one way, as many as there is room for.
    func add(row: ArraySlice<UnsafeRawBufferPointer>, to destination: Destination?, largestSegment: Int) {
        row.withUnsafeBufferPointer { row in
            var index = 0
            while index < row.count, pieceCount < Self.pieceLimit, messageCount < Self.messageLimit {
                begin(to: destination, ipv6: false, options: nil)
                let size = row[index].count
                let limit = size > 0 && size <= largestSegment ? min(Self.segmentsPerMessage, Self.bytesPerMessage / size) : 1
                let end = min(row.count, index + min(limit, Self.pieceLimit - pieceCount))
                let start = index
                repeat {
                    let bytes = row[index]
                    pieces[pieceCount] = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                    pieceCount += 1
                    index += 1
                    // A smaller one is the last of its message.
                    if bytes.count < size { break }
                } while index < end && row[index].count > 0 && row[index].count <= size
                let message = messages + (messageCount - 1)
                message.pointee.count = index - start
                if index - start > 1 { message.pointee.segment = UInt32(truncatingIfNeeded: size) }
            }
        }
    }

    /// Whether a datagram can be part of the last message: all there are of its size, only the last may be smaller.
    private func joins(_ size: Int, _ destination: Destination?, _ largestSegment: Int) -> Bool {
        guard messageCount > 0, !isLastComplete, size > 0, size <= lastSize, lastSize <= largestSegment else { return false }
        let message = messages + (messageCount - 1)
        guard message.pointee.count < Self.segmentsPerMessage, lastTotal + size <= Self.bytesPerMessage else { return false }
        if lastDestination === destination { return true }
        guard let last = lastDestination, let destination else { return false }
        return last.address.isSame(as: destination.address)
    }

    private func begin(to destination: Destination?, ipv6: Bool, options: DatagramOptions?) {
        var message = clinux_outgoing()
        message.pieces = UnsafePointer(pieces + pieceCount)
        message.count = 1
        message.ipv6 = ipv6
        if let destination {
            let place = names + messageCount * Self.nameStride
            destination.address.withSockAddr { address, size in
                place.copyMemory(from: address, byteCount: min(Int(size), Self.nameStride))
                message.address_size = size
            }
            message.address = UnsafePointer(place.assumingMemoryBound(to: sockaddr.self))
        }
        if let options {
            message.hop_limit = UInt32(clamping: options.hopLimit ?? 0)
            message.interface_index = UInt32(clamping: options.interfaceIndex ?? 0)
            if let source = options.source { message.source = (ipv6 ? source : source.unmapped).endpoint }
        }
        messages[messageCount] = message
        messageCount += 1
    }

    /// How it went: how many datagrams the system took and the bytes in them, and why it took no more (0: it took all).
    struct Outcome {
        var datagrams = 0
        var bytes = 0
        var failure: Int32 = 0
        /// An error of an earlier datagram that the system told now.
        var earlierFailure: Int32 = 0
        /// The size of the datagrams in the message that failed, if they were joined.
        var failedSegment = 0
    }

    /// Sends what was added. `isConnected`: the system tells errors of earlier datagrams in place of sending, once each.
    func send(_ descriptor: Int32, isConnected: Bool) -> Outcome {
        var outcome = Outcome()
        var next = 0
        var repeated = false
        while next < messageCount {
            let sent = Int(clinux_send_packets(descriptor, messages + next, UInt32(messageCount - next)))
            if sent > 0 {
                for message in next..<next + sent { count(messages[message], in: &outcome) }
                next += sent
                repeated = false
                continue
            }
            let number = errno
            let segment = Int(messages[next].segment)
            if isConnected, !repeated, System.mayBeEarlierFailure(number) {
                outcome.earlierFailure = number
                repeated = true
                continue
            }
            // Failing twice in the same way: it is this one's own.
            if repeated, outcome.earlierFailure == number { outcome.earlierFailure = 0 }
            outcome.failure = number
            outcome.failedSegment = segment
            break
        }
        return outcome
    }

    private func count(_ message: clinux_outgoing, in outcome: inout Outcome) {
        outcome.datagrams += message.count
        guard let pieces = message.pieces else { return }
        for piece in UnsafeBufferPointer(start: pieces, count: message.count) { outcome.bytes += piece.iov_len }
    }
}

extension System {
    /// Errors that ICMP reports, which a connected socket tells in the next call, whatever that is about.
    static func mayBeEarlierFailure(_ number: Int32) -> Bool {
        switch number {
        case EAGAIN, ENOBUFS, ENOMEM, EBADF, EINVAL, EFAULT, ENOTSOCK: false
        default: true
        }
    }
}

extension SocketAddress {
    func isSame(as other: SocketAddress) -> Bool {
        withSockAddr { left, leftSize in
            other.withSockAddr { right, rightSize in leftSize == rightSize && memcmp(left, right, Int(leftSize)) == 0 }
        }
    }
}
