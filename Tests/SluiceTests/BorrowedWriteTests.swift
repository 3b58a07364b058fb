import Glibc
import Sluice
import Testing

/// Writes without a copy: the memory is the caller's until it is given back, once and always.
@Suite struct BorrowedWriteTests {
    /// Memory that knows how often it was given back.
    private final class Loan {
        let bytes: UnsafeMutableRawBufferPointer
        private(set) var releases = 0
        var onRelease: () -> Void = {}

        init(_ content: [UInt8]) {
            bytes = .allocate(byteCount: content.count, alignment: 1)
            bytes.copyBytes(from: content)
        }

        deinit { bytes.deallocate() }

        func lend(to socket: StreamSocket) throws {
            let count = try socket.write(borrowed: UnsafeRawBufferPointer(bytes)) {
                self.releases += 1
                // Whoever still reads it now gets something else.
                self.bytes.initializeMemory(as: UInt8.self, repeating: 0xEE)
                self.onRelease()
            }
            #expect(count == bytes.count)
        }
    }

    @Test(arguments: Transport.allCases) func theMemoryComesBackOnceItIsSent(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let loan = Loan(Array("hello".utf8))
        try loan.lend(to: link.socket)
        #expect(loan.releases == 0 && link.socket.bytesToWrite == 5)
        bench.run { link.socket.bytesToWrite == 0 }
        #expect(loan.releases == 1)
        #expect(try link.peer.receiveText(5) == "hello")
        #expect(link.log.bytesWritten == 5)
        try bench.settle()
        #expect(loan.releases == 1)
    }

