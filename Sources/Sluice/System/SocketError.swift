import Glibc

/// Why something failed: the same codes and texts for all kinds of sockets and calls. The text names the peer where there is one.
public struct SocketError: Error {
    /// Numbers and names are part of the contract and never change.
    public enum Code: Int32, CaseIterable, Sendable {
        case noError = 0, emptyHostName = 1, portNumberOutOfRange = 2, datagramWrite = 3
        case unknown = 9, connectionRefused = 10, remoteHostClosed = 11, hostNotFound = 12, socketAccess = 13, socketResource = 14
        case socketTimeout = 15, datagramTooLarge = 16, network = 17, addressInUse = 18, socketAddressNotAvailable = 19
        case unsupportedSocketOperation = 20, unfinishedSocketOperation = 21, proxyAuthenticationRequired = 22, sslHandshakeFailed = 23
        case proxyConnectionRefused = 24, proxyConnectionClosed = 25, proxyConnectionTimeout = 26, proxyNotFound = 27, proxyProtocol = 28
        case operation = 29, sslInternal = 30, sslInvalidUserData = 31, temporary = 32
        // A mistake of the caller, from here on.
        case invalidHandle = 100, wrongKind = 101, wrongThread = 102, invalidArgument = 103, invalidState = 104, limitReached = 105
        case cancelled = 106, notPermitted = 107, outOfMemory = 108

        /// "NoError", "ConnectionRefusedError", "InvalidHandleError", …
        public var name: String {
            switch self {
            case .noError: "NoError"
            case .emptyHostName: "EmptyHostNameError"
            case .portNumberOutOfRange: "PortNumberOutOfRangeError"
            case .datagramWrite: "DatagramWriteError"
            case .unknown: "UnknownError"
            case .connectionRefused: "ConnectionRefusedError"
            case .remoteHostClosed: "RemoteHostClosedError"
            case .hostNotFound: "HostNotFoundError"
            case .socketAccess: "SocketAccessError"
            case .socketResource: "SocketResourceError"
            case .socketTimeout: "SocketTimeoutError"
            case .datagramTooLarge: "DatagramTooLargeError"
            case .network: "NetworkError"
            case .addressInUse: "AddressInUseError"
            case .socketAddressNotAvailable: "SocketAddressNotAvailableError"
            case .unsupportedSocketOperation: "UnsupportedSocketOperationError"
            case .unfinishedSocketOperation: "UnfinishedSocketOperationError"
            case .proxyAuthenticationRequired: "ProxyAuthenticationRequiredError"
            case .sslHandshakeFailed: "SslHandshakeFailedError"
            case .proxyConnectionRefused: "ProxyConnectionRefusedError"
            case .proxyConnectionClosed: "ProxyConnectionClosedError"
            case .proxyConnectionTimeout: "ProxyConnectionTimeoutError"
            case .proxyNotFound: "ProxyNotFoundError"
            case .proxyProtocol: "ProxyProtocolError"
            case .operation: "OperationError"
            case .sslInternal: "SslInternalError"
            case .sslInvalidUserData: "SslInvalidUserDataError"
            case .temporary: "TemporaryError"
            case .invalidHandle: "InvalidHandleError"
            case .wrongKind: "WrongKindError"
            case .wrongThread: "WrongThreadError"
            case .invalidArgument: "InvalidArgumentError"
            case .invalidState: "InvalidStateError"
            case .limitReached: "LimitReachedError"
            case .cancelled: "CancelledError"
            case .notPermitted: "NotPermittedError"
            case .outOfMemory: "OutOfMemoryError"
            }
        }

        /// The names above, "UnknownSocketError", and what local sockets call three of them: "PeerClosedError",
        /// "ServerNotFoundError", "ConnectionError"; all with or without "Error" at the end.
        public init?(name: String) {
            let long = name == Code.noError.name || name.hasSuffix("Error") ? name : name + "Error"
            switch long {
            case "PeerClosedError": self = .remoteHostClosed
            case "ServerNotFoundError": self = .hostNotFound
            case "ConnectionError": self = .network
            case "UnknownSocketError": self = .unknown
            default:
                guard let code = Code.allCases.first(where: { $0.name == long }) else { return nil }
                self = code
            }
        }

        /// A mistake of the caller rather than something that happened to a socket.
        public var isMisuse: Bool { rawValue >= Code.invalidHandle.rawValue }
    }

    public var code: Code
    /// A sentence that a person understands.
    public var message: String
    /// The errno behind it, or 0.
    public var systemError: Int32
    /// Of a failed connection: every address that was tried, and how it went.
    public var attempts: [ConnectionAttempt]

    public init(_ code: Code, _ message: String, systemError: Int32 = 0, attempts: [ConnectionAttempt] = []) {
        self.code = code
        self.message = message
        self.systemError = systemError
        self.attempts = attempts
    }
}

