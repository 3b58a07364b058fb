import Glibc

/// The way of a TCP socket to its connection: the name is looked up unless it is an address, then the addresses race.
final class TCPConnecting: HostConnecting, ConnectionRaceDelegate {
    private unowned(unsafe) let socket: TCPSocket
    private let host: String
    private let port: UInt16
    private var lookup: HostLookup?
    private var race: ConnectionRace?
    private var lookupReport: [ConnectionAttempt] = []

    init(_ socket: TCPSocket, host: String, port: UInt16) {
        self.socket = socket
        self.host = host
        self.port = port
    }

    var attempts: [ConnectionAttempt] { lookupReport + (race?.report ?? []) }

    func start(addresses: [HostAddress]) { raceTo(addresses) }

    func start(lookupOf name: String, protocol: NetworkProtocol) {
        let started = System.monotonicNanoseconds()
        lookup = HostLookup(name: name, protocol: `protocol`, loop: socket.loop) { [weak self] lookup in
            guard let self, self.lookup === lookup else { return }
            self.lookup = nil
            self.lookedUp(lookup.result, started: started)
        }
    }

    private func lookedUp(_ result: Result<[HostAddress], SocketError>?, started: UInt64) {
        var entry = ConnectionAttempt(
            address: host.abbreviated, phase: .lookup, milliseconds: Int((System.monotonicNanoseconds() - started) / 1_000_000), systemError: 0)
        switch result {
        case .success(let addresses) where !addresses.isEmpty:
            lookupReport.append(entry)
            raceTo(addresses)
        case .failure(let error):
            entry.systemError = error.systemError
            lookupReport.append(entry)
            fail(error)
        default:
            lookupReport.append(entry)
            fail(SocketError(.hostNotFound, "Host not found: \(host)"))
        }
    }

    private func raceTo(_ addresses: [HostAddress]) {
        let begun = socket.epoch
        let reachable = addresses.map(socket.asReached).filter(socket.canReach)
        let race = ConnectionRace(
            loop: socket.loop, addresses: reachable.map { SocketAddress($0, port: port) },
            interest: socket.interest, delegate: self)
        self.race = race
        socket.setState(.connecting)
        guard begun == socket.epoch else { return }
        socket.send(.hostFound, .hostFound)
        guard begun == socket.epoch else { return }
        guard !reachable.isEmpty else {
            socket.failInTurn(
                SocketError(
                    .connectionRefused, "\(host) cannot be reached from \(socket.localAddress), which the socket is bound to",
                    systemError: EAFNOSUPPORT, attempts: attempts))
            return
        }
        race.start()
    }

    private func fail(_ error: SocketError) {
        var error = error
        error.attempts = attempts
        socket.connectFailed(error)
    }

    var isUnderWay: Bool { lookup != nil || race?.isUnderWay == true }

    func cancel() {
        lookup?.cancel()
        lookup = nil
        race?.cancel()
    }

    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            if let race {
                race.advance(until: deadline)
            } else if let lookup, lookup.wait(untilNanoseconds: deadline) {
                _ = lookup.finishIfReady()
            }
        }
    }

    // MARK: The race

    func makeDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor {
        try socket.descriptorForAttempt(at: address)
    }

    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String) {
        socket.raceWon(descriptor: descriptor, slot: slot, readiness: readiness, peer: peer)
    }

    func raceLost(_ error: SocketError) { fail(error) }
}
