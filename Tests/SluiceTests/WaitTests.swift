import Glibc
import Sluice
import Testing

/// Each wait in its two forms: blocking, and deferred in the running loop. Both give the same result and the same events.
@Suite struct WaitTests {
    private let long = Bench.patience
    /// Far less than a peer that does nothing would ever take.
    private let short = 20

    // MARK: connected

    @Test(arguments: WaitForm.allCases, [("127.0.0.1", -1), ("127.0.0.1", Bench.patience), ("localhost", -1), ("localhost", Bench.patience)])
    func connectedIsTrueOnceConnected(_ form: WaitForm, _ way: (host: String, timeout: Int)) throws {
        let (host, timeout) = way
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost(host, port: listener.port)
        #expect(wait(form, bench, socket, .connected, timeout))
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected"])
        #expect(wait(form, bench, socket, .connected, 0), "and from then on at once")
        #expect(log.events.count == 5)
    }

    @Test(arguments: WaitForm.allCases, ["refused", "does-not-exist.invalid", ""])
    func connectedIsFalseWhenTheAttemptFails(_ form: WaitForm, host: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost(host == "refused" ? "127.0.0.1" : host, port: deaf.port)
        #expect(!wait(form, bench, socket, .connected, long))
        #expect(log.events.suffix(2).first == "stateChanged(Unconnected)" && log.errors.count == 1)
        #expect(log.errors.first?.code == (host == "refused" ? .connectionRefused : host.isEmpty ? .emptyHostName : .hostNotFound))
    }

    @Test(arguments: WaitForm.allCases, [0, 20]) func connectedEndsTheAttemptWhenTimeRunsOut(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        log.clear()
        #expect(!wait(form, bench, socket, .connected, timeout))
        #expect(log.events == ["stateChanged(Unconnected)", "errorOccurred(SocketTimeoutError)"])
        #expect(socket.error == .socketTimeout)
        let listener = try RawListener.tcp()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(wait(form, bench, socket, .connected, long))
        #expect(socket.error == .noError)
    }

    @Test(arguments: WaitForm.allCases) func theConnectTimeLimitHoldsInAWait(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        for kind in [Wait.Kind.connected, .readyRead, .disconnected] {
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            try socket.setConnectTimeout(short)
            try socket.connectToHost("127.0.0.1", port: hanging.port)
            #expect(!wait(form, bench, socket, kind, -1), "\(kind)")
            #expect(log.errors.map(\.code) == [.socketTimeout] && socket.isGone)
        }
    }

    // MARK: States that cannot get there

    @Test(arguments: WaitForm.allCases, [0, -1]) func anUnconnectedSocketIsNotWaitedFor(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        for bound in [false, true] {
            let socket = bench.tcpSocket()
            let log = Recorder(socket)
            if bound { try socket.bind("127.0.0.1") }
            let port = socket.localPort
            log.clear()
            for kind in [Wait.Kind.connected, .readyRead, .bytesWritten, .disconnected] {
                #expect(!wait(form, bench, socket, kind, timeout), "\(kind)")
            }
            #expect(log.events.isEmpty && socket.error == .noError)
            #expect(socket.state == (bound ? .bound : .unconnected) && socket.localPort == port)
            try socket.sync(timeout: timeout)
        }
    }

    @Test(arguments: WaitWay.all) func closingIsNotDisturbedByWaits(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(6 << 20)
        try link.socket.put(data)
        link.socket.disconnectFromHost()
        #expect(!wait(form, bench, link.socket, .connected, 0))
        #expect(!wait(form, bench, link.socket, .readyRead, 0))
        #expect(link.socket.state == .closing && !link.log.saw(.errorOccurred))
        let peer = link.peer
        let received = Shared<[UInt8]>([])
        let reader = try Worker { let all = try peer.receiveToEnd(); received.change { $0 = all } }
        #expect(wait(form, bench, link.socket, .disconnected, long))
        try reader.join()
        #expect(received.value == data)
        #expect(link.log.changes == ["stateChanged(Closing)"] + closingEvents)
    }

    @Test(arguments: WaitForm.allCases) func anIdleDisconnectLeavesNothingToWaitFor(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.socket.disconnectFromHost()
        #expect(!wait(form, bench, link.socket, .disconnected, -1))
        #expect(link.socket.error == .noError)
    }

    // MARK: readyRead

