import Glibc
import Sluice
import Testing

/// Our own end of a connection.
@Suite struct ClosingTests {
    // MARK: disconnectFromHost

    @Test(arguments: Transport.allCases) func anIdleConnectionIsClosedInsideTheCall(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(in: .closing) { #expect(link.socket.isValid && link.socket.descriptor >= 0) }
        link.log.once(in: .unconnected) { #expect(!link.socket.isValid && link.socket.descriptor == -1) }
        link.socket.disconnectFromHost()
        #expect(link.log.events == ["stateChanged(Closing)"] + closingEvents)
        #expect(link.socket.state == .unconnected && link.socket.isOpen && !link.socket.isValid)
        #expect(link.socket.error == .noError)
        #expect(try link.peer.receive().isEmpty)
        link.socket.disconnectFromHost()
        link.socket.abort()
        try bench.settle()
        #expect(link.log.count(of: .disconnected) == 1 && link.log.count(of: .stateChanged) == 2)
    }

    @Test(arguments: Transport.allCases, [1, 6 << 20]) func pendingBytesAreSentFirst(over transport: Transport, size: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(size)
        try link.socket.put(data)
        link.socket.disconnectFromHost()
        #expect(link.log.events == ["stateChanged(Closing)"] && link.socket.state == .closing)
        #expect(link.socket.bytesToWrite == size && link.socket.isOpen && link.socket.isValid)
        link.socket.disconnectFromHost()
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended && link.socket.isGone }
        #expect(collector.bytes == data && collector.failure == 0)
        #expect(link.log.bytesWritten == size)
        #expect(link.log.changes == ["stateChanged(Closing)"] + closingEvents)
        #expect(link.socket.error == .noError)
    }

    @Test(arguments: Transport.allCases) func unreadBytesStayReadable(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        link.socket.disconnectFromHost()
        #expect(link.socket.isGone && link.socket.bytesAvailable == 6)
        #expect(try text(link.socket.readAll()) == "unread")
    }

    @Test func addressesAreKnownUntilTheEventsAreOver() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let port = link.socket.peerPort
        for type in [EventType.readChannelFinished, .disconnected] {
            link.log.once(type) { #expect(link.socket.peerPort == port && link.socket.peerAddress == "127.0.0.1" && link.socket.localPort > 0) }
        }
        link.socket.disconnectFromHost()
        #expect(link.socket.peerPort == 0 && link.socket.peerAddress == "" && link.socket.localPort == 0)
        #expect(link.socket.peerName == "127.0.0.1")
    }

    @Test(arguments: Transport.allCases) func nothingIsReadInClosing(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(6 << 20)
        try link.socket.put(data)
        link.socket.disconnectFromHost()
        try link.peer.send("too late")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 0 && !link.log.saw(.readyRead))
        #expect(try link.peer.receiveNow(1 << 20) != nil)
        let collector = try bench.collect(link.peer)
        bench.run { link.socket.isGone }
        #expect(!link.log.saw(.errorOccurred) && !collector.bytes.isEmpty)
    }

