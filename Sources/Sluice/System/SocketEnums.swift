// The small enumerations that every socket and server shares. Their numbers and names are part of the contract: they are the
// same in C, in JSON-RPC and here, and never change.

/// What a handle stands for.
public enum ObjectKind: Int32, CaseIterable, Sendable {
    case loop = 1, tcpSocket = 2, udpSocket = 3, localSocket = 4, tlsSocket = 5, tcpServer = 6, localServer = 7, relay = 8, lookup = 9

    /// "TcpSocket", "LocalServer", …
    public var name: String {
        switch self {
        case .loop: "Loop"
        case .tcpSocket: "TcpSocket"
        case .udpSocket: "UdpSocket"
        case .localSocket: "LocalSocket"
        case .tlsSocket: "TlsSocket"
        case .tcpServer: "TcpServer"
        case .localServer: "LocalServer"
        case .relay: "Relay"
        case .lookup: "Lookup"
        }
    }

    public init?(name: String) {
        guard let kind = ObjectKind.allCases.first(where: { $0.name == name }) else { return nil }
        self = kind
    }
}

public enum SocketState: Int32, CaseIterable, Sendable {
    case unconnected = 0, hostLookup, connecting, connected, bound, listening, closing

    /// "Unconnected", "HostLookup", …
    public var name: String {
        switch self {
        case .unconnected: "Unconnected"
        case .hostLookup: "HostLookup"
        case .connecting: "Connecting"
        case .connected: "Connected"
        case .bound: "Bound"
        case .listening: "Listening"
        case .closing: "Closing"
        }
    }

    /// With or without a final "State".
    public init?(name: String) {
        let short = name.droppingSuffix("State")
        guard let state = SocketState.allCases.first(where: { $0.name == short }) else { return nil }
        self = state
    }
}

public enum NetworkProtocol: Int32, CaseIterable, Sendable {
    case unknown = -1, ipv4 = 0, ipv6 = 1, any = 2

    /// "Unknown", "IPv4", "IPv6", "AnyIP".
    public var name: String {
        switch self {
        case .unknown: "Unknown"
        case .ipv4: "IPv4"
        case .ipv6: "IPv6"
        case .any: "AnyIP"
        }
    }

    /// With or without a final "Protocol"; "any" and "Any" mean AnyIP.
    public init?(name: String) {
        let short = name.droppingSuffix("Protocol")
        if short == "any" || short == "Any" {
            self = .any
            return
        }
        let long = short == "UnknownNetworkLayer" ? "Unknown" : short
        guard let value = NetworkProtocol.allCases.first(where: { $0.name == long }) else { return nil }
        self = value
    }
}

public enum SocketType: Int32, CaseIterable, Sendable {
    case unknown = -1, tcp = 0, udp, local, tls

    /// "Unknown", "Tcp", "Udp", "Local", "Tls".
    public var name: String {
        switch self {
        case .unknown: "Unknown"
        case .tcp: "Tcp"
        case .udp: "Udp"
        case .local: "Local"
        case .tls: "Tls"
        }
    }

    /// With or without a final "Socket".
    public init?(name: String) {
        let short = name.droppingSuffix("Socket")
        guard let type = SocketType.allCases.first(where: { $0.name == short }) else { return nil }
        self = type
    }
}

/// A set of flags that travel by name.
public protocol NamedFlags: OptionSet, Sendable where RawValue == Int32, Element == Self {
    /// Every name with its flags: single flags first, then names of several together.
    static var table: [(name: String, flags: Self)] { get }
    /// What an empty set is called.
    static var emptyName: String { get }
}

extension NamedFlags {
    /// The flags by name, in the order of their numbers; a name of several flags stands for those where it fits exactly.
    public var names: [String] {
        if let exact = Self.table.first(where: { $0.flags == self }) { return [exact.name] }
        return Self.table.filter { $0.flags.rawValue.nonzeroBitCount == 1 && contains($0.flags) }.map(\.name)
    }

    public init?(name: String) {
        if name == Self.emptyName {
            self.init(rawValue: 0)
            return
        }
        guard let entry = Self.table.first(where: { $0.name == name }) else { return nil }
        self = entry.flags
    }

    /// All flags that have a meaning.
    public static var all: Self { table.reduce(into: Self()) { $0.formUnion($1.flags) } }
}

public struct OpenMode: NamedFlags {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let readOnly = OpenMode(rawValue: 1)
    public static let writeOnly = OpenMode(rawValue: 2)
    public static let readWrite: OpenMode = [.readOnly, .writeOnly]
    public static let append = OpenMode(rawValue: 4)
    public static let truncate = OpenMode(rawValue: 8)
    /// Writes go to the system at once; what it does not take is queued all the same.
    public static let unbuffered = OpenMode(rawValue: 32)

    public static var table: [(name: String, flags: OpenMode)] {
        [("ReadOnly", .readOnly), ("WriteOnly", .writeOnly), ("Append", .append), ("Truncate", .truncate), ("Unbuffered", .unbuffered),
         ("ReadWrite", .readWrite)]
    }
    public static var emptyName: String { "NotOpen" }
}

public struct BindMode: NamedFlags {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let shareAddress = BindMode(rawValue: 1)
    public static let dontShareAddress = BindMode(rawValue: 2)
    public static let reuseAddressHint = BindMode(rawValue: 4)
    /// Several sockets share the port and the system spreads what comes over them (SO_REUSEPORT).
    public static let reusePort = BindMode(rawValue: 8)

    public static var table: [(name: String, flags: BindMode)] {
        [("ShareAddress", .shareAddress), ("DontShareAddress", .dontShareAddress), ("ReuseAddressHint", .reuseAddressHint), ("ReusePort", .reusePort)]
    }
    public static var emptyName: String { "DefaultForPlatform" }
}

public struct PauseMode: NamedFlags {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let onSslErrors = PauseMode(rawValue: 1)

    public static var table: [(name: String, flags: PauseMode)] { [("OnSslErrors", .onSslErrors)] }
    public static var emptyName: String { "Never" }
}

/// Who may connect to a local server's file, and whether the name is in the file system at all.
public struct LocalServerAccess: NamedFlags {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let user = LocalServerAccess(rawValue: 1)
    public static let group = LocalServerAccess(rawValue: 2)
    public static let other = LocalServerAccess(rawValue: 4)
    public static let world: LocalServerAccess = [.user, .group, .other]
    public static let abstractNamespace = LocalServerAccess(rawValue: 8)

    public static var table: [(name: String, flags: LocalServerAccess)] {
        [("User", .user), ("Group", .group), ("Other", .other), ("AbstractNamespace", .abstractNamespace), ("World", .world)]
    }
    public static var emptyName: String { "None" }

    /// Also with a final "Access", and "AbstractNamespaceOption".
    public init?(name: String) {
        let short = name.droppingSuffix("Access").droppingSuffix("Option")
        if short == LocalServerAccess.emptyName || short == "No" {
            self = []
            return
        }
        guard let entry = LocalServerAccess.table.first(where: { $0.name == short }) else { return nil }
        self = entry.flags
    }
}

extension String {
    /// Without this ending, if it has it and more before it.
    func droppingSuffix(_ suffix: String) -> String {
        count > suffix.count && hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}
