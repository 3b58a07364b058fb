import CLinux
import Glibc

/// Something that asked for a place in the loop's next turn.
protocol TurnHandler: AnyObject {
    func takeTurn()
}

/// Waits for descriptors, timers and posted work, and runs what belongs to them: one turn after the other, on one thread.
///
/// A turn: send what was written since the last one; give a turn to the objects that asked for one; sleep until something is
/// ready (not at all while work is waiting); handle what is ready, and after each handler send what it wrote; fire due timers;
/// run posted work. Turns may nest: a handler may run the loop, or wait for a socket, and whatever was fetched
/// and not yet handled is handled there.
///
/// A loop and all that lives on it belong to one thread. What other threads may use is its `mailbox`.
public final class EventLoop {
    /// How much one socket may read or send in one turn before the others get theirs.
    static let fairShare = 1 << 18

    /// For other threads: post work, stop the loop.
    public let mailbox: LoopMailbox

    var poller: Poller
    var timers = TimerQueue()
    let buffers = BufferPool()
    var tlsContexts = TLSContextCache()
    let objectNames = ObjectNames()

    /// Descriptors of this loop's objects that are not in the poller: bound, and not yet connected.
    var idleDescriptors: Set<Int32> = []

    private let wakeup: Wakeup
    private let wakeupHandler = WakeupHandler()
    private var posted = WorkList<@Sendable () -> Void>()
    private var turnHandlers = WorkList<any TurnHandler>()
    /// The sockets that have gathered bytes to send. Mostly it is one, which has a place of its own.
    private var unsentSocket: StreamSocket?
    private var moreUnsentSockets = WorkList<StreamSocket>()
    private var turnEndActions: [() -> Void] = []
    private var isDestroyed = false
    private var depth = 0
    /// Counts turns, so that what happens in consecutive ones can be told.
    private(set) var turnCount: UInt64 = 0
    private var embedding: Embedding?

    /// Microseconds for which the loop asks for events again and again before it sleeps; 0, the default, is never.
    /// Round trips between two cores become several times as fast for it, and a core is kept busy meanwhile. While waits
    /// turn out long the loop gives it up by itself.
    public var busyPoll = 0 {
        didSet { busyPoll = max(0, min(busyPoll, 1_000_000)) }
    }
    private var fruitlessPolls = 0

    /// Throws SocketResourceError when the system has no descriptors or memory left.
    public init() throws(SocketError) {
        do throws(SystemError) {
            poller = try Poller()
            wakeup = try Wakeup()
            mailbox = LoopMailbox(wakeup: wakeup)
            _ = try poller.register(wakeup.descriptor, for: [.readable, .edgeTriggered], handler: wakeupHandler)
        } catch {
            throw SocketError.from(error)
        }
    }

    // MARK: Running

    /// Runs until `stop()`. A stop that came before ends it at once.
    public func run() throws(SocketError) {
        while !isDestroyed, !mailbox.takeStopRequest() { _ = turn(timeout: -1) }
    }

    /// One turn: sleeps up to `timeout` milliseconds for something to do (0: not at all, -1: without limit).
    /// Returns whether anything was done.
    public func runOnce(timeout: Int) throws(SocketError) -> Bool {
        turn(timeout: timeout)
    }

    /// Ends `run()`: the one in progress or, if there is none, the next.
    public func stop() { mailbox.stop() }

    /// Runs this in the next turn, in the order posted.
    public func post(_ work: @escaping @Sendable () -> Void) { mailbox.post(work) }

    private func turn(timeout: Int) -> Bool {
        guard !isDestroyed else { return false }
        depth += 1
        turnCount &+= 1
        defer {
            depth -= 1
            if depth == 0 { embedding?.prepareToSleep(self) }
        }
        // What is sent may raise events, for which the caller waits: then there is no time to sleep.
        var didAnything = hasUnsent
        sendUnsent()
        if giveTurns() { didAnything = true }
        if wait(timeout: didAnything ? 0 : timeout) { didAnything = true }
        while let (handler, readiness) = poller.next() {
            handler.descriptorReady(readiness)
            sendUnsent()
        }
        if fireDueTimers() { didAnything = true }
        if runPosted() { didAnything = true }
        sendUnsent()
        for action in turnEndActions { action() }
        return didAnything
    }

