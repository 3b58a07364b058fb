import CSluice
import Glibc
import Sluice

/// The events of handles without a callback, until `sluice_loop_next_event` fetches them. A ring with a limit.
struct EventQueue: ~Copyable {
    static let limit = 65_536

    private var ring: UnsafeMutablePointer<sluice_event>
    private var capacity = 64
    private var first = 0
    private(set) var count = 0
    /// The number of the oldest event. Slots remember by these numbers where their latest event is; they may wrap, for what
    /// is found there is looked at before it is believed.
    private var firstNumber: UInt32 = 1
    /// The texts of the event fetched last: C may read them until the next fetch.
    private var lent: (message: UnsafePointer<CChar>?, name: UnsafePointer<CChar>?)
    private(set) var dropped: Int64 = 0

    init() { ring = .allocate(capacity: capacity) }

    deinit {
        for offset in 0..<count { Self.drop(ring[(first + offset) & (capacity - 1)]) }
        Self.free(lent.message)
        Self.free(lent.name)
        ring.deallocate()
    }

    /// Queues a copy of the event, or joins it to one of its kind when nothing else of the object came between.
    mutating func push(_ event: sluice_event, from slot: UnsafeMutablePointer<HandleSlot>) {
        switch event.type {
        case sluice_event_type(SLUICE_EVENT_READY_READ):
            if let index = index(of: slot.pointee.queuedReadyRead, sameAs: event) {
                ring[index] = event
            } else {
                slot.pointee.queuedReadyRead = append(event)
            }
        case sluice_event_type(SLUICE_EVENT_BYTES_WRITTEN):
            if let index = index(of: slot.pointee.queuedBytesWritten, sameAs: event) {
                let sum = ring[index].value &+ event.value
                ring[index] = event
                ring[index].value = sum
            } else {
                slot.pointee.queuedBytesWritten = append(event)
            }
        default:
            var copy = event
            if let message = event.message { copy.message = UnsafePointer(strdup(message)) }
            if let name = event.name { copy.name = UnsafePointer(strdup(name)) }
            let number = append(copy)
            // The names of what the others tell by numbers: they come with every one of them, and would keep all apart.
            if event.type == sluice_event_type(SLUICE_EVENT_PROPERTY_CHANGED) { return }
            // This number's event is of neither type, so that nothing is joined across it.
            slot.pointee.queuedReadyRead = number
            slot.pointee.queuedBytesWritten = number
        }
    }

    /// The oldest event; its texts stay valid until the next call.
    mutating func pop() -> sluice_event? {
        guard count > 0 else { return nil }
        let event = ring[first]
        forgetFirst()
        returnTexts()
        lent = (event.message, event.name)
        return event
    }

    /// Ends the life of the texts that were handed out last.
    mutating func returnTexts() {
        Self.free(lent.message)
        Self.free(lent.name)
        lent = (nil, nil)
    }

    mutating func removeAll() {
        while count > 0 {
            Self.drop(ring[first])
            forgetFirst()
        }
        returnTexts()
    }

    private func index(of number: UInt32, sameAs event: sluice_event) -> Int? {
        let offset = number &- firstNumber
        guard offset < UInt32(count) else { return nil }
        let index = (first + Int(offset)) & (capacity - 1)
        return ring[index].handle == event.handle && ring[index].type == event.type ? index : nil
    }

    /// Returns the event's number.
    private mutating func append(_ event: sluice_event) -> UInt32 {
        if count == Self.limit { makeRoom() }
        if count == capacity { grow() }
        ring[(first + count) & (capacity - 1)] = event
        count += 1
        return firstNumber &+ UInt32(count - 1)
    }

    private mutating func forgetFirst() {
        first = (first + 1) & (capacity - 1)
        firstNumber &+= 1
        count -= 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<sluice_event>.allocate(capacity: capacity * 2)
        for offset in 0..<count { (larger + offset).initialize(to: ring[(first + offset) & (capacity - 1)]) }
        ring.deallocate()
        ring = larger
        first = 0
        capacity *= 2
    }

    /// Drops, from the older half, what others tell as well; where there is nothing of that sort, the oldest event. Half the
    /// queue in one go, so that a full queue does not cost a search for each event.
    private mutating func makeRoom() {
        var kept = 0
        for offset in 0..<count {
            let event = ring[(first + offset) & (capacity - 1)]
            if offset < count / 2, Self.isSpare(event.type) {
                Self.drop(event)
                continue
            }
            ring[(first + kept) & (capacity - 1)] = event
            kept += 1
        }
        let spared = count - kept
        // The places have moved: with new numbers, no slot joins to the wrong one.
        if spared > 0 { firstNumber &+= UInt32(count) }
        count = kept
        dropped += Int64(spared)
        if spared == 0 {
            Self.drop(ring[first])
            forgetFirst()
            dropped += 1
        }
    }

    private static func isSpare(_ type: sluice_event_type) -> Bool {
        switch Int(type) {
        case Int(SLUICE_EVENT_HOST_FOUND), Int(SLUICE_EVENT_STATE_CHANGED), Int(SLUICE_EVENT_LINE_AVAILABLE), Int(SLUICE_EVENT_ABOUT_TO_CLOSE),
            Int(SLUICE_EVENT_PENDING_CONNECTION_AVAILABLE), Int(SLUICE_EVENT_PROPERTY_CHANGED):
            true
        default: false
        }
    }

    /// Lets go of what an event holds that nobody will fetch.
    private static func drop(_ event: sluice_event) {
        free(event.message)
        free(event.name)
        if event.type == sluice_event_type(SLUICE_EVENT_INCOMING_CONNECTION) { close(Int32(truncatingIfNeeded: event.value)) }
    }

    private static func free(_ message: UnsafePointer<CChar>?) { Glibc.free(UnsafeMutableRawPointer(mutating: message)) }
}
