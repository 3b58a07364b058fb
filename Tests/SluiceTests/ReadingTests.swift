import Glibc
import Sluice
import Testing

@Suite struct ReadingTests {
    @Test(arguments: Transport.allCases) func dataIsToldAndRead(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        #expect(link.socket.atEnd && link.socket.bytesAvailable == 0)
        #expect(try link.socket.read(maxSize: 10).isEmpty, "connected, and nothing there: no error")
        try link.peer.send("hello")
        bench.run { link.log.saw(.readyRead) }
        #expect(link.log.events == ["readyRead(5)"])
        #expect(!link.socket.atEnd && link.socket.bytesAvailable == 5)
        #expect(try text(link.socket.readAll()) == "hello")
        #expect(link.socket.atEnd && link.socket.bytesAvailable == 0)
        #expect(try link.socket.readAll().isEmpty)
    }

    @Test(arguments: Transport.allCases) func piecesComeInTheirOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(1000)
        try link.peer.send(data)
        bench.run { link.socket.bytesAvailable == 1000 }
        var read: [UInt8] = []
        for size in [1, 2, 0, 300, 1, 696] {
            let piece = try link.socket.read(maxSize: size)
            #expect(piece.count == size)
            read += piece
            #expect(link.socket.bytesAvailable == 1000 - read.count)
        }
        #expect(read == data)
    }

    @Test func whatIsThereIsAllThatIsGiven() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("abc")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(try link.socket.read(maxSize: Int.max).count == 3)
        var buffer = [UInt8](repeating: 0xAA, count: 8)
        try link.peer.send("xyz")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(try buffer.withUnsafeMutableBytes { try link.socket.read(into: $0) } == 3)
        #expect(buffer == Array("xyz".utf8) + [0xAA, 0xAA, 0xAA, 0xAA, 0xAA])
        #expect(try buffer.withUnsafeMutableBytes { try link.socket.read(into: $0) } == 0)
    }

    @Test func sizesBelowZeroAreRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("abc")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(code { _ = try link.socket.read(maxSize: -1) } == .invalidArgument)
        #expect(code { _ = try link.socket.peek(maxSize: -1) } == .invalidArgument)
        #expect(code { _ = try link.socket.readLine(maxSize: -1) } == .invalidArgument)
        #expect(code { _ = try link.socket.skip(-1) } == .invalidArgument)
        #expect(code { try link.socket.setReadBufferSize(-1) } == .invalidArgument)
        #expect(code { try link.socket.setWriteBufferSize(-1) } == .invalidArgument)
        #expect(link.socket.bytesAvailable == 3 && link.socket.readBufferSize == 0 && link.socket.writeBufferSize == 0)
    }

    // MARK: Looking, skipping, putting back

    @Test(arguments: Transport.allCases) func peekLeavesTheBytes(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        try link.peer.send("hello\n")
        bench.run { link.socket.bytesAvailable == 6 }
        #expect(try text(link.socket.peek(maxSize: 2)) == "he")
        #expect(try text(link.socket.peekAll()) == "hello\n")
        #expect(try text(link.socket.peek(maxSize: 100)) == "hello\n")
        #expect(link.socket.bytesAvailable == 6 && link.socket.canReadLine)
        #expect(try text(link.socket.read(maxSize: 3)) == "hel")
        #expect(try text(link.socket.peekAll()) == "lo\n")
    }

    @Test func peekInTheHandlerLeavesTheBytesForLater() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var peeked = ""
        link.log.on(.readyRead) { peeked += (try? text(link.socket.peekAll())) ?? "" }
        try link.peer.send("one")
        bench.run { link.socket.bytesAvailable == 3 }
        try link.peer.send("two")
        bench.run { link.socket.bytesAvailable == 6 }
        #expect(peeked == "oneonetwo")
        #expect(try text(link.socket.readAll()) == "onetwo")
    }

    @Test func skipTellsHowMuchItSkipped() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(try link.socket.skip(5) == 0)
        try link.peer.send("hello world")
        bench.run { link.socket.bytesAvailable == 11 }
        #expect(try link.socket.skip(0) == 0)
        #expect(try link.socket.skip(6) == 6)
        #expect(try text(link.socket.peekAll()) == "world")
        #expect(try link.socket.skip(100) == 5)
        #expect(link.socket.atEnd)
    }

    @Test func singleBytesComeAndGo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        #expect(try link.socket.getChar() == nil)
        try link.peer.send("ab")
        bench.run { link.socket.bytesAvailable == 2 }
        #expect(try link.socket.getChar() == UInt8(ascii: "a"))
        #expect(try link.socket.getChar() == UInt8(ascii: "b"))
        #expect(try link.socket.getChar() == nil)
        try link.socket.putChar(UInt8(ascii: "c"))
        bench.run { link.socket.bytesToWrite == 0 }
        #expect(try link.peer.receiveText(1) == "c")
    }

    @Test func bytesCanBePutBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.ungetChar(UInt8(ascii: "z"))
        #expect(link.socket.bytesAvailable == 1, "also where nothing was")
        try link.peer.send("abc")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(try text(link.socket.readAll()) == "zabc")

        for byte in 0..<200 { try link.socket.ungetChar(UInt8(byte)) }
        #expect(try link.socket.readAll() == (0..<200).reversed().map { UInt8($0) })
    }

    @Test func putBackNewlinesCount() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("abc")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(!link.socket.canReadLine)
        try link.socket.ungetChar(UInt8(ascii: "\n"))
        #expect(link.socket.canReadLine)
        #expect(try text(link.socket.readLine()) == "\n")
        #expect(!link.socket.canReadLine)
        try link.peer.send("\n")
        bench.run { link.socket.canReadLine }
        #expect(try text(link.socket.readLine()) == "abc\n")
    }

    @Test func bytesCanBePutBackInTheHandler() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var first: UInt8?
        link.log.once(.readyRead) {
            first = try? link.socket.getChar()
            _ = try? link.socket.ungetChar(UInt8(ascii: "H"))
        }
        try link.peer.send("hello")
        bench.run { link.socket.bytesAvailable == 5 }
        #expect(first == UInt8(ascii: "h"))
        #expect(try text(link.socket.readAll()) == "Hello")
    }

    // MARK: When there is nothing to read from

    @Test func aSocketThatIsNotOpenCannotBeReadFrom() throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.tcpSocket()
        #expect(code { _ = try socket.read(maxSize: 1) } == .operation)
        #expect(code { _ = try socket.peek(maxSize: 1) } == .operation)
        #expect(code { _ = try socket.skip(1) } == .operation)
        #expect(code { try socket.ungetChar(1) } == .operation)
        #expect(code { _ = try socket.getChar() } == .operation)
        #expect(code { try socket.putChar(1) } == .operation)
        #expect(!socket.canReadLine && socket.atEnd && socket.error == .noError)
    }

    @Test(arguments: Transport.allCases) func writeOnlyThrowsAwayWhatComes(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport, openMode: .writeOnly)
        #expect(!link.socket.isReadable && link.socket.isWritable)
        try link.peer.send(pattern(100_000))
        try link.socket.put("out")
        bench.run { link.socket.bytesToWrite == 0 }
        #expect(try link.peer.receiveText(3) == "out")
        link.peer.close()
        bench.run { link.socket.isGone }
        #expect(!link.log.saw(.readyRead) && link.socket.bytesAvailable == 0)
        #expect(link.log.saw(.disconnected))
        #expect(code { _ = try link.socket.read(maxSize: 1) } == .operation)
    }

    @Test(arguments: Transport.allCases) func readOnlyRefusesToWrite(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport, openMode: .readOnly)
        #expect(code { try link.socket.put("x") } == .operation)
        try link.peer.send("in")
        bench.run { link.socket.bytesAvailable == 2 }
        #expect(link.socket.state == .connected)
    }

    // MARK: The event

    @Test func everyPieceIsToldEvenWhenNothingWasRead() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        for (index, piece) in ["a", "bb", "ccc"].enumerated() {
            try link.peer.send(piece)
            bench.run { link.log.count(of: .readyRead) == index + 1 }
        }
        #expect(link.log.events == ["readyRead(1)", "readyRead(3)", "readyRead(6)"])
    }

    @Test func readyReadIsNotRaisedInsideItself() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var depth = 0
        var deepest = 0
        var waited = false
        link.log.on(.readyRead) {
            depth += 1
            deepest = max(deepest, depth)
            if link.socket.bytesAvailable == 3 {
                try? link.peer.send("def")
                waited = link.socket.waitForReadyRead(timeout: Bench.patience)
            }
            depth -= 1
        }
        try link.peer.send("abc")
        bench.run { link.socket.bytesAvailable == 6 }
        #expect(waited && deepest == 1)
        #expect(try text(link.socket.readAll()) == "abcdef")
    }

    @Test func theLoopMayRunInsideReadyRead() throws {
        let bench = try Bench()
        defer { bench.end() }
        let first = try bench.link()
        let second = try bench.link(.local)
        var order: [String] = []
        let handle: (Link, Link, String) -> Void = { own, other, name in
            order.append("\(name) begins")
            if order.count == 1 {
                // The other's event may have been fetched together with this one.
                bench.run { other.socket.bytesAvailable == 5 }
            }
            order.append("\(name) ends")
        }
        first.log.once(.readyRead) { handle(first, second, "first") }
        second.log.once(.readyRead) { handle(second, first, "second") }
        try first.peer.send("first")
        try second.peer.send("other")
        bench.run { order.count == 4 }
        #expect(order == ["first begins", "second begins", "second ends", "first ends"] || order == ["second begins", "first begins", "first ends", "second ends"])
        #expect(try text(first.socket.readAll()) == "first")
        #expect(try text(second.socket.readAll()) == "other")
    }

    @Test func whatSeveralSocketsLeaveUnreadIsKeptApart() throws {
        let bench = try Bench()
        defer { bench.end() }
        let links = try (0..<8).map { try bench.link($0 % 2 == 0 ? .tcp : .local) }
        let data = links.indices.map { pattern(5000 + $0, seed: UInt64($0 + 1)) }
        var early: [[UInt8]] = Array(repeating: [], count: links.count)
        for (index, link) in links.enumerated() {
            link.log.once(.readyRead) { early[index] = (try? link.socket.read(maxSize: index * 100)) ?? [] }
            try link.peer.send(data[index])
        }
        bench.run { links.indices.allSatisfy { early[$0].count + links[$0].socket.bytesAvailable == data[$0].count } }
        for (index, link) in links.enumerated() { #expect(try early[index] + link.socket.readAll() == data[index]) }
    }

    @Test(arguments: Transport.allCases) func aWaitForAnotherSocketSparesWhatIsBeingRead(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let other = try bench.link(transport)
        let (data, otherData) = (pattern(60_000, seed: 1), pattern(60_000, seed: 2))
        var read: [UInt8] = []
        var otherRead: [UInt8] = []
        link.log.once(.readyRead) {
            try? other.peer.send(otherData)
            while otherRead.count < otherData.count, other.socket.waitForReadyRead(timeout: Bench.patience) {
                otherRead += (try? other.socket.readAll()) ?? []
            }
            read += (try? link.socket.readAll()) ?? []
        }
        try link.peer.send(data)
        bench.run { read.count + link.socket.bytesAvailable == data.count }
        read += try link.socket.readAll()
        #expect(read == data)
        #expect(otherRead == otherData)
    }

    @Test(arguments: Transport.allCases) func aSocketDestroyedWhileItsDataIsLookedAtTakesItAlong(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let other = try bench.link(transport)
        link.log.once(.readyRead) {
            link.socket.destroy()
            #expect(link.socket.bytesAvailable == 0)
            #expect(code { _ = try link.socket.read(maxSize: 1) } == .operation)
            #expect(throws: Never.self) { try other.peer.send("other") }
        }
        try link.peer.send("hello")
        bench.run { other.socket.bytesAvailable == 5 }
        #expect(try text(other.socket.readAll()) == "other")
    }
}
