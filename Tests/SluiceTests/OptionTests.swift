import Glibc
import Sluice
import Testing

@Suite struct OptionTests {
    /// Options of TCP sockets with a value that fits and is not the system's own.
    private static let values: [(SocketOption, Int)] = [
        (.lowDelay, 1), (.keepAlive, 1), (.typeOfService, 32), (.multicastLoopback, 0), (.keepAliveIdle, 100),
        (.keepAliveInterval, 20), (.keepAliveCount, 3), (.userTimeout, 5000),
    ]

    @Test func whatIsSetBeforeConnectingIsApplied() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        for (option, value) in Self.values {
            #expect(code { _ = try socket.option(option) } == .invalidState, "\(option.name) is not known yet")
            try socket.setOption(option, value)
            #expect(try socket.option(option) == value)
        }
        for round in 0..<2 {
            try socket.connectToHost("127.0.0.1", port: listener.port)
            try #require(socket.waitForConnected(timeout: Bench.patience))
            for (option, value) in Self.values { #expect(try socket.option(option) == value, "\(option.name), connection \(round)") }
            var noDelay: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            #expect(getsockopt(socket.descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &noDelay, &size) == 0 && noDelay != 0)
            socket.abort()
        }
    }

    @Test func whatIsSetWhileConnectedIsInForce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(try link.socket.option(.pathMtu) > 500)
        for (option, value) in Self.values {
            try link.socket.setOption(option, value)
            #expect(try link.socket.option(option) == value, "\(option.name)")
        }
        try link.socket.setOption(.sendBufferSize, 50_000)
        #expect(try link.socket.option(.sendBufferSize) >= 50_000)
        try link.socket.setOption(.keepAlive, 77)
        #expect(try link.socket.option(.keepAlive) == 1, "a switch is on or off")
    }

    @Test func aBoundSocketHasItsOptions() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.setOption(.keepAlive, 1)
        try socket.bind("127.0.0.1")
        #expect(try socket.option(.keepAlive) == 1)
        try socket.setOption(.lowDelay, 1)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try #require(socket.waitForConnected(timeout: Bench.patience))
        #expect(try socket.option(.keepAlive) == 1 && socket.option(.lowDelay) == 1)
    }

    @Test func whatIsSetWhileConnectingIsApplied() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        try socket.connectToHost("127.0.0.1", port: listener.port)
        try socket.setOption(.lowDelay, 1)
        try #require(socket.waitForConnected(timeout: Bench.patience))
        #expect(try socket.option(.lowDelay) == 1, "set while the attempt had its descriptor already")
    }

    @Test func whileConnectingTheSystemTellsTheValues() throws {
        let bench = try Bench()
        defer { bench.end() }
        let hanging = try RawListener.hanging()
        let socket = bench.tcpSocket()
        try socket.connectToHost("127.0.0.1", port: hanging.port)
        #expect(try socket.option(.lowDelay) == 0 && socket.option(.receiveBufferSize) > 0)
        try socket.setOption(.sendBufferSize, 20_000)
        #expect(try socket.option(.sendBufferSize) == 40_000, "as the system counts")
        socket.abort()
        #expect(try socket.option(.sendBufferSize) == 20_000, "as it was set")
        #expect(code { _ = try socket.option(.lowDelay) } == .invalidState)
    }

    @Test(.enabled(if: hasIPv6)) func thePathMtuCanBeSetOnIPv6() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams(at: .ipv6(port: 0))
        let socket = bench.udpSocket()
        try socket.setOption(.pathMtu, 1400)
        try socket.connectToHost("::1", port: peer.port)
        // The system tells the path's; what was set limits what is sent: more than one fragment would not be needed on loopback.
        #expect(try socket.option(.pathMtu) > 1400)
        try socket.setOption(.pathMtu, 0)
        #expect(code { try socket.setOption(.pathMtu, 1000) } == .invalidArgument, "less than IPv6 allows")
        let four = try bench.boundSocket()
        #expect(code { try four.setOption(.pathMtu, 1400) } == .unsupportedSocketOperation)
    }

    @Test(.enabled(if: hasIPv6)) func trafficClassesWorkOnIPv6() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener(at: .ipv6(port: 0))
        let socket = bench.tcpSocket()
        try socket.setOption(.typeOfService, 32)
        try socket.connectToHost("::1", port: listener.port)
        try #require(socket.waitForConnected(timeout: Bench.patience))
        #expect(try socket.option(.typeOfService) == 32)
        try socket.setOption(.typeOfService, 16)
        #expect(try socket.option(.typeOfService) == 16)
    }

    @Test func valuesThatDoNotFitAreRefusedNotCut() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let idle = bench.tcpSocket()
        let bad: [(SocketOption, Int)] = [
            (.typeOfService, 300), (.typeOfService, -1), (.keepAliveIdle, 0), (.keepAliveCount, 1000), (.sendBufferSize, -1),
            (.receiveBufferSize, Int.max), (.userTimeout, -5), (.keepAliveInterval, 40_000),
        ]
        for (option, value) in bad {
            for socket in [link.socket, idle] { #expect(code { try socket.setOption(option, value) } == .invalidArgument, "\(option.name) \(value)") }
            #expect(code { _ = try idle.option(option) } == .invalidState, "nothing was kept")
        }
    }

    @Test func multicastTtlIsNoOptionOfTCP() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        for socket in [link.socket, bench.tcpSocket()] {
            #expect(code { try socket.setOption(.multicastTtl, 7) } == .unsupportedSocketOperation, "before and after connecting")
        }
        #expect(try link.socket.option(.multicastTtl) == 1, "it can be asked")
    }

    @Test func optionsOfOtherKindsAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (tcp, local) = (try bench.link(), try bench.link(.local))
        #expect(code { try tcp.socket.setOption(.broadcast, 1) } == .unsupportedSocketOperation)
        #expect(code { try tcp.socket.setOption(.pathMtu, 1500) } == .unsupportedSocketOperation)
        for option in [SocketOption.lowDelay, .keepAlive, .typeOfService, .quickAck] {
            #expect(code { try local.socket.setOption(option, 1) } == .unsupportedSocketOperation, "\(option.name)")
            #expect(code { _ = try local.socket.option(option) } == .unsupportedSocketOperation, "\(option.name)")
        }
        try local.socket.setOption(.sendBufferSize, 50_000)
        #expect(try local.socket.option(.sendBufferSize) >= 50_000)
    }
}

