import Glibc
import Sluice
import Testing

/// The names of local servers and their files.
@Suite struct LocalServerTests {
    private func inode(_ path: String) -> UInt64? {
        var status = stat()
        return lstat(path, &status) == 0 ? UInt64(status.st_ino) : nil
    }

    /// What the process's umask leaves of a mode; asked without changing it.
    private func masked(_ mode: mode_t) throws -> mode_t {
        let file = RawPeer(owning: try check(open("/proc/self/status", O_RDONLY), "open"))
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file.descriptor, &bytes, bytes.count)
        let status = text(Array(bytes.prefix(max(0, count))))
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Umask:") })
        return mode & ~(try #require(mode_t(line.dropFirst(6).trimmingPrefix { $0 == "\t" || $0 == " " }, radix: 8)))
    }

    @Test func aServersFileComesAndGoesWithIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        #expect(server.serverName == "" && server.fullServerName == "" && !server.isListening)
        try server.listen(bench.folder.path("server"))
        #expect(server.isListening && server.serverName == bench.folder.path("server"))
        #expect(bench.folder.contents == ["server"], "and nothing else is left there")
        server.close()
        #expect(bench.folder.contents.isEmpty && server.serverName == "" && server.fullServerName == "")
        try server.listen(bench.folder.path("again"))
        server.destroy()
        #expect(bench.folder.contents.isEmpty)
        do {
            let dropped = LocalServer(loop: bench.loop)
            try dropped.listen(bench.folder.path("dropped"))
            #expect(bench.folder.contents == ["dropped"])
        }
        #expect(bench.folder.contents.isEmpty)
    }

    @Test(arguments: [
        (LocalServerAccess.user, 0o700), ([.user, .group], 0o770), (.world, 0o777), (.group, 0o070), (.other, 0o007), ([.group, .other], 0o077),
    ] as [(LocalServerAccess, mode_t)])
    func accessIsTheFilesMode(access: LocalServerAccess, mode: mode_t) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        try server.setSocketOptions(access)
        #expect(server.socketOptions == access)
        try server.listen(bench.folder.path("server"))
        #expect(bench.folder.mode(of: "server") == mode)
        #expect(code { try server.setSocketOptions([]) } == .operation)
        #expect(server.socketOptions == access)
    }

    @Test func withoutAccessTheModeIsTheUmasks() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        try server.listen(bench.folder.path("server"))
        #expect(try bench.folder.mode(of: "server") == masked(0o777))
    }

    @Test(.enabled(if: getuid() != 0)) func whoMayNotConnectIsTold() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        try server.setSocketOptions(.other)
        try server.listen(bench.folder.path("server"))
        let socket = bench.localSocket()
        try socket.connectToServer(server.fullServerName)
        #expect(socket.error == .socketAccess)
    }

    // MARK: What is in the way

    @Test func theFileOfADeadServerIsReplaced() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        do { _ = try RawListener(at: .local(path)) }
        #expect(bench.folder.contents == ["server"])
        let server = bench.localServer()
        try server.listen(path)
        #expect(bench.folder.contents == ["server"] && server.error == .noError)
        let peer = try RawPeer.connect(to: .local(path))
        bench.run { server.hasPendingConnections }
        withExtendedLifetime(peer) {}
    }

    @Test func aLiveServerIsLeftAlone() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let live = bench.localServer()
        try live.listen(path)
        let before = inode(path)
        let log = Recorder(live)
        let server = bench.localServer()
        #expect(code { try server.listen(path) } == .addressInUse)
        #expect(!server.isListening && server.descriptor == -1 && server.error == .addressInUse)
        #expect(server.errorString.contains(path))
        #expect(bench.folder.contents == ["server"] && inode(path) == before)
        try bench.settle()
        #expect(log.events.isEmpty, "the live one does not even notice")
        let peer = try RawPeer.connect(to: .local(path))
        bench.run { live.hasPendingConnections }
        withExtendedLifetime(peer) {}
    }

    @Test func aLiveServerWithAFullQueueIsLeftAloneToo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let live = try RawListener(at: .local(path), backlog: 0)
        let waiting = try RawPeer.connect(to: .local(path))
        let server = bench.localServer()
        #expect(code { try server.listen(path) } == .addressInUse)
        #expect(!LocalServer.removeServer(path))
        #expect(bench.folder.contents == ["server"] && live.hasConnection)
        withExtendedLifetime(waiting) {}
    }

    enum Obstacle: CaseIterable { case plainFile, folder, pipe, link, danglingLink, liveDatagrams }

    @Test(arguments: Obstacle.allCases) func whatIsNoDeadServerIsLeftAlone(obstacle: Obstacle) throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("thing")
        let target = bench.folder.path("target")
        var holder: RawPeer?
        switch obstacle {
        case .plainFile:
            let file = RawPeer(owning: try check(open(path, O_CREAT | O_RDWR, 0o600), "open"))
            #expect(write(file.descriptor, "keep", 4) == 4)
        case .folder: try check(mkdir(path, 0o700), "mkdir")
        case .pipe: try check(mkfifo(path, 0o600), "mkfifo")
        case .link:
            do { _ = try RawListener(at: .local(target)) }
            try check(symlink(target, path), "symlink")
        case .danglingLink: try check(symlink(target, path), "symlink")
        case .liveDatagrams:
            let other = RawPeer(owning: try rawSocket(AF_UNIX, SOCK_DGRAM))
            try check(RawAddress.local(path).call { bind(other.descriptor, $0, $1) }, "bind")
            holder = other
        }
        let (contents, before) = (bench.folder.contents, inode(path))
        let server = bench.localServer()
        #expect(code { try server.listen(path) } == .addressInUse)
        #expect(!LocalServer.removeServer(path))
        #expect(bench.folder.contents == contents && inode(path) == before)
        if obstacle == .plainFile {
            var status = stat()
            #expect(lstat(path, &status) == 0 && status.st_size == 4)
        }
        holder?.close()
    }

    @Test func aServerOnlyRemovesItsOwnFile() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let server = bench.localServer()
        try server.listen(path)
        unlink(path)
        let other = try RawListener(at: .local(path))
        server.close()
        #expect(bench.folder.contents == ["server"], "somebody else's by now")
        let peer = try RawPeer.connect(to: .local(path))
        #expect(other.hasConnection)
        withExtendedLifetime(peer) {}
    }

    @Test func removeServerSparesWhatLives() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        #expect(LocalServer.removeServer(path), "nothing is there")
        #expect(LocalServer.removeServer(bench.folder.path("no/such/folder")), "nor there")
        let server = bench.localServer()
        try server.listen(path)
        #expect(!LocalServer.removeServer(path))
        #expect(bench.folder.contents == ["server"])
        server.close()
        do { _ = try RawListener(at: .local(path)) }
        #expect(LocalServer.removeServer(path))
        #expect(bench.folder.contents.isEmpty)
        #expect(!LocalServer.removeServer("") && !LocalServer.removeServer("a\0b"))
    }

    @Test func serversRacingForADeadOnesNameLeaveOneWinner() throws {
        let folder = try TempFolder()
        let path = folder.path("server")
        for _ in 0..<20 {
            do { _ = try RawListener(at: .local(path)) }
            let results = Shared<[SocketError.Code?]>([])
            let done = Shared(0)
            let workers = try (0..<3).map { _ in
                try Worker {
                    let server = LocalServer(loop: try EventLoop())
                    let result = code { try server.listen(path) }
                    results.change { $0.append(result) }
                    done.change { $0 += 1 }
                    while done.value < 3 { sched_yield() }
                }
            }
            for worker in workers { try worker.join() }
            #expect(results.value.count { $0 == nil } == 1, "\(results.value)")
            #expect(results.value.count { $0 == .addressInUse } == 2, "\(results.value)")
            #expect(folder.contents.isEmpty, "\(folder.contents)")
        }
    }

    // MARK: Names

    @Test(arguments: ["", String(repeating: "x", count: 300), "a\0b"]) func namesThatCannotBeAreRefused(name: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        let expected: SocketError.Code = name.contains("\0") ? .invalidArgument : .hostNotFound
        #expect(code { try server.listen(name) } == expected)
        #expect(server.error == expected && !server.isListening && server.descriptor == -1)
        try server.setSocketOptions(.abstractNamespace)
        #expect(code { try server.listen(name) } == expected)
    }

    @Test func aFolderThatIsNotThereIsToldSo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        #expect(code { try server.listen(bench.folder.path("no/server")) } == .hostNotFound)
        #expect(bench.folder.contents.isEmpty)
    }

    @Test func aLongPathIsNoObstacle() throws {
        let bench = try Bench()
        defer { bench.end() }
        // Longer than what fits into a socket's address.
        let folder = bench.folder.path(String(repeating: "d", count: 120))
        try check(mkdir(folder, 0o700), "mkdir")
        let path = folder + "/server"
        let server = bench.localServer()
        try server.listen(path)
        #expect(server.fullServerName == path)
        let socket = bench.localSocket()
        try socket.connectToServer(path)
        #expect(socket.state == .connected && socket.fullServerName == path)
        bench.run { server.hasPendingConnections }
        #expect(!LocalServer.removeServer(path))
        server.close()
        #expect(inode(path) == nil)
    }

    @Test func listeningTwiceIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        try server.listen(bench.folder.path("first"))
        #expect(code { try server.listen(bench.folder.path("second")) } == .operation)
        #expect(server.serverName == bench.folder.path("first") && bench.folder.contents == ["first"])
    }

    @Test func aListeningDescriptorIsTakenOverWithItsFile() throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let descriptor = try rawSocket(AF_UNIX)
        try check(RawAddress.local(path).call { bind(descriptor, $0, $1) }, "bind")
        let server = bench.localServer()
        #expect(code { try server.listen(descriptor: descriptor) } == .unsupportedSocketOperation, "it does not listen yet")
        try check(listen(descriptor, 8), "listen")
        try server.listen(descriptor: descriptor)
        #expect(server.fullServerName == path && server.serverName == "server")
        let peer = try RawPeer.connect(to: .local(path))
        bench.run { server.hasPendingConnections }
        server.close()
        #expect(bench.folder.contents.isEmpty)
        let tcp = try RawListener.tcp()
        #expect(code { try server.listen(descriptor: tcp.descriptor) } == .unsupportedSocketOperation)
        withExtendedLifetime(peer) {}
    }

    @Test(arguments: WaitForm.allCases) func aWaitThatRunsOutOfTimeIsNoErrorOfTheServer(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.localServer()
        try server.listen(bench.folder.path("server"))
        for timeout in [0, 10] {
            var answer: (Bool, Bool)?
            if form == .blocking {
                answer = server.waitForNewConnection(timeout: timeout)
            } else {
                server.beginWaitForNewConnection(timeout: timeout) { answer = ($0, $1) }
                bench.run { answer != nil }
            }
            #expect(answer.map { $0 == (false, true) } == true)
        }
        let peer = try RawPeer.connect(to: .local(server.fullServerName))
        #expect(server.waitForNewConnection(timeout: -1) == (true, false))
        withExtendedLifetime(peer) {}
    }
}
