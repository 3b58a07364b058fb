import CSluice
import Sluice

// The functions of `socket` that tell what it is, and its options.

@_cdecl("sluice_socket_state") @implementation
public func sluice_socket_state(_ handle: sluice_handle) -> sluice_state {
    get(handle, .socket, else: sluice_state(SLUICE_STATE_UNCONNECTED)) { $0.state.rawValue }
}

@_cdecl("sluice_socket_error") @implementation
public func sluice_socket_error(_ handle: sluice_handle) -> sluice_error {
    guard let socket = object(handle, .socket) else { return unusable(handle) }
    return socket.error.rawValue
}

@_cdecl("sluice_socket_error_string") @implementation
public func sluice_socket_error_string(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { $0.errorString }
}

@_cdecl("sluice_socket_system_error") @implementation
public func sluice_socket_system_error(_ handle: sluice_handle) -> Int32 {
    get(handle, .socket, else: 0) { $0.lastError?.systemError ?? 0 }
}

@_cdecl("sluice_socket_attempt_count") @implementation
public func sluice_socket_attempt_count(_ handle: sluice_handle) -> Int32 {
    get(handle, .socket, else: 0) { Int32($0.lastError?.attempts.count ?? 0) }
}

@_cdecl("sluice_socket_attempt") @implementation
public func sluice_socket_attempt(_ handle: sluice_handle, _ index: Int32, _ attempt: UnsafeMutablePointer<sluice_attempt>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        let attempt = try whole(attempt)
        guard let attempts = socket.lastError?.attempts, attempts.indices.contains(Int(index)) else { throw .invalidArgument }
        let made = attempts[Int(index)]
        var c = sluice_attempt()
        c.size = attempt.pointee.size
        c.phase = made.phase.rawValue
        c.milliseconds = Int64(made.milliseconds)
        c.system_error = made.systemError
        withUnsafeMutableBytes(of: &c.address) { room in
            _ = copy(made.address, to: room.baseAddress?.assumingMemoryBound(to: CChar.self), room.count)
        }
        attempt.pointee = c
    }
}

@_cdecl("sluice_socket_socket_type") @implementation
public func sluice_socket_socket_type(_ handle: sluice_handle) -> sluice_socket_type {
    get(handle, .socket, else: sluice_socket_type(SLUICE_SOCKET_TYPE_UNKNOWN)) { $0.socketType.rawValue }
}

@_cdecl("sluice_socket_open_mode") @implementation
public func sluice_socket_open_mode(_ handle: sluice_handle) -> sluice_open_mode {
    get(handle, .socket, else: sluice_open_mode(SLUICE_OPEN_NOT_OPEN)) { $0.openMode.rawValue }
}

@_cdecl("sluice_socket_is_valid") @implementation
public func sluice_socket_is_valid(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.isValid }
}

@_cdecl("sluice_socket_is_open") @implementation
public func sluice_socket_is_open(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.isOpen }
}

@_cdecl("sluice_socket_is_readable") @implementation
public func sluice_socket_is_readable(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.isReadable }
}

@_cdecl("sluice_socket_is_writable") @implementation
public func sluice_socket_is_writable(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.isWritable }
}

@_cdecl("sluice_socket_is_sequential") @implementation
public func sluice_socket_is_sequential(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.isSequential }
}

@_cdecl("sluice_socket_local_address") @implementation
public func sluice_socket_local_address(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { $0.localAddress }
}

@_cdecl("sluice_socket_local_port") @implementation
public func sluice_socket_local_port(_ handle: sluice_handle) -> Int32 {
    get(handle, .socket, else: 0) { Int32($0.localPort) }
}

@_cdecl("sluice_socket_peer_address") @implementation
public func sluice_socket_peer_address(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { $0.peerAddress }
}

@_cdecl("sluice_socket_peer_port") @implementation
public func sluice_socket_peer_port(_ handle: sluice_handle) -> Int32 {
    get(handle, .socket, else: 0) { Int32($0.peerPort) }
}

@_cdecl("sluice_socket_peer_name") @implementation
public func sluice_socket_peer_name(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { $0.peerName }
}

// MARK: Options

@_cdecl("sluice_socket_option") @implementation
public func sluice_socket_option(_ handle: sluice_handle, _ option: sluice_option, _ value: UnsafeMutablePointer<Int64>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        guard let value else { throw .invalidArgument }
        value.pointee = Int64(try socket.option(SluiceABI.value(option)))
    }
}

@_cdecl("sluice_socket_set_option") @implementation
public func sluice_socket_set_option(_ handle: sluice_handle, _ option: sluice_option, _ value: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setOption(SluiceABI.value(option), Int(value)) }
}

@_cdecl("sluice_socket_pause_mode") @implementation
public func sluice_socket_pause_mode(_ handle: sluice_handle) -> sluice_pause_mode {
    get(handle, .socket, else: sluice_pause_mode(SLUICE_PAUSE_NEVER)) { $0.pauseMode.rawValue }
}

@_cdecl("sluice_socket_set_pause_mode") @implementation
public func sluice_socket_set_pause_mode(_ handle: sluice_handle, _ mode: sluice_pause_mode) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in socket.setPauseMode(try flags(mode)) }
}

@_cdecl("sluice_socket_resume") @implementation
public func sluice_socket_resume(_ handle: sluice_handle) -> sluice_error {
    act(handle, .socket) { $0.resume() }
}
