import Glibc

/// The options of a native socket. Switches take 0 for off and anything else for on, and read as 0 or 1.
public enum SocketOption: Int32, CaseIterable, Sendable {
    case lowDelay = 0, keepAlive, multicastTtl, multicastLoopback, typeOfService, sendBufferSize, receiveBufferSize
    /// The largest packet that goes through to the peer, as far as it is known: of a connected socket. Setting it on IPv6 (1280 at
    /// least, 0 for none) limits the size of the packets that are sent.
    case pathMtu
    /// Seconds without traffic before the first probe, seconds between probes, and how many may stay unanswered.
    case keepAliveIdle, keepAliveInterval, keepAliveCount
    /// Milliseconds that sent data may stay unacknowledged; 0 leaves it to the system.
    case userTimeout
    case broadcast
    /// Acknowledge at once. The system takes it back by itself when it sees fit.
    case quickAck

    /// "LowDelay", "KeepAlive", …
    public var name: String {
        switch self {
        case .lowDelay: "LowDelay"
        case .keepAlive: "KeepAlive"
        case .multicastTtl: "MulticastTtl"
        case .multicastLoopback: "MulticastLoopback"
        case .typeOfService: "TypeOfService"
        case .sendBufferSize: "SendBufferSize"
        case .receiveBufferSize: "ReceiveBufferSize"
        case .pathMtu: "PathMtu"
        case .keepAliveIdle: "KeepAliveIdle"
        case .keepAliveInterval: "KeepAliveInterval"
        case .keepAliveCount: "KeepAliveCount"
        case .userTimeout: "UserTimeout"
        case .broadcast: "Broadcast"
        case .quickAck: "QuickAck"
        }
    }

    /// Also with "Option" or "SocketOption" at the end.
    public init?(name: String) {
        let short = name.droppingSuffix("SocketOption").droppingSuffix("Option")
        guard let option = SocketOption.allCases.first(where: { $0.name == short }) else { return nil }
        self = option
    }

    var isSwitch: Bool {
        switch self {
        case .lowDelay, .keepAlive, .multicastLoopback, .broadcast, .quickAck: true
        default: false
        }
    }

    /// The values that can be set; nil for switches, which take any.
    var range: ClosedRange<Int>? {
        switch self {
        case .lowDelay, .keepAlive, .multicastLoopback, .broadcast, .quickAck: nil
        case .multicastTtl, .typeOfService: 0...255
        case .sendBufferSize, .receiveBufferSize, .userTimeout, .pathMtu: 0...Int(Int32.max)
        case .keepAliveIdle, .keepAliveInterval: 1...32767
        case .keepAliveCount: 1...127
        }
    }

    /// Whether sockets of this kind have the option at all. An unknown kind has none.
    func isSupported(by type: SocketType) -> Bool {
        switch self {
        case .sendBufferSize, .receiveBufferSize:
            return type != .unknown
        case .lowDelay, .keepAliveIdle, .keepAliveInterval, .keepAliveCount, .userTimeout, .quickAck:
            return type == .tcp || type == .tls
        case .broadcast:
            return type == .udp
        case .keepAlive, .multicastTtl, .multicastLoopback, .typeOfService, .pathMtu:
            return type == .tcp || type == .tls || type == .udp
        }
    }

    func checkSupported(by type: SocketType) throws(SocketError) {
        guard isSupported(by: type) else { throw unsupported(by: type) }
    }

    /// Checks what can be checked before there is a descriptor: the value, and whether the kind has the option.
    func check(_ value: Int, for type: SocketType) throws(SocketError) {
        // TCP has a multicast TTL to read, and refuses to set it.
        let isReadOnly = self == .multicastTtl && type != .udp
        guard !isReadOnly else { throw unsupported(by: type) }
        try checkSupported(by: type)
        if let range, !range.contains(value) {
            throw SocketError(.invalidArgument, "\(name) takes \(range.lowerBound) to \(range.upperBound), not \(value)")
        }
        if self == .pathMtu, 1..<Self.leastPathMtu ~= value {
            throw SocketError(.invalidArgument, "\(name) takes \(Self.leastPathMtu) or more, or 0 for none, not \(value)")
        }
    }

    /// What every IPv6 network lets through (RFC 8200).
    private static let leastPathMtu = 1280

    fileprivate func unsupported(by type: SocketType, systemError: Int32 = 0) -> SocketError {
        let what =
            self == .pathMtu
            ? "\(name) can be read of a connected \(SocketType.tcp.name) or \(SocketType.udp.name) socket, and set on IPv6"
            : "\(name) is not an option of \(type.name) sockets"
        return SocketError(.unsupportedSocketOperation, what, systemError: systemError)
    }

