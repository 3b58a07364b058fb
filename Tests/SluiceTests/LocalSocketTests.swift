import Glibc
import Sluice
import Testing

@Suite struct LocalSocketTests {
    @Test func connectingIsDoneInsideTheCall() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let listener = try RawListener(at: .local(path))
        let socket = bench.localSocket()
        let log = Recorder(socket)
        #expect(socket.socketType == .local && socket.serverName == "" && socket.fullServerName == "")
        log.once(in: .connected) { #expect(!socket.isOpen) }
        log.once(.connected) { #expect(socket.isOpen && socket.state == .connected) }
        try socket.connectToServer(path)
        #expect(log.events == ["stateChanged(Connecting)", "stateChanged(Connected)", "connected"])
        #expect(socket.serverName == path && socket.fullServerName == path)
        #expect(socket.isValid && socket.descriptor >= 0 && socket.openMode == .readWrite)
        #expect(socket.peerAddress == "" && socket.peerPort == 0 && socket.localPort == 0 && socket.peerName == "")
        let peer = try listener.accept()
        try peer.send("hello")
        bench.run { socket.bytesAvailable == 5 }
        socket.disconnectFromServer()
        #expect(socket.isGone && socket.serverName == "" && socket.fullServerName == "")
    }

    @Test(arguments: ["nobody", "stale", "plain file"]) func aServerThatIsNotThereIsToldAfterTheState(what: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        if what == "stale" { do { _ = try RawListener(at: .local(path)) } }
        if what == "plain file" { close(try check(open(path, O_CREAT | O_WRONLY, 0o600), "open")) }
        let socket = bench.localSocket()
        let log = Recorder(socket)
        log.once(.errorOccurred) { #expect(socket.state == .unconnected) }
        try socket.connectToServer(path)
        let expected = what == "nobody" ? SocketError.Code.hostNotFound : .connectionRefused
        #expect(log.events == ["stateChanged(Connecting)", "stateChanged(Unconnected)", "errorOccurred(\(expected.name))"])
        #expect(socket.error == expected && !socket.isOpen && !socket.isValid)
        #expect(socket.serverName == "" && socket.fullServerName == "")
        let error = try #require(socket.lastError)
        #expect(error.message.contains(path))
        #expect(error.systemError == (what == "nobody" ? ENOENT : ECONNREFUSED))
        #expect(error.attempts.map(\.address) == [path] && error.attempts.first?.systemError == error.systemError)
        try bench.settle()
        #expect(log.events.count == 3)
    }

    @Test(arguments: ["", String(repeating: "x", count: 300), "/" + String(repeating: "x", count: 300), "with\0nul"])
    func aNameThatCannotBeIsAnError(name: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.localSocket()
        let log = Recorder(socket)
        try socket.connectToServer(name)
        #expect(socket.isGone && log.errors.count == 1)
        #expect(socket.error == .hostNotFound)
        #expect(socket.errorString.utf8.count < 1000)
    }

    @Test func aServerOfAnotherKindIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("datagrams")
        let other = RawPeer(owning: try rawSocket(AF_UNIX, SOCK_DGRAM))
        try check(RawAddress.local(path).call { bind(other.descriptor, $0, $1) }, "bind")
        let socket = bench.localSocket()
        try socket.connectToServer(path)
        #expect(socket.error == .unsupportedSocketOperation && socket.isGone)
    }

    @Test func aBareNameIsLookedForInTheTemporaryFolder() throws {
        let bench = try Bench()
        defer { bench.end() }
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        let name = "sluice-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let server = bench.localServer()
        try server.listen(name)
        #expect(server.serverName == name && server.fullServerName == folder + "/" + name)
        #expect(access(folder + "/" + name, F_OK) == 0)
        let socket = bench.localSocket()
        try socket.connectToServer(name)
        #expect(socket.state == .connected && socket.serverName == name && socket.fullServerName == folder + "/" + name)
        server.close()
        #expect(access(folder + "/" + name, F_OK) != 0)
    }

    @Test func theNameCanBeSetBefore() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let listener = try RawListener(at: .local(path))
        let socket = bench.localSocket()
        try socket.setServerName(path)
        #expect(socket.serverName == path)
        try socket.connectToServer()
        #expect(socket.state == .connected && listener.hasConnection)
        #expect(code { try socket.setServerName("other") } == .operation)
        #expect(code { try socket.setSocketOptions(.abstractNamespace) } == .operation)
        #expect(socket.serverName == path && socket.socketOptions == [])
    }

