import Sluice

/// One call of an operation, with typed access to what was sent for its parameters.
///
/// Everything was checked before the handler runs. Asking for a parameter that the table does not give the operation is a
/// mistake of the table, and answered as an internal error.
struct Call {
    let session: Session
    let operation: Operation
    let arguments: Arguments
    let caller: Caller

    // MARK: Parameters

    private func find(_ name: StaticString) throws(Failure) -> (parameter: Parameter, value: JSON?) {
        for (index, parameter) in operation.parameters.enumerated() where same(parameter.name, name) {
            return (parameter, arguments[index])
        }
        throw .internalError("\(operation.name) has no parameter \(name)")
    }

    private func same(_ left: StaticString, _ right: StaticString) -> Bool {
        left.utf8Start == right.utf8Start || left.withUTF8Buffer { one in right.withUTF8Buffer { one.elementsEqual($0) } }
    }

    private func missing(_ name: StaticString) -> Failure { .internalError("\(operation.name) has no default for \(name)") }

    func isGiven(_ name: StaticString) throws(Failure) -> Bool { try find(name).value != nil }

    func value(_ name: StaticString) throws(Failure) -> JSON? { try find(name).value }

    func integer(_ name: StaticString) throws(Failure) -> Int {
        let (parameter, value) = try find(name)
        if let number = value?.wholeNumber { return number }
        if let truth = value?.boolean { return truth ? 1 : 0 }
        guard case .integer(let number) = parameter.presence else { throw missing(name) }
        return number
    }

    func boolean(_ name: StaticString) throws(Failure) -> Bool {
        let (parameter, value) = try find(name)
        if let truth = value?.boolean { return truth }
        guard case .boolean(let truth) = parameter.presence else { throw missing(name) }
        return truth
    }

    func text(_ name: StaticString) throws(Failure) -> String {
        let (parameter, value) = try find(name)
        if let text = value?.string { return text }
        guard case .text(let text) = parameter.presence else { throw missing(name) }
        return text.text
    }

    func named<Value: NamedValue>(_ name: StaticString) throws(Failure) -> Value {
        let (parameter, value) = try find(name)
        if let value, let result = Value(value) { return result }
        guard case .text(let text) = parameter.presence, let result = Value(name: text.text) else { throw missing(name) }
        return result
    }

    func flags<Value: NamedFlags>(_ name: StaticString) throws(Failure) -> Value {
        let (parameter, value) = try find(name)
        if let value, let result = Value(value) { return result }
        guard case .text(let text) = parameter.presence, let result = Value(name: text.text) else { throw missing(name) }
        return result
    }

    /// Whether the result's data, or the data sent, is base64.
    var isBase64: Bool {
        get throws(Failure) { try find("encoding").value?.withString { $0.elementsEqual("base64".utf8) } ?? false }
    }

    /// Runs `body` with the bytes that `data` and `encoding` mean.
    func withData(_ body: (UnsafeRawBufferPointer) throws(SocketError) -> Int) throws(Failure) -> Int {
        let isBase64 = try isBase64
        var outcome: Result<Int, SocketError>?
        func take(_ bytes: UnsafeRawBufferPointer) {
            do throws(SocketError) { outcome = .success(try body(bytes)) } catch { outcome = .failure(error) }
        }
        _ = try find("data").value?.withString { text in
            if !isBase64 {
                take(text)
            } else if let bytes = decodeBase64(text) {
                bytes.withUnsafeBytes { take($0) }
            }
        }
        switch outcome {
        case .success(let result): return result
        case .failure(let error): throw Failure(error)
        case nil:
            throw .invalidParameter(
                "data", "\"data\" of \(operation.name) is not base64: the plain alphabet, no blanks, padded with = to groups of four")
        }
    }

