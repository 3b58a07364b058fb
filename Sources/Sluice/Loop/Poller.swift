import CLinux
import Glibc

/// What the system says of a descriptor.
struct Readiness: OptionSet {
    let rawValue: UInt32

    static let readable = Readiness(rawValue: UInt32(EPOLLIN.rawValue))
    static let writable = Readiness(rawValue: UInt32(EPOLLOUT.rawValue))
    static let error = Readiness(rawValue: UInt32(EPOLLERR.rawValue))
    /// Both directions are over.
    static let hangup = Readiness(rawValue: UInt32(EPOLLHUP.rawValue))
    /// The peer will send no more.
    static let readHangup = Readiness(rawValue: UInt32(EPOLLRDHUP.rawValue))
    /// Report changes only, once each. Without it, what holds is reported in every turn.
    static let edgeTriggered = Readiness(rawValue: UInt32(bitPattern: Int32(bitPattern: 1 << 31)))
}

/// Who is told when a descriptor is ready.
protocol ReadinessHandler: AnyObject {
    func descriptorReady(_ readiness: Readiness)
}

/// epoll, and who waits for which descriptor.
///
/// A descriptor is registered once and dispatched by slot and generation: an event that was fetched before its descriptor
/// was closed finds another generation in the slot and goes nowhere, whatever the descriptor's number names by then.
struct Poller: ~Copyable {
    private struct Slot {
        var generation: UInt32 = 0
        var descriptor: Int32 = -1
        /// The handler unregisters before it goes away.
        unowned(unsafe) var handler: (any ReadinessHandler)?
    }

    private static let batchSize = 256

    let epoll: Descriptor
    private var slots: [Slot] = []
    private var freeSlots: [Int32] = []
    private let batch: UnsafeMutablePointer<epoll_event>
    private var batchPosition = 0
    private var batchCount = 0

    init() throws(SystemError) {
        epoll = try System.epollCreate()
        batch = .allocate(capacity: Self.batchSize)
    }

    deinit { batch.deallocate() }

    /// True while events that were fetched have not been handed out.
    var hasFetched: Bool { batchPosition < batchCount }

    /// Returns the slot that unregisters the descriptor.
    mutating func register(_ descriptor: Int32, for readiness: Readiness, handler: any ReadinessHandler) throws(SystemError) -> Int32 {
        let slot: Int32
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = Int32(slots.count)
            slots.append(Slot())
        }
        slots[Int(slot)].handler = handler
        slots[Int(slot)].descriptor = descriptor
        do throws(SystemError) {
            try System.epollControl(epoll.rawValue, EPOLL_CTL_ADD, descriptor, readiness.rawValue, token(of: slot))
        } catch {
            release(slot)
            throw error
        }
        return slot
    }

    func change(_ slot: Int32, to readiness: Readiness) throws(SystemError) {
        try System.epollControl(
            epoll.rawValue, EPOLL_CTL_MOD, slots[Int(slot)].descriptor, readiness.rawValue, token(of: slot))
    }

    /// Hands the slot to another handler; the registration stays as it is.
    mutating func transfer(_ slot: Int32, to handler: any ReadinessHandler) {
        slots[Int(slot)].handler = handler
    }

    /// The descriptor must still be open. It is taken out of epoll explicitly: when a forked child holds a copy, closing ours
    /// would leave the registration behind.
    mutating func unregister(_ slot: Int32) {
        try? System.epollControl(epoll.rawValue, EPOLL_CTL_DEL, slots[Int(slot)].descriptor, 0, 0)
        release(slot)
    }

    func isRegistered(_ descriptor: Int32) -> Bool {
        // By index: in debug builds an Optional of a slot, as iterating makes them, does not tell its end from a value.
        slots.indices.contains { slots[$0].descriptor == descriptor }
    }

    /// Fetches events unless some are still to be handed out. Returns how many there are.
    mutating func fetch(timeout: Int32) -> Int {
        guard !hasFetched else { return batchCount - batchPosition }
        batchPosition = 0
        batchCount = max(0, System.epollWait(epoll.rawValue, batch, Int32(Self.batchSize), timeout))
        return batchCount
    }

    /// The next fetched event whose handler still exists.
    mutating func next() -> (handler: any ReadinessHandler, readiness: Readiness)? {
        while batchPosition < batchCount {
            let event = batch + batchPosition
            batchPosition += 1
            let token = clinux_epoll_data(event)
            let slot = Int(token & 0xFFFF_FFFF)
            guard slot < slots.count, slots[slot].generation == UInt32(token >> 32), let handler = slots[slot].handler
            else { continue }
            return (handler, Readiness(rawValue: event.pointee.events))
        }
        return nil
    }

    private func token(of slot: Int32) -> UInt64 {
        UInt64(slots[Int(slot)].generation) << 32 | UInt64(UInt32(bitPattern: slot))
    }

    private mutating func release(_ slot: Int32) {
        slots[Int(slot)].generation &+= 1
        slots[Int(slot)].descriptor = -1
        slots[Int(slot)].handler = nil
        freeSlots.append(slot)
    }
}
