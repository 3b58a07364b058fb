import Sluice

extension Session {
    /// Writes the event as a notification, with what its sender's state is at this moment.
    func tell(_ event: Event, from source: EventSource) {
        guard phase < .finishing else { return }
        send { output in
            output.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
            Self.writeHead(of: event.type, from: source, to: output)
            Self.writeValues(of: event, from: source, to: output)
            output.append("}}")
        }
    }

    /// A connection came as a descriptor, which is held under this number.
    func tellIncoming(_ number: Int, from server: EventSource) {
        send { output in
            output.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
            Self.writeHead(of: .incomingConnection, from: server, to: output)
            output.append(",\"descriptor\":")
            output.append(integer: number)
            output.append("}}")
        }
    }

    /// Up to the members that every event has.
    static func writeHead(of type: EventType, from source: EventSource, to output: OutputBuffer) {
        let socket = source as? Socket
        output.append(socket != nil ? "socket." as StaticString : source is Relay ? "relay." : "server.")
        output.append(text: type.name)
        output.append("\",\"params\":{\"handle\":")
        output.append(integer: Int(source.tag))
        output.append(",\"state\":\"")
        if let socket {
            output.append(text: socket.state.name)
            output.append("\",\"isOpen\":")
            output.append(boolean: socket.isOpen)
        } else if let relay = source as? Relay {
            output.append(text: (relay.isFinished ? SocketState.unconnected : .connected).name)
            output.append("\",\"isOpen\":")
            output.append(boolean: !relay.isFinished)
        } else {
            let isListening = (source as? Server)?.isListening ?? false
            output.append(text: (isListening ? SocketState.listening : .unconnected).name)
            output.append("\",\"isOpen\":")
            output.append(boolean: isListening)
        }
    }

    private static func writeValues(of event: Event, from source: EventSource, to output: OutputBuffer) {
        switch event {
        case .readyRead(let bytesAvailable):
            output.append(",\"bytesAvailable\":")
            output.append(integer: bytesAvailable)
        case .bytesWritten(let bytes):
            output.append(",\"bytes\":")
            output.append(integer: bytes)
        case .propertyChanged(let name, let value):
            output.append(",\"name\":")
            output.append(quoted: name)
            output.append(",\"value\":")
            Reply(value).write(to: output)
        case .proxyAuthenticationRequired(let proxy, let realm):
            output.append(",\"proxy\":")
            Reply(proxy).write(to: output)
            output.append(",\"realm\":")
            output.append(quoted: realm)
        case .newConnection(let pending):
            output.append(",\"pending\":")
            output.append(integer: pending)
        case .errorOccurred(let error), .acceptError(let error):
            write(error, to: output)
        case .finished(let error):
            if let counters = (source as? Relay)?.counters {
                output.append(",\"aToB\":")
                output.append(integer: counters.aToB)
                output.append(",\"bToA\":")
                output.append(integer: counters.bToA)
            }
            write(error ?? SocketError(.noError, ""), to: output)
        case .sslErrors(let errors):
            output.append(",\"errors\":")
            Reply.list(errors.map { Reply($0) }).write(to: output)
        case .hostFound, .connected, .disconnected, .stateChanged, .lineAvailable, .aboutToClose, .readChannelFinished,
            .pendingConnectionAvailable, .incomingConnection, .completed, .encrypted:
            break
        }
    }

    private static func write(_ error: SocketError, to output: OutputBuffer) {
        output.append(",\"error\":")
        output.append(quoted: error.code.name)
        output.append(",\"value\":")
        output.append(integer: Int(error.code.rawValue))
        output.append(",\"message\":")
        output.append(quoted: error.message)
        if error.systemError == 0 { output.append(",\"systemError\":0") }
        output.append(systemDetailsOf: error)
    }
}
