/// What an object tells about, with the numbers and names that every face of the library uses.
public enum EventType: Int32, CaseIterable, Sendable {
    case hostFound = 1
    case connected = 2
    case disconnected = 3
    case stateChanged = 4
    case errorOccurred = 5
    case readyRead = 6
    case lineAvailable = 7
    case bytesWritten = 8
    case aboutToClose = 9
    case readChannelFinished = 10
    case proxyAuthenticationRequired = 11
    case propertyChanged = 12
    case completed = 13
    case newConnection = 14
    case pendingConnectionAvailable = 15
    case incomingConnection = 16
    case acceptError = 17
    case encrypted = 18
    case sslErrors = 19
    case finished = 20
    case data = 21
    case line = 22

    public var name: String { "\(self)" }

    public init?(name: String) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}

/// A set of event types: which events an object sends.
public struct EventMask: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }
    public init(_ type: EventType) { rawValue = 1 << UInt32(type.rawValue) }

    public static let none: EventMask = []
    static let propertyBit: UInt32 = 1 << 12
    /// Every event that there is.
    public static let all = EventMask(rawValue: EventType.allCases.reduce(0) { $0 | EventMask($1).rawValue })
    /// What an object sends until told otherwise: all but `bytesWritten` and `propertyChanged`.
    public static let standard = EventMask(
        rawValue: all.rawValue & ~(EventMask(.bytesWritten).rawValue | EventMask(.propertyChanged).rawValue))
}

/// One event. It is delivered synchronously, at the moment it happens: the sender's state then is what its getters say.
public enum Event {
    case hostFound
    case connected
    case disconnected
    case stateChanged(SocketState)
    /// Boxed: errors are rare, and an unboxed one would make every event large.
    indirect case errorOccurred(SocketError)
    case readyRead(bytesAvailable: Int)
    case lineAvailable
    /// How many bytes went to the system since the last such event.
    case bytesWritten(Int)
    case aboutToClose
    case readChannelFinished
    /// A proxy wants credentials, or others than it got; `Socket.authenticateProxy` gives them. The proxy comes without its password.
    indirect case proxyAuthenticationRequired(proxy: Proxy, realm: String)
    case newConnection(pending: Int)
    case pendingConnectionAvailable
    /// A raw descriptor, which is the receiver's; see `Server.sendIncomingConnections`.
    case incomingConnection(descriptor: Int32)
    indirect case acceptError(SocketError)
    case encrypted
    /// What is wrong with the peer's certificates.
    indirect case sslErrors([TLSError])
    indirect case propertyChanged(name: String, value: PropertyValue)
    /// All properties that came with the object's creation, or from a text, are set.
    case completed
    /// Of a lookup, or of what moves bytes between two sockets: it is done, or failed.
    indirect case finished(SocketError?)

    public var type: EventType {
        switch self {
        case .hostFound: .hostFound
        case .connected: .connected
        case .disconnected: .disconnected
        case .stateChanged: .stateChanged
        case .errorOccurred: .errorOccurred
        case .readyRead: .readyRead
        case .lineAvailable: .lineAvailable
        case .bytesWritten: .bytesWritten
        case .aboutToClose: .aboutToClose
        case .readChannelFinished: .readChannelFinished
        case .proxyAuthenticationRequired: .proxyAuthenticationRequired
        case .newConnection: .newConnection
        case .pendingConnectionAvailable: .pendingConnectionAvailable
        case .incomingConnection: .incomingConnection
        case .acceptError: .acceptError
        case .encrypted: .encrypted
        case .sslErrors: .sslErrors
        case .propertyChanged: .propertyChanged
        case .completed: .completed
        case .finished: .finished
        }
    }
}
