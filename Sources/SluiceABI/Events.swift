import CSluice
import Sluice

/// Builds the C event on the stack and lends it to the body.
@inline(__always)
func withCEvent(_ event: Event, from source: EventSource, _ body: (UnsafePointer<sluice_event>) -> Void) {
    var c = sluice_event()
    c.size = UInt32(MemoryLayout<sluice_event>.stride)
    c.type = event.type.rawValue
    c.handle = source.tag
    switch source.kind {
    case .tcpServer, .localServer:
        c.is_open = unsafeDowncast(source, to: Server.self).isListening
        c.state = c.is_open ? sluice_state(SLUICE_STATE_LISTENING) : sluice_state(SLUICE_STATE_UNCONNECTED)
    case .tcpSocket, .udpSocket, .localSocket, .tlsSocket:
        let socket = unsafeDowncast(source, to: Socket.self)
        c.state = socket.state.rawValue
        c.is_open = socket.isOpen
    case .loop, .relay, .lookup: break
    }
    switch event {
    case .stateChanged(let state): c.value = Int64(state.rawValue)
    case .readyRead(let available): c.value = Int64(available)
    case .bytesWritten(let count): c.value = Int64(count)
    case .newConnection(let pending): c.value = Int64(pending)
    case .errorOccurred(let error), .acceptError(let error):
        c.error = error.code.rawValue
        c.system_error = error.systemError
        c.value = Int64(c.error)
        error.message.withCString {
            c.message = $0
            body(&c)
        }
        return
    default: break
    }
    body(&c)
}
