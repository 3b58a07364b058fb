import CSluice
import Sluice

// The functions of `socket` for writing.

@_cdecl("sluice_socket_bytes_to_write") @implementation
public func sluice_socket_bytes_to_write(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.bytesToWrite) }
}

@_cdecl("sluice_socket_write") @implementation
public func sluice_socket_write(_ handle: sluice_handle, _ data: UnsafeRawPointer?, _ size: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.write(bytes(data, size)) }
}

@_cdecl("sluice_socket_write_borrowed") @implementation
public func sluice_socket_write_borrowed(
    _ handle: sluice_handle, _ data: UnsafeRawPointer?, _ size: Int64, _ release: sluice_callback?, _ context: UnsafeMutableRawPointer?
) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in
        let bytes = try bytes(data, size)
        guard let release, let record = HandleTables.record(of: handle) else { return try socket.write(borrowed: bytes, release: nil) }
        return try socket.write(borrowed: bytes, release: { record.call { release(context) } })
    }
}

@_cdecl("sluice_socket_put_char") @implementation
public func sluice_socket_put_char(_ handle: sluice_handle, _ byte: Int32) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.putChar(SluiceABI.byte(byte)) }
}

@_cdecl("sluice_socket_flush") @implementation
public func sluice_socket_flush(_ handle: sluice_handle) -> Bool {
    ask(handle, .socket, else: false) { $0.flush() }
}

@_cdecl("sluice_socket_sync") @implementation
public func sluice_socket_sync(_ handle: sluice_handle, _ timeout: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.sync(timeout: atLeast(-1, timeout)) }
}

@_cdecl("sluice_socket_write_buffer_size") @implementation
public func sluice_socket_write_buffer_size(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.writeBufferSize) }
}

@_cdecl("sluice_socket_set_write_buffer_size") @implementation
public func sluice_socket_set_write_buffer_size(_ handle: sluice_handle, _ size: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setWriteBufferSize(atLeast(0, size)) }
}
