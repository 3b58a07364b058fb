/// What is said between us and a proxy until it has done what it was asked for. It knows nothing of descriptors: it is given the
/// bytes that came, and answers what to do. One dialogue can go over several connections.
protocol ProxyDialogue {
    /// A connection to the proxy begins: what to send.
    mutating func open() -> [UInt8]
    /// Looks at bytes that came. `used` is how many of them belong to the dialogue; what is behind them is not touched, and
    /// what is used is not shown again.
    mutating func take(_ bytes: UnsafeRawBufferPointer, used: inout Int) -> ProxyStep
    /// Credentials came; `resume` or `open` is next.
    mutating func authenticate(user: String, password: String)
    /// The dialogue goes on over the same connection: what to send.
    mutating func resume() -> [UInt8]
}

enum ProxyStep {
    /// More bytes are needed.
    case more
    case send([UInt8])
    /// The same question once more over the same connection, if that is still there; else over another.
    case repeated([UInt8])
    /// To go on it takes another connection to the proxy.
    case reconnect
    /// The proxy wants credentials, or others than it got.
    case unauthorized(realm: String, keepsConnection: Bool, SocketError)
    /// The proxy listens there for us. It answers again when somebody has come, however long that takes.
    case listening(ProxyEndpoint)
    /// Done: from here on the connection is the user's.
    case done(ProxyEndpoint?)
    case failed(SocketError)
}

/// Where something is, as a proxy is told or tells it.
struct ProxyEndpoint: Equatable {
    enum Host: Equatable {
        case address(HostAddress)
        case name(String)
    }

    var host: Host
    var port: UInt16

    /// Nil for a name.
    var address: HostAddress? {
        if case .address(let address) = host { address } else { nil }
    }
}

extension ProxyEndpoint: CustomStringConvertible {
    var description: String {
        switch host {
        case .address(let address): address.description(port: port)
        case .name(let name): "\(name.abbreviated):\(port)"
        }
    }
}

extension ProxyEndpoint {
    /// Why a name cannot be given to a proxy: it is what no host has, or would be more than a name in the request.
    static func objection(to name: String) -> SocketError? {
        if let objection = HostLookup.objection(to: name) { return objection }
        let fits = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        return fits ? nil : SocketError(.hostNotFound, "Host not found: \(name.abbreviated) (no proxy can be given such a name)")
    }
}