    @Test(arguments: Transport.allCases) func aPeerThatClosesItsHalfInClosingStillGetsAll(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(6 << 20)
        try link.socket.put(data)
        link.socket.disconnectFromHost()
        link.peer.shutdownWrite()
        try bench.settle()
        #expect(link.socket.state == .closing)
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended && link.socket.isGone }
        #expect(collector.bytes == data)
        #expect(link.log.changes == ["stateChanged(Closing)"] + closingEvents)
    }

    @Test func aResetInClosingIsToldWithWhatWasLost() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        link.socket.disconnectFromHost()
        try bench.settle()
        let left = link.socket.bytesToWrite
        #expect(left > 0)
        link.peer.reset()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.remoteHostClosed])
        #expect(link.log.errors.first?.message.contains("\(left)") == true)
        #expect(link.log.changes == ["stateChanged(Closing)", "errorOccurred(RemoteHostClosedError)"] + closingEvents)
    }

    // MARK: close

    @Test(arguments: Transport.allCases) func closeClosesTheDeviceToo(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        link.log.clear()
        link.log.once(.aboutToClose) {
            #expect(link.socket.state == .connected && link.socket.isOpen && link.socket.bytesAvailable == 6)
        }
        link.socket.close()
        #expect(link.log.events == ["aboutToClose", "stateChanged(Closing)"] + closingEvents)
        #expect(!link.socket.isOpen && link.socket.bytesAvailable == 0 && link.socket.openMode == [])
        link.socket.close()
        #expect(link.log.events.count == 5)
    }

    @Test(arguments: Transport.allCases) func closeSendsWhatIsPending(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(6 << 20)
        try link.socket.put(data)
        link.socket.close()
        #expect(link.log.events == ["aboutToClose", "stateChanged(Closing)"])
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended && link.socket.isGone }
        #expect(collector.bytes == data)
        #expect(link.log.changes == ["aboutToClose", "stateChanged(Closing)"] + closingEvents)
    }

    @Test func whatIsReadInAboutToCloseIsNotLost() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        var read = ""
        link.log.once(.aboutToClose) {
            read = (try? text(link.socket.readAll())) ?? ""
            _ = try? link.socket.write("last words")
        }
        link.socket.close()
        bench.run { link.socket.isGone }
        #expect(read == "unread")
        #expect(try text(link.peer.receiveToEnd()) == "last words")
    }

    @Test func closeAfterThePeersEndOnlyClosesTheDevice() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("unread")
        link.peer.close()
        bench.run { link.socket.isGone }
        link.log.clear()
        link.socket.close()
        #expect(link.log.events == ["aboutToClose"])
        #expect(!link.socket.isOpen && link.socket.bytesAvailable == 0)
    }

    // MARK: abort

    @Test(arguments: Transport.allCases) func abortDropsEverythingAtOnce(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        try link.socket.put("unsent")
        link.log.clear()
        link.socket.abort()
        #expect(link.log.events == ["aboutToClose"] + closingEvents)
        #expect(!link.socket.isOpen && !link.socket.isValid && link.socket.bytesAvailable == 0 && link.socket.bytesToWrite == 0)
        #expect(try link.peer.receive().isEmpty, "the unsent bytes are gone, the end is an orderly one")
        link.socket.abort()
        try bench.settle()
        #expect(link.log.events.count == 4 && link.socket.error == .noError)
    }

    @Test(arguments: Transport.allCases) func abortEndsClosing(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put(pattern(6 << 20))
        link.socket.disconnectFromHost()
        try bench.settle()
        link.log.clear()
        link.socket.abort()
        #expect(link.log.events == ["aboutToClose"] + closingEvents)
        #expect(link.socket.bytesToWrite == 0)
    }

    @Test func bothEndsMayCloseAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        let client = bench.tcpSocket()
        try client.connectToHost("127.0.0.1", port: server.port)
        bench.run { server.hasPendingConnections && client.state == .connected }
        let accepted = bench.keep(try #require(server.nextPendingConnection()))
        let logs = [Recorder(client), Recorder(accepted)]
        client.disconnectFromHost()
        accepted.disconnectFromHost()
        try bench.settle()
        for log in logs { #expect(log.events == ["stateChanged(Closing)"] + closingEvents) }
        #expect(client.error == .noError && accepted.error == .noError)
    }

    // MARK: closeTimeout

    @Test(arguments: Transport.allCases) func aPeerThatNeverReadsIsGivenUp(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.setCloseTimeout(20)
        try link.socket.put(pattern(8 << 20))
        link.socket.disconnectFromHost()
        bench.run { link.socket.isGone }
        #expect(link.log.changes == ["stateChanged(Closing)", "errorOccurred(SocketTimeoutError)"] + closingEvents)
        #expect(link.log.errors.first?.message.contains("\(8 << 20 - link.log.bytesWritten)") == true)
        #expect(link.socket.bytesToWrite == 0 && link.socket.error == .socketTimeout)
    }

    @Test func aCloseInTimeEndsTheLimit() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.setCloseTimeout(20)
        try link.socket.put("hello")
        link.socket.disconnectFromHost()
        bench.run { link.socket.isGone }
        let listener = try RawListener.tcp()
        try link.socket.connectToHost("127.0.0.1", port: listener.port)
        try link.socket.put("again")
        bench.run { link.socket.state == .connected }
        var later = false
        _ = bench.loop.addTimer(after: 50) { later = true }
        bench.run { later }
        #expect(link.socket.state == .connected && !link.log.saw(.errorOccurred))
    }

    @Test func aCloseTimeoutOfZeroGivesUpInTheNextTurn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.setCloseTimeout(0)
        try link.socket.put(pattern(8 << 20))
        link.socket.disconnectFromHost()
        #expect(link.socket.state == .closing)
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.socketTimeout])
    }

    @Test func theTimeLimitsHandlerMayDoAnything() throws {
        for action in 0..<3 {
            let bench = try Bench()
            defer { bench.end() }
            let link = try bench.link()
            let listener = try RawListener.tcp()
            try link.socket.setCloseTimeout(1)
            try link.socket.put(pattern(8 << 20))
            link.log.once(.errorOccurred) {
                switch action {
                case 0: link.socket.abort()
                case 1: link.socket.destroy()
                default:
                    link.socket.abort()
                    #expect(throws: Never.self) { try link.socket.connectToHost("127.0.0.1", port: listener.port) }
                }
            }
            link.socket.disconnectFromHost()
            bench.run { link.log.saw(.disconnected) }
            try bench.settle()
            #expect(link.log.count(of: .disconnected) == 1)
            #expect(link.socket.state == (action == 2 ? .connected : .unconnected))
        }
    }

    // MARK: Again and again

    @Test(arguments: Transport.allCases) func anObjectConnectsAHundredTimes(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let path = bench.folder.path("again")
        let listener = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(path))
        let socket: StreamSocket = transport == .tcp ? bench.tcpSocket() : bench.localSocket()
        let log = Recorder(socket)
        for round in 0..<100 {
            log.clear()
            if let local = socket as? LocalSocket {
                try local.connectToServer(path)
            } else {
                try socket.connectToHost("127.0.0.1", port: listener.port)
            }
            try socket.put("round \(round)\n")
            bench.run { socket.state == .connected && socket.bytesToWrite == 0 }
            let peer = try listener.accept()
            #expect(try peer.receiveText("round \(round)\n".count) == "round \(round)\n")
            try peer.send("answer \(round)\n")
            bench.run { socket.canReadLine }
            #expect(try text(socket.readLine()) == "answer \(round)\n")
            switch round % 4 {
            case 0: socket.disconnectFromHost()
            case 1: socket.close()
            case 2: socket.abort()
            default: peer.close()
            }
            bench.run { socket.isGone }
            #expect(log.events.suffix(3) == closingEvents)
            #expect(log.count(of: .connected) == 1 && log.count(of: .disconnected) == 1)
        }
    }
}
