import Glibc
import Sluice

/// A proxy that does exactly what it is told, right or wrong: one script for each connection, in their order.
final class ScriptedProxy {
    enum Step {
        case receive(Int)
        /// Up to the empty line.
        case receiveHead
        case send([UInt8])
        case text(String)
        /// Sends back what comes until the other side ends.
        case echo
        /// Passes on what comes, both ways, to and from whoever listens at that port of this machine.
        case pass(to: Int)
        /// Waits until the other side ends.
        case hold
        case reset
        /// Gives the signal that the other side waits for; see `reached`.
        case mark(Int)
    }

    let port: Int
    private let worker: Worker
    private var isFinished = false
    private let bytes: Shared<[[UInt8]]>
    private let marks = Shared<Set<Int>>([])
    private let descriptors: Shared<[Int32]>

    init(_ scripts: [Step]..., family: Int32 = AF_INET) throws {
        let listener = try RawListener(at: family == AF_INET ? .ipv4(port: 0) : .ipv6(port: 0))
        port = listener.port
        let bytes = Shared<[[UInt8]]>(scripts.map { _ in [] })
        self.bytes = bytes
        let marks = marks
        let descriptors = Shared<[Int32]>([])
        self.descriptors = descriptors
        let all = scripts
        worker = try Worker {
            var peers: [RawPeer] = []
            for (index, script) in all.enumerated() {
                let peer = try listener.accept()
                peers.append(peer)
                descriptors.change { $0 = [peer.descriptor] }
                do { try Self.play(script, peer) { chunk in bytes.change { $0[index] += chunk } } mark: { mark in
                    marks.change { _ = $0.insert(mark) }
                } } catch {}
                descriptors.change { $0 = [] }
                peer.close()
            }
        }
    }

    private static func play(_ script: [Step], _ peer: RawPeer, note: ([UInt8]) -> Void, mark: (Int) -> Void) throws {
        for step in script {
            switch step {
            case .receive(let count): note(try peer.receiveExactly(count))
            case .receiveHead:
                var head: [UInt8] = []
                while !head.suffix(4).elementsEqual("\r\n\r\n".utf8) {
                    let byte = try peer.receiveExactly(1)
                    guard !byte.isEmpty else { return }
                    head += byte
                }
                note(head)
            case .send(let bytes): try peer.send(bytes)
            case .text(let text): try peer.send(text)
            case .echo:
                while true {
                    let chunk = try peer.receive()
                    if chunk.isEmpty { return }
                    note(chunk)
                    try peer.send(chunk)
                }
            case .pass(let port):
                let target = try RawPeer.connect(to: .ipv4(port: port))
                defer { target.close() }
                while true {
                    var entries = [peer, target].map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
                    guard poll(&entries, 2, 30_000) > 0 else { return }
                    for (source, (entry, other)) in zip([peer, target], zip(entries, [target, peer])) where entry.revents != 0 {
                        let chunk = try source.receive()
                        if chunk.isEmpty { return }
                        try other.send(chunk)
                    }
                }
            case .hold: note(try peer.receiveToEnd())
            case .reset:
                peer.reset()
                return
            case .mark(let number): mark(number)
            }
        }
    }

    /// What came over each connection.
    var received: [[UInt8]] { bytes.value }
    var texts: [String] { received.map { text($0) } }
    func reached(_ mark: Int) -> Bool { marks.value.contains(mark) }

    /// Ends the connection that is being served, whatever its script says.
    func hangUp() { for descriptor in descriptors.value { shutdown(descriptor, Int32(SHUT_RDWR)) } }

    /// To be called once nobody talks to it any more.
    func finish() {
        guard !isFinished else { return }
        isFinished = true
        try? worker.join()
    }

    var socks5: Sluice.Proxy { .socks5("127.0.0.1", port: port) }
    var http: Sluice.Proxy { .http("127.0.0.1", port: port) }
}
