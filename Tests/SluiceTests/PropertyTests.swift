import Glibc
import Testing

@testable import Sluice

/// Properties by name: what they say, what they take, what they refuse.
@Suite struct PropertyTests {
    let bench = try! Bench()

    /// The names that every kind of socket has.
    private static let common = [
        "objectId", "connectTimeout", "closeTimeout", "idleTimeout", "readBufferSize", "writeBufferSize", "sendBufferSize",
        "receiveBufferSize", "autoConnect", "reconnectDelay", "state", "error", "errorString", "bytesAvailable", "bytesToWrite",
        "canReadLine", "atEnd", "isOpen", "isReadable", "isWritable",
    ]
    private static let internet = [
        "hostname", "port", "protocol", "proxyTimeout", "keepAlive", "lowDelay", "typeOfService", "multicastLoopback", "multicastTtl", "pathMtu",
    ]

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "nothing was thrown"
        } catch {
            return (error as? SocketError)?.message ?? "\(error)"
        }
    }

    @Test func everyKindHasItsProperties() throws {
        defer { bench.end() }
        let udp = bench.keep(UDPSocket(loop: bench.loop))
        #expect(Set(bench.tcpSocket().properties().map(\.name)) == Set(Self.common + Self.internet + ["allowHalfOpen"]))
        #expect(Set(udp.properties().map(\.name)) == Set(Self.common + Self.internet))
        #expect(Set(bench.localSocket().properties().map(\.name)) == Set(Self.common + ["serverName", "allowHalfOpen"]))
        let described = Socket.propertyDescriptions(of: .tcpSocket)
        #expect(described.map(\.name) == bench.tcpSocket().properties().map(\.name))
        #expect(described.first { $0.name == "state" }?.isWritable == false)
        #expect(described.first { $0.name == "port" }?.type == "an integer from -1 to 65535")
    }

    @Test func defaultsAreTheDocumentedOnes() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let values: [(String, PropertyValue)] = [
            ("autoConnect", .boolean(true)), ("hostname", .text("")), ("port", .integer(-1)), ("protocol", .text("AnyIP")),
            ("keepAlive", .boolean(false)), ("lowDelay", .boolean(false)), ("multicastLoopback", .boolean(false)),
            ("multicastTtl", .integer(0)), ("pathMtu", .integer(0)), ("receiveBufferSize", .integer(0)), ("sendBufferSize", .integer(0)),
            ("typeOfService", .integer(0)), ("readBufferSize", .integer(0)), ("writeBufferSize", .integer(0)),
            ("connectTimeout", .integer(60_000)), ("proxyTimeout", .integer(30_000)), ("closeTimeout", .integer(60_000)), ("idleTimeout", .integer(0)),
            ("allowHalfOpen", .boolean(false)), ("objectId", .text("")), ("state", .text("Unconnected")), ("error", .text("NoError")),
            ("errorString", .text("")), ("bytesAvailable", .integer(0)), ("bytesToWrite", .integer(0)), ("canReadLine", .boolean(false)),
            ("atEnd", .boolean(true)), ("isOpen", .boolean(false)), ("isReadable", .boolean(false)), ("isWritable", .boolean(false)),
            ("reconnectDelay", .object([.init("first", .integer(250)), .init("ceiling", .integer(30_000)), .init("jitter", .integer(25))])),
        ]
        for (name, value) in values { #expect(try socket.property(name) == value, "\(name)") }
    }

    @Test func whatIsSetIsRead() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let values: [(String, PropertyValue)] = [
            ("autoConnect", .boolean(false)), ("hostname", .text("host.example")), ("port", .integer(4711)), ("protocol", .text("IPv6")),
            ("keepAlive", .boolean(true)), ("lowDelay", .boolean(true)), ("typeOfService", .integer(16)), ("readBufferSize", .integer(100)),
            ("writeBufferSize", .integer(200)), ("connectTimeout", .integer(-1)), ("closeTimeout", .integer(5)), ("idleTimeout", .integer(70)),
            ("allowHalfOpen", .boolean(true)), ("objectId", .text("näme")), ("sendBufferSize", .integer(5000)),
        ]
        try socket.setProperties(values)
        for (name, value) in values { #expect(try socket.property(name) == value, "\(name)") }
        #expect(socket.connectTimeout == -1)
        #expect(socket.idleTimeout == 70)
        #expect(socket.allowHalfOpen)
        #expect(try socket.option(.keepAlive) == 1)
        try socket.setProperty("protocol", .integer(0))
        #expect(try socket.property("protocol") == .text("IPv4"))
        try socket.setProperty("port", .real(80))
        #expect(try socket.property("port") == .integer(80))
        try socket.setProperty("reconnectDelay", .object([.init("jitter", .integer(0))]))
        #expect(try socket.property("reconnectDelay") == .object([.init("first", .integer(250)), .init("ceiling", .integer(30_000)), .init("jitter", .integer(0))]))
    }

    @Test(arguments: [
        ("port", PropertyValue.text("80")), ("port", .integer(65536)), ("port", .integer(-2)), ("port", .integer(0)), ("port", .real(1.5)),
        ("port", .null), ("hostname", .integer(1)), ("hostname", .text("a\0b")), ("hostname", .text(String(repeating: "x", count: 1025))),
        ("protocol", .text("IPv5")), ("protocol", .integer(-1)), ("keepAlive", .integer(1)), ("keepAlive", .text("true")),
        ("typeOfService", .integer(256)), ("multicastTtl", .integer(-1)), ("multicastTtl", .integer(3)), ("pathMtu", .integer(1279)), ("readBufferSize", .integer(-1)),
        ("connectTimeout", .integer(-2)), ("connectTimeout", .integer(1 << 40)), ("idleTimeout", .integer(-1)), ("reconnectDelay", .integer(5)),
        ("reconnectDelay", .object([.init("second", .integer(1))])), ("reconnectDelay", .object([.init("first", .text("1"))])),
        ("reconnectDelay", .object([.init("first", .integer(0))])), ("reconnectDelay", .object([.init("first", .integer(40_000))])),
        ("reconnectDelay", .object([.init("jitter", .integer(101))])), ("objectId", .integer(1)),
        ("objectId", .text(String(repeating: "x", count: 256))), ("objectId", .text("taken")), ("state", .text("Connected")),
        ("bytesAvailable", .integer(1)), ("nothing", .null), ("", .null), ("Port", .integer(1)),
    ])
    func whatDoesNotFitIsRefusedByNameAndChangesNothing(_ name: String, _ value: PropertyValue) throws {
        defer { bench.end() }
        try bench.tcpSocket().setProperty("objectId", .text("taken"))
        let socket = bench.tcpSocket()
        let before = socket.properties().map(\.value)
        // What comes before and after it in the same call is not set either.
        let text = message { try socket.setProperties([("writeBufferSize", .integer(77)), (name, value), ("readBufferSize", .integer(78))]) }
        #expect(text.contains("\"\(name)\""), "\(text)")
        #expect(socket.properties().map(\.value) == before)
        let found = code { try socket.setProperty(name, value) }
        #expect(found == .invalidArgument || found == .unsupportedSocketOperation)
    }

    @Test func whatTheSystemRefusesTakesTheOthersBack() throws {
        defer { bench.end() }
        let link = try bench.link { try $0.setProperties([("readBufferSize", .integer(9)), ("keepAlive", .boolean(true))]) }
        let before = link.socket.properties().map(\.value)
        let log = ChangeRecorder(link.socket)
        // Packets of IPv4 have no size that could be set.
        let text = message {
            try link.socket.setProperties([
                ("readBufferSize", .integer(5)), ("keepAlive", .boolean(false)), ("hostname", .text("elsewhere")), ("port", .integer(1)),
                ("objectId", .text("x")), ("pathMtu", .integer(1500)), ("writeBufferSize", .integer(3)),
            ])
        }
        #expect(text.contains("\"pathMtu\""))
        #expect(link.socket.properties().map(\.value) == before)
        #expect(try link.socket.option(.keepAlive) == 1)
        #expect(log.events == [])
        #expect(try bench.loop.toJson() == "{}")
        try bench.settle()
        #expect(link.socket.state == .connected)
    }

    @Test func messagesTellWhatIsTaken() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        #expect(message { try socket.setProperty("port", .text("80")) } == "The property \"port\" takes an integer from -1 to 65535, not \"80\"")
        #expect(message { try socket.setProperty("state", .text("Bound")) } == "The property \"state\" can only be read")
        #expect(message { try socket.setProperty("prot", .null) }.hasPrefix("A TcpSocket has no property \"prot\"; it has hostname, port, protocol, "))
        #expect(message { try socket.setProperties([("port", .integer(1)), ("port", .integer(2))]) } == "The property \"port\" is set twice")
        #expect(code { _ = try socket.property("prot") } == .invalidArgument)
        socket.destroy()
        #expect(code { try socket.setProperty("port", .integer(1)) } == .invalidHandle)
        #expect(try socket.property("port") == .integer(-1))
    }

    @Test func nativeOptionsShowWhatTheSystemSaysOnceThereIsADescriptor() throws {
        defer { bench.end() }
        let link = try bench.link { try $0.setProperties([("keepAlive", .boolean(true)), ("sendBufferSize", .integer(20_000))]) }
        #expect(try link.socket.property("keepAlive") == .boolean(true))
        #expect(try link.socket.property("sendBufferSize") == .integer(link.socket.option(.sendBufferSize)))
        #expect(try link.socket.property("multicastTtl") == .integer(1))
        #expect((try link.socket.property("pathMtu").integer ?? 0) > 0)
        try link.socket.setProperty("lowDelay", .boolean(true))
        #expect(try link.socket.option(.lowDelay) == 1)
        link.socket.abort()
        #expect(try link.socket.property("sendBufferSize") == .integer(20_000))
        #expect(try link.socket.property("multicastTtl") == .integer(0))
        try link.socket.setProperty("keepAlive", .null)
        #expect(try link.socket.property("keepAlive") == .boolean(false))
    }

    @Test func aSocketWithoutPropertiesHasNothingOfTheModel() throws {
        defer { bench.end() }
        let link = try bench.link()
        _ = link.socket.properties()
        link.socket.subscribedEvents = .standard
        link.log.clear()
        #expect(link.socket.existingDetails?.model?.existingAutoConnect == nil)
        #expect(link.socket.existingDetails?.model?.existingIdleTimeout == nil)
        #expect(link.socket.existingDetails?.model?.observer == nil)
    }

    @Test func serversHaveProperties() throws {
        defer { bench.end() }
        let server = bench.tcpServer()
        try server.setProperties([("maxPendingConnections", .integer(3)), ("listenBacklog", .integer(9))])
        #expect(server.maxPendingConnections == 3)
        #expect(message { try server.setProperties([("listenBacklog", .integer(4)), ("maxPendingConnections", .integer(0))]) }.contains("\"maxPendingConnections\""))
        #expect(server.listenBacklog == 9)
        try server.setProperty("proxyProtocol", .boolean(true))
        #expect(server.proxyProtocol)
        try server.listen("127.0.0.1")
        #expect(try server.property("port") == .integer(server.port))
        #expect(try server.property("isListening") == .boolean(true))
        #expect(code { try server.setProperty("port", .integer(1)) } == .invalidArgument)
    }
}
