import COpenSSL
import Glibc

/// What the connections of one configuration share, for one of the two roles: OpenSSL's SSL_CTX.
final class TLSContext {
    enum Role {
        case client, server
    }

    let role: Role
    let pointer: OpaquePointer
    /// Never `automatic`.
    let verifyMode: TLSVerifyMode
    /// Our protocols as they travel (RFC 7301).
    private var protocols: [UInt8] = []
    /// Tells the policy under which a session came to be: one that was made under another is not resumed.
    private(set) var policy: [UInt8] = []
    /// Memory for what is on its way out, lent to the session that is sending.
    private var spareOutput: UnsafeMutableRawPointer?

    deinit {
        free(spareOutput)
        SSL_CTX_free(pointer)
    }

    init(_ configuration: TLSConfiguration, role: Role) throws(SocketError) {
        // The host may end in any order: OpenSSL then must not have cleaned up before it.
        guard OPENSSL_init_ssl(UInt64(OPENSSL_INIT_NO_ATEXIT), nil) == 1 else {
            throw SocketError(.sslInternal, "OpenSSL cannot be used: \(TLSReason.text(ERR_peek_error()))")
        }
        guard let pointer = SSL_CTX_new(role == .client ? TLS_client_method() : TLS_server_method()) else {
            throw SocketError(.outOfMemory, "There is no memory for TLS")
        }
        self.role = role
        self.pointer = pointer
        switch configuration.verifyMode {
        case .automatic: verifyMode = role == .client || !configuration.certificateAuthorities.isEmpty ? .peer : .none
        case let mode: verifyMode = mode
        }
        ERR_clear_error()
        defer { ERR_clear_error() }
        prepare(configuration)
        try setCiphers(configuration.ciphers)
        try setProtocols(configuration.alpn)
        try setAuthorities(configuration.certificateAuthorities)
        try setCertificate(configuration)
        setPolicy(configuration)
    }

    private func prepare(_ configuration: TLSConfiguration) {
        copenssl_set_standard_options(pointer)
        _ = copenssl_set_minimum_version(pointer, configuration.minimumVersion.rawValue)
        // Servers give tickets, and clients' sessions are kept by who wants them: nothing grows here.
        copenssl_set_session_cache_mode(pointer, Int(SSL_SESS_CACHE_OFF))
        let asks = verifyMode != .none
        let mode = !asks ? SSL_VERIFY_NONE : SSL_VERIFY_PEER | (verifyMode == .peer ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0)
        SSL_CTX_set_verify(pointer, mode, nil)
        SSL_CTX_set_cert_verify_callback(pointer, TLSSession.verifyChain, nil)
    }

    private func setCiphers(_ ciphers: String) throws(SocketError) {
        let names = ciphers.split { ":, ".contains($0) }
        let modern = names.filter { $0.hasPrefix("TLS_") }.joined(separator: ":")
        let classic = names.filter { !$0.hasPrefix("TLS_") }.joined(separator: ":")
        if !modern.isEmpty, SSL_CTX_set_ciphersuites(pointer, modern) != 1 { throw unknownCiphers(modern) }
        if !classic.isEmpty, SSL_CTX_set_cipher_list(pointer, classic) != 1 { throw unknownCiphers(classic) }
    }

    private func unknownCiphers(_ names: String) -> SocketError {
        SocketError(.sslInvalidUserData, "ciphers: OpenSSL has none of \"\(names.abbreviated)\"")
    }

