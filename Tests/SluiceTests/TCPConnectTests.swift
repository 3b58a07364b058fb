import Glibc
import Sluice
import Testing

@Suite struct TCPConnectTests {
    @Test func anAddressIsConnectedToWithoutALookup() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        #expect(socket.state == .unconnected && !socket.isOpen && !socket.isValid && socket.descriptor == -1)
        #expect(socket.error == .noError && socket.errorString == "" && socket.socketType == .tcp && socket.isSequential)

        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound"])
        #expect(socket.state == .connecting && socket.isOpen && !socket.isValid && socket.descriptor == -1)
        #expect(socket.peerName == "127.0.0.1" && socket.peerAddress == "" && socket.peerPort == 0)
        #expect(socket.localAddress == "" && socket.localPort == 0)

        log.clear()
        bench.run { log.saw(.connected) }
        #expect(log.events == ["stateChanged(Connected)", "connected"])
        let peer = try listener.accept()
        #expect(socket.state == .connected && socket.isValid && socket.descriptor >= 0)
        #expect(socket.openMode == .readWrite && socket.isReadable && socket.isWritable)
        #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == listener.port)
        #expect(socket.localAddress == "127.0.0.1" && socket.localPort == peer.remoteAddress.port)
        #expect(socket.error == .noError && socket.lastError == nil)
    }

    @Test func aNameIsLookedUpFirst() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("localhost", port: listener.port, protocol: .ipv4)
        #expect(log.events == ["stateChanged(HostLookup)"])
        #expect(socket.peerName == "localhost" && socket.descriptor == -1 && socket.isOpen)
        log.once(.hostFound) { #expect(socket.state == .connecting) }
        bench.run { log.saw(.connected) }
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected"])
        #expect(socket.peerName == "localhost" && socket.peerAddress == "127.0.0.1")
    }

    @Test func aNameWithTwoFamiliesReachesTheOneThatListens() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.connectToHost("localhost", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.peerAddress == "127.0.0.1")
    }

    @Test func aRefusalIsToldAfterTheState() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(.errorOccurred) { #expect(socket.state == .unconnected && socket.error == .connectionRefused) }
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == [
            "stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Unconnected)", "errorOccurred(ConnectionRefusedError)",
        ])
        let error = try #require(log.errors.first)
        #expect(error.systemError == ECONNREFUSED)
        #expect(error.message.contains("127.0.0.1:\(deaf.port)"))
        #expect(error.attempts.count == 1)
        let attempt = try #require(error.attempts.first)
        #expect(attempt.address == "127.0.0.1:\(deaf.port)" && attempt.phase == .connect && attempt.systemError == ECONNREFUSED)
        #expect(attempt.milliseconds >= 0)
        #expect(socket.isOpen && !socket.isValid && socket.descriptor == -1)
        #expect(socket.peerName == "127.0.0.1" && socket.peerAddress == "" && socket.peerPort == 0)
        #expect(socket.error == .connectionRefused && socket.errorString == error.message)
        try bench.settle()
        #expect(log.events.count == 5)
    }

    @Test func anUnknownNameIsHostNotFound() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("does-not-exist.invalid", port: 80)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Unconnected)", "errorOccurred(HostNotFoundError)"])
        let error = try #require(socket.lastError)
        #expect(error.message.contains("does-not-exist.invalid"))
        #expect(error.attempts.map(\.phase) == [.lookup])
        #expect(error.attempts.map(\.address) == ["does-not-exist.invalid"])
        #expect(socket.isOpen && socket.peerName == "does-not-exist.invalid")
    }

    @Test(arguments: [
        "a..b", "-", "127.0.0.1.5", "2130706433", "1.2.3", "0x7f000001", "::1::2", "[::1]", "a b", "host\0name", "ü",
        String(repeating: "a", count: 300), String(repeating: "long.", count: 200_000), "127.0.0.1 ", "\n",
    ])
    func aNameThatCannotBeIsHostNotFound(name: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost(name, port: 80)
        #expect(log.events == ["stateChanged(HostLookup)"], "as every failed lookup it fails later")
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events.last == "errorOccurred(HostNotFoundError)")
        #expect(socket.errorString.utf8.count < 1000)
    }

    @Test func anEmptyHostFailsLaterWithAnErrorOfItsOwn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("", port: 80)
        #expect(log.events == ["stateChanged(HostLookup)"])
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Unconnected)", "errorOccurred(EmptyHostNameError)"])
    }

    @Test func portZeroFailsLaterWithAnErrorOfItsOwn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: 0)
        #expect(!log.saw(.errorOccurred) && socket.state != .unconnected)
        bench.run { log.saw(.errorOccurred) }
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(PortNumberOutOfRangeError)"])
    }

    @Test(arguments: [-1, 65536, Int.max, Int.min]) func aPortThatIsNoneIsRefused(port: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        #expect(code { try socket.connectToHost("127.0.0.1", port: port) } == .portNumberOutOfRange)
        #expect(code { try socket.bind("127.0.0.1", port: port) } == .portNumberOutOfRange)
        #expect(socket.state == .unconnected && !log.saw(.stateChanged))
    }

    @Test func anAddressOfTheWrongProtocolIsRefusedAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: 80, protocol: .ipv6)
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(HostNotFoundError)"])
        try socket.connectToHost("::1", port: 80, protocol: .ipv4)
        #expect(log.events.suffix(2) == ["stateChanged(Unconnected)", "errorOccurred(HostNotFoundError)"])
    }

    @Test func connectingTwiceIsRefusedAndTheFirstGoesOn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("localhost", port: listener.port)
        log.clear()
        #expect(code { try socket.connectToHost("127.0.0.1", port: 9) } == .operation)
        #expect(socket.state == .hostLookup && log.events == ["errorOccurred(OperationError)"])
        log.once(.hostFound) { #expect(code { try socket.connectToHost("127.0.0.1", port: 9) } == .operation) }
        bench.run { log.saw(.connected) }
        #expect(socket.error == .noError, "a connection was made: the misuse before is no error of it")

        log.clear()
        #expect(code { try socket.connectToHost("127.0.0.1", port: 9) } == .operation)
        #expect(socket.state == .connected && socket.peerName == "localhost" && log.events == ["errorOccurred(OperationError)"])
        let peer = try listener.accept()
        try peer.send("still here")
        bench.run { socket.bytesAvailable == 10 }
    }

    @Test func aRetryFromTheErrorsHandlerConnects() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(.errorOccurred) { #expect(throws: Never.self) { try socket.connectToHost("127.0.0.1", port: listener.port) } }
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        bench.run { log.saw(.connected) }
        #expect(socket.error == .noError && socket.peerPort == listener.port)
        #expect(log.count(of: .errorOccurred) == 1)
    }

    @Test func aRetryFromTheStatesHandlerConnectsAndTheFailureIsStillTold() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(in: .unconnected) { #expect(throws: Never.self) { try socket.connectToHost("127.0.0.1", port: listener.port) } }
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        bench.run { log.saw(.connected) }
        #expect(log.errors.map(\.code) == [.connectionRefused])
        #expect(socket.error == .noError)
    }

    @Test func aNewConnectForgetsTheLastErrorAndTheUnreadBytes() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("old")
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(link.socket.error == .remoteHostClosed && link.socket.bytesAvailable == 3)
        let listener = try RawListener.tcp()
        try link.socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(link.socket.error == .noError && link.socket.bytesAvailable == 0)
        #expect(link.socket.waitForConnected(timeout: Bench.patience))
        let peer = try listener.accept()
        try peer.send("new")
        bench.run { link.socket.bytesAvailable > 0 }
        #expect(try text(link.socket.readAll()) == "new")
    }

    @Test func aPeerThatClosesAtOnceIsConnectedFirst() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        let server = try Worker {
            let peer = try listener.accept()
            try peer.send("bye")
        }
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try server.join()
        bench.run { log.saw(.disconnected) }
        #expect(log.events.dropFirst(3) == [
            "stateChanged(Connected)", "connected", "readyRead(3)", "errorOccurred(RemoteHostClosedError)",
            "stateChanged(Closing)", "stateChanged(Unconnected)", "readChannelFinished", "disconnected",
        ])
        #expect(try text(socket.readAll()) == "bye")
    }

    @Test func manySocketsConnectAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp(backlog: 200)
        let sockets = (0..<100).map { _ in bench.tcpSocket() }
        for (index, socket) in sockets.enumerated() {
            try socket.connectToHost(index % 2 == 0 ? "127.0.0.1" : "localhost", port: listener.port)
        }
        bench.run { sockets.allSatisfy { $0.state == .connected } }
        #expect(Set(sockets.map(\.localPort)).count == 100)
    }

    @Test func aConnectTimeLimitThatIsNoneIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        #expect(socket.connectTimeout == 60000 && socket.closeTimeout == 60000)
        #expect(code { try socket.setConnectTimeout(-2) } == .invalidArgument)
        #expect(code { try socket.setCloseTimeout(-2) } == .invalidArgument)
        try socket.setConnectTimeout(-1)
        try socket.setCloseTimeout(0)
        #expect(socket.connectTimeout == -1 && socket.closeTimeout == 0)
    }
}
