import Glibc

/// A TCP connection, or one on this machine, that is encrypted by TLS: from its beginning (`connectToHostEncrypted`), or from some point on
/// (`startClientEncryption`, `startServerEncryption`).
///
/// `connected` is sent when the connection is there, `encrypted` when the handshake is over. What is written in between is kept until
/// it can go encrypted; nothing that the peer sends is given before it. The peer's certificate is verified unless the
/// configuration says otherwise: its chain, its dates and the host's name or address. `errorOccurred` with SslHandshakeFailedError tells
/// why there is no handshake; the connection is then closed. A connection that the peer ends without saying so in TLS's own terms
/// (close_notify) was cut off: that is SslInternalError, not an end. With pauseMode OnSslErrors the handshake
/// waits after `sslErrors` for `resume`.
public final class TLSSocket: TCPSocket {
    enum Phase {
        /// Nothing is encrypted.
        case plain
        case shakingHands
        /// `sslErrors` was sent, and `resume` is waited for.
        case paused
        case encrypted
        /// The handshake failed, or the connection is over: nothing goes out plain either.
        case over
    }

    var phase = Phase.plain
    var session: TLSSession?
    /// The way here is to be encrypted once the connection is made: by this context.
    var contextOnceConnected: TLSContext?
    /// Of a server's sockets: the handshake begins with the connection.
    let incomingContext: TLSContext?
    public private(set) var configuration: TLSConfiguration
    /// Which errors are forgiven; nil: all.
    var ignored: Set<TLSError.Code>? = []
    /// The last session's, for the next.
    var lastTicket = ""
    /// What was wrong with the last peer, and its chain.
    var lastErrors: [TLSError] = []
    var lastPresented: [X509Reference] = []
    /// When the handshake began (monotonic nanoseconds), and what came before it.
    var handshakeBegan: UInt64 = 0
    var earlierAttempts: [ConnectionAttempt] = []
    /// Milliseconds that were left for the handshake when it was paused.
    var timeLeftAtPause: Int?
    /// Looks whether the descriptor can be closed by now.
    var lingering: Timer?
    /// A blocking wait ended because of the pause: until `resume` nothing is worth another.
    var pauseIsKnown = false
    /// `encrypted` is told when somebody has taken the socket from its server.
    var encryptedIsUntold = false

    public override init(loop: EventLoop) {
        configuration = TLSConfiguration()
        incomingContext = nil
        super.init(loop: loop, kind: .tlsSocket)
    }

    init(loop: EventLoop, accepting context: TLSContext, configuration: TLSConfiguration) {
        self.configuration = configuration
        incomingContext = context
        super.init(loop: loop, kind: .tlsSocket)
    }

    public override var socketType: SocketType { .tls }

    // MARK: Configuration

    /// For the next encryption. Bad material is SslInvalidUserDataError, which names the item, the file and the reason, and changes nothing.
    public func setConfiguration(_ configuration: TLSConfiguration) throws(SocketError) {
        guard phase == .plain || phase == .over else {
            throw SocketError(.operation, "The configuration cannot change while the connection is encrypted")
        }
        if !configuration.sessionTicket.isEmpty { try TLSSession.checkTicket(configuration.sessionTicket) }
        // A configuration without a certificate is one for clients only; any other has to do for both.
        _ = try loop.tlsContexts.context(for: configuration, role: configuration.certificate.isEmpty ? .client : .server)
        self.configuration = configuration
    }

    /// Forgives these errors in the peer's certificates, nil: all of them; in place of those named before. It counts for every connection of
    /// this socket until it is changed. To a server's socket they have to be named before the handshake, unless it is to pause.
    public func ignoreErrors(_ errors: [TLSError.Code]? = nil) { ignored = errors.map { Set($0) } }

    func forgives(_ error: TLSError) -> Bool { ignored?.contains(error.code) ?? true }

    // MARK: Coming to be encrypted

    /// As `connectToHost`, and then a client's handshake: `encrypted` is sent when it is over. connectTimeout is for both together.
    public func connectToHostEncrypted(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) {
        guard state == .unconnected || state == .bound else {
            try refuse(.operation, "The socket is in state \(state.name): disconnect or abort it first")
        }
        contextOnceConnected = try loop.tlsContexts.context(for: configuration, role: .client)
        letGoOfSession()
        do throws(SocketError) {
            try super.connectToHost(host, port: port, openMode: openMode, protocol: `protocol`)
        } catch {
            contextOnceConnected = nil
            throw error
        }
    }

    /// What connects by itself does so encrypted.
    override func connectAutomatically(to host: String, port: Int, protocol: NetworkProtocol) throws(SocketError) {
        try connectToHostEncrypted(host, port: port, protocol: `protocol`)
    }

    public override func connectToHost(
        _ host: String, port: Int, openMode: OpenMode = .readWrite, protocol: NetworkProtocol = .any
    ) throws(SocketError) {
        if state == .unconnected || state == .bound { contextOnceConnected = nil }
        letGoOfSession()
        try super.connectToHost(host, port: port, openMode: openMode, protocol: `protocol`)
    }

    /// Begins to encrypt a connection that is Connected, as its client. What was written before leaves plain, and what came before and was not read
    /// is taken for the peer's part of the handshake: no byte counts on both sides of the border.
    public func startClientEncryption() throws(SocketError) { try startEncryption(.client) }

    /// As `startClientEncryption`, as the server, which needs a certificate.
    public func startServerEncryption() throws(SocketError) { try startEncryption(.server) }