    @Test func aConnectionMakesNoOtherRoom() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(.local)
        let local = try #require(link.socket as? LocalSocket)
        #expect(code { try local.connectToServer("other") } == .operation)
        #expect(local.state == .connected && link.log.events == ["errorOccurred(OperationError)"])
        #expect(code { try local.connectToHost("127.0.0.1", port: 80) } == .unsupportedSocketOperation)
        #expect(code { try local.bind() } == .unsupportedSocketOperation)
    }

    // MARK: Abstract names

    @Test func abstractNamesHaveNoFile() throws {
        let bench = try Bench()
        defer { bench.end() }
        let name = "sluice-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let server = bench.localServer()
        try server.setSocketOptions(.abstractNamespace)
        try server.listen(name)
        #expect(server.serverName == name && server.fullServerName == name)
        #expect(access("/tmp/" + name, F_OK) != 0)

        let plain = bench.localSocket()
        try plain.connectToServer(name)
        #expect(plain.error == .hostNotFound, "without the option the name is that of a file")

        let socket = bench.localSocket()
        try socket.setSocketOptions(.abstractNamespace)
        try socket.connectToServer(name)
        #expect(socket.state == .connected && socket.fullServerName == name)
        bench.run { server.hasPendingConnections }
        let other = bench.localServer()
        try other.setSocketOptions(.abstractNamespace)
        #expect(code { try other.listen(name) } == .addressInUse)
        server.close()
        try other.listen(name)
    }

    @Test func anAbstractNameThatNobodyHasIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.localSocket()
        try socket.setSocketOptions(.abstractNamespace)
        try socket.connectToServer("sluice-test-nobody-\(UInt64.random(in: 0 ... .max))")
        #expect(socket.error == .connectionRefused)
        try socket.connectToServer(String(repeating: "x", count: 200))
        #expect(socket.error == .hostNotFound)
    }

    // MARK: A full queue

    /// A server whose queue is full.
    private func fullServer(_ bench: Bench) throws -> (listener: RawListener, path: String, waiting: [RawPeer]) {
        let path = bench.folder.path("full")
        let listener = try RawListener(at: .local(path), backlog: 0)
        return (listener, path, [try RawPeer.connect(to: .local(path))])
    }

    @Test func aFullQueueIsWaitedFor() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (listener, path, waiting) = try fullServer(bench)
        let socket = bench.localSocket()
        let log = Recorder(socket)
        try socket.connectToServer(path)
        #expect(log.events == ["stateChanged(Connecting)"] && socket.state == .connecting)
        #expect(!socket.isOpen && socket.descriptor == -1)
        #expect(code { try socket.put("x") } == .operation)
        for _ in 0..<5 { _ = try bench.loop.runOnce(timeout: 2) }
        #expect(log.events.count == 1)
        let first = try listener.accept()
        bench.run { log.saw(.connected) }
        try socket.put("hello")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try listener.accept().receiveText(5) == "hello")
        withExtendedLifetime((first, waiting)) {}
    }

    @Test func abortEndsTheWaitingForRoom() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (listener, path, waiting) = try fullServer(bench)
        let socket = bench.localSocket()
        let log = Recorder(socket)
        try socket.connectToServer(path)
        log.clear()
        socket.abort()
        #expect(log.events == ["stateChanged(Unconnected)", "readChannelFinished"])
        _ = try listener.accept()
        for _ in 0..<5 { _ = try bench.loop.runOnce(timeout: 2) }
        #expect(!listener.hasConnection && log.events.count == 2)
        withExtendedLifetime(waiting) {}
    }

    @Test(arguments: WaitForm.allCases, [false, true]) func theWaitingForRoomHasItsTimeLimit(_ form: WaitForm, byConnectTimeout: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (listener, path, waiting) = try fullServer(bench)
        let socket = bench.localSocket()
        let log = Recorder(socket)
        if byConnectTimeout { try socket.setConnectTimeout(20) }
        try socket.connectToServer(path)
        #expect(!wait(form, bench, socket, .connected, byConnectTimeout ? -1 : 20))
        #expect(log.events == ["stateChanged(Connecting)", "stateChanged(Unconnected)", "errorOccurred(SocketTimeoutError)"])
        #expect(socket.error == .socketTimeout)
        withExtendedLifetime((listener, waiting)) {}
    }

    @Test(arguments: WaitForm.allCases) func roomIsFoundInAWait(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (listener, path, waiting) = try fullServer(bench)
        let socket = bench.localSocket()
        try socket.connectToServer(path)
        let server = try Worker { _ = try listener.accept() }
        #expect(wait(form, bench, socket, .connected, -1))
        try server.join()
        #expect(wait(form, bench, socket, .connected, 0))
        withExtendedLifetime(waiting) {}
    }

    // MARK: Who is there

    @Test func bothEndsKnowEachOther() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let server = bench.localServer()
        try server.listen(path)
        let client = bench.localSocket()
        #expect(code { _ = try client.peerCredentials() } == .invalidState)
        try client.connectToServer(path)
        bench.run { server.hasPendingConnections }
        let accepted = bench.keep(try #require(server.nextPendingConnection() as? LocalSocket))
        #expect(accepted.serverName == path && accepted.fullServerName == path)
        for socket in [client, accepted] {
            let (pid, uid, gid) = try socket.peerCredentials()
            #expect(pid == getpid() && uid == getuid() && gid == getgid())
        }
    }

    @Test func closeAndAbortHaveTheOrderOfTCP() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (aborted, closed) = (try bench.link(.local), try bench.link(.local))
        aborted.socket.abort()
        #expect(aborted.log.events == ["aboutToClose"] + closingEvents)
        closed.socket.close()
        #expect(closed.log.events == ["aboutToClose", "stateChanged(Closing)"] + closingEvents)
    }

    @Test func messagesNameTheServer() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(.local)
        let path = try #require((link.socket as? LocalSocket)?.fullServerName)
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(link.socket.errorString.contains(path), "\(link.socket.errorString)")
    }
}