    /// Where the system keeps the option; two places of a socket that speaks both families.
    fileprivate func places(family: Int32, dualStack: Bool) -> [(level: Int32, name: Int32)] {
        let ip = Int32(IPPROTO_IP)
        let ipv6 = Int32(IPPROTO_IPV6)
        let tcp = Int32(IPPROTO_TCP)
        func byFamily(_ four: Int32, _ six: Int32) -> [(level: Int32, name: Int32)] {
            guard family == AF_INET6 else { return [(ip, four)] }
            return dualStack ? [(ipv6, six), (ip, four)] : [(ipv6, six)]
        }
        switch self {
        case .lowDelay: return [(tcp, Int32(TCP_NODELAY))]
        case .keepAlive: return [(SOL_SOCKET, SO_KEEPALIVE)]
        case .multicastTtl: return byFamily(Int32(IP_MULTICAST_TTL), IPV6_MULTICAST_HOPS)
        case .multicastLoopback: return byFamily(Int32(IP_MULTICAST_LOOP), IPV6_MULTICAST_LOOP)
        case .typeOfService: return byFamily(Int32(IP_TOS), IPV6_TCLASS)
        case .sendBufferSize: return [(SOL_SOCKET, SO_SNDBUF)]
        case .receiveBufferSize: return [(SOL_SOCKET, SO_RCVBUF)]
        case .pathMtu: return byFamily(IP_MTU, IPV6_MTU)
        case .keepAliveIdle: return [(tcp, Int32(TCP_KEEPIDLE))]
        case .keepAliveInterval: return [(tcp, Int32(TCP_KEEPINTVL))]
        case .keepAliveCount: return [(tcp, Int32(TCP_KEEPCNT))]
        case .userTimeout: return [(tcp, Int32(TCP_USER_TIMEOUT))]
        case .broadcast: return [(SOL_SOCKET, SO_BROADCAST)]
        case .quickAck: return [(tcp, Int32(TCP_QUICKACK))]
        }
    }
}

extension System {
    /// `family` of the socket (AF_INET, …). Refuses what does not fit instead of cutting it. The system may round buffer sizes.
    static func setSocketOption(_ descriptor: Int32, _ option: SocketOption, _ value: Int, family: Int32, socketType: SocketType) throws(SocketError) {
        try option.check(value, for: socketType)
        if option == .pathMtu, family != AF_INET6 { throw option.unsupported(by: socketType) }
        let number = option.isSwitch ? (value == 0 ? 0 : 1) : Int32(clamping: value)
        let places = option.places(family: family, dualStack: family == AF_INET6 && isDualStack(descriptor))
        for (index, place) in places.enumerated() {
            let result = setOption(descriptor, place.level, place.name, number)
            // The second place concerns the IPv4 side of an IPv6 socket, which a connection of pure IPv6 does without.
            guard result < 0, index == 0 else { continue }
            throw failure(of: option, result, socketType)
        }
    }

    static func getSocketOption(_ descriptor: Int32, _ option: SocketOption, family: Int32, socketType: SocketType) throws(SocketError) -> Int {
        guard option.isSupported(by: socketType) else { throw option.unsupported(by: socketType) }
        // What a mapped connection sends is IPv4, and the IPv6 side does not know its limits.
        guard let place = option.places(family: family, dualStack: false).first else { throw option.unsupported(by: socketType) }
        let (result, value) = getOption(descriptor, place.level, place.name)
        guard result == 0 else { throw failure(of: option, result, socketType) }
        if option.isSwitch { return value == 0 ? 0 : 1 }
        return Int(value)
    }

    static func isDualStack(_ descriptor: Int32) -> Bool {
        let (result, value) = getOption(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY)
        return result == 0 && value == 0
    }

    private static func failure(of option: SocketOption, _ result: Int, _ type: SocketType) -> SocketError {
        let number = Int32(truncatingIfNeeded: -result)
        switch number {
        // The value was checked before, so that EINVAL too means the kind of socket.
        case EINVAL, ENOPROTOOPT, EOPNOTSUPP, EPROTONOSUPPORT, ENOTCONN, ENOTSOCK, EBADF:
            return option.unsupported(by: type, systemError: number)
        default:
            return SocketError.from(errno: number, doing: .setOption, peer: option.name)
        }
    }
}