    @Test(arguments: Transport.allCases) func theMemoryIsKeptWhileThePeerDoesNotRead(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(8 << 20)
        let loan = Loan(data)
        try loan.lend(to: link.socket)
        try bench.settle()
        #expect(loan.releases == 0 && link.socket.bytesToWrite > 0)
        let collector = try bench.collect(link.peer)
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data)
        #expect(loan.releases == 1)
    }

    @Test(arguments: Transport.allCases) func borrowedAndCopiedBytesKeepTheirOrder(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(4 << 20)
        var loans: [Loan] = []
        var position = 0
        var size = 1
        while position < data.count {
            let piece = Array(data[position..<min(position + size, data.count)])
            if loans.count % 3 == size % 3 {
                try link.socket.put(piece)
            } else {
                let loan = Loan(piece)
                loans.append(loan)
                try loan.lend(to: link.socket)
            }
            position += piece.count
            size = (size * 7 + 3) % 20_011
            if size % 5 == 0 { _ = link.socket.flush() }
        }
        let collector = try bench.collect(link.peer)
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data)
        #expect(loans.allSatisfy { $0.releases == 1 })
    }

    @Test func emptyMemoryComesBackToo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let loan = Loan([])
        try loan.lend(to: link.socket)
        try bench.settle()
        #expect(loan.releases == 1 && link.log.events.isEmpty)
        #expect(try link.socket.write(borrowed: UnsafeRawBufferPointer(start: nil, count: 0), release: nil) == 0)
    }

    @Test func memoryWithoutAReleaseIsSentAsWell() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let loan = Loan(Array("hello".utf8))
        #expect(try link.socket.write(borrowed: UnsafeRawBufferPointer(loan.bytes), release: nil) == 5)
        #expect(link.socket.flush())
        #expect(try link.peer.receiveText(5) == "hello")
    }

    // MARK: What is refused is not taken

    @Test func refusedMemoryStaysTheCallers() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let loan = Loan(pattern(100))
        try link.socket.setWriteBufferSize(99)
        #expect(code { try loan.lend(to: link.socket) } == .limitReached)
        try link.socket.setWriteBufferSize(100)
        try loan.lend(to: link.socket)
        let second = Loan(pattern(1))
        #expect(code { try second.lend(to: link.socket) } == .limitReached)
        link.socket.abort()
        #expect(loan.releases == 1)
        #expect(code { try second.lend(to: link.socket) } == .operation)
        #expect(code { try second.lend(to: bench.tcpSocket()) } == .operation)
        #expect(second.releases == 0)
    }

    // MARK: What is dropped comes back

    enum Loss: CaseIterable { case abort, destroy, drop, peerReset, closeTimeout, newDescriptor }

    @Test(arguments: Transport.allCases, Loss.allCases) func droppedMemoryComesBackOnce(over transport: Transport, by loss: Loss) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let loans = [Loan(pattern(8 << 20)), Loan(pattern(10)), Loan(pattern(100_000))]
        for loan in loans { try loan.lend(to: link.socket) }
        try bench.settle()
        #expect(loans.allSatisfy { $0.releases == 0 })
        switch loss {
        case .abort: link.socket.abort()
        case .destroy: link.socket.destroy()
        case .drop:
            // The connection is taken over by an object that simply goes.
            link.socket.destroy()
            let listener = try RawListener.tcp()
            var short: TCPSocket? = TCPSocket(loop: bench.loop)
            try short?.connectToHost("127.0.0.1", port: listener.port)
            let last = Loan(pattern(8 << 20))
            try short.map { try last.lend(to: $0) }
            bench.run { short?.state == .connected }
            try bench.settle()
            #expect(last.releases == 0)
            short = nil
            #expect(last.releases == 1)
        case .peerReset:
            if transport == .tcp { link.peer.reset() } else { link.peer.close() }
            bench.run { link.socket.isGone }
        case .closeTimeout:
            try link.socket.setCloseTimeout(1)
            link.socket.disconnectFromHost()
            bench.run { link.socket.isGone }
        case .newDescriptor:
            var ends: [Int32] = [0, 0]
            let listener = try RawListener.tcp()
            if transport == .tcp {
                ends[0] = try RawPeer.connect(to: .ipv4(port: listener.port)).release()
            } else {
                try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends), "socketpair")
            }
            try link.socket.setDescriptor(ends[0])
            if transport == .local { Glibc.close(ends[1]) }
        }
        #expect(loans.allSatisfy { $0.releases == 1 })
        #expect(link.socket.bytesToWrite == 0)
        try bench.settle()
        #expect(loans.allSatisfy { $0.releases == 1 })
    }

    @Test func memoryOfAFailedConnectComesBack() throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawListener.deaf()
        let socket = bench.tcpSocket()
        for host in ["127.0.0.1", "does-not-exist.invalid", ""] {
            let loan = Loan(pattern(1000))
            try socket.connectToHost(host, port: deaf.port)
            try loan.lend(to: socket)
            bench.run { socket.isGone }
            #expect(loan.releases == 1, "\(host)")
        }
    }

    // MARK: What a release may do

    @Test(arguments: Transport.allCases) func aReleaseMayWriteAgain(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let data = pattern(400_000)
        var position = 0
        var open = 0
        func next() {
            guard position < data.count else { return }
            let loan = Loan(Array(data[position..<min(position + 7001, data.count)]))
            position += loan.bytes.count
            open += 1
            loan.onRelease = { [unowned loan] in
                #expect(loan.releases == 1)
                open -= 1
                next()
            }
            #expect(throws: Never.self) { try loan.lend(to: link.socket) }
        }
        let collector = try bench.collect(link.peer)
        next()
        bench.run { collector.bytes.count == data.count }
        #expect(collector.bytes == data && open == 0)
        #expect(link.log.bytesWritten == data.count)
    }

    @Test(arguments: Transport.allCases, ["abort", "destroy", "disconnect", "copy", "flush"])
    func aReleaseMayDoAnything(over transport: Transport, what: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link(transport)
        let loan = Loan(pattern(1000))
        let behind = Loan(pattern(8 << 20))
        loan.onRelease = {
            switch what {
            case "abort": link.socket.abort()
            case "destroy": link.socket.destroy()
            case "disconnect": link.socket.disconnectFromHost()
            case "copy": _ = try? link.socket.write("copied")
            default: _ = link.socket.flush()
            }
        }
        try loan.lend(to: link.socket)
        try behind.lend(to: link.socket)
        let collector = try bench.collect(link.peer)
        switch what {
        case "abort", "destroy":
            bench.run { link.socket.isGone }
            #expect(behind.releases == 1)
        case "disconnect":
            bench.run { collector.ended }
            #expect(collector.bytes.count == 1000 + 8 << 20 && link.log.changes.suffix(3) == closingEvents)
        default:
            let total = 1000 + (8 << 20) + (what == "copy" ? 6 : 0)
            bench.run { collector.bytes.count == total }
        }
        try bench.settle()
        #expect(loan.releases == 1)
    }

    @Test func aReleaseInAbortMayNotWriteAnyMore() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let loan = Loan(pattern(8 << 20))
        var outcome: SocketError.Code?
        loan.onRelease = { outcome = code { try link.socket.put("more") } }
        try loan.lend(to: link.socket)
        try bench.settle()
        link.socket.abort()
        try bench.settle()
        #expect(loan.releases == 1)
        #expect(outcome == .operation, "a write that would be lost must not be accepted")
        #expect(link.socket.bytesToWrite == 0)
    }
}
