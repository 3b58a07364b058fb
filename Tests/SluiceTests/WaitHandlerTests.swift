import Glibc
import Sluice
import Testing

/// Waits and handlers: what may be done in one while the other is under way.
@Suite struct WaitHandlerTests {
    @Test(arguments: Transport.allCases) func aWaitInsideAHandlerOfTheLoop(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let peer = link.peer
        let server = try Worker { for _ in 0..<3 { try peer.send(peer.receiveExactly(4)) } }
        var answers = ""
        bench.loop.post(unchecked {
            for _ in 0..<3 {
                _ = try? link.socket.write("ping")
                #expect(link.socket.waitForReadyRead(timeout: Bench.patience))
                answers += (try? text(link.socket.readAll())) ?? ""
            }
        })
        bench.run { answers.count == 12 }
        try server.join()
        #expect(answers == "pingpingping")
    }

    @Test func blockingUseAloneNeverNeedsTheLoop() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        let port = server.port
        let client = try Worker {
            let peer = try RawPeer.connect(to: .ipv4(port: port))
            for round in 0..<200 {
                try peer.send("\(round)\n")
                _ = try peer.receiveExactly("\(round)\n".count)
            }
        }
        #expect(server.waitForNewConnection(timeout: Bench.patience) == (true, false))
        let socket = bench.keep(try #require(server.nextPendingConnection()))
        var rounds = 0
        while socket.state == .connected, socket.canReadLine || socket.waitForReadyRead(timeout: Bench.patience) {
            while socket.canReadLine {
                try socket.put(socket.readLine())
                rounds += 1
            }
        }
        try client.join()
        #expect(rounds == 200 && socket.error == .remoteHostClosed)
    }

    @Test(arguments: Transport.allCases) func blockingAndLoopMayTakeTurns(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        for round in 0..<20 {
            try link.peer.send("x")
            if round % 2 == 0 {
                #expect(link.socket.waitForReadyRead(timeout: Bench.patience))
            } else {
                bench.run { link.socket.bytesAvailable > 0 }
            }
            #expect(try link.socket.readAll().count == 1)
            try link.socket.put("y")
            if round % 3 == 0 {
                #expect(link.socket.waitForBytesWritten(timeout: Bench.patience))
            } else {
                bench.run { link.socket.bytesToWrite == 0 }
            }
            #expect(try link.peer.receiveText(1) == "y")
        }
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(link.log.count(of: .readyRead) == 20 && link.log.bytesWritten == 20)
    }

    @Test func aSignalDoesNotEndAWait() throws {
        signal(SIGUSR1) { _ in }
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let (peer, here) = (link.peer, UInt(pthread_self()))
        let sender = try Worker {
            for _ in 0..<200 {
                pthread_kill(pthread_t(here), SIGUSR1)
                sched_yield()
            }
            try peer.send("data")
        }
        #expect(link.socket.waitForReadyRead(timeout: -1))
        try sender.join()
        #expect(link.log.events == ["readyRead(4)"])
    }

    // MARK: Handlers that end what is waited for

    enum Kind: CaseIterable {
        case connected, readyRead, bytesWritten, disconnected

        var wait: Wait.Kind {
            switch self {
            case .connected: .connected
            case .readyRead: .readyRead
            case .bytesWritten: .bytesWritten
            case .disconnected: .disconnected
            }
        }
    }

    @Test(arguments: Kind.allCases, [false, true]) func theHandlerOfATimeoutMayDestroyTheSocket(kind: Kind, deferred: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        try socket.put("pending")
        log.once(.errorOccurred) { socket.destroy() }
        var answers: [Bool] = []
        if deferred {
            socket.beginWait(kind.wait, timeout: 1) { answers.append($0) }
            bench.run { !answers.isEmpty }
        } else {
            answers.append(socket.wait(for: kind.wait, timeout: 1))
        }
        try bench.settle()
        #expect(answers == [false] && socket.isDestroyed)
    }

