/// The oldest protocol version that is accepted. There is nothing older than TLS 1.2.
public enum TLSVersion: Int32, CaseIterable, Sendable {
    case tls12 = 0x0303, tls13 = 0x0304

    /// "TLSv1.2", "TLSv1.3".
    public var name: String { self == .tls12 ? "TLSv1.2" : "TLSv1.3" }

    /// The names above, and "1.2", "1.3", "TLS1.2", "TLS1.3".
    public init?(name: String) {
        switch name {
        case "TLSv1.2", "TLS1.2", "1.2": self = .tls12
        case "TLSv1.3", "TLS1.3", "1.3": self = .tls13
        default: return nil
        }
    }
}

/// What is asked of the peer's certificate.
public enum TLSVerifyMode: Int32, CaseIterable, Sendable {
    /// `peer` for clients, and for servers whose configuration names certificate authorities; `none` for other servers.
    case automatic = 0
    /// A certificate is asked for and judged, and the verdict can be read (`sslErrors`), but nothing depends on it.
    case query = 1
    /// There must be a certificate, and a good one.
    case peer = 2
    /// A client takes any certificate; a server asks for none.
    case none = 3

    /// "none", "query", "peer", "auto".
    public var name: String {
        switch self {
        case .none: "none"
        case .query: "query"
        case .peer: "peer"
        case .automatic: "auto"
        }
    }

    public init?(name: String) {
        guard let mode = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = mode
    }
}

/// How TLS connections are made: who is trusted, who we are, and what is spoken.
///
/// Certificates and keys are PEM, given as text or as the path of a file; what does not begin a PEM block is a path.
/// An empty text means that nothing is set.
public struct TLSConfiguration: Equatable, Sendable {
    /// Those who may issue the peer's certificate, in place of the system's: PEM text, a file, or a folder of files as
    /// `openssl rehash` makes it. A certificate that is listed here is trusted itself, whoever issued it.
    public var certificateAuthorities = ""
    /// Our certificate, and after it those that issued it but for the root.
    public var certificate = ""
    /// The key of the certificate; may be encrypted.
    public var privateKey = ""
    /// Opens the private key.
    public var passphrase = ""
    public var verifyMode = TLSVerifyMode.automatic
    /// The host name or address that the peer's certificate must be for (a client then also asks for it); in place of the host that was
    /// connected to.
    public var verifyName = ""
    /// The protocols to speak over the connection (RFC 7301), the preferred one first.
    public var alpn: [String] = []
    public var minimumVersion = TLSVersion.tls12
    /// As OpenSSL's cipher lists; names that begin with `TLS_` are TLS 1.3's and stand in their own order. Empty: OpenSSL's choice.
    public var ciphers = ""
    /// What `TLSSocket.sessionTicket` gave for an earlier connection to the same server: if the server remembers it too, the handshake
    /// is shorter. It holds secrets.
    public var sessionTicket = ""

    public init() {}
}
