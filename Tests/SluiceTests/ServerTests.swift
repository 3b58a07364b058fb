import Glibc
import Sluice
import Testing

/// What TCP and local servers share.
@Suite struct ServerTests {
    /// A listening server of either kind, and how to get to it.
    struct Stand {
        let server: Server
        let log: Recorder
        let address: RawAddress

        func connect() throws -> RawPeer { try RawPeer.connect(to: address) }
    }

    private func stand(_ bench: Bench, _ transport: Transport, prepare: (Server) throws -> Void = { _ in }) throws -> Stand {
        let server: Server
        let address: RawAddress
        switch transport {
        case .tcp:
            let tcp = bench.tcpServer()
            try prepare(tcp)
            try tcp.listen("127.0.0.1")
            (server, address) = (tcp, .ipv4(port: tcp.port))
        case .local:
            let local = bench.localServer()
            try prepare(local)
            try local.listen(bench.folder.path("server"))
            (server, address) = (local, .local(local.fullServerName))
        }
        return Stand(server: server, log: Recorder(server), address: address)
    }

    @Test(arguments: Transport.allCases) func connectionsAreToldOneByOne(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        #expect(stand.server.isListening && stand.server.descriptor >= 0 && !stand.server.hasPendingConnections)
        #expect(stand.server.nextPendingConnection() == nil && stand.server.error == .noError)
        let peers = try (0..<3).map { _ in try stand.connect() }
        bench.run { stand.log.count(of: .newConnection) == 3 }
        let pairs = (1...3).flatMap { (transport == .tcp ? ["pendingConnectionAvailable"] : []) + ["newConnection(\($0))"] }
        #expect(stand.log.events == pairs)
        #expect(peers.count == 3)
    }

    @Test(arguments: Transport.allCases) func connectionsAreTakenInTheirOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let peers = try (0..<5).map { number in
            let peer = try stand.connect()
            try peer.send([UInt8(number)])
            return peer
        }
        bench.run { stand.log.count(of: .newConnection) == 5 }
        for (number, peer) in peers.enumerated() {
            let socket = bench.keep(try #require(stand.server.nextPendingConnection()))
            #expect(socket.state == .connected && socket.isOpen && socket.openMode == .readWrite && socket.peerName == "")
            #expect(socket.kind == (transport == .tcp ? .tcpSocket : .localSocket))
            bench.run { socket.bytesAvailable == 1 }
            #expect(try socket.readAll() == [UInt8(number)])
            try socket.put("hello")
            bench.run { socket.bytesToWrite == 0 }
            #expect(try peer.receiveText(5) == "hello")
        }
        #expect(!stand.server.hasPendingConnections && stand.server.nextPendingConnection() == nil)
    }

    @Test(arguments: Transport.allCases) func aConnectionTakenInItsEventReadsAtOnce(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        var taken: [(socket: StreamSocket, log: Recorder)] = []
        stand.log.on(.newConnection) {
            guard let socket = stand.server.nextPendingConnection() else { return }
            taken.append((bench.keep(socket), Recorder(socket)))
        }
        let peer = try stand.connect()
        try peer.send("early")
        bench.run { taken.first?.socket.bytesAvailable == 5 }
        #expect(taken.first?.log.events == ["readyRead(5)"])
    }

    @Test(arguments: Transport.allCases) func whatCameBeforeTakingIsToldAfterIt(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let peer = try stand.connect()
        try peer.send("early")
        bench.run { stand.server.hasPendingConnections }
        try bench.settle()
        let socket = bench.keep(try #require(stand.server.nextPendingConnection()))
        let log = Recorder(socket)
        bench.run { log.saw(.readyRead) }
        #expect(log.events == ["readyRead(5)"])
        #expect(try text(socket.readAll()) == "early")
        try bench.settle()
        #expect(log.events.count == 1)
        try peer.send("later")
        bench.run { log.events.count == 2 }
    }

    @Test(arguments: Transport.allCases) func aClientThatIsGoneLeavesItsLastBytes(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let peer = try stand.connect()
        try peer.send("bye")
        peer.close()
        bench.run { stand.server.hasPendingConnections }
        try bench.settle()
        let socket = bench.keep(try #require(stand.server.nextPendingConnection()))
        let log = Recorder(socket)
        #expect(socket.state == .unconnected && socket.error == .remoteHostClosed && socket.isOpen)
        bench.run { log.saw(.readyRead) }
        #expect(try text(socket.readAll()) == "bye")
        #expect(!log.saw(.disconnected), "that was before")
    }

    @Test func aClientThatResetsBeforeItIsAcceptedDoesNotHarmTheServer() throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, .tcp)
        try stand.connect().reset()
        let second = try stand.connect()
        try second.send("alive")
        bench.run { stand.log.count(of: .newConnection) >= 1 }
        try bench.settle()
        var heard = false
        while let socket = stand.server.nextPendingConnection() {
            try bench.settle()
            heard = heard || (try? text(socket.readAll())) == "alive"
            socket.abort()
        }
        #expect(heard && stand.server.isListening && !stand.log.saw(.acceptError))
    }

