import Glibc
import Sluice
import Testing

/// Every way to end a connection, from inside every event that it can have.
@Suite struct HandlerActionTests {
    enum Moment: CaseIterable {
        case stateConnected, connected, readyRead, lineAvailable, bytesWritten, errorOccurred, aboutToClose, stateClosing, stateUnconnected
        case readChannelFinished, disconnected
    }

    enum Action: CaseIterable { case disconnect, close, abort, destroy, shutdownWrite, takeDescriptor, setDescriptor, reconnect, wait, nestedTurn }

    /// How the connection would end otherwise.
    enum End: CaseIterable { case byPeer, byReset, byUs, byClose }

    private func arrange(_ log: Recorder, _ moment: Moment, _ action: @escaping () -> Void) {
        switch moment {
        case .stateConnected: log.once(in: .connected, action)
        case .connected: log.once(.connected, action)
        case .readyRead: log.once(.readyRead, action)
        case .lineAvailable: log.once(.lineAvailable, action)
        case .bytesWritten: log.once(.bytesWritten, action)
        case .errorOccurred: log.once(.errorOccurred, action)
        case .aboutToClose: log.once(.aboutToClose, action)
        case .stateClosing: log.once(in: .closing, action)
        case .stateUnconnected: log.once(in: .unconnected, action)
        case .readChannelFinished: log.once(.readChannelFinished, action)
        case .disconnected: log.once(.disconnected, action)
        }
    }

    /// Runs a connection through all its events and lets the action happen in one of them. Whatever that is: the events stay in
    /// their order, there is at most one `disconnected` for a connection, and the object can be used again.
    @Test(arguments: Moment.allCases, Action.allCases)
    func nothingBreaks(at moment: Moment, by action: Action) throws {
        for transport in Transport.allCases {
            let acted = try End.allCases.count { try play(transport, moment, action, $0) }
            #expect(acted > 0, "the event never came")
        }
    }

    /// Returns whether the action's moment came.
    private func play(_ transport: Transport, _ moment: Moment, _ action: Action, _ end: End) throws -> Bool {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("server")
        let listener = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(path))
        let socket: StreamSocket = transport == .tcp ? bench.tcpSocket() : bench.localSocket()
        let log = Recorder(socket)
        let connect: () throws -> Void = {
            if let local = socket as? LocalSocket {
                try local.connectToServer(path)
            } else {
                try socket.connectToHost("127.0.0.1", port: listener.port)
            }
        }
        var acted = false
        var taken: RawPeer?
        var spare: RawPeer?
        var eventsWhenDestroyed = 0
        arrange(log, moment) {
            acted = true
            switch action {
            case .disconnect: socket.disconnectFromHost()
            case .close: socket.close()
            case .abort: socket.abort()
            case .destroy:
                socket.destroy()
                eventsWhenDestroyed = log.events.count
            case .shutdownWrite: _ = try? socket.shutdownWrite()
            case .takeDescriptor: taken = (try? socket.takeDescriptor()).map { RawPeer(owning: $0) }
            case .setDescriptor:
                // Whatever the state: the object goes over to this connection.
                spare = try? Self.adopt(socket, transport)
            case .reconnect: _ = try? connect()
            case .wait:
                _ = socket.waitForReadyRead(timeout: 0)
                _ = socket.waitForBytesWritten(timeout: 0)
                _ = socket.waitForDisconnected(timeout: 0)
                _ = socket.waitForConnected(timeout: 0)
            case .nestedTurn: _ = try? bench.loop.runOnce(timeout: 0)
            }
        }

        try connect()
        _ = try? socket.write("hello\n")
        let peer = try listener.accept(running: bench) { socket.state != .connecting && socket.state != .hostLookup }
        _ = try? peer.send("line\n")
        try bench.settle()
        switch end {
        case .byPeer: peer.shutdownWrite()
        case .byReset: peer.reset()
        case .byUs:
            _ = try? socket.write("last\n")
            socket.disconnectFromHost()
        case .byClose: socket.close()
        }
        try bench.settle()
        log.stopActing()
        try check(log, acted, action, eventsWhenDestroyed)

