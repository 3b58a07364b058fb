/// Tells a closure when a descriptor of the caller's own is ready. The descriptor stays the caller's.
public final class DescriptorWatch: ReadinessHandler {
    private let loop: EventLoop
    private let descriptor: Int32
    private var isCancelled = false
    private let action: (_ readable: Bool, _ writable: Bool) -> Void
    private var slot: Int32 = -1

    /// Level-triggered: what still holds is told again in the next turn. Setting either costs a system call.
    public var readable: Bool { didSet { if readable != oldValue { update() } } }
    public var writable: Bool { didSet { if writable != oldValue { update() } } }

    init(
        loop: EventLoop, descriptor: Int32, readable: Bool, writable: Bool,
        action: @escaping (_ readable: Bool, _ writable: Bool) -> Void
    ) throws(SystemError) {
        self.loop = loop
        self.descriptor = descriptor
        self.readable = readable
        self.writable = writable
        self.action = action
        slot = try loop.poller.register(descriptor, for: interest, handler: self)
        if interest.isEmpty { unregister() }
    }

    deinit { cancel() }

    /// Ends the watch. To be called before the descriptor is closed.
    public func cancel() {
        isCancelled = true
        unregister()
    }

    private func unregister() {
        guard slot >= 0 else { return }
        loop.poller.unregister(slot)
        slot = -1
    }

    private var interest: Readiness {
        var interest: Readiness = []
        if readable { interest.insert(.readable) }
        if writable { interest.insert(.writable) }
        return interest
    }

    /// While nothing is wanted the descriptor is not registered at all: a hang-up would be reported in every turn, wanted or not.
    private func update() {
        guard !isCancelled else { return }
        if interest.isEmpty {
            unregister()
        } else if slot >= 0 {
            // Changing a live registration fails only without memory; the old interest then stays in force.
            try? loop.poller.change(slot, to: interest)
        } else if let fresh = try? loop.poller.register(descriptor, for: interest, handler: self) {
            slot = fresh
        }
    }

    func descriptorReady(_ readiness: Readiness) {
        // Errors and hang-ups are told as readiness for whatever is waited for: the next call on the descriptor says more.
        let broken = !readiness.isDisjoint(with: [.error, .hangup])
        let canRead = readable && (broken || readiness.contains(.readable))
        let canWrite = writable && (broken || readiness.contains(.writable))
        if canRead || canWrite { action(canRead, canWrite) }
    }
}
