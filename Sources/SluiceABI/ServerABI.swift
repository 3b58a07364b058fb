import CSluice
import Sluice

// The functions of `server`, `tcp_server` and `local_server`.

@_cdecl("sluice_server_close") @implementation
public func sluice_server_close(_ handle: sluice_handle) -> sluice_error {
    act(handle, .server) { $0.close() }
}

@_cdecl("sluice_server_is_listening") @implementation
public func sluice_server_is_listening(_ handle: sluice_handle) -> Bool {
    get(handle, .server, else: false) { $0.isListening }
}

@_cdecl("sluice_server_has_pending_connections") @implementation
public func sluice_server_has_pending_connections(_ handle: sluice_handle) -> Bool {
    get(handle, .server, else: false) { $0.hasPendingConnections }
}

@_cdecl("sluice_server_next_pending_connection") @implementation
public func sluice_server_next_pending_connection(_ handle: sluice_handle) -> sluice_handle {
    guard let server = object(handle, .server), let record = HandleTables.record(of: handle) else {
        _ = unusable(handle)
        return 0
    }
    // Looked at first: a connection that is taken and gets no handle would be lost.
    guard record.hasRoom else {
        _ = failed(.limitReached)
        return 0
    }
    guard let socket = server.nextPendingConnection() else { return 0 }
    return record.add(socket)
}

@_cdecl("sluice_server_set_incoming_handler") @implementation
public func sluice_server_set_incoming_handler(
    _ handle: sluice_handle, _ handler: sluice_incoming_handler?, _ context: UnsafeMutableRawPointer?
) -> sluice_error {
    act(handle, .server) { server in
        guard let handler, let record = HandleTables.record(of: handle) else { return server.setIncomingHandler(nil) }
        // The special value that the header calls SLUICE_INCOMING_EVENTS, which Swift cannot import.
        if unsafeBitCast(handler, to: Int.self) == 1 { return server.sendIncomingConnections() }
        server.setIncomingHandler { descriptor in record.call { handler(handle, descriptor, context) } }
    }
}

@_cdecl("sluice_server_add_pending_connection") @implementation
public func sluice_server_add_pending_connection(_ handle: sluice_handle, _ socket: sluice_handle) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in
        guard let socket = object(socket, .streamSocket) else { throw SocketError(whyNoObject(socket), "") }
        try server.addPendingConnection(socket)
    }
}

@_cdecl("sluice_server_max_pending_connections") @implementation
public func sluice_server_max_pending_connections(_ handle: sluice_handle) -> Int64 {
    get(handle, .server, else: 0) { Int64($0.maxPendingConnections) }
}

@_cdecl("sluice_server_set_max_pending_connections") @implementation
public func sluice_server_set_max_pending_connections(_ handle: sluice_handle, _ count: Int64) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in try server.setMaxPendingConnections(atLeast(1, count)) }
}

@_cdecl("sluice_server_listen_backlog") @implementation
public func sluice_server_listen_backlog(_ handle: sluice_handle) -> Int64 {
    get(handle, .server, else: 0) { Int64($0.listenBacklog) }
}

@_cdecl("sluice_server_set_listen_backlog") @implementation
public func sluice_server_set_listen_backlog(_ handle: sluice_handle, _ size: Int64) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in try server.setListenBacklog(atLeast(1, size)) }
}

@_cdecl("sluice_server_address") @implementation
public func sluice_server_address(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .server, buffer, capacity) { $0.address }
}

@_cdecl("sluice_server_port") @implementation
public func sluice_server_port(_ handle: sluice_handle) -> Int32 {
    get(handle, .server, else: 0) { Int32($0.port) }
}

@_cdecl("sluice_server_error") @implementation
public func sluice_server_error(_ handle: sluice_handle) -> sluice_error {
    guard let server = object(handle, .server) else { return unusable(handle) }
    return server.error.rawValue
}

@_cdecl("sluice_server_error_string") @implementation
public func sluice_server_error_string(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .server, buffer, capacity) { $0.errorString }
}

