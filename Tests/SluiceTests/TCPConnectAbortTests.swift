import Glibc
import Sluice
import Testing

/// Leaving the way to a connection: by the caller's will, in every phase, and when time runs out.
@Suite struct TCPConnectAbortTests {
    enum Exit: CaseIterable { case abort, destroy }

    /// Before there is a connection.
    enum Phase: CaseIterable { case lookup, connecting, hostFound }

    private func leave(_ socket: TCPSocket, by exit: Exit) {
        switch exit {
        case .abort: socket.abort()
        case .destroy: socket.destroy()
        }
    }

    @Test(arguments: Phase.allCases, Exit.allCases)
    func leavingInAHandlerEndsTheAttempt(phase: Phase, exit: Exit) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        switch phase {
        case .lookup: log.once(in: .hostLookup) { leave(socket, by: exit) }
        case .connecting: log.once(in: .connecting) { leave(socket, by: exit) }
        case .hostFound: log.once(.hostFound) { leave(socket, by: exit) }
        }
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try bench.settle()
        #expect(socket.state == .unconnected && !socket.isOpen && !socket.isValid)
        #expect(!listener.hasConnection, "nothing may be left that connects")
        #expect(log.changes.suffix(3) == ["aboutToClose", "stateChanged(Unconnected)", "readChannelFinished"])
        #expect(!log.saw(.disconnected) && !log.saw(.connected) && !log.saw(.errorOccurred))
        #expect(socket.error == .noError)
    }

    @Test(arguments: ["127.0.0.1", "localhost"], Exit.allCases)
    func leavingAfterTheCallEndsTheAttempt(host: String, exit: Exit) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost(host, port: listener.port)
        log.clear()
        try socket.put("never sent")
        leave(socket, by: exit)
        #expect(log.events == ["aboutToClose", "stateChanged(Unconnected)", "readChannelFinished"])
        #expect(socket.bytesToWrite == 0)
        // Work that is posted now comes after whatever the resolver still has to say.
        for _ in 0..<20 { _ = try bench.loop.runOnce(timeout: 1) }
        #expect(log.events.count == 3)
    }

    @Test func abortInTheEventsOfTheConnectionIsACloseOfIt() throws {
        for moment in [EventType.stateChanged, .connected] {
            let bench = try Bench()
            defer { bench.end() }
            let listener = try RawListener.tcp()
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            if moment == .connected {
                log.once(.connected) { socket.abort() }
            } else {
                log.once(in: .connected) { socket.abort() }
            }
            try socket.connectToHost("127.0.0.1", port: listener.port)
            bench.run { socket.isGone }
            try bench.settle()
            #expect(log.saw(.connected) == (moment == .connected))
            #expect(log.events.suffix(4) == ["aboutToClose"] + closingEvents)
            let peer = try listener.accept()
            #expect(try peer.receive().isEmpty)
        }
    }

    @Test func aNewConnectMayReplaceAnAbortedOne() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        log.once(.readChannelFinished) { #expect(throws: Never.self) { try socket.connectToHost("localhost", port: listener.port) } }
        socket.abort()
        bench.run { log.saw(.connected) }
        #expect(socket.peerPort == listener.port)
        #expect(!log.saw(.disconnected))
    }

    @Test func abortAndConnectAgainInHostFound() throws {
        let bench = try Bench()
        defer { bench.end() }
        let first = try RawListener.tcp()
        let second = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(.hostFound) {
            socket.abort()
            #expect(throws: Never.self) { try socket.connectToHost("127.0.0.1", port: second.port) }
        }
        try socket.connectToHost("127.0.0.1", port: first.port)
        bench.run { log.saw(.connected) }
        try bench.settle()
        #expect(socket.peerPort == second.port && !first.hasConnection)
    }

    // MARK: Closing while connecting is remembered

    @Test(arguments: ["127.0.0.1", "localhost"])
    func disconnectingWhileConnectingSendsAndCloses(host: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost(host, port: listener.port)
        let state = socket.state
        try socket.put("hello")
        log.clear()
        socket.disconnectFromHost()
        socket.disconnectFromHost()
        #expect(log.events.isEmpty && socket.state == state)
        bench.run { log.saw(.disconnected) }
        #expect(log.saw(.connected) && log.bytesWritten == 5)
        #expect(log.changes.suffix(4) == ["stateChanged(Closing)"] + closingEvents)
        #expect(try text(listener.accept().receiveToEnd()) == "hello")
        #expect(socket.isOpen)
    }

    @Test func closingWhileConnectingClosesTheDeviceAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try socket.put("hello")
        log.clear()
        log.once(.connected) { #expect(!socket.isOpen) }
        socket.close()
        #expect(log.events == ["aboutToClose"] && !socket.isOpen && socket.state == .connecting)
        #expect(code { try socket.put("more") } == .operation)
        bench.run { log.saw(.disconnected) }
        #expect(log.saw(.connected))
        #expect(try text(listener.accept().receiveToEnd()) == "hello")
    }

    @Test func abortWhileAClosingIsRememberedForgetsIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        socket.disconnectFromHost()
        socket.abort()
        #expect(socket.state == .unconnected)
        let other = try RawListener.tcp()
        try socket.connectToHost("127.0.0.1", port: other.port)
        bench.run { log.saw(.connected) }
        try bench.settle()
        #expect(socket.state == .connected, "the wish to close belonged to the attempt before")
    }

    @Test func aConnectThatFailsAfterDisconnectIsAFailure() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        try socket.put("hello")
        socket.disconnectFromHost()
        bench.run { socket.isGone }
        try bench.settle()
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(ConnectionRefusedError)"])
        #expect(log.errors.first?.message.contains("5 bytes") == true, "what could not be sent is told")
        #expect(socket.bytesToWrite == 0)
    }

    // MARK: Time

    @Test func anAttemptThatHangsEndsByItsTimeLimit() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.setConnectTimeout(30)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        bench.run { socket.isGone }
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(SocketTimeoutError)"])
        let error = try #require(socket.lastError)
        #expect(error.message.contains("127.0.0.1:\(hanging.port)"))
        #expect(error.attempts.map(\.address) == ["127.0.0.1:\(hanging.port)"])

        let listener = try RawListener.tcp()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket.state == .connected }
        var later = false
        _ = bench.loop.addTimer(after: 60) { later = true }
        bench.run { later }
        #expect(socket.state == .connected, "the limit ends with the attempt")
        #expect(log.count(of: .errorOccurred) == 1)
    }

    @Test func theTimeLimitMayDestroyTheSocket() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(in: .unconnected) { socket.destroy() }
        try socket.setConnectTimeout(1)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        bench.run { socket.isDestroyed }
        try bench.settle()
        #expect(log.events.last == "stateChanged(Unconnected)", "nothing comes after destroy")
    }

    @Test func anObjectThatIsDroppedWhileConnectingLeavesNothingBehind() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        for host in ["127.0.0.1", "localhost", "does-not-exist.invalid", ""] {
            var socket: TCPSocket? = TCPSocket(loop: bench.loop)
            try socket?.setConnectTimeout(1)
            try socket?.connectToHost(host, port: hanging.port)
            _ = try socket?.write("never sent")
            socket = nil
        }
        var later = false
        _ = bench.loop.addTimer(after: 20) { later = true }
        bench.run { later }
    }

    // MARK: Writing on the way

    @Test(arguments: ["127.0.0.1", "localhost"])
    func whatIsWrittenOnTheWayGoesOutInItsOrder(host: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(in: .hostLookup) { _ = try? socket.write("1") }
        log.once(in: .connecting) { _ = try? socket.write("3") }
        log.once(.hostFound) { _ = try? socket.write("4") }
        log.once(in: .connected) { _ = try? socket.write("5") }
        log.once(.connected) { _ = try? socket.write("6") }
        try socket.connectToHost(host, port: listener.port)
        // For an address everything up to hostFound happened inside the call.
        try socket.put(host == "localhost" ? "2" : "")
        let expected = host == "localhost" ? "123456" : "13456"
        #expect(socket.bytesToWrite > 0 && !socket.flush())
        let peer = try listener.accept(running: bench) { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(expected.count) == expected)
        #expect(log.bytesWritten == expected.count)
    }

    @Test func shutdownWriteOnTheWayIsRemembered() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try socket.put("request")
        try socket.shutdownWrite()
        #expect(code { try socket.put("more") } == .operation)
        let peer = try listener.accept(running: bench) { socket.state == .connected && socket.bytesToWrite == 0 }
        #expect(try text(peer.receiveToEnd()) == "request")
        try peer.send("answer")
        bench.run { socket.bytesAvailable == 6 }
        #expect(socket.state == .connected)
    }

    @Test func shutdownWriteOnTheWayWithNothingWrittenIsRemembered() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try socket.shutdownWrite()
        let peer = try listener.accept(running: bench) { socket.state == .connected }
        let collector = try bench.collect(peer)
        bench.run { collector.ended }
        #expect(collector.bytes.isEmpty && socket.state == .connected)
    }
}

extension RawListener {
    /// Accepts once this holds on the library's side.
    func accept(running bench: Bench, until condition: () -> Bool) throws -> RawPeer {
        bench.run(until: condition)
        return try accept()
    }
}
