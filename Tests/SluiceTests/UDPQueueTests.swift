import Glibc
import Sluice
import Testing

/// Datagrams that cannot leave at once.
@Suite struct UDPQueueTests {
    @Test func aNameIsLookedUpBeforeSending() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        #expect(try socket.writeDatagram([1, 2, 3], address: "localhost", port: peer.port) == 3)
        #expect(try socket.writeDatagram([4], address: "localhost", port: peer.port) == 1)
        #expect(try socket.writeDatagrams([OutgoingDatagram([5], address: "localhost", port: peer.port)]) == 1)
        #expect(log.events == ["stateChanged(Bound)"] && socket.bytesToWrite == 5)
        bench.run { socket.bytesToWrite == 0 }
        #expect(log.bytesWritten == 5 && log.errors.isEmpty)
        for expected: [UInt8] in [[1, 2, 3], [4], [5]] { #expect(try peer.receive().bytes == expected) }
    }

    @Test func anUnknownNameIsToldWithTheLoss() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        for _ in 0..<3 { try socket.writeDatagram([1, 2], address: "does-not-exist.invalid", port: 9) }
        bench.run { log.saw(.errorOccurred) }
        #expect(log.errors.map(\.code) == [.hostNotFound] && socket.errorString.contains("3 datagrams of 6 bytes"))
        #expect(socket.bytesToWrite == 0 && socket.state == .bound)
    }

    @Test func aNameWithoutAnAddressOfTheFamilyIsToldToo() throws {
        guard hasIPv6 else { return }
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket("AnyIPv4")
        let log = Recorder(socket)
        try socket.writeDatagram([1], address: "ip6-localhost", port: 9)
        bench.run { socket.bytesToWrite == 0 }
        #expect(log.errors.map(\.code) == [.hostNotFound])
    }

    @Test func waitsSeeTheQueue() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.writeDatagram([1], address: "localhost", port: peer.port)
        #expect(socket.waitForBytesWritten(timeout: Bench.patience) && socket.bytesToWrite == 0)
        try socket.writeDatagram([2], address: "localhost", port: peer.port)
        try socket.sync(timeout: Bench.patience)
        try socket.writeDatagram([3], address: "localhost", port: peer.port)
        var result: Bool?
        _ = socket.beginWait(.sync, timeout: Bench.patience) { result = $0 }
        bench.run { result != nil }
        #expect(result == true)
        for expected: UInt8 in 1...3 { #expect(try peer.receive().bytes == [expected]) }
    }

    @Test func closingSendsTheQueueFirstAndAbortingDropsIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.writeDatagram([1], address: "localhost", port: peer.port)
        socket.close()
        #expect(socket.state == .closing && socket.bytesToWrite == 1)
        #expect(code { try socket.writeDatagram([2], address: "127.0.0.1", port: peer.port) } == .operation)
        bench.run { socket.state == .unconnected }
        #expect(log.changes == ["stateChanged(Bound)", "stateChanged(Closing)", "errorOccurred(OperationError)",
                                "stateChanged(Unconnected)", "readChannelFinished"])
        #expect(try peer.receive().bytes == [1])
        try socket.writeDatagram([3], address: "localhost", port: peer.port)
        socket.abort()
        #expect(socket.state == .unconnected && socket.bytesToWrite == 0)
        try socket.writeDatagram([4], address: "localhost", port: peer.port)
        socket.disconnectFromHost()
        #expect(socket.waitForDisconnected(timeout: Bench.patience) && socket.state == .unconnected)
        #expect(try peer.receive().bytes == [4])
        #expect(!peer.hasPending)
    }

    @Test func theQueueHasALimit() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.setWriteBufferSize(100)
        #expect(code { try socket.setWriteBufferSize(-1) } == .invalidArgument)
        #expect(socket.writeBufferSize == 100)
        try socket.writeDatagram(pattern(200), address: "localhost", port: peer.port)
        #expect(code { try socket.writeDatagram([1], address: "localhost", port: peer.port) } == .temporary)
        #expect(log.errors.map(\.code) == [.temporary])
        bench.run { socket.bytesToWrite == 0 }
        try socket.writeDatagram([1], address: "localhost", port: peer.port)
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receive().bytes == pattern(200))
        #expect(try peer.receive().bytes == [1])
    }

    @Test func aTinySendBufferLosesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.setOption(.sendBufferSize, 0)
        try socket.bind("127.0.0.1")
        let list = (0..<10).map { OutgoingDatagram(pattern(3000, seed: UInt64($0)), address: "127.0.0.1", port: peer.port) }
        #expect(try socket.writeDatagrams(list) == 10)
        for datagram in list { try socket.writeDatagram(datagram.data, address: "127.0.0.1", port: peer.port) }
        bench.run { socket.bytesToWrite == 0 }
        #expect(log.bytesWritten == 60_000)
        for datagram in list + list { #expect(try peer.receive().bytes == datagram.data) }
    }

    @Test func connectingTellsWhatIsLeftBehind() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        for _ in 0..<2 { try socket.writeDatagram([1, 2, 3], address: "localhost", port: peer.port) }
        try socket.connectToHost("127.0.0.1", port: peer.port)
        #expect(socket.state == .connected && socket.bytesToWrite == 0)
        #expect(log.errors.map(\.code) == [.datagramWrite] && socket.errorString.contains("2 datagrams of 6 bytes"))
        try bench.settle()
        #expect(!peer.hasPending)
    }
}
