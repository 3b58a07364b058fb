import Glibc
import Sluice
import Testing

@Suite struct UDPBatchTests {
    /// Sends these in as many steps as it takes, and reads them with `read`; the order has to be kept.
    private func exchange(
        _ data: [[UInt8]], bench: Bench, from client: UDPSocket, to server: UDPSocket, address: String?,
        write: (UDPSocket, [[UInt8]], String?, Int) throws -> Int, read: (UDPSocket) throws -> [[UInt8]]
    ) throws {
        var received: [[UInt8]] = []
        var sent = 0
        let port = server.localPort
        while sent < data.count {
            // No more at once than the receiver's buffer in the system has room for, however small that is allowed to be.
            let count = try write(client, Array(data[sent..<min(sent + 20, data.count)]), address, port)
            #expect(count > 0)
            sent += count
            bench.run {
                received += (try? read(server)) ?? []
                return received.count >= sent
            }
        }
        #expect(received.count == data.count)
        #expect(received == data)
    }

    private func oneByOne(_ socket: UDPSocket, _ data: [[UInt8]], _ address: String?, _ port: Int) throws -> Int {
        for bytes in data { try socket.writeDatagram(bytes, address: address, port: address == nil ? nil : port) }
        return data.count
    }

    private func together(_ socket: UDPSocket, _ data: [[UInt8]], _ address: String?, _ port: Int) throws -> Int {
        try socket.writeDatagrams(data.map { OutgoingDatagram($0, address: address, port: address == nil ? nil : port) })
    }

    private func readOne(_ socket: UDPSocket) throws -> [[UInt8]] {
        var data: [[UInt8]] = []
        while socket.hasPendingDatagrams { data.append(try socket.readDatagram().data) }
        return data
    }

    private func readMany(_ socket: UDPSocket) throws -> [[UInt8]] { try socket.readDatagrams(maxCount: 1000).map(\.data) }

    @Test(arguments: [64, 1200], [false, true])
    func aThousandOfOneSizeKeepTheirOrder(size: Int, inBatches: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket(receiveBuffer: 4 << 20)
        let client = try bench.boundSocket()
        let data = (0..<1000).map { pattern(size, seed: UInt64($0)) }
        try exchange(
            data, bench: bench, from: client, to: server, address: "127.0.0.1", write: inBatches ? together : oneByOne,
            read: inBatches ? readMany : readOne)
    }

    @Test(arguments: ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
    func sizesOfAllKindsKeepTheirOrder(address: String) throws {
        guard hasIPv6 else { return }
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket("any", receiveBuffer: 4 << 20)
        let client = try bench.boundSocket("any")
        // Runs of one size, single ones, empty ones, falling and rising sizes, and large ones.
        var sizes: [Int] = []
        for step in 0..<40 {
            sizes += Array(repeating: 100 + step, count: step % 7) + [0, 50, 40, 30, 31, 1400, 1400, 900]
        }
        sizes += [20_000, 20_000, 20_000, 20_000, 65_507, 1]
        let data = sizes.enumerated().map { pattern($1, seed: UInt64($0)) }
        try exchange(data, bench: bench, from: client, to: server, address: address, write: together, read: readMany)
    }

    @Test func aConnectedPairTalksInBatches() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.boundSocket(receiveBuffer: 4 << 20)
        let client = bench.udpSocket()
        try client.connectToHost("127.0.0.1", port: server.localPort)
        let data = (0..<1000).map { pattern(500, seed: UInt64($0)) }
        try exchange(data, bench: bench, from: client, to: server, address: nil, write: together, read: readMany)
        var sum = 0
        for _ in 0..<10 {
            let list = (0..<40).map { pattern(512, seed: UInt64($0)) }
            let count = try list[0].withUnsafeBytes { bytes in
                try client.writeDatagrams(Array(repeating: BorrowedDatagram(bytes), count: 40))
            }
            #expect(count == 40)
            bench.run {
                for datagram in (try? server.readDatagrams(maxCount: 1000)) ?? [] {
                    #expect(datagram.data == list[0] && datagram.senderPort == client.localPort && datagram.hopLimit == 64)
                    sum += datagram.data.count
                }
                return sum % (40 * 512) == 0 && sum > 0
            }
        }
        #expect(sum == 10 * 40 * 512)
    }

