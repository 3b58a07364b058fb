import CSluice
import Sluice

// The functions of `relay`.

@_cdecl("sluice_relay_create") @implementation
public func sluice_relay_create(_ a: sluice_handle, _ b: sluice_handle) -> sluice_handle {
    guard let first = object(a, .streamSocket), let record = HandleTables.record(of: a) else {
        _ = unusable(a)
        return 0
    }
    guard let second = object(b, .streamSocket) else {
        _ = unusable(b)
        return 0
    }
    guard record.hasRoom else {
        _ = failed(.limitReached)
        return 0
    }
    do throws(SocketError) {
        return record.add(try Relay(first, second))
    } catch {
        _ = failed(by: error)
        return 0
    }
}

@_cdecl("sluice_relay_counters") @implementation
public func sluice_relay_counters(
    _ handle: sluice_handle, _ aToB: UnsafeMutablePointer<Int64>?, _ bToA: UnsafeMutablePointer<Int64>?
) -> sluice_error {
    act(handle, .relay) { relay in
        let counters = relay.counters
        aToB?.pointee = Int64(counters.aToB)
        bToA?.pointee = Int64(counters.bToA)
    }
}

@_cdecl("sluice_relay_is_finished") @implementation
public func sluice_relay_is_finished(_ handle: sluice_handle) -> Bool {
    get(handle, .relay, else: false) { $0.isFinished }
}
