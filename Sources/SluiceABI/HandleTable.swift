import CSluice
import Glibc
import Sluice
import Synchronization

// A handle is a number that says where its object stands and which of the objects that ever stood there it means:
//
//     kind (6 bits) | loop (10) | slot (24) | generation (24)
//
// The loop's index leads to a table of slots that is made once and never freed. A slot knows the kind and generation of its present
// object; whoever comes with other ones has a dead handle. Only the thread that owns the loop looks into the slots, so that no
// lock is needed: the owner, which any thread may read, is checked first.

/// The parts of a handle.
struct HandleParts {
    static let loopCount = 1 << 10
    static let slotCount = 1 << 24
    static let lastGeneration: UInt32 = (1 << 24) - 1

    let raw: sluice_handle

    @inline(__always) init(_ raw: sluice_handle) { self.raw = raw }

    init(kind: ObjectKind, loop: Int, slot: Int, generation: UInt32) {
        raw = UInt64(kind.rawValue) << 58 | UInt64(loop) << 48 | UInt64(slot) << 24 | UInt64(generation)
    }

    @inline(__always) var kind: UInt64 { raw >> 58 }
    @inline(__always) var loop: Int { Int(raw >> 48 & 0x3FF) }
    @inline(__always) var slot: Int { Int(raw >> 24 & 0xFF_FFFF) }
    /// Kind and generation together, as the slot keeps them.
    @inline(__always) var identity: UInt32 { UInt32(truncatingIfNeeded: kind << 24 | raw & 0xFF_FFFF) }
}

/// One place for an object, with what the C side has said about it. Idle connections are many: this stays small.
struct HandleSlot {
    /// Holds a reference while the slot is in use.
    var object: Unmanaged<EventSource>?
    var callback: sluice_event_callback?
    var context: UnsafeMutableRawPointer?
    /// Kind and generation of the object; of a free slot no kind and the generation to come.
    var identity: UInt32 = 1
    var nextFree: Int32 = -1
    /// Where in the loop's event queue this object's latest events of these types went.
    var queuedReadyRead: UInt32 = 0
    var queuedBytesWritten: UInt32 = 0
}

/// The slots of one loop index. Lives for ever, at one address: loops come and go, generations go on.
struct HandleTable: ~Copyable {
    /// Who may use the loop: a thread, or one of these.
    static let noLoop: UInt = 0
    static let detached: UInt = 1

    let owner = Atomic<UInt>(HandleTable.noLoop)
    private(set) var slots: UnsafeMutablePointer<HandleSlot>
    private(set) var used = 1
    private var capacity = 8
    private var firstFree: Int32 = -1
    private let index: Int
    /// Whose table this is. The record lives as long.
    let record: Unmanaged<LoopRecord>

    init(index: Int, record: LoopRecord) {
        self.index = index
        self.record = .passUnretained(record)
        slots = .allocate(capacity: capacity)
        // The loop itself stands in slot 0.
        slots.initialize(to: HandleSlot())
    }

    /// The handle of the loop at this index.
    var loopHandle: sluice_handle {
        HandleParts(kind: .loop, loop: index, slot: 0, generation: slots[0].identity & HandleParts.lastGeneration).raw
    }

    var hasRoom: Bool { firstFree >= 0 || used < HandleParts.slotCount }

    /// Returns 0 when all slots are taken.
    mutating func insert(_ object: EventSource) -> sluice_handle {
        let slot: Int
        if firstFree >= 0 {
            slot = Int(firstFree)
            firstFree = slots[slot].nextFree
        } else {
            guard used < HandleParts.slotCount else { return 0 }
            if used == capacity { grow() }
            slot = used
            used += 1
            (slots + slot).initialize(to: HandleSlot())
        }
        let generation = slots[slot].identity
        let handle = HandleParts(kind: object.kind, loop: index, slot: slot, generation: generation)
        slots[slot].identity = handle.identity
        slots[slot].object = .passRetained(object)
        return handle.raw
    }

