import CSluice
import Sluice

// The functions of `socket` for reading.

@_cdecl("sluice_socket_bytes_available") @implementation
public func sluice_socket_bytes_available(_ handle: sluice_handle) -> Int64 {
    ask(handle, .socket, else: 0) { Int64($0.bytesAvailable) }
}

@_cdecl("sluice_socket_at_end") @implementation
public func sluice_socket_at_end(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: true) { $0.atEnd }
}

@_cdecl("sluice_socket_can_read_line") @implementation
public func sluice_socket_can_read_line(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.canReadLine }
}

@_cdecl("sluice_socket_read") @implementation
public func sluice_socket_read(_ handle: sluice_handle, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.read(into: space(buffer, capacity)) }
}

@_cdecl("sluice_socket_read_all") @implementation
public func sluice_socket_read_all(_ handle: sluice_handle, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.read(into: space(buffer, capacity)) }
}

@_cdecl("sluice_socket_read_line") @implementation
public func sluice_socket_read_line(_ handle: sluice_handle, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.readLine(into: space(buffer, capacity)) }
}

@_cdecl("sluice_socket_peek") @implementation
public func sluice_socket_peek(_ handle: sluice_handle, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.peek(into: space(buffer, capacity)) }
}

@_cdecl("sluice_socket_peek_all") @implementation
public func sluice_socket_peek_all(_ handle: sluice_handle, _ buffer: UnsafeMutableRawPointer?, _ capacity: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.peek(into: space(buffer, capacity)) }
}

@_cdecl("sluice_socket_skip") @implementation
public func sluice_socket_skip(_ handle: sluice_handle, _ size: Int64) -> Int64 {
    count(handle, .socket) { socket throws(SocketError) in try socket.skip(atLeast(0, size)) }
}

@_cdecl("sluice_socket_get_char") @implementation
public func sluice_socket_get_char(_ handle: sluice_handle) -> Int32 {
    Int32(
        count(handle, .socket) { socket throws(SocketError) in
            var byte: UInt8 = 0
            guard try read(1, from: socket, into: &byte) == 1 else { throw SocketError(.temporary, "") }
            return Int(byte)
        })
}

/// The buffer must be named here for its address to be valid through the call.
private func read(_ size: Int, from socket: Socket, into byte: UnsafeMutablePointer<UInt8>) throws(SocketError) -> Int {
    try socket.read(into: UnsafeMutableRawBufferPointer(start: byte, count: size))
}

@_cdecl("sluice_socket_unget_char") @implementation
public func sluice_socket_unget_char(_ handle: sluice_handle, _ byte: Int32) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.ungetChar(SluiceABI.byte(byte)) }
}

@_cdecl("sluice_socket_read_buffer_size") @implementation
public func sluice_socket_read_buffer_size(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.readBufferSize) }
}

@_cdecl("sluice_socket_set_read_buffer_size") @implementation
public func sluice_socket_set_read_buffer_size(_ handle: sluice_handle, _ size: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setReadBufferSize(atLeast(0, size)) }
}