    /// Waits until the connection is encrypted. False: it failed, it was never begun, it waits for `resume`, or time ran out.
    public func waitForEncrypted(timeout: Int = 30000) -> Bool { wait(for: .encrypted, timeout: timeout) }

    /// Goes on after `sslErrors`: with the connection if all of them are forgiven by now, else the handshake fails.
    public override func resume() { resumeHandshake() }

    // MARK: What is known of the encryption

    /// The handshake is over, and all that is read and written is encrypted.
    public var isEncrypted: Bool { phase == .encrypted && (state == .connected || state == .closing) }
    /// "TLSv1.3", "TLSv1.2"; "" before the handshake is over.
    public var sessionProtocol: String { established?.protocolName ?? "" }
    /// "TLS_AES_256_GCM_SHA384", …; "" before.
    public var sessionCipher: String { established?.cipherName ?? "" }
    /// What both sides agreed on of `alpn`; "" when it was nothing.
    public var negotiatedProtocol: String { established?.applicationProtocol ?? "" }
    /// The handshake was short, thanks to a `sessionTicket`.
    public var isSessionResumed: Bool { established?.isResumed ?? false }
    /// Known from the moment it came; one that was refused until the next handshake.
    public var peerCertificate: TLSCertificate? { session != nil ? session?.peerCertificate : lastPresented.first.map { TLSCertificate($0.pointer) } }
    /// As the peer sent it, its own certificate first.
    public var peerCertificateChain: [TLSCertificate] { session?.peerCertificateChain ?? lastPresented.map { TLSCertificate($0.pointer) } }
    /// What is wrong with the peer's certificates, forgiven or not; until the next handshake.
    public var sslErrors: [TLSError] { session?.errors ?? lastErrors }
    /// For `TLSConfiguration.sessionTicket` of a later connection; "" when there is none. A TLS 1.3 server sends it some time after the handshake.
    /// It stays when the connection has ended.
    public var sessionTicket: String {
        guard let session = established else { return lastTicket }
        return session.ticket
    }

    private var established: TLSSession? { session.flatMap { $0.isEstablished ? $0 : nil } }

    // MARK: What the layers below ask for

    override func checkDescriptor(_ descriptor: Int32, state: SocketState) throws(SocketError) {
        if System.socketFamily(descriptor) == AF_UNIX, System.socketType(descriptor) == System.stream, !System.isListening(descriptor) { return }
        try super.checkDescriptor(descriptor, state: state)
    }

    public override func setDescriptor(
        _ descriptor: Int32, state: SocketState = .connected, openMode: OpenMode = .readWrite
    ) throws(SocketError) {
        letGoOfSession()
        try super.setDescriptor(descriptor, state: state, openMode: openMode)
        contextOnceConnected = nil
    }

    override func connectionMade(readiness: Readiness) { connectionMadeForTLS(readiness) { super.connectionMade(readiness: $0) } }

    override func beginAccepted(_ descriptor: Int32, by server: Server) throws(SystemError) {
        try super.beginAccepted(descriptor, by: server)
        guard let incomingContext else { return }
        do throws(SocketError) { try begin(incomingContext) } catch {
            throw SystemError(number: ENOMEM, call: "SSL_new")
        }
    }

    override func taken() {
        super.taken()
        if encryptedIsUntold { requestTurn(.transportInTurn) }
    }

    override func takeTurn() {
        let begun = epoch
        tellEncrypted()
        guard begun == epoch else { return }
        super.takeTurn()
    }

    override func descriptorReady(_ readiness: Readiness) {
        let hungUp = !readiness.isDisjoint(with: [.readHangup, .error, .hangup])
        session?.note(readiness: readiness.contains(.readable), hungUp: hungUp)
        if session != nil, session?.below == nil, flags.contains(.readFinished), readiness.contains(.error), state == .connected {
            // Half-open and idle: nothing else would notice a reset.
            let number = System.socketError(rawDescriptor)
            if number != 0 { connectionBroken(number == EPIPE ? ECONNRESET : number, doing: .read) }
            return
        }
        super.descriptorReady(readiness)
    }

    override func goesOnWithTransport() -> Bool {
        guard lingering == nil else {
            endLingering()
            return true
        }
        return goOnWithHandshake()
    }

    override func saidGoodbye() -> Bool {
        guard super.saidGoodbye() else { return false }
        return state != .closing || !lingers()
    }

    override func sleepOnce(for kind: Wait.Kind, timeout: Int, deadline: UInt64?) -> Bool {
        if lingering != nil { return sleepWhileLingering(deadline: deadline) }
        guard phase == .shakingHands || phase == .paused else { return super.sleepOnce(for: kind, timeout: timeout, deadline: deadline) }
        return sleepOnHandshake(for: kind, deadline: deadline)
    }

    override var encryptionVerdict: Bool? {
        if phase == .encrypted { return isEncrypted }
        if phase == .paused, pauseIsKnown { return false }
        let comes = phase == .shakingHands || phase == .paused || contextOnceConnected != nil && (state == .hostLookup || state == .connecting)
        return comes ? nil : false
    }

    override func connectionForgotten() {
        endEncryption()
        super.connectionForgotten()
    }

    override func connectFailed(_ error: SocketError) {
        contextOnceConnected = nil
        super.connectFailed(error)
    }

    override func endTransport() {
        super.endTransport()
        withdrawSession()
    }
}