    @Test(arguments: WaitWay.all, [-1, Bench.patience])
    func readyReadIsTrueForNewBytes(_ way: WaitWay, timeout: Int) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let peer = link.peer
        let server = try Worker { try peer.send(peer.receiveExactly(4)) }
        try link.socket.put("ping")
        #expect(wait(form, bench, link.socket, .readyRead, timeout))
        try server.join()
        #expect(link.log.events == ["bytesWritten(4)", "readyRead(4)"], "what is pending is sent meanwhile")
        #expect(try text(link.socket.readAll()) == "ping")
    }

    @Test(arguments: WaitForm.allCases, [0, 20]) func bytesThatAreThereAlreadyDoNotCount(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("old")
        bench.run { link.socket.bytesAvailable == 3 }
        link.log.clear()
        #expect(!wait(form, bench, link.socket, .readyRead, timeout))
        #expect(link.log.events == ["errorOccurred(SocketTimeoutError)"])
        #expect(link.socket.error == .socketTimeout && link.socket.state == .connected && link.socket.bytesAvailable == 3)
        try link.peer.send("new")
        #expect(wait(form, bench, link.socket, .readyRead, long))
        #expect(link.socket.error == .noError, "a time-out before is no error of a wait that succeeded")
        #expect(try text(link.socket.readAll()) == "oldnew")
    }

    @Test(arguments: WaitWay.all) func dataAndEndAreTwoAnswers(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("data")
        link.peer.close()
        #expect(wait(form, bench, link.socket, .readyRead, long))
        #expect(!wait(form, bench, link.socket, .readyRead, long))
        #expect(link.socket.error == .remoteHostClosed && link.socket.isGone)
        #expect(link.log.events == ["readyRead(4)", "errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(try text(link.socket.readAll()) == "data")
    }

    @Test(arguments: WaitWay.all) func theEndEndsAWait(_ way: WaitWay) throws {
        let (form, transport) = (way.form, way.transport)
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.peer.close()
        #expect(!wait(form, bench, link.socket, .readyRead, -1))
        #expect(link.log.events == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
    }

    @Test(arguments: WaitForm.allCases) func theEndOfAHalfOpenConnectionEndsAWait(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.socket.allowHalfOpen = true
        link.peer.shutdownWrite()
        #expect(!wait(form, bench, link.socket, .readyRead, -1))
        #expect(link.log.events == ["readChannelFinished"] && link.socket.state == .connected)
        #expect(!wait(form, bench, link.socket, .readyRead, -1), "nothing will come any more")
        try link.socket.put("still open")
        #expect(wait(form, bench, link.socket, .bytesWritten, long))
    }

    @Test(arguments: WaitForm.allCases, [Wait.Kind.readyRead, .bytesWritten, .disconnected, .sync])
    func otherWaitsDoNotEndAnAttempt(_ form: WaitForm, kind: Wait.Kind) throws {
        for timeout in [0, short] { try waitInVain(form, kind, timeout) }
    }

    private func waitInVain(_ form: WaitForm, _ kind: Wait.Kind, _ timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        try socket.put("pending")
        log.clear()
        #expect(!wait(form, bench, socket, kind, timeout))
        #expect(log.events == ["errorOccurred(SocketTimeoutError)"])
        #expect(socket.state == .connecting && socket.bytesToWrite == 7)
    }

    @Test(arguments: WaitForm.allCases) func readyReadWaitsForTheConnectionFirst(_ form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.connectToHost("localhost", port: listener.port)
        try socket.put("ping")
        let server = try Worker {
            let peer = try listener.accept()
            try peer.send(peer.receiveExactly(4))
        }
        #expect(wait(form, bench, socket, .readyRead, long))
        try server.join()
        #expect(try text(socket.readAll()) == "ping")
    }

    @Test(arguments: WaitForm.allCases, [0, -1]) func aFullReadBufferIsNotWaitedFor(_ form: WaitForm, timeout: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(!wait(form, bench, link.socket, .readyRead, timeout), "nothing can come before something is read")
        #expect(link.socket.state == .connected && link.socket.bytesAvailable == 4)
        #expect(try link.socket.read(maxSize: 2).count == 2)
        #expect(wait(form, bench, link.socket, .readyRead, long))
        #expect(try text(link.socket.readAll()) == "3456")
    }

    @Test(arguments: WaitForm.allCases, [false, true]) func otherWaitsComeBackBehindAFullReadBuffer(_ form: WaitForm, peerCloses: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 4 }
        if peerCloses { link.peer.shutdownWrite() }
        #expect(!wait(form, bench, link.socket, .disconnected, short))
        #expect(link.log.errors.map(\.code) == [.socketTimeout] && link.socket.bytesAvailable == 4)
        try link.socket.put("out")
        #expect(wait(form, bench, link.socket, .bytesWritten, long))
        #expect(try link.peer.receiveText(3) == "out")
    }
}
