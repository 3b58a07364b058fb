import Glibc
import Sluice
import Testing

/// Descriptors that travel beside the bytes of local sockets.
@Suite struct DescriptorPassingTests {
    /// Two connected sockets of the library's.
    private func pair(_ bench: Bench) throws -> (LocalSocket, LocalSocket) {
        var ends: [Int32] = [0, 0]
        try check(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends), "socketpair")
        let (one, two) = (bench.localSocket(), bench.localSocket())
        try one.setDescriptor(ends[0])
        try two.setDescriptor(ends[1])
        return (one, two)
    }

    /// A pipe whose reading end is given away, and into which this text was written.
    private func pipe(holding text: String) throws -> Int32 {
        var ends: [Int32] = [0, 0]
        try check(Glibc.pipe(&ends), "pipe")
        _ = write(ends[1], text, text.utf8.count)
        close(ends[1])
        return ends[0]
    }

    private func contents(of descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 100)
        let count = max(0, read(descriptor, &bytes, 100))
        close(descriptor)
        return text(Array(bytes[..<count]))
    }

    @Test func itTravelsWithTheNextByte() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, two) = try pair(bench)
        try one.put("before ")
        let descriptor = try pipe(holding: "in the pipe")
        try one.sendDescriptor(descriptor)
        close(descriptor)
        try one.put("after")
        bench.run { two.bytesAvailable == 12 }
        #expect(try text(two.readAll()) == "before after")
        let received = try two.receiveDescriptor()
        #expect(fcntl(received, F_GETFD) & FD_CLOEXEC != 0)
        #expect(contents(of: received) == "in the pipe")
        #expect(try two.receiveDescriptor() == -1)
    }

    @Test(arguments: WaitForm.allCases) func manyComeInTheirOrderBetweenManyBytes(form: WaitForm) throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, two) = try pair(bench)
        let bytes = pattern(600_000)
        var arrived: [UInt8] = []
        var came: [String] = []
        for index in 0..<15 {
            let descriptor = try pipe(holding: "number \(index)")
            try one.sendDescriptor(descriptor)
            close(descriptor)
            try one.put(Array(bytes[(index * 40_000)..<((index + 1) * 40_000)]))
        }
        while arrived.count < bytes.count {
            _ = one.flush()
            try #require(wait(form, bench, two, .readyRead, Bench.patience))
            arrived += try two.readAll()
            while case let received = try two.receiveDescriptor(), received >= 0 { came.append(contents(of: received)) }
        }
        #expect(arrived == bytes)
        #expect(came == (0..<15).map { "number \($0)" })
    }

    @Test func aRawSenderIsUnderstood() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, two) = try pair(bench)
        var both: [Int32] = [try pipe(holding: "first"), try pipe(holding: "second")]
        for descriptor in both { try one.sendDescriptor(descriptor) }
        try one.put("x")
        bench.run { two.bytesAvailable == 1 }
        #expect(contents(of: try two.receiveDescriptor()) == "first")
        #expect(contents(of: try two.receiveDescriptor()) == "second")
        both.forEach { _ = close($0) }
        both = []
    }

    @Test func tooManyAreClosedAndToldOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, two) = try pair(bench)
        let descriptor = try pipe(holding: "x")
        defer { close(descriptor) }
        for _ in 0..<40 {
            try one.sendDescriptor(descriptor)
            try one.put(".")
        }
        bench.run { two.bytesAvailable == 40 }
        for _ in 0..<16 { close(try two.receiveDescriptor()) }
        #expect(code { _ = try two.receiveDescriptor() } == .limitReached)
        #expect(try two.receiveDescriptor() == -1)
    }

    @Test func misuseIsRefused() throws {
        let bench = try Bench()
        defer { bench.end() }
        let lonely = bench.localSocket()
        #expect(code { try lonely.sendDescriptor(0) } == .operation)
        #expect(try lonely.receiveDescriptor() == -1)
        let (one, two) = try pair(bench)
        #expect(code { try one.sendDescriptor(-1) } == .invalidArgument)
        #expect(code { try one.sendDescriptor(1 << 20) } == .invalidArgument)
        let descriptor = try pipe(holding: "x")
        defer { close(descriptor) }
        for _ in 0..<253 { try one.sendDescriptor(descriptor) }
        #expect(code { try one.sendDescriptor(descriptor) } == .limitReached)
        one.abort()
        bench.run { two.isGone }
        #expect(try two.receiveDescriptor() == -1)
    }

    @Test func untakenOnesAreClosedWithTheSocket() throws {
        let bench = try Bench()
        defer { bench.end() }
        let (one, two) = try pair(bench)
        var ends: [Int32] = [0, 0]
        try check(Glibc.pipe(&ends), "pipe")
        try one.sendDescriptor(ends[1])
        close(ends[1])
        try one.put("x")
        bench.run { two.bytesAvailable == 1 }
        #expect(code { _ = try two.takeDescriptor() } == .operation)
        _ = try two.readAll()
        #expect(code { _ = try two.takeDescriptor() } == .operation, "a descriptor is still untaken")
        two.close()
        // Nobody holds the writing end any more.
        var byte: UInt8 = 0
        #expect(read(ends[0], &byte, 1) == 0)
        close(ends[0])
    }
}
