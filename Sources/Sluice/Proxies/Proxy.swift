/// A server that makes connections for others, or the wish to do without one.
public struct Proxy: Hashable, Sendable {
    public enum Kind: Int32, CaseIterable, Sendable {
        /// What holds for all: a socket with it uses the application's proxy; the application with it uses the system's (`forQuery`).
        case `default` = 0
        /// SOCKS 5 (RFC 1928, RFC 1929).
        case socks5 = 1
        case none = 2
        /// An HTTP proxy that allows CONNECT (RFC 9110).
        case http = 3

        /// "Default", "Socks5", "None", "Http".
        public var name: String {
            switch self {
            case .default: "Default"
            case .socks5: "Socks5"
            case .none: "None"
            case .http: "Http"
            }
        }

        /// The names above, in capitals or not, and with "Proxy" at the end as they are elsewhere ("NoProxy" for None).
        public init?(name: String) {
            switch name.lowercased() {
            case "default", "defaultproxy": self = .default
            case "socks5", "socks5proxy": self = .socks5
            case "none", "no", "noproxy": self = .none
            case "http", "httpproxy": self = .http
            default: return nil
            }
        }
    }

    public var type: Kind
    /// An address or a name. Of a real proxy it must be there, and so must the port.
    public var host: String
    public var port: Int
    /// Empty: none. Credentials are sent when the proxy asks for them, never before.
    public var user: String
    public var password: String
    /// Whether the proxy looks names up, and we do not (which would tell others where we go). False: names are looked up here, and
    /// the proxy gets the first address.
    public var hostNameLookup: Bool

    public init(
        type: Kind, host: String = "", port: Int = 0, user: String = "", password: String = "", hostNameLookup: Bool = true
    ) {
        self.type = type
        self.host = host
        self.port = port
        self.user = user
        self.password = password
        self.hostNameLookup = hostNameLookup
    }

    public static let `default` = Proxy(type: .default)
    public static let none = Proxy(type: .none)

    public static func socks5(_ host: String, port: Int, user: String = "", password: String = "") -> Proxy {
        Proxy(type: .socks5, host: host, port: port, user: user, password: password)
    }

    public static func http(_ host: String, port: Int, user: String = "", password: String = "") -> Proxy {
        Proxy(type: .http, host: host, port: port, user: user, password: password)
    }

    /// Connections really go somewhere else than to their target.
    var isUsed: Bool { type == .socks5 || type == .http }

    var scheme: String { type == .http ? "http" : hostNameLookup ? "socks5h" : "socks5" }

    /// Refuses what no proxy can be.
    public func check() throws(SocketError) {
        guard isUsed else { return }
        guard !host.isEmpty, !host.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f }) else {
            throw SocketError(.invalidArgument, "A proxy needs the name or the address of its host, not \"\(host.abbreviated)\"")
        }
        guard (1...65535).contains(port) else {
            throw SocketError(.invalidArgument, "A proxy needs a port from 1 to 65535, not \(port)")
        }
        try checkCredentials(user: user, password: password)
    }

    func checkCredentials(user: String, password: String) throws(SocketError) {
        switch type {
        case .socks5:
            guard user.utf8.count <= 255, password.utf8.count <= 255 else {
                throw SocketError(.invalidArgument, "SOCKS 5 has no room for a user or a password of more than 255 bytes")
            }
        case .http:
            // They would end a line of the request, and begin another.
            guard !(user + password).utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) else {
                throw SocketError(.invalidArgument, "The user and the password for an HTTP proxy must not contain control characters")
            }
            guard user.utf8.count + password.utf8.count <= 4096 else {
                throw SocketError(.invalidArgument, "The user and the password for the proxy are too long")
            }
        case .default, .none:
            break
        }
    }
}

extension Proxy: CustomStringConvertible, CustomDebugStringConvertible {
    /// "socks5h://proxy:1080", "http://[::1]:3128", "Default", "None"; never with the user or the password.
    public var description: String {
        guard isUsed else { return type.name }
        return "\(scheme)://\(host.contains(":") ? "[\(host)]" : host.abbreviated):\(port)"
    }

    public var debugDescription: String { description }
}
