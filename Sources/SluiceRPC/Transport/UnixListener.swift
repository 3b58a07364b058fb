import CLinux
import Glibc
import Logging
import Sluice

/// The socket that clients connect to, for processes of the same user only. Its file is made here, with mode 0600, and removed at
/// the end; or the service manager has made it, and keeps it.
final class UnixListener {
    private let descriptor: Int32
    /// The file that was made here.
    private let file: (path: String, device: dev_t, inode: ino_t)?
    private let user = geteuid()
    private let log: Logger
    private let loop: EventLoop
    private let accept: (Int32) -> Void
    private var watch: DescriptorWatch?
    private var retry: Timer?
    private var isOpen = true

    /// Replaces the file of a listener that is gone. A live one, and anything that is no socket, is left alone and refused.
    init(path: String, loop: EventLoop, log: Logger, accept: @escaping (Int32) -> Void) throws(SocketError) {
        self.loop = loop
        self.log = log
        self.accept = accept
        descriptor = try Self.open(path)
        var status = stat()
        guard lstat(path, &status) == 0 else {
            let number = errno
            Glibc.close(descriptor)
            throw Self.failure("cannot find the socket \(path) just made", number)
        }
        file = (path, status.st_dev, status.st_ino)
        try start()
    }

    /// Takes over a listening socket that the service manager has made.
    init(activated descriptor: Int32, loop: EventLoop, log: Logger, accept: @escaping (Int32) -> Void) throws(SocketError) {
        self.loop = loop
        self.log = log
        self.accept = accept
        self.descriptor = descriptor
        file = nil
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        try start()
    }

    /// Whether the descriptor is that of a listening Unix stream socket.
    static func canListen(_ descriptor: Int32) -> Bool {
        option(descriptor, SO_DOMAIN) == AF_UNIX && option(descriptor, SO_TYPE) == Int32(SOCK_STREAM.rawValue)
            && option(descriptor, SO_ACCEPTCONN) == 1
    }

    private static func option(_ descriptor: Int32, _ name: Int32) -> Int32? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(descriptor, SOL_SOCKET, name, &value, &size) == 0 ? value : nil
    }

    private func start() throws(SocketError) {
        watch = try loop.watch(descriptor: descriptor, readable: true, writable: false) { [weak self] _, _ in self?.acceptNext() }
    }

    deinit { close() }

    func close() {
        guard isOpen else { return }
        isOpen = false
        retry?.cancel()
        watch?.cancel()
        watch = nil
        // Somebody may have put another socket in its place since.
        var status = stat()
        if let file, lstat(file.path, &status) == 0, status.st_dev == file.device, status.st_ino == file.inode { unlink(file.path) }
        Glibc.close(descriptor)
    }

    // MARK: Accepting

    /// One connection a turn: that is enough under any load, and a single client costs no second call that finds nothing.
    private func acceptNext() {
        let client = clinux_accept(descriptor, true)
        if client >= 0 {
            admit(client)
            return
        }
        switch errno {
        case EMFILE, ENFILE, ENOMEM, ENOBUFS: pause(errno)
        // Of the connection rather than of the listener, and if not, it is told again.
        default: break
        }
    }

    private func admit(_ client: Int32) {
        var credentials = clinux_credentials()
        guard clinux_peer_credentials(client, &credentials) == 0, credentials.uid == user else {
            log.warning("client refused: another user", metadata: ["uid": "\(credentials.uid)"])
            Self.refuse(client, .notPermitted("Only processes of the user that runs the sidecar may connect."))
            return
        }
        accept(client)
    }

    /// Descriptors have run out: rather than being told of the same client again and again, look in a while.
    private func pause(_ number: Int32) {
        log.error("cannot accept clients for now", metadata: ["error": "\(errnoName(number))"])
        watch?.readable = false
        retry = loop.addTimer(after: 100) { [weak self] in
            self?.watch?.readable = true
        }
    }

    /// Tells a client why it is not served, and closes.
    static func refuse(_ client: Int32, _ failure: Failure) {
        let output = OutputBuffer()
        output.append("{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":")
        failure.write(to: output)
        output.append("}\n")
        output.withBytes { bytes in
            // A fresh connection has room for it; if not, the close says enough.
            _ = send(client, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT) | Int32(MSG_NOSIGNAL))
        }
        Glibc.close(client)
    }

    // MARK: Making the file

    private static func open(_ path: String) throws(SocketError) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count < capacity, !bytes.contains(0) else {
            throw SocketError(.invalidArgument, "the path of the socket must have 1 to \(capacity - 1) bytes, and no NUL: \(brief(path))")
        }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }

        // Two sidecars that start at once must not both find a dead file and replace each other's: the folder is locked meanwhile.
        let folder = lockFolder(of: path)
        defer { if folder >= 0 { Glibc.close(folder) } }
        try clearPlace(path, address)

        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw failure("cannot make a socket", errno) }
        // The mode has to be right from the first moment. Nobody else makes files here meanwhile: there is one thread yet.
        let mask = umask(0o177)
        let result = withAddress(address) { bind(descriptor, $0, $1) }
        let number = errno
        umask(mask)
        guard result == 0, Glibc.listen(descriptor, 1024) == 0 else {
            let reason = result == 0 ? errno : number
            Glibc.close(descriptor)
            throw failure("cannot listen at \(path)", reason)
        }
        return descriptor
    }

    /// Makes sure that there is nothing at the path, or says why it cannot be used.
    private static func clearPlace(_ path: String, _ address: sockaddr_un) throws(SocketError) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw SocketError(.addressInUse, "\(path) exists and is not a socket; choose another path or remove it")
        }
        let probe = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0)
        guard probe >= 0 else { throw failure("cannot make a socket", errno) }
        defer { Glibc.close(probe) }
        if withAddress(address, { connect(probe, $0, $1) }) != 0, errno == ECONNREFUSED {
            unlink(path)
        } else {
            throw SocketError(.addressInUse, "\(path) is in use: another process listens there. Connect to that one, or choose another path")
        }
    }

    private static func withAddress(_ address: sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }

    /// A locked descriptor of the folder, or -1; the lock is a courtesy and not worth failing for.
    private static func lockFolder(of path: String) -> Int32 {
        let end = path.lastIndex(of: "/")
        let folder = end.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return -1 }
        for _ in 0..<50 {
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK { break }
            usleep(10_000)
        }
        return descriptor
    }

    private static func failure(_ what: String, _ number: Int32) -> SocketError {
        var text = [CChar](repeating: 0, count: 128)
        clinux_error_text(number, &text, text.count)
        let reason = text.withUnsafeBytes { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return SocketError(.socketResource, "\(what): \(reason)", systemError: number)
    }
}
