import Glibc
import Sluice
import Testing

/// The peer's end of a connection: FIN, RST, half close.
@Suite struct PeerCloseTests {
    @Test(arguments: Transport.allCases) func theEndIsToldInItsOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.errorOccurred) {
            #expect(link.socket.state == .connected && link.socket.isValid && link.socket.descriptor >= 0)
            #expect(link.socket.error == .remoteHostClosed)
        }
        link.peer.close()
        bench.run { link.log.saw(.disconnected) }
        #expect(link.log.events == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(link.log.errors.first?.systemError == 0)
        #expect(link.socket.isOpen && !link.socket.isValid && link.socket.error == .remoteHostClosed)
    }

    @Test(arguments: Transport.allCases, [5, 65536, 1 << 20]) func theLastDataComesBeforeTheEnd(over transport: Transport, size: Int) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(size)
        let peer = link.peer
        let sender = try Worker {
            try peer.send(data)
            peer.close()
        }
        bench.run { link.log.saw(.disconnected) }
        try sender.join()
        #expect(link.log.events.first?.hasPrefix("readyRead") == true)
        #expect(link.log.changes == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(link.socket.bytesAvailable == size, "the end takes nothing away")
        #expect(try link.socket.readAll() == data)
    }

    @Test func resetAndCloseAreToldApart() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (closed, reset) = (try bench.link(), try bench.link())
        closed.peer.close()
        reset.peer.reset()
        bench.run { closed.socket.isGone && reset.socket.isGone }
        let (first, second) = (try #require(closed.socket.lastError), try #require(reset.socket.lastError))
        #expect(first.code == .remoteHostClosed && second.code == .remoteHostClosed)
        #expect(first.systemError == 0 && second.systemError == ECONNRESET)
        #expect(first.message != second.message)
        #expect(reset.log.events == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"] + closingEvents)
        #expect(second.message.contains("127.0.0.1:"), "the message names the peer: \(second.message)")
        #expect(first.message.contains("127.0.0.1:"), "the message names the peer: \(first.message)")
    }

    // MARK: RST and the data around it

    @Test func dataRightBeforeAResetIsKept() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("last words")
        link.peer.reset()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.systemError) == [ECONNRESET])
        #expect(try text(link.socket.readAll()) == "last words")
    }

    @Test func unreadDataOutlivesAReset() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("unread")
        bench.run { link.socket.bytesAvailable == 6 }
        link.peer.reset()
        bench.run { link.socket.isGone }
        #expect(link.socket.isOpen && link.socket.bytesAvailable == 6)
        #expect(try text(link.socket.readAll()) == "unread")
    }

    @Test(arguments: [false, true]) func aFailingWriteDropsNothingThatWasReceived(flushing: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.peer.send("in the buffer, ")
        bench.run { link.socket.bytesAvailable == 15 }
        try link.peer.send("with the system")
        link.peer.reset()
        try link.socket.put("lost")
        if flushing { _ = link.socket.flush() }
        bench.run { link.socket.isGone }
        #expect(try text(link.socket.readAll()) == "in the buffer, with the system")
        #expect(link.log.errors.map(\.code) == [.remoteHostClosed])
        #expect(link.log.errors.first?.message.contains("4 bytes") == true, "what could not be sent is told")
        #expect(link.log.changes.suffix(3) == closingEvents && link.socket.bytesToWrite == 0)
        #expect(link.log.bytesWritten == 0)
    }

    @Test func aLargePendingWriteIsToldAsLost() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.put(pattern(8 << 20))
        try bench.settle()
        let left = link.socket.bytesToWrite
        link.peer.reset()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.count == 1)
        #expect(link.log.errors.first?.message.contains("\(left) bytes") == true)
    }

    @Test func aPeerThatClosesWithUnreadDataResets() throws {
        for transport in Transport.allCases {
            let bench = try Bench()
            defer { bench.end() }
            let link = try bench.link(transport)
            try link.socket.put("never read")
            bench.run { link.socket.bytesToWrite == 0 }
            link.peer.close()
            bench.run { link.socket.isGone }
            #expect(link.log.errors.map(\.systemError) == [ECONNRESET], "\(transport)")
            #expect(link.log.changes.suffix(3) == closingEvents)
        }
    }

    @Test(arguments: Transport.allCases) func writingToAClosedPeerEndsTheConnectionAndNotTheProcess(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.peer.close()
        // Nobody looked for the end yet.
        for _ in 0..<3 where link.socket.state == .connected {
            try link.socket.put("into the void")
            _ = link.socket.flush()
        }
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.remoteHostClosed])
        #expect(link.log.count(of: .disconnected) == 1)
    }

    // MARK: Half close

    @Test(arguments: Transport.allCases) func whatIsPendingIsSentAfterThePeersEnd(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(6 << 20)
        try link.peer.send("request")
        link.peer.shutdownWrite()
        try link.socket.put(data)
        bench.run { link.socket.state == .closing }
        #expect(link.log.changes == ["errorOccurred(RemoteHostClosedError)", "stateChanged(Closing)"])
        #expect(link.socket.bytesToWrite > 0)
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended && link.socket.isGone }
        #expect(collector.bytes == data && link.log.bytesWritten == data.count)
        #expect(link.log.changes.suffix(3) == closingEvents)
        #expect(try text(link.socket.readAll()) == "request")
    }

    @Test(arguments: Transport.allCases) func whatIsWrittenInTheEndsHandlerIsSent(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.log.once(.errorOccurred) { _ = try? link.socket.write("goodbye") }
        link.peer.shutdownWrite()
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended && link.socket.isGone }
        #expect(text(collector.bytes) == "goodbye" && link.log.bytesWritten == 7)
    }

    @Test func theEndsCloseHasItsTimeLimit() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        try link.socket.setCloseTimeout(20)
        try link.socket.put(pattern(8 << 20))
        link.peer.shutdownWrite()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.remoteHostClosed, .socketTimeout])
        #expect(link.log.changes.suffix(3) == closingEvents)
    }

    @Test(arguments: Transport.allCases) func halfOpenSocketsStayConnected(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.socket.allowHalfOpen = true
        try link.peer.send("request")
        link.peer.shutdownWrite()
        bench.run { link.log.saw(.readChannelFinished) }
        try bench.settle()
        #expect(link.log.changes == ["readChannelFinished"])
        #expect(link.socket.state == .connected && link.socket.error == .noError && link.socket.isValid)
        #expect(try text(link.socket.readAll()) == "request")
        try link.socket.put("answer ")
        bench.run { link.socket.bytesToWrite == 0 }
        try link.socket.put("and more")
        link.socket.disconnectFromHost()
        bench.run { link.socket.isGone }
        #expect(try text(link.peer.receiveToEnd()) == "answer and more")
        #expect(link.log.changes == ["readChannelFinished", "stateChanged(Closing)", "stateChanged(Unconnected)", "disconnected"])
    }

    @Test(arguments: Transport.allCases, [false, true]) func aHalfOpenConnectionEndsWhenBothHalvesAreClosed(over transport: Transport, oursFirst: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        link.socket.allowHalfOpen = true
        try link.socket.put("data")
        if oursFirst {
            try link.socket.shutdownWrite()
            #expect(try text(receiveAll(bench, link)) == "data")
            link.peer.shutdownWrite()
        } else {
            link.peer.shutdownWrite()
            bench.run { link.log.saw(.readChannelFinished) }
            try link.socket.shutdownWrite()
        }
        bench.run { link.socket.isGone }
        #expect(link.log.changes == ["readChannelFinished", "stateChanged(Closing)", "stateChanged(Unconnected)", "disconnected"])
        #expect(link.socket.error == .noError)
    }

    private func receiveAll(_ bench: Bench, _ link: Link) throws -> [UInt8] {
        let collector = try bench.collect(link.peer)
        bench.run { collector.ended }
        return collector.bytes
    }

    @Test func aResetOfAHalfOpenConnectionIsAnError() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.socket.allowHalfOpen = true
        link.peer.shutdownWrite()
        bench.run { link.log.saw(.readChannelFinished) }
        link.peer.reset()
        try link.socket.put("lost")
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.code) == [.remoteHostClosed])
        #expect(link.log.count(of: .readChannelFinished) == 1 && link.log.count(of: .disconnected) == 1)
    }

    @Test func aHalfOpenIdleConnectionNoticesAReset() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        link.socket.allowHalfOpen = true
        link.peer.shutdownWrite()
        bench.run { link.log.saw(.readChannelFinished) }
        link.peer.reset()
        bench.run { link.socket.isGone }
        #expect(link.log.errors.map(\.systemError) == [ECONNRESET])
        #expect(link.log.changes.suffix(2) == ["stateChanged(Unconnected)", "disconnected"])
    }

    @Test func anIdleHalfOpenConnectionDoesNotKeepTheLoopAwake() throws {
        for transport in Transport.allCases {
            let bench = try Bench()
            defer { bench.end() }
            let link = try bench.link(transport)
            link.socket.allowHalfOpen = true
            link.peer.shutdownWrite()
            bench.run { link.log.saw(.readChannelFinished) }
            try bench.settle()
            for _ in 0..<3 { #expect(try bench.loop.runOnce(timeout: 0) == false) }
        }
    }
}
