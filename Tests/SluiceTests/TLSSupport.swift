import Glibc
import Sluice
import Synchronization
import Testing

/// The certificates of the TLS tests, made once.
enum Certificates {
    static let folder: String = {
        var template = Array("/tmp/sluice-tls-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { return "" }
        let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        atexit { _ = system("rm -rf '\(Certificates.folder)'") }
        return system("sh '\(Certificates.script)' '\(folder)'") == 0 ? folder : ""
    }()

    /// Beside this file's folder.
    private static let script = folderOfPeers + "/make-certificates.sh"

    static let folderOfPeers: String = {
        let parts = #filePath.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/tls"
    }()

    static func path(_ name: String) -> String { folder + "/" + name }

    static func text(_ name: String) -> String {
        guard let file = fopen(path(name), "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        return String(decoding: bytes[..<fread(&bytes, 1, bytes.count, file)], as: UTF8.self)
    }
}

extension TLSConfiguration {
    /// Trusts the tests' root.
    static var client: TLSConfiguration {
        var configuration = TLSConfiguration()
        configuration.certificateAuthorities = Certificates.path("root.pem")
        return configuration
    }

    static func server(_ name: String = "server", chain: String? = nil) -> TLSConfiguration {
        var configuration = TLSConfiguration()
        configuration.certificate = Certificates.path(chain ?? "\(name)-chain.pem")
        configuration.privateKey = Certificates.path("\(name).key")
        return configuration
    }

    func with(_ change: (inout TLSConfiguration) -> Void) -> TLSConfiguration {
        var copy = self
        change(&copy)
        return copy
    }
}

/// An encrypted connection whose ends are both the library's.
struct TLSPair {
    let client: TLSSocket
    let server: TLSSocket
    let clientLog: Recorder
    let serverLog: Recorder
}

/// Writes down what happens, but for the changes of properties.
func tlsLog(_ source: EventSource) -> Recorder {
    let log = Recorder(source)
    source.subscribedEvents = EventMask(rawValue: EventMask.all.rawValue & ~EventMask(.propertyChanged).rawValue)
    return log
}

extension Bench {
    func tlsSocket(_ configuration: TLSConfiguration = .client) throws -> TLSSocket {
        let socket = keep(TLSSocket(loop: loop))
        try socket.setConfiguration(configuration)
        return socket
    }

    func tlsServer(_ configuration: TLSConfiguration = .server()) throws -> TCPServer {
        let server = tcpServer()
        try server.setTLSConfiguration(configuration)
        try server.listen("127.0.0.1")
        return server
    }

    /// Connects both ends; the handshake has only begun.
    func tlsConnect(
        _ client: TLSConfiguration = .client, _ server: TLSConfiguration = .server(), host: String = "localhost",
        prepare: (TLSSocket) throws -> Void = { _ in }, prepareServer: (TLSSocket) throws -> Void = { _ in }
    ) throws -> TLSPair {
        let listener = try tlsServer(server)
        let socket = try tlsSocket(client)
        try prepare(socket)
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted(host, port: listener.port, protocol: .ipv4)
        var taken: TLSSocket?
        listener.onEvent { [weak listener] event in
            if case .newConnection = event { taken = listener?.nextPendingConnection() as? TLSSocket }
        }
        run { taken != nil || socket.state == .unconnected }
        let accepted = keep(try #require(taken))
        try prepareServer(accepted)
        return TLSPair(client: socket, server: accepted, clientLog: log, serverLog: tlsLog(accepted))
    }

    func tlsPair(_ client: TLSConfiguration = .client, _ server: TLSConfiguration = .server(), host: String = "localhost") throws -> TLSPair {
        let pair = try tlsConnect(client, server, host: host)
        run { pair.client.isEncrypted && pair.server.isEncrypted || pair.client.isGone || pair.server.isGone }
        try #require(pair.client.isEncrypted && pair.server.isEncrypted, "\(pair.clientLog.errors) \(pair.serverLog.errors)")
        return pair
    }
}

/// Another program at the other end: its standard input and output are a socket of ours.
final class PeerProgram {
    let terminal: RawPeer
    private var process: pid_t = 0

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [-1, -1]
        try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends), "socketpair")
        terminal = RawPeer(owning: ends[0])
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[1], 0)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        let pointers = arguments.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        let result = posix_spawnp(&process, arguments[0], &actions, nil, pointers, environ)
        close(ends[1])
        guard result == 0 else { throw RawFailure("posix_spawnp", result) }
    }

    deinit {
        kill(process, SIGKILL)
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    /// Reads until the program has written this; returns everything up to it.
    @discardableResult
    func expect(_ text: String, _ next: String = "") throws -> String {
        var seen = ""
        func isThere() -> Bool {
            guard let place = seen.firstRange(of: text) else { return false }
            return next.isEmpty || seen[place.upperBound...].contains(next)
        }
        while !isThere() {
            let bytes = try terminal.receive()
            guard !bytes.isEmpty else { throw RawFailure("the peer ended before \"\(text)\": \(seen)", 0) }
            seen += String(decoding: bytes, as: UTF8.self)
        }
        return seen
    }

    /// Waits until the program has read what was sent.
    func takesAll() throws {
        var left: Int32 = 1
        while left > 0 {
            try check(ioctl(terminal.descriptor, UInt(TIOCOUTQ), &left), "ioctl")
            if left > 0 { usleep(1000) }
        }
    }

    /// A peer of Python's that says the port it listens on.
    static func python(_ arguments: String...) throws -> (program: PeerProgram, port: Int) {
        let program = try PeerProgram(["python3", Certificates.folderOfPeers + "/peer.py", Certificates.folder] + arguments)
        let line = try program.expect("\n")
        return (program, Int(line.split(separator: "\n").first ?? "") ?? 0)
    }
}

