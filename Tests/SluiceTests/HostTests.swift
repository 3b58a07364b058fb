import Sluice
import Testing

/// Names looked up as objects of their own, and the interfaces of this machine.
@Suite struct HostTests {
    @Test func aNameIsLookedUp() throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery("localhost", protocol: .ipv4, loop: bench.loop))
        let log = Recorder(query)
        #expect(!query.isFinished && query.addresses.isEmpty && query.kind == .lookup)
        bench.run { log.saw(.finished) }
        #expect(query.isFinished && query.error == nil && query.addresses == [.localHost])
        try bench.settle()
        #expect(log.events == ["finished"])
    }

    @Test(arguments: ["127.0.0.1", "::1"]) func anAddressIsItsOwnAnswer(address: String) throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery(address, loop: bench.loop))
        let log = Recorder(query)
        #expect(query.isFinished && query.addresses.map(\.description) == [address])
        #expect(log.events == [])
        bench.run { log.saw(.finished) }
    }

    @Test(arguments: [("", SocketError.Code.emptyHostName), ("1.2.3", .hostNotFound), ("a..b", .hostNotFound), ("no\0name", .hostNotFound),
                      ("sluice.invalid", .hostNotFound), (String(repeating: "a", count: 300), .hostNotFound)])
    func whatCannotBeFoundSaysWhy(name: String, code: SocketError.Code) throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery(name, loop: bench.loop))
        let log = Recorder(query)
        bench.run { log.saw(.finished) }
        #expect(query.error?.code == code && query.addresses.isEmpty && query.error?.message.isEmpty == false)
    }

    @Test func theFamilyCounts() throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery("127.0.0.1", protocol: .ipv6, loop: bench.loop))
        #expect(query.error?.code == .hostNotFound)
        #expect(code { _ = try HostQuery("x", protocol: .unknown, loop: bench.loop) } == .invalidArgument)
        #expect(code { _ = try HostQuery("x", timeout: -2, loop: bench.loop) } == .invalidArgument)
    }

    @Test func itCanBeWaitedForWithoutTheLoop() throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery("localhost", loop: bench.loop))
        let log = Recorder(query)
        #expect(query.wait(timeout: Bench.patience) && query.addresses.contains(.localHost))
        #expect(log.events == ["finished"])
        #expect(query.wait(timeout: 0))
    }

    @Test func itsTimeIsLimited() throws {
        let bench = try Bench()
        defer { bench.end() }
        let query = bench.keep(try HostQuery("localhost", timeout: 0, loop: bench.loop))
        #expect(query.wait(timeout: -1))
        // Whichever came first.
        #expect(query.error.map { $0.code == .socketTimeout } ?? !query.addresses.isEmpty)
    }

    @Test func aDestroyedOneIsSilent() throws {
        let bench = try Bench()
        defer { bench.end() }
        let queries = try (0..<20).map { _ in bench.keep(try HostQuery("localhost", loop: bench.loop)) }
        let logs = queries.map { Recorder($0) }
        for query in queries.dropLast() { query.destroy() }
        bench.run { logs.last?.saw(.finished) == true }
        try bench.settle()
        #expect(logs.dropLast().allSatisfy { $0.events == [] })
    }

    @Test func theInterfacesAreListed() throws {
        let interfaces = try NetworkInterface.all()
        let loopback = try #require(interfaces.first { $0.flags.contains(.isLoopBack) })
        #expect(loopback.addresses.contains(.localHost) && loopback.index > 0 && loopback.flags.contains(.isUp))
        #expect(loopback.flags.names.contains("IsLoopBack"))
        #expect(Set(interfaces.map(\.name)).count == interfaces.count)
    }
}
