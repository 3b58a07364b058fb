import CSluice
import Sluice

// The functions of `proxy`, and those of sockets and servers that are about one. In C a proxy is a text.

/// A proxy in words: its URL, or "default" or "none".
private func proxy(_ words: UnsafePointer<CChar>?) throws(SocketError) -> Proxy {
    let words = try text(words)
    if let kind = Proxy.Kind(name: words) {
        guard kind == .default || kind == .none else { throw notAProxy(words) }
        return Proxy(type: kind)
    }
    guard let proxy = Proxy(url: words) else { throw notAProxy(words) }
    return proxy
}

/// The text is not repeated: it may hold a password.
private func notAProxy(_ words: String) -> SocketError {
    SocketError(.invalidArgument, "A proxy is a URL (http://, socks5:// or socks5h://, host and port), \"default\" or \"none\"")
}

// MARK: Sockets

@_cdecl("sluice_socket_proxy") @implementation
public func sluice_socket_proxy(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .socket, buffer, capacity) { $0.proxy.description }
}

@_cdecl("sluice_socket_set_proxy") @implementation
public func sluice_socket_set_proxy(_ handle: sluice_handle, _ url: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setProxy(proxy(url)) }
}

@_cdecl("sluice_socket_proxy_timeout") @implementation
public func sluice_socket_proxy_timeout(_ handle: sluice_handle) -> Int64 {
    get(handle, .socket, else: 0) { Int64($0.proxyTimeout) }
}

@_cdecl("sluice_socket_set_proxy_timeout") @implementation
public func sluice_socket_set_proxy_timeout(_ handle: sluice_handle, _ timeout: Int64) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in try socket.setProxyTimeout(Int(timeout)) }
}

@_cdecl("sluice_socket_awaits_proxy_authentication") @implementation
public func sluice_socket_awaits_proxy_authentication(_ handle: sluice_handle) -> Bool {
    get(handle, .socket, else: false) { $0.awaitsProxyAuthentication }
}

@_cdecl("sluice_socket_set_awaits_proxy_authentication") @implementation
public func sluice_socket_set_awaits_proxy_authentication(_ handle: sluice_handle, _ awaits: Bool) -> sluice_error {
    act(handle, .socket) { $0.awaitsProxyAuthentication = awaits }
}

@_cdecl("sluice_socket_authenticate_proxy") @implementation
public func sluice_socket_authenticate_proxy(
    _ handle: sluice_handle, _ user: UnsafePointer<CChar>?, _ password: UnsafePointer<CChar>?
) -> sluice_error {
    act(handle, .socket) { socket throws(SocketError) in
        try socket.authenticateProxy(user: text(user), password: text(password))
    }
}

// MARK: Servers

@_cdecl("sluice_server_proxy") @implementation
public func sluice_server_proxy(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .server, buffer, capacity) { $0.proxy.description }
}

@_cdecl("sluice_server_set_proxy") @implementation
public func sluice_server_set_proxy(_ handle: sluice_handle, _ url: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in try server.setProxy(proxy(url)) }
}

@_cdecl("sluice_server_proxy_protocol") @implementation
public func sluice_server_proxy_protocol(_ handle: sluice_handle) -> Bool {
    get(handle, .server, else: false) { $0.proxyProtocol }
}

@_cdecl("sluice_server_set_proxy_protocol") @implementation
public func sluice_server_set_proxy_protocol(_ handle: sluice_handle, _ on: Bool) -> sluice_error {
    act(handle, .server) { $0.proxyProtocol = on }
}

// MARK: All of the process

@_cdecl("sluice_proxy_application") @implementation
public func sluice_proxy_application(_ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(buffer, capacity) { Proxy.application.description }
}

@_cdecl("sluice_proxy_set_application") @implementation
public func sluice_proxy_set_application(_ url: UnsafePointer<CChar>?) -> sluice_error {
    do throws(SocketError) {
        try Proxy.setApplication(proxy(url))
        return 0
    } catch {
        return failed(by: error)
    }
}

@_cdecl("sluice_proxy_for_query") @implementation
public func sluice_proxy_for_query(
    _ host: UnsafePointer<CChar>?, _ port: Int32, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(buffer, capacity) { () throws(SocketError) in
        try Proxy.forQuery(host: text(host), port: Int(port)).map(\.description).joined(separator: "\n")
    }
}
