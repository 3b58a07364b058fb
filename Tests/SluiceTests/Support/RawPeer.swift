import Glibc

/// A system call of the test's own that did not do what the test needs.
struct RawFailure: Error, CustomStringConvertible {
    let call: String
    let number: Int32

    init(_ call: String, _ number: Int32 = errno) {
        self.call = call
        self.number = number
    }

    var description: String { "\(call): \(String(cString: strerror(number)))" }
}

@discardableResult
func check(_ result: Int32, _ call: String) throws -> Int32 {
    guard result >= 0 else { throw RawFailure(call) }
    return result
}

/// An address for the calls below.
struct RawAddress {
    private var storage = sockaddr_storage()
    private var length = socklen_t(MemoryLayout<sockaddr_storage>.size)

    static func ipv4(_ text: String = "127.0.0.1", port: Int) -> RawAddress {
        var result = RawAddress()
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        inet_pton(AF_INET, text, &address.sin_addr)
        result.store(address)
        return result
    }

    static func ipv6(_ text: String = "::1", port: Int) -> RawAddress {
        var result = RawAddress()
        var address = sockaddr_in6()
        address.sin6_family = sa_family_t(AF_INET6)
        address.sin6_port = in_port_t(port).bigEndian
        inet_pton(AF_INET6, text, &address.sin6_addr)
        result.store(address)
        return result
    }

    /// A path, or with `abstract` a name outside the file system.
    static func local(_ name: String, abstract: Bool = false) -> RawAddress {
        var result = RawAddress()
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = (abstract ? [0] : []) + Array(name.utf8) + (abstract ? [] : [0])
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes.prefix($0.count)) }
        result.store(address)
        result.length = socklen_t(2 + bytes.count)
        return result
    }

    private mutating func store<Address>(_ address: Address) {
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: Address.self) }
        length = socklen_t(MemoryLayout<Address>.size)
    }

    var family: Int32 { Int32(storage.ss_family) }

    var port: Int {
        withUnsafeBytes(of: storage) { bytes in
            let number = family == AF_INET6 ? bytes.load(as: sockaddr_in6.self).sin6_port : bytes.load(as: sockaddr_in.self).sin_port
            return Int(in_port_t(bigEndian: number))
        }
    }

    var host: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        withUnsafeBytes(of: storage) { bytes in
            if family == AF_INET {
                var address = bytes.load(as: sockaddr_in.self).sin_addr
                inet_ntop(AF_INET, &address, &text, socklen_t(text.count))
            } else {
                var address = bytes.load(as: sockaddr_in6.self).sin6_addr
                inet_ntop(AF_INET6, &address, &text, socklen_t(text.count))
            }
        }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    func call(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: storage) { $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) } }
    }

    static func filled(_ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) -> RawAddress {
        var result = RawAddress()
        var length = result.length
        _ = withUnsafeMutablePointer(to: &result.storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, &length) }
        }
        result.length = length
        return result
    }
}

