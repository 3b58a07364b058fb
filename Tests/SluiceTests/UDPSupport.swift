import Glibc
import Sluice
import Testing

/// A datagram socket without any of the library. What it waits for too long fails instead of hanging.
final class RawDatagrams: @unchecked Sendable {
    private(set) var descriptor: Int32

    init(at address: RawAddress = .ipv4(port: 0)) throws {
        descriptor = try rawSocket(address.family, SOCK_DGRAM)
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        try check(address.call { bind(descriptor, $0, $1) }, "bind")
    }

    deinit { close() }

    var port: Int { RawAddress.filled { getsockname(descriptor, $0, $1) }.port }

    func setOption(_ level: Int32, _ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    func option(_ level: Int32, _ name: Int32) -> Int32 { rawOption(descriptor, level, name) }

    func send(_ bytes: [UInt8], to address: RawAddress) throws {
        let sent = address.call { pointer, size in
            Int32(bytes.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, 0, pointer, size) })
        }
        guard sent == bytes.count else { throw RawFailure("sendto") }
    }

    func send(_ text: String, to port: Int) throws { try send(Array(text.utf8), to: .ipv4(port: port)) }

    func receive() throws -> (bytes: [UInt8], sender: RawAddress) {
        var bytes = [UInt8](repeating: 0, count: 65536)
        var count = 0
        let sender = RawAddress.filled { address, size in
            count = recvfrom(descriptor, &bytes, bytes.count, 0, address, size)
            return count < 0 ? -1 : 0
        }
        guard count >= 0 else { throw RawFailure("recvfrom") }
        return (Array(bytes.prefix(count)), sender)
    }

    func receiveText() throws -> String { String(decoding: try receive().bytes, as: UTF8.self) }

    var hasPending: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }

    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Gives the descriptor away.
    func release() -> Int32 {
        defer { descriptor = -1 }
        return descriptor
    }

    /// A port on which nobody receives: bound, so that nobody else takes it, and connected elsewhere, so that it is not found.
    static func deafPort() throws -> (port: Int, holder: RawDatagrams) {
        let holder = try RawDatagrams()
        try check(RawAddress.ipv4("127.0.0.1", port: 9).call { connect(holder.descriptor, $0, $1) }, "connect")
        return (holder.port, holder)
    }
}

func rawOption(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> Int32 {
    var value: Int32 = -1
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, level, name, &value, &size)
    return value
}

extension Bench {
    func udpSocket() -> UDPSocket { keep(UDPSocket(loop: loop)) }

    /// One that is bound to this address of loopback.
    func boundSocket(_ address: String = "127.0.0.1", receiveBuffer: Int? = nil) throws -> UDPSocket {
        let socket = udpSocket()
        if let receiveBuffer { try socket.setOption(.receiveBufferSize, receiveBuffer) }
        try socket.bind(address)
        return socket
    }

    /// Runs the loop until the socket has a datagram.
    func run(untilPending socket: UDPSocket, sourceLocation: SourceLocation = #_sourceLocation) {
        run(until: { socket.hasPendingDatagrams }, sourceLocation: sourceLocation)
    }
}

extension UDPSocket {
    func nextText() throws -> String { text(try readDatagram().data) }
}
