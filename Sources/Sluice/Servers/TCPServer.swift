import Glibc

/// Accepts TCP connections.
public final class TCPServer: Server {
    public init(loop: EventLoop) { super.init(loop: loop, kind: .tcpServer) }

    /// Listens on an address of this machine: an IPv4 or IPv6 address, "any" for all of both (dual stack), "AnyIPv4", "AnyIPv6",
    /// "LocalHost" or "LocalHostIPv6". Port 0 picks a free one; `port` then tells which. Throws OperationError while listening,
    /// AddressInUseError, SocketAccessError (ports below 1024), SocketAddressNotAvailableError, and leaves no descriptor behind.
    public func listen(_ address: String = "any", port: Int = 0, mode: BindMode = []) throws(SocketError) {
        try checkNotListening()
        guard let portNumber = UInt16(exactly: port) else {
            throw fail(SocketError(.portNumberOutOfRange, "The port must be a number from 0 to 65535, not \(port)"))
        }
        guard let host = HostAddress(parsing: address) else {
            throw fail(SocketError(.unsupportedSocketOperation, "\"\(address.abbreviated)\" is not an address to listen on"))
        }
        do throws(SocketError) {
            if !host.isLoopback, let proxy = try proxy.inForceToReceive(at: host, application: applicationProxy) {
                begin(ProxyListener(self, proxy, wish: ProxyEndpoint(host: .address(host), port: portNumber)))
                return
            }
            let descriptor = try ListeningAddress.bind(host, port: portNumber, mode: mode, reuseAddress: true)
            let result = System.listen(descriptor.rawValue, backlog: Int32(clamping: listenBacklog))
            guard result >= 0 else {
                throw SocketError.from(
                    errno: Int32(truncatingIfNeeded: -result), doing: .listen, peer: host.description(port: portNumber))
            }
            try begin(descriptor)
        } catch {
            throw fail(error)
        }
    }

    override func fits(_ descriptor: Int32) -> Bool {
        let family = System.socketFamily(descriptor)
        return (family == AF_INET || family == AF_INET6) && System.socketType(descriptor) == System.stream
    }
}
