import Glibc

/// Connections that come by way of a load balancer, which says in a header where they come from.
extension Server {
    /// Milliseconds within which the whole header must be there, and how many connections may be waited for at once.
    fileprivate static let headerTimeLimit = 10_000
    static let mostArriving = 1024

    /// Whether every connection begins with a header of the PROXY protocol (version 1 or 2), as HAProxy's `send-proxy` and others
    /// write it. The addresses in it become the socket's peerAddress, peerPort, localAddress and localPort. A connection whose header
    /// is malformed, or is not there within ten seconds, is closed, and `acceptError` says so (ProxyProtocolError). Whoever can
    /// connect can say what they like: let nobody but the balancer reach the port. For connections from now on.
    public var proxyProtocol: Bool {
        get { readsProxyHeaders }
        set { readsProxyHeaders = newValue }
    }

    /// Reads the header before anybody hears of the connection.
    func readHeader(of descriptor: Int32) {
        let arriving = ArrivingConnection(descriptor, server: self)
        guard !arriving.proceed() else { return }
        do throws(SystemError) {
            try arriving.watch()
            self.arriving.append(arriving)
        } catch {
            arriving.drop()
            _ = acceptFailed(error.number)
        }
    }

    fileprivate func arrived(_ connection: ArrivingConnection, _ header: ProxyHeader) {
        forget(connection)
        take(connection.release(), addresses: header.addresses)
    }

    fileprivate func refused(_ connection: ArrivingConnection, _ reason: String) {
        forget(connection)
        let peer = System.peerAddress(connection.descriptor)?.description ?? ""
        connection.drop()
        tell(SocketError(.proxyProtocol, "A connection was closed: \(reason)" + (peer.isEmpty ? "" : " (\(peer))")))
    }

    private func forget(_ connection: ArrivingConnection) {
        arriving.removeAll { $0 === connection }
        updateWatching()
    }
}

/// A connection whose header is not there yet.
final class ArrivingConnection: ReadinessHandler {
    private(set) var descriptor: Int32
    private unowned(unsafe) let server: Server
    private let loop: EventLoop
    private var slot: Int32 = -1
    private var timer: Timer?

    fileprivate init(_ descriptor: Int32, server: Server) {
        self.descriptor = descriptor
        self.server = server
        loop = server.loop
    }

    deinit { drop() }

    fileprivate func watch() throws(SystemError) {
        slot = try loop.poller.register(descriptor, for: [.readable, .readHangup, .edgeTriggered], handler: self)
        timer = loop.addTimer(after: Server.headerTimeLimit) { [unowned(unsafe) self] in
            withExtendedLifetime(self) { server.refused(self, "its PROXY header did not come in time") }
        }
    }

    func descriptorReady(_ readiness: Readiness) {
        withExtendedLifetime(self) { _ = proceed() }
    }

    /// When it is given up (monotonic nanoseconds).
    var deadline: UInt64 { timer?.deadline ?? .max }

    /// What a blocking wait found out about it.
    func polled(ready: Bool) {
        guard descriptor >= 0 else { return }
        if ready { descriptorReady(.readable) }
        if let timer, timer.isActive, timer.deadline <= System.monotonicNanoseconds() { timer.fire() }
    }

    /// Looks for the header, without taking a byte of what comes after it. False while it is incomplete.
    fileprivate func proceed() -> Bool {
        let area = UnsafeMutableRawBufferPointer.allocate(byteCount: ProxyHeader.longest, alignment: 8)
        defer { area.deallocate() }
        guard let bytes = area.baseAddress else { return false }
        let count = System.peek(descriptor, bytes, area.count)
        guard count > 0 else {
            if count == -Int(EAGAIN) { return false }
            server.refused(self, "it ended before its PROXY header")
            return true
        }
        switch ProxyHeader.parse(UnsafeRawBufferPointer(rebasing: area[..<count])) {
        case .incomplete:
            // What was only looked at keeps the descriptor readable: it shall be so again when there is more.
            System.setOption(descriptor, SOL_SOCKET, SO_RCVLOWAT, Int32(clamping: count + 1))
            return false
        case .malformed(let reason):
            server.refused(self, "its PROXY header is malformed: \(reason)")
        case .complete(let header):
            _ = System.recv(descriptor, bytes, header.length)
            System.setOption(descriptor, SOL_SOCKET, SO_RCVLOWAT, 1)
            server.arrived(self, header)
        }
        return true
    }

    fileprivate func release() -> Int32 {
        unwatch()
        defer { descriptor = -1 }
        return descriptor
    }

    func drop() {
        unwatch()
        if descriptor >= 0 { System.close(descriptor) }
        descriptor = -1
    }

    private func unwatch() {
        timer?.cancel()
        timer = nil
        if slot >= 0 { loop.poller.unregister(slot) }
        slot = -1
    }
}