    private func setProtocols(_ names: [String]) throws(SocketError) {
        for name in names {
            guard (1...255).contains(name.utf8.count) else {
                throw SocketError(.sslInvalidUserData, "alpn: the name of a protocol has 1 to 255 bytes, and \"\(name.abbreviated)\" has not")
            }
            protocols.append(UInt8(name.utf8.count))
            protocols += Array(name.utf8)
        }
        guard !protocols.isEmpty else { return }
        guard protocols.count <= 65_000 else { throw SocketError(.sslInvalidUserData, "alpn: these are too many protocols") }
        if role == .client {
            guard SSL_CTX_set_alpn_protos(pointer, protocols, UInt32(protocols.count)) == 0 else {
                throw SocketError(.outOfMemory, "There is no memory for alpn")
            }
        } else {
            SSL_CTX_set_alpn_select_cb(pointer, Self.chooseProtocol, Unmanaged.passUnretained(self).toOpaque())
        }
    }

    private static let chooseProtocol:
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?, UnsafePointer<UInt8>?, UInt32,
            UnsafeMutableRawPointer?
        ) -> Int32 = { _, chosen, length, offered, offeredLength, context in
            guard let chosen, let length, let offered, let context else { return SSL_TLSEXT_ERR_ALERT_FATAL }
            let ours = Unmanaged<TLSContext>.fromOpaque(context).takeUnretainedValue().protocols
            // The first of ours that the client has. What is chosen points into the client's list.
            var index = 0
            while index < ours.count {
                let name = ours[index...].prefix(Int(ours[index]) + 1)
                var place = 0
                while place < Int(offeredLength) {
                    let size = Int(offered[place]) + 1
                    guard place + size <= Int(offeredLength) else { break }
                    if name.elementsEqual(UnsafeBufferPointer(start: offered + place, count: size)) {
                        chosen.pointee = offered + place + 1
                        length.pointee = offered[place]
                        return SSL_TLSEXT_ERR_OK
                    }
                    place += size
                }
                index += name.count
            }
            return SSL_TLSEXT_ERR_ALERT_FATAL
        }

    private func setAuthorities(_ value: String) throws(SocketError) {
        guard verifyMode != .none || !value.isEmpty else { return }
        guard !value.isEmpty else {
            // A system without any makes every verification fail, which then says so.
            _ = SSL_CTX_set_default_verify_paths(pointer)
            return
        }
        let item = "certificateAuthorities"
        if !value.contains("-----BEGIN "), TLSMaterial.isFolder(value) {
            guard SSL_CTX_load_verify_dir(pointer, value) == 1 else {
                throw TLSMaterial.failure(item, value, "cannot be used: \(TLSReason.text(ERR_peek_error()))")
            }
            return
        }
        let material = try TLSMaterial(item, value)
        let store = SSL_CTX_get_cert_store(pointer)
        for certificate in try material.certificates() {
            guard X509_STORE_add_cert(store, certificate.pointer) == 1 else {
                throw material.failure("cannot be used: \(TLSReason.text(ERR_peek_error()))")
            }
            if role == .server { SSL_CTX_add_client_CA(pointer, certificate.pointer) }
        }
        // Who is listed is trusted, root or not.
        _ = X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    }

    private func setCertificate(_ configuration: TLSConfiguration) throws(SocketError) {
        guard !configuration.certificate.isEmpty else {
            guard configuration.privateKey.isEmpty else {
                throw SocketError(.sslInvalidUserData, "certificate is not set, and there is a privateKey")
            }
            guard role == .client else {
                throw SocketError(.sslInvalidUserData, "certificate is not set: a server needs a certificate and its private key")
            }
            return
        }
        let material = try TLSMaterial("certificate", configuration.certificate)
        let chain = try material.certificates()
        // Both are often in one file.
        let keyMaterial = configuration.privateKey.isEmpty ? material : try TLSMaterial("privateKey", configuration.privateKey)
        let key: OpaquePointer
        do throws(SocketError) { key = try keyMaterial.privateKey(passphrase: configuration.passphrase) } catch {
            guard configuration.privateKey.isEmpty else { throw error }
            throw SocketError(.sslInvalidUserData, "privateKey is not set, and \(error.message)")
        }
        defer { EVP_PKEY_free(key) }
        guard let first = chain.first else { return }
        guard X509_check_private_key(first.pointer, key) == 1 else {
            if let index = chain.firstIndex(where: { X509_check_private_key($0.pointer, key) == 1 }) {
                let place = ordinal(index + 1)
                throw material.failure(
                    "is in the wrong order: the privateKey belongs to the \(place) certificate, which has to come first, then those that issued it")
            }
            throw keyMaterial.failure("does not belong to the certificate: \(material.file?.abbreviated ?? "that") has another key")
        }
        ERR_clear_error()
        guard SSL_CTX_use_certificate(pointer, first.pointer) == 1 else {
            throw material.failure("cannot be used: \(TLSReason.text(ERR_peek_error()))")
        }
        guard SSL_CTX_use_PrivateKey(pointer, key) == 1 else {
            throw keyMaterial.failure("cannot be used: \(TLSReason.text(ERR_peek_error()))")
        }
        for certificate in chain.dropFirst() {
            X509_up_ref(certificate.pointer)
            guard copenssl_add_chain_certificate(pointer, certificate.pointer) != 0 else {
                X509_free(certificate.pointer)
                throw material.failure("cannot be used: \(TLSReason.text(ERR_peek_error()))")
            }
        }
    }

    private func setPolicy(_ configuration: TLSConfiguration) {
        let text = "\(role) \(verifyMode) \(configuration.certificateAuthorities)"
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var size: UInt32 = 0
        guard EVP_Digest(text, text.utf8.count, &digest, &size, EVP_sha256(), nil) == 1 else { return }
        policy = Array(digest.prefix(Int(min(size, UInt32(SSL_MAX_SSL_SESSION_ID_LENGTH)))))
        SSL_CTX_set_session_id_context(pointer, policy, UInt32(policy.count))
    }

    // MARK: Memory

    func takeOutput() -> UnsafeMutableRawPointer? {
        defer { spareOutput = nil }
        return spareOutput ?? malloc(TLSSession.outputSize)
    }

    func giveOutput(_ memory: UnsafeMutableRawPointer) {
        if spareOutput == nil { spareOutput = memory } else { free(memory) }
    }
}