/// One step on the way to a connection.
public struct ConnectionAttempt: Sendable {
    public enum Phase: Int32, CaseIterable, Sendable {
        case lookup = 1, connect = 2, proxy = 3, tls = 4

        /// "lookup", "connect", "proxy", "tls".
        public var name: String {
            switch self {
            case .lookup: "lookup"
            case .connect: "connect"
            case .proxy: "proxy"
            case .tls: "tls"
            }
        }
    }

    public var address: String
    public var phase: Phase
    public var milliseconds: Int
    /// 0 when it succeeded or when no system call was to blame.
    public var systemError: Int32

    public init(address: String, phase: Phase, milliseconds: Int, systemError: Int32) {
        self.address = address
        self.phase = phase
        self.milliseconds = milliseconds
        self.systemError = systemError
    }
}

extension String {
    /// For messages: what somebody gave us, cut where it is longer than any real name or address, and without what would begin another
    /// line of a log.
    var abbreviated: String {
        let short = utf8.count <= 255 ? self : prefix(60) + "…"
        guard short.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else { return short }
        return String(short.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7f ? "?" : Character($0) })
    }
}

// MARK: - From the system's errors

extension SocketError {
    /// What was being done when a system call failed; one errno can mean different things.
    enum Action {
        case create, connect, connectLocal, bind, listen, accept, read, write, setOption
    }

    /// `peer` as people write it (`127.0.0.1:80`, a path); for bind and listen the address asked for.
    static func from(errno number: Int32, doing action: Action, peer: String?) -> SocketError {
        let (code, text) = meaning(of: number, doing: action)
        let place = peer.map { $0.isEmpty ? "" : " (\($0))" } ?? ""
        return SocketError(code, text + place, systemError: number)
    }

    /// Of a call that makes a descriptor.
    static func from(_ error: SystemError) -> SocketError {
        from(errno: error.number, doing: .create, peer: nil)
    }

    private static func meaning(of number: Int32, doing action: Action) -> (Code, String) {
        switch number {
        case ECONNREFUSED:
            return (.connectionRefused, "Connection refused")
        case ECONNRESET:
            return (.remoteHostClosed, "The connection was reset by the remote host")
        case EPIPE, ECONNABORTED,
             ENOTCONN where action == .write:
            return (.remoteHostClosed, "The remote host closed the connection")
        case ETIMEDOUT:
            return (.socketTimeout, action == .connect ? "Connection timed out" : "The remote host does not answer any more")
        case ENETUNREACH:
            return (.network, "The network is unreachable")
        case EHOSTUNREACH, EHOSTDOWN:
            return (.network, "The host is unreachable")
        case ENETDOWN:
            return (.network, "The network is down")
        // A route that swallows everything, or an address that is good for one interface alone and names none.
        case EINVAL where action == .connect || action == .write:
            return (.network, "There is no way to this address")
        case EACCES, EPERM, EROFS:
            return (.socketAccess, action == .bind || action == .listen ? "The address is protected" : "Permission denied")
        case EMFILE:
            return (.socketResource, "The process has too many open files")
        case ENFILE:
            return (.socketResource, "The system has too many open files")
        case ENOBUFS, ENOMEM:
            return (.socketResource, "The system is out of memory for sockets")
        case ENOSPC, EDQUOT:
            return (.socketResource, SystemError.text(number))
        case EADDRINUSE:
            return (.addressInUse, "The address is already in use")
        case EAGAIN where action == .connect:
            return (.socketResource, "No local port is free")
        case EAGAIN where action == .connectLocal:
            return (.temporary, "The server has too many waiting connections")
        case EADDRNOTAVAIL:
            return (.socketAddressNotAvailable, action == .connect ? "No local address or port is free for this" : "The address is not available")
        case ENOENT, ENOTDIR, ELOOP:
            if action == .connectLocal { return (.hostNotFound, "There is no such local server") }
            if action == .bind || action == .listen { return (.hostNotFound, "The folder of the name does not exist") }
            return (.unknown, SystemError.text(number))
        case ENAMETOOLONG:
            return (.hostNotFound, "The name is too long")
        case EPROTOTYPE where action == .connectLocal:
            return (.unsupportedSocketOperation, "The local server is of another kind")
        case EAFNOSUPPORT, EPROTONOSUPPORT, EOPNOTSUPP, EPROTOTYPE, ENOPROTOOPT, ESOCKTNOSUPPORT, EPFNOSUPPORT, ENOTSOCK, EBADF:
            return (.unsupportedSocketOperation, SystemError.text(number))
        case EMSGSIZE:
            return (.datagramTooLarge, "The datagram is too large to send")
        default:
            return (.network, SystemError.text(number))
        }
    }
}
