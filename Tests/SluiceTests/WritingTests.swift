import Glibc
import Sluice
import Testing

@Suite struct WritingTests {
    @Test(arguments: Transport.allCases) func writesAreGatheredAndSentInTheTurn(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put("hello ")
        try link.socket.put("world")
        #expect(link.socket.bytesToWrite == 11 && link.log.events.isEmpty)
        #expect(try link.peer.receiveNow() == nil, "nothing leaves before the turn")
        bench.run { link.socket.bytesToWrite == 0 }
        #expect(try link.peer.receiveText(11) == "hello world")
        #expect(link.log.bytesWritten == 11)
    }

    @Test func aTurnThatSendsComesBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try bench.settle()
        let watchdog = bench.loop.addTimer(after: Bench.patience) { Issue.record("it slept on") }
        try link.socket.put("hello")
        #expect(try bench.loop.runOnce(timeout: -1), "bytesWritten was raised: something was done")
        #expect(link.log.events == ["bytesWritten(5)"])
        watchdog.cancel()
    }

    @Test(arguments: Transport.allCases) func writesInAHandlerLeaveWhenItEnds(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.on(.readyRead) { _ = try? link.socket.write(link.socket.readAll()) }
        let data = pattern(1 << 20)
        let peer = link.peer
        let echo = Shared<[UInt8]>([])
        let worker = try Worker {
            for start in stride(from: 0, to: data.count, by: 50_000) {
                let block = Array(data[start..<min(start + 50_000, data.count)])
                try peer.send(block)
                let back = try peer.receiveExactly(block.count)
                echo.change { $0 += back }
            }
        }
        bench.run { link.log.bytesWritten == data.count }
        try worker.join()
        #expect(echo.value == data)
    }

    @Test(arguments: Transport.allCases) func flushSendsNowAndTellsFromInside(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(!link.socket.flush(), "nothing to send")
        try link.socket.put("hello")
        #expect(link.socket.flush())
        #expect(link.log.events == ["bytesWritten(5)"] && link.socket.bytesToWrite == 0)
        #expect(try link.peer.receiveText(5) == "hello")
        #expect(!link.socket.flush())
        try bench.settle()
        #expect(link.log.events.count == 1)
    }

    @Test func anEmptyWriteIsNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(try link.socket.write([UInt8]()) == 0)
        #expect(try link.socket.write("") == 0)
        try bench.settle()
        #expect(link.log.events.isEmpty)
    }

    // MARK: bytesWritten adds up

    @Test func aFlushInBytesWrittenIsToldAfterIt() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var depth = 0
        var deepest = 0
        var rounds = 0
        link.log.on(.bytesWritten) {
            depth += 1
            deepest = max(deepest, depth)
            rounds += 1
            if rounds < 5 {
                _ = try? link.socket.write(String(repeating: "x", count: rounds))
                #expect(link.socket.flush())
            }
            depth -= 1
        }
        try link.socket.put("hello")
        bench.run { rounds == 5 }
        #expect(deepest == 1)
        #expect(link.log.events == ["bytesWritten(5)", "bytesWritten(1)", "bytesWritten(2)", "bytesWritten(3)", "bytesWritten(4)"])
        #expect(try link.peer.receiveText(15) == "helloxxxxxxxxxx")
    }

    @Test(arguments: Transport.allCases) func writesInBytesWrittenGoOnAndOn(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(100_000)
        var position = 0
        func feed() {
            let end = min(position + 777, data.count)
            _ = try? link.socket.write(Array(data[position..<end]))
            position = end
        }
        link.log.on(.bytesWritten) { if link.socket.bytesToWrite == 0, position < data.count { feed() } }
        let collector = try bench.collect(link.peer)
        feed()
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data && link.log.bytesWritten == data.count)
    }

    @Test(arguments: Transport.allCases) func aLargeWriteGoesInParts(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(8 << 20)
        try link.socket.put(data)
        try bench.settle()
        #expect(link.socket.bytesToWrite > 0, "the system cannot take all of it")
        #expect(link.log.bytesWritten + link.socket.bytesToWrite == data.count)
        let collector = try bench.collect(link.peer)
        var sums: [Int] = []
        link.log.on(.bytesWritten) { sums.append(link.log.bytesWritten + link.socket.bytesToWrite) }
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data)
        #expect(link.log.bytesWritten == data.count && link.socket.bytesToWrite == 0)
        #expect(sums.allSatisfy { $0 == data.count }, "what was told and what is left always add up")
        #expect(link.log.count(of: .bytesWritten) > 1)
    }

    @Test(arguments: Transport.allCases) func manySmallWritesKeepTheirOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(3 << 20)
        var position = 0
        var size = 1
        let collector = try bench.collect(link.peer)
        while position < data.count {
            // Some while the queue is blocked, some into a fresh one.
            for _ in 0..<400 where position < data.count {
                let end = min(position + size, data.count)
                try link.socket.put(Array(data[position..<end]))
                position = end
                size = size % 197 + 1
            }
            if size % 3 == 0 { _ = link.socket.flush() }
            if size % 2 == 0 { _ = try bench.loop.runOnce(timeout: 0) }
        }
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data && link.log.bytesWritten == data.count)
    }

    @Test(arguments: Transport.allCases) func aBlockedQueueTakesMoreAndKeepsTheOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        var data = pattern(6 << 20)
        try link.socket.put(data)
        try bench.settle()
        for round in 1...50 {
            let more = pattern(round * 31, seed: UInt64(round))
            try link.socket.put(more)
            data += more
            _ = link.socket.flush()
            if round % 10 == 0 { try bench.settle() }
        }
        let collector = try bench.collect(link.peer)
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data && link.log.bytesWritten == data.count)
    }

    // MARK: Limits and modes

    @Test(arguments: Transport.allCases) func writeBufferSizeBoundsWhatIsAccepted(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.setWriteBufferSize(10)
        #expect(link.socket.writeBufferSize == 10)
        #expect(try link.socket.write("1234567") == 7)
        #expect(try link.socket.write("89abcdef") == 3)
        #expect(try link.socket.write("x") == 0)
        #expect(link.socket.bytesToWrite == 10)
        #expect(link.socket.flush())
        #expect(try link.socket.write("bcdef") == 5)
        try link.socket.setWriteBufferSize(3)
        #expect(try link.socket.write("x") == 0)
        try link.socket.setWriteBufferSize(0)
        #expect(try link.socket.write("ghi") == 3)
        #expect(link.socket.flush())
        #expect(try link.peer.receiveText(18) == "123456789abcdefghi")
    }

    @Test(arguments: Transport.allCases) func unbufferedWritesLeaveAtOnce(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport, openMode: [.readWrite, .unbuffered])
        #expect(link.socket.openMode == [.readWrite, .unbuffered])
        try link.socket.put("hello")
        #expect(link.socket.bytesToWrite == 0)
        #expect(try link.peer.receiveText(5) == "hello")
        try link.socket.put("again")
        bench.run { link.log.bytesWritten == 10 }
        let data = pattern(6 << 20)
        try link.socket.put(data)
        #expect(link.socket.bytesToWrite > 0, "what the system does not take is queued all the same")
        _ = try link.peer.receiveText(5)
        let collector = try bench.collect(link.peer)
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data && link.log.bytesWritten == data.count + 10)
    }

    // MARK: When it cannot be

    @Test func aSocketWithoutAConnectionTakesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        #expect(code { try socket.put("x") } == .operation)
        #expect(!socket.flush() && socket.bytesToWrite == 0)
        #expect(code { try socket.shutdownWrite() } == .operation)
        let link = try bench.link()
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(link.socket.isOpen)
        #expect(code { try link.socket.put("x") } == .operation, "open, and still without a connection")
        #expect(log.events.isEmpty)
    }

    @Test(arguments: Transport.allCases) func writesInClosingAreSentToo(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put("first")
        link.socket.disconnectFromHost()
        #expect(link.socket.state == .closing)
        try link.socket.put("second")
        bench.run { link.socket.isGone }
        #expect(try text(link.peer.receiveToEnd()) == "firstsecond")
        #expect(link.log.bytesWritten == 11)
    }

    @Test(arguments: Transport.allCases) func aClosedDeviceTakesNothingMoreInClosing(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.socket.put("first")
        link.socket.close()
        #expect(link.socket.state == .closing && !link.socket.isOpen)
        #expect(code { try link.socket.put("second") } == .operation)
        bench.run { link.socket.isGone }
        #expect(try text(link.peer.receiveToEnd()) == "first")
    }

    // MARK: shutdownWrite

    @Test(arguments: Transport.allCases, [0, 5, 6 << 20])
    func shutdownWriteEndsTheStreamAfterWhatIsQueued(over transport: Transport, size: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(size)
        try link.socket.put(data)
        try link.socket.shutdownWrite()
        try link.socket.shutdownWrite()
        #expect(code { try link.socket.put("more") } == .operation)
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended }
        #expect(collector.bytes == data && link.log.bytesWritten == size)
        #expect(link.socket.state == .connected)
        try link.peer.send("answer")
        bench.run { link.socket.bytesAvailable == 6 }
        #expect(try text(link.socket.readAll()) == "answer")
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(link.log.changes == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
    }

    @Test func shutdownWriteThenDisconnectCloses() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put("last")
        try link.socket.shutdownWrite()
        link.socket.disconnectFromHost()
        bench.run { link.socket.isGone }
        #expect(try text(link.peer.receiveToEnd()) == "last")
        #expect(link.log.changes == ["stateChanged(Closing)"] + closingEvents)
    }

    @Test func aReusedSocketWritesAgainAfterAShutdown() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.shutdownWrite()
        link.socket.abort()
        let listener = try RawListener.tcp()
        try link.socket.connectToHost("127.0.0.1", port: listener.port)
        try link.socket.put("hello")
        let peer = try listener.accept(running: bench) { link.socket.bytesToWrite == 0 }
        #expect(try peer.receiveText(5) == "hello")
    }
}
