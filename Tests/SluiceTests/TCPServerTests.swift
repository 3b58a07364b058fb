import Glibc
import Sluice
import Testing

/// Listening on TCP, waiting for connections, and listening descriptors.
@Suite struct TCPServerTests {
    @Test func listeningPicksAPort() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        #expect(!server.isListening && server.port == 0 && server.address == "" && server.descriptor == -1)
        try server.listen("127.0.0.1")
        #expect(server.isListening && server.port > 0 && server.address == "127.0.0.1")
        #expect(code { try server.listen("127.0.0.1") } == .operation)
        #expect(server.isListening && server.error == .operation)
        server.close()
        #expect(server.port == 0 && server.address == "")
        try server.listen("LocalHost")
        #expect(server.address == "127.0.0.1" && server.error == .noError)
    }

    @Test func aFailedListenLeavesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let other = try RawListener.tcp()
        let server = bench.tcpServer()
        #expect(code { try server.listen("127.0.0.1", port: other.port) } == .addressInUse)
        #expect(!server.isListening && server.descriptor == -1 && server.error == .addressInUse)
        #expect(server.errorString.contains("127.0.0.1:\(other.port)"))
        #expect(code { try server.listen("192.0.2.1") } == .socketAddressNotAvailable)
        for bad in ["", "not an address", "127.0.0.1\0"] { #expect(code { try server.listen(bad) } == .unsupportedSocketOperation) }
        for bad in [-1, 65536] { #expect(code { try server.listen("127.0.0.1", port: bad) } == .portNumberOutOfRange) }
        #expect(server.descriptor == -1)
        try server.listen("127.0.0.1")
        #expect(server.error == .noError && server.errorString == "")
    }

    @Test func serversShareAPortWhenAllAgree() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (first, second) = (bench.tcpServer(), bench.tcpServer())
        try first.listen("127.0.0.1", mode: .reusePort)
        try second.listen("127.0.0.1", port: first.port, mode: .reusePort)
        #expect(code { try bench.tcpServer().listen("127.0.0.1", port: first.port) } == .addressInUse)
        first.close()
        let peer = try RawPeer.connect(to: .ipv4(port: second.port))
        bench.run { second.hasPendingConnections }
        withExtendedLifetime(peer) {}
    }

    // MARK: Waiting

    /// The deferred form, run to its answer.
    private func deferred(_ bench: Bench, _ server: Server, _ timeout: Int) -> (Bool, Bool) {
        var answers: [(Bool, Bool)] = []
        server.beginWaitForNewConnection(timeout: timeout) { answers.append(($0, $1)) }
        bench.run { !answers.isEmpty }
        try? bench.settle()
        #expect(answers.count == 1)
        return answers.first ?? (false, false)
    }

    private func wait(_ form: WaitForm, _ bench: Bench, _ server: Server, _ timeout: Int) -> (Bool, Bool) {
        form == .blocking ? server.waitForNewConnection(timeout: timeout) : deferred(bench, server, timeout)
    }

    @Test(arguments: WaitForm.allCases, [0, 20]) func aWaitRunsOutOfTime(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        #expect(wait(form, bench, server, timeout) == (false, false), "not listening")
        try server.listen("127.0.0.1")
        #expect(wait(form, bench, server, timeout) == (false, true))
        #expect(server.error == .socketTimeout && server.isListening)
    }

    @Test(arguments: WaitForm.allCases, [0, -1, Bench.patience]) func aConnectionThatIsThereIsSeen(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.listen("127.0.0.1")
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        #expect(wait(form, bench, server, timeout) == (true, false), "waiting with the system")
        #expect(log.events == ["pendingConnectionAvailable", "newConnection(1)"])
        #expect(wait(form, bench, server, timeout) == (true, false), "waiting to be taken")
        #expect(log.events.count == 2)
        #expect(server.nextPendingConnection() != nil)
        withExtendedLifetime(peer) {}
    }

    @Test(arguments: WaitForm.allCases) func aConnectionThatComesIsSeen(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        let port = server.port
        let client = try Worker {
            let peer = try RawPeer.connect(to: .ipv4(port: port))
            _ = try peer.receive()
        }
        #expect(wait(form, bench, server, -1) == (true, false))
        server.nextPendingConnection()?.abort()
        try client.join()
    }

    @Test(arguments: WaitForm.allCases) func aPausedServerAcceptsInAWait(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        server.pauseAccepting()
        let peers = try (0..<2).map { _ in try RawPeer.connect(to: .ipv4(port: server.port)) }
        #expect(wait(form, bench, server, Bench.patience) == (true, false))
        try bench.settle()
        #expect(server.nextPendingConnection() != nil && server.nextPendingConnection() == nil)
        withExtendedLifetime(peers) {}
    }

    @Test func aPausedServerAcceptsWhatComesDuringADeferredWait() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        server.pauseAccepting()
        var answers: [Bool] = []
        server.beginWaitForNewConnection(timeout: Bench.patience) { available, _ in answers.append(available) }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        bench.run { !answers.isEmpty }
        #expect(answers == [true], "as the blocking form would")
        withExtendedLifetime(peer) {}
    }

    @Test func closeAnswersAWait() throws {
        let bench = try Bench()
        defer { bench.end() }
        for destroying in [false, true] {
            let server = bench.tcpServer()
            try server.listen("127.0.0.1")
            var answers: [String] = []
            server.beginWaitForNewConnection(timeout: -1) { answers.append("\($0) \($1)") }
            let cancelled = server.beginWaitForNewConnection(timeout: -1) { _, _ in answers.append("cancelled") }
            cancelled?.cancel()
            if destroying { server.destroy() } else { server.close() }
            #expect(answers == ["false false"])
        }
    }

    @Test func closeInTheEventEndsABlockingWait() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let log = Recorder(server)
        try server.listen("127.0.0.1")
        log.once(.newConnection) { server.close() }
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        #expect(server.waitForNewConnection(timeout: -1).timedOut == false)
        #expect(!server.isListening && !server.hasPendingConnections)
        withExtendedLifetime(peer) {}
    }

    // MARK: Descriptors

    @Test func aListeningDescriptorIsTakenOver() throws {
        let bench = try Bench()
        defer { bench.end() }
        let raw = try RawListener.tcp()
        let server = bench.tcpServer()
        try server.setDescriptor(dup(raw.descriptor))
        #expect(server.isListening && server.port == raw.port && server.address == "127.0.0.1")
        let peer = try RawPeer.connect(to: .ipv4(port: raw.port))
        bench.run { server.hasPendingConnections }
        withExtendedLifetime(peer) {}
    }

    @Test func descriptorsThatDoNotListenAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        let fresh = RawPeer(owning: try rawSocket(AF_INET))
        let bound = try RawListener.deaf()
        let local = try RawListener(at: .local(bench.folder.path("local")))
        let link = try bench.link()
        for descriptor in [-1, 19_999, 0, fresh.descriptor, bound.descriptor, local.descriptor, link.peer.descriptor] {
            #expect(code { try server.setDescriptor(descriptor) } == .unsupportedSocketOperation, "\(descriptor)")
            #expect(!server.isListening && server.descriptor == -1)
        }
        #expect(fcntl(fresh.descriptor, F_GETFD) >= 0, "what is refused stays the caller's")
        let other = bench.tcpServer()
        try other.listen("127.0.0.1")
        #expect(code { try server.setDescriptor(other.descriptor) } == .operation)
        #expect(code { try other.setDescriptor(dup(other.descriptor)) } == .operation, "it listens already")
    }

    @Test func aListeningDescriptorIsGivenAway() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        #expect(code { _ = try server.takeDescriptor() } == .invalidState)
        try server.listen("127.0.0.1")
        let port = server.port
        let waiting = try RawPeer.connect(to: .ipv4(port: port))
        bench.run { server.hasPendingConnections }
        #expect(code { _ = try server.takeDescriptor() } == .operation, "somebody waits to be taken")
        server.nextPendingConnection()?.abort()
        let descriptor = try server.takeDescriptor()
        #expect(!server.isListening && server.descriptor == -1)
        let heir = bench.tcpServer()
        try heir.setDescriptor(descriptor)
        let peer = try RawPeer.connect(to: .ipv4(port: port))
        bench.run { heir.hasPendingConnections }
        withExtendedLifetime((waiting, peer)) {}
    }
}
