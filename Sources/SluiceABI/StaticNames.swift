import CSluice
import Glibc
import Sluice

/// Names for C, which wants them to stay where they are for ever: each is copied once, when names are first asked for.
struct StaticNames: @unchecked Sendable {
    private let names: [UnsafePointer<CChar>?]

    static let empty = copy(of: "")
    static let version = copy(of: SLUICE_VERSION)
    static let errors = StaticNames(SocketError.Code.allCases.map { ($0.rawValue, $0.name) })
    static let states = StaticNames(SocketState.allCases.map { ($0.rawValue, $0.name) })
    static let events = StaticNames(EventType.allCases.map { ($0.rawValue, $0.name) })

    private init(_ entries: [(number: Int32, name: String)]) {
        var names = [UnsafePointer<CChar>?](repeating: nil, count: Int(entries.map(\.number).max() ?? -1) + 1)
        for entry in entries { names[Int(entry.number)] = Self.copy(of: entry.name).pointer }
        self.names = names
    }

    /// "" for a number that has no name.
    subscript(number: Int32) -> UnsafePointer<CChar>? {
        guard number >= 0, number < names.count else { return Self.empty.pointer }
        return names[Int(number)] ?? Self.empty.pointer
    }

    struct StaticText: @unchecked Sendable {
        let pointer: UnsafePointer<CChar>?
    }

    private static func copy(of name: String) -> StaticText { StaticText(pointer: UnsafePointer(strdup(name))) }
}

@_cdecl("sluice_abi_version") @implementation
public func sluice_abi_version() -> Int32 { Int32(SLUICE_ABI_VERSION) }

@_cdecl("sluice_version") @implementation
public func sluice_version() -> UnsafePointer<CChar>? { StaticNames.version.pointer }

@_cdecl("sluice_last_error") @implementation
public func sluice_last_error() -> sluice_error { LastFailure.code }

@_cdecl("sluice_last_error_message") @implementation
public func sluice_last_error_message(_ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    guard capacity >= 0, buffer != nil || capacity == 0 else { return -Int64(SLUICE_ERROR_INVALID_ARGUMENT) }
    return Int64(copy(LastFailure.message, to: buffer, capacity))
}

@_cdecl("sluice_error_name") @implementation
public func sluice_error_name(_ error: sluice_error) -> UnsafePointer<CChar>? { StaticNames.errors[error] }

@_cdecl("sluice_state_name") @implementation
public func sluice_state_name(_ state: sluice_state) -> UnsafePointer<CChar>? { StaticNames.states[state] }

@_cdecl("sluice_event_name") @implementation
public func sluice_event_name(_ type: sluice_event_type) -> UnsafePointer<CChar>? { StaticNames.events[type] }
