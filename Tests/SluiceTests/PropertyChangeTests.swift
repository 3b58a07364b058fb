import Testing

@testable import Sluice

/// Writes down changes of properties among the other events.
final class ChangeRecorder: EventReceiver {
    private(set) var events: [String] = []
    private var actions: [(condition: (String, PropertyValue) -> Bool, action: () -> Void)] = []
    /// Whether each value was the one that the property had when it was told.
    private(set) var isTruthful = true

    init(_ source: EventSource, events mask: EventMask = .all) {
        source.receiver = self
        source.subscribedEvents = mask
    }

    func receive(_ event: Event, from source: EventSource) {
        guard case .propertyChanged(let name, let value) = event else {
            events.append(Recorder.describe(event))
            return
        }
        events.append("\(name)=\(value.text ?? (try? value.json()) ?? "?")")
        if (try? (source as? Socket)?.property(name)) != value { isTruthful = false }
        guard let index = actions.firstIndex(where: { $0.condition(name, value) }) else { return }
        actions.remove(at: index).action()
    }

    /// When the property is told to have this value for the first time.
    func once(_ name: String, _ value: PropertyValue, _ action: @escaping () -> Void) {
        actions.append(({ $0 == name && $1 == value }, action))
    }

    func values(of name: String) -> [String] {
        events.filter { $0.hasPrefix(name + "=") }.map { String($0.dropFirst(name.count + 1)) }
    }

    func clear() { events = [] }
    func stopActing() { actions = [] }
}

/// The event `propertyChanged`.
@Suite struct PropertyChangeTests {
    let bench = try! Bench()

    private func link() throws -> (socket: StreamSocket, log: ChangeRecorder, peer: RawPeer) {
        let link = try bench.link()
        return (link.socket, ChangeRecorder(link.socket), link.peer)
    }

