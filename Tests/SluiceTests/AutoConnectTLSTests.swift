import Testing

@testable import Sluice

/// Connecting by itself, encrypted.
@Suite struct AutoConnectTLSTests {
    let bench = try! Bench()

    private func connectByItself(_ socket: TLSSocket, to port: Int) throws {
        try socket.setProperties([
            ("hostname", .text("localhost")), ("port", .integer(port)), ("protocol", .text("IPv4")),
            ("reconnectDelay", .object([.init("first", .integer(1)), .init("ceiling", .integer(4))])),
        ])
    }

    @Test func whatWaitsGoesOutEncryptedOnTheNextConnection() throws {
        defer { bench.end() }
        let server = try bench.tlsServer()
        let port = server.port
        var accepted: [TLSSocket] = []
        server.onEvent { [weak server] event in
            if case .newConnection = event, let socket = server?.nextPendingConnection() as? TLSSocket { accepted.append(socket) }
        }
        defer { for socket in accepted { socket.destroy() } }
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try connectByItself(socket, to: port)
        try socket.put("one")
        bench.run { accepted.last?.bytesAvailable == 3 }
        #expect(socket.isEncrypted)
        server.close()
        accepted.last?.abort()
        bench.run { socket.isGone }
        try socket.put("two")
        bench.run { log.errors.last?.code == .connectionRefused }
        try server.listen("127.0.0.1", port: port)
        bench.run { accepted.count == 2 && accepted.last?.bytesAvailable == 3 }
        #expect(try text(#require(accepted.last).readAll()) == "two")
        #expect(log.count(of: .encrypted) == 2)
        #expect(socket.bytesToWrite == 0)
    }

    @Test func nothingGoesOutPlain() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try connectByItself(socket, to: listener.port)
        try socket.put("secret")
        for _ in 0..<3 {
            bench.run { listener.hasConnection }
            let peer = try listener.accept()
            let hello = try bench.collect(peer)
            bench.run { !hello.bytes.isEmpty }
            #expect(hello.bytes.first == 0x16)
            #expect(!text(hello.bytes).contains("secret"))
            let ends = log.count(of: .errorOccurred)
            try peer.send("no TLS here\r\n")
            peer.close()
            bench.run { log.count(of: .errorOccurred) > ends && socket.isGone }
            try socket.put("!")
        }
        #expect(socket.bytesToWrite == 9)
        #expect(log.bytesWritten == 0)
    }
}
