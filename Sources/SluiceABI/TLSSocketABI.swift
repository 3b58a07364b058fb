import CSluice
import Sluice

// The functions of `tls_socket`, and those of servers whose connections are encrypted.

// MARK: Configuration

/// What is not set stays as it is in a fresh configuration.
private func configuration(_ c: UnsafePointer<sluice_tls_configuration>) throws(SocketError) -> TLSConfiguration {
    let c = try whole(UnsafeMutablePointer(mutating: c)).pointee
    func given(_ string: UnsafePointer<CChar>?) throws(SocketError) -> String { string == nil ? "" : try text(string) }
    var configuration = TLSConfiguration()
    configuration.verifyMode = try value(c.verify_mode)
    if c.minimum_version != 0 { configuration.minimumVersion = try value(c.minimum_version) }
    configuration.certificateAuthorities = try given(c.certificate_authorities)
    configuration.certificate = try given(c.certificate)
    configuration.privateKey = try given(c.private_key)
    configuration.passphrase = try given(c.passphrase)
    configuration.verifyName = try given(c.verify_name)
    configuration.alpn = try list(given(c.alpn))
    configuration.ciphers = try given(c.ciphers)
    configuration.sessionTicket = try given(c.session_ticket)
    return configuration
}

/// The parts between the commas.
private func list(_ text: String) -> [String] { text.split(separator: ",").map(String.init) }

/// Without what is secret.
private func describe(_ configuration: TLSConfiguration) -> PropertyValue {
    .object([
        .init("certificateAuthorities", .text(configuration.certificateAuthorities)), .init("certificate", .text(configuration.certificate)),
        .init("verifyMode", .text(configuration.verifyMode.name)), .init("verifyName", .text(configuration.verifyName)),
        .init("alpn", .list(configuration.alpn.map(PropertyValue.text))),
        .init("minimumVersion", .text(configuration.minimumVersion.name)), .init("ciphers", .text(configuration.ciphers)),
    ])
}

@_cdecl("sluice_tls_socket_create") @implementation
public func sluice_tls_socket_create(_ loop: sluice_handle) -> sluice_handle { create(on: loop) { TLSSocket(loop: $0) } }

@_cdecl("sluice_tls_socket_set_configuration") @implementation
public func sluice_tls_socket_set_configuration(_ handle: sluice_handle, _ c: UnsafePointer<sluice_tls_configuration>?) -> sluice_error {
    act(handle, .tlsSocket) { socket throws(SocketError) in
        try socket.setConfiguration(c.map { c throws(SocketError) in try configuration(c) } ?? TLSConfiguration())
    }
}

@_cdecl("sluice_tls_socket_configuration") @implementation
public func sluice_tls_socket_configuration(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { socket throws(SocketError) in try describe(socket.configuration).json() }
}

@_cdecl("sluice_server_set_tls_configuration") @implementation
public func sluice_server_set_tls_configuration(_ handle: sluice_handle, _ c: UnsafePointer<sluice_tls_configuration>?) -> sluice_error {
    act(handle, .server) { server throws(SocketError) in
        try server.setTLSConfiguration(c.map { c throws(SocketError) in try configuration(c) })
    }
}

@_cdecl("sluice_server_tls_configuration") @implementation
public func sluice_server_tls_configuration(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .server, buffer, capacity) { server throws(SocketError) in
        guard let configuration = server.tlsConfiguration else { return "null" }
        return try describe(configuration).json()
    }
}

// MARK: Coming to be encrypted

@_cdecl("sluice_tls_socket_connect_to_host_encrypted") @implementation
public func sluice_tls_socket_connect_to_host_encrypted(
    _ handle: sluice_handle, _ host: UnsafePointer<CChar>?, _ port: Int32, _ mode: sluice_open_mode, _ protocol: sluice_protocol
) -> sluice_error {
    act(handle, .tlsSocket) { socket throws(SocketError) in
        try socket.connectToHostEncrypted(text(host), port: Int(port), openMode: flags(mode), protocol: value(`protocol`))
    }
}

@_cdecl("sluice_tls_socket_start_client_encryption") @implementation
public func sluice_tls_socket_start_client_encryption(_ handle: sluice_handle) -> sluice_error {
    act(handle, .tlsSocket) { socket throws(SocketError) in try socket.startClientEncryption() }
}