func rawSocket(_ family: Int32, _ type: __socket_type = SOCK_STREAM) throws -> Int32 {
    try check(socket(family, Int32(type.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0), "socket")
}

/// The other end of a connection: a blocking socket without any of the library. What it waits for too long fails
/// instead of hanging.
final class RawPeer: @unchecked Sendable {
    private(set) var descriptor: Int32

    init(owning descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close() }

    static func connect(to address: RawAddress) throws -> RawPeer {
        let peer = RawPeer(owning: try rawSocket(address.family))
        try check(address.call { Glibc.connect(peer.descriptor, $0, $1) }, "connect")
        return peer
    }

    var localAddress: RawAddress { .filled { getsockname(descriptor, $0, $1) } }
    var remoteAddress: RawAddress { .filled { getpeername(descriptor, $0, $1) } }

    /// Sends all of it.
    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw RawFailure("send") }
            sent += count
        }
    }

    func send(_ text: String) throws { try send(Array(text.utf8)) }

    /// Sends what the system takes now; 0 when it takes nothing.
    func sendSome(_ bytes: ArraySlice<UInt8>) throws -> Int {
        let count = bytes.withUnsafeBytes {
            Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
        }
        if count < 0, errno == EAGAIN { return 0 }
        guard count >= 0 else { throw RawFailure("send") }
        return count
    }

    /// What comes next; empty at the end.
    func receive(_ limit: Int = 65536) throws -> [UInt8] { try receive(limit, flags: 0) ?? [] }

    /// What is there now: nil when nothing is, empty at the end.
    func receiveNow(_ limit: Int = 65536) throws -> [UInt8]? { try receive(limit, flags: Int32(MSG_DONTWAIT)) }

    private func receive(_ limit: Int, flags: Int32) throws -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &bytes, limit, flags)
        if count < 0, errno == EAGAIN, flags != 0 { return nil }
        guard count >= 0 else { throw RawFailure("recv") }
        return Array(bytes.prefix(count))
    }

    func receiveExactly(_ count: Int) throws -> [UInt8] {
        var result: [UInt8] = []
        while result.count < count {
            let chunk = try receive(min(1 << 20, count - result.count))
            guard !chunk.isEmpty else { break }
            result += chunk
        }
        return result
    }

    func receiveToEnd() throws -> [UInt8] {
        var result: [UInt8] = []
        while true {
            let chunk = try receive(1 << 20)
            if chunk.isEmpty { return result }
            result += chunk
        }
    }

    func receiveText(_ count: Int) throws -> String { String(decoding: try receiveExactly(count), as: UTF8.self) }

    func setOption(_ name: Int32, _ value: Int32) {
        var value = value
        setsockopt(descriptor, SOL_SOCKET, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }

    func shutdownWrite() { shutdown(descriptor, Int32(SHUT_WR)) }

    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        descriptor = -1
    }

    /// Closes with a RST.
    func reset() {
        var value = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &value, socklen_t(MemoryLayout<linger>.size))
        close()
    }

    /// Gives the descriptor away.
    func release() -> Int32 {
        defer { descriptor = -1 }
        return descriptor
    }
}

/// A listening socket without any of the library.
final class RawListener: @unchecked Sendable {
    let descriptor: Int32
    private var fillers: [RawPeer] = []

    init(at address: RawAddress, backlog: Int32 = 64) throws {
        descriptor = try rawSocket(address.family)
        try check(address.call { bind(descriptor, $0, $1) }, "bind")
        if backlog >= 0 { try check(listen(descriptor, backlog), "listen") }
    }

    /// At an address that a socket of the test's own holds without listening (SO_REUSEPORT).
    init(reusing address: RawAddress) throws {
        descriptor = try rawSocket(address.family)
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &yes, socklen_t(MemoryLayout<Int32>.size))
        try check(address.call { bind(descriptor, $0, $1) }, "bind")
        try check(listen(descriptor, 64), "listen")
    }

    static func tcp(backlog: Int32 = 64) throws -> RawListener { try RawListener(at: .ipv4(port: 0), backlog: backlog) }

    /// Whose port nobody listens on, and nobody else can take meanwhile.
    static func deaf() throws -> RawListener { try RawListener(at: .ipv4(port: 0), backlog: -1) }

    /// Whose queue is full: connecting to it hangs.
    static func hanging() throws -> RawListener {
        let listener = try RawListener(at: .ipv4(port: 0), backlog: 0)
        for _ in 0..<3 {
            let filler = RawPeer(owning: try rawSocket(AF_INET))
            _ = fcntl(filler.descriptor, F_SETFL, O_NONBLOCK)
            _ = RawAddress.ipv4(port: listener.port).call { connect(filler.descriptor, $0, $1) }
            listener.fillers.append(filler)
        }
        return listener
    }

    deinit { Glibc.close(descriptor) }

    var port: Int { RawAddress.filled { getsockname(descriptor, $0, $1) }.port }

    func accept() throws -> RawPeer {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 30_000) > 0 else { throw RawFailure("nobody connected") }
        return RawPeer(owning: try check(Glibc.accept(descriptor, nil, nil), "accept"))
    }

    /// Whether a connection waits to be accepted.
    var hasConnection: Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) > 0
    }
}

/// Whether this machine can do IPv6 at all.
let hasIPv6: Bool = (try? RawListener(at: .ipv6(port: 0))) != nil
