import CSluice
import Sluice

// The functions of `socket` for properties.

@_cdecl("sluice_socket_properties") @implementation
public func sluice_socket_properties(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { socket throws(SocketError) in
        try PropertyValue.object(socket.properties().map { PropertyValue.Member($0.name, $0.value) }).json()
    }
}

@_cdecl("sluice_socket_set_properties") @implementation
public func sluice_socket_set_properties(_ handle: sluice_handle, _ json: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        guard case .object(let members) = try PropertyValue(json: text(json)) else {
            throw SocketError(.invalidArgument, "The JSON text must be an object of properties")
        }
        try socket.setProperties(members.map { ($0.name, $0.value) })
    }
}

@_cdecl("sluice_socket_property") @implementation
public func sluice_socket_property(
    _ handle: sluice_handle, _ name: UnsafePointer<CChar>?, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .socket, buffer, capacity) { socket throws(SocketError) in try socket.property(text(name)).json() }
}

@_cdecl("sluice_socket_set_property") @implementation
public func sluice_socket_set_property(
    _ handle: sluice_handle, _ name: UnsafePointer<CChar>?, _ json: UnsafePointer<CChar>?
) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        try socket.setProperty(text(name), PropertyValue(json: text(json)))
    }
}

@_cdecl("sluice_socket_to_json") @implementation
public func sluice_socket_to_json(
    _ handle: sluice_handle, _ graph: Bool, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .socket, buffer, capacity) { socket throws(SocketError) in
        graph ? try socket.loop.toJson() : try socket.toJson()
    }
}

@_cdecl("sluice_socket_from_json") @implementation
public func sluice_socket_from_json(_ handle: sluice_handle, _ json: UnsafePointer<CChar>?, _ graph: Bool) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        let text = try text(json)
        if graph { try socket.loop.fromJson(text) } else { try socket.fromJson(text) }
    }
}
