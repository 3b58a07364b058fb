import CSluice
import Glibc
import Sluice
import Synchronization

/// What stands behind a loop's handle: the loop, the slots of its objects, its timers and its event queue. There is one record
/// for each loop index; it is never freed, and serves one loop after the other.
///
/// It receives the events of all objects on its loop. Only `control`, `stopRequested` and the table's owner are for other threads.
final class LoopRecord: EventReceiver, @unchecked Sendable {
    /// What other threads may do to the loop.
    struct Control {
        var handle: sluice_handle
        var mailbox: LoopMailbox
    }

    private static let eventsPerTurn = 64

    let table: UnsafeMutablePointer<HandleTable>
    /// nil when there is no loop.
    let control = Mutex<Control?>(nil)
    let stopRequested = Atomic<Bool>(false)

    private(set) var loop: EventLoop?
    private(set) var queue = EventQueue()
    private var queuesEvents = false
    private var eventsSinceTurn = 0
    private var timers: [Int64: Timer] = [:]
    private var lastTimer: Int64 = 0
    /// How many functions that go on to use this record are on the stack, with C functions inside that may do anything.
    private var depth = 0
    /// How many of them go on turn after turn until a stop.
    var runs = 0
    /// The loop ended inside such a function: the index becomes free for another loop when the outermost has returned.
    private var endsWithLastCall = false

    init(index: Int) {
        table = .allocate(capacity: 1)
        table.initialize(to: HandleTable(index: index, record: self))
    }

    // MARK: The loop's life

    func begin(_ loop: EventLoop) -> sluice_handle {
        self.loop = loop
        table.pointee.beginLoop()
        let handle = table.pointee.loopHandle
        stopRequested.store(false, ordering: .relaxed)
        control.withLock { $0 = Control(handle: handle, mailbox: loop.mailbox) }
        table.pointee.owner.store(currentThread(), ordering: .releasing)
        return handle
    }

    /// Destroys the loop and all that is on it.
    func end() {
        // First of all the loop's own handle dies, so that those who receive the last events cannot put more objects on it.
        let ended = loop
        loop = nil
        let isReusable = table.pointee.endLoop()
        control.withLock { $0 = nil }
        for slot in 1..<table.pointee.used { destroy(slot) }
        for timer in timers.values { timer.cancel() }
        timers = [:]
        lastTimer = 0
        ended?.destroy()
        queuesEvents = false
        queue = EventQueue()
        table.pointee.owner.store(HandleTable.noLoop, ordering: .releasing)
        guard isReusable else { return }
        if depth > 0 { endsWithLastCall = true } else { LoopRegistry.shared.release(self) }
    }

    /// Gives the loop up. False inside one of its callbacks.
    func detach() -> Bool {
        guard depth == 0 else { return false }
        table.pointee.owner.store(HandleTable.detached, ordering: .releasing)
        return true
    }

    func isServing(_ loop: EventLoop) -> Bool { self.loop === loop }

    /// From `enter` to `leave` the index stays this loop's, even if the loop ends meanwhile.
    @inline(__always)
    func enter() { depth += 1 }

    @inline(__always)
    func leave() {
        depth -= 1
        if depth == 0, endsWithLastCall {
            endsWithLastCall = false
            LoopRegistry.shared.release(self)
        }
    }

    /// Calls out to C. There may be no loop any more when this returns.
    @inline(__always)
    func call<Result>(_ body: () -> Result) -> Result {
        enter()
        defer { leave() }
        return body()
    }

    // MARK: Objects

    /// Whether another object can have a handle.
    var hasRoom: Bool { loop != nil && table.pointee.hasRoom }

    /// Gives the object a handle, unless it has one; 0 when no slot is left or the loop is ending.
    func add(_ object: EventSource) -> sluice_handle {
        guard loop != nil else { return 0 }
        if object.tag != 0 { return object.tag }
        let handle = table.pointee.insert(object)
        guard handle != 0 else { return 0 }
        object.tag = handle
        object.receiver = self
        return handle
    }

