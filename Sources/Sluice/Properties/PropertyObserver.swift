/// What was told of a socket's properties, for who subscribes to `propertyChanged`.
final class PropertyObserver {
    private let properties: [Property<Socket>]
    private var told: [PropertyValue]
    private var stateTold: SocketState
    /// Several properties are being set: they are told together.
    var isHeld = false

    init(_ socket: Socket) {
        properties = socket.table.properties
        told = properties.map { $0.get(socket) }
        stateTold = socket.state
    }

    /// Tells what is different by now. The handlers may do anything: each value is looked at when its turn has come.
    func tell(_ socket: Socket, settings: Bool) {
        guard !isHeld else { return }
        // With the state the descriptor comes and goes, and what the system says of it.
        let all = settings || socket.state != stateTold
        stateTold = socket.state
        withExtendedLifetime((self, socket)) {
            for index in properties.indices where properties[index].role == .live { tell(socket, index) }
            guard all else { return }
            for index in properties.indices where properties[index].role != .live { tell(socket, index) }
        }
    }

    private func tell(_ socket: Socket, _ index: Int) {
        let value = properties[index].get(socket)
        guard value != told[index], socket.isSubscribed(to: .propertyChanged), let receiver = socket.receiver else { return }
        told[index] = value
        receiver.receive(.propertyChanged(name: properties[index].name, value: value), from: socket)
    }
}

extension Socket {
    /// Somebody has subscribed to `propertyChanged`, or is no longer interested.
    func watchProperties(_ isObserved: Bool) {
        if isObserved, !isDestroyed {
            model.observer = PropertyObserver(self)
        } else {
            existingDetails?.model?.observer = nil
        }
    }

    /// The event, with what it changed before it. True unless a handler of that has made the event untrue.
    func sendWithChanges(_ type: EventType, _ event: Event) {
        let begun = epoch
        tellChanges(settings: false)
        // What failed is told even if a handler has begun something new by then.
        guard begun == epoch || type == .errorOccurred else { return }
        if case .stateChanged(let told) = event, told != state { return }
        if isSubscribed(to: type), let receiver { receiver.receive(event, from: self) }
        tellChanges(settings: false)
    }

    func tellChanges(settings: Bool) {
        if let observer = existingDetails?.model?.observer { observer.tell(self, settings: settings) }
    }

    /// A call has changed what a property says. The last thing that the call does, as handlers may do anything.
    @inline(__always)
    func noteChange(settings: Bool = true) {
        if subscribedEvents.rawValue & EventMask.propertyBit != 0 { tellChanges(settings: settings) }
    }
}
