import Sluice

/// Writes down every event of one object but changes of properties, and does in them what the test wants done.
final class Recorder: EventReceiver {
    private(set) var events: [String] = []
    private(set) var errors: [SocketError] = []
    /// The sum of all bytesWritten.
    private(set) var bytesWritten = 0
    private var actions: [(condition: (Event) -> Bool, isOnce: Bool, action: (Event) -> Void)] = []

    init(_ source: EventSource) {
        source.subscribedEvents = EventMask.all.subtracting(EventMask(.propertyChanged))
        source.receiver = self
    }

    func receive(_ event: Event, from source: EventSource) {
        events.append(Self.describe(event))
        switch event {
        case .errorOccurred(let error), .acceptError(let error): errors.append(error)
        case .bytesWritten(let count): bytesWritten += count
        default: break
        }
        var index = 0
        while index < actions.count {
            let entry = actions[index]
            guard entry.condition(event) else {
                index += 1
                continue
            }
            if entry.isOnce { actions.remove(at: index) } else { index += 1 }
            entry.action(event)
        }
    }

    /// In every such event.
    func on(_ type: EventType, _ action: @escaping () -> Void) {
        actions.append(({ $0.type == type }, false, { _ in action() }))
    }

    /// In the first such event.
    func once(_ type: EventType, _ action: @escaping () -> Void) {
        actions.append(({ $0.type == type }, true, { _ in action() }))
    }

    /// When the state is entered for the first time.
    func once(in state: SocketState, _ action: @escaping () -> Void) {
        actions.append(({ if case .stateChanged(state) = $0 { true } else { false } }, true, { _ in action() }))
    }

    func stopActing() { actions = [] }
    func clear() { events = []; errors = [] }

    func count(of type: EventType) -> Int { events.count { $0.prefix { $0 != "(" } == type.name } }
    func saw(_ type: EventType) -> Bool { count(of: type) > 0 }
    /// Without those that tell of bytes: how many of them come depends on the system.
    var changes: [String] {
        events.filter { !$0.hasPrefix("readyRead") && !$0.hasPrefix("bytesWritten") && $0 != "lineAvailable" }
    }

    static func describe(_ event: Event) -> String {
        switch event {
        case .stateChanged(let state): "stateChanged(\(state.name))"
        case .errorOccurred(let error): "errorOccurred(\(error.code.name))"
        case .readyRead(let bytes): "readyRead(\(bytes))"
        case .bytesWritten(let bytes): "bytesWritten(\(bytes))"
        case .newConnection(let pending): "newConnection(\(pending))"
        case .acceptError(let error): "acceptError(\(error.code.name))"
        default: event.type.name
        }
    }
}

/// How every close ends.
let closingEvents = ["stateChanged(Unconnected)", "readChannelFinished", "disconnected"]
