import CLinux
import Glibc
import Synchronization

/// One name being looked up, on a thread of the resolver's pool. It starts at once and belongs to its loop's thread; dropping
/// it cancels it. Literals do not come here.
final class HostLookup {
    let name: String
    let networkProtocol: NetworkProtocol

    private let mailbox: LoopMailbox
    private var job: LookupJob
    private var completion: ((HostLookup) -> Void)?
    private var isCancelled = false

    /// `completion` is called exactly once unless the lookup is cancelled: from the loop, or from `finishIfReady()`; never
    /// from inside this call, not even for a name that cannot be.
    init(name: String, protocol networkProtocol: NetworkProtocol, loop: EventLoop, completion: @escaping (HostLookup) -> Void) {
        self.name = name
        self.networkProtocol = networkProtocol
        self.mailbox = loop.mailbox
        self.completion = completion
        job = LookupJob(name: name, protocol: networkProtocol)
        start()
    }

    deinit {
        job.pool?.withdraw(job)
    }

    /// The addresses in the order in which to try them (RFC 6724), none of them twice; nil while the lookup goes on.
    var result: Result<[HostAddress], SocketError>? { isCancelled ? nil : job.result }

    /// Drops the result; the completion is not called any more.
    func cancel() {
        isCancelled = true
        completion = nil
        job.pool?.withdraw(job)
    }

    /// Blocks the calling thread until there is a result or the deadline (of `System.monotonicNanoseconds()`, nil: none) has
    /// passed. True when there is one. It calls nobody: `finishIfReady()` does.
    func wait(untilNanoseconds deadline: UInt64?) -> Bool {
        if isCancelled { return false }
        if job.result != nil { return true }
        if let pool = job.pool, !pool.isOfThisProcess {
            // The threads that were at it stayed in the parent of a fork.
            job = LookupJob(name: name, protocol: networkProtocol)
            start()
        }
        return job.pool?.wait(for: job, until: deadline) ?? (job.result != nil)
    }

    /// Whether there is a result; calls the completion if nobody has yet.
    @discardableResult
    func finishIfReady() -> Bool {
        guard result != nil else { return false }
        let completion = self.completion
        self.completion = nil
        completion?(self)
        return true
    }

    private func start() {
        // The job outlives a cancelled lookup and may be let go on any thread: it holds no strong reference.
        let delivery = Delivery(to: self)
        job.deliver = { [mailbox] in mailbox.post { delivery.receiver?.finishIfReady() } }
        if let failure = HostLookup.objection(to: name) {
            job.finish(.failure(failure))
            job.deliver()
        } else {
            ResolverPool.current.submit(job)
        }
    }

    /// What is wrong with a name that no lookup could find.
    static func objection(to name: String) -> SocketError? {
        let bytes = name.utf8
        let labels = bytes.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        // A final dot says that the name is complete.
        let significant = labels.count > 1 && labels.last?.isEmpty == true ? labels.dropLast() : labels[...]
        if bytes.contains(0) { return notFound(name, "a name cannot contain a NUL") }
        if bytes.count > 255 { return notFound(name.abbreviated, "a name has at most 255 bytes") }
        if significant.contains(where: \.isEmpty) { return notFound(name, "a part of the name is empty") }
        // getaddrinfo would take "1.2.3" for 1.2.0.3 and "2130706433" for 127.0.0.1, past every rule about addresses.
        if let last = significant.last, isNumber(last) { return notFound(name, "it is neither a name nor an address") }
        return nil
    }

    private static func isNumber(_ label: Substring.UTF8View.SubSequence) -> Bool {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        if label.allSatisfy({ digits.contains($0) }) { return true }
        let text = String(Substring(label)).lowercased()
        return text.hasPrefix("0x") && text.dropFirst(2).allSatisfy(\.isHexDigit)
    }

    fileprivate static func notFound(_ name: String, _ reason: String) -> SocketError {
        SocketError(.hostNotFound, "Host not found: \(name.abbreviated) (\(reason))")
    }
}

/// The way back to the lookup. Made, read and (as a weak reference may be) let go safely on different threads.
private final class Delivery: @unchecked Sendable {
    private(set) weak var receiver: HostLookup?

    init(to receiver: HostLookup) { self.receiver = receiver }
}

/// What a lookup and the thread that does it share. `pool` and `deliver` are set before the job is shared and never again.
private final class LookupJob: @unchecked Sendable {
    let name: String
    let networkProtocol: NetworkProtocol
    var pool: ResolverPool?
    var deliver: @Sendable () -> Void = {}
    private let outcome = Mutex<Result<[HostAddress], SocketError>?>(nil)

    init(name: String, protocol networkProtocol: NetworkProtocol) {
        self.name = name
        self.networkProtocol = networkProtocol
    }

    var result: Result<[HostAddress], SocketError>? { outcome.withLock { $0 } }

    func finish(_ result: Result<[HostAddress], SocketError>) {
        outcome.withLock { $0 = result }
    }

    /// Asks the system; takes as long as that takes.
    func resolve() -> Result<[HostAddress], SocketError> {
        var hints = addrinfo()
        hints.ai_socktype = System.stream // Or else each address would come once for every type.
        hints.ai_family = switch networkProtocol {
        case .ipv4: AF_INET
        case .ipv6: AF_INET6
        case .any, .unknown: AF_UNSPEC
        }
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &list)
        let number = errno
        guard code == 0 else { return .failure(failure(code, number)) }
        defer { freeaddrinfo(list) }

