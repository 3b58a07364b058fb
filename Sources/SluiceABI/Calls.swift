import CSluice
import Sluice

// The shapes that the functions of the header have. Each finds the object, runs the body and turns what it throws into the
// number that C gets. They are inlined so that a call costs the lookup and the operation, and no closure is made.

/// A function that acts: 0, or the error.
@inline(__always)
func act<Object: EventSource>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, _ body: (Object) throws(SocketError) -> Void
) -> sluice_error {
    guard let object = object(handle, kinds) else { return unusable(handle) }
    do throws(SocketError) {
        try body(object)
        return 0
    } catch {
        return failed(by: error)
    }
}

/// A function that counts: the count, or minus the error.
@inline(__always)
func count<Object: EventSource>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, _ body: (Object) throws(SocketError) -> Int
) -> Int64 {
    guard let object = object(handle, kinds) else { return -Int64(unusable(handle)) }
    do throws(SocketError) {
        return Int64(try body(object))
    } catch {
        return -Int64(failed(by: error))
    }
}

/// A getter: the value, or the neutral one. The body must not do anything that raises events.
@inline(__always)
func get<Object: EventSource, Value>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, else neutral: Value, _ body: (Object) -> Value
) -> Value {
    guard let reference = reference(handle, kinds) else {
        _ = unusable(handle)
        return neutral
    }
    return reference._withUnsafeGuaranteedRef { body(unsafeDowncast($0, to: Object.self)) }
}

/// As `get`, for what may raise events, whose receiver may destroy the object.
@inline(__always)
func ask<Object: EventSource, Value>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, else neutral: Value, _ body: (Object) -> Value
) -> Value {
    guard let object = object(handle, kinds) else {
        _ = unusable(handle)
        return neutral
    }
    return body(object)
}

/// A blocking wait: false too for a time that makes no sense.
@inline(__always)
func wait<Object: EventSource>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, _ timeout: Int64, _ body: (Object) -> Bool
) -> Bool {
    ask(handle, kinds, else: false) { object in
        guard timeout >= -1 else {
            _ = failed(.invalidArgument)
            return false
        }
        return body(object)
    }
}

/// A function that yields a string: fills the buffer and returns the full length, or minus the error.
func fill<Object: EventSource>(
    _ handle: sluice_handle, _ kinds: HandleKinds<Object>, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int,
    _ body: (Object) throws(SocketError) -> String
) -> Int64 {
    guard capacity >= 0, buffer != nil || capacity == 0 else { return -Int64(failed(.invalidArgument)) }
    guard let object = object(handle, kinds) else {
        if capacity > 0 { buffer?.pointee = 0 }
        return -Int64(unusable(handle))
    }
    do throws(SocketError) {
        return Int64(copy(try body(object), to: buffer, capacity))
    } catch {
        if capacity > 0 { buffer?.pointee = 0 }
        return -Int64(failed(by: error))
    }
}

/// The same for what belongs to no object.
func fill(_ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int, _ body: () throws(SocketError) -> String) -> Int64 {
    do throws(SocketError) {
        guard capacity >= 0, buffer != nil || capacity == 0 else { throw .invalidArgument }
        if capacity > 0 { buffer?.pointee = 0 }
        return Int64(copy(try body(), to: buffer, capacity))
    } catch {
        return -Int64(failed(by: error))
    }
}

/// Copies what fits, cut between characters and ended by NUL, and returns the full length.
func copy(_ text: String, to buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int {
    var text = text
    return text.withUTF8 { bytes in
        guard let buffer, capacity > 0 else { return bytes.count }
        var end = min(bytes.count, capacity - 1)
        if end < bytes.count {
            while end > 0, bytes[end] & 0b1100_0000 == 0b1000_0000 { end -= 1 }
        }
        for index in 0..<end { buffer[index] = CChar(bitPattern: bytes[index]) }
        buffer[end] = 0
        return bytes.count
    }
}

/// The text of a C string. NULL and invalid UTF-8 are mistakes.
func text(_ string: UnsafePointer<CChar>?) throws(SocketError) -> String {
    guard let string, let text = String(validatingCString: string) else { throw .invalidArgument }
    return text
}

/// Memory to read from.
@inline(__always)
func bytes(_ start: UnsafeRawPointer?, _ size: Int64) throws(SocketError) -> UnsafeRawBufferPointer {
    guard size >= 0, start != nil || size == 0 else { throw .invalidArgument }
    return UnsafeRawBufferPointer(start: start, count: Int(size))
}

/// Memory to write to.
@inline(__always)
func space(_ start: UnsafeMutableRawPointer?, _ size: Int64) throws(SocketError) -> UnsafeMutableRawBufferPointer {
    guard size >= 0, start != nil || size == 0 else { throw .invalidArgument }
    return UnsafeMutableRawBufferPointer(start: start, count: Int(size))
}

/// A struct that starts with its size and is as large as the header says.
func whole<Struct>(_ pointer: UnsafeMutablePointer<Struct>?) throws(SocketError) -> UnsafeMutablePointer<Struct> {
    guard let pointer, UnsafeRawPointer(pointer).load(as: UInt32.self) >= MemoryLayout<Struct>.stride else { throw .invalidArgument }
    return pointer
}

/// An array of structs that start with their size. The first one's is good for all, so that they can grow.
struct StructArray<Struct> {
    private let start: UnsafeRawPointer?
    private let stride: Int
    let count: Int

    init(_ pointer: UnsafePointer<Struct>?, _ count: Int64) throws(SocketError) {
        start = UnsafeRawPointer(pointer)
        self.count = try atLeast(0, count)
        guard count > 0 else {
            stride = 0
            return
        }
        guard let start else { throw .invalidArgument }
        stride = Int(start.load(as: UInt32.self))
        guard stride >= MemoryLayout<Struct>.stride, stride % MemoryLayout<Struct>.alignment == 0 else { throw .invalidArgument }
    }

    /// Below `count`.
    @inline(__always)
    subscript(index: Int) -> UnsafePointer<Struct>? { start.map { ($0 + index * stride).assumingMemoryBound(to: Struct.self) } }
}

/// A size, count or time that must not be below a least value.
@inline(__always)
func atLeast(_ least: Int64, _ value: Int64) throws(SocketError) -> Int {
    guard value >= least else { throw .invalidArgument }
    return Int(value)
}

func byte(_ value: Int32) throws(SocketError) -> UInt8 {
    guard let byte = UInt8(exactly: value) else { throw .invalidArgument }
    return byte
}

/// The value of an enumeration that has this number.
func value<Value: RawRepresentable>(_ number: Int32, of: Value.Type = Value.self) throws(SocketError) -> Value where Value.RawValue == Int32 {
    guard let value = Value(rawValue: number) else { throw .invalidArgument }
    return value
}

/// Flags, all of which must be known ones.
func flags<Flags: NamedFlags>(_ number: Int32, of: Flags.Type = Flags.self) throws(SocketError) -> Flags {
    guard number & ~Flags.all.rawValue == 0 else { throw .invalidArgument }
    return Flags(rawValue: number)
}
