import Glibc

/// Who wants something from a proxy.
protocol ProxyConnectorDelegate: AnyObject {
    /// Makes the descriptor that shall connect to the proxy.
    func makeProxyDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor
    /// The addresses of the proxy that can be reached, as they are reached.
    func reachable(_ addresses: [HostAddress]) -> [HostAddress]
    /// The proxy wants credentials. They can be given in here, by `authenticate`, or later if the result is true.
    func proxyAsksForCredentials(realm: String) -> Bool
    /// The proxy listens for us.
    func proxyListens(at endpoint: ProxyEndpoint)
    /// The proxy has done it: the connection is the delegate's now.
    func proxyIsDone(_ connection: ProxyConnection, _ endpoint: ProxyEndpoint?)
    func proxyFailed(_ error: SocketError)
}

/// A connection to a proxy over which everything is said: its descriptor with its place in the poller, and what is known of it.
struct ProxyConnection {
    var descriptor: Int32
    var slot: Int32
    var readiness: Readiness
}

/// The way to a proxy and the dialogue with it, over as many connections as that takes. It ends by one call of the delegate,
/// within `timeout` for each part: until the proxy has done it, and after credentials came.
final class ProxyConnector: ReadinessHandler, ConnectionRaceDelegate {
    private enum Stage { case idle, lookup, connecting, talking, waiting, listening, over }

    /// How often a proxy may ask before that is taken for a refusal.
    private static let questionLimit = 16
    private static let chunk = 4096

    private let loop: EventLoop
    let proxy: Proxy
    private let timeout: Int
    private let interest: Readiness
    private unowned(unsafe) let delegate: any ProxyConnectorDelegate
    private var dialogue: any ProxyDialogue
    private var stage = Stage.idle
    private var lookup: HostLookup?
    private var race: ConnectionRace?
    private var addresses: [HostAddress] = []
    private var connection: ProxyConnection?
    private var unsent: ArraySlice<UInt8> = []
    private var timer: Timer?
    private var stageBegan: UInt64 = 0
    private var reportSoFar: [ConnectionAttempt] = []
    /// Changes with every step, so that whoever calls out sees that something happened meanwhile.
    private var step: UInt32 = 0
    private var questions = 0
    private var keepsConnection = false
    /// The connection has served one question, and says nothing to the next yet: the proxy may be about to close it.
    private var isUsedAgain = false
    private var isAsking = false
    private var hasAnswer = false
    private var refusal: SocketError?

    init(
        _ proxy: Proxy, _ dialogue: any ProxyDialogue, loop: EventLoop, timeout: Int, interest: Readiness,
        delegate: any ProxyConnectorDelegate
    ) {
        self.proxy = proxy
        self.dialogue = dialogue
        self.loop = loop
        self.timeout = timeout
        self.interest = interest
        self.delegate = delegate
    }

    deinit { cancel() }

    /// Whether anything can come of it by waiting.
    var isUnderWay: Bool { stage != .idle && stage != .over }

    /// Where the proxy is.
    var peerAddress: HostAddress? { connection.flatMap { System.peerAddress($0.descriptor)?.hostAddress?.unmapped } }

    /// Every step so far, with those that are not over.
    var attempts: [ConnectionAttempt] {
        switch stage {
        case .lookup: reportSoFar + [entry(proxy.host.abbreviated, .lookup, 0)]
        case .connecting: reportSoFar + (race?.report ?? [])
        case .talking, .waiting, .listening: reportSoFar + [entry(proxy.description, .proxy, 0)]
        case .idle, .over: reportSoFar
        }
    }

    private func entry(_ address: String, _ phase: ConnectionAttempt.Phase, _ number: Int32) -> ConnectionAttempt {
        let milliseconds = Int((System.monotonicNanoseconds() - stageBegan) / 1_000_000)
        return ConnectionAttempt(address: address, phase: phase, milliseconds: milliseconds, systemError: number)
    }

    private func enter(_ next: Stage) {
        stage = next
        step &+= 1
        stageBegan = System.monotonicNanoseconds()
    }

    // MARK: Beginning and ending

    func start() {
        withExtendedLifetime(self) {
            restartTimer()
            if let address = HostAddress(literal: proxy.host) {
                connect(to: [address])
                return
            }
            enter(.lookup)
            lookup = HostLookup(name: proxy.host, protocol: .any, loop: loop) { [weak self] lookup in
                guard let self, self.lookup === lookup else { return }
                self.lookup = nil
                self.lookedUp(lookup.result)
            }
        }
    }

    /// Gives up without a word.
    func cancel() {
        step &+= 1
        stage = .over
        timer?.cancel()
        timer = nil
        lookup?.cancel()
        lookup = nil
        race?.cancel()
        race = nil
        closeConnection()
    }

    private func closeConnection() {
        guard let connection else { return }
        self.connection = nil
        unsent = []
        if connection.slot >= 0 { loop.poller.unregister(connection.slot) }
        System.close(connection.descriptor)
    }