    @Test(arguments: [Kind.readyRead, .bytesWritten, .disconnected], [false, true]) func anotherConnectInAHandlerIsNotTheOneWaitedFor(kind: Kind, deferred: Bool) throws {
        // The connection that is waited for ends in its handler, and another one hangs: the wait must not go on with that one.
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        try bench.settle()
        link.log.once(.disconnected) {
            #expect(throws: Never.self) { try link.socket.connectToHost("127.0.0.1", port: hanging.port) }
        }
        link.peer.reset()
        var answers: [Bool] = []
        if deferred {
            link.socket.beginWait(kind.wait, timeout: 2000) { answers.append($0) }
            bench.run { !answers.isEmpty }
        } else {
            answers.append(link.socket.wait(for: kind.wait, timeout: 2000))
        }
        #expect(answers == [kind == .disconnected])
        #expect(!link.log.errors.contains { $0.code == .socketTimeout }, "it came to its end before the time did")
    }

    // MARK: Deferred waits

    @Test func aCancelledWaitIsNotAnswered() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var answers = 0
        let wait = try #require(link.socket.beginWait(.readyRead, timeout: 1) { _ in answers += 1 })
        wait.cancel()
        wait.cancel()
        try link.peer.send("data")
        bench.run { link.socket.bytesAvailable == 4 }
        var later = false
        _ = bench.loop.addTimer(after: 5) { later = true }
        bench.run { later }
        #expect(answers == 0 && link.log.events == ["readyRead(4)"], "a cancelled wait has no time-out either")
    }

    @Test func destroyAnswersWhatIsOpenAndNothingElse() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        try bench.settle()
        var answers: [String] = []
        link.socket.beginWait(.readyRead, timeout: -1) { answers.append("readyRead \($0)") }
        link.socket.beginWait(.bytesWritten, timeout: -1) { answers.append("bytesWritten \($0)") }
        link.socket.beginWait(.sync, timeout: -1) { answers.append("sync \($0)") }
        link.socket.beginWait(.disconnected, timeout: -1) { answers.append("disconnected \($0)") }
        link.socket.destroy()
        try bench.settle()
        #expect(answers == ["readyRead false", "bytesWritten false", "sync false", "disconnected true"])
    }

    @Test func severalWaitsAreAnsweredByOneEvent() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var answers: [Int] = []
        for number in 0..<5 {
            link.socket.beginWait(.readyRead, timeout: -1) { answered in
                #expect(answered)
                answers.append(number)
                // A new one waits for what is new.
                if number < 2 { link.socket.beginWait(.readyRead, timeout: -1) { _ in answers.append(10 + number) } }
            }
        }
        try link.peer.send("one")
        bench.run { answers.count == 5 }
        try bench.settle()
        #expect(answers == [0, 1, 2, 3, 4])
        try link.peer.send("two")
        bench.run { answers.count == 7 }
        #expect(answers.suffix(2) == [10, 11])
    }

    @Test func anAnswerMayCancelAnotherWait() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var answers: [String] = []
        var second: Wait?
        link.socket.beginWait(.readyRead, timeout: -1) { _ in
            answers.append("first")
            second?.cancel()
        }
        second = link.socket.beginWait(.readyRead, timeout: -1) { _ in answers.append("second") }
        try link.peer.send("data")
        bench.run { !answers.isEmpty }
        try bench.settle()
        #expect(answers == ["first"])
    }

    @Test func anAnswerMayDestroyTheSocket() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var answers: [String] = []
        link.socket.beginWait(.readyRead, timeout: -1) { answered in
            answers.append("first \(answered)")
            link.socket.destroy()
        }
        link.socket.beginWait(.readyRead, timeout: -1) { answers.append("second \($0)") }
        link.socket.beginWait(.disconnected, timeout: -1) { answers.append("third \($0)") }
        try link.peer.send("data")
        bench.run { link.socket.isDestroyed }
        try bench.settle()
        #expect(answers.count == 3 && answers.first == "first true" && answers.contains("third true"))
    }

    @Test func aWaitOfADroppedSocketIsHarmless() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        var socket: TCPSocket? = TCPSocket(loop: bench.loop)
        try socket?.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket?.state == .connected }
        var answers = 0
        let wait = socket?.beginWait(.readyRead, timeout: 1) { _ in answers += 1 }
        socket = nil
        var later = false
        _ = bench.loop.addTimer(after: 5) { later = true }
        bench.run { later }
        wait?.cancel()
        #expect(answers <= 1)
    }
}

/// Work for the test's own loop, which runs it on the test's own thread.
func unchecked(_ body: @escaping () -> Void) -> @Sendable () -> Void {
    nonisolated(unsafe) let body = body
    return { body() }
}
