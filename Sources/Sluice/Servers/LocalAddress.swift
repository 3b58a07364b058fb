import Glibc

/// The names of local sockets: what they stand for, and how a server takes one without a moment of weakness.
enum LocalAddress {
    fileprivate static let slash = UInt8(ascii: "/")

    /// What a name stands for: an absolute path is taken as it is, any other is a file in the temporary folder ($TMPDIR, else
    /// /tmp). An abstract name is not in the file system.
    static func fullName(_ name: String, abstract: Bool) -> String {
        if abstract || name.isEmpty || name.utf8.first == slash { return name }
        var folder = "/tmp"
        if let variable = getenv("TMPDIR"), variable.pointee != 0 { folder = String(cString: variable) }
        while folder.utf8.last == slash { folder.unicodeScalars.removeLast() }
        return folder + "/" + name
    }

    /// The address of a name that fits into one. Throws HostNotFoundError for an empty or too long name, InvalidArgumentError
    /// for one with a NUL.
    static func socketAddress(_ name: String, abstract: Bool) throws(SocketError) -> SocketAddress {
        let full = fullName(name, abstract: abstract)
        try check(full)
        guard let address = SocketAddress(localPath: Array(full.utf8), abstract: abstract) else { throw tooLong(full) }
        return address
    }

    /// Connects a fresh stream socket. 0, or minus errno: -EAGAIN when the server has no room for another waiting connection.
    /// Throws what `socketAddress` throws; only the last part of a path has a limit here.
    static func connect(_ descriptor: Int32, name: String, abstract: Bool) throws(SocketError) -> Int {
        let full = fullName(name, abstract: abstract)
        try check(full)
        if let address = SocketAddress(localPath: Array(full.utf8), abstract: abstract) { return System.connect(descriptor, address) }
        if abstract { throw tooLong(full) }
        let path = try LocalPath(full)
        return connect(descriptor, path: path.full)
    }

    /// By any path, also one that is too long for an address.
    private static func connect(_ descriptor: Int32, path: String) -> Int {
        if let address = SocketAddress(localPath: Array(path.utf8), abstract: false) { return System.connect(descriptor, address) }
        do throws(SystemError) {
            let reference = try System.openReference(path)
            let short = System.pathOfDescriptor(reference.rawValue)
            guard let address = SocketAddress(localPath: Array(short.utf8), abstract: false) else { return -Int(ENAMETOOLONG) }
            return System.connect(descriptor, address)
        } catch {
            return -Int(error.number)
        }
    }

    // MARK: Listening

    /// Gives a fresh stream socket its name and has it listen. With access flags the file has exactly their mode, without it
    /// has what the umask leaves. The file of a dead server is replaced; a live server, and any other file, is left alone
    /// (AddressInUseError). On failure the socket may be bound: it has to be closed.
    static func bindListening(_ descriptor: Int32, name: String, access: LocalServerAccess, backlog: Int32) throws(SocketError) -> BoundLocalName {
        let full = fullName(name, abstract: access.contains(.abstractNamespace))
        if access.contains(.abstractNamespace) {
            let address = try socketAddress(name, abstract: true)
            try succeed(System.bind(descriptor, address), .bind, full)
            try succeed(System.listen(descriptor, backlog: backlog), .listen, full)
            return BoundLocalName(fullName: full, identity: nil)
        }
        try check(full)
        let path = try LocalPath(full)
        let nest = try Nest(in: path.openDirectory(), path: path)

        // Nobody else can enter the nest: whatever mode the file has at first, it is never open to more than it shall be. And
        // it only comes out once the server listens: who sees the file can connect.
        try succeed(nest.bind(descriptor), .bind, full)
        if let mode = mode(of: access) { try succeed(System.setMode(nest.descriptor, Nest.file, mode), .bind, full) }
        try succeed(System.listen(descriptor, backlog: backlog), .listen, full)
        guard let identity = System.identity(nest.descriptor, Nest.file) else {
            throw SocketError.from(errno: ENOENT, doing: .bind, peer: full)
        }
        try place(nest, as: path)
        return BoundLocalName(fullName: full, identity: identity)
    }

