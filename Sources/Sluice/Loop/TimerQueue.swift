/// A running timer of a loop. Dropping the last reference does not stop it; `cancel()` does.
public final class Timer {
    fileprivate(set) var deadline: UInt64
    fileprivate let interval: UInt64
    fileprivate var action: (() -> Void)?
    fileprivate var position = -1
    private weak var loop: EventLoop?

    fileprivate init(loop: EventLoop, deadline: UInt64, interval: UInt64, action: @escaping () -> Void) {
        self.loop = loop
        self.deadline = deadline
        self.interval = interval
        self.action = action
    }

    public var isActive: Bool { action != nil }

    /// Stops the timer; it does not fire any more, even if it was due. Harmless when it is stopped already.
    public func cancel() {
        guard action != nil else { return }
        action = nil
        loop?.timers.remove(self)
    }

    /// Fires now what waits for this timer. Blocking waits use it, for whom the loop's own turn does not come.
    func fire() {
        guard let action else { return }
        if interval == 0 {
            cancel()
        } else {
            loop?.timers.remove(self)
            // A loop that was held up skips the beats it missed instead of firing them in a row.
            let now = System.monotonicNanoseconds()
            deadline += interval
            if deadline <= now { deadline = now + interval }
            loop?.timers.insert(self)
        }
        action()
    }
}

/// A binary heap of timers by deadline; each timer knows its place, so that cancelling one costs O(log n).
struct TimerQueue {
    private var heap: [Timer] = []

    var isEmpty: Bool { heap.isEmpty }
    var nextDeadline: UInt64? { heap.first?.deadline }

    func makeTimer(loop: EventLoop, after nanoseconds: UInt64, interval: UInt64, action: @escaping () -> Void) -> Timer {
        let (deadline, overflow) = System.monotonicNanoseconds().addingReportingOverflow(nanoseconds)
        return Timer(loop: loop, deadline: overflow ? .max : deadline, interval: interval, action: action)
    }

    mutating func insert(_ timer: Timer) {
        timer.position = heap.count
        heap.append(timer)
        siftUp(from: timer.position)
    }

    mutating func remove(_ timer: Timer) {
        let position = timer.position
        guard position >= 0, position < heap.count else { return }
        timer.position = -1
        let last = heap.removeLast()
        guard last !== timer else { return }
        place(last, at: position)
        siftUp(from: position)
        siftDown(from: last.position)
    }

    /// Every timer; none is left here.
    mutating func takeAll() -> [Timer] {
        defer { heap = [] }
        for timer in heap { timer.position = -1 }
        return heap
    }

    /// The first timer whose deadline has come.
    func due(at now: UInt64) -> Timer? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        return first
    }

    private mutating func place(_ timer: Timer, at position: Int) {
        heap[position] = timer
        timer.position = position
    }

    private mutating func siftUp(from start: Int) {
        var position = start
        let timer = heap[position]
        while position > 0 {
            let parent = (position - 1) / 2
            guard timer.deadline < heap[parent].deadline else { break }
            place(heap[parent], at: position)
            position = parent
        }
        place(timer, at: position)
    }

    private mutating func siftDown(from start: Int) {
        var position = start
        let timer = heap[position]
        while true {
            var child = 2 * position + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
            guard heap[child].deadline < timer.deadline else { break }
            place(heap[child], at: position)
            position = child
        }
        place(timer, at: position)
    }
}
