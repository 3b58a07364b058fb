import Glibc
import Synchronization

/// The one part of a loop that other threads may touch: they leave work here, and wake the loop.
public final class LoopMailbox: Sendable {
    private let work = Mutex<[@Sendable () -> Void]>([])
    /// Lets the loop see in each turn that there is nothing, without taking the lock.
    private let hasWork = Atomic<Bool>(false)
    private let stopRequested = Atomic<Bool>(false)
    private let wakeup: Wakeup

    init(wakeup: Wakeup) { self.wakeup = wakeup }

    /// Has the loop run this in its next turn, in the order posted. Callable from any thread.
    public func post(_ item: @escaping @Sendable () -> Void) {
        work.withLock { $0.append(item) }
        // Only the first post since the last collection has to wake: the loop takes all that is there.
        if !hasWork.exchange(true, ordering: .acquiringAndReleasing) { wakeup.signal() }
    }

    /// Ends the loop's `run()`: the one in progress or, if there is none, the next. Callable from any thread.
    public func stop() {
        stopRequested.store(true, ordering: .releasing)
        wakeup.signal()
    }

    var isEmpty: Bool { !hasWork.load(ordering: .relaxed) }

    func collect() -> [@Sendable () -> Void] {
        hasWork.store(false, ordering: .releasing)
        return work.withLock { items in
            defer { items = [] }
            return items
        }
    }

    func takeStopRequest() -> Bool {
        stopRequested.load(ordering: .relaxed) && stopRequested.exchange(false, ordering: .acquiring)
    }
}

/// An eventfd that makes a sleeping loop wake. It lives as long as anyone may signal it.
final class Wakeup: Sendable {
    let descriptor: Int32

    init() throws(SystemError) {
        descriptor = try System.eventDescriptor().release()
    }

    deinit { System.close(descriptor) }

    func signal() { System.eventWrite(descriptor) }
}
