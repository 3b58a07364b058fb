import Glibc

/// The way of a datagram socket to its peer: the name is looked up unless it is an address; then the first address that there
/// is a way to becomes the peer, at once and without a word to it.
final class UDPConnecting: HostConnecting {
    private unowned(unsafe) let socket: UDPSocket
    private let host: String
    private let port: UInt16
    private var lookup: HostLookup?
    private(set) var attempts: [ConnectionAttempt] = []

    init(_ socket: UDPSocket, host: String, port: UInt16) {
        self.socket = socket
        self.host = host
        self.port = port
    }

    func start(lookupOf name: String, protocol: NetworkProtocol) {
        let started = System.monotonicNanoseconds()
        lookup = HostLookup(name: name, protocol: `protocol`, loop: socket.loop) { [weak self] lookup in
            guard let self, self.lookup === lookup else { return }
            self.lookup = nil
            self.lookedUp(lookup.result, started: started)
        }
    }

    private func lookedUp(_ result: Result<[HostAddress], SocketError>?, started: UInt64) {
        switch result {
        case .success(let addresses)? where !addresses.isEmpty:
            note(host.abbreviated, .lookup, since: started, 0)
            start(addresses: addresses)
        case .failure(let error)?:
            note(host.abbreviated, .lookup, since: started, error.systemError)
            fail(error)
        default:
            note(host.abbreviated, .lookup, since: started, 0)
            fail(SocketError(.hostNotFound, "Host not found: \(host.abbreviated)"))
        }
    }

    func start(addresses: [HostAddress]) {
        // The socket may let go of this in its events.
        withExtendedLifetime(self) {
            let begun = socket.epoch
            socket.setState(.connecting)
            guard begun == socket.epoch else { return }
            socket.send(.hostFound, .hostFound)
            guard begun == socket.epoch else { return }
            var last: SocketError?
            for address in addresses {
                let started = System.monotonicNanoseconds()
                guard let error = socket.connectDescriptor(to: address, port: port) else {
                    socket.connectionMade()
                    return
                }
                note(address.description(port: port), .connect, since: started, error.systemError)
                last = error
            }
            fail(last ?? SocketError(.hostNotFound, "Host not found: \(host.abbreviated)"))
        }
    }

    private func note(_ address: String, _ phase: ConnectionAttempt.Phase, since started: UInt64, _ number: Int32) {
        let milliseconds = Int((System.monotonicNanoseconds() - started) / 1_000_000)
        attempts.append(ConnectionAttempt(address: address, phase: phase, milliseconds: milliseconds, systemError: number))
    }

    private func fail(_ error: SocketError) {
        var error = error
        error.attempts = attempts
        socket.connectFailed(error)
    }

    func cancel() {
        lookup?.cancel()
        lookup = nil
    }

    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            if let lookup, lookup.wait(untilNanoseconds: deadline) { lookup.finishIfReady() }
        }
    }
}
