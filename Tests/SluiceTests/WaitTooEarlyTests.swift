import Sluice
import Testing

@Suite struct WaitTooEarlyTests {
    /// The call that would begin the attempt is still on the stack: without an answer at once this would never end.
    @Test(arguments: [SocketState.hostLookup, .connecting], [Wait.Kind.connected, .readyRead, .bytesWritten, .disconnected])
    func aWaitInTheFirstEventsOfAnAttemptIsFalseAtOnce(_ state: SocketState, _ kind: Wait.Kind) throws {
        let loop = try EventLoop()
        let server = TCPServer(loop: loop)
        try server.listen("127.0.0.1")
        let socket = TCPSocket(loop: loop)
        var answers: [Bool] = []
        socket.onEvent { [unowned socket] event in
            guard case .stateChanged(state) = event else { return }
            answers.append(socket.wait(for: kind, timeout: -1))
        }
        try socket.connectToHost("127.0.0.1", port: server.port)
        #expect(answers == [false])
        #expect(socket.waitForConnected())
    }
}
