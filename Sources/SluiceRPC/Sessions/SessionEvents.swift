import Sluice

extension Session {
    /// Writes the event as a notification, with what its sender's state is at this moment.
    func tell(_ event: Event, from source: EventSource) {
        guard phase < .finishing else { return }
        send { output in
            output.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
            Self.writeHead(of: event.type, from: source, to: output)
            Self.writeValues(of: event, to: output)
            output.append("}}")
        }
    }

    /// Up to the members that every event has.
    static func writeHead(of type: EventType, from source: EventSource, to output: OutputBuffer) {
        let socket = source as? Socket
        output.append(socket == nil ? "server." as StaticString : "socket.")
        output.append(text: type.name)
        output.append("\",\"params\":{\"handle\":")
        output.append(integer: Int(source.tag))
        output.append(",\"state\":\"")
        if let socket {
            output.append(text: socket.state.name)
            output.append("\",\"isOpen\":")
            output.append(boolean: socket.isOpen)
        } else {
            let isListening = (source as? Server)?.isListening ?? false
            output.append(text: (isListening ? SocketState.listening : .unconnected).name)
            output.append("\",\"isOpen\":")
            output.append(boolean: isListening)
        }
    }

    private static func writeValues(of event: Event, to output: OutputBuffer) {
        switch event {
        case .readyRead(let bytesAvailable):
            output.append(",\"bytesAvailable\":")
            output.append(integer: bytesAvailable)
        case .bytesWritten(let bytes):
            output.append(",\"bytes\":")
            output.append(integer: bytes)
        case .newConnection(let pending):
            output.append(",\"pending\":")
            output.append(integer: pending)
        case .errorOccurred(let error), .acceptError(let error):
            output.append(",\"error\":")
            output.append(quoted: error.code.name)
            output.append(",\"value\":")
            output.append(integer: Int(error.code.rawValue))
            output.append(",\"message\":")
            output.append(quoted: error.message)
            if error.systemError == 0 { output.append(",\"systemError\":0") }
            output.append(systemDetailsOf: error)
        case .hostFound, .connected, .disconnected, .stateChanged, .lineAvailable, .aboutToClose, .readChannelFinished,
            .pendingConnectionAvailable:
            break
        }
    }
}
