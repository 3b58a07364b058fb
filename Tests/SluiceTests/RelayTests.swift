import Glibc
import Sluice
import Testing

/// Bytes between two sockets that never reach the user.
@Suite struct RelayTests {
    private func pair(_ bench: Bench, _ first: Transport, _ second: Transport) throws -> (relay: Sluice.Relay, log: Recorder, a: Link, b: Link) {
        let (a, b) = (try bench.link(first), try bench.link(second))
        let relay = bench.keep(try Sluice.Relay(a.socket, b.socket))
        return (relay, Recorder(relay), a, b)
    }

    private static let ways: [(Transport, Transport)] = [(.tcp, .tcp), (.tcp, .local), (.local, .tcp), (.local, .local)]

    @Test(arguments: ways.indices) func bytesGoBothWaysUntilBothEnd(way: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (relay, log, a, b) = try pair(bench, Self.ways[way].0, Self.ways[way].1)
        let (there, here) = (pattern(3_000_000, seed: 1), pattern(2_000_000, seed: 2))
        let (atA, atB) = (try bench.collect(a.peer), try bench.collect(b.peer))
        let (left, right) = (a.peer, b.peer)
        let first = try Worker { try left.send(there); left.shutdownWrite() }
        let second = try Worker { try right.send(here); right.shutdownWrite() }
        bench.run { log.saw(.finished) && atA.ended && atB.ended }
        try first.join()
        try second.join()
        #expect(atB.bytes == there && atA.bytes == here)
        #expect(relay.counters == (there.count, here.count) && relay.error == nil)
        #expect(a.socket.isGone && b.socket.isGone)
        #expect(a.log.saw(.disconnected) && b.log.saw(.disconnected) && !a.log.saw(.readyRead) && !b.log.saw(.bytesWritten))
        #expect(log.events == ["finished"])
    }

    @Test func whatWasThereBeforeGoesAlong() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (a, b) = (try bench.link(), try bench.link())
        try a.peer.send("early ")
        bench.run { a.socket.bytesAvailable == 6 }
        try b.socket.put("before ")
        let relay = bench.keep(try Sluice.Relay(a.socket, b.socket))
        try a.peer.send("late")
        let collector = try bench.collect(b.peer)
        bench.run { collector.bytes.count == 17 }
        #expect(text(collector.bytes) == "before early late" && relay.counters.aToB == 10)
    }

    @Test func halfClosesArePassedOn() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (_, log, a, b) = try pair(bench, .tcp, .tcp)
        let collector = try bench.collect(b.peer)
        try a.peer.send("question")
        a.peer.shutdownWrite()
        bench.run { collector.ended }
        #expect(text(collector.bytes) == "question" && !log.saw(.finished))
        try b.peer.send("answer")
        let answers = try bench.collect(a.peer)
        bench.run { answers.bytes.count == 6 }
        b.peer.close()
        bench.run { log.saw(.finished) && answers.ended }
        #expect(text(answers.bytes) == "answer")
    }

    @Test(arguments: Transport.allCases) func aSlowSideHoldsTheOtherBack(transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (relay, log, a, b) = try pair(bench, transport, transport)
        let bytes = pattern(20_000_000)
        let sender = a.peer
        let worker = try Worker { try sender.send(bytes); sender.shutdownWrite() }
        // Nobody reads at the other end: what is on its way stays bounded.
        try bench.settle()
        #expect(b.socket.bytesToWrite < 1 << 20 && a.socket.bytesAvailable < 1 << 20)
        let collector = try bench.collect(b.peer)
        bench.run { collector.ended }
        try worker.join()
        #expect(collector.bytes == bytes && relay.counters.aToB == bytes.count)
        b.peer.shutdownWrite()
        bench.run { log.saw(.finished) }
    }

    @Test func aResetEndsTheOtherSide() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (relay, log, a, b) = try pair(bench, .tcp, .tcp)
        try a.peer.send("last words")
        let collector = try bench.collect(b.peer)
        bench.run { collector.bytes.count == 10 }
        a.peer.reset()
        bench.run { log.saw(.finished) && collector.ended }
        #expect(relay.error?.code == .remoteHostClosed && relay.error?.systemError == ECONNRESET)
        #expect(a.socket.isGone && b.socket.isGone && a.log.saw(.errorOccurred))
    }

    @Test func whoeverDoesNotTakeItIsToldOf() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (relay, log, a, b) = try pair(bench, .tcp, .local)
        b.peer.close()
        try a.peer.send(pattern(100_000))
        let collector = try bench.collect(a.peer)
        bench.run { log.saw(.finished) }
        #expect(a.socket.isGone && b.socket.isGone)
        bench.run { collector.ended }
        withExtendedLifetime(relay) {}
    }

    @Test func destroyedItLetsGoOfTheSockets() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (relay, log, a, b) = try pair(bench, .tcp, .local)
        let collector = try bench.collect(b.peer)
        try a.peer.send("relayed")
        bench.run { collector.bytes.count == 7 }
        relay.destroy()
        try a.peer.send("mine")
        bench.run { a.socket.bytesAvailable == 4 }
        try b.socket.put("direct")
        bench.run { collector.bytes.count == 13 }
        #expect(log.events == [] && a.log.saw(.readyRead) && !a.socket.allowHalfOpen && a.socket.readBufferSize == 0)
    }

    @Test func oneSocketMayBeDestroyed() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (_, log, a, b) = try pair(bench, .tcp, .tcp)
        try a.peer.send("x")
        let collector = try bench.collect(b.peer)
        bench.run { collector.bytes.count == 1 }
        a.socket.destroy()
        bench.run { log.saw(.finished) && collector.ended }
        #expect(b.socket.isGone)
    }

    @Test func misuseIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (a, b) = (try bench.link(), try bench.link())
        #expect(code { _ = try Sluice.Relay(a.socket, a.socket) } == .invalidArgument)
        #expect(code { _ = try Sluice.Relay(a.socket, bench.tcpSocket()) } == .operation)
        let relay = bench.keep(try Sluice.Relay(a.socket, b.socket))
        let c = try bench.link()
        #expect(code { _ = try Sluice.Relay(a.socket, c.socket) } == .operation)
        withExtendedLifetime(relay) {}
    }
}
