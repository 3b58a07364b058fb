import Glibc
import Sluice
import Testing

/// An encrypted stream does what a plain one does.
@Suite struct TLSStreamTests {
    @Test func theReadLimitHoldsThePeerBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair()
        try pair.server.setReadBufferSize(10_000)
        let size = 20 << 20
        let bytes = pattern(size)
        try pair.client.put(bytes)
        bench.run { pair.server.bytesAvailable == 10_000 }
        try bench.settle()
        #expect(pair.server.bytesAvailable == 10_000)
        #expect(pair.client.bytesToWrite > size / 2, "the peer was held back")
        var received: [UInt8] = []
        while received.count < size {
            received += try pair.server.readAll()
            #expect(pair.server.bytesAvailable <= 10_000)
            if received.count < size, pair.server.bytesAvailable == 0 { bench.run { pair.server.bytesAvailable > 0 } }
        }
        #expect(received == bytes)
        bench.run { pair.client.bytesToWrite == 0 }
        #expect(pair.clientLog.bytesWritten == size)
    }

    @Test func theWriteLimitHolds() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair()
        try pair.client.setWriteBufferSize(1000)
        #expect(try pair.client.write(pattern(3000)) == 1000)
        #expect(try pair.client.write([1]) == 0)
        bench.run { pair.client.bytesToWrite == 0 }
        #expect(pair.clientLog.bytesWritten == 1000)
    }

    /// What is queued at the close goes before the end, which is one of TLS's own.
    @Test func closingSendsTheRest() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair()
        try pair.server.setReadBufferSize(50_000)
        let bytes = pattern(8 << 20)
        try pair.client.put(bytes)
        bench.run { pair.server.bytesAvailable == 50_000 }
        pair.client.disconnectFromHost()
        #expect(pair.client.state == .closing)
        var received: [UInt8] = []
        while !pair.server.isGone || pair.server.bytesAvailable > 0 {
            received += try pair.server.readAll()
            if pair.server.bytesAvailable == 0, !pair.server.isGone { bench.run { pair.server.bytesAvailable > 0 || pair.server.isGone } }
        }
        #expect(received == bytes)
        bench.run { pair.client.isGone }
        #expect(pair.clientLog.bytesWritten == bytes.count)
        #expect(pair.clientLog.errors.isEmpty)
        #expect(pair.serverLog.errors.map(\.code) == [.remoteHostClosed])
    }

    @Test func halfCloseKeepsTheOtherHalf() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair()
        pair.client.allowHalfOpen = true
        pair.server.allowHalfOpen = true
        try pair.client.put("question")
        try pair.client.shutdownWrite()
        bench.run { pair.serverLog.saw(.readChannelFinished) }
        #expect(text(try pair.server.readAll()) == "question")
        #expect(pair.server.state == .connected && pair.serverLog.errors.isEmpty)
        #expect(code { _ = try pair.client.write("more") } == .operation)
        try pair.server.put(pattern(200_000))
        bench.run { pair.client.bytesAvailable == 200_000 }
        try pair.server.shutdownWrite()
        bench.run { pair.client.isGone && pair.server.isGone }
        #expect(pair.clientLog.errors.isEmpty && pair.serverLog.errors.isEmpty)
        #expect(try pair.client.readAll() == pattern(200_000))
    }

    /// A server's tickets come when the client has said all it had to say: they must not cost its last bytes.
    @Test(arguments: WaitForm.allCases) func writingAndClosingLosesNothing(_ form: WaitForm) throws {
        let ready = Shared(0)
        let received = Shared([Int]())
        let worker = try Worker {
            let loop = try EventLoop()
            let server = TCPServer(loop: loop)
            try server.setTLSConfiguration(.server())
            try server.listen("127.0.0.1")
            ready.change { $0 = server.port }
            for _ in 0..<20 {
                #expect(server.waitForNewConnection(timeout: Bench.patience).available)
                let socket = try #require(server.nextPendingConnection())
                #expect(socket.waitForReadyRead(timeout: Bench.patience))
                while socket.waitForReadyRead(timeout: Bench.patience) {}
                #expect(socket.error == .remoteHostClosed)
                received.change { $0.append(socket.bytesAvailable) }
            }
        }
        while ready.value == 0 { usleep(1000) }
        let bench = try Bench()
        defer { bench.end() }
        for _ in 0..<20 {
            let socket = try bench.tlsSocket()
            try socket.connectToHostEncrypted("127.0.0.1", port: ready.value)
            try socket.put(pattern(400_000))
            socket.disconnectFromHost()
            if !socket.isGone { #expect(wait(form, bench, socket, .disconnected, Bench.patience)) }
            #expect(socket.isGone)
        }
        try worker.join()
        #expect(received.value == Array(repeating: 400_000, count: 20))
    }

    /// A transport of the user's own carries the encrypted bytes.
    @Test func aTransportCarriesIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, other) = Pipe.pair(bench.loop)
        let client = try bench.tlsSocket(), server = try bench.tlsSocket(.server())
        try client.setTransport(one)
        try server.setTransport(other)
        one.socket = client
        other.socket = server
        for _ in 0..<2 {
            try server.connectToHost("client", port: 1)
            try server.startServerEncryption()
            try client.connectToHostEncrypted("localhost", port: 1)
            bench.run { client.isEncrypted && server.isEncrypted }
            try client.put(pattern(500_000))
            bench.run { server.bytesAvailable == 500_000 }
            #expect(try server.readAll() == pattern(500_000))
            client.disconnectFromHost()
            bench.run { server.isGone }
            #expect(server.error == .remoteHostClosed)
            #expect(one.isClosed && other.isClosed)
        }
        // Without encryption it is what it was.
        try server.connectToHost("client", port: 1)
        try client.connectToHost("localhost", port: 1)
        try client.put("plain")
        bench.run { server.bytesAvailable == 5 }
        #expect(text(try server.readAll()) == "plain")
    }

    @Test func abortCutsTheConnection() throws {
        let bench = try Bench()
        defer { bench.end() }
        let pair = try bench.tlsPair()
        pair.client.abort()
        bench.run { pair.server.isGone }
        let error = try #require(pair.serverLog.errors.first)
        // Cut off, or reset where something was unread.
        #expect([.sslInternal, .remoteHostClosed].contains(error.code))
        #expect(error.code == .sslInternal ? error.message.contains("close_notify") : error.systemError == ECONNRESET)
    }

    /// Blocking waits do without a running loop: the peer runs on a thread of its own.
    @Test(arguments: TLSVersion.allCases) func itWorksWithoutALoop(_ version: TLSVersion) throws {
        let ready = Shared(0)
        let size = 3 << 20
        let worker = try Worker {
            let loop = try EventLoop()
            let server = TCPServer(loop: loop)
            try server.setTLSConfiguration(.server().with { $0.minimumVersion = version })
            try server.listen("127.0.0.1")
            ready.change { $0 = server.port }
            #expect(server.waitForNewConnection(timeout: Bench.patience).available)
            let socket = try #require(server.nextPendingConnection() as? TLSSocket)
            #expect(socket.waitForEncrypted(timeout: Bench.patience))
            var received: [UInt8] = []
            while received.count < size, socket.waitForReadyRead(timeout: Bench.patience) { received += try socket.readAll() }
            #expect(received == pattern(size))
            try socket.put(received)
            socket.disconnectFromHost()
            #expect(socket.isGone || socket.waitForDisconnected(timeout: Bench.patience))
        }
        while ready.value == 0 { usleep(1000) }
        let loop = try EventLoop()
        let socket = TLSSocket(loop: loop)
        try socket.setConfiguration(.client)
        try socket.connectToHostEncrypted("localhost", port: ready.value, protocol: .ipv4)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(!socket.isEncrypted)
        try socket.put(pattern(size))
        #expect(socket.waitForEncrypted(timeout: Bench.patience))
        #expect(socket.waitForEncrypted(timeout: 0))
        try socket.sync(timeout: Bench.patience)
        var received: [UInt8] = []
        while received.count < size, socket.waitForReadyRead(timeout: Bench.patience) { received += try socket.readAll() }
        #expect(received == pattern(size))
        #expect(!socket.waitForReadyRead(timeout: Bench.patience))
        #expect(socket.isGone && socket.error == .remoteHostClosed)
        try worker.join()
    }

    @Test(arguments: WaitForm.allCases) func waitingForEncryption(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        #expect(!wait(form, bench, socket, .encrypted, 0))
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
        let log = tlsLog(socket)
        // The peer says nothing.
        #expect(!wait(form, bench, socket, .encrypted, 50))
        #expect(socket.state == .connected && log.errors.map(\.code) == [.socketTimeout])
        let peer = try listener.accept()
        peer.close()
        #expect(!wait(form, bench, socket, .encrypted, Bench.patience))
        #expect(socket.error == .sslHandshakeFailed)
    }

    @Test func manyHandlersActions() throws {
        for type in [EventType.connected, .encrypted, .readyRead, .bytesWritten, .disconnected, .stateChanged] {
            for action in 0..<4 {
                let bench = try Bench()
                defer { bench.end() }
                let listener = try bench.tlsServer()
                let server = tlsLog(listener)
                server.on(.newConnection) { [weak bench] in
                    guard let bench, let socket = listener.nextPendingConnection() else { return }
                    _ = try? bench.keep(socket).write("greeting")
                }
                let socket = try bench.tlsSocket()
                let log = tlsLog(socket)
                var done = false
                log.once(type) {
                    done = true
                    switch action {
                    case 0: socket.destroy()
                    case 1: socket.abort()
                    case 2: socket.disconnectFromHost()
                    default:
                        socket.abort()
                        try? socket.connectToHostEncrypted("localhost", port: listener.port, protocol: .ipv4)
                    }
                }
                try socket.connectToHostEncrypted("localhost", port: listener.port, protocol: .ipv4)
                if type == .bytesWritten { try socket.put(pattern(100_000)) }
                if type == .disconnected { log.once(.encrypted) { socket.disconnectFromHost() } }
                if !bench.run(until: { done }) { Issue.record("\(type) \(action) \(log.events)") }
                if action == 3 {
                    if !bench.run(until: { socket.isEncrypted }) { Issue.record("\(type) \(action) \(log.events) \(log.errors)") }
                    socket.abort()
                }
                try bench.settle()
            }
        }
    }

    /// A program that only uses the blocking calls never gives its loop a turn: nothing is kept by it.
    @Test func aBlockingProgramKeepsNothing() throws {
        let peer = try PeerProgram.python("echo")
        let loop = try EventLoop()
        for round in 0..<6 {
            weak var remembered: TLSSocket?
            do {
                let socket = TLSSocket(loop: loop)
                remembered = socket
                try socket.setConfiguration(.client)
                try socket.connectToHostEncrypted("localhost", port: peer.port, protocol: .ipv4)
                try socket.put("hello")
                if round % 2 == 0 { #expect(socket.waitForEncrypted(timeout: Bench.patience)) }
                while socket.bytesAvailable < 5, socket.waitForReadyRead(timeout: Bench.patience) {}
                #expect(text(try socket.readAll()) == "hello")
                switch round / 2 {
                case 0: socket.disconnectFromHost()
                case 1: socket.abort()
                default: break
                }
            }
            #expect(remembered == nil, "round \(round)")
        }
    }

    /// A socket that is let go of in the midst of its handshake leaves nothing behind.
    @Test func aDroppedSocketIsGone() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        weak var remembered: TLSSocket?
        for _ in 0..<3 {
            let socket = TLSSocket(loop: bench.loop)
            try socket.setConfiguration(.client)
            try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
            #expect(socket.waitForConnected(timeout: Bench.patience))
            remembered = socket
            _ = try listener.accept().receive()
            socket.abort()
        }
        try bench.settle()
        #expect(remembered == nil)
    }

    // MARK: Resumption

    @Test(arguments: TLSVersion.allCases) func aSessionIsResumed(_ version: TLSVersion) throws {
        let bench = try Bench()
        defer { bench.end() }
        let ciphers = version == .tls12 ? "ECDHE+AESGCM" : ""
        let listener = try bench.tlsServer(.server().with { $0.ciphers = ciphers })
        func connect(_ configuration: TLSConfiguration, host: String = "localhost", forgiving: Bool = false) throws -> (resumed: Bool, ticket: String, errors: [SocketError]) {
            let socket = try bench.tlsSocket(configuration)
            if forgiving { socket.ignoreErrors() }
            let log = tlsLog(socket)
            try socket.connectToHostEncrypted(host, port: listener.port, protocol: .ipv4)
            bench.run { listener.hasPendingConnections }
            let server = bench.keep(try #require(listener.nextPendingConnection()))
            try server.put("hello")
            bench.run { socket.bytesAvailable == 5 || socket.isGone }
            let resumed = socket.isSessionResumed
            if resumed { #expect(socket.peerCertificate?.commonName == "server") }
            socket.disconnectFromHost()
            return (resumed, socket.sessionTicket, log.errors)
        }
        let first = try connect(.client)
        #expect(!first.resumed)
        #expect(first.ticket.hasPrefix("-----BEGIN SSL SESSION PARAMETERS-----"))
        let second = try connect(.client.with { $0.sessionTicket = first.ticket })
        #expect(second.resumed && second.errors.isEmpty)
        // One policy's session is nothing to another.
        let others = try connect(.client.with { $0.sessionTicket = first.ticket; $0.certificateAuthorities = Certificates.path("self.pem") })
        #expect(others.errors.first?.code == .sslHandshakeFailed)
        let lax = try connect(.client.with { $0.verifyMode = .none })
        let strict = try connect(.client.with { $0.sessionTicket = lax.ticket })
        #expect(!strict.resumed && strict.errors.isEmpty)
        // A certificate that came with the session is for the host as one that came by itself.
        let wrongHost = try connect(.client.with { $0.sessionTicket = second.ticket.isEmpty ? first.ticket : second.ticket; $0.verifyName = "example.org" })
        #expect(wrongHost.errors.first?.message.contains("not example.org") == true, "\(wrongHost)")
        let forgiven = try connect(.client.with { $0.verifyName = "example.org" }, forgiving: true)
        #expect(forgiven.errors.isEmpty)
        let unforgiven = try connect(.client.with { $0.sessionTicket = forgiven.ticket; $0.verifyName = "example.org" })
        #expect(unforgiven.errors.first?.code == .sslHandshakeFailed)
    }
}

/// Two transports that bring their bytes to each other, in small pieces.
private final class Pipe: Sluice.Transport {
    private let loop: EventLoop
    private weak var peer: Pipe?
    weak var socket: TLSSocket?
    private var incoming: [UInt8] = []
    private var hasEnded = false
    private(set) var isClosed = true

    private init(_ loop: EventLoop) { self.loop = loop }

    static func pair(_ loop: EventLoop) -> (Pipe, Pipe) {
        let one = Pipe(loop), other = Pipe(loop)
        one.peer = other
        other.peer = one
        return (one, other)
    }

    func connect(to host: String, port: Int) -> Int {
        isClosed = false
        hasEnded = false
        incoming = []
        return 0
    }

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard !incoming.isEmpty else { return hasEnded ? 0 : -Int(EAGAIN) }
        let piece = incoming.prefix(min(buffer.count, 5000))
        buffer.copyBytes(from: piece)
        incoming.removeFirst(piece.count)
        tell(peer)
        return piece.count
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let peer, !peer.isClosed else { return -Int(EPIPE) }
        guard peer.incoming.count < 30_000 else { return -Int(EAGAIN) }
        let piece = bytes.prefix(7000)
        peer.incoming += piece
        tell(peer)
        return piece.count
    }

    func close() {
        isClosed = true
        peer?.hasEnded = true
        tell(peer)
    }

    private func tell(_ pipe: Pipe?) {
        _ = loop.addTimer(after: 0) { [weak pipe] in pipe?.socket?.transportReady(readable: true, writable: true) }
    }
}
