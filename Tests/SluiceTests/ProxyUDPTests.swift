import Glibc
import Sluice
import Testing

/// A relay for datagrams that is asked for as it should be, and then does what the test wants.
private final class RawRelay {
    let datagrams: RawDatagrams
    let proxy: ScriptedProxy

    /// `announced`: where it says that it is; `after`: what it does once it has said so.
    init(announced: [UInt8] = [127, 0, 0, 1], after: [ScriptedProxy.Step] = [.hold]) throws {
        datagrams = try RawDatagrams()
        let port = UInt16(datagrams.port)
        proxy = try ScriptedProxy([
            .receive(3), .send([5, 0]), .receive(10), .send([5, 0, 0, 1] + announced + [UInt8(port >> 8), UInt8(port & 0xff)]),
        ] + after)
    }

    static func header(_ address: [UInt8], _ port: Int) -> [UInt8] { [0, 0, 0, 1] + address + [UInt8(port >> 8), UInt8(port & 0xff)] }
}

extension Bench {
    fileprivate func udp() -> UDPSocket { keep(UDPSocket(loop: loop)) }
}

@Suite struct ProxyUDPTests {
    @Test func datagramsGoByTheRelay() throws {
        let relay = try RawRelay()
        defer { relay.proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        let log = Recorder(socket)
        try socket.setProxy(relay.proxy.socks5)
        try socket.bind()
        #expect(log.events == ["stateChanged(Bound)"])
        #expect(socket.localAddress == "" && socket.localPort == 0)
        try socket.writeDatagram(Array("early".utf8), address: "192.0.2.1", port: 53)
        #expect(socket.bytesToWrite == 5, "it waits for the relay")
        bench.run { log.saw(.bytesWritten) }
        #expect(log.bytesWritten == 5 && socket.bytesToWrite == 0)
        let (first, home) = try relay.datagrams.receive()
        #expect(first == RawRelay.header([192, 0, 2, 1], 53) + Array("early".utf8))
        try socket.writeDatagram(Array("name".utf8), address: "example.com", port: 53)
        #expect(try relay.datagrams.receive().bytes == [0, 0, 0, 3, 11] + Array("example.com".utf8) + [0, 53] + Array("name".utf8))
        try socket.writeDatagram(Array("six".utf8), address: "2001:db8::1", port: 53)
        #expect(try relay.datagrams.receive().bytes == [0, 0, 0, 4, 0x20, 1, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1, 0, 53] + Array("six".utf8))
        #expect(log.bytesWritten == 12)

        try relay.datagrams.send(RawRelay.header([192, 0, 2, 1], 53) + Array("answer".utf8), to: home)
        bench.run { log.saw(.readyRead) }
        #expect(log.events.last == "readyRead(6)")
        let answer = try socket.readDatagram()
        #expect(text(answer.data) == "answer" && answer.senderAddress == "192.0.2.1" && answer.senderPort == 53)
        #expect(relay.proxy.received[0] == [5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0])
        log.clear()
        socket.close()
        #expect(log.changes == ["stateChanged(Closing)", "stateChanged(Unconnected)", "readChannelFinished"] || !log.saw(.disconnected))
        #expect(socket.state == .unconnected)
        // The next bind is a plain one, and shows it.
        try socket.setProxy(.none)
        try socket.bind("127.0.0.1")
        #expect(socket.localAddress == "127.0.0.1" && socket.localPort > 0)
    }

    @Test func onePeerIsTalkedToByTheRelay() throws {
        let relay = try RawRelay(announced: [0, 0, 0, 0])
        defer { relay.proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        let log = Recorder(socket)
        try socket.setProxy(relay.proxy.socks5)
        try socket.connectToHost("192.0.2.1", port: 53)
        #expect(log.events == ["stateChanged(HostLookup)", "stateChanged(Connecting)", "hostFound"])
        bench.run { log.saw(.connected) }
        #expect(socket.peerAddress == "192.0.2.1" && socket.peerPort == 53 && socket.peerName == "192.0.2.1" && socket.localAddress == "")
        #expect(try socket.write("ping") == 4)
        let (bytes, home) = try relay.datagrams.receive()
        #expect(bytes == RawRelay.header([192, 0, 2, 1], 53) + Array("ping".utf8))
        // Only what comes from the peer, by the relay and whole, is for this socket.
        try relay.datagrams.send(RawRelay.header([192, 0, 2, 2], 53) + Array("other".utf8), to: home)
        try relay.datagrams.send(RawRelay.header([192, 0, 2, 1], 54) + Array("other".utf8), to: home)
        for junk in [[], [0], [0, 0, 0], [0, 0, 0, 1, 192], [0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8], [0, 0, 0, 3, 255, 1], [0, 0, 1] + RawRelay.header([192, 0, 2, 1], 53).dropFirst(3) + [1]] as [[UInt8]] {
            try relay.datagrams.send(junk, to: home)
        }
        try RawDatagrams().send(RawRelay.header([192, 0, 2, 1], 53) + Array("stranger".utf8), to: home)
        try relay.datagrams.send(RawRelay.header([192, 0, 2, 1], 53) + Array("pong".utf8), to: home)
        #expect(socket.waitForReadyRead(timeout: Bench.patience))
        #expect(try text(socket.readAll()) == "pong")
        #expect(try text(socket.readAll()) == "")
    }

    @Test func aNameIsGivenToTheRelay() throws {
        let relay = try RawRelay()
        defer { relay.proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        try socket.setProxy(relay.proxy.socks5)
        try socket.connectToHost("example.com", port: 53)
        #expect(socket.waitForConnected(timeout: Bench.patience))
        #expect(socket.peerAddress == "" && socket.peerPort == 53)
        _ = try socket.write("ping")
        let (bytes, home) = try relay.datagrams.receive()
        #expect(bytes == [0, 0, 0, 3, 11] + Array("example.com".utf8) + [0, 53] + Array("ping".utf8))
        try relay.datagrams.send(RawRelay.header([192, 0, 2, 9], 53) + Array("pong".utf8), to: home)
        #expect(socket.waitForReadyRead(timeout: Bench.patience))
        #expect(try text(socket.readAll()) == "pong")
    }

    @Test func aBlockingProgramNeedsNoLoop() throws {
        let relay = try RawRelay()
        defer { relay.proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        try socket.setProxy(relay.proxy.socks5)
        // Unbound: the first datagram binds it.
        try socket.writeDatagram(Array("ping".utf8), address: "192.0.2.1", port: 53)
        #expect(socket.state == .bound && socket.bytesToWrite == 4)
        #expect(socket.waitForBytesWritten(timeout: Bench.patience))
        let (bytes, home) = try relay.datagrams.receive()
        #expect(bytes == RawRelay.header([192, 0, 2, 1], 53) + Array("ping".utf8))
        try relay.datagrams.send(RawRelay.header([192, 0, 2, 1], 53) + Array("pong".utf8), to: home)
        #expect(socket.waitForReadyRead(timeout: Bench.patience))
        #expect(try text(socket.readDatagram().data) == "pong")
        let written = try socket.writeDatagrams((0..<20).map { OutgoingDatagram([UInt8($0)], address: "192.0.2.1", port: 53) })
        #expect(written == 20)
        for index in 0..<20 { #expect(try relay.datagrams.receive().bytes.last == UInt8(index)) }
        #expect(code { try socket.writeDatagram([1], address: "192.0.2.1", port: 53, options: DatagramOptions(hopLimit: 3)) } == .unsupportedSocketOperation)
        #expect(code { _ = try socket.takeDescriptor() } == .unsupportedSocketOperation)
    }

    @Test func theEndOfTheControlConnectionIsTold() throws {
        for connects in [false, true] {
            let relay = try RawRelay(after: [.receive(1)])
            defer { relay.proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.udp()
            let log = Recorder(socket)
            try socket.setProxy(relay.proxy.socks5)
            if connects { try socket.connectToHost("192.0.2.1", port: 53) } else { try socket.bind() }
            try socket.setProxyTimeout(5000)
            bench.run { !connects || log.saw(.connected) }
            if !connects {
                try socket.writeDatagram([1], address: "192.0.2.1", port: 53)
                bench.run { log.saw(.bytesWritten) }
            }
            log.clear()
            // The proxy waits for a byte that never comes, and gives up; see below.
            relay.proxy.hangUp()
            bench.run { log.saw(.errorOccurred) }
            #expect(log.errors.first?.code == .proxyConnectionClosed && log.count(of: .errorOccurred) == 1)
            bench.run { socket.state == .unconnected }
            #expect(log.saw(.disconnected) == connects)
        }
    }

    @Test func aRefusalIsTold() throws {
        for connects in [false, true] {
            let proxy = try ScriptedProxy([.receive(3), .send([5, 0]), .receive(10), .send([5, 7, 0, 1, 0, 0, 0, 0, 0, 0])])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.udp()
            let log = Recorder(socket)
            try socket.setProxy(proxy.socks5)
            if connects {
                try socket.connectToHost("192.0.2.1", port: 53)
            } else {
                try socket.bind()
                try socket.writeDatagram([1, 2, 3], address: "192.0.2.1", port: 53)
            }
            bench.run { log.saw(.errorOccurred) && socket.state == .unconnected }
            #expect(socket.error == .unsupportedSocketOperation && log.count(of: .errorOccurred) == 1)
            #expect(log.errors.first?.attempts.map(\.phase) == [.connect, .proxy])
            #expect(connects || log.errors.first?.message.contains("3 bytes") == true)
        }
    }

    @Test func whatCannotBeIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        let log = Recorder(socket)
        try socket.setProxy(.http("127.0.0.1", port: 9))
        #expect(code { try socket.bind() } == .unsupportedSocketOperation)
        #expect(code { try socket.connectToHost("192.0.2.1", port: 53) } == .unsupportedSocketOperation)
        #expect(code { try socket.writeDatagram([1], address: "192.0.2.1", port: 53) } == .unsupportedSocketOperation)
        #expect(log.count(of: .errorOccurred) == 3 && socket.state == .unconnected)
        try socket.setProxy(.socks5("127.0.0.1", port: 9))
        #expect(code { try socket.bind("any", port: 5353) } == .unsupportedSocketOperation)
        #expect(code { try socket.bind("any", port: 65536) } == .portNumberOutOfRange)
        #expect(socket.state == .unconnected)
    }

    @Test func closingWaitsForTheRelay() throws {
        let relay = try RawRelay()
        defer { relay.proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        try socket.setProxy(relay.proxy.socks5)
        try socket.writeDatagram(Array("last".utf8), address: "192.0.2.1", port: 53)
        socket.disconnectFromHost()
        #expect(socket.state == .closing)
        bench.run { socket.state == .unconnected }
        #expect(try relay.datagrams.receive().bytes.suffix(4) == Array("last".utf8)[...])
    }

    @Test func itCanBeStoppedAnywhere() throws {
        for ending in 0..<4 {
            let proxy = try ScriptedProxy([.hold])
            defer { proxy.finish() }
            let bench = try Bench()
            defer { bench.end() }
            let socket = bench.udp()
            let log = Recorder(socket)
            try socket.setProxy(proxy.socks5)
            if ending % 2 == 0 { try socket.bind() } else { try socket.connectToHost("192.0.2.1", port: 53) }
            try bench.settle()
            if ending < 2 { socket.abort() } else { socket.destroy() }
            #expect(socket.state == .unconnected && !log.saw(.errorOccurred))
            try bench.settle()
        }
    }

    @Test func aSilentProxyIsToldOf() throws {
        let proxy = try ScriptedProxy([.hold])
        defer { proxy.finish() }
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udp()
        try socket.setProxy(proxy.socks5)
        try socket.setProxyTimeout(20)
        try socket.bind()
        #expect(!socket.waitForReadyRead(timeout: Bench.patience))
        #expect(socket.error == .proxyConnectionTimeout && socket.state == .unconnected)
    }
}
