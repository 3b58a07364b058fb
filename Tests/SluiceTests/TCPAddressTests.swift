import Glibc
import Sluice
import Testing

/// IPv6, dual stack, and binding before connecting.
@Suite struct TCPAddressTests {
    @Test(.enabled(if: hasIPv6)) func anIPv6AddressIsConnectedTo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener(at: .ipv6(port: 0))
        let socket = bench.tcpSocket()
        try socket.connectToHost("::1", port: listener.port)
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        #expect(socket.peerAddress == "::1" && socket.localAddress == "::1" && socket.peerPort == listener.port)
        try peer.send("six")
        bench.run { socket.bytesAvailable == 3 }
    }

    @Test(.enabled(if: hasIPv6)) func aRefusalNamesAnIPv6AddressInBrackets() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener(at: .ipv6(port: 0), backlog: -1)
        let socket = bench.tcpSocket()
        try socket.connectToHost("::1", port: deaf.port)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.errorString.contains("[::1]:\(deaf.port)"))
    }

    @Test(.enabled(if: hasIPv6)) func anyListensOnBothFamilies() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen("any")
        #expect(server.address == "*" && server.port > 0)
        for (address, seenAs) in [(RawAddress.ipv4(port: server.port), "::ffff:127.0.0.1"), (.ipv6(port: server.port), "::1")] {
            let peer = try RawPeer.connect(to: address)
            bench.run { server.hasPendingConnections }
            let socket = try #require(server.nextPendingConnection())
            #expect(socket.peerAddress == seenAs && socket.peerPort == peer.localAddress.port && socket.peerName == "")
            socket.abort()
        }
    }

    @Test(.enabled(if: hasIPv6)) func eachFamilyCanBeListenedOnAlone() throws {
        let bench = try Bench()
        defer { bench.end() }
        let six = bench.tcpServer()
        try six.listen("AnyIPv6")
        #expect(throws: RawFailure.self) { try RawPeer.connect(to: .ipv4(port: six.port)) }
        let four = bench.tcpServer()
        try four.listen("AnyIPv4")
        #expect(four.address == "0.0.0.0")
        #expect(throws: RawFailure.self) { try RawPeer.connect(to: .ipv6(port: four.port)) }
        // One port number, two families.
        let otherFour = bench.tcpServer()
        try otherFour.listen("AnyIPv4", port: six.port)
        #expect(otherFour.port == six.port)
    }

    @Test(.enabled(if: hasIPv6), arguments: ["localhost", "127.0.0.1", "::1"])
    func bothEndsOfTheLibraryMeet(host: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.listen()
        let socket = bench.tcpSocket()
        try socket.connectToHost(host, port: server.port)
        try socket.put("hello")
        bench.run { server.hasPendingConnections }
        let accepted = bench.keep(try #require(server.nextPendingConnection()))
        bench.run { accepted.bytesAvailable == 5 }
    }

    // MARK: Binding

    @Test func bindingTellsItsStateAndAddress() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.1")
        #expect(log.events == ["stateChanged(Bound)"] && socket.state == .bound)
        #expect(!socket.isOpen && socket.isValid && socket.descriptor >= 0)
        #expect(socket.localAddress == "127.0.0.1" && socket.localPort > 0 && socket.peerAddress == "")
        #expect(code { try socket.put("x") } == .operation)
        #expect(code { _ = try socket.read(maxSize: 1) } == .operation)
    }

    @Test(arguments: ["abort", "close", "disconnectFromHost", "destroy"]) func aBoundSocketIsLetGoWithoutADisconnect(by way: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        log.clear()
        switch way {
        case "abort": socket.abort()
        case "close": socket.close()
        case "destroy": socket.destroy()
        default: socket.disconnectFromHost()
        }
        #expect(log.events == ["stateChanged(Unconnected)", "readChannelFinished"])
        #expect(socket.descriptor == -1 && socket.localPort == 0)
        let next = bench.tcpSocket()
        try next.bind("127.0.0.1", port: port)
        #expect(next.localPort == port, "the port is free again")
    }

    @Test func aBoundSocketConnectsFromItsAddressAndPort() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.2")
        let port = socket.localPort
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.localAddress == "127.0.0.2" && socket.localPort == port)
        bench.run { log.saw(.connected) }
        let peer = try listener.accept()
        #expect(peer.remoteAddress.host == "127.0.0.2" && peer.remoteAddress.port == port)
        #expect(log.events == [
            "stateChanged(Bound)", "stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound", "stateChanged(Connected)", "connected",
        ])
        try socket.put("hello")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(5) == "hello")
        peer.close()
        bench.run { socket.isGone }
    }

    @Test(arguments: ["any", "AnyIPv4", "0.0.0.0"]) func aSocketBoundToAnyConnectsToIPv4(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.bind(address)
        let port = socket.localPort
        try socket.connectToHost("127.0.0.1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
        #expect(socket.localPort == port)
        #expect(try listener.accept().remoteAddress.port == port)
    }

    @Test(.enabled(if: hasIPv6), arguments: ["any", "AnyIPv6", "::1"]) func aSocketBoundToAnyConnectsToIPv6(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener(at: .ipv6(port: 0))
        let socket = bench.tcpSocket()
        try socket.bind(address)
        try socket.connectToHost("::1", port: listener.port)
        #expect(socket.waitForConnected(timeout: Bench.patience), "\(socket.errorString)")
        #expect(socket.peerAddress == "::1")
    }

    @Test(.enabled(if: hasIPv6)) func aBoundSocketCannotConnectToTheOtherFamily() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener(at: .ipv6(port: 0))
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.bind("127.0.0.1")
        try socket.connectToHost("::1", port: listener.port)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(log.events.suffix(2).first == "stateChanged(Unconnected)" && log.errors.count == 1)
        #expect(socket.descriptor == -1)
    }

    @Test func aRefusedConnectLetsTheBoundPortGo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        #expect(!socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.state == .unconnected && socket.descriptor == -1)
        try bench.tcpSocket().bind("127.0.0.1", port: port)
    }

    @Test func anAddressInUseIsToldAndLeavesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        #expect(code { try socket.bind("127.0.0.1", port: listener.port) } == .addressInUse)
        #expect(log.events == ["errorOccurred(AddressInUseError)"])
        #expect(socket.state == .unconnected && socket.descriptor == -1 && !socket.isValid && socket.error == .addressInUse)
        #expect(socket.errorString.contains("127.0.0.1:\(listener.port)"))
        try socket.bind("127.0.0.1")
        #expect(socket.error == .noError, "a bind that worked")
    }

    @Test(arguments: ["192.0.2.1", "not an address", "", "localhost.example", "127.0.0.1\0"])
    func anAddressOfElsewhereIsRefused(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        let expected: SocketError.Code = address == "192.0.2.1" ? .socketAddressNotAvailable : .unsupportedSocketOperation
        #expect(code { try socket.bind(address) } == expected)
        #expect(log.events == ["errorOccurred(\(expected.name))"] && socket.state == .unconnected && socket.descriptor == -1)
    }

    @Test func bindingOutOfTurnIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(code { try link.socket.bind("127.0.0.1") } == .operation)
        #expect(link.socket.state == .connected)
        let socket = bench.tcpSocket()
        try socket.bind("127.0.0.1")
        let port = socket.localPort
        #expect(code { try socket.bind("127.0.0.1") } == .operation)
        #expect(socket.state == .bound && socket.localPort == port)
    }

    @Test func sharedPortsAreSharedOnlyWhenAllAgree() throws {
        let bench = try Bench()
        defer { bench.end() }
        let first = bench.tcpSocket()
        try first.bind("127.0.0.1", mode: .reusePort)
        let second = bench.tcpSocket()
        try second.bind("127.0.0.1", port: first.localPort, mode: .reusePort)
        #expect(second.localPort == first.localPort)
        #expect(code { try bench.tcpSocket().bind("127.0.0.1", port: first.localPort) } == .addressInUse)
    }

    @Test func anAbortInTheBoundStatesHandlerUnbinds() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        log.once(in: .bound) { socket.abort() }
        try socket.bind("127.0.0.1")
        #expect(socket.state == .unconnected && socket.descriptor == -1)
        #expect(log.events == ["stateChanged(Bound)", "stateChanged(Unconnected)", "readChannelFinished"])
    }
}