/// A way through which the bytes from the server to the client pass, and may be changed.
final class Interloper {
    private let listener: RawListener
    private let inner: Int
    /// It takes its first bytes for a request of HTTP CONNECT, and grants it.
    var isProxy = false
    private var watches: [DescriptorWatch] = []
    private var ends: [RawPeer] = []
    private(set) var request = ""
    private(set) var wasTouched = false
    var port: Int { listener.port }

    /// `change`: what is to pass in place of these bytes, before which so many passed; nil: the bytes themselves. Less of them ends it.
    /// `upstream`: it is the other direction that is changed.
    init(_ bench: Bench, to port: Int, upstream: Bool = false, change: @escaping ([UInt8], Int) -> [UInt8]?) throws {
        listener = try .tcp()
        inner = port
        watches.append(try bench.loop.watch(descriptor: listener.descriptor, readable: true, writable: false) { [weak self, weak bench] _, _ in
            guard let self, let bench, self.ends.isEmpty else { return }
            guard let outer = try? self.listener.accept(), let inside = try? RawPeer.connect(to: .ipv4(port: self.inner)) else { return }
            self.ends = [outer, inside]
            var total = 0
            let changing: ([UInt8]) -> [UInt8]? = { bytes in
                defer { total += bytes.count }
                return change(bytes, total)
            }
            self.pass(bench, from: outer, to: inside, upstream ? changing : { _ in nil })
            self.pass(bench, from: inside, to: outer, upstream ? { _ in nil } : changing)
        })
    }

    /// 0: all at once.
    var largestPiece = 0
    private var lastPiece = 0

    private func pieceSize() -> Int {
        guard largestPiece > 0 else { return .max }
        lastPiece = lastPiece % largestPiece + 1
        return lastPiece
    }

    private func pass(_ bench: Bench, from: RawPeer, to: RawPeer, _ change: @escaping ([UInt8]) -> [UInt8]?) {
        // The watch is found by its place: its closure must not hold it.
        let place = watches.count
        let watch = try? bench.loop.watch(descriptor: from.descriptor, readable: true, writable: false) { [weak self] _, _ in
            guard let bytes = try? from.receiveNow(1 << 20) else {
                self?.watches[place].cancel()
                return
            }
            if let self, self.isProxy {
                self.isProxy = false
                self.request = text(bytes)
                try? from.send("HTTP/1.1 200 Connection established\r\n\r\n")
                return
            }
            let changed = change(bytes)
            if changed != nil { self?.wasTouched = true }
            let passed = changed ?? bytes
            // In pieces of which no two have the same size.
            var rest = passed[...]
            while !rest.isEmpty, let size = self?.pieceSize() {
                guard let count = try? to.sendSome(rest.prefix(size)), count > 0 else { break }
                rest = rest.dropFirst(count)
            }
            if bytes.isEmpty || passed.count < bytes.count {
                to.shutdownWrite()
                self?.watches[place].cancel()
            }
        }
        if let watch { watches.append(watch) }
    }
}