    private func fail(_ error: SocketError) {
        reportSoFar = finishedAttempts(error.systemError)
        cancel()
        delegate.proxyFailed(error)
    }

    private func finishedAttempts(_ number: Int32) -> [ConnectionAttempt] {
        var report = attempts
        if stage != .connecting, stage != .idle, !report.isEmpty { report[report.count - 1].systemError = number }
        return report
    }

    private func restartTimer() {
        timer?.cancel()
        timer = timeout < 0 ? nil : loop.addTimer(after: timeout) { [unowned(unsafe) self] in timedOut() }
    }

    private func timedOut() {
        withExtendedLifetime(self) {
            if stage == .waiting, let refusal {
                fail(SocketError(refusal.code, refusal.message + "; nobody gave any within \(timeout) ms"))
            } else {
                fail(timeoutError(after: timeout))
            }
        }
    }

    /// What running out of time means at this point.
    func timeoutError(after milliseconds: Int) -> SocketError {
        let what =
            switch stage {
            case .lookup: "could not be found"
            case .connecting: "could not be connected to"
            default: "did not answer"
            }
        return SocketError(.proxyConnectionTimeout, "The proxy \(proxy) \(what) within \(milliseconds) ms", systemError: ETIMEDOUT)
    }

    // MARK: To the proxy

    private func lookedUp(_ result: Result<[HostAddress], SocketError>?) {
        switch result {
        case .success(let found)? where !found.isEmpty:
            reportSoFar.append(entry(proxy.host.abbreviated, .lookup, 0))
            connect(to: found)
        case .failure(let error)?:
            let isMissing = error.code == .hostNotFound
            fail(
                SocketError(
                    isMissing ? .proxyNotFound : error.code, "The proxy \(proxy) cannot be looked up: \(error.message)",
                    systemError: error.systemError))
        default:
            fail(SocketError(.proxyNotFound, "The proxy \(proxy) was not found"))
        }
    }

    private func connect(to addresses: [HostAddress]) {
        self.addresses = addresses
        let places = delegate.reachable(addresses).map { SocketAddress($0, port: UInt16(clamping: proxy.port)) }
        enter(.connecting)
        guard !places.isEmpty else {
            fail(
                SocketError(
                    .proxyConnectionRefused, "The proxy \(proxy) cannot be reached from the address that the socket is bound to",
                    systemError: EAFNOSUPPORT))
            return
        }
        let race = ConnectionRace(loop: loop, addresses: places, interest: interest, delegate: self)
        self.race = race
        race.start()
    }

    func makeDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor { try delegate.makeProxyDescriptor(for: address) }