    /// Ends the handle of this slot for ever. The caller releases the object, whose end may call back into the table.
    mutating func remove(_ slot: Int) -> Unmanaged<EventSource>? {
        let object = slots[slot].object
        let generation = slots[slot].identity & HandleParts.lastGeneration
        slots[slot] = HandleSlot()
        // A slot whose generations are used up is never used again: an old handle must not come to life.
        if generation < HandleParts.lastGeneration {
            slots[slot].identity = generation + 1
            slots[slot].nextFree = firstFree
            firstFree = Int32(slot)
        } else {
            slots[slot].identity = 0
        }
        return object
    }

    func beginLoop() { slots[0].identity |= UInt32(ObjectKind.loop.rawValue) << 24 }

    /// Returns false when this index has had all the loops that it can have.
    func endLoop() -> Bool {
        let generation = slots[0].identity & HandleParts.lastGeneration
        let usable = generation < HandleParts.lastGeneration
        slots[0].identity = usable ? generation + 1 : 0
        return usable
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<HandleSlot>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: slots, count: used)
        slots.deallocate()
        slots = larger
        capacity *= 2
    }
}

/// Where the tables are. An entry is set once, when its index is first used.
enum HandleTables {
    private typealias Entry = Atomic<UnsafeMutablePointer<HandleTable>?>

    /// The address of the entries, 0 before the first loop. A number, because only such a global needs no check on each use of
    /// whether it has been initialized.
    private static let entries = Atomic<UInt>(0)

    @inline(__always)
    static subscript(index: Int) -> UnsafeMutablePointer<HandleTable>? {
        UnsafePointer<Entry>(bitPattern: entries.load(ordering: .acquiring))?[index].load(ordering: .acquiring)
    }

    /// Puts the record and its table at an index, for ever. One thread at a time, the lowest index first.
    static func keep(_ record: LoopRecord, at index: Int) {
        if index == 0 {
            let fresh = UnsafeMutablePointer<Entry>.allocate(capacity: HandleParts.loopCount)
            for index in 0..<HandleParts.loopCount { (fresh + index).initialize(to: Atomic(nil)) }
            entries.store(UInt(bitPattern: fresh), ordering: .releasing)
        }
        _ = Unmanaged.passRetained(record)
        UnsafePointer<Entry>(bitPattern: entries.load(ordering: .relaxed))?[index].store(record.table, ordering: .releasing)
    }

    /// The record that a handle points to, if its loop's index was ever used. For any thread: whether the handle is alive is
    /// another question.
    static func record(of handle: sluice_handle) -> LoopRecord? {
        self[HandleParts(handle).loop]?.pointee.record.takeUnretainedValue()
    }

    /// Whether that loop is alive, whosever it is.
    static func isLoop(_ handle: sluice_handle) -> Bool {
        record(of: handle)?.control.withLock { $0?.handle == handle } ?? false
    }
}

/// What the calling thread is known by; never one of the table's special owners, for it is an address.
@inline(__always)
func currentThread() -> UInt { UInt(pthread_self()) }

/// A set of kinds and the class that all of them have.
struct HandleKinds<Object: EventSource> {
    let mask: UInt64

    @inline(__always)
    fileprivate static func bit(_ kind: ObjectKind) -> UInt64 { 1 << UInt64(kind.rawValue) }
}

extension HandleKinds<Socket> {
    @inline(__always)
    static var socket: Self { Self(mask: bit(.tcpSocket) | bit(.udpSocket) | bit(.localSocket) | bit(.tlsSocket)) }
}

extension HandleKinds<StreamSocket> {
    @inline(__always)
    static var streamSocket: Self { Self(mask: bit(.tcpSocket) | bit(.localSocket) | bit(.tlsSocket)) }
}

extension HandleKinds<UDPSocket> {
    @inline(__always)
    static var udpSocket: Self { Self(mask: bit(.udpSocket)) }
}