        // The object is none the worse for it.
        if action != .destroy || !acted {
            socket.abort()
            while listener.hasConnection { _ = try listener.accept() }
            try connect()
            let next = try listener.accept(running: bench) { socket.state == .connected }
            try socket.put("again")
            bench.run { socket.bytesToWrite == 0 }
            #expect(try next.receiveText(5) == "again")
            try next.send("heard")
            bench.run { socket.bytesAvailable == 5 }
        }
        taken?.close()
        spare?.close()
        return acted
    }

    private static func adopt(_ socket: StreamSocket, _ transport: Transport) throws -> RawPeer {
        if transport == .local {
            var ends: [Int32] = [0, 0]
            try SluiceTests.check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends), "socketpair")
            do { try socket.setDescriptor(ends[0]) } catch { Glibc.close(ends[0]) }
            return RawPeer(owning: ends[1])
        }
        let listener = try RawListener.tcp()
        let client = try RawPeer.connect(to: .ipv4(port: listener.port))
        let peer = try listener.accept()
        try socket.setDescriptor(client.descriptor)
        _ = client.release()
        return peer
    }

    private func check(_ log: Recorder, _ acted: Bool, _ action: Action, _ eventsWhenDestroyed: Int) throws {
        let events = log.events
        let connections = events.count { $0 == "stateChanged(Connected)" }
        #expect(log.count(of: .disconnected) <= connections, "\(events)")
        for (event, next) in zip(events, events.dropFirst()) {
            #expect(!(event.hasPrefix("stateChanged") && event == next), "a state is not told twice: \(events)")
            if event == "disconnected" {
                #expect(next.hasPrefix("stateChanged") || next == "aboutToClose" || next.hasPrefix("errorOccurred"),
                        "nothing of a connection comes after its end: \(events)")
            }
        }
        if acted, action == .destroy { #expect(events.count == eventsWhenDestroyed, "\(events)") }
    }

    // MARK: What exactly happens

    @Test(arguments: Transport.allCases) func abortInReadyReadEndsTheReading(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.readyRead) {
            link.socket.abort()
            #expect(link.socket.bytesAvailable == 0)
        }
        try link.peer.send("a line\n")
        bench.run { link.socket.isGone }
        try bench.settle()
        #expect(link.log.events == ["readyRead(7)", "aboutToClose"] + closingEvents)
    }

    @Test(arguments: Transport.allCases) func disconnectInReadyReadKeepsTheData(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.readyRead) {
            _ = try? link.socket.write("answer")
            link.socket.disconnectFromHost()
        }
        try link.peer.send("data")
        bench.run { link.socket.isGone }
        #expect(link.log.changes == ["stateChanged(Closing)"] + closingEvents)
        #expect(try text(link.socket.readAll()) == "data")
        #expect(try text(link.peer.receiveToEnd()) == "answer")
    }

    @Test(arguments: Transport.allCases) func abortInTheErrorOfThePeersEndGivesOneDisconnected(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.errorOccurred) { link.socket.abort() }
        link.peer.close()
        bench.run { link.socket.isGone }
        try bench.settle()
        #expect(link.log.events == ["errorOccurred(RemoteHostClosedError)", "aboutToClose"] + closingEvents)
    }

    @Test(arguments: Transport.allCases) func closeInTheErrorOfThePeersEndGivesOneDisconnected(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.errorOccurred) { link.socket.close() }
        link.peer.close()
        bench.run { link.socket.isGone }
        try bench.settle()
        #expect(link.log.events == ["errorOccurred(RemoteHostClosedError)", "aboutToClose", "stateChanged(Closing)"] + closingEvents)
    }

    @Test func abortInBytesWrittenDropsTheRest() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.log.once(.bytesWritten) { link.socket.abort() }
        try link.socket.put(pattern(8 << 20))
        bench.run { link.socket.isGone }
        try bench.settle()
        #expect(link.log.changes == ["aboutToClose"] + closingEvents)
        #expect(link.log.count(of: .bytesWritten) == 1 && link.socket.bytesToWrite == 0)
    }

    @Test func abortInAboutToCloseOfCloseIsOneClose() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        link.log.once(.aboutToClose) { link.socket.abort() }
        link.socket.close()
        try bench.settle()
        #expect(link.log.count(of: .disconnected) == 1 && link.socket.isGone && !link.socket.isOpen)
        #expect(link.log.events.suffix(3) == closingEvents)
    }

    @Test(arguments: Transport.allCases) func aReconnectInDisconnectedConnects(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let path = bench.folder.path("next")
        let listener = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(path))
        link.log.once(.disconnected) {
            #expect(throws: Never.self) {
                if let local = link.socket as? LocalSocket {
                    try local.connectToServer(path)
                } else {
                    try link.socket.connectToHost("127.0.0.1", port: listener.port)
                }
            }
        }
        link.peer.close()
        let peer = try listener.accept(running: bench) { link.log.saw(.disconnected) && link.socket.state == .connected }
        #expect(link.socket.error == .noError && link.log.count(of: .disconnected) == 1)
        try peer.send("new")
        bench.run { link.socket.bytesAvailable == 3 }
        if transport == .local { #expect((link.socket as? LocalSocket)?.fullServerName == path) }
    }

    @Test(arguments: Transport.allCases) func destroyTellsWhatAbortTells(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put("unsent")
        link.socket.destroy()
        #expect(link.log.events == ["aboutToClose"] + closingEvents)
        #expect(link.socket.isDestroyed && link.socket.state == .unconnected && link.socket.descriptor == -1)
        link.socket.destroy()
        link.socket.abort()
        link.socket.close()
        #expect(code { try link.socket.put("x") } == .operation)
        if let tcp = link.socket as? TCPSocket {
            #expect(code { try tcp.connectToHost("127.0.0.1", port: 9) } == .invalidHandle)
        }
        #expect(!link.socket.waitForReadyRead(timeout: -1) && !link.socket.waitForDisconnected(timeout: -1))
        try bench.settle()
        #expect(link.log.events.count == 4)
    }

    @Test func aSocketMayDestroyAnotherWhoseEventWaits() throws {
        let bench = try Bench()
        defer { bench.end() }
        let links = try [bench.link(), bench.link()]
        for (index, link) in links.enumerated() {
            link.log.once(.readyRead) { links[1 - index].socket.destroy() }
            try link.peer.send("hello")
        }
        bench.run { links.contains { $0.socket.isDestroyed } }
        try bench.settle()
        #expect(links.count { $0.socket.isDestroyed } == 1)
        #expect(links.count { $0.log.saw(.readyRead) } == 1)
        for link in links { link.log.stopActing() }
    }
}