    /// The mode that the flags ask for; nil when there are none.
    private static func mode(of access: LocalServerAccess) -> mode_t? {
        var mode: mode_t = 0
        if access.contains(.user) { mode |= S_IRWXU }
        if access.contains(.group) { mode |= S_IRWXG }
        if access.contains(.other) { mode |= S_IRWXO }
        return mode == 0 ? nil : mode
    }

    private static func place(_ nest: borrowing Nest, as path: LocalPath) throws(SocketError) {
        let directory = nest.parent.rawValue
        // Others may come and go meanwhile. Whoever loses again and again has a live rival.
        for _ in 0..<8 {
            let linked = System.link(nest.descriptor, Nest.file, to: directory, path.name)
            if linked != -Int(EEXIST) { return try succeed(linked, .bind, path.full) }
            guard let found = System.identity(directory, path.name) else { continue }
            switch found.isSocket ? liveness(of: path.full) : .alive {
            case .gone: continue
            case .alive: throw SocketError.from(errno: EADDRINUSE, doing: .bind, peer: path.full)
            case .dead: if try replace(found, nest, path) { return }
            }
        }
        throw SocketError.from(errno: EADDRINUSE, doing: .bind, peer: path.full)
    }

    /// Puts our file in the place of a dead one; false when that was no longer there.
    private static func replace(_ dead: FileIdentity, _ nest: borrowing Nest, _ path: LocalPath) throws(SocketError) -> Bool {
        let directory = nest.parent.rawValue
        let exchanged = System.exchange(nest.descriptor, Nest.file, with: directory, path.name)
        if exchanged == 0 {
            // Now the other file is in the nest. A server that came after we looked gets its name back.
            let removed = System.identity(nest.descriptor, Nest.file)
            if let removed, removed.isSameFile(as: dead), liveness(of: nest.filePath) != .alive { return true }
            try succeed(System.exchange(nest.descriptor, Nest.file, with: directory, path.name), .bind, path.full)
            return false
        }
        if exchanged == -Int(ENOENT) { return false }
        if exchanged == -Int(EINVAL) || exchanged == -Int(ENOSYS) {
            // A file system that cannot swap names: remove, and try again to link.
            if System.identity(directory, path.name) == dead { try succeed(System.removeFile(directory, path.name), .bind, path.full) }
            return false
        }
        throw SocketError.from(errno: Int32(truncatingIfNeeded: -exchanged), doing: .bind, peer: path.full)
    }

    // MARK: Dead or alive

    private enum Liveness { case alive, dead, gone }

    /// Whether a socket is bound to this file. Asked with a socket of another type: a server of any type is told from none by
    /// the kind of refusal, and never sees a connection. What cannot be found out counts as alive.
    private static func liveness(of path: String) -> Liveness {
        guard let probe = try? System.socket(family: AF_UNIX, type: System.datagram, nonBlocking: true) else { return .alive }
        return switch connect(probe.rawValue, path: path) {
        case -Int(ECONNREFUSED): .dead
        case -Int(ENOENT): .gone
        default: .alive
        }
    }

    /// Removes what a dead server left behind. True when nothing is there any more (or was); false, and nothing is touched, for
    /// the file of a live server and for anything that is no socket.
    static func removeServer(_ name: String) -> Bool {
        let full = fullName(name, abstract: false)
        guard (try? check(full)) != nil, let path = try? LocalPath(full) else { return false }
        let directory: Descriptor
        do throws(SystemError) {
            directory = try System.openDirectory(path.directory)
        } catch {
            return error.number == ENOENT || error.number == ENOTDIR
        }
        guard let found = System.identity(directory.rawValue, path.name) else { return true }
        guard found.isSocket else { return false }
        switch liveness(of: full) {
        case .alive: return false
        case .gone: return true
        case .dead:
            guard System.identity(directory.rawValue, path.name) == found else { return false }
            let removed = System.removeFile(directory.rawValue, path.name)
            return removed == 0 || removed == -Int(ENOENT)
        }
    }

    // MARK: Checks

    private static func check(_ full: String) throws(SocketError) {
        guard !full.isEmpty else { throw SocketError(.hostNotFound, "The name of a local server cannot be empty") }
        guard !full.utf8.contains(0) else { throw SocketError(.invalidArgument, "The name of a local server cannot contain a NUL") }
    }