    // MARK: Limits and pauses

    @Test(arguments: Transport.allCases) func whatIsTooManyWaitsWithTheSystem(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport) { server in
            try server.setMaxPendingConnections(2)
            #expect(server.maxPendingConnections == 2)
        }
        let peers = try (0..<5).map { _ in try stand.connect() }
        bench.run { stand.log.count(of: .newConnection) == 2 }
        try bench.settle()
        #expect(stand.log.count(of: .newConnection) == 2)
        for expected in [3, 4] {
            #expect(stand.server.nextPendingConnection() != nil)
            bench.run { stand.log.count(of: .newConnection) == expected }
            try bench.settle()
            #expect(stand.log.count(of: .newConnection) == expected)
        }
        try stand.server.setMaxPendingConnections(10)
        bench.run { stand.log.count(of: .newConnection) == 5 }
        #expect(peers.count == 5)
    }

    @Test func limitsThatAreNoneAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        #expect(server.maxPendingConnections == 30 && server.listenBacklog == 50)
        for bad in [0, -1, Int.min] {
            #expect(code { try server.setMaxPendingConnections(bad) } == .invalidArgument)
            #expect(code { try server.setListenBacklog(bad) } == .invalidArgument)
        }
        #expect(server.maxPendingConnections == 30 && server.listenBacklog == 50)
    }

    @Test(arguments: Transport.allCases) func pausingStopsAcceptingUntilItIsResumed(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        stand.server.pauseAccepting()
        let peer = try stand.connect()
        try bench.settle()
        #expect(stand.log.events.isEmpty && stand.server.isListening)
        stand.server.resumeAccepting()
        bench.run { stand.server.hasPendingConnections }
        withExtendedLifetime(peer) {}
    }

    @Test(arguments: Transport.allCases) func pausingInTheEventActsAtOnce(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        // Once several come in a row they are accepted several at a time.
        for _ in 0..<4 {
            _ = try stand.connect()
            bench.run { stand.server.nextPendingConnection() != nil }
        }
        stand.log.clear()
        stand.log.once(.newConnection) { stand.server.pauseAccepting() }
        let peers = try (0..<4).map { _ in try stand.connect() }
        bench.run { stand.server.hasPendingConnections }
        try bench.settle()
        #expect(stand.log.count(of: .newConnection) == 1)
        stand.server.resumeAccepting()
        bench.run { stand.log.count(of: .newConnection) == peers.count }
    }

    // MARK: Ending

    @Test(arguments: Transport.allCases) func closeDropsWhatWasNotTakenAndKeepsTheRest(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let peers = try (0..<3).map { _ in try stand.connect() }
        bench.run { stand.log.count(of: .newConnection) == 3 }
        let socket = bench.keep(try #require(stand.server.nextPendingConnection()))
        stand.server.close()
        stand.server.close()
        #expect(!stand.server.isListening && stand.server.descriptor == -1 && !stand.server.hasPendingConnections)
        #expect(stand.server.nextPendingConnection() == nil)
        #expect(try peers[1].receive().isEmpty && peers[2].receive().isEmpty)
        #expect(throws: RawFailure.self) { try stand.connect() }
        try socket.put("alive")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peers[0].receiveText(5) == "alive")
    }

    enum Ending: CaseIterable { case close, destroy, takeDescriptor }

    @Test(arguments: Transport.allCases, Ending.allCases) func aServerMayEndInItsEvent(over transport: Transport, by ending: Ending) throws {
        for type in transport == .tcp ? [EventType.pendingConnectionAvailable, .newConnection] : [.newConnection] {
            for taking in [false, true] {
                let bench = try Bench()
                defer { bench.end() }
                let stand = try stand(bench, transport)
                var taken: StreamSocket?
                var descriptor: Int32 = -1
                stand.log.once(type) {
                    if taking { taken = stand.server.nextPendingConnection().map { bench.keep($0) } }
                    switch ending {
                    case .close: stand.server.close()
                    case .destroy: stand.server.destroy()
                    case .takeDescriptor: descriptor = (try? stand.server.takeDescriptor()) ?? -1
                    }
                }
                let peers = try (0..<3).map { _ in try stand.connect() }
                bench.run { stand.log.saw(type) }
                try bench.settle()
                // A descriptor is only given away when nobody waits to be taken.
                let ended = ending != .takeDescriptor || taking
                #expect(stand.server.isListening != ended)
                #expect((descriptor >= 0) == (ending == .takeDescriptor && taking))
                if ended { #expect(stand.log.count(of: .newConnection) <= 1) }
                if taking {
                    let socket = try #require(taken)
                    #expect(socket.state == (ending == .destroy ? .unconnected : .connected), "a server's end ends what it accepted")
                }
                if descriptor >= 0 { Glibc.close(descriptor) }
                withExtendedLifetime(peers) {}
            }
        }
    }

    @Test(arguments: Transport.allCases) func destroyEndsWhatTheServerAccepted(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let peers = try (0..<2).map { _ in try stand.connect() }
        bench.run { stand.log.count(of: .newConnection) == 2 }
        let socket = bench.keep(try #require(stand.server.nextPendingConnection()))
        let log = Recorder(socket)
        stand.server.destroy()
        #expect(socket.isGone && log.events == ["aboutToClose"] + closingEvents)
        for peer in peers { #expect(try peer.receive().isEmpty) }
        #expect(!stand.server.isListening)
        if let tcp = stand.server as? TCPServer { #expect(code { try tcp.listen() } == .invalidHandle) }
    }

    @Test(arguments: Transport.allCases) func acceptedSocketsGoInAnyOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        var sockets: [StreamSocket] = []
        let peers = try (0..<20).map { _ in try stand.connect() }
        bench.run {
            while let socket = stand.server.nextPendingConnection() { sockets.append(socket) }
            return sockets.count == 20
        }
        for index in [19, 0, 10, 5, 5, 5, 0, 12] { sockets.remove(at: index).destroy() }
        sockets.removeLast(6)
        for socket in sockets { _ = bench.keep(socket) }
        stand.server.destroy()
        #expect(sockets.count == 6 && sockets.allSatisfy { $0.isGone })
        withExtendedLifetime(peers) {}
    }

    @Test(arguments: Transport.allCases) func aServerListensAgainAfterClose(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, transport)
        let port = stand.server.port
        for _ in 0..<5 {
            let peer = try stand.connect()
            bench.run { stand.server.hasPendingConnections }
            // The server closes first: its side of the connection lingers in the system.
            stand.server.nextPendingConnection()?.disconnectFromHost()
            #expect(try peer.receive().isEmpty)
            stand.server.close()
            if let tcp = stand.server as? TCPServer { try tcp.listen("127.0.0.1", port: port) }
            if let local = stand.server as? LocalServer { try local.listen(bench.folder.path("server")) }
        }
        #expect(stand.server.port == port)
    }

    @Test func manyConnectionsAtOnceAreAllAccepted() throws {
        let bench = try Bench()
        defer { bench.end() }
        let stand = try stand(bench, .tcp) {
            try $0.setListenBacklog(200)
            try $0.setMaxPendingConnections(200)
        }
        let peers = try (0..<150).map { _ in try stand.connect() }
        bench.run { stand.log.count(of: .newConnection) == 150 }
        var ports: [Int] = []
        while let socket = stand.server.nextPendingConnection() { ports.append(socket.peerPort) }
        #expect(ports == peers.map(\.localAddress.port))
    }
}
