import Glibc
import Sluice
import Synchronization
import Testing

enum Transport: CaseIterable, CustomTestStringConvertible {
    case tcp, local

    var testDescription: String { self == .tcp ? "TCP" : "local" }
}

/// A socket of the library's with a raw one at the other end.
struct Link {
    let socket: StreamSocket
    let log: Recorder
    let peer: RawPeer
}

/// What one test works with: a loop on its own thread, and what lives on it.
final class Bench {
    /// Milliseconds after which a test gives up; nothing is ever asserted about shorter times.
    static let patience = 30_000

    let loop: EventLoop
    let folder: TempFolder
    private var sources: [EventSource] = []
    private var peers: [RawPeer] = []

    init() throws {
        loop = try EventLoop()
        folder = try TempFolder()
    }

    /// Ends all objects, so that handlers that refer to them keep nothing alive.
    func end() {
        for source in sources {
            (source.receiver as? Recorder)?.stopActing()
            source.destroy()
        }
        sources = []
        peers = []
        loop.destroy()
    }

    func keep<Source: EventSource>(_ source: Source) -> Source {
        sources.append(source)
        return source
    }

    func tcpSocket() -> TCPSocket { keep(TCPSocket(loop: loop)) }
    func localSocket() -> LocalSocket { keep(LocalSocket(loop: loop)) }
    func tcpServer() -> TCPServer { keep(TCPServer(loop: loop)) }
    func localServer() -> LocalServer { keep(LocalServer(loop: loop)) }

    /// Runs the loop until this holds.
    @discardableResult
    func run(until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) -> Bool {
        var gaveUp = false
        let watchdog = loop.addTimer(after: Self.patience) { gaveUp = true }
        defer { watchdog.cancel() }
        while !gaveUp, !condition() {
            do { _ = try loop.runOnce(timeout: -1) } catch {
                Issue.record(error, sourceLocation: sourceLocation)
                return false
            }
        }
        // Even if it holds by now: the loop slept on when it should have come back.
        if gaveUp { Issue.record("gave up waiting", sourceLocation: sourceLocation) }
        return !gaveUp
    }

    /// Runs the loop until it finds nothing more to do.
    func settle() throws {
        var turns = 0
        var idleTurns = 0
        while idleTurns < 3, turns < 10_000 {
            idleTurns = try loop.runOnce(timeout: 0) ? 0 : idleTurns + 1
            turns += 1
        }
        #expect(turns < 10_000, "the loop never comes to rest")
    }

    /// A connected pair; connecting has been written down and forgotten.
    func link(_ transport: Transport = .tcp, openMode: OpenMode = .readWrite, prepare: (StreamSocket) throws -> Void = { _ in }) throws -> Link {
        let socket: StreamSocket
        let listener: RawListener
        switch transport {
        case .tcp:
            let tcp = tcpSocket()
            try prepare(tcp)
            listener = try .tcp()
            try tcp.connectToHost("127.0.0.1", port: listener.port, openMode: openMode)
            socket = tcp
        case .local:
            let local = localSocket()
            try prepare(local)
            let path = folder.path("raw-\(sources.count)")
            listener = try RawListener(at: .local(path))
            try local.connectToServer(path, openMode: openMode)
            socket = local
        }
        let log = Recorder(socket)
        try #require(socket.waitForConnected(timeout: Self.patience))
        let peer = try listener.accept()
        peers.append(peer)
        log.clear()
        return Link(socket: socket, log: log, peer: peer)
    }

    /// Has the loop gather all that comes to the raw end.
    func collect(_ peer: RawPeer) throws -> Collector { try Collector(peer, loop: loop) }
}

/// Gathers what comes to a raw peer while the loop runs.
final class Collector {
    private(set) var bytes: [UInt8] = []
    private(set) var ended = false
    private(set) var failure: Int32 = 0
    private var watch: DescriptorWatch?

    init(_ peer: RawPeer, loop: EventLoop) throws {
        watch = try loop.watch(descriptor: peer.descriptor, readable: true, writable: false) { [weak self] _, _ in self?.take(peer) }
    }

    private func take(_ peer: RawPeer) {
        do {
            guard let chunk = try peer.receiveNow(1 << 20) else { return }
            bytes += chunk
            if chunk.isEmpty { finish() }
        } catch {
            failure = (error as? RawFailure)?.number ?? -1
            finish()
        }
    }

    private func finish() {
        ended = true
        watch?.cancel()
        watch = nil
    }
}

/// A folder that goes with its contents.
final class TempFolder {
    let path: String

    init() throws {
        var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw RawFailure("mkdtemp") }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in contents { unlink(path(name)); rmdir(path(name)) }
        rmdir(path)
    }

    func path(_ name: String) -> String { path + "/" + name }

    /// All names in it, hidden ones too.
    var contents: [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func mode(of name: String) -> mode_t? {
        var status = stat()
        return lstat(path(name), &status) == 0 ? status.st_mode & 0o7777 : nil
    }
}

/// A thread of the test's own; `join` tells what it found out.
final class Worker: @unchecked Sendable {
    private var thread = pthread_t()
    private let body: @Sendable () throws -> Void
    private var failure: (any Error)?

    init(_ body: @escaping @Sendable () throws -> Void) throws {
        self.body = body
        let result = pthread_create(&thread, nil, { context in
            guard let context else { return nil }
            let worker = Unmanaged<Worker>.fromOpaque(context).takeRetainedValue()
            do { try worker.body() } catch { worker.failure = error }
            return nil
        }, Unmanaged.passRetained(self).toOpaque())
        guard result == 0 else { throw RawFailure("pthread_create", result) }
    }

    func join() throws {
        pthread_join(thread, nil)
        if let failure { throw failure }
    }
}

/// Something that several threads write to.
final class Shared<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) { storage = Mutex(value) }

    var value: Value { storage.withLock { $0 } }
    func change(_ body: (inout sending Value) -> Void) { storage.withLock { body(&$0) } }
}

/// Bytes of which no two blocks are alike, so that a lost, doubled or misplaced piece shows.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
    var state = seed &* 0x9E37_79B9_7F4A_7C15 | 1
    return [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
        for index in 0..<count {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            buffer[index] = UInt8(truncatingIfNeeded: state)
        }
        initialized = count
    }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

/// The code of the error that this throws.
func code(of body: () throws -> Void) -> SocketError.Code? {
    do {
        try body()
        return nil
    } catch {
        return (error as? SocketError)?.code
    }
}

extension StreamSocket {
    /// Writes all of it, or fails the test.
    func put(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) throws {
        let written = try write(bytes)
        #expect(written == bytes.count, sourceLocation: sourceLocation)
    }

    func put(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try put(Array(text.utf8), sourceLocation: sourceLocation)
    }

    var isGone: Bool { state == .unconnected }
}
