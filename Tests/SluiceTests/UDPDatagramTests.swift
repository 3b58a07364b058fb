import Glibc
import Sluice
import Testing

@Suite struct UDPDatagramTests {
    @Test func aDatagramGoesThereAndBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket()
        let client = try bench.boundSocket()
        let serverLog = Recorder(server)
        let log = Recorder(client)
        #expect(try client.writeDatagram(Array("ping".utf8), address: "127.0.0.1", port: server.localPort) == 4)
        #expect(log.events == ["bytesWritten(4)"])
        bench.run { serverLog.saw(.readyRead) }
        #expect(serverLog.events == ["readyRead(4)"])
        #expect(server.hasPendingDatagrams && server.pendingDatagramSize == 4 && server.bytesAvailable == 4 && server.atEnd)
        let ping = try server.readDatagram()
        #expect(text(ping.data) == "ping" && ping.senderAddress == "127.0.0.1" && ping.senderPort == client.localPort)
        #expect(ping.destinationAddress == "127.0.0.1" && ping.destinationPort == server.localPort)
        #expect(ping.interfaceIndex == Int(if_nametoindex("lo")) && ping.hopLimit == 64 && !ping.truncated)
        #expect(!server.hasPendingDatagrams && server.pendingDatagramSize == -1)
        try server.writeDatagram(Array("pong".utf8), address: ping.senderAddress, port: ping.senderPort)
        bench.run(untilPending: client)
        #expect(try client.nextText() == "pong")
        #expect(client.error == .noError && server.error == .noError)
    }

    @Test func anUnboundSocketIsBoundToTheFamilyOfItsDestination() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.writeDatagram([1, 2], address: "127.0.0.1", port: peer.port)
        #expect(log.events == ["stateChanged(Bound)", "bytesWritten(2)"])
        #expect(socket.state == .bound && !socket.isOpen && socket.localAddress == "0.0.0.0" && socket.localPort > 0)
        #expect(try peer.receive().sender.port == socket.localPort)
        try peer.send("answer", to: socket.localPort)
        bench.run(untilPending: socket)
        #expect(try socket.readDatagram().senderAddress == "127.0.0.1")
        guard hasIPv6 else { return }
        let other = bench.udpSocket()
        let otherPeer = try RawDatagrams(at: .ipv6(port: 0))
        try other.writeDatagram([3], address: "::1", port: otherPeer.port)
        #expect(other.localAddress == "*")
        #expect(try otherPeer.receive().bytes == [3])
        // Both families from here.
        try other.writeDatagram([4], address: "127.0.0.1", port: peer.port)
        #expect(try peer.receive().bytes == [4])
    }

    @Test func anIPv6DatagramKnowsItsWay() throws {
        guard hasIPv6 else { return }
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket("::1")
        let client = try bench.boundSocket("::1")
        try client.writeDatagram(Array("six".utf8), address: "::1", port: server.localPort)
        bench.run(untilPending: server)
        let datagram = try server.readDatagram()
        #expect(datagram.senderAddress == "::1" && datagram.senderPort == client.localPort)
        #expect(datagram.hopLimit == 64 && datagram.interfaceIndex == Int(if_nametoindex("lo")))
        #expect(datagram.destinationAddress == "::1%\(datagram.interfaceIndex)")
    }

    @Test func emptyDatagramsCount() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket()
        let client = try bench.boundSocket()
        let serverLog = Recorder(server)
        let log = Recorder(client)
        #expect(try client.writeDatagram([], address: "127.0.0.1", port: server.localPort) == 0)
        #expect(log.events == ["bytesWritten(0)"])
        bench.run { serverLog.saw(.readyRead) }
        #expect(server.hasPendingDatagrams && server.pendingDatagramSize == 0 && server.bytesAvailable == 0)
        let datagram = try server.readDatagram()
        #expect(datagram.data == [] && datagram.senderPort == client.localPort && !datagram.truncated)
        #expect(!server.hasPendingDatagrams)
        #expect(try client.writeDatagrams(Array(repeating: OutgoingDatagram([], address: "127.0.0.1", port: server.localPort), count: 5)) == 5)
        var count = 0
        bench.run {
            while server.hasPendingDatagrams, (try? server.readDatagram().data) == [] { count += 1 }
            return count == 5
        }
    }

    @Test func theLargestAndTheTooLarge() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket()
        let client = try bench.boundSocket()
        let log = Recorder(client)
        #expect(code { try client.writeDatagram(pattern(65508), address: "127.0.0.1", port: server.localPort) } == .datagramTooLarge)
        #expect(log.events == ["errorOccurred(DatagramTooLargeError)"] && client.state == .bound)
        #expect(client.error == .datagramTooLarge && client.lastError?.systemError == EMSGSIZE)
        #expect(client.errorString.contains("65508") && client.errorString.contains("127.0.0.1:\(server.localPort)"))
        let data = pattern(65507)
        #expect(try client.writeDatagram(data, address: "127.0.0.1", port: server.localPort) == 65507)
        bench.run(untilPending: server)
        #expect(server.pendingDatagramSize == 65507)
        #expect(try server.readDatagram().data == data)
        // The error was about that datagram alone.
        #expect(!client.waitForReadyRead(timeout: 0) && client.error == .socketTimeout && client.state == .bound)
        guard hasIPv6 else { return }
        let six = try bench.boundSocket("::1")
        let sender = try bench.boundSocket("::1")
        let large = pattern(65527)
        try sender.writeDatagram(large, address: "::1", port: six.localPort)
        bench.run(untilPending: six)
        #expect(try six.readDatagram().data == large)
        #expect(code { try sender.writeDatagram(pattern(65528), address: "::1", port: six.localPort) } == .datagramTooLarge)
    }

    @Test func whatDoesNotFitIsLost() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket()
        let peer = try RawDatagrams()
        for part in ["0123456789", "next", "gone", "last"] { try peer.send(part, to: server.localPort) }
        bench.run(untilPending: server)
        let first = try server.readDatagram(maxSize: 4)
        #expect(text(first.data) == "0123" && first.truncated)
        let next = try server.readDatagram(maxSize: 4)
        #expect(text(next.data) == "next" && !next.truncated)
        let gone = try server.readDatagram(maxSize: 0)
        #expect(gone.data == [] && gone.truncated && gone.senderPort == peer.port)
        var room = [UInt8](repeating: 0, count: 2)
        try room.withUnsafeMutableBytes { buffer in
            let (count, details) = try server.readDatagram(into: buffer)
            #expect(count == 2 && details.truncated && details.senderPort == peer.port)
        }
        #expect(text(room) == "la" && !server.hasPendingDatagrams)
        #expect(code { _ = try server.readDatagram(maxSize: -2) } == .invalidArgument)
    }

    @Test func nothingToReadIsTemporary() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        #expect(code { _ = try socket.readDatagram() } == .temporary)
        #expect(log.events.isEmpty && socket.error == .noError)
        #expect(code { _ = try socket.readDatagram(maxSize: 10) } == .temporary)
        #expect(log.events == ["errorOccurred(TemporaryError)"] && socket.error == .temporary)
        #expect(try socket.readDatagrams(maxCount: 10).isEmpty)
        #expect(log.events.count == 1)
        #expect(code { _ = try socket.readDatagrams(maxCount: -1) } == .invalidArgument)
    }

    @Test func oneReadyReadUntilSomethingIsRead() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let peer = try RawDatagrams()
        try peer.send("1", to: socket.localPort)
        bench.run { log.saw(.readyRead) }
        try peer.send("22", to: socket.localPort)
        try peer.send("333", to: socket.localPort)
        try bench.settle()
        #expect(log.events == ["readyRead(1)"] && socket.hasPendingDatagrams)
        #expect(try socket.nextText() == "1")
        bench.run { log.count(of: .readyRead) == 2 }
        #expect(log.events == ["readyRead(1)", "readyRead(2)"])
        #expect(try socket.nextText() == "22")
        bench.run { log.count(of: .readyRead) == 3 }
        #expect(try socket.nextText() == "333")
        try bench.settle()
        #expect(log.events == ["readyRead(1)", "readyRead(2)", "readyRead(3)"])
    }

    @Test func askingDoesNotTakeTheReadyReadAway() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        for ask: (UDPSocket) -> Bool in [{ $0.hasPendingDatagrams }, { $0.pendingDatagramSize == 3 }, { $0.bytesAvailable == 3 }] {
            let socket = try bench.boundSocket()
            let log = Recorder(socket)
            try peer.send("one", to: socket.localPort)
            var entry = pollfd(fd: socket.descriptor, events: Int16(POLLIN), revents: 0)
            try #require(poll(&entry, 1, Int32(Bench.patience)) == 1)
            #expect(ask(socket) && log.events.isEmpty)
            bench.run { log.saw(.readyRead) }
            #expect(log.events == ["readyRead(3)"])
            #expect(try socket.nextText() == "one")
            try bench.settle()
            #expect(log.events.count == 1)
        }
    }

    @Test func aHandlerThatReadsOneIsCalledForEach() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        var received: [String] = []
        log.on(.readyRead) { received.append((try? socket.nextText()) ?? "failed") }
        let peer = try RawDatagrams()
        for number in 0..<100 { try peer.send("\(number)", to: socket.localPort) }
        bench.run { received.count == 100 }
        try bench.settle()
        #expect(received == (0..<100).map { "\($0)" } && log.count(of: .readyRead) == 100)
    }

    @Test func aHandlerThatReadsAllIsCalledOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        var received: [String] = []
        log.on(.readyRead) {
            while socket.hasPendingDatagrams { received.append((try? socket.nextText()) ?? "failed") }
        }
        let peer = try RawDatagrams()
        for number in 0..<20 { try peer.send("\(number)", to: socket.localPort) }
        bench.run { received.count == 20 }
        try bench.settle()
        #expect(received == (0..<20).map { "\($0)" } && log.events == ["readyRead(1)"])
    }

    @Test func unreadDatagramsOfManySocketsStayApart() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let sockets = try (0..<5).map { _ in try bench.boundSocket() }
        let logs = sockets.map { Recorder($0) }
        for round in 0..<40 {
            for (index, socket) in sockets.enumerated() { try peer.send(pattern(700 + round, seed: UInt64(index * 100 + round)), to: .ipv4(port: socket.localPort)) }
        }
        bench.run { logs.allSatisfy { $0.saw(.readyRead) } }
        // Each left all of it unread, so that the next took the place where it landed.
        for (index, socket) in sockets.enumerated().reversed() {
            for round in 0..<40 {
                bench.run(untilPending: socket)
                #expect(try socket.readDatagram().data == pattern(700 + round, seed: UInt64(index * 100 + round)))
            }
            #expect(!socket.hasPendingDatagrams)
        }
    }

    @Test(arguments: ["::1", "::", "fe80::1%lo"])
    func theOtherFamilyIsRefused(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let failure = code { try socket.writeDatagram([1], address: address, port: 9) }
        #expect(failure == (address == "::" ? .invalidArgument : .unsupportedSocketOperation))
        #expect(log.events.count == 1 && socket.state == .bound)
    }

    @Test(arguments: ["", "0.0.0.0"])
    func nowhereIsRefused(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        #expect(code { try socket.writeDatagram([1], address: address, port: 9) } == .invalidArgument)
        #expect(log.events == ["errorOccurred(InvalidArgumentError)"] && socket.state == .unconnected)
    }

    @Test func anIPv6SocketRefusesIPv4() throws {
        guard hasIPv6 else { return }
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket("::1")
        for address in ["127.0.0.1", "::ffff:127.0.0.1"] {
            #expect(code { try socket.writeDatagram([1], address: address, port: 9) } == .unsupportedSocketOperation)
        }
        // An IPv4 socket knows what a mapped address means.
        let four = try bench.boundSocket()
        let peer = try RawDatagrams()
        try four.writeDatagram([7], address: "::ffff:127.0.0.1", port: peer.port)
        #expect(try peer.receive().bytes == [7])
    }

    @Test(arguments: [nil, 0, -1, 65536] as [Int?])
    func aDatagramNeedsAPort(port: Int?) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        #expect(code { try socket.writeDatagram([1], address: "127.0.0.1", port: port) } == .portNumberOutOfRange)
        #expect(code { try socket.writeDatagrams([OutgoingDatagram([1], address: "127.0.0.1", port: port)]) } == .portNumberOutOfRange)
        #expect(socket.state == .unconnected && socket.error == .portNumberOutOfRange)
    }

    @Test func aDatagramNeedsADestination() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        #expect(code { try socket.writeDatagram([1]) } == .network)
        #expect(log.events == ["errorOccurred(NetworkError)"] && socket.lastError?.systemError == EDESTADDRREQ)
    }

    @Test func aDatagramMayHaveAHopLimitAndASourceOfItsOwn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket("AnyIPv4")
        let client = try bench.boundSocket("AnyIPv4")
        try client.writeDatagram(
            [1], address: "127.0.0.1", port: server.localPort,
            options: DatagramOptions(hopLimit: 7, source: HostAddress(literal: "127.0.0.9"), interfaceIndex: Int(if_nametoindex("lo"))))
        bench.run(untilPending: server)
        let datagram = try server.readDatagram()
        #expect(datagram.hopLimit == 7 && datagram.senderAddress == "127.0.0.9")
        for limit in [0, 256, -1] {
            #expect(code { try client.writeDatagram([1], address: "127.0.0.1", port: 9, options: DatagramOptions(hopLimit: limit)) } == .invalidArgument)
        }
        #expect(code {
            try client.writeDatagram([1], address: "127.0.0.1", port: 9, options: DatagramOptions(source: HostAddress(literal: "::1")))
        } == .invalidArgument)
        guard hasIPv6 else { return }
        // The same from a socket of both families, in IPv6 and in IPv4.
        let both = try bench.boundSocket("any")
        let six = try bench.boundSocket("::1")
        try both.writeDatagram([1], address: "::1", port: six.localPort, options: DatagramOptions(hopLimit: 9, source: .localHostIPv6))
        bench.run(untilPending: six)
        #expect(try six.readDatagram().hopLimit == 9)
        try both.writeDatagram(
            [1], address: "127.0.0.1", port: server.localPort, options: DatagramOptions(hopLimit: 11, source: HostAddress(literal: "127.0.0.8")))
        bench.run(untilPending: server)
        let last = try server.readDatagram()
        #expect(last.hopLimit == 11 && last.senderAddress == "127.0.0.8")
    }

    @Test func readBufferSizeHasNoEffect() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        try socket.setReadBufferSize(2)
        #expect(socket.readBufferSize == 2)
        #expect(code { try socket.setReadBufferSize(-1) } == .invalidArgument)
        try RawDatagrams().send("0123456789", to: socket.localPort)
        bench.run(untilPending: socket)
        #expect(socket.pendingDatagramSize == 10 && socket.bytesAvailable == 10)
        #expect(try socket.nextText() == "0123456789")
    }

    @Test func broadcastIsAllowed() throws {
        let bench = try Bench()
        defer { bench.end() }
        let receiver = bench.udpSocket()
        try receiver.bind("AnyIPv4")
        let sender = try bench.boundSocket()
        try sender.writeDatagram(Array("all".utf8), address: "127.255.255.255", port: receiver.localPort)
        bench.run(untilPending: receiver)
        let datagram = try receiver.readDatagram()
        #expect(text(datagram.data) == "all" && datagram.destinationAddress == "127.255.255.255")
        try sender.setOption(.broadcast, 0)
        #expect(code { try sender.writeDatagram([1], address: "127.255.255.255", port: receiver.localPort) } == .socketAccess)
    }

    @Test func aHandlerMayCloseTheSocketItIsToldOf() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let peer = try RawDatagrams()
        for number in 0..<10 { try peer.send("\(number)", to: socket.localPort) }
        log.once(.readyRead) { socket.close() }
        bench.run { log.saw(.readChannelFinished) }
        #expect(!socket.hasPendingDatagrams && socket.bytesAvailable == 0)
        let other = try bench.boundSocket()
        let otherLog = Recorder(other)
        otherLog.once(.bytesWritten) { other.abort() }
        let list = Array(repeating: OutgoingDatagram([1], address: "127.0.0.1", port: peer.port), count: 1000)
        let count = try other.writeDatagrams(list)
        #expect(count > 0 && other.state == .unconnected)
    }
}
