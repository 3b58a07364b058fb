import Glibc
import Sluice
import Testing

/// The library on both sides, each on a thread of its own.
@Suite struct EndToEndTests {
    /// A server that echoes what it gets, on its own loop and thread.
    private final class EchoServer {
        let port: Int
        let path: String
        private let mailbox: LoopMailbox
        private let worker: Worker

        init(folder: TempFolder) throws {
            let path = folder.path("echo")
            let started = Shared<(port: Int, mailbox: LoopMailbox)?>(nil)
            let ended = Shared(false)
            worker = try Worker {
                defer { ended.change { $0 = true } }
                let loop = try EventLoop()
                let tcp = TCPServer(loop: loop)
                let local = LocalServer(loop: loop)
                try tcp.listen("127.0.0.1")
                try local.listen(path)
                var sockets: [ObjectIdentifier: StreamSocket] = [:]
                for server in [tcp, local] as [Server] {
                    server.onEvent { [unowned server] event in
                        guard case .newConnection = event, let socket = server.nextPendingConnection() else { return }
                        sockets[ObjectIdentifier(socket)] = socket
                        socket.onEvent { [unowned socket] event in
                            switch event {
                            case .readyRead: _ = try? socket.write(socket.readAll())
                            case .disconnected: sockets[ObjectIdentifier(socket)] = nil
                            default: break
                            }
                        }
                    }
                }
                let port = tcp.port
                let mailbox = loop.mailbox
                started.change { $0 = (port, mailbox) }
                try loop.run()
                for socket in sockets.values { socket.destroy() }
                tcp.destroy()
                local.destroy()
            }
            while started.value == nil, !ended.value { sched_yield() }
            (port, mailbox) = try #require(started.value)
            self.path = path
        }

        func stop() throws {
            mailbox.stop()
            try worker.join()
        }

        func connect(_ bench: Bench, _ transport: Transport) throws -> StreamSocket {
            switch transport {
            case .tcp:
                let socket = bench.tcpSocket()
                try socket.connectToHost("127.0.0.1", port: port)
                return socket
            case .local:
                let socket = bench.localSocket()
                try socket.connectToServer(path)
                return socket
            }
        }
    }

    @Test(arguments: Transport.allCases) func manyShortConnections(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try EchoServer(folder: bench.folder)
        for round in 0..<300 {
            let socket = try server.connect(bench, transport)
            let message = pattern(1 + round * 13 % 5000, seed: UInt64(round))
            try socket.put(message)
            var echo: [UInt8] = []
            if round % 2 == 0 {
                while echo.count < message.count, socket.waitForReadyRead(timeout: Bench.patience) { echo += try socket.readAll() }
            } else {
                bench.run { socket.bytesAvailable == message.count }
                echo = try socket.readAll()
            }
            #expect(echo == message)
            socket.disconnectFromHost()
            #expect(socket.isGone)
        }
        try server.stop()
    }

    @Test(arguments: Transport.allCases) func aLongStreamThereAndBack(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try EchoServer(folder: bench.folder)
        let socket = try server.connect(bench, transport)
        let log = Recorder(socket)
        let data = pattern(8 << 20)
        var position = 0
        var received = 0
        var isWhole = true
        func feed() {
            while socket.bytesToWrite < 1 << 20, position < data.count {
                let end = min(position + 100_003, data.count)
                _ = try? socket.write(Array(data[position..<end]))
                position = end
            }
        }
        log.on(.bytesWritten) { feed() }
        log.on(.readyRead) {
            let bytes = (try? socket.readAll()) ?? []
            isWhole = isWhole && bytes.elementsEqual(data[received..<min(received + bytes.count, data.count)])
            received += bytes.count
        }
        bench.run { socket.state == .connected }
        feed()
        bench.run { received >= data.count }
        #expect(isWhole && received == data.count && log.bytesWritten == data.count)
        socket.abort()
        try server.stop()
    }

    @Test func manyConnectionsAtOnce() throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try EchoServer(folder: bench.folder)
        let links = try (0..<60).map { number in
            let socket = try server.connect(bench, number % 2 == 0 ? .tcp : .local)
            return (socket: socket, log: Recorder(socket), data: pattern(20_000 + number * 501, seed: UInt64(number + 1)))
        }
        for link in links {
            if link.socket.state == .connected {
                try link.socket.put(link.data)
            } else {
                link.log.once(.connected) { _ = try? link.socket.write(link.data) }
            }
        }
        bench.run { links.allSatisfy { $0.socket.bytesAvailable == $0.data.count } }
        for link in links {
            #expect(try link.socket.readAll() == link.data)
            #expect(link.log.bytesWritten == link.data.count)
        }
        try server.stop()
        bench.run { links.allSatisfy { $0.socket.isGone } }
    }

    @Test(arguments: Transport.allCases) func aSlowReaderGetsEverything(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let server = try EchoServer(folder: bench.folder)
        let socket = try server.connect(bench, transport)
        try socket.setReadBufferSize(1000)
        let data = pattern(300_000)
        try socket.put(data)
        var received: [UInt8] = []
        while received.count < data.count {
            guard bench.run(until: { socket.bytesAvailable > 0 }) else { break }
            #expect(socket.bytesAvailable <= 1000)
            received += try socket.read(maxSize: 777)
        }
        #expect(received == data)
        try server.stop()
    }

    @Test func loopsOnSeveralThreadsDoNotDisturbEachOther() throws {
        let folder = try TempFolder()
        let server = try EchoServer(folder: folder)
        let port = server.port
        let workers = try (0..<4).map { number in
            try Worker {
                let loop = try EventLoop()
                let socket = TCPSocket(loop: loop)
                for round in 0..<50 {
                    try socket.connectToHost(round % 3 == 0 ? "localhost" : "127.0.0.1", port: port)
                    let message = pattern(1000, seed: UInt64(number * 1000 + round))
                    _ = try socket.write(message)
                    var echo: [UInt8] = []
                    while echo.count < message.count, socket.waitForReadyRead(timeout: Bench.patience) { echo += try socket.readAll() }
                    guard echo == message else { throw RawFailure("wrong echo", 0) }
                    socket.abort()
                }
            }
        }
        for worker in workers { try worker.join() }
        try server.stop()
    }
}
