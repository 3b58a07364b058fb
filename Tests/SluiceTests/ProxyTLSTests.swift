import Sluice
import Testing

/// Encryption goes through a proxy, and is with the target.
@Suite struct ProxyTLSTests {
    @Test(arguments: [Proxy.Kind.socks5, .http])
    func theTargetIsWhoIsVerified(kind: Proxy.Kind) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try bench.tlsServer()
        let script: [ScriptedProxy.Step] =
            kind == .http
            ? [.receiveHead, .text("HTTP/1.1 200 OK\r\n\r\n")] : [.receive(3), .send([5, 0]), .receive(16), .send([5, 0, 0, 1, 0, 0, 0, 0, 0, 0])]
        // The proxy goes there by whatever name; the certificate has to be of the name that was asked for.
        let proxy = try ScriptedProxy(script + [.pass(to: server.port)], script + [.pass(to: server.port)])
        for isItsName in [true, false] {
            let socket = try bench.tlsSocket()
            let log = tlsLog(socket)
            try socket.setProxy(Proxy(type: kind, host: "127.0.0.1", port: proxy.port))
            try socket.connectToHostEncrypted(isItsName ? "localhost" : "otherhost", port: server.port)
            var accepted: TLSSocket?
            bench.run {
                if accepted == nil { accepted = (server.nextPendingConnection() as? TLSSocket).map { bench.keep($0) } }
                return log.saw(.encrypted) || log.saw(.errorOccurred)
            }
            guard isItsName else {
                #expect(socket.error == .sslHandshakeFailed)
                #expect(socket.lastError?.attempts.map(\.phase) == [.connect, .proxy, .tls])
                continue
            }
            #expect(log.events.suffix(3) == ["stateChanged(Connected)", "connected", "encrypted"])
            #expect(socket.peerName == "localhost" && socket.peerPort == server.port)
            let data = pattern(300_000)
            try socket.put(data)
            bench.run { accepted?.bytesAvailable == data.count }
            #expect(try accepted?.readAll() == data)
            try accepted?.put("answer")
            bench.run { socket.bytesAvailable == 6 }
            #expect(try text(socket.readAll()) == "answer")
            socket.abort()
        }
        bench.end()
        proxy.finish()
    }
}