/// Names and numbers, which are the same in every face of the library.
@Suite struct NameTests {
    @Test func numbersAreTheContracts() {
        #expect(SocketError.Code.allCases.map(\.rawValue) == [
            0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32,
            100, 101, 102, 103, 104, 105, 106, 107, 108,
        ])
        #expect(SocketState.allCases.map(\.rawValue) == Array(0...6))
        #expect(EventType.allCases.map(\.rawValue) == Array(1...22))
        #expect(SocketOption.allCases.map(\.rawValue) == Array(0...13))
        #expect(EventMask.standard.isDisjoint(with: [EventMask(.bytesWritten), EventMask(.propertyChanged)]))
        #expect(EventMask.all.subtracting(.standard) == [EventMask(.bytesWritten), EventMask(.propertyChanged)])
    }

    @Test func everyNameLeadsBack() {
        for code in SocketError.Code.allCases { #expect(SocketError.Code(name: code.name) == code) }
        for state in SocketState.allCases {
            #expect(SocketState(name: state.name) == state && SocketState(name: state.name + "State") == state)
        }
        for type in EventType.allCases { #expect(EventType(name: type.name) == type) }
        for option in SocketOption.allCases { #expect(SocketOption(name: option.name) == option) }
        for value in NetworkProtocol.allCases { #expect(NetworkProtocol(name: value.name) == value) }
        for value in SocketType.allCases { #expect(SocketType(name: value.name) == value) }
        #expect(NetworkProtocol(name: "any") == .any)
        #expect(SocketError.Code(name: "PeerClosedError") == .remoteHostClosed && SocketError.Code(name: "ServerNotFoundError") == .hostNotFound)
        #expect(SocketError.Code(name: "Nonsense") == nil && SocketState(name: "") == nil && EventType(name: "ReadyRead") == nil)
    }

    @Test func flagsHaveNames() {
        #expect(OpenMode.readWrite.names == ["ReadWrite"] || OpenMode.readWrite.names == ["ReadOnly", "WriteOnly"])
        #expect(OpenMode([.readOnly, .unbuffered]).names == ["ReadOnly", "Unbuffered"])
        #expect(LocalServerAccess([.user, .abstractNamespace]).names == ["User", "AbstractNamespace"])
        #expect(LocalServerAccess(name: "World") == .world && LocalServerAccess(name: "UserAccess") == .user)
        #expect(BindMode(name: "ShareAddress") == .shareAddress && BindMode(name: "DefaultForPlatform") == [])
        #expect(BindMode(name: "nonsense") == nil && OpenMode([]).names.isEmpty)
    }

    @Test func onlySubscribedEventsArrive() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.socket.subscribedEvents = [EventMask(.disconnected)]
        try link.peer.send("line\n")
        try link.socket.put("out")
        bench.run { link.socket.bytesAvailable == 5 && link.socket.bytesToWrite == 0 }
        #expect(link.log.events.isEmpty)
        link.socket.disconnectFromHost()
        #expect(link.log.events == ["disconnected"])
        let other = bench.tcpSocket()
        var told = 0
        other.onEvent { _ in told += 1 }
        other.subscribedEvents = .none
        try other.bind("127.0.0.1")
        #expect(told == 0)
        other.subscribedEvents = .standard
        other.abort()
        #expect(told == 2)
    }
}
