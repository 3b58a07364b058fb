import Glibc
import Sluice
import Testing

/// The loop as a guest of another one, and descriptors of others as guests of the loop.
@Suite struct LoopDescriptorTests {
    private func isReadable(_ descriptor: Int32, within milliseconds: Int32 = 0) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, milliseconds) > 0 && entry.revents & Int16(POLLIN) != 0
    }

    /// As a foreign loop does: polls, and gives the loop a turn whenever it asks for one.
    private func host(_ loop: EventLoop, until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) throws {
        while !condition() {
            try #require(isReadable(try loop.descriptor, within: Int32(Bench.patience)), sourceLocation: sourceLocation)
            _ = try loop.runOnce(timeout: 0)
        }
    }

    /// Gives it turns until it asks for no more.
    private func rest(_ loop: EventLoop) throws {
        var turns = 0
        while isReadable(try loop.descriptor), turns < 100 {
            _ = try loop.runOnce(timeout: 0)
            turns += 1
        }
        #expect(turns < 100, "the descriptor stays readable without anything to do")
    }

    @Test func anIdleLoopIsNotReadable() throws {
        let loop = try EventLoop()
        try rest(loop)
        #expect(!isReadable(try loop.descriptor))
        #expect(try loop.descriptor == loop.descriptor)
    }

    @Test func postedWorkMakesItReadable() throws {
        let loop = try EventLoop()
        try rest(loop)
        let ran = Shared(0)
        let mailbox = loop.mailbox
        let worker = try Worker { mailbox.post { ran.change { $0 += 1 } } }
        try host(loop) { ran.value == 1 }
        try worker.join()
        try rest(loop)
        loop.post { ran.change { $0 += 1 } }
        #expect(isReadable(try loop.descriptor))
        try host(loop) { ran.value == 2 }
        try rest(loop)
    }

    @Test func workFromBeforeTheDescriptorMakesItReadable() throws {
        let loop = try EventLoop()
        let ran = Shared(false)
        loop.post { ran.change { $0 = true } }
        try host(loop) { ran.value }
    }

    @Test func workPostedInATurnMakesItReadable() throws {
        let loop = try EventLoop()
        let ran = Shared(0)
        let mailbox = loop.mailbox
        mailbox.post { mailbox.post { mailbox.post { ran.change { $0 = 3 } } } }
        try host(loop) { ran.value == 3 }
    }

    @Test func timersMakeItReadable() throws {
        let loop = try EventLoop()
        var fired: [Int] = []
        _ = loop.addTimer(after: 2) { fired.append(2) }
        try rest(loop)
        _ = loop.addTimer(after: 1) { fired.append(1) }
        try host(loop) { fired.contains(1) && fired.contains(2) }
        let timer = loop.addTimer(after: 1, repeats: true) { fired.append(3) }
        try host(loop) { fired.count == 5 }
        timer.cancel()
        _ = loop.addTimer(after: 0) { fired.append(4) }
        try host(loop) { fired.last == 4 }
        try rest(loop)
    }

    @Test func aCancelledTimerDoesNotKeepItReadable() throws {
        let loop = try EventLoop()
        let timer = loop.addTimer(after: 1) {}
        try rest(loop)
        timer.cancel()
        // One vain wake is all that may come of it.
        _ = isReadable(try loop.descriptor, within: 5)
        try rest(loop)
        #expect(!isReadable(try loop.descriptor, within: 5))
    }

    @Test func aSocketsDataMakesItReadable() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try rest(bench.loop)
        try link.peer.send("hello")
        try host(bench.loop) { link.socket.bytesAvailable == 5 }
        try rest(bench.loop)
        #expect(link.log.events == ["readyRead(5)"])
    }

    @Test func aWriteOutsideATurnMakesItReadable() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try rest(bench.loop)
        try link.socket.put("hello")
        try host(bench.loop) { link.socket.bytesToWrite == 0 }
        #expect(try link.peer.receiveText(5) == "hello")
    }

    @Test func roomInAReadBufferMakesItReadable() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try rest(bench.loop)
        try link.peer.send("12345678")
        try host(bench.loop) { link.socket.bytesAvailable == 4 }
        try rest(bench.loop)
        #expect(try text(link.socket.readAll()) == "1234")
        try host(bench.loop) { link.socket.bytesAvailable == 4 }
        #expect(try text(link.socket.readAll()) == "5678")
    }

    @Test func anEmptyHostNameFailsInAForeignLoop() throws {
        let bench = try Bench()
        defer { bench.end() }
        try rest(bench.loop)
        let socket = bench.tcpSocket()
        try socket.connectToHost("", port: 80)
        try host(bench.loop) { socket.isGone }
        #expect(socket.error == .emptyHostName)
    }

    @Test func aLoopLivesInALoop() throws {
        let inner = try EventLoop()
        let outer = try EventLoop()
        var ticks = 0
        _ = inner.addTimer(after: 1, repeats: true) { ticks += 1 }
        let watch = try outer.watch(descriptor: inner.descriptor, readable: true, writable: false) { _, _ in _ = try? inner.runOnce(timeout: 0) }
        while ticks < 3 { #expect(try outer.runOnce(timeout: Bench.patience)) }
        watch.cancel()
    }

    // MARK: Watching descriptors

    /// Both ends of a pipe.
    private func pipe() throws -> (reader: RawPeer, writer: RawPeer) {
        var ends: [Int32] = [0, 0]
        try check(Glibc.pipe(&ends), "pipe")
        return (RawPeer(owning: ends[0]), RawPeer(owning: ends[1]))
    }

    private func feed(_ end: RawPeer, _ count: Int) {
        _ = pattern(count).withUnsafeBytes { write(end.descriptor, $0.baseAddress, count) }
    }

    @Test func aWatchTellsAgainWhileThereIsSomethingToRead() throws {
        let loop = try EventLoop()
        let (reader, writer) = try pipe()
        defer { reader.close(); writer.close() }
        var told: [Bool] = []
        let watch = try loop.watch(descriptor: reader.descriptor, readable: true, writable: false) { readable, writable in
            told.append(readable && !writable)
        }
        #expect(try loop.runOnce(timeout: 0) == false)
        feed(writer, 3)
        for _ in 0..<3 { #expect(try loop.runOnce(timeout: Bench.patience)) }
        #expect(told == [true, true, true])
        watch.readable = false
        #expect(try loop.runOnce(timeout: 0) == false)
        watch.readable = true
        #expect(try loop.runOnce(timeout: Bench.patience))
        #expect(told.count == 4)
        watch.cancel()
        watch.cancel()
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(told.count == 4)
    }

    @Test func aWatchTellsOfRoomToWrite() throws {
        let loop = try EventLoop()
        let (reader, writer) = try pipe()
        defer { reader.close(); writer.close() }
        var told = 0
        let watch = try loop.watch(descriptor: writer.descriptor, readable: false, writable: false) { readable, writable in
            #expect(!readable && writable)
            told += 1
        }
        #expect(try loop.runOnce(timeout: 0) == false)
        watch.writable = true
        #expect(try loop.runOnce(timeout: Bench.patience))
        #expect(told == 1)
        watch.cancel()
    }

    @Test func theEndOfAPipeIsToldAsReadable() throws {
        let loop = try EventLoop()
        let (reader, writer) = try pipe()
        defer { reader.close(); writer.close() }
        var told = false
        let watch = try loop.watch(descriptor: reader.descriptor, readable: true, writable: false) { readable, _ in told = readable }
        writer.close()
        #expect(try loop.runOnce(timeout: Bench.patience))
        #expect(told)
        watch.cancel()
    }

    @Test func aPausedWatchOfABrokenPipeDoesNotKeepTheLoopAwake() throws {
        let loop = try EventLoop()
        let (reader, writer) = try pipe()
        defer { reader.close(); writer.close() }
        var told: [Bool] = []
        let watch = try loop.watch(descriptor: reader.descriptor, readable: true, writable: false) { readable, _ in told.append(readable) }
        watch.readable = false
        writer.close()
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(told.isEmpty, "nothing was asked for")
        watch.readable = true
        #expect(try loop.runOnce(timeout: Bench.patience))
        #expect(told == [true])
        watch.cancel()
    }

    @Test func aWatchMayEndItselfAndOthers() throws {
        let loop = try EventLoop()
        let pipes = try [pipe(), pipe()]
        var told = 0
        var watches: [DescriptorWatch] = []
        for (reader, writer) in pipes {
            feed(writer, 1)
            watches.append(try loop.watch(descriptor: reader.descriptor, readable: true, writable: false) { _, _ in
                told += 1
                for watch in watches { watch.cancel() }
            })
        }
        #expect(try loop.runOnce(timeout: Bench.patience))
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(told == 1)
        watches = []
        withExtendedLifetime(pipes) {}
    }

    @Test func aWatchThatNobodyHoldsEnds() throws {
        let loop = try EventLoop()
        let (reader, writer) = try pipe()
        defer { reader.close(); writer.close() }
        var told = 0
        do { _ = try loop.watch(descriptor: reader.descriptor, readable: true, writable: false) { _, _ in told += 1 } }
        feed(writer, 1)
        _ = try loop.runOnce(timeout: 0)
        #expect(told == 0)
    }

    @Test func whatCannotBePolledIsRefused() throws {
        let loop = try EventLoop()
        let folder = try TempFolder()
        let file = RawPeer(owning: try check(open(folder.path("plain"), O_CREAT | O_RDWR, 0o600), "open"))
        #expect(code { _ = try loop.watch(descriptor: file.descriptor, readable: true, writable: false) { _, _ in } } == .unsupportedSocketOperation)
        #expect(code { _ = try loop.watch(descriptor: -1, readable: true, writable: false) { _, _ in } } == .unsupportedSocketOperation)
    }

    // MARK: Busy polling

    @Test func busyPollingMissesNothing() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        bench.loop.busyPoll = 200
        let peer = link.peer
        let echo = try Worker { for _ in 0..<200 { try peer.send(peer.receiveExactly(3)) } }
        var echoed = 0
        link.log.on(.readyRead) {
            guard link.socket.bytesAvailable == 3 else { return }
            _ = try? link.socket.readAll()
            echoed += 1
            if echoed < 200 { _ = try? link.socket.write("abc") }
        }
        try link.socket.put("abc")
        bench.run { echoed == 200 }
        try echo.join()

        let posted = Shared(false)
        let mailbox = bench.loop.mailbox
        let poster = try Worker { mailbox.post { posted.change { $0 = true } } }
        bench.run { posted.value }
        try poster.join()
        var fired = false
        _ = bench.loop.addTimer(after: 1) { fired = true }
        bench.run { fired }
    }

    @Test func busyPollingIsWithinReason() throws {
        let loop = try EventLoop()
        #expect(loop.busyPoll == 0)
        loop.busyPoll = -1
        #expect(loop.busyPoll == 0)
        loop.busyPoll = .max
        #expect(loop.busyPoll <= 1_000_000)
        loop.busyPoll = 50
        #expect(loop.busyPoll == 50)
        loop.busyPoll = 1_000_000
        var fired = false
        _ = loop.addTimer(after: 1) { fired = true }
        while !fired { _ = try loop.runOnce(timeout: -1) }
    }
}