    @Test func settersTellBeforeTheyReturn() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket)
        try socket.setProperty("connectTimeout", .integer(5))
        try socket.setProperty("connectTimeout", .integer(5))
        socket.allowHalfOpen = true
        try socket.setReadBufferSize(3)
        try socket.setOption(.keepAlive, 1)
        try socket.setIdleTimeout(9)
        try socket.setObjectId("me")
        #expect(log.events == ["connectTimeout=5", "allowHalfOpen=true", "readBufferSize=3", "keepAlive=true", "idleTimeout=9", "objectId=me"])
        log.clear()
        // All are set when the first is told, and none when one is refused.
        log.once("closeTimeout", .integer(1)) { #expect(socket.writeBufferSize == 2) }
        try socket.setProperties([("closeTimeout", .integer(1)), ("writeBufferSize", .integer(2))])
        try? socket.setProperties([("closeTimeout", .integer(3)), ("port", .integer(0))])
        #expect(log.events == ["closeTimeout=1", "writeBufferSize=2"])
    }

    @Test func onlySubscribersAreTold() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket, events: .standard)
        try socket.setReadBufferSize(3)
        #expect(log.events == [])
        socket.subscribedEvents = EventMask(.propertyChanged)
        // What was before is no news.
        try socket.setReadBufferSize(4)
        socket.subscribedEvents = .none
        try socket.setReadBufferSize(5)
        #expect(log.events == ["readBufferSize=4"])
    }

    @Test func aConnectionIsToldBeforeItsEvents() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket)
        try socket.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket.state == .connected }
        let peer = try listener.accept()
        let order = ["state=HostLookup", "stateChanged(HostLookup)", "state=Connecting", "stateChanged(Connecting)", "hostFound", "state=Connected", "stateChanged(Connected)", "connected"]
        #expect(log.events.filter(order.contains) == order)
        #expect(log.values(of: "isOpen") == ["true"])
        #expect(log.values(of: "multicastTtl") == ["1"])
        log.clear()
        try peer.send("ab\ncd")
        bench.run { socket.bytesAvailable == 5 }
        #expect(log.events == ["bytesAvailable=5", "canReadLine=true", "atEnd=false", "readyRead(5)", "lineAvailable"])
        log.clear()
        #expect(try socket.readLine() == Array("ab\n".utf8))
        #expect(log.events == ["bytesAvailable=2", "canReadLine=false"])
        log.clear()
        _ = try socket.skip(1)
        try socket.ungetChar(0x78)
        _ = try socket.readAll()
        #expect(log.events == ["bytesAvailable=1", "bytesAvailable=2", "bytesAvailable=0", "atEnd=true"])
        log.clear()
        try socket.put("hello")
        #expect(log.events == ["bytesToWrite=5"])
        bench.run { socket.bytesToWrite == 0 }
        #expect(log.events == ["bytesToWrite=5", "bytesToWrite=0", "bytesWritten(5)"])
        log.clear()
        peer.close()
        bench.run { socket.isGone }
        let end = ["error=RemoteHostClosedError", "errorOccurred(RemoteHostClosedError)", "state=Closing", "stateChanged(Closing)", "state=Unconnected", "stateChanged(Unconnected)", "readChannelFinished", "disconnected"]
        #expect(log.events.filter(end.contains) == end)
        #expect(log.values(of: "errorString") == [socket.errorString])
        #expect(log.values(of: "multicastTtl") == ["0"])
        log.clear()
        socket.close()
        #expect(log.events == ["aboutToClose", "isOpen=false", "isReadable=false", "isWritable=false"])
        #expect(log.isTruthful)
    }

    @Test func datagramsAreToldToo() throws {
        defer { bench.end() }
        let socket = bench.keep(UDPSocket(loop: bench.loop))
        let log = ChangeRecorder(socket)
        try socket.bind("127.0.0.1")
        #expect(log.events.first == "state=Bound")
        log.clear()
        let other = bench.keep(UDPSocket(loop: bench.loop))
        try other.writeDatagram([1, 2, 3], address: "127.0.0.1", port: socket.localPort)
        bench.run { !log.events.isEmpty }
        #expect(log.events.prefix(2) == ["bytesAvailable=3", "readyRead(3)"])
        _ = try socket.readDatagram()
        #expect(log.values(of: "bytesAvailable") == ["3", "0"])
        #expect(log.isTruthful)
    }

    @Test(arguments: ["connectTimeout", "state", "bytesAvailable", "bytesToWrite", "errorString", "isOpen"])
    func aHandlerMayDestroyItsSocket(_ property: String) throws {
        defer { bench.end() }
        let (socket, log, peer) = try link()
        for value in [PropertyValue.integer(1), .text("Closing"), .integer(2), .integer(3), .boolean(false)] {
            log.once(property, value) { socket.destroy() }
        }
        if property == "errorString" {
            socket.onEvent { event in if case .propertyChanged("errorString", _) = event { socket.destroy() } }
        }
        try? socket.setProperty("connectTimeout", .integer(1))
        if !socket.isDestroyed { _ = try? socket.write([1, 2, 3]) }
        try? peer.send("ab")
        bench.run { socket.isDestroyed || socket.bytesAvailable == 2 }
        if !socket.isDestroyed { peer.close() }
        bench.run { socket.isDestroyed || socket.isGone }
        if !socket.isDestroyed { socket.close() }
        #expect(socket.isDestroyed)
        #expect(socket.receiver == nil)
        let told = log.events.count
        try bench.settle()
        #expect(log.events.count == told)
    }

    @Test func aHandlerMayLetGoOfTheSocket() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        var socket: TCPSocket? = TCPSocket(loop: bench.loop)
        weak let gone = socket
        let log = ChangeRecorder(socket!)
        try socket?.connectToHost("127.0.0.1", port: listener.port)
        bench.run { socket?.state == .connected }
        let peer = try listener.accept()
        log.once("bytesAvailable", .integer(1)) { socket = nil }
        try peer.send("x")
        bench.run { socket == nil }
        try bench.settle()
        #expect(gone == nil)
    }

    @Test func aHandlerThatEndsTheConnectionIsNotToldOfItsBeginning() throws {
        defer { bench.end() }
        let listener = try RawListener.tcp()
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket)
        log.once("state", .text("Connected")) { socket.abort() }
        try socket.connectToHost("127.0.0.1", port: listener.port)
        bench.run { log.events.contains("disconnected") }
        try bench.settle()
        #expect(!log.events.contains("stateChanged(Connected)"))
        #expect(!log.events.contains("connected"))
        #expect(log.values(of: "state") == ["HostLookup", "Connecting", "Connected", "Unconnected"])
        log.clear()
        // The same where only the state has changed.
        log.once("state", .text("Connected")) {
            _ = try? socket.write([1])
            socket.disconnectFromHost()
        }
        try socket.connectToHost("127.0.0.1", port: listener.port)
        bench.run { log.events.contains("disconnected") }
        #expect(!log.events.contains("stateChanged(Connected)"))
        #expect(log.isTruthful)
    }

    @Test func handlersMaySetWhatIsTold() throws {
        defer { bench.end() }
        let socket = bench.tcpSocket()
        let log = ChangeRecorder(socket)
        log.once("readBufferSize", .integer(1)) { try? socket.setReadBufferSize(2) }
        log.once("readBufferSize", .integer(2)) { try? socket.setProperties([("readBufferSize", .integer(3)), ("writeBufferSize", .integer(4))]) }
        log.once("writeBufferSize", .integer(4)) { socket.subscribedEvents = .standard }
        try socket.setReadBufferSize(1)
        try socket.setReadBufferSize(9)
        #expect(log.events == ["readBufferSize=1", "readBufferSize=2", "readBufferSize=3", "writeBufferSize=4"])
    }

    @Test func largeTransfersAddUp() throws {
        defer { bench.end() }
        let (socket, log, peer) = try link()
        let bytes = pattern(3 << 20)
        let collector = try bench.collect(peer)
        try socket.put(bytes)
        bench.run { collector.bytes.count == bytes.count && socket.bytesToWrite == 0 }
        #expect(collector.bytes == bytes)
        #expect(log.values(of: "bytesToWrite").last == "0")
        #expect(log.isTruthful)
    }
}
