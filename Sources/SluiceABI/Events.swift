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
    case .incomingConnection(let descriptor): c.value = Int64(descriptor)
    case .errorOccurred(let error), .acceptError(let error):
        c.error = error.code.rawValue
        c.system_error = error.systemError
        c.value = Int64(c.error)
        lend(error.message, nil, with: &c, body)
        return
    case .finished(let error):
        guard let error else { break }
        c.error = error.code.rawValue
        c.system_error = error.systemError
        c.value = Int64(c.error)
        lend(error.message, nil, with: &c, body)
        return
    case .proxyAuthenticationRequired(let proxy, let realm):
        lend(realm, proxy.description, with: &c, body)
        return
    case .sslErrors(let errors):
        c.value = Int64(errors.count)
        lend(try? describe(errors).json(), nil, with: &c, body)
        return
    case .propertyChanged(let name, let value):
        // What cannot be said as JSON is told without its value.
        lend(try? value.json(), name, with: &c, body)
        return
    default: break
    }
    body(&c)
}

private func lend(
    _ message: String?, _ name: String?, with event: inout sluice_event, _ body: (UnsafePointer<sluice_event>) -> Void
) {
    withOptionalCString(message) { message in
        withOptionalCString(name) { name in
            event.message = message
            event.name = name
            body(&event)
        }
    }
}

private func withOptionalCString(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Void) {
    guard let text else { return body(nil) }
    text.withCString(body)
}
