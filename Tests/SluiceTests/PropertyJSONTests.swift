import Testing

@testable import Sluice

/// Properties as JSON, of one object and of the graph of named ones.
@Suite struct PropertyJSONTests {
    let bench = try! Bench()

    private func failure(_ body: () throws -> Void) -> SocketError {
        do {
            try body()
            return SocketError(.noError, "nothing was thrown")
        } catch {
            return error as? SocketError ?? SocketError(.unknown, "\(error)")
        }
    }

    @Test func valuesSurviveAsText() throws {
        let value = PropertyValue.object([
            .init("null", .null), .init("yes", .boolean(true)), .init("no", .boolean(false)), .init("least", .integer(.min)),
            .init("most", .integer(.max)), .init("half", .real(0.5)), .init("empty", .text("")), .init("text", .text("ä\"\\\n\0€🦆")),
            .init("list", .list([.integer(1), .list([]), .object([])])), .init("", .object([.init("a", .null)])),
        ])
        #expect(try PropertyValue(json: value.json()) == value)
        #expect(try PropertyValue.object([.init("a", .integer(1)), .init("b", .text("x"))]).json() == "{\"a\":1,\"b\":\"x\"}")
        #expect(try PropertyValue(json: " true ") == .boolean(true))
    }

    @Test(arguments: [
        ("", "line 1"), ("{", "line 1"), ("{\"port\":1,}", "line 1, column 11"), ("{\n\"port\": 1\n\"x\": 2}", "line 3, column 3"),
        ("{\"port\":1,\"port\":2}", "duplicate"), ("{\"port\":1} x", "line 1, column 12"), ("{\"port\":99999999999999999999}", "line 1"),
        ("{'port':1}", "line 1"), ("{\"a\\u0000\":1}", "line 1"), ("[\u{1}]", "line 1"),
    ])
    func wrongTextsAreRefusedWithTheirPlace(_ text: String, _ place: String) throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let error = failure { try socket.fromJson(text) }
        #expect(error.code == .invalidArgument)
        #expect(error.message.contains(place), "\(error.message)")
        #expect(try socket.property("port") == .integer(-1))
        #expect(failure { try bench.loop.fromJson(text) }.code == .invalidArgument)
    }

    @Test func depthAndSizeAreLimited() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let deep = "{\"hostname\":" + String(repeating: "[", count: 100_000) + String(repeating: "]", count: 100_000) + "}"
        #expect(failure { try socket.fromJson(deep) }.message.contains("deeper than 16"))
        #expect(failure { try socket.fromJson(String(repeating: "[", count: 900_000)) }.message.contains("deeper than 16"))
        #expect(failure { try socket.fromJson(String(repeating: " ", count: 1 << 20) + "{}") }.message.contains("the limit is"))
        // Brackets within strings nest nothing.
        try socket.fromJson("{\"hostname\":\"\(String(repeating: "[{\\\"", count: 50))\",\"autoConnect\":false}")
        var value = PropertyValue.null
        for _ in 0..<20 { value = .list([value]) }
        #expect(failure { _ = try value.json() }.code == .limitReached)
        #expect(failure { try socket.fromJson("[]") }.message.contains("object"))
        #expect(failure { try socket.fromJson("3") }.code == .invalidArgument)
    }

    @Test func anObjectGoesIntoTextAndBack() throws {
        defer { bench.end() }
        let one = bench.tcpSocket()
        try one.setProperties([
            ("autoConnect", .boolean(false)), ("hostname", .text("host")), ("port", .integer(5)), ("protocol", .text("IPv4")), ("keepAlive", .boolean(true)),
            ("readBufferSize", .integer(9)), ("reconnectDelay", .object([.init("first", .integer(3))])), ("sendBufferSize", .integer(7000)),
        ])
        let text = try one.toJson()
        let members = try #require(try PropertyValue(json: text).members)
        #expect(members.map(\.name) == one.properties().map(\.name))
        #expect(members.map(\.value) == one.properties().map(\.value))
        let other = bench.tcpSocket()
        try other.fromJson(text)
        #expect(try other.toJson() == text)
        try one.fromJson(text)
        #expect(try one.toJson() == text)
    }

    @Test func whatTheSystemSaysOfAConnectionIsNotTakenForWhatWasSet() throws {
        defer { bench.end() }
        let link = try bench.link { try $0.setProperty("sendBufferSize", .integer(20_000)) }
        let text = try link.socket.toJson()
        let fresh = bench.tcpSocket()
        let untouched = fresh.properties().map(\.value)
        try fresh.fromJson(text)
        #expect(try fresh.property("sendBufferSize") == .integer(20_000))
        #expect(fresh.existingDetails?.options.map(\.option) == [.sendBufferSize])
        try fresh.setProperty("sendBufferSize", .integer(0))
        #expect(fresh.properties().map(\.value) == untouched)
        // A datagram socket's own text leaves the system's multicast options alone, and an explicit one does not.
        let udp = bench.keep(UDPSocket(loop: bench.loop))
        try udp.fromJson(udp.toJson())
        try udp.fromJson("{\"multicastTtl\":3}")
        try udp.bind("127.0.0.1")
        #expect(try udp.option(.multicastLoopback) == 1)
        #expect(try udp.option(.multicastTtl) == 3)
        udp.abort()
        try udp.fromJson("{\"multicastLoopback\":false}")
        try udp.bind("127.0.0.1")
        #expect(try udp.option(.multicastLoopback) == 0)
    }

    @Test func completedComesInTheNextTurn() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket)
        try socket.fromJson("{\"readBufferSize\":1}")
        #expect(log.events == ["readBufferSize=1"])
        try bench.settle()
        #expect(log.events == ["readBufferSize=1", "completed"])
        try socket.completeProperties([])
        bench.run { log.events.count == 3 }
        #expect(failure { try socket.fromJson("{\"readBufferSize\":-1}") }.code == .invalidArgument)
        try bench.settle()
        #expect(log.events == ["readBufferSize=1", "completed", "completed"])
    }

    @Test func completedReachesNobodyAfterDestruction() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = Recorder(socket)
        try socket.fromJson("{}")
        socket.destroy()
        try bench.settle()
        #expect(log.events == [])
    }

    // MARK: The graph

    @Test func objectIdsAreUniqueInTheirLoopAndScope() throws {
        defer { bench.end() }
        let one = bench.tcpSocket()
        let two = bench.localSocket()
        try one.setObjectId("a")
        #expect(failure { try two.setObjectId("a") }.message.contains("\"a\""))
        #expect(two.objectId == "")
        try one.setObjectId("b")
        try two.setObjectId("a")
        try one.setObjectId("b")
        two.destroy()
        try one.setObjectId("a")
        try one.setObjectId("")
        let three = bench.tcpSocket()
        three.objectScope = 7
        try three.setObjectId("a")
        try one.setObjectId("a")
        #expect(try bench.loop.toJson(scope: 7).hasPrefix("{\"a\":{"))
        three.objectScope = 8
        #expect(three.objectScope == 7)
        let other = try EventLoop()
        let elsewhere = TCPSocket(loop: other)
        try elsewhere.setObjectId("a")
        elsewhere.destroy()
        other.destroy()
    }

    @Test func aSocketThatIsGoneLeavesItsName() throws {
        defer { bench.end() }
        var socket: TCPSocket? = TCPSocket(loop: bench.loop)
        try socket?.setObjectId("a")
        socket = nil
        #expect(try bench.loop.toJson() == "{}")
        try bench.tcpSocket().setObjectId("a")
    }

    @Test func theGraphGoesIntoTextAndBack() throws {
        defer { bench.end() }
        let one = bench.tcpSocket()
        let two = bench.keep(UDPSocket(loop: bench.loop))
        let three = bench.localSocket()
        _ = bench.tcpSocket()
        try one.setProperties([("objectId", .text("one")), ("readBufferSize", .integer(1))])
        try two.setProperties([("objectId", .text("two")), ("readBufferSize", .integer(2))])
        try three.setProperties([("objectId", .text("three")), ("readBufferSize", .integer(3))])
        let text = try bench.loop.toJson()
        let graph = try #require(try PropertyValue(json: text).members)
        #expect(graph.map(\.name) == ["one", "three", "two"])
        for socket in [one, two, three] { try socket.setReadBufferSize(0) }
        try bench.loop.fromJson(text)
        #expect([one, two, three].map(\.readBufferSize) == [1, 2, 3])
        #expect(try bench.loop.toJson() == text)
    }

    @Test func theGraphIsSetAsAWholeOrNotAtAll() throws {
        defer { bench.end() }
        let one = bench.tcpSocket()
        let two = bench.tcpSocket()
        try one.setObjectId("one")
        try two.setObjectId("two")
        let texts = [
            "{\"one\":{\"readBufferSize\":5},\"nobody\":{}}": "\"nobody\"",
            "{\"one\":{\"readBufferSize\":5},\"two\":{\"port\":\"x\"}}": "\"port\"",
            "{\"one\":{\"readBufferSize\":5},\"two\":{\"objectId\":\"one\"}}": "\"objectId\"",
            "{\"one\":{\"readBufferSize\":5},\"two\":3}": "\"two\"",
            "{\"one\":{\"readBufferSize\":5},\"one\":{}}": "line 1",
            "[]": "object",
        ]
        for (text, part) in texts {
            let error = failure { try bench.loop.fromJson(text) }
            #expect(error.code == .invalidArgument)
            #expect(error.message.contains(part), "\(error.message)")
            #expect(one.readBufferSize == 0)
        }
        let log = Recorder(two)
        try bench.loop.fromJson("{\"one\":{\"readBufferSize\":5},\"two\":{\"readBufferSize\":6,\"state\":\"Bound\"}}")
        bench.run { log.saw(.completed) }
        #expect([one.readBufferSize, two.readBufferSize] == [5, 6])
    }
}