    /// The events of the object's end are raised in here, and may come back for the same slot.
    func destroy(_ slot: Int) {
        guard let object = table.pointee.slots[slot].object?.takeUnretainedValue(), !object.isDestroyed else { return }
        enter()
        object.destroy()
        table.pointee.remove(slot)?.release()
        leave()
    }

    // MARK: Events

    func receive(_ event: Event, from source: EventSource) {
        let slot = table.pointee.slots + HandleParts(source.tag).slot
        if let callback = slot.pointee.callback {
            let context = slot.pointee.context
            call { withCEvent(event, from: source) { callback($0, context) } }
        } else if queuesEvents {
            withCEvent(event, from: source) { queue.push($0.pointee, from: slot) }
        } else if case .incomingConnection(let descriptor) = event {
            close(descriptor)
        }
    }

    var hasQueuedEvents: Bool { queue.count > 0 }

    func setQueueing(_ on: Bool) {
        guard queuesEvents != on else { return }
        queuesEvents = on
        if !on { queue.removeAll() }
    }

    /// nil also when the loop has to have a turn first: whoever causes an event by handling one must not keep it from the rest.
    func nextEvent() -> sluice_event? {
        guard eventsSinceTurn < Self.eventsPerTurn, let event = queue.pop() else {
            eventsSinceTurn = 0
            return nil
        }
        eventsSinceTurn += 1
        return event
    }

    var droppedEvents: Int64 { queue.dropped }

    // MARK: Functions to be called later

    func startTimer(
        on loop: EventLoop, after milliseconds: Int, repeats: Bool, _ function: @escaping sluice_callback, _ context: UnsafeMutableRawPointer?
    ) -> Int64 {
        lastTimer += 1
        let number = lastTimer
        timers[number] = loop.addTimer(after: milliseconds, repeats: repeats) { [unowned self] in
            if !repeats { timers[number] = nil }
            call { function(context) }
        }
        return number
    }

    /// False when there is no such timer any more.
    func stopTimer(_ number: Int64) -> Bool {
        guard let timer = timers.removeValue(forKey: number) else { return false }
        timer.cancel()
        return true
    }

    /// Callable from any thread. False when that loop is gone.
    func post(to handle: sluice_handle, _ function: @escaping sluice_callback, _ context: UnsafeMutableRawPointer?) -> Bool {
        let work = PostedWork(record: self, loop: handle, function: function, context: context)
        return control.withLock { control in
            guard let control, control.handle == handle else { return false }
            control.mailbox.post { work.run() }
            return true
        }
    }

    /// Callable from any thread. False when that loop is gone.
    func stop(_ handle: sluice_handle) -> Bool {
        control.withLock { control in
            guard let control, control.handle == handle else { return false }
            stopRequested.store(true, ordering: .releasing)
            control.mailbox.stop()
            return true
        }
    }

    var isStopRequested: Bool { stopRequested.load(ordering: .relaxed) }

    func takeStopRequest() -> Bool {
        isStopRequested && stopRequested.exchange(false, ordering: .acquiring)
    }

    /// Takes the loop for the calling thread if it is detached. NoError also when it is this thread's already.
    /// Callable from any thread.
    func take(_ handle: sluice_handle) -> SocketError.Code {
        control.withLock { control in
            guard control?.handle == handle else { return nil }
            let (taken, owner) = table.pointee.owner.compareExchange(
                expected: HandleTable.detached, desired: currentThread(), ordering: .acquiringAndReleasing)
            return taken || owner == currentThread() ? .noError : .wrongThread
        } ?? whyNoLoop(handle)
    }

    /// What one `sluice_loop_post` leaves in the mailbox. The pointers are the poster's, who says they may cross over.
    private struct PostedWork: @unchecked Sendable {
        let record: LoopRecord
        let loop: sluice_handle
        let function: sluice_callback
        let context: UnsafeMutableRawPointer?

        /// Other work of the same turn may have destroyed the loop.
        func run() {
            guard record.loop != nil, record.table.pointee.loopHandle == loop else { return }
            record.call { function(context) }
        }
    }
}