    /// Hands the descriptor that is meant to something of the core, which takes it over (or, `copies`, makes itself a duplicate)
    /// unless it throws.
    func withDescriptor(copies: Bool = false, _ body: (Int32) throws(SocketError) -> Void) throws(Failure) {
        let claim = try session.claimDescriptor(try integer("descriptor"))
        do throws(SocketError) {
            try body(claim.descriptor)
        } catch {
            session.noteRefused(claim)
            throw Failure(error)
        }
        if copies { session.noteCopied(claim) } else { session.noteTaken(claim) }
    }

    /// Whether a descriptor can come with the answer to this call.
    func checkCanHandOver() throws(Failure) {
        guard session.channel.passesDescriptors, caller.batch == nil, caller.id != nil else {
            throw .unsupported(
                """
                    A descriptor can be handed over only with an answer of its own on a Unix socket: run sluiced --socket \
                    PATH, and call this outside a batch.
                    """)
        }
    }

    /// Has the descriptor leave with the answer to this call.
    func handOver(_ descriptor: Int32) -> Reply {
        session.attach(descriptor)
        return .integer(Int(descriptor))
    }

    // MARK: Objects

    func entry(_ name: StaticString = "handle") throws(Failure) -> HandleEntry {
        let number = try integer(name)
        guard let entry = session.handles[number] else { throw .invalidHandle(number) }
        return entry
    }

    /// The object of the handle as what this operation is for.
    private func object<Kind: EventSource>(_ type: Kind.Type, _ wanted: String, _ name: StaticString = "handle") throws(Failure) -> Kind {
        let entry = try entry(name)
        guard let object = entry.source as? Kind else {
            throw .wrongKind("Handle \(entry.number) is a \(entry.source.kind.name), and \(operation.name) is for \(wanted)")
        }
        return object
    }

    func socket() throws(Failure) -> Socket { try object(Socket.self, "sockets") }
    func streamSocket(_ name: StaticString) throws(Failure) -> StreamSocket { try object(StreamSocket.self, "stream sockets", name) }
    func udpSocket() throws(Failure) -> UDPSocket { try object(UDPSocket.self, "UDP sockets") }
    func tlsSocket() throws(Failure) -> TLSSocket { try object(TLSSocket.self, "TLS sockets") }
    func localSocket() throws(Failure) -> LocalSocket { try object(LocalSocket.self, "local sockets") }
    func relay() throws(Failure) -> Relay { try object(Relay.self, "relays") }
    func server() throws(Failure) -> Server { try object(Server.self, "servers") }
    func tcpServer() throws(Failure) -> TCPServer { try object(TCPServer.self, "TCP servers") }
    func localServer() throws(Failure) -> LocalServer { try object(LocalServer.self, "local servers") }

    /// Begins to connect to the host that the parameters name, if the rules allow that.
    func connect(
        _ body: (_ host: String, _ port: Int, OpenMode, NetworkProtocol) throws(SocketError) -> Void
    ) throws(Failure) {
        let host = try text("host")
        let port = try integer("port")
        let mode: OpenMode = try flags("openMode")
        let networkProtocol: NetworkProtocol = try named("protocol")
        try session.service.rules.checkConnect(host, port: port)
        try entry().forgetLastConnection()
        try run { () throws(SocketError) in try body(host, port, mode, networkProtocol) }
    }

    // MARK: Results

    /// Runs something of the core; its errors are the call's.
    func run<Result>(_ body: () throws(SocketError) -> Result) throws(Failure) -> Result {
        do throws(SocketError) { return try body() } catch { throw Failure(error) }
    }

    func create(_ source: EventSource) throws(Failure) -> Reply {
        .integer(try session.add(source).number)
    }

    /// Answers when the core's wait is over. `start` returns what cancels it.
    func wait(
        ifAbandoned: Reply, _ start: (_ timeout: Int, _ finish: @escaping (Result<Reply, Failure>) -> Void) -> (() -> Void)?
    ) throws(Failure) -> Reply {
        let timeout = try integer("timeout")
        return try session.wait(caller, handle: try integer("handle"), isUnlimited: timeout < 0, ifAbandoned: ifAbandoned) { start(timeout, $0) }
    }
}