    fileprivate static func tooLong(_ full: String) -> SocketError {
        SocketError(.hostNotFound, "The name is too long: at most \(SocketAddress.maximumPathLength) bytes after the folder (\(full.prefix(60))…)",
                    systemError: ENAMETOOLONG)
    }

    fileprivate static func succeed(_ result: Int, _ action: SocketError.Action, _ full: String) throws(SocketError) {
        guard result < 0 else { return }
        throw SocketError.from(errno: Int32(truncatingIfNeeded: -result), doing: action, peer: full)
    }
}

/// A name that a server holds.
struct BoundLocalName {
    let fullName: String
    /// Nil for an abstract name.
    fileprivate let identity: FileIdentity?

    /// Removes the file if it still is the one that was made. Call it before the descriptor is closed: as long as the socket
    /// lives no other file can have its number.
    func removeFile() {
        guard let identity, let path = try? LocalPath(fullName), let directory = try? System.openDirectory(path.directory),
              let found = System.identity(directory.rawValue, path.name), found.isSameFile(as: identity)
        else { return }
        _ = System.removeFile(directory.rawValue, path.name)
    }
}

extension BoundLocalName {
    /// The name of a listening socket that came from elsewhere, with the file that has it now; nil when it has none.
    init?(adopting descriptor: Int32) {
        guard let address = System.localAddress(descriptor), let name = address.localPath else { return nil }
        fullName = name
        identity = address.isAbstract ? nil : BoundLocalName.socketFile(name)
    }

    private static func socketFile(_ name: String) -> FileIdentity? {
        guard let path = try? LocalPath(name), let directory = try? System.openDirectory(path.directory),
              let found = System.identity(directory.rawValue, path.name), found.isSocket
        else { return nil }
        return found
    }
}

/// A path, as the folder and the name in it.
private struct LocalPath {
    let full: String
    let directory: String
    let name: String

    init(_ full: String) throws(SocketError) {
        self.full = full
        if let slash = full.utf8.lastIndex(of: LocalAddress.slash) {
            directory = slash == full.startIndex ? "/" : String(full[..<slash])
            name = String(full[full.utf8.index(after: slash)...])
        } else {
            directory = "."
            name = full
        }
        // What ends with a slash is a folder, there or not.
        if name.isEmpty { throw SocketError.from(errno: EADDRINUSE, doing: .bind, peer: full) }
        if name.utf8.count > SocketAddress.maximumPathLength { throw LocalAddress.tooLong(full) }
    }

    func openDirectory() throws(SocketError) -> Descriptor {
        do throws(SystemError) {
            return try System.openDirectory(directory)
        } catch {
            throw SocketError.from(errno: error.number, doing: .bind, peer: full)
        }
    }
}

/// A folder beside the server's file that only this user can enter, and that goes with all that is in it.
private struct Nest: ~Copyable {
    static let file = "s"

    let parent: Descriptor
    private let reference: Descriptor
    private let name: String
    private let path: String

    var descriptor: Int32 { reference.rawValue }

    init(in parent: consuming Descriptor, path: LocalPath) throws(SocketError) {
        let name = ".sluice-" + String(UInt64.random(in: .min ... .max), radix: 36)
        try LocalAddress.succeed(System.makePrivateDirectory(parent.rawValue, name), .bind, path.full)
        let nest: Descriptor
        do throws(SystemError) {
            nest = try System.openDirectory(name, in: parent.rawValue)
        } catch {
            System.removeDirectory(parent.rawValue, name)
            throw SocketError.from(errno: error.number, doing: .bind, peer: path.full)
        }
        self.parent = parent
        self.reference = nest
        self.name = name
        self.path = path.directory + "/" + name
    }

    /// A path that is short enough for an address, however long the folder's own is.
    var filePath: String {
        let plain = path + "/" + Nest.file
        return plain.utf8.count <= SocketAddress.maximumPathLength ? plain : System.pathOfDescriptor(descriptor) + "/" + Nest.file
    }

    func bind(_ socket: Int32) -> Int {
        guard let address = SocketAddress(localPath: Array(filePath.utf8), abstract: false) else { return -Int(ENAMETOOLONG) }
        return System.bind(socket, address)
    }

    deinit {
        _ = System.removeFile(descriptor, Nest.file)
        System.removeDirectory(parent.rawValue, name)
    }
}
