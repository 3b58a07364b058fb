import Glibc
import Sluice
import Testing

/// Peers that do what they should not.
@Suite struct TLSHostileTests {
    @Test(arguments: ["HTTP/1.1 400 Bad Request\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}", "\u{16}\u{3}\u{3}\u{7f}\u{7f}zzz"])
    func garbageInsteadOfAServer(_ answer: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        try peer.send(answer)
        if answer.hasPrefix("\u{16}") { peer.shutdownWrite() }
        bench.run { socket.isGone }
        #expect(log.errors.map(\.code) == [.sslHandshakeFailed])
        #expect(log.errors.first?.message.hasSuffix("(127.0.0.1:\(listener.port))") == true, "\(log.errors)")
    }

    @Test(arguments: ["GET / HTTP/1.0\r\n\r\n", "\u{16}\u{3}\u{1}", "garbage garbage garbage garbage garbage"]) func garbageInsteadOfAClient(_ hello: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let peer = try RawPeer.connect(to: .ipv4(port: listener.port))
        try peer.send(hello)
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection()))
        let log = tlsLog(server)
        if hello.utf8.count < 5 { peer.shutdownWrite() }
        bench.run { server.isGone }
        #expect(server.error == .sslHandshakeFailed)
        #expect(log.changes.suffix(3) == closingEvents)
    }

    @Test func halfAHandshakeAndThenSilence() throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        try socket.setConnectTimeout(150)
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        // The head of a handshake message that never goes on.
        try peer.send([0x16, 0x03, 0x03, 0x00, 0x7A, 0x02, 0x00, 0x00, 0x76])
        bench.run { socket.isGone }
        #expect(log.errors.map(\.code) == [.socketTimeout])
        #expect(log.errors.first?.attempts.last?.phase == .tls)
        #expect(log.errors.first?.message.contains("handshake was not done in time") == true)
        // The blocking form keeps to the limit too.
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
        #expect(!socket.waitForEncrypted(timeout: -1))
        #expect(socket.error == .socketTimeout)
        bench.run { socket.isGone }
    }

    @Test(arguments: [false, true]) func anEndInTheMidstOfTheHandshake(byReset: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port)
        try socket.put("unsent")
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        try bench.settle()
        if byReset { peer.reset() } else { _ = try peer.receive(); peer.close() }
        bench.run { socket.isGone }
        let error = try #require(log.errors.first)
        #expect(error.code == .sslHandshakeFailed && log.errors.count == 1)
        #expect(error.systemError == (byReset ? ECONNRESET : 0))
        #expect(error.message.hasSuffix("; 6 bytes were not sent"), "\(error.message)")
        #expect(log.changes.suffix(3) == closingEvents)
    }

    /// Somebody on the way changes one byte, or ends the connection at any point of it.
    @Test(arguments: 0..<60, [false, true]) func damageOnTheWayIsNoticed(_ round: Int, upstream: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try bench.tlsServer()
        let relay = try Interloper(bench, to: listener.port, upstream: upstream) { bytes, total in
            let place = round * 97
            if round % 3 == 0 {
                // Cut.
                return place < total + bytes.count ? Array(bytes.prefix(max(0, place - total))) : nil
            }
            var changed = bytes
            if place >= total, place < total + bytes.count { changed[place - total] ^= UInt8(1 << (round % 8)) }
            return changed == bytes ? nil : changed
        }
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        try socket.connectToHostEncrypted("localhost", port: relay.port, protocol: .ipv4)
        bench.run { listener.hasPendingConnections }
        let server = bench.keep(try #require(listener.nextPendingConnection()))
        let bytes = pattern(6000)
        let (sender, receiver) = upstream ? (socket, server) : (server, socket)
        let receiverLog = upstream ? tlsLog(server) : log
        if !sender.isGone { try sender.put(bytes) }
        sender.disconnectFromHost()
        bench.run { receiver.isGone }
        let received = receiver.isOpen ? try receiver.readAll() : []
        #expect(bytes.starts(with: received), "no wrong byte comes through")
        if relay.wasTouched {
            #expect([.sslHandshakeFailed, .sslInternal].contains(receiver.error), "\(receiverLog.errors)")
        } else {
            #expect(receiverLog.errors.map(\.code) == [.remoteHostClosed] && received == bytes)
        }
    }

    /// Plain text that somebody put in before the border of STARTTLS is never taken for encrypted.
    @Test func nothingIsSmuggledPastTheBorder() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let socket = try bench.tlsSocket(.client.with { $0.verifyName = "localhost" })
        try socket.setDescriptor(try link.socket.takeDescriptor())
        let log = tlsLog(socket)
        try link.peer.send("go\nSMUGGLED\n")
        bench.run { socket.bytesAvailable == 12 }
        #expect(text(try socket.readLine()) == "go\n")
        log.clear()
        try socket.startClientEncryption()
        #expect(socket.bytesAvailable == 0)
        bench.run { socket.isGone }
        #expect(log.errors.map(\.code) == [.sslHandshakeFailed])
        #expect(socket.bytesAvailable == 0 && !log.saw(.readyRead))
    }

    /// Writes, flushes and closes in every event of a handshake never let a plain byte out.
    @Test(arguments: [EventType.stateChanged, .connected, .sslErrors, .errorOccurred, .aboutToClose]) func nothingLeaksOut(_ type: EventType) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = try bench.tlsSocket()
        let log = tlsLog(socket)
        log.on(type) {
            _ = try? socket.write("SECRET")
            _ = socket.flush()
        }
        try socket.connectToHostEncrypted("127.0.0.1", port: listener.port, openMode: [.readWrite, .unbuffered])
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        let collector = try bench.collect(peer)
        _ = try? socket.write("SECRET")
        _ = socket.flush()
        bench.run { collector.bytes.count > 100 }
        try peer.send("no TLS at all, sorry")
        bench.run { socket.isGone && collector.ended }
        #expect(!text(collector.bytes).contains("SECRET"))
    }
}
