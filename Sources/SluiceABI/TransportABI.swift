import CSluice
import Glibc
import Sluice

// The functions of `socket` for transports of the user's own, and for what they show of their connection.

/// A table of C functions as a transport. Their results are not trusted further than they make sense.
private final class TableTransport: Transport {
    private let functions: sluice_transport
    private let context: UnsafeMutableRawPointer?
    private let record: LoopRecord
    /// The socket has taken it: from then on the context is ours to release.
    var isAccepted = false

    init(_ functions: sluice_transport, _ context: UnsafeMutableRawPointer?, _ record: LoopRecord) {
        self.functions = functions
        self.context = context
        self.record = record
    }

    deinit {
        if isAccepted, let release = functions.release { record.call { release(context) } }
    }

    func connect(to host: String, port: Int) -> Int {
        guard let connect = functions.connect else { return -Int(EOPNOTSUPP) }
        return bounded(record.call { host.withCString { connect(context, $0, Int32(clamping: port)) } }, by: 0)
    }

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let receive = functions.receive else { return -Int(EAGAIN) }
        return bounded(record.call { receive(context, buffer.baseAddress, Int64(buffer.count)) }, by: buffer.count)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        guard let send = functions.send else { return -Int(EAGAIN) }
        let sent = bounded(record.call { send(context, bytes.baseAddress, Int64(bytes.count)) }, by: bytes.count)
        return sent == 0 && !bytes.isEmpty ? -Int(EAGAIN) : sent
    }

    func finishSending() -> Int {
        guard let finish = functions.finish_sending else { return 0 }
        return bounded(record.call { finish(context) }, by: 0)
    }

    func close() {
        if let close = functions.close { record.call { close(context) } }
    }

    func wait(readable: Bool, writable: Bool, timeout: Int) -> Int {
        guard let wait = functions.wait else { return -Int(EOPNOTSUPP) }
        return bounded(record.call { wait(context, readable, writable, Int64(timeout)) }, by: 1)
    }

    private func bounded(_ result: Int64, by most: Int) -> Int {
        result < -Int64(maximumErrorNumber) ? -Int(EIO) : min(Int(result), most)
    }

    /// Of Linux.
    private var maximumErrorNumber: Int { 4095 }
}

@_cdecl("sluice_socket_set_transport") @implementation
public func sluice_socket_set_transport(
    _ handle: sluice_handle, _ transport: UnsafePointer<sluice_transport>?, _ context: UnsafeMutableRawPointer?
) -> sluice_error {
    act(handle, .streamSocket) { socket throws(SocketError) in
        guard let transport, let record = HandleTables.record(of: handle) else { return try socket.setTransport(nil) }
        let functions = try whole(UnsafeMutablePointer(mutating: transport)).pointee
        guard functions.receive != nil, functions.send != nil else { throw .invalidArgument }
        let table = TableTransport(functions, context, record)
        try socket.setTransport(table)
        table.isAccepted = true
    }
}

@_cdecl("sluice_socket_transport_ready") @implementation
public func sluice_socket_transport_ready(_ handle: sluice_handle, _ readable: Bool, _ writable: Bool) -> sluice_error {
    act(handle, .streamSocket) { $0.transportReady(readable: readable, writable: writable) }
}

// MARK: What is shown of a connection

@_cdecl("sluice_socket_set_peer_name") @implementation
public func sluice_socket_set_peer_name(_ handle: sluice_handle, _ name: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setPeerName(text(name)) }
}

@_cdecl("sluice_socket_set_peer_address") @implementation
public func sluice_socket_set_peer_address(_ handle: sluice_handle, _ address: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setPeerAddress(text(address)) }
}

@_cdecl("sluice_socket_set_peer_port") @implementation
public func sluice_socket_set_peer_port(_ handle: sluice_handle, _ port: Int32) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setPeerPort(Int(port)) }
}

@_cdecl("sluice_socket_set_local_address") @implementation
public func sluice_socket_set_local_address(_ handle: sluice_handle, _ address: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setLocalAddress(text(address)) }
}

@_cdecl("sluice_socket_set_local_port") @implementation
public func sluice_socket_set_local_port(_ handle: sluice_handle, _ port: Int32) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setLocalPort(Int(port)) }
}

@_cdecl("sluice_socket_set_state") @implementation
public func sluice_socket_set_state(_ handle: sluice_handle, _ state: sluice_state) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setState(to: value(state)) }
}

@_cdecl("sluice_socket_set_error") @implementation
public func sluice_socket_set_error(_ handle: sluice_handle, _ error: sluice_error) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setError(value(error)) }
}

@_cdecl("sluice_socket_set_error_string") @implementation
public func sluice_socket_set_error_string(_ handle: sluice_handle, _ message: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setErrorString(text(message)) }
}