@_cdecl("sluice_tls_socket_start_server_encryption") @implementation
public func sluice_tls_socket_start_server_encryption(_ handle: sluice_handle) -> sluice_error {
    act(handle, .tlsSocket) { socket throws(SocketError) in try socket.startServerEncryption() }
}

@_cdecl("sluice_tls_socket_wait_for_encrypted") @implementation
public func sluice_tls_socket_wait_for_encrypted(_ handle: sluice_handle, _ timeout: Int64) -> Bool {
    wait(handle, .tlsSocket, timeout) { $0.waitForEncrypted(timeout: Int(timeout)) }
}

@_cdecl("sluice_tls_socket_ignore_errors") @implementation
public func sluice_tls_socket_ignore_errors(_ handle: sluice_handle, _ names: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .tlsSocket) { socket throws(SocketError) in
        guard let names else { return socket.ignoreErrors() }
        var codes: [TLSError.Code] = []
        for name in list(try text(names)) {
            guard let code = TLSError.Code(name: name) else {
                throw SocketError(.invalidArgument, "There is no TLS error of the name \"\(name)\"")
            }
            codes.append(code)
        }
        socket.ignoreErrors(codes)
    }
}

// MARK: What is known of the encryption

@_cdecl("sluice_tls_socket_is_encrypted") @implementation
public func sluice_tls_socket_is_encrypted(_ handle: sluice_handle) -> Bool {
    get(handle, .tlsSocket, else: false) { $0.isEncrypted }
}

@_cdecl("sluice_tls_socket_is_session_resumed") @implementation
public func sluice_tls_socket_is_session_resumed(_ handle: sluice_handle) -> Bool {
    get(handle, .tlsSocket, else: false) { $0.isSessionResumed }
}

@_cdecl("sluice_tls_socket_session_protocol") @implementation
public func sluice_tls_socket_session_protocol(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { $0.sessionProtocol }
}

@_cdecl("sluice_tls_socket_session_cipher") @implementation
public func sluice_tls_socket_session_cipher(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { $0.sessionCipher }
}

@_cdecl("sluice_tls_socket_negotiated_protocol") @implementation
public func sluice_tls_socket_negotiated_protocol(
    _ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { $0.negotiatedProtocol }
}

@_cdecl("sluice_tls_socket_session_ticket") @implementation
public func sluice_tls_socket_session_ticket(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { $0.sessionTicket }
}

@_cdecl("sluice_tls_socket_peer_certificate") @implementation
public func sluice_tls_socket_peer_certificate(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { socket throws(SocketError) in
        try (socket.peerCertificate.map(describe) ?? .null).json()
    }
}

@_cdecl("sluice_tls_socket_peer_certificate_chain") @implementation
public func sluice_tls_socket_peer_certificate_chain(
    _ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { socket throws(SocketError) in
        try PropertyValue.list(socket.peerCertificateChain.map(describe)).json()
    }
}

@_cdecl("sluice_tls_socket_ssl_errors") @implementation
public func sluice_tls_socket_ssl_errors(_ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int64 {
    fill(handle, .tlsSocket, buffer, capacity) { socket throws(SocketError) in try describe(socket.sslErrors).json() }
}

private func describe(_ certificate: TLSCertificate) -> PropertyValue {
    .object([
        .init("pem", .text(certificate.pem)), .init("subject", .text(certificate.subject)), .init("issuer", .text(certificate.issuer)),
        .init("commonName", .text(certificate.commonName)), .init("serialNumber", .text(certificate.serialNumber)),
        .init("validFrom", .text(certificate.validFrom.text)), .init("validUntil", .text(certificate.validUntil.text)),
        .init("subjectAlternativeNames", .list(certificate.subjectAlternativeNames.map(PropertyValue.text))),
        .init("fingerprint", .text(certificate.fingerprint)), .init("isSelfSigned", .boolean(certificate.isSelfSigned)),
    ])
}

func describe(_ errors: [TLSError]) -> PropertyValue {
    .list(
        errors.map {
            .object([.init("error", .text($0.name)), .init("message", .text($0.message)), .init("depth", .integer($0.certificateDepth))])
        })
}
