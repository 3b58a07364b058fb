/// A name being looked up, as an object of its own: the event `finished` tells that it is done. `destroy()` cancels it.
///
/// Lookups run on a few threads that all loops of the process share; when too many names wait for them already (256) a query
/// fails with LimitReached. An address is its own answer.
public final class HostQuery: EventSource, TurnHandler {
    /// Milliseconds that a lookup may take until set otherwise.
    public static let standardTimeLimit = 60_000

    /// As given.
    public let name: String
    public let networkProtocol: NetworkProtocol
    /// In the order in which to try them (RFC 6724), none twice; empty until it is done, and when it failed.
    public private(set) var addresses: [HostAddress] = []
    /// Why there is no address; nil until it is done.
    public private(set) var error: SocketError?
    public private(set) var isFinished = false

    private var lookup: HostLookup?
    private var timer: Timer?

    /// Starts at once; `finished` comes from the loop, never from inside this call. `timeout` in milliseconds, -1 is no limit:
    /// SocketTimeoutError then.
    public init(
        _ name: String, protocol networkProtocol: NetworkProtocol = .any, timeout: Int = HostQuery.standardTimeLimit, loop: EventLoop
    ) throws(SocketError) {
        guard timeout >= -1 else {
            throw SocketError(.invalidArgument, "timeout must be -1 (no limit) or a number of milliseconds, not \(timeout)")
        }
        guard networkProtocol != .unknown else { throw SocketError(.invalidArgument, "The protocol must be any, IPv4 or IPv6") }
        self.name = name
        self.networkProtocol = networkProtocol
        super.init(loop: loop, kind: .lookup)
        begin(timeout)
    }

    deinit { drop() }

    private func begin(_ timeout: Int) {
        if name.isEmpty {
            answer(.failure(SocketError(.emptyHostName, "The host name is empty")))
        } else if let address = HostAddress(literal: name) {
            let fits = networkProtocol == .any || address.networkProtocol == networkProtocol
            answer(fits ? .success([address]) : .failure(SocketError(.hostNotFound, "\(name) is not an \(networkProtocol.name) address")))
        } else {
            lookup = HostLookup(name: name, protocol: networkProtocol, loop: loop) { [weak self] lookup in
                guard let self, let result = lookup.result else { return }
                self.answer(result)
                self.tell()
            }
            guard timeout >= 0 else { return }
            timer = loop.addTimer(after: timeout) { [weak self] in self?.timedOut() }
            return
        }
        loop.requestTurn(self)
    }

    private func answer(_ result: Result<[HostAddress], SocketError>) {
        drop()
        isFinished = true
        switch result {
        case .success(let found): addresses = found
        case .failure(let failure): error = failure
        }
    }

    private func timedOut() {
        answer(.failure(SocketError(.socketTimeout, "The name \(name.abbreviated) was not looked up in time")))
        tell()
    }

    func takeTurn() { tell() }

    private func tell() { send(.finished, .finished(error)) }

    private func drop() {
        timer?.cancel()
        timer = nil
        lookup?.cancel()
        lookup = nil
    }

    /// Waits on the calling thread, without the loop, until it is done, `timeout` milliseconds at most (-1: no limit). Returns
    /// whether it is. `finished` is sent before this returns.
    public func wait(timeout: Int = -1) -> Bool {
        guard !isFinished, let lookup else { return isFinished }
        let limit = StreamSocket.deadline(after: timeout)
        let end = timer.map { min($0.deadline, limit ?? .max) } ?? limit
        if lookup.wait(untilNanoseconds: end) { _ = lookup.finishIfReady() }
        if let timer, timer.isActive, timer.deadline <= System.monotonicNanoseconds() { timer.fire() }
        return isFinished
    }

    override func shutDown() { drop() }
}
