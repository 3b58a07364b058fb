import Glibc
import Sluice
import Testing

/// Waits in their two forms: blocking, and deferred in the running loop.
@Suite struct UDPWaitTests {
    enum Form: CaseIterable { case blocking, deferred }

    private func wait(_ form: Form, _ socket: UDPSocket, _ kind: Wait.Kind, _ timeout: Int, _ bench: Bench) -> Bool {
        guard form == .deferred else { return socket.wait(for: kind, timeout: timeout) }
        var result: Bool?
        _ = socket.beginWait(kind, timeout: timeout) { result = $0 }
        bench.run { result != nil }
        return result ?? false
    }

    @Test(arguments: Form.allCases)
    func readingIsWaitedFor(form: Form) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let peer = try RawDatagrams()
        #expect(!wait(form, socket, .readyRead, 1, bench))
        #expect(log.events == ["errorOccurred(SocketTimeoutError)"] && socket.error == .socketTimeout && socket.state == .bound)
        log.clear()
        try peer.send("1", to: socket.localPort)
        try peer.send("22", to: socket.localPort)
        #expect(wait(form, socket, .readyRead, Bench.patience, bench))
        #expect(log.events == ["readyRead(1)"] && socket.error == .noError)
        // What was told and not read counts, without being told again.
        #expect(wait(form, socket, .readyRead, 0, bench) && wait(form, socket, .readyRead, Bench.patience, bench))
        #expect(log.events == ["readyRead(1)"])
        #expect(try socket.nextText() == "1")
        #expect(wait(form, socket, .readyRead, Bench.patience, bench))
        #expect(log.events == ["readyRead(1)", "readyRead(2)"])
        #expect(try socket.nextText() == "22")
        #expect(!wait(form, socket, .readyRead, 1, bench))
        try bench.settle()
        #expect(log.count(of: .readyRead) == 2 && log.errors.map(\.code) == [.socketTimeout])
    }

    @Test(arguments: Form.allCases)
    func othersAreAnsweredAtOnce(form: Form) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        for _ in 0..<2 {
            #expect(!wait(form, socket, .connected, -1, bench) && !wait(form, socket, .bytesWritten, -1, bench))
            #expect(!wait(form, socket, .disconnected, -1, bench) && wait(form, socket, .sync, -1, bench))
            log.clear()
            if socket.state == .unconnected {
                #expect(!wait(form, socket, .readyRead, -1, bench))
                try socket.bind("127.0.0.1")
            }
        }
        #expect(socket.state == .bound && log.errors.isEmpty)
    }

    @Test(arguments: Form.allCases)
    func aConnectionByNameIsWaitedFor(form: Form) throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("localhost", port: peer.port, protocol: .ipv4)
        #expect(wait(form, socket, .connected, Bench.patience, bench) && socket.state == .connected)
        #expect(wait(form, socket, .connected, 0, bench))
        #expect(!wait(form, socket, .disconnected, 1, bench) && socket.error == .socketTimeout)
        socket.abort()
        try socket.connectToHost("does-not-exist.invalid", port: 9)
        #expect(!wait(form, socket, .connected, Bench.patience, bench) && socket.error == .hostNotFound)
        try socket.connectToHost("localhost", port: peer.port, protocol: .ipv4)
        // A wait for reading waits for the connection first.
        try peer.send("x", to: 9)
        #expect(!wait(form, socket, .readyRead, 200, bench))
    }

    @Test(arguments: Form.allCases)
    func aRefusalEndsAWait(form: Form) throws {
        let bench = try Bench()
        defer { bench.end() }
        let deaf = try RawDatagrams.deafPort()
        let socket = bench.udpSocket()
        let log = Recorder(socket)
        try socket.connectToHost("127.0.0.1", port: deaf.port)
        log.clear()
        #expect(try socket.write([1]) == 1)
        #expect(!wait(form, socket, .readyRead, Bench.patience, bench))
        #expect(log.events == ["bytesWritten(1)", "errorOccurred(ConnectionRefusedError)"] && socket.error == .connectionRefused)
        // And only that one.
        #expect(!wait(form, socket, .readyRead, 1, bench) && socket.error == .socketTimeout)
        #expect(socket.state == .connected)
    }

    @Test(arguments: [false, true])
    func aCloseEndsAWait(byDestroying: Bool) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.boundSocket()
        var result: Bool?
        _ = socket.beginWait(.readyRead, timeout: -1) { result = $0 }
        if byDestroying { socket.destroy() } else { socket.close() }
        try bench.settle()
        #expect(result == false)
    }

    @Test func blockingUseNeedsNoLoop() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = bench.udpSocket()
        try socket.connectToHost("127.0.0.1", port: peer.port)
        let echo = try Worker {
            for _ in 0..<200 {
                let (bytes, sender) = try peer.receive()
                try peer.send(bytes, to: sender)
            }
        }
        for number in 0..<200 {
            let data = pattern(number * 7, seed: UInt64(number))
            #expect(try socket.write(data) == data.count)
            #expect(socket.waitForReadyRead(timeout: Bench.patience))
            #expect(try socket.readDatagram().data == data)
        }
        try echo.join()
        #expect(!socket.waitForReadyRead(timeout: 0))
    }

    @Test func aWaitInsideAHandlerSeesMore() throws {
        let bench = try Bench()
        defer { bench.end() }
        let peer = try RawDatagrams()
        let socket = try bench.boundSocket()
        let log = Recorder(socket)
        let port = socket.localPort
        var received: [String] = []
        log.once(.readyRead) {
            received.append((try? socket.nextText()) ?? "")
            try? peer.send("2", to: port)
            #expect(socket.waitForReadyRead(timeout: Bench.patience))
            received.append((try? socket.nextText()) ?? "")
        }
        try peer.send("1", to: port)
        bench.run { received.count == 2 }
        try bench.settle()
        #expect(received == ["1", "2"] && log.count(of: .readyRead) == 1)
    }
}
