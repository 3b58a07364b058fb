import Glibc
import Sluice
import Testing

/// Lines, and streams that are longer than what is read at once.
@Suite struct LineTests {
    /// What the library reads at once; the tests stand close to its borders.
    private static let chunk = 65536

    @Test(arguments: Transport.allCases) func aLineHasItsNewline(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("one\n\ntwo\r\nrest")
        bench.run { link.socket.bytesAvailable == 14 }
        #expect(link.socket.canReadLine)
        #expect(try text(link.socket.readLine()) == "one\n")
        #expect(try text(link.socket.readLine()) == "\n")
        #expect(try text(link.socket.readLine()) == "two\r\n")
        #expect(!link.socket.canReadLine)
        #expect(try text(link.socket.readLine()) == "rest", "without a newline, what is there")
        #expect(try link.socket.readLine().isEmpty)
    }

    @Test func aLimitCutsALine() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("abcdef\nx\n")
        bench.run { link.socket.bytesAvailable == 9 }
        #expect(try text(link.socket.readLine(maxSize: 3)) == "abc")
        #expect(try text(link.socket.readLine(maxSize: 100)) == "def\n")
        #expect(try text(link.socket.readLine(maxSize: 2)) == "x\n")
        try link.peer.send("abcdef\n")
        bench.run { link.socket.bytesAvailable == 7 }
        var buffer = [UInt8](repeating: 0, count: 4)
        #expect(try buffer.withUnsafeMutableBytes { try link.socket.readLine(into: $0) } == 4)
        #expect(try buffer.withUnsafeMutableBytes { try link.socket.readLine(into: $0) } == 3)
        #expect(buffer == Array("ef\nd".utf8))
    }

    @Test func linesAreToldWhenTheyAreComplete() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("ab")
        bench.run { link.socket.bytesAvailable == 2 }
        #expect(!link.log.saw(.lineAvailable) && !link.socket.canReadLine)
        try link.peer.send("c\nd")
        bench.run { link.socket.bytesAvailable == 5 }
        #expect(link.log.events == ["readyRead(2)", "readyRead(5)", "lineAvailable"])
        #expect(try text(link.socket.readLine()) == "abc\n")
    }

    @Test func aLineReadInReadyReadIsNotToldAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.log.once(.readyRead) { _ = try? link.socket.readLine() }
        try link.peer.send("abc\ndef")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(!link.log.saw(.lineAvailable))
    }

    @Test func linesAreReadInTheirEvent() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var lines: [String] = []
        link.log.on(.lineAvailable) { while link.socket.canReadLine { lines.append((try? text(link.socket.readLine())) ?? "") } }
        for piece in ["a", "b\nc", "\n\nd", "\n"] {
            let total = link.log.count(of: .readyRead)
            try link.peer.send(piece)
            bench.run { link.log.count(of: .readyRead) > total }
        }
        #expect(lines == ["ab\n", "c\n", "\n", "d\n"])
    }

    @Test(arguments: Transport.allCases, [chunk - 1, chunk, chunk + 1, 3 * chunk, 300_000])
    func aLineMayBeLongerThanWhatIsReadAtOnce(over transport: Transport, length: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let line = pattern(length).map { $0 == 0x0A ? 0x0B : $0 }
        let peer = link.peer
        let sender = try Worker {
            try peer.send(line)
            try peer.send("\nnext\n")
        }
        bench.run { link.socket.bytesAvailable == length + 6 }
        try sender.join()
        #expect(link.socket.canReadLine && link.log.saw(.lineAvailable))
        let read = try link.socket.readLine()
        #expect(read == line + [0x0A])
        #expect(try text(link.socket.readLine()) == "next\n")
    }

    @Test func aLongLineIsNotToldBeforeItsEnd() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        for _ in 0..<50 {
            let before = link.socket.bytesAvailable
            try link.peer.send([UInt8](repeating: 0x61, count: 1000))
            bench.run { link.socket.bytesAvailable == before + 1000 }
            #expect(!link.socket.canReadLine)
        }
        #expect(!link.log.saw(.lineAvailable))
        try link.peer.send("\n")
        bench.run { link.log.saw(.lineAvailable) }
        #expect(try link.socket.readLine().count == 50_001)
    }

    @Test func partlyReadLinesAreFoundAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("first line\nsecond line\nthird")
        bench.run { link.socket.bytesAvailable == 28 }
        #expect(link.socket.canReadLine)
        #expect(try text(link.socket.read(maxSize: 6)) == "first ")
        #expect(link.socket.canReadLine)
        #expect(try link.socket.skip(5) == 5)
        #expect(link.socket.canReadLine)
        #expect(try text(link.socket.readLine()) == "second line\n")
        #expect(!link.socket.canReadLine)
        #expect(try link.socket.read(maxSize: 2).count == 2)
        try link.peer.send("\n")
        bench.run { link.socket.canReadLine }
        #expect(try text(link.socket.readLine()) == "ird\n")
    }

    // MARK: The borders of a read

    @Test(arguments: Transport.allCases, [chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, 4 * chunk, 5 * chunk, 16 * chunk])
    func nothingIsMissedAtTheBorders(over transport: Transport, size: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(size)
        let peer = link.peer
        let sender = try Worker { try peer.send(data) }
        bench.run { link.socket.bytesAvailable == size }
        try sender.join()
        #expect(try link.socket.readAll() == data)
        // The descriptor has to be watched still: one byte more comes through.
        try link.peer.send("!")
        bench.run { link.socket.bytesAvailable == 1 }
    }

    @Test(arguments: Transport.allCases) func aLongStreamComesWholeInWhateverPiecesItIsRead(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(4 << 20)
        var read: [UInt8] = []
        var sizes = [1, 100, 65536, 70_000, 0, 4096, 200_000]
        link.log.on(.readyRead) {
            let size = sizes.removeFirst()
            sizes.append(size)
            read += (try? link.socket.read(maxSize: size)) ?? []
        }
        let peer = link.peer
        let sender = try Worker {
            try peer.send(data)
            peer.close()
        }
        bench.run { link.socket.isGone }
        try sender.join()
        link.log.stopActing()
        read += try link.socket.readAll()
        #expect(read == data)
    }

    @Test func aBusySocketDoesNotKeepOthersWaiting() throws {
        let bench = try Bench()
        defer { bench.end() }
        let busy = try bench.link()
        let quiet = try bench.link()
        let stop = Shared(false)
        let peer = busy.peer
        let block = pattern(1 << 18)
        let sender = try Worker { while !stop.value, (try? peer.send(block)) != nil {} }
        var received = 0
        busy.log.on(.readyRead) { received += (try? busy.socket.readAll().count) ?? 0 }
        bench.run { received > 1 << 20 }
        try quiet.peer.send("me too")
        var fired = false
        _ = bench.loop.addTimer(after: 0) { fired = true }
        bench.run { quiet.socket.bytesAvailable == 6 && fired }
        stop.change { $0 = true }
        // The sender may be in the middle of a block that nobody takes any more.
        busy.socket.abort()
        try sender.join()
    }
}
