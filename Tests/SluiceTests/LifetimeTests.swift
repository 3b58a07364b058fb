import Glibc
import Sluice
import Testing

/// What is let go of is gone: objects, closures, loops.
@Suite struct LifetimeTests {
    /// Sees whether something that a closure holds still lives.
    private final class Witness {}

    /// A program that only uses the blocking calls never gives its loop a turn.
    @Test(arguments: Transport.allCases, [0, 100]) func aBlockingProgramKeepsNothing(over transport: Transport, readLimit: Int) throws {
        let loop = try EventLoop()
        let folder = try TempFolder()
        let listener = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(folder.path("server")))
        for round in 0..<8 {
            weak var remembered: StreamSocket?
            do {
                let socket: StreamSocket
                if transport == .tcp {
                    let tcp = TCPSocket(loop: loop)
                    try tcp.connectToHost(round % 2 == 0 ? "127.0.0.1" : "localhost", port: listener.port)
                    socket = tcp
                } else {
                    let local = LocalSocket(loop: loop)
                    try local.connectToServer(folder.path("server"))
                    socket = local
                }
                remembered = socket
                try socket.setReadBufferSize(readLimit)
                try #require(socket.waitForConnected(timeout: Bench.patience))
                let peer = try listener.accept()
                try socket.put("request")
                #expect(socket.waitForBytesWritten(timeout: Bench.patience))
                try peer.send(pattern(300))
                var received = 0
                while received < 300, socket.waitForReadyRead(timeout: Bench.patience) { received += try socket.readAll().count }
                #expect(received == 300)
                switch round / 2 {
                case 0: socket.disconnectFromHost()
                case 1: socket.destroy()
                case 2:
                    try socket.put("and more that is never waited for")
                    socket.abort()
                default: break
                }
            }
            #expect(remembered == nil, "round \(round)")
        }
    }

    @Test(arguments: Transport.allCases) func aDroppedSocketClosesItsConnection(over transport: Transport) throws {
        let bench = try Bench()
        defer { bench.end() }
        let listener = try transport == .tcp ? RawListener.tcp() : RawListener(at: .local(bench.folder.path("server")))
        let server: RawPeer
        do {
            let socket: StreamSocket
            if transport == .tcp {
                let tcp = TCPSocket(loop: bench.loop)
                try tcp.connectToHost("127.0.0.1", port: listener.port)
                socket = tcp
            } else {
                let local = LocalSocket(loop: bench.loop)
                try local.connectToServer(bench.folder.path("server"))
                socket = local
            }
            bench.run { socket.state == .connected }
            server = try listener.accept()
            try server.send("x")
            bench.run { socket.bytesAvailable == 1 }
        }
        #expect(try server.receive().isEmpty)
        try bench.settle()
    }

    @Test func destroyLetsTheReceiverGo() throws {
        let bench = try Bench()
        defer { bench.end() }
        let sources: [EventSource] = [bench.tcpSocket(), bench.localSocket(), bench.tcpServer(), bench.localServer()]
        for source in sources {
            weak var witness: Witness?
            do {
                let held = Witness()
                witness = held
                source.onEvent { _ in withExtendedLifetime(held) {} }
            }
            #expect(witness != nil)
            source.destroy()
            #expect(witness == nil)
        }
    }

    @Test func anHandlerMayReplaceItself() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var told: [String] = []
        link.socket.onEvent { event in
            told.append("first \(event.type.name)")
            link.socket.onEvent { event in told.append("second \(event.type.name)") }
        }
        try link.peer.send("line\n")
        bench.run { link.socket.bytesAvailable == 5 }
        #expect(told == ["first readyRead", "second lineAvailable"])
    }

    @Test func anHandlerMayRemoveItself() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        var told = 0
        link.socket.onEvent { _ in
            told += 1
            link.socket.receiver = nil
        }
        try link.peer.send("line\n")
        bench.run { link.socket.bytesAvailable == 5 }
        #expect(told == 1)
    }

    @Test func aLoopIsGoneWithItsLastObject() throws {
        weak var loop: EventLoop?
        do {
            let own = try EventLoop()
            loop = own
            let server = TCPServer(loop: own)
            try server.listen("127.0.0.1")
            let socket = TCPSocket(loop: own)
            try socket.connectToHost("127.0.0.1", port: server.port)
            while !server.hasPendingConnections { _ = try own.runOnce(timeout: Bench.patience) }
            try socket.put("unsent")
            let timer = own.addTimer(after: 100_000) {}
            timer.cancel()
            server.destroy()
            socket.destroy()
        }
        #expect(loop == nil)
    }

    @Test func aDestroyedLoopLetsEverythingGo() throws {
        weak var loop: EventLoop?
        weak var socket: TCPSocket?
        weak var witness: Witness?
        do {
            let held = Witness()
            witness = held
            let own = try EventLoop()
            loop = own
            let client = TCPSocket(loop: own)
            socket = client
            let hanging = try RawListener.hanging()
            try client.connectToHost("127.0.0.1", port: hanging.port)
            try client.put("pending")
            _ = own.addTimer(after: 100_000) { withExtendedLifetime((held, client, own)) {} }
            own.post(unchecked { withExtendedLifetime((held, client, own)) {} })
            own.afterTurn { withExtendedLifetime((held, client, own)) {} }
            _ = try own.descriptor
            own.destroy()
            #expect(try own.runOnce(timeout: 0) == false)
            try own.run()
        }
        #expect(witness == nil && socket == nil && loop == nil)
    }

    @Test func objectsOfADestroyedLoopAreHarmless() throws {
        let bench = try Bench()
        defer { bench.end() }
        let link = try bench.link()
        let server = bench.tcpServer()
        try server.listen("127.0.0.1")
        bench.loop.destroy()
        bench.loop.destroy()
        bench.loop.stop()
        bench.loop.post {}
        bench.loop.addTimer(after: 0) {}.cancel()
        _ = try link.socket.write("x")
        _ = link.socket.waitForReadyRead(timeout: 0)
        link.socket.disconnectFromHost()
        link.socket.abort()
        server.close()
        #expect(link.socket.isGone && !server.isListening)
    }
}
