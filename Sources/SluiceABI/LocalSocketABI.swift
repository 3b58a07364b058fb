import CSluice
import Sluice

// The functions of `local_socket`.

@_cdecl("sluice_local_socket_connect_to_server") @implementation
public func sluice_local_socket_connect_to_server(
    _ handle: sluice_handle, _ name: UnsafePointer<CChar>?, _ mode: sluice_open_mode
) -> sluice_error {
    act(handle, .localSocket) { socket throws(SocketError) in
        let mode: OpenMode = try flags(mode)
        guard let name else { return try socket.connectToServer(openMode: mode) }
        try socket.connectToServer(text(name), openMode: mode)
    }
}

@_cdecl("sluice_local_socket_disconnect_from_server") @implementation
public func sluice_local_socket_disconnect_from_server(_ handle: sluice_handle) -> sluice_error {
    act(handle, .localSocket) { $0.disconnectFromServer() }
}

@_cdecl("sluice_local_socket_server_name") @implementation
public func sluice_local_socket_server_name(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .localSocket, buffer, capacity) { $0.serverName }
}

@_cdecl("sluice_local_socket_full_server_name") @implementation
public func sluice_local_socket_full_server_name(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .localSocket, buffer, capacity) { $0.fullServerName }
}

@_cdecl("sluice_local_socket_set_server_name") @implementation
public func sluice_local_socket_set_server_name(_ handle: sluice_handle, _ name: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .localSocket) { socket throws(SocketError) in try socket.setServerName(text(name)) }
}

@_cdecl("sluice_local_socket_socket_options") @implementation
public func sluice_local_socket_socket_options(_ handle: sluice_handle) -> sluice_access {
    get(handle, .localSocket, else: sluice_access(SLUICE_ACCESS_NONE)) { $0.socketOptions.rawValue }
}

@_cdecl("sluice_local_socket_set_socket_options") @implementation
public func sluice_local_socket_set_socket_options(_ handle: sluice_handle, _ options: sluice_access) -> sluice_error {
    act(handle, .localSocket) { socket throws(SocketError) in try socket.setSocketOptions(flags(options)) }
}

@_cdecl("sluice_local_socket_peer_credentials") @implementation
public func sluice_local_socket_peer_credentials(
    _ handle: sluice_handle, _ credentials: UnsafeMutablePointer<sluice_credentials>?
) -> sluice_error {
    act(handle, .localSocket) { socket throws(SocketError) in
        let credentials = try whole(credentials)
        (credentials.pointee.pid, credentials.pointee.uid, credentials.pointee.gid) = try socket.peerCredentials()
    }
}

@_cdecl("sluice_local_socket_send_descriptor") @implementation
public func sluice_local_socket_send_descriptor(_ handle: sluice_handle, _ descriptor: Int32) -> sluice_error {
    act(handle, .localSocket) { socket throws(SocketError) in try socket.sendDescriptor(descriptor) }
}

@_cdecl("sluice_local_socket_receive_descriptor") @implementation
public func sluice_local_socket_receive_descriptor(_ handle: sluice_handle) -> Int32 {
    Int32(
        count(handle, .localSocket) { socket throws(SocketError) in
            let descriptor = try socket.receiveDescriptor()
            guard descriptor >= 0 else { throw SocketError(.temporary, "") }
            return Int(descriptor)
        })
}