        var addresses: [HostAddress] = []
        var next = list
        while let entry = next {
            let info = entry.pointee
            if let address = SocketAddress(info.ai_addr, length: info.ai_addrlen)?.hostAddress, !addresses.contains(address) {
                addresses.append(address)
            }
            next = info.ai_next
        }
        return addresses.isEmpty ? .failure(HostLookup.notFound(name, "it has no address")) : .success(addresses)
    }

    private func failure(_ code: Int32, _ number: Int32) -> SocketError {
        let text = gai_strerror(code).map { String(cString: $0) } ?? "unknown error"
        switch code {
        case EAI_AGAIN:
            return SocketError(.hostNotFound, "The name \(name) cannot be looked up now: \(text)")
        case EAI_MEMORY:
            return SocketError.from(errno: ENOMEM, doing: .create, peer: name)
        case EAI_SYSTEM where number == EMFILE || number == ENFILE:
            return SocketError.from(errno: number, doing: .create, peer: name)
        case EAI_SYSTEM:
            return SocketError(.hostNotFound, "Host not found: \(name) (\(SystemError.text(number)))", systemError: number)
        default:
            return HostLookup.notFound(name, text)
        }
    }
}

/// A few threads that look names up. They start when there is work, block all signals, and end after a while without any.
private final class ResolverPool: @unchecked Sendable {
    private static let maximumThreads = 4
    private static let maximumWaiting = 256
    private static let idleNanoseconds: UInt64 = 10_000_000_000
    /// Modules of the name service run on it too, and they are less modest than the resolver itself.
    private static let stackSize = 512 << 10

    /// The address of this process's pool, or 0.
    private static let instance = Atomic<UInt>(0)

    /// The pool of this process. A forked child makes its own: the parent's threads do not exist there, and its lock may be
    /// held for ever. For the same reason there is no lock around this, and the parent's pool is left alone.
    static var current: ResolverPool {
        let address = instance.load(ordering: .acquiring)
        if let pool = pool(at: address), pool.isOfThisProcess { return pool }
        let fresh = ResolverPool()
        let retained = Unmanaged.passRetained(fresh)
        let freshAddress = UInt(bitPattern: retained.toOpaque())
        let (exchanged, original) = instance.compareExchange(expected: address, desired: freshAddress, ordering: .acquiringAndReleasing)
        if exchanged { return fresh }
        retained.release()
        return pool(at: original) ?? fresh
    }

    private static func pool(at address: UInt) -> ResolverPool? {
        UnsafeRawPointer(bitPattern: address).map { Unmanaged<ResolverPool>.fromOpaque($0).takeUnretainedValue() }
    }

    private let process = getpid()
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let workCame = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let workDone = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    // Guarded by the mutex:
    private var waiting: [LookupJob] = []
    private var threads = 0
    private var idleThreads = 0

    var isOfThisProcess: Bool { getpid() == process }

    private init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(workCame, &attributes)
        pthread_cond_init(workDone, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    /// Reached only by a pool that lost the race to become the current one.
    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(workCame)
        pthread_cond_destroy(workDone)
        mutex.deallocate()
        workCame.deallocate()
        workDone.deallocate()
    }

    private func locked<Value>(_ body: () -> Value) -> Value {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    func submit(_ job: LookupJob) {
        job.pool = self
        let failure: SocketError? = locked {
            guard waiting.count < ResolverPool.maximumWaiting else {
                return SocketError(.limitReached, "Too many names wait to be looked up (\(ResolverPool.maximumWaiting))")
            }
            waiting.append(job)
            if waiting.count <= idleThreads {
                pthread_cond_signal(workCame)
            } else if threads < ResolverPool.maximumThreads {
                let number = startThread()
                if number == 0 {
                    threads += 1
                } else if threads == 0 {
                    waiting.removeAll { $0 === job }
                    return SocketError(.socketResource, "No thread could be started to look up \(job.name)", systemError: number)
                }
            }
            return nil
        }
        guard let failure else { return }
        job.finish(.failure(failure))
        job.deliver()
    }

    /// Takes back a job that nobody has begun; one that is being done runs to its end unheard.
    func withdraw(_ job: LookupJob) {
        guard isOfThisProcess, job.result == nil else { return }
        locked { waiting.removeAll { $0 === job } }
    }

    /// True when the job is done, false at the deadline.
    func wait(for job: LookupJob, until deadline: UInt64?) -> Bool {
        locked {
            while job.result == nil {
                if !sleep(on: workDone, until: deadline) { return job.result != nil }
            }
            return true
        }
    }

    /// False when the deadline has passed.
    private func sleep(on condition: UnsafeMutablePointer<pthread_cond_t>, until deadline: UInt64?) -> Bool {
        guard let deadline else { return pthread_cond_wait(condition, mutex) == 0 }
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT
    }

    private func startThread() -> Int32 {
        // The current pool is never let go, so that its threads need not hold it.
        clinux_start_thread(ResolverPool.stackSize, { context in
            clinux_name_thread("sluice-resolver")
            if let context { Unmanaged<ResolverPool>.fromOpaque(context).takeUnretainedValue().work() }
            return nil
        }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func work() {
        while let job = nextJob() {
            let result = job.resolve()
            locked {
                job.finish(result)
                pthread_cond_broadcast(workDone)
            }
            job.deliver()
        }
    }

    /// Nil when there was nothing to do for so long that the thread shall end.
    private func nextJob() -> LookupJob? {
        locked {
            let limit = System.monotonicNanoseconds() + ResolverPool.idleNanoseconds
            while waiting.isEmpty {
                idleThreads += 1
                let inTime = sleep(on: workCame, until: limit)
                idleThreads -= 1
                if !inTime, waiting.isEmpty {
                    threads -= 1
                    return nil
                }
            }
            return waiting.removeFirst()
        }
    }
}