    func raceLost(_ error: SocketError) {
        withExtendedLifetime(self) {
            let code: SocketError.Code =
                switch error.code {
                case .connectionRefused: .proxyConnectionRefused
                case .socketTimeout: .proxyConnectionTimeout
                case .remoteHostClosed: .proxyConnectionClosed
                case .hostNotFound: .proxyNotFound
                default: error.code
                }
            fail(SocketError(code, "The proxy \(proxy) cannot be connected to: \(error.message)", systemError: error.systemError))
        }
    }

    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String) {
        withExtendedLifetime(self) {
            reportSoFar += race?.report ?? []
            race = nil
            connection = ProxyConnection(descriptor: descriptor, slot: slot, readiness: readiness)
            loop.poller.transfer(slot, to: self)
            enter(.talking)
            unsent = dialogue.open()[...]
            pump()
        }
    }

    // MARK: The dialogue

    func descriptorReady(_ readiness: Readiness) {
        withExtendedLifetime(self) {
            connection?.readiness.formUnion(readiness)
            if stage == .talking || stage == .listening { pump() }
        }
    }

    /// Sends what is to be sent and takes what has come.
    private func pump() {
        while stage == .talking || stage == .listening {
            guard sendUnsent(), receive() else { return }
        }
    }

    /// False when the dialogue cannot go on now.
    private func sendUnsent() -> Bool {
        while !unsent.isEmpty {
            guard let descriptor = connection?.descriptor else { return false }
            let sent = unsent.withUnsafeBytes { bytes in
                bytes.baseAddress.map { System.send(descriptor, $0, bytes.count) } ?? 0
            }
            // A proxy that has closed may have said why before.
            if sent < 0 {
                guard sent != -Int(EAGAIN) else { return true }
                unsent = []
                return true
            }
            unsent = unsent.dropFirst(sent)
        }
        return true
    }

    /// Takes what belongs to the dialogue and leaves the rest with the system, for the stream. False when there is nothing more now.
    private func receive() -> Bool {
        guard let descriptor = connection?.descriptor else { return false }
        return withUnsafeTemporaryAllocation(byteCount: Self.chunk, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return false }
            let count = System.peek(descriptor, start, buffer.count)
            guard count > 0 else {
                if count != -Int(EAGAIN) { closed(count) }
                return false
            }
            isUsedAgain = false
            var used = 0
            let next = dialogue.take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]), used: &used)
            if used > 0 { _ = System.recv(descriptor, start, used) }
            return handle(next)
        }
    }

    private func closed(_ result: Int) {
        if isUsedAgain {
            reconnect()
            return
        }
        let number = result < 0 ? Int32(clamping: -result) : 0
        let why = number == 0 ? "" : " (\(SystemError.text(number)))"
        let message =
            stage == .listening
            ? "The proxy \(proxy) stopped listening for us\(why)"
            : "The proxy \(proxy) closed the connection before it had answered\(why)"
        fail(SocketError(.proxyConnectionClosed, message, systemError: number))
    }

    /// Whether there may be more to receive.
    private func handle(_ next: ProxyStep) -> Bool {
        switch next {
        case .more:
            return true
        case .send(let bytes):
            unsent = bytes[...]
            return true
        case .repeated(let bytes):
            isUsedAgain = true
            unsent = bytes[...]
            return true
        case .reconnect:
            reconnect()
            return false
        case .unauthorized(let realm, let keeps, let error):
            return ask(realm: realm, keepsConnection: keeps, error)
        case .listening(let endpoint):
            timer?.cancel()
            timer = nil
            stage = .listening
            let begun = step
            delegate.proxyListens(at: endpoint)
            return begun == step
        case .done(let endpoint):
            reportSoFar = attempts
            guard let connection else { return false }
            self.connection = nil
            cancel()
            delegate.proxyIsDone(connection, endpoint)
            return false
        case .failed(let error):
            fail(error)
            return false
        }
    }

    private func reconnect() {
        isUsedAgain = false
        reportSoFar = attempts
        closeConnection()
        connect(to: addresses)
    }

    // MARK: Credentials

    private func ask(realm: String, keepsConnection keeps: Bool, _ error: SocketError) -> Bool {
        questions += 1
        guard questions <= Self.questionLimit else {
            fail(error)
            return false
        }
        refusal = error
        keepsConnection = keeps
        hasAnswer = false
        stage = .waiting
        step &+= 1
        if !keeps { closeConnection() }
        let begun = step
        isAsking = true
        let waits = delegate.proxyAsksForCredentials(realm: realm)
        isAsking = false
        guard begun == step else { return false }
        if hasAnswer {
            goOn()
            return false
        }
        if waits { restartTimer() } else { fail(error) }
        return false
    }

    /// Whether `authenticate` has anything to answer.
    var asksForCredentials: Bool { stage == .waiting && !hasAnswer }

    /// No user: gives up.
    func authenticate(user: String, password: String) {
        guard asksForCredentials else { return }
        if user.isEmpty, let refusal {
            withExtendedLifetime(self) { fail(refusal) }
            return
        }
        hasAnswer = true
        dialogue.authenticate(user: user, password: password)
        if !isAsking { withExtendedLifetime(self) { goOn() } }
    }

    private func goOn() {
        restartTimer()
        guard keepsConnection, let connection, !hasEnded(connection) else {
            reconnect()
            return
        }
        stage = .talking
        isUsedAgain = true
        unsent = dialogue.resume()[...]
        pump()
    }

    /// Whether the proxy has closed while somebody looked for the password.
    private func hasEnded(_ connection: ProxyConnection) -> Bool {
        if !connection.readiness.isDisjoint(with: [.readHangup, .hangup, .error]) { return true }
        return withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { buffer in
            guard let start = buffer.baseAddress else { return true }
            return System.peek(connection.descriptor, start, 1) != -Int(EAGAIN)
        }
    }

    // MARK: Blocking waits

    /// Sleeps until something happens or the deadline has come, and handles it.
    func advance(until deadline: UInt64?) {
        withExtendedLifetime(self) {
            let end = timer.map { min($0.deadline, deadline ?? .max) } ?? deadline
            switch stage {
            case .idle, .over: break
            case .lookup:
                if let lookup, lookup.wait(untilNanoseconds: end) { lookup.finishIfReady() }
            case .connecting:
                if let race { withExtendedLifetime(race) { race.advance(until: end) } }
            case .talking, .listening, .waiting:
                sleep(until: end)
            }
            if let timer, timer.isActive, timer.deadline <= System.monotonicNanoseconds() { timer.fire() }
        }
    }

    private func sleep(until deadline: UInt64?) {
        var entry = pollfd(fd: stage == .waiting ? -1 : connection?.descriptor ?? -1, events: Int16(POLLIN), revents: 0)
        if !unsent.isEmpty { entry.events |= Int16(POLLOUT) }
        guard System.poll(&entry, 1, timeoutMilliseconds: Socket.milliseconds(until: deadline)) > 0 else { return }
        pump()
    }
}