@_cdecl("sluice_server_system_error") @implementation
public func sluice_server_system_error(_ handle: sluice_handle) -> Int32 {
    get(handle, .server, else: 0) { $0.lastError?.systemError ?? 0 }
}

@_cdecl("sluice_server_descriptor") @implementation
public func sluice_server_descriptor(_ handle: sluice_handle) -> Int32 {
    get(handle, .server, else: -1) { $0.descriptor }
}

@_cdecl("sluice_server_set_descriptor") @implementation
public func sluice_server_set_descriptor(_ handle: sluice_handle, _ descriptor: Int32) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in try server.setDescriptor(descriptor) }
}

@_cdecl("sluice_server_take_descriptor") @implementation
public func sluice_server_take_descriptor(_ handle: sluice_handle) -> Int32 {
    Int32(count(handle, .server) { server throws(SocketError) in Int(try server.takeDescriptor()) })
}

@_cdecl("sluice_server_pause_accepting") @implementation
public func sluice_server_pause_accepting(_ handle: sluice_handle) -> sluice_error {
    act(handle, .server) { $0.pauseAccepting() }
}

@_cdecl("sluice_server_resume_accepting") @implementation
public func sluice_server_resume_accepting(_ handle: sluice_handle) -> sluice_error {
    act(handle, .server) { $0.resumeAccepting() }
}

@_cdecl("sluice_server_wait_for_new_connection") @implementation
public func sluice_server_wait_for_new_connection(
    _ handle: sluice_handle, _ timeout: Int64, _ timed_out: UnsafeMutablePointer<Bool>?
) -> Bool {
    timed_out?.pointee = false
    return wait(handle, .server, timeout) { server in
        let (available, timedOut) = server.waitForNewConnection(timeout: Int(timeout))
        timed_out?.pointee = timedOut
        return available
    }
}

// MARK: TCP servers

@_cdecl("sluice_tcp_server_listen") @implementation
public func sluice_tcp_server_listen(
    _ handle: sluice_handle, _ address: UnsafePointer<CChar>?, _ port: Int32, _ mode: sluice_bind_mode
) -> sluice_error {
    act(handle, .tcpServer) { server throws(SocketError) in
        try server.listen(text(address), port: Int(port), mode: flags(mode))
    }
}

// MARK: Local servers

@_cdecl("sluice_local_server_listen") @implementation
public func sluice_local_server_listen(_ handle: sluice_handle, _ name: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .localServer) { server throws(SocketError) in try server.listen(text(name)) }
}

@_cdecl("sluice_local_server_listen_descriptor") @implementation
public func sluice_local_server_listen_descriptor(_ handle: sluice_handle, _ descriptor: Int32) -> sluice_error {
    act(handle, .localServer) { server throws(SocketError) in try server.listen(descriptor: descriptor) }
}

@_cdecl("sluice_local_server_remove_server") @implementation
public func sluice_local_server_remove_server(_ name: UnsafePointer<CChar>?) -> Bool {
    do throws(SocketError) {
        return try LocalServer.removeServer(text(name))
    } catch {
        _ = failed(by: error)
        return false
    }
}

@_cdecl("sluice_local_server_server_name") @implementation
public func sluice_local_server_server_name(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .localServer, buffer, capacity) { $0.serverName }
}

@_cdecl("sluice_local_server_full_server_name") @implementation
public func sluice_local_server_full_server_name(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .localServer, buffer, capacity) { $0.fullServerName }
}

@_cdecl("sluice_local_server_socket_options") @implementation
public func sluice_local_server_socket_options(_ handle: sluice_handle) -> sluice_access {
    get(handle, .localServer, else: sluice_access(SLUICE_ACCESS_NONE)) { $0.socketOptions.rawValue }
}

@_cdecl("sluice_local_server_set_socket_options") @implementation
public func sluice_local_server_set_socket_options(_ handle: sluice_handle, _ options: sluice_access) -> sluice_error {
    act(handle, .localServer) { server throws(SocketError) in try server.setSocketOptions(flags(options)) }
}
