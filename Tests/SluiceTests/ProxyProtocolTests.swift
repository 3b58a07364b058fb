import Sluice
import Testing

/// Servers behind a load balancer that tells where connections come from.
@Suite struct ProxyProtocolTests {
    private func listening(_ bench: Bench) throws -> (TCPServer, Recorder) {
        let server = bench.tcpServer()
        server.proxyProtocol = true
        try server.listen("127.0.0.1")
        return (server, Recorder(server))
    }

    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    private static func binary(_ command: UInt8, _ family: UInt8, _ rest: [UInt8], more: Int = 0) -> [UInt8] {
        let length = rest.count + more
        return signature + [0x20 | command, family, UInt8(length >> 8), UInt8(length & 255)] + rest + [UInt8](repeating: 0, count: more)
    }

    private static let four: [UInt8] = [192, 0, 2, 1, 192, 0, 2, 2, 0x30, 0x39, 0x01, 0xbb]
    private static let six: [UInt8] = [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [1] + [0x20, 1, 0xd, 0xb8] + [UInt8](repeating: 0, count: 11) + [2] + [0x30, 0x39, 0x01, 0xbb]

    static let headers: [(bytes: [UInt8], peer: String, local: String)] = [
        (Array("PROXY TCP4 192.0.2.1 192.0.2.2 12345 443\r\n".utf8), "192.0.2.1", "192.0.2.2"),
        (Array("PROXY TCP6 2001:db8::1 2001:db8::2 12345 443\r\n".utf8), "2001:db8::1", "2001:db8::2"),
        (binary(1, 0x11, four), "192.0.2.1", "192.0.2.2"),
        (binary(1, 0x21, six), "2001:db8::1", "2001:db8::2"),
        (binary(1, 0x11, four, more: 300), "192.0.2.1", "192.0.2.2"),
    ]

    @Test(arguments: headers.indices, [false, true]) func theAddressesAreThoseOfTheClient(index: Int, inPieces: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let header = Self.headers[index]
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        if inPieces {
            for byte in header.bytes {
                try peer.send([byte])
                try bench.settle()
            }
        } else {
            try peer.send(header.bytes + Array("hello".utf8))
        }
        bench.run { server.hasPendingConnections }
        let socket = bench.keep(try #require(server.nextPendingConnection()))
        #expect(socket.peerAddress == header.peer && socket.peerPort == 12345 && socket.localAddress == header.local && socket.localPort == 443)
        if inPieces { try peer.send("hello") }
        bench.run { socket.bytesAvailable == 5 }
        #expect(try text(socket.readAll()) == "hello")
        try socket.put("answer")
        bench.run { socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(6) == "answer")
        #expect(log.events == ["pendingConnectionAvailable", "newConnection(1)"])
    }

    @Test(arguments: [Array("PROXY UNKNOWN\r\n".utf8), Array("PROXY UNKNOWN ffff::1 what ever 1 2\r\n".utf8), binary(0, 0, []), binary(1, 0, []), binary(0, 0x11, four)])
    func whatTheBalancerSaysForItselfComesFromIt(header: [UInt8]) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, _) = try listening(bench)
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        try peer.send(header)
        bench.run { server.hasPendingConnections }
        let socket = bench.keep(try #require(server.nextPendingConnection()))
        #expect(socket.peerAddress == "127.0.0.1" && socket.peerPort == peer.localAddress.port)
    }

    @Test(arguments: [
        Array("GET / HTTP/1.1\r\n\r\n".utf8), Array("PROXY\r\n".utf8), Array("PROXY \n".utf8), Array("PROXY TCP4 1.2.3.4\r\n".utf8),
        Array("PROXY TCP4 ::1 ::2 1 2\r\n".utf8), Array("PROXY TCP6 1.2.3.4 1.2.3.5 1 2\r\n".utf8), Array("PROXY TCP4 1.2.3.4 1.2.3.5 1 70000\r\n".utf8),
        Array("PROXY TCP4 1.2.3.4 1.2.3.5 -1 2\r\n".utf8), Array("PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n".utf8), Array("PROXY TCP9 1.2.3.4 1.2.3.5 1 2\r\n".utf8),
        Array(("PROXY TCP4 " + String(repeating: "1", count: 200)).utf8), signature + [0x31, 0x11, 0, 12] + four, signature + [0x22, 0x11, 0, 12] + four,
        signature + [0x21, 0x11, 0, 4, 1, 2, 3, 4], signature + [0x21, 0x41, 0, 12] + four, signature + [0x21, 0x11, 0xff, 0xff], [0],
    ])
    func aMalformedHeaderIsRefused(header: [UInt8]) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        try peer.send(header)
        bench.run { log.saw(.acceptError) }
        #expect(log.events == ["acceptError(ProxyProtocolError)"] && !server.hasPendingConnections && server.isListening)
        #expect(server.errorString.contains("PROXY header"))
        let collector = try bench.collect(peer)
        bench.run { collector.ended }
        // The next one is welcome.
        let next = try RawPeer.connect(to: .ipv4(port: server.port))
        try next.send(Self.headers[0].bytes)
        bench.run { server.hasPendingConnections }
    }

    @Test func whoLeavesBeforeTheHeaderIsForgotten() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        try peer.send("PROXY TCP4")
        try bench.settle()
        peer.close()
        bench.run { log.saw(.acceptError) }
        #expect(!server.hasPendingConnections)
    }

    @Test func theBlockingWaitReadsHeadersToo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, _) = try listening(bench)
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        try peer.send(Array(Self.headers[0].bytes.prefix(20)))
        let result = server.waitForNewConnection(timeout: 0)
        #expect(result == (false, true))
        let worker = try Worker { try peer.send(Array(Self.headers[0].bytes.dropFirst(20))) }
        let second = server.waitForNewConnection(timeout: Bench.patience)
        #expect(second == (true, false))
        try worker.join()
        let socket = bench.keep(try #require(server.nextPendingConnection()))
        #expect(socket.peerAddress == "192.0.2.1")
    }

    @Test func closingForgetsWhoHasNotArrived() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (server, log) = try listening(bench)
        let peer = try RawPeer.connect(to: .ipv4(port: server.port))
        try bench.settle()
        server.close()
        let collector = try bench.collect(peer)
        bench.run { collector.ended }
        #expect(log.events == [])
    }
}
