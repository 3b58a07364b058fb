import Glibc
import Sluice
import Testing

/// Servers whose connections are not made sockets of, and sockets that are put into a server's queue.
@Suite struct IncomingConnectionTests {
    private func listening(_ bench: Bench) throws -> (TCPServer, Recorder) {
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        return (server, Recorder(server))
    }

    @Test func theHandlerGetsTheRawDescriptor() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let socket = bench.tcpSocket()
        server.setIncomingHandler { try? socket.setDescriptor($0) }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { log.saw(.newConnection) }
        #expect(log.events == ["newConnection(0)"])
        #expect(!server.hasPendingConnections && server.nextPendingConnection() == nil && socket.state == .connected)
        #expect(fcntl(socket.descriptor, F_GETFD) & FD_CLOEXEC != 0)
        try peer.send("hi")
        bench.run { socket.bytesAvailable == 2 }
    }

    @Test func aSocketCanBeQueuedFromTheHandler() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let socket = bench.tcpSocket()
        server.setIncomingHandler { descriptor in
            try? socket.setDescriptor(descriptor)
            try? server.addPendingConnection(socket)
        }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { log.saw(.newConnection) }
        #expect(log.events == ["pendingConnectionAvailable", "newConnection(1)"])
        try socket.setReadBufferSize(3)
        try peer.send("hello")
        #expect(server.nextPendingConnection() === socket)
        bench.run { socket.bytesAvailable == 3 }
        #expect(socket.readBufferSize == 3, "its limit is its owner's")
        #expect(server.nextPendingConnection() == nil)
    }

    @Test func withoutAHandlerSocketsAreMadeAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        var taken: [Int32] = []
        server.setIncomingHandler { taken.append($0) }
        let first = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { !taken.isEmpty }
        taken.forEach { _ = close($0) }
        server.setIncomingHandler(nil)
        let second = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { server.hasPendingConnections }
        #expect(log.events.suffix(2) == ["pendingConnectionAvailable", "newConnection(1)"] && taken.count == 1)
        withExtendedLifetime((first, second)) {}
    }

    @Test func theEventBringsTheDescriptor() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, _) = try listening(bench)
        server.sendIncomingConnections()
        var got: [Int32] = []
        server.onEvent { if case .incomingConnection(let descriptor) = $0 { got.append(descriptor) } }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { got.count == 1 }
        let socket = bench.tcpSocket()
        try socket.setDescriptor(got[0])
        try peer.send("hi")
        bench.run { socket.bytesAvailable == 2 }
        server.subscribedEvents = .none
        let unwanted = try RawPeer.connect(to: .ipv4(port: server.port))
        let watch = try bench.collect(unwanted)
        bench.run { watch.ended }
        #expect(got.count == 1)
        server.receiver = nil
    }

    @Test(arguments: [0, 1]) func aHandlerAnswersTheWait(deferred: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, _) = try listening(bench)
        let socket = bench.tcpSocket()
        server.setIncomingHandler { try? socket.setDescriptor($0) }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        if deferred == 0 {
            let result = server.waitForNewConnection(timeout: Bench.patience)
            #expect(result == (true, false))
        } else {
            var answer: Bool?
            server.beginWaitForNewConnection(timeout: Bench.patience) { available, _ in answer = available }
            bench.run { answer != nil }
            #expect(answer == true)
        }
        #expect(socket.state == .connected)
        withExtendedLifetime(peer) {}
    }

    @Test func whatCannotWaitIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let socket = bench.tcpSocket()
        #expect(code { try server.addPendingConnection(socket) } == .operation)
        let listener = try RawListener.tcp()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        try server.addPendingConnection(socket)
        #expect(code { try server.addPendingConnection(socket) } == .operation)
        #expect(log.events == ["pendingConnectionAvailable"])
        let other = try Bench()
        defer { other.end() }
        let foreign = other.tcpSocket()
        #expect(code { try server.addPendingConnection(foreign) } == .wrongThread)
        // It is its owner's: the server's end is not its own.
        server.close()
        #expect(socket.state == .connected && !server.hasPendingConnections)
        #expect(code { try server.addPendingConnection(socket) } == .operation)
    }

    @Test func aHandlerMayDestroyTheServer() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        server.setIncomingHandler { descriptor in
            server.destroy()
            close(descriptor)
        }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { server.isDestroyed }
        #expect(log.events == [])
        withExtendedLifetime(peer) {}
    }
}
