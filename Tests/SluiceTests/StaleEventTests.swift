import Glibc
import Sluice
import Testing

/// Events that were fetched for a descriptor that is closed by now, and whose number names something else.
///
/// The numbers are fixed by moving descriptors to high numbers, where nobody else in the process gets any. One at a time.
@Suite(.serialized) struct StaleEventTests {
    private static let highNumbers: Int32 = 900

    /// The same, under a high number.
    private func raised(_ peer: RawPeer) throws -> Int32 {
        let number = try check(fcntl(peer.descriptor, F_DUPFD_CLOEXEC, Self.highNumbers), "dup")
        peer.close()
        return number
    }

    private func pair() throws -> (RawPeer, RawPeer) {
        let listener = try RawListener.tcp()
        let client = try RawPeer.connect(to: .ipv4(port: listener.port))
        return (client, try listener.accept())
    }

    /// A socket of the library's with a high descriptor.
    private func highLink(_ bench: Bench) throws -> Link {
        let (end, peer) = try pair()
        let socket = bench.tcpSocket()
        try socket.setDescriptor(raised(end))
        return Link(socket: socket, log: Recorder(socket), peer: peer)
    }

    /// Gives the socket a new connection whose descriptor has exactly this number, which must be free.
    private func adopt(_ socket: TCPSocket, _ end: RawPeer, as number: Int32) throws {
        #expect(fcntl(number, F_GETFD) < 0, "the number is free")
        try check(dup2(end.descriptor, number), "dup2")
        end.close()
        try socket.setDescriptor(number)
        #expect(socket.descriptor == number)
    }

    enum Way: CaseIterable { case abort, destroy, disconnect }

    private func end(_ socket: StreamSocket, by way: Way) {
        switch way {
        case .abort: socket.abort()
        case .destroy: socket.destroy()
        case .disconnect: socket.disconnectFromHost()
        }
    }

    @Test(arguments: Way.allCases) func anEventOfAClosedSocketDoesNotReachTheNextOneWithItsNumber(by way: Way) throws {
        let bench = try Bench()
        defer { bench.end() }
        let links = try [highLink(bench), highLink(bench)]
        let fresh = bench.tcpSocket()
        let freshLog = Recorder(fresh)
        let (freshEnd, freshPeer) = try pair()
        var first: Int?
        for (index, link) in links.enumerated() {
            // Both have something to tell, so both are fetched at once. Who comes first ends the other and opens the fresh one.
            link.log.once(.readyRead) {
                guard first == nil else { return }
                first = index
                let victim = links[1 - index].socket
                let number = victim.descriptor
                end(victim, by: way)
                #expect(throws: Never.self) { try adopt(fresh, freshEnd, as: number) }
            }
            try link.peer.send("stale")
            link.peer.shutdownWrite()
        }
        bench.run { first != nil }
        try bench.settle()
        let victim = try #require(first.map { links[1 - $0] })
        #expect(!victim.log.saw(.readyRead) && victim.socket.isGone)
        #expect(freshLog.events == ["stateChanged(Connected)"], "nothing has happened to it")
        #expect(fresh.state == .connected && fresh.bytesAvailable == 0)
        try freshPeer.send("fresh")
        bench.run { fresh.bytesAvailable == 5 }
        #expect(try text(fresh.readAll()) == "fresh")
        for link in links { link.log.stopActing() }
    }

    @Test func aSocketEndedInItsOwnEventDoesNotReadFromTheNextOne() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try highLink(bench)
        let fresh = bench.tcpSocket()
        let freshLog = Recorder(fresh)
        let (freshEnd, freshPeer) = try pair()
        try freshPeer.send("fresh")
        // More than one read brings, and the end behind it: the socket would go on reading.
        let data = pattern(200_000)
        try link.peer.send(data)
        link.peer.shutdownWrite()
        link.log.once(.readyRead) {
            let number = link.socket.descriptor
            link.socket.abort()
            #expect(throws: Never.self) { try adopt(fresh, freshEnd, as: number) }
        }
        bench.run { fresh.bytesAvailable == 5 }
        try bench.settle()
        #expect(try text(fresh.readAll()) == "fresh")
        #expect(freshLog.events == ["stateChanged(Connected)", "readyRead(5)"])
        #expect(link.log.count(of: .readyRead) == 1 && link.socket.bytesAvailable == 0 && !link.log.saw(.errorOccurred))
    }

    @Test func oneObjectMayGoOnWithTheSameNumber() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try highLink(bench)
        let tcp = try #require(link.socket as? TCPSocket)
        let (freshEnd, freshPeer) = try pair()
        try link.peer.send(pattern(200_000))
        link.peer.shutdownWrite()
        link.log.once(.readyRead) {
            let number = tcp.descriptor
            tcp.abort()
            #expect(throws: Never.self) { try adopt(tcp, freshEnd, as: number) }
        }
        bench.run { link.log.saw(.readyRead) }
        try bench.settle()
        #expect(tcp.state == .connected && tcp.bytesAvailable == 0 && !link.log.saw(.errorOccurred))
        try freshPeer.send("fresh")
        bench.run { tcp.bytesAvailable == 5 }
        #expect(try text(tcp.readAll()) == "fresh")
    }

    @Test func whatWasWrittenToAClosedSocketDoesNotReachTheNextOneWithItsNumber() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try highLink(bench)
        let (freshEnd, freshPeer) = try pair()
        let fresh = bench.tcpSocket()
        try link.socket.put("for the old one")
        let number = link.socket.descriptor
        link.socket.abort()
        try adopt(fresh, freshEnd, as: number)
        try bench.settle()
        try fresh.put("for the new one")
        bench.run { fresh.bytesToWrite == 0 }
        #expect(try freshPeer.receiveText(15) == "for the new one")
    }

    @Test func aWatchThatEndedDoesNotHearOfTheNextDescriptor() throws {
        let loop = try EventLoop()
        let (first, firstPeer) = try pair()
        let (second, secondPeer) = try pair()
        let numbers = try [raised(first), raised(second)]
        var told: [Int] = []
        var watches: [DescriptorWatch] = []
        var replacement: RawPeer?
        for index in 0..<2 {
            watches.append(try loop.watch(descriptor: numbers[index], readable: true, writable: false) { _, _ in
                told.append(index)
                guard told.count == 1 else { return }
                let other = 1 - index
                watches[other].cancel()
                close(numbers[other])
                // Something quiet takes its number.
                if let raw = try? rawSocket(AF_INET) {
                    dup2(raw, numbers[other])
                    close(raw)
                    replacement = RawPeer(owning: numbers[other])
                }
                watches[index].cancel()
            })
        }
        try firstPeer.send("x")
        try secondPeer.send("x")
        for _ in 0..<3 { _ = try loop.runOnce(timeout: 0) }
        #expect(told.count == 1)
        if let kept = told.first { close(numbers[kept]) }
        watches = []
        withExtendedLifetime(replacement) {}
    }
}
