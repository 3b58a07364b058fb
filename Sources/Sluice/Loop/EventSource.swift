/// Receives the events of any number of objects.
public protocol EventReceiver: AnyObject {
    /// Called on the loop's thread at the moment of the event, from inside the call that caused it where there is one.
    /// Any operation may be used here, `destroy()` of the source included.
    func receive(_ event: Event, from source: EventSource)
}

/// What sockets and servers have in common: they live on one loop, belong to its thread, and send events.
open class EventSource {
    public let loop: EventLoop

    /// Who is told. Kept alive by this object until `destroy()`.
    public var receiver: (any EventReceiver)?

    /// Free for the receiver's use: what it knows this object by.
    public var tag: UInt64 = 0

    /// The events that reach the receiver.
    public var subscribedEvents: EventMask = .standard {
        didSet {
            let isObserved = subscribedEvents.contains(EventMask(.propertyChanged))
            if isObserved != oldValue.contains(EventMask(.propertyChanged)) { observe(isObserved) }
        }
    }

    // The small ones stand together: idle connections are many, and padding counts.
    public let kind: ObjectKind
    public internal(set) var isDestroyed = false

    init(loop: EventLoop, kind: ObjectKind) {
        self.loop = loop
        self.kind = kind
    }

    /// Tells a closure instead of a receiver. The closure is kept until `destroy()`: let it hold this object weakly.
    public func onEvent(_ handler: @escaping (Event) -> Void) {
        receiver = ClosureReceiver(handler)
    }

    /// Closes at once, drops pending data, tells the receiver what that caused, and never sends an event again.
    /// May be called from inside the object's own events; afterwards the object only answers that it is closed.
    public func destroy() {
        guard !isDestroyed else { return }
        isDestroyed = true
        shutDown()
        receiver = nil
    }

    /// What `destroy()` does beyond ending the events.
    func shutDown() {}

    /// From now on changes of properties are told, or no longer.
    func observe(_ isObserved: Bool) {}

    /// As `send`, for an object whose properties are observed.
    func sendObserved(_ type: EventType, _ event: Event) {
        if isSubscribed(to: type), let receiver { receiver.receive(event, from: self) }
    }

    @inline(__always)
    final func isSubscribed(to type: EventType) -> Bool {
        receiver != nil && subscribedEvents.rawValue & (1 << UInt32(type.rawValue)) != 0
    }

    @inline(__always)
    final func send(_ type: EventType, _ event: @autoclosure () -> Event) {
        guard subscribedEvents.rawValue & (EventMask.propertyBit | 1 << UInt32(type.rawValue)) != 0, let receiver else { return }
        if subscribedEvents.rawValue & EventMask.propertyBit == 0 { receiver.receive(event(), from: self) } else { sendObserved(type, event()) }
    }
}

private final class ClosureReceiver: EventReceiver {
    private let handler: (Event) -> Void

    init(_ handler: @escaping (Event) -> Void) { self.handler = handler }

    func receive(_ event: Event, from source: EventSource) { handler(event) }
}
