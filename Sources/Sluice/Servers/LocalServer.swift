import Glibc

/// Accepts connections from processes on this machine (unix(7)).
public final class LocalServer: Server {
    public init(loop: EventLoop) { super.init(loop: loop, kind: .localServer) }

    private var bound: BoundLocalName?

    deinit { bound?.removeFile() }

    /// The name as given to `listen`; "" while not listening.
    public private(set) var serverName = ""
    /// The whole path, or the abstract name; "" while not listening.
    public private(set) var fullServerName = ""
    /// Who may connect (the mode of the socket's file), or that the name has no file (AbstractNamespace). For the next `listen`.
    public private(set) var socketOptions: LocalServerAccess = []

    public func setSocketOptions(_ options: LocalServerAccess) throws(SocketError) {
        guard !isListening else { throw SocketError(.operation, "The options cannot change while the server is listening") }
        socketOptions = options
    }

    /// Listens under a name: a bare one is a file in the temporary folder (TMPDIR), a path is taken as it is. The file of a dead
    /// server is replaced; a live server is AddressInUseError. With access flags the file has exactly the mode they say,
    /// otherwise what the umask leaves.
    public func listen(_ name: String) throws(SocketError) {
        try checkNotListening()
        do throws(SocketError) {
            let descriptor: Descriptor
            do throws(SystemError) {
                descriptor = try System.socket(family: AF_UNIX, type: System.stream, nonBlocking: true)
            } catch {
                throw SocketError.from(error)
            }
            let made = try LocalAddress.bindListening(
                descriptor.rawValue, name: name, access: socketOptions, backlog: Int32(clamping: listenBacklog))
            try begin(descriptor)
            bound = made
            serverName = name
            fullServerName = LocalAddress.fullName(name, abstract: socketOptions.contains(.abstractNamespace))
        } catch {
            throw fail(error)
        }
    }

    /// Listens on a descriptor that is bound and listening already, and owns it from now on; its file goes when the server
    /// closes.
    public func listen(descriptor: Int32) throws(SocketError) { try setDescriptor(descriptor) }

    public override func setDescriptor(_ descriptor: Int32) throws(SocketError) {
        try super.setDescriptor(descriptor)
        bound = BoundLocalName(adopting: descriptor)
        fullServerName = System.localAddress(descriptor)?.localPath ?? ""
        serverName = fullServerName.split(separator: "/").last.map(String.init) ?? fullServerName
    }

    /// Removes the file that a dead server left behind. True when nothing is in the way any more; false, and nothing is touched,
    /// for a live server and for what is no socket.
    public static func removeServer(_ name: String) -> Bool { LocalAddress.removeServer(name) }

    override func willClose() {
        bound?.removeFile()
        bound = nil
        serverName = ""
        fullServerName = ""
    }

    override func makeSocket() -> StreamSocket {
        let socket = LocalSocket(loop: loop)
        socket.setServerName(serverName, fullName: fullServerName)
        return socket
    }

    /// Local servers tell of a connection by newConnection alone.
    override func announce(pending count: Int) { send(.newConnection, .newConnection(pending: count)) }

    override var remembersTimeouts: Bool { false }

    override func fits(_ descriptor: Int32) -> Bool {
        System.socketFamily(descriptor) == AF_UNIX && System.socketType(descriptor) == System.stream
    }
}
