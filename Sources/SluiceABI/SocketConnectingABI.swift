import CSluice
import Sluice

// The functions of `socket` about its connection.

@_cdecl("sluice_socket_connect_to_host") @implementation
public func sluice_socket_connect_to_host(
    _ handle: sluice_handle, _ host: UnsafePointer<CChar>?, _ port: Int32, _ mode: sluice_open_mode, _ protocol: sluice_protocol
) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        try socket.connectToHost(
            text(host), port: Int(port), openMode: flags(mode), protocol: value(`protocol`))
    }
}

@_cdecl("sluice_socket_disconnect_from_host") @implementation
public func sluice_socket_disconnect_from_host(_ handle: sluice_handle) -> sluice_error {
    act(handle, .socket) { $0.disconnectFromHost() }
}

@_cdecl("sluice_socket_abort") @implementation
public func sluice_socket_abort(_ handle: sluice_handle) -> sluice_error {
    act(handle, .socket) { $0.abort() }
}

@_cdecl("sluice_socket_close") @implementation
public func sluice_socket_close(_ handle: sluice_handle) -> sluice_error {
    act(handle, .socket) { $0.close() }
}

@_cdecl("sluice_socket_shutdown_write") @implementation
public func sluice_socket_shutdown_write(_ handle: sluice_handle) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.shutdownWrite() }
}

@_cdecl("sluice_socket_bind") @implementation
public func sluice_socket_bind(
    _ handle: sluice_handle, _ address: UnsafePointer<CChar>?, _ port: Int32, _ mode: sluice_bind_mode
) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        try socket.bind(text(address), port: Int(port), mode: flags(mode))
    }
}

@_cdecl("sluice_socket_set_descriptor") @implementation
public func sluice_socket_set_descriptor(
    _ handle: sluice_handle, _ descriptor: Int32, _ state: sluice_state, _ mode: sluice_open_mode
) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        try socket.setDescriptor(descriptor, state: value(state), openMode: flags(mode))
    }
}

@_cdecl("sluice_socket_descriptor") @implementation
public func sluice_socket_descriptor(_ handle: sluice_handle) -> Int32 {
    get(handle, .socket, else: -1) { $0.descriptor }
}

@_cdecl("sluice_socket_take_descriptor") @implementation
public func sluice_socket_take_descriptor(_ handle: sluice_handle) -> Int32 {
    Int32(count(handle, .socket) { socket throws(SocketError) in Int(try socket.takeDescriptor()) })
}

// MARK: Limits

@_cdecl("sluice_socket_connect_timeout") @implementation
public func sluice_socket_connect_timeout(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.connectTimeout) }
}

@_cdecl("sluice_socket_set_connect_timeout") @implementation
public func sluice_socket_set_connect_timeout(_ handle: sluice_handle, _ timeout: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setConnectTimeout(Int(timeout)) }
}

@_cdecl("sluice_socket_close_timeout") @implementation
public func sluice_socket_close_timeout(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.closeTimeout) }
}

@_cdecl("sluice_socket_set_close_timeout") @implementation
public func sluice_socket_set_close_timeout(_ handle: sluice_handle, _ timeout: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setCloseTimeout(Int(timeout)) }
}

@_cdecl("sluice_socket_allow_half_open") @implementation
public func sluice_socket_allow_half_open(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.allowHalfOpen }
}

@_cdecl("sluice_socket_set_allow_half_open") @implementation
public func sluice_socket_set_allow_half_open(_ handle: sluice_handle, _ allow: Bool) -> sluice_error {
    act(handle, .socket) { $0.allowHalfOpen = allow }
}

// MARK: Waits

@_cdecl("sluice_socket_wait_for_connected") @implementation
public func sluice_socket_wait_for_connected(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .socket, timeout) { $0.waitForConnected(timeout: Int(timeout)) }
}

@_cdecl("sluice_socket_wait_for_ready_read") @implementation
public func sluice_socket_wait_for_ready_read(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .socket, timeout) { $0.waitForReadyRead(timeout: Int(timeout)) }
}

@_cdecl("sluice_socket_wait_for_bytes_written") @implementation
public func sluice_socket_wait_for_bytes_written(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .socket, timeout) { $0.waitForBytesWritten(timeout: Int(timeout)) }
}

@_cdecl("sluice_socket_wait_for_disconnected") @implementation
public func sluice_socket_wait_for_disconnected(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .socket, timeout) { $0.waitForDisconnected(timeout: Int(timeout)) }
}
