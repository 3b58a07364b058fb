import Glibc
import Sluice
import Testing

/// readBufferSize: how much is kept unread, and how the peer feels it.
@Suite struct ReadLimitTests {
    /// Sends until nothing more is taken, however many turns the loop gets. Returns how much was.
    private func press(_ bench: Bench, _ peer: RawPeer, _ data: [UInt8]) throws -> Int {
        var sent = 0
        var refusals = 0
        while sent < data.count, refusals < 50 {
            let count = try peer.sendSome(data[sent...])
            sent += count
            refusals = count == 0 ? refusals + 1 : 0
            try bench.settle()
        }
        return sent
    }

    @Test(arguments: Transport.allCases) func aFullBufferHoldsThePeerBack(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let limit = 10_000
        let link = try bench.link(transport) { socket in
            try socket.setReadBufferSize(limit)
            if transport == .tcp { try socket.setOption(.receiveBufferSize, 4096) }
        }
        link.peer.setOption(SO_SNDBUF, 4096)
        var largest = 0
        link.log.on(.readyRead) { largest = max(largest, link.socket.bytesAvailable) }
        let data = pattern(8 << 20)
        let sent = try press(bench, link.peer, data)
        #expect(sent < data.count, "without back-pressure all would have gone")
        #expect(link.socket.bytesAvailable == limit && largest == limit)

        // With room it goes on, to the last byte.
        var read: [UInt8] = []
        let (peer, rest) = (link.peer, sent)
        let sender = try Worker {
            try peer.send(Array(data[rest...]))
            peer.close()
        }
        link.log.on(.readyRead) { read += (try? link.socket.read(maxSize: 3000)) ?? [] }
        read += try link.socket.read(maxSize: 1)
        bench.run { link.socket.isGone }
        try sender.join()
        link.log.stopActing()
        read += try link.socket.readAll()
        #expect(read == data)
        #expect(largest == limit)
    }