    @Test func eachGoesWhereItShall() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peers = try (0..<20).map { _ in try RawDatagrams() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        let list = (0..<200).map { OutgoingDatagram([UInt8($0)], address: "127.0.0.1", port: peers[$0 % 20].port) }
        #expect(try socket.writeDatagrams(list) == 200)
        #expect(log.bytesWritten == 200 && socket.bytesToWrite == 0 && socket.state == .bound)
        for (index, peer) in peers.enumerated() {
            for round in 0..<10 { #expect(try peer.receive().bytes == [UInt8(index + 20 * round)]) }
            #expect(!peer.hasPending)
        }
    }

    @Test func aRawPeerGetsOneAtATime() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        let list = (0..<100).map { OutgoingDatagram(pattern($0 == 99 ? 10 : 300, seed: UInt64($0)), address: "127.0.0.1", port: peer.port) }
        #expect(try socket.writeDatagrams(list) == 100)
        for datagram in list { #expect(try peer.receive().bytes == datagram.data) }
        #expect(!peer.hasPending)
    }

    @Test func anErrorEndsABatchAndIsTold() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        var list = (0..<10).map { OutgoingDatagram([UInt8($0)], address: "127.0.0.1", port: peer.port) }
        list[6].data = pattern(70_000)
        #expect(try socket.writeDatagrams(list) == 6)
        #expect(log.events == ["bytesWritten(6)", "errorOccurred(DatagramTooLargeError)"])
        log.clear()
        list[6] = OutgoingDatagram([6], address: "::1", port: peer.port)
        #expect(try socket.writeDatagrams(list) == 6)
        #expect(log.errors.map(\.code) == [.unsupportedSocketOperation])
        list[6].address = ""
        #expect(try socket.writeDatagrams(list) == 6)
        list[6] = OutgoingDatagram([6], address: "127.0.0.1", port: peer.port, options: DatagramOptions(hopLimit: 500))
        #expect(try socket.writeDatagrams(list) == 6)
        #expect(code { try socket.writeDatagrams(Array(list[6...])) } == .invalidArgument)
        list[6].options = DatagramOptions(hopLimit: 5)
        #expect(try socket.writeDatagrams(list) == 10)
        #expect(try socket.writeDatagrams([OutgoingDatagram]()) == 0)
        for _ in 0..<34 { _ = try peer.receive() }
        #expect(!peer.hasPending)
    }

    @Test func anotherSocketGetsItsTurnDuringAFlood() throws {
        let bench = try Bench()
        defer { bench.end() }
        let flooded = try bench.boundSocket(receiveBuffer: 4 << 20)
        let quiet = try bench.boundSocket()
        let sender = try bench.boundSocket()
        // Where the system does not allow such a buffer there is no flood.
        guard try flooded.option(.receiveBufferSize) >= 8 << 20 else { return }
        var order: [String] = []
        flooded.onEvent { [unowned flooded] event in
            guard case .readyRead = event else { return }
            var count = 0
            while flooded.hasPendingDatagrams, (try? flooded.readDatagram()) != nil { count += 1 }
            order.append("\(count)")
        }
        quiet.onEvent { [unowned quiet] event in
            guard case .readyRead = event else { return }
            _ = try? quiet.readDatagram()
            order.append("quiet")
        }
        let data = pattern(1000)
        for _ in 0..<20 { try sender.writeDatagrams(Array(repeating: OutgoingDatagram(data, address: "127.0.0.1", port: flooded.localPort), count: 100)) }
        try sender.writeDatagram([1], address: "127.0.0.1", port: quiet.localPort)
        bench.run { order.contains("quiet") && order.compactMap { Int($0) }.reduce(0, +) == 2000 }
        #expect(order.firstIndex(of: "quiet").map { $0 < order.count - 1 } == true, "\(order)")
    }
}
