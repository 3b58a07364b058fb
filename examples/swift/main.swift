import Sluice

let port = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 7000

let loop = try EventLoop()
let socket = TCPSocket(loop: loop)
socket.onEvent { event in
    switch event {
    case .connected:
        _ = try? socket.write("hello\n")
    case .lineAvailable:
        let line = (try? socket.readLine()) ?? []
        print(String(decoding: line, as: UTF8.self), terminator: "")
        loop.stop()
    case .errorOccurred(let error):
        print(error.message)
        loop.stop()
    default:
        break
    }
}
try socket.connectToHost("localhost", port: port)
try loop.run()