    @Test(arguments: Transport.allCases, [1, 3, 4, 7, 65535, 65536, 65537])
    func readingMakesRoomForMore(over transport: Transport, limit: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport) { try $0.setReadBufferSize(limit) }
        let data = pattern(limit * 5 + 2)
        let peer = link.peer
        let sender = try Worker { try peer.send(data) }
        var read: [UInt8] = []
        while read.count < data.count {
            let expected = min(limit, data.count - read.count)
            guard bench.run(until: { link.socket.bytesAvailable == expected }) else { break }
            try bench.settle()
            #expect(link.socket.bytesAvailable == expected)
            read += try link.socket.readAll()
        }
        try sender.join()
        #expect(read == data)
    }

    @Test func roomIsToldByReadyReadOnceItIsFilled() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(link.log.events == ["readyRead(4)"])
        #expect(try text(link.socket.peekAll()) == "1234")
        try bench.settle()
        #expect(link.log.events.count == 1, "a look makes no room")
        #expect(try text(link.socket.read(maxSize: 1)) == "1")
        bench.run { link.log.events.count == 2 }
        #expect(try text(link.socket.peekAll()) == "2345")
        #expect(try link.socket.skip(2) == 2)
        bench.run { link.log.events.count == 3 }
        #expect(try text(link.socket.readAll()) == "4567")
        bench.run { link.log.events.count == 4 }
        #expect(try text(link.socket.readAll()) == "8")
        #expect(link.log.events == ["readyRead(4)", "readyRead(4)", "readyRead(4)", "readyRead(1)"])
    }

    @Test(arguments: [0, 6, 100]) func aHigherLimitGoesOnByItself(limit: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 4 }
        try link.socket.setReadBufferSize(limit)
        #expect(link.socket.readBufferSize == limit)
        let expected = limit == 6 ? 6 : 8
        bench.run { link.socket.bytesAvailable == expected }
    }

    @Test func aLowerLimitKeepsWhatIsThere() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 8 }
        try link.socket.setReadBufferSize(3)
        try link.peer.send("9abcdef")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 8)
        #expect(try text(link.socket.read(maxSize: 4)) == "1234")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 4, "there is no room yet")
        #expect(try text(link.socket.read(maxSize: 3)) == "567")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(try text(link.socket.readAll()) == "89a")
        bench.run { link.socket.bytesAvailable == 3 }
        #expect(try text(link.socket.readAll()) == "bcd")
        bench.run { link.socket.bytesAvailable == 2 }
    }

    @Test func aLimitSetInTheHandlerHoldsAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.log.once(.readyRead) { #expect(throws: Never.self) { try link.socket.setReadBufferSize(4) } }
        try link.peer.send("1234")
        bench.run { link.socket.bytesAvailable == 4 }
        try link.peer.send("5678")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 4)
        #expect(try link.socket.readAll().count == 4)
        bench.run { link.socket.bytesAvailable == 4 }
    }

    @Test func aLineLongerThanTheLimitComesInPieces() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("123456\n")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(!link.socket.canReadLine)
        #expect(try text(link.socket.readLine()) == "1234")
        bench.run { link.log.saw(.lineAvailable) }
        #expect(try text(link.socket.readLine()) == "56\n")
    }

    @Test func putBackBytesCountForTheLimit() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        for byte in "zyxwv".utf8 { try link.socket.ungetChar(byte) }
        try link.peer.send("12345")
        try bench.settle()
        #expect(link.socket.bytesAvailable == 5 && !link.log.saw(.readyRead))
        #expect(try text(link.socket.read(maxSize: 3)) == "vwx")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(try text(link.socket.readAll()) == "yz12")
        bench.run { link.socket.bytesAvailable == 3 }
    }

    // MARK: The end behind a full buffer

    @Test(arguments: Transport.allCases) func theEndIsSeenWhenTheLastBytesFit(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport) { try $0.setReadBufferSize(4) }
        try link.peer.send("1234567")
        link.peer.close()
        bench.run { link.socket.bytesAvailable == 4 }
        try bench.settle()
        #expect(link.socket.state == .connected && link.log.events == ["readyRead(4)"])
        #expect(try text(link.socket.readAll()) == "1234")
        bench.run { link.socket.isGone }
        #expect(link.log.events == [
            "readyRead(4)", "readyRead(3)", "errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)",
        ] + closingEvents)
        #expect(try text(link.socket.readAll()) == "567")
    }

    @Test(arguments: Transport.allCases) func theEndRightBehindAFullBufferIsSeenOnceThereIsRoom(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport) { try $0.setReadBufferSize(4) }
        try link.peer.send("1234")
        bench.run { link.socket.bytesAvailable == 4 }
        link.peer.close()
        try bench.settle()
        #expect(try text(link.socket.readAll()) == "1234")
        bench.run { link.socket.isGone }
        #expect(link.log.events.contains("errorOccurred(RemoteHostClosedError)"))
    }

    @Test func aResetBehindAFullBufferSparesTheBytes() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("1234567")
        bench.run { link.socket.bytesAvailable == 4 }
        link.peer.reset()
        try bench.settle()
        #expect(try text(link.socket.readAll()) == "1234")
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.systemError) == [ECONNRESET])
        #expect(try text(link.socket.readAll()) == "567")
    }

    @Test func closingBehindAFullBufferWorks() throws {
        for way in 0..<3 {
            let bench = try Bench()
            defer { bench.end() }
            let link = try bench.link { try $0.setReadBufferSize(4) }
            try link.peer.send("12345678")
            bench.run { link.socket.bytesAvailable == 4 }
            switch way {
            case 0: link.socket.disconnectFromHost()
            case 1: link.socket.close()
            default: link.socket.abort()
            }
            #expect(link.socket.isGone && link.log.events.suffix(3) == closingEvents)
            #expect(link.socket.bytesAvailable == (way == 0 ? 4 : 0))
        }
    }

    @Test func aReusedSocketReadsAgain() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link { try $0.setReadBufferSize(4) }
        try link.peer.send("12345678")
        bench.run { link.socket.bytesAvailable == 4 }
        link.socket.abort()
        let listener = try RawListener.tcp()
        try link.socket.connectToHost("127.0.0.1", port: listener.port)
        let peer = try listener.accept(running: bench) { link.socket.state == .connected }
        try peer.send("abcdef")
        bench.run { link.socket.bytesAvailable == 4 }
        #expect(try text(link.socket.readAll()) == "abcd")
        bench.run { link.socket.bytesAvailable == 2 }
    }
}
