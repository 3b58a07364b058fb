import Glibc

/// Who started a race and gets its result.
protocol ConnectionRaceDelegate: AnyObject {
    /// Makes the descriptor for an attempt and sets its options.
    func makeDescriptor(for address: SocketAddress) throws(SocketError) -> Descriptor
    /// The first connection that was made; the descriptor and its place in the poller are the delegate's from now on.
    func raceWon(descriptor: Int32, slot: Int32, readiness: Readiness, peer: String)
    func raceLost(_ error: SocketError)
}

/// Connects to the first of several addresses that answers (RFC 8305, "Happy Eyeballs").
///
/// The addresses are tried in the resolver's order, but with the two families taking turns. The next attempt starts when one
/// fails, or 250 ms after the last one started; all that run then race, and the first connection wins. An address that never
/// answers so costs a quarter of a second and not a minute.
final class ConnectionRace {
    /// The delay that the RFC recommends.
    private static let attemptDelay = 250

    private let loop: EventLoop
    private unowned(unsafe) let delegate: any ConnectionRaceDelegate
    private let interest: Readiness
    private var waiting: [SocketAddress]
    private var running: [Attempt] = []
    private var nextAttempt: Timer?
    private(set) var attempts: [ConnectionAttempt] = []
    private var lastError: SocketError?
    private var isOver = false

    init(loop: EventLoop, addresses: [SocketAddress], interest: Readiness, delegate: any ConnectionRaceDelegate) {
        self.loop = loop
        self.delegate = delegate
        self.interest = interest
        waiting = Self.interleaved(addresses)
    }

    deinit { cancel() }

    private static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let family = addresses.first?.family else { return [] }
        let first = addresses.filter { $0.family == family }
        let second = addresses.filter { $0.family != family }
        var result: [SocketAddress] = []
        for index in 0..<max(first.count, second.count) {
            if index < first.count { result.append(first[index]) }
            if index < second.count { result.append(second[index]) }
        }
        return result
    }

    /// Starts the first attempt. When it fails at once, and there is no other, the delegate hears of it before this returns.
    func start() { startNext() }

    var isUnderWay: Bool { !running.isEmpty || nextAttempt != nil }

    var descriptorInUse: Int32 { running.first?.descriptor ?? -1 }

    func cancel() {
        isOver = true
        nextAttempt?.cancel()
        nextAttempt = nil
        for attempt in running { attempt.abandon() }
        running = []
    }

    private func startNext() {
        nextAttempt?.cancel()
        nextAttempt = nil
        while !isOver, !waiting.isEmpty {
            let address = waiting.removeFirst()
            do throws(SocketError) {
                running.append(try Attempt.start(at: address, race: self))
            } catch {
                note(address, started: System.monotonicNanoseconds(), error: error)
                continue
            }
            if !waiting.isEmpty {
                nextAttempt = loop.addTimer(after: Self.attemptDelay) { [weak self] in self?.startNext() }
            }
            return
        }
        if !isOver, running.isEmpty {
            isOver = true
            delegate.raceLost(lastError ?? SocketError(.hostNotFound, "There is no address to connect to"))
        }
    }

    private func note(_ address: SocketAddress, started: UInt64, error: SocketError?) {
        attempts.append(
            ConnectionAttempt(
                address: address.description, phase: .connect,
                milliseconds: Int((System.monotonicNanoseconds() - started) / 1_000_000), systemError: error?.systemError ?? 0))
        if let error { lastError = error }
    }

    private func finished(_ attempt: Attempt, readiness: Readiness, error: SocketError?) {
        running.removeAll { $0 === attempt }
        note(attempt.address, started: attempt.started, error: error)
        if error != nil {
            attempt.abandon()
            startNext()
            return
        }
        let (descriptor, slot) = attempt.release()
        cancel()
        delegate.raceWon(descriptor: descriptor, slot: slot, readiness: readiness, peer: attempt.address.description)
    }

    /// What a race that is given up had under way.
    var report: [ConnectionAttempt] {
        attempts
            + running.map {
                ConnectionAttempt(
                    address: $0.address.description, phase: .connect,
                    milliseconds: Int((System.monotonicNanoseconds() - $0.started) / 1_000_000), systemError: 0)
            }
    }

    /// For blocking waits: sleeps for the attempts that run, until the deadline.
    func advance(until deadline: UInt64?) {
        let contenders = running
        var entries = contenders.map { pollfd(fd: $0.descriptor, events: Int16(POLLOUT), revents: 0) }
        let earliest = nextAttempt.map { min($0.deadline, deadline ?? .max) } ?? deadline
        let count = entries.count
        let ready = entries.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map {
                System.poll($0, count, timeoutMilliseconds: StreamSocket.milliseconds(until: earliest))
            } ?? 0
        }
        if ready > 0 {
            for (attempt, entry) in zip(contenders, entries) where entry.revents != 0 && !isOver {
                var readiness: Readiness = []
                if entry.revents & Int16(POLLOUT) != 0 { readiness.insert(.writable) }
                if entry.revents & Int16(POLLERR) != 0 { readiness.insert(.error) }
                if entry.revents & Int16(POLLHUP) != 0 { readiness.insert(.hangup) }
                attempt.descriptorReady(readiness)
            }
        }
        if let timer = nextAttempt, timer.deadline <= System.monotonicNanoseconds() { timer.fire() }
    }

    private final class Attempt: ReadinessHandler {
        let address: SocketAddress
        let started = System.monotonicNanoseconds()
        private(set) var descriptor: Int32
        private var slot: Int32 = -1
        private let loop: EventLoop
        private unowned let race: ConnectionRace

        private init(_ descriptor: Int32, at address: SocketAddress, race: ConnectionRace) {
            self.descriptor = descriptor
            self.address = address
            self.race = race
            loop = race.loop
        }

        static func start(at address: SocketAddress, race: ConnectionRace) throws(SocketError) -> Attempt {
            let descriptor = try race.delegate.makeDescriptor(for: address)
            do throws(SystemError) {
                let result = System.connect(descriptor.rawValue, address)
                guard result == 0 || result == -Int(EINPROGRESS) else {
                    throw SystemError(number: Int32(truncatingIfNeeded: -result), call: "connect")
                }
                let attempt = Attempt(descriptor.release(), at: address, race: race)
                attempt.slot = try race.loop.poller.register(attempt.descriptor, for: race.interest, handler: attempt)
                return attempt
            } catch {
                throw SocketError.from(errno: error.number, doing: .connect, peer: address.description)
            }
        }

        deinit { abandon() }

        func abandon() {
            guard descriptor >= 0 else { return }
            if slot >= 0 { loop.poller.unregister(slot) }
            System.close(descriptor)
            descriptor = -1
        }

        func release() -> (descriptor: Int32, slot: Int32) {
            defer { descriptor = -1 }
            return (descriptor, slot)
        }

        func descriptorReady(_ readiness: Readiness) {
            guard descriptor >= 0 else { return }
            guard !readiness.isDisjoint(with: [.writable, .error, .hangup]) else { return }
            // Keeps this alive while the race lets go of it.
            withExtendedLifetime(self) {
                let broken = !readiness.isDisjoint(with: [.error, .hangup])
                let number = broken ? System.socketError(descriptor) : 0
                let error = number == 0 ? nil : SocketError.from(errno: number, doing: .connect, peer: address.description)
                race.finished(self, readiness: readiness, error: error)
            }
        }
    }
}