    /// True when descriptors are ready.
    private func wait(timeout: Int) -> Bool {
        let limit = sleepLimit(timeout)
        if limit != 0, busyPoll > 0, pollBusily() { return true }
        return poller.fetch(timeout: limit) > 0
    }

    private func sleepLimit(_ timeout: Int) -> Int32 {
        if timeout == 0 || hasImmediateWork { return 0 }
        var limit = timeout < 0 ? Int.max : timeout
        if let deadline = timers.nextDeadline {
            let now = System.monotonicNanoseconds()
            // Rounded up: waking a little early would make turns that find nothing to do.
            limit = deadline <= now ? 0 : min(limit, Int((deadline - now + 999_999) / 1_000_000))
        }
        if limit == Int.max { return -1 }
        return Int32(min(limit, Int(Int32.max)))
    }

    private var hasImmediateWork: Bool {
        hasUnsent || !turnHandlers.isEmpty || !mailbox.isEmpty || !posted.isEmpty || poller.hasFetched
    }

    /// Polling pays only where events come soon; after several vain attempts only every 64th wait tries again.
    private func pollBusily() -> Bool {
        if fruitlessPolls >= 8, fruitlessPolls % 64 != 0 {
            fruitlessPolls += 1
            return false
        }
        let end = System.monotonicNanoseconds() + UInt64(busyPoll) * 1000
        repeat {
            if poller.fetch(timeout: 0) > 0 {
                fruitlessPolls = 0
                return true
            }
        } while mailbox.isEmpty && System.monotonicNanoseconds() < end
        fruitlessPolls += 1
        return false
    }

    private func fireDueTimers() -> Bool {
        guard !timers.isEmpty else { return false }
        let now = System.monotonicNanoseconds()
        var fired = false
        while let timer = timers.due(at: now) {
            fired = true
            timer.fire()
            sendUnsent()
        }
        return fired
    }

    private func runPosted() -> Bool {
        if !mailbox.isEmpty { posted.append(contentsOf: mailbox.collect()) }
        guard !posted.isEmpty else { return false }
        posted.beginRound()
        while let item = posted.next() {
            item()
            sendUnsent()
        }
        return true
    }

    private func giveTurns() -> Bool {
        guard !turnHandlers.isEmpty else { return false }
        turnHandlers.beginRound()
        while let handler = turnHandlers.next() {
            handler.takeTurn()
            sendUnsent()
        }
        return true
    }

    /// Sends what sockets have gathered. A socket that is written to again meanwhile waits for the next call, so that
    /// one whose handler always writes more cannot hold up the turn.
    @inline(__always)
    private func sendUnsent() {
        if hasUnsent { sendAllUnsent() }
    }

    private var hasUnsent: Bool { unsentSocket != nil || !moreUnsentSockets.isEmpty }

    private func sendAllUnsent() {
        if let socket = unsentSocket {
            unsentSocket = nil
            socket.sendGathered()
        }
        guard !moreUnsentSockets.isEmpty else { return }
        moreUnsentSockets.beginRound()
        while let socket = moreUnsentSockets.next() { socket.sendGathered() }
    }

    // MARK: What objects on the loop ask for

    /// Gives the object a turn soon; once, however often it is asked. The caller keeps a flag for that.
    func requestTurn(_ handler: any TurnHandler) {
        turnHandlers.append(handler)
        noteWork()
    }

    /// Takes back a `requestTurn`. False while the turn is about to be given.
    func withdrawTurn(_ handler: any TurnHandler) -> Bool { turnHandlers.withdraw { $0 === handler } }

    /// Has the socket send what it gathered when the running handler or the turn ends.
    func requestSend(_ socket: StreamSocket) {
        if unsentSocket == nil, moreUnsentSockets.isEmpty {
            unsentSocket = socket
        } else {
            moreUnsentSockets.append(socket)
        }
        noteWork()
    }

    /// Takes back a `requestSend`. False while a round of sending has the socket in it.
    func withdrawSend(_ socket: StreamSocket) -> Bool {
        guard unsentSocket === socket else { return moreUnsentSockets.withdraw { $0 === socket } }
        unsentSocket = nil
        return true
    }