extension HandleKinds<TLSSocket> {
    @inline(__always)
    static var tlsSocket: Self { Self(mask: bit(.tlsSocket)) }
}

extension HandleKinds<HostQuery> {
    @inline(__always)
    static var lookup: Self { Self(mask: bit(.lookup)) }
}

extension HandleKinds<Relay> {
    @inline(__always)
    static var relay: Self { Self(mask: bit(.relay)) }
}

extension HandleKinds<LocalSocket> {
    @inline(__always)
    static var localSocket: Self { Self(mask: bit(.localSocket)) }
}

extension HandleKinds<Server> {
    @inline(__always)
    static var server: Self { Self(mask: bit(.tcpServer) | bit(.localServer)) }
}

extension HandleKinds<TCPServer> {
    @inline(__always)
    static var tcpServer: Self { Self(mask: bit(.tcpServer)) }
}

extension HandleKinds<LocalServer> {
    @inline(__always)
    static var localServer: Self { Self(mask: bit(.localServer)) }
}

extension HandleKinds<EventSource> {
    /// Every kind that sends events.
    @inline(__always)
    static var any: Self {
        Self(mask: HandleKinds<Socket>.socket.mask | HandleKinds<Server>.server.mask | bit(.lookup) | bit(.relay))
    }
}

/// The object of a handle, if it lives, is of one of these kinds and belongs to the calling thread. Not retained: the reference
/// is good for what cannot call out to C, whose code might destroy the object.
@inline(__always)
func reference<Object: EventSource>(_ handle: sluice_handle, _ kinds: HandleKinds<Object>) -> Unmanaged<EventSource>? {
    let parts = HandleParts(handle)
    guard kinds.mask >> parts.kind & 1 != 0, let table = HandleTables[parts.loop],
        table.pointee.owner.load(ordering: .relaxed) == currentThread(), parts.slot < table.pointee.used,
        table.pointee.slots[parts.slot].identity == parts.identity
    else { return nil }
    return table.pointee.slots[parts.slot].object
}

/// The same object, retained.
@inline(__always)
func object<Object: EventSource>(_ handle: sluice_handle, _ kinds: HandleKinds<Object>) -> Object? {
    reference(handle, kinds).map { unsafeDowncast($0.takeUnretainedValue(), to: Object.self) }
}

/// The record of a living loop of the calling thread.
func loopRecord(_ handle: sluice_handle) -> (record: LoopRecord, loop: EventLoop)? {
    let parts = HandleParts(handle)
    guard parts.kind == UInt64(ObjectKind.loop.rawValue), parts.slot == 0, let table = HandleTables[parts.loop],
        table.pointee.owner.load(ordering: .relaxed) == currentThread(), table.pointee.slots[0].identity == parts.identity
    else { return nil }
    let record = table.pointee.record.takeUnretainedValue()
    return record.loop.map { (record, $0) }
}

/// Why `object` or `loopRecord` found nothing.
@inline(never)
func whyNoObject(_ handle: sluice_handle) -> SocketError.Code {
    let parts = HandleParts(handle)
    guard ObjectKind(rawValue: Int32(parts.kind)) != nil, let table = HandleTables[parts.loop] else { return .invalidHandle }
    switch table.pointee.owner.load(ordering: .relaxed) {
    case HandleTable.noLoop: return .invalidHandle
    case currentThread():
        let isAlive = parts.slot < table.pointee.used && table.pointee.slots[parts.slot].identity == parts.identity
        return isAlive ? .wrongKind : .invalidHandle
    default:
        // Another thread's slots cannot be looked into, but whether a loop is alive is known.
        return parts.kind == UInt64(ObjectKind.loop.rawValue) && !HandleTables.isLoop(handle) ? .invalidHandle : .wrongThread
    }
}

/// Why a function that any thread may call found no loop.
func whyNoLoop(_ handle: sluice_handle) -> SocketError.Code {
    let why = whyNoObject(handle)
    return why == .wrongThread ? .wrongKind : why
}