/// The contexts that were made last: sockets with the same configuration share one.
struct TLSContextCache {
    private static let limit = 16

    private struct Key: Equatable {
        var configuration: TLSConfiguration
        let role: TLSContext.Role
        /// Which files the paths stood for: a renewed certificate is another one.
        let files: [FileStamp?]
    }

    private struct FileStamp: Equatable {
        let device: UInt
        let inode: UInt
        let size: Int
        let modified: Int
        let changed: Int

        init?(_ value: String) {
            guard !value.isEmpty, !value.contains("-----BEGIN ") else { return nil }
            var status = stat()
            guard stat(value, &status) == 0 else { return nil }
            device = UInt(status.st_dev)
            inode = UInt(status.st_ino)
            size = status.st_size
            modified = status.st_mtim.tv_sec &* 1_000_000_000 &+ status.st_mtim.tv_nsec
            changed = status.st_ctim.tv_sec &* 1_000_000_000 &+ status.st_ctim.tv_nsec
        }
    }

    private var entries: [(key: Key, context: TLSContext)] = []

    mutating func context(for configuration: TLSConfiguration, role: TLSContext.Role) throws(SocketError) -> TLSContext {
        var shared = configuration
        shared.sessionTicket = ""
        shared.verifyName = ""
        let files = [shared.certificateAuthorities, shared.certificate, shared.privateKey].map { FileStamp($0) }
        let key = Key(configuration: shared, role: role, files: files)
        if let index = entries.firstIndex(where: { $0.key == key }) {
            let entry = entries.remove(at: index)
            entries.append(entry)
            return entry.context
        }
        let context = try TLSContext(shared, role: role)
        if entries.count >= Self.limit { entries.removeFirst() }
        entries.append((key, context))
        return context
    }
}
