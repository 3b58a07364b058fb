import Glibc
import Sluice
import Testing

/// Waits for what is to be sent, and for the end; in both forms, as in WaitTests.
@Suite struct WaitSendingTests {
    private let long = Bench.patience
    /// Far less than a peer that does nothing would ever take.
    private let short = 20

    // MARK: bytesWritten and sync

    @Test(arguments: WaitWay.all) func bytesWrittenIsTrueWhenAnyLeft(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(!wait(form, bench, link.socket, .bytesWritten, -1), "nothing is queued")
        #expect(link.log.events.isEmpty)
        try link.socket.put("hello")
        #expect(wait(form, bench, link.socket, .bytesWritten, long))
        #expect(link.log.events == ["bytesWritten(5)"])
        #expect(try link.peer.receiveText(5) == "hello")
    }

    @Test(arguments: WaitWay.all, [0, 20])
    func aPeerThatDoesNotReadLetsTimeRunOut(_ way: WaitWay, timeout: Int) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put(pattern(8 << 20))
        try bench.settle()
        let left = link.socket.bytesToWrite
        link.log.clear()
        #expect(!wait(form, bench, link.socket, .bytesWritten, timeout))
        #expect(link.log.events == ["errorOccurred(SocketTimeoutError)"])
        #expect(!wait(form, bench, link.socket, .sync, timeout))
        #expect(link.log.events.count == 2)
        #expect(link.socket.bytesToWrite == left && link.socket.state == .connected, "nothing pending is lost")
        #expect(code { try link.socket.sync(timeout: timeout) } == .socketTimeout)
    }

    @Test(arguments: WaitWay.all) func syncIsTrueWhenAllLeft(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(wait(form, bench, link.socket, .sync, 0), "nothing is queued")
        let data = pattern(8 << 20)
        try link.socket.put(data)
        let peer = link.peer
        let received = Shared<[UInt8]>([])
        let reader = try Worker { let all = try peer.receiveExactly(data.count); received.change { $0 = all } }
        #expect(wait(form, bench, link.socket, .sync, long))
        #expect(link.socket.bytesToWrite == 0)
        try reader.join()
        #expect(received.value == data && link.log.bytesWritten == data.count)
    }

    @Test(arguments: WaitForm.allCases) func syncFailsWhenTheConnectionBreaks(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        try bench.settle()
        link.peer.reset()
        #expect(!wait(form, bench, link.socket, .sync, long))
        #expect(link.socket.syncFailure.code == .remoteHostClosed && link.socket.isGone)
    }

    @Test(arguments: WaitForm.allCases) func syncFailsWhenTheQueueIsDropped(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.log.once(.bytesWritten) { link.socket.abort() }
        try link.socket.put(pattern(8 << 20))
        #expect(!wait(form, bench, link.socket, .sync, long), "not all was sent")
        #expect(link.socket.isGone)
    }

    // MARK: disconnected

    @Test(arguments: WaitWay.all, [0, 20])
    func disconnectedRunsOutOfTime(_ way: WaitWay, timeout: Int) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(!wait(form, bench, link.socket, .disconnected, timeout))
        #expect(link.log.events == ["errorOccurred(SocketTimeoutError)"] && link.socket.state == .connected)
    }

    @Test(arguments: WaitWay.all) func disconnectedIsTrueWhenThePeerCloses(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let peer = link.peer
        let server = try Worker {
            try peer.send("bye")
            _ = try peer.receiveExactly(2)
            peer.close()
        }
        try link.socket.put("go")
        #expect(wait(form, bench, link.socket, .disconnected, -1))
        try server.join()
        #expect(link.log.changes.suffix(3) == closingEvents)
        #expect(try text(link.socket.readAll()) == "bye")
    }

    @Test(arguments: WaitForm.allCases) func disconnectedIsFalseForAnAttemptThatFails(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        #expect(!wait(form, bench, socket, .disconnected, long), "it never was connected")
        #expect(!log.saw(.disconnected) && log.errors.map(\.code) == [.connectionRefused])
    }

    @Test(arguments: WaitForm.allCases) func theCloseTimeLimitHoldsInAWait(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.setCloseTimeout(short)
        try link.socket.put(pattern(8 << 20))
        link.socket.disconnectFromHost()
        _ = wait(form, bench, link.socket, .disconnected, long)
        #expect(link.socket.isGone)
        #expect(link.log.errors.map(\.code) == [.socketTimeout])
    }

    @Test(arguments: WaitForm.allCases) func aRememberedDisconnectIsWaitedFor(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try socket.put("hello")
        socket.disconnectFromHost()
        #expect(wait(form, bench, socket, .disconnected, long))
        #expect(log.changes.suffix(4) == ["stateChanged(Closing)"] + closingEvents)
        #expect(try text(listener.accept().receiveToEnd()) == "hello")
    }
}
