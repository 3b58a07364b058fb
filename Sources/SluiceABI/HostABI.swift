import CSluice
import Sluice

// The functions of `host`.

@_cdecl("sluice_host_lookup") @implementation
public func sluice_host_lookup(
    _ loop: sluice_handle, _ name: UnsafePointer<CChar>?, _ protocol: sluice_protocol, _ timeout: Int64
) -> sluice_handle {
    create(on: loop) { loop throws(SocketError) in
        try HostQuery(text(name), protocol: value(`protocol`), timeout: atLeast(-1, timeout), loop: loop)
    }
}

@_cdecl("sluice_host_is_finished") @implementation
public func sluice_host_is_finished(_ handle: sluice_handle) -> Bool {
    get(handle, .lookup, else: false) { $0.isFinished }
}

@_cdecl("sluice_host_wait_for_finished") @implementation
public func sluice_host_wait_for_finished(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .lookup, timeout) { $0.wait(timeout: Int(timeout)) }
}

@_cdecl("sluice_host_error") @implementation
public func sluice_host_error(_ handle: sluice_handle) -> sluice_error {
    guard let query = object(handle, .lookup) else { return unusable(handle) }
    return query.error?.code.rawValue ?? 0
}

@_cdecl("sluice_host_error_string") @implementation
public func sluice_host_error_string(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .lookup, buffer, capacity) { $0.error?.message ?? "" }
}

@_cdecl("sluice_host_address_count") @implementation
public func sluice_host_address_count(_ handle: sluice_handle) -> Int32 {
    get(handle, .lookup, else: 0) { Int32(clamping: $0.addresses.count) }
}

@_cdecl("sluice_host_address") @implementation
public func sluice_host_address(
    _ handle: sluice_handle, _ index: Int32, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .lookup, buffer, capacity) { query throws(SocketError) in
        guard query.addresses.indices.contains(Int(index)) else { throw .invalidArgument }
        return query.addresses[Int(index)].description
    }
}

@_cdecl("sluice_host_interfaces") @implementation
public func sluice_host_interfaces(_ interfaces: UnsafeMutablePointer<sluice_interface>?, _ count: Int64) -> Int64 {
    do throws(SocketError) {
        let structs = try StructArray(interfaces, count)
        var found = 0
        for interface in try NetworkInterface.all() {
            // One that has no address is told too.
            for address in interface.addresses.isEmpty ? [nil] : interface.addresses.map(Optional.some) {
                if found < structs.count, let place = structs[found] { fill(UnsafeMutablePointer(mutating: place), interface, address) }
                found += 1
            }
        }
        return Int64(found)
    } catch {
        return -Int64(failed(by: error))
    }
}

private func fill(_ place: UnsafeMutablePointer<sluice_interface>, _ interface: NetworkInterface, _ address: HostAddress?) {
    place.pointee.index = Int32(clamping: interface.index)
    place.pointee.flags = interface.flags.rawValue
    withUnsafeMutableBytes(of: &place.pointee.name) { _ = copy(interface.name, to: $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count) }
    withUnsafeMutableBytes(of: &place.pointee.address) {
        _ = copy(address?.description ?? "", to: $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
    }
}
