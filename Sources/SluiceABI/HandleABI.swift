import CSluice
import Sluice

// The functions of `handle`.

@_cdecl("sluice_handle_destroy") @implementation
public func sluice_handle_destroy(_ handle: sluice_handle) -> sluice_error {
    if HandleParts(handle).kind == UInt64(ObjectKind.loop.rawValue) { return sluice_loop_destroy(handle) }
    return act(handle, .any) { _ in HandleTables.record(of: handle)?.destroy(HandleParts(handle).slot) }
}

@_cdecl("sluice_handle_kind") @implementation
public func sluice_handle_kind(_ handle: sluice_handle) -> sluice_kind {
    if loopRecord(handle) != nil { return sluice_kind(SLUICE_KIND_LOOP) }
    return get(handle, .any, else: sluice_kind(SLUICE_KIND_NONE)) { $0.kind.rawValue }
}

@_cdecl("sluice_handle_subscribe") @implementation
public func sluice_handle_subscribe(_ handle: sluice_handle, _ events: UInt32) -> sluice_error {
    act(handle, .any) { $0.subscribedEvents = EventMask(rawValue: events).intersection(.all) }
}

@_cdecl("sluice_handle_set_callback") @implementation
public func sluice_handle_set_callback(
    _ handle: sluice_handle, _ callback: sluice_event_callback?, _ context: UnsafeMutableRawPointer?
) -> sluice_error {
    act(handle, .any) { _ in
        guard let table = HandleTables[HandleParts(handle).loop] else { return }
        let slot = table.pointee.slots + HandleParts(handle).slot
        slot.pointee.callback = callback
        slot.pointee.context = context
    }
}

/// Puts a fresh object on a loop of the calling thread. Returns its handle, or 0.
func create(on loop: sluice_handle, _ make: (EventLoop) throws(SocketError) -> EventSource) -> sluice_handle {
    guard let (record, loop) = loopRecord(loop) else {
        _ = unusable(loop)
        return 0
    }
    do throws(SocketError) {
        let handle = record.add(try make(loop))
        if handle == 0 { _ = failed(.limitReached) }
        return handle
    } catch {
        _ = failed(by: error)
        return 0
    }
}

@_cdecl("sluice_tcp_socket_create") @implementation
public func sluice_tcp_socket_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { TCPSocket(loop: $0) } }

@_cdecl("sluice_udp_socket_create") @implementation
public func sluice_udp_socket_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { UDPSocket(loop: $0) } }

@_cdecl("sluice_local_socket_create") @implementation
public func sluice_local_socket_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { LocalSocket(loop: $0) } }

@_cdecl("sluice_tcp_server_create") @implementation
public func sluice_tcp_server_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { TCPServer(loop: $0) } }

@_cdecl("sluice_local_server_create") @implementation
public func sluice_local_server_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { LocalServer(loop: $0) } }
