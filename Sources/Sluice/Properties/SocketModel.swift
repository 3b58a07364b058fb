/// What a socket has of the object model once anything of it is used.
final class SocketModel {
    private unowned(unsafe) let socket: Socket
    private let names: ObjectNames
    var objectId = ""
    var scope = 0
    var observer: PropertyObserver?
    private(set) var existingAutoConnect: AutoConnect?
    private(set) var existingIdleTimeout: IdleTimeout?

    private var hasTurn = false
    private var completes = false
    private var errorInTurn: SocketError?

    init(_ socket: Socket) {
        self.socket = socket
        names = socket.loop.objectNames
    }

    deinit {
        existingAutoConnect?.cancel()
        existingIdleTimeout?.stop()
        if !objectId.isEmpty { names.forget(objectId, scope: scope) }
    }

    var autoConnect: AutoConnect {
        if let existingAutoConnect { return existingAutoConnect }
        let fresh = AutoConnect(socket)
        existingAutoConnect = fresh
        return fresh
    }

    var idleTimeout: IdleTimeout {
        if let existingIdleTimeout { return existingIdleTimeout }
        let fresh = IdleTimeout(socket)
        existingIdleTimeout = fresh
        return fresh
    }

    /// The socket has entered its state, and told of it.
    func stateChanged() {
        existingIdleTimeout?.stateChanged()
        existingAutoConnect?.stateChanged()
    }

    /// The socket is being destroyed.
    func end() {
        existingAutoConnect?.halt()
        existingIdleTimeout?.stop()
        if !objectId.isEmpty { names.forget(objectId, scope: scope) }
        objectId = ""
    }

    // MARK: Turns

    /// Sends `completed` in the next turn.
    func completeInTurn() {
        completes = true
        requestTurn()
    }

    /// Tells the error in the next turn: now is no time for handlers.
    func reportInTurn(_ error: SocketError) {
        errorInTurn = error
        requestTurn()
    }

    private func requestTurn() {
        guard !hasTurn else { return }
        hasTurn = true
        socket.loop.requestTurn(ModelTurn(socket))
    }

    /// Tells what was left for the next turn; nothing if it has been told.
    func takeTurn() {
        hasTurn = false
        if let error = errorInTurn {
            errorInTurn = nil
            socket.report(error)
        }
        if completes {
            completes = false
            socket.send(.completed, .completed)
        }
    }
}

/// The loop keeps the socket until its turn has come.
private final class ModelTurn: TurnHandler {
    private let socket: Socket

    init(_ socket: Socket) { self.socket = socket }

    func takeTurn() { socket.existingDetails?.model?.takeTurn() }
}

extension Socket {
    var model: SocketModel {
        let details = details
        if let model = details.model { return model }
        let fresh = SocketModel(self)
        details.model = fresh
        return fresh
    }

    var autoConnect: AutoConnect? { existingDetails?.model?.existingAutoConnect }

    /// Milliseconds without anything sent or received after which a connection ends with SocketTimeoutError; 0, at first, is never.
    public var idleTimeout: Int { existingDetails?.model?.existingIdleTimeout?.limit ?? 0 }

    public func setIdleTimeout(_ milliseconds: Int) throws(SocketError) {
        guard (0...Int(Int32.max)).contains(milliseconds) else {
            throw SocketError(.invalidArgument, "idleTimeout must be 0 (never) or a number of milliseconds, not \(milliseconds)")
        }
        guard !isDestroyed, milliseconds != idleTimeout else { return }
        model.idleTimeout.set(milliseconds)
        noteChange()
    }
}