    /// Sends at once what was written outside the loop's turns, as the next turn would. Returns whether there was anything.
    @discardableResult
    public func sendWritten() -> Bool {
        guard hasUnsent else { return false }
        sendAllUnsent()
        return true
    }

    /// Ends the loop: nothing that was asked of it will happen any more, and it holds no object any more. Destroy its objects
    /// first. May be called from inside a turn, which then ends.
    public func destroy() {
        isDestroyed = true
        // Letting something go may come back here, as when a closure is the last to hold a socket: so nothing goes
        // before all is taken out.
        let held: [Any] = [
            unsentSocket as Any, moreUnsentSockets.takeAll(), turnHandlers.takeAll(), posted.takeAll(), mailbox.collect(), turnEndActions,
        ]
        unsentSocket = nil
        let running = timers.takeAll()
        turnEndActions = []
        embedding = nil
        for timer in running { timer.cancel() }
        withExtendedLifetime(held) {}
    }

    /// A foreign loop that polls our descriptor must learn of work that came up outside our turns.
    private func noteWork() {
        if depth == 0, embedding != nil { wakeup.signal() }
    }

    fileprivate var needsWakeup: Bool { hasImmediateWork }
    fileprivate func wake() { wakeup.signal() }

    /// Whether an object of this loop owns the descriptor.
    func holds(_ descriptor: Int32) -> Bool { idleDescriptors.contains(descriptor) || poller.isRegistered(descriptor) }

    // MARK: Timers, descriptors, ends of turns

    /// Runs the action once after so many milliseconds, or again and again. 0 is the next turn.
    public func addTimer(after milliseconds: Int, repeats: Bool = false, _ action: @escaping () -> Void) -> Timer {
        let (nanoseconds, overflow) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
        let delay = overflow ? UInt64.max : nanoseconds
        let timer = timers.makeTimer(loop: self, after: delay, interval: repeats ? max(delay, 1_000_000) : 0, action: action)
        timers.insert(timer)
        if depth == 0 { embedding?.prepareToSleep(self) }
        return timer
    }

    /// Tells when a descriptor is ready. Throws UnsupportedSocketOperationError for what cannot be polled, as plain files.
    public func watch(
        descriptor: Int32, readable: Bool, writable: Bool,
        _ action: @escaping (_ readable: Bool, _ writable: Bool) -> Void
    ) throws(SocketError) -> DescriptorWatch {
        do throws(SystemError) {
            return try DescriptorWatch(
                loop: self, descriptor: descriptor, readable: readable, writable: writable, action: action)
        } catch {
            if error.number == EPERM {
                throw SocketError(
                    .unsupportedSocketOperation, "The descriptor \(descriptor) cannot be waited for: it is that of a plain file", systemError: EPERM)
            }
            throw SocketError.from(error)
        }
    }

    /// Runs this at the end of every turn.
    public func afterTurn(_ action: @escaping () -> Void) { turnEndActions.append(action) }

    // MARK: Living in a foreign loop

    /// One descriptor that is readable whenever this loop has something to do, timers included: poll it from any other
    /// event loop and call `runOnce(timeout: 0)` when it is. It stays the loop's.
    public var descriptor: Int32 {
        get throws(SocketError) {
            if embedding == nil {
                do throws(SystemError) {
                    let alarm = try Embedding()
                    _ = try poller.register(
                        alarm.timer.rawValue, for: [.readable, .edgeTriggered], handler: wakeupHandler)
                    embedding = alarm
                } catch {
                    throw SocketError.from(error)
                }
                embedding?.prepareToSleep(self)
            }
            return poller.epoll.rawValue
        }
    }

    /// Turns our deadlines and waiting work into readiness of a descriptor.
    private final class Embedding {
        let timer: Descriptor
        private var armedDeadline: UInt64?

        init() throws(SystemError) { timer = try System.timerDescriptor() }

        func prepareToSleep(_ loop: EventLoop) {
            if loop.needsWakeup { loop.wake() }
            let deadline = loop.timers.nextDeadline
            guard deadline != armedDeadline else { return }
            armedDeadline = deadline
            System.setTimer(timer.rawValue, deadline: deadline ?? 0)
        }
    }
}

/// Waking is all that these descriptors are for. They are edge-triggered, so nothing has to be read from them.
private final class WakeupHandler: ReadinessHandler {
    func descriptorReady(_ readiness: Readiness) {}
}
