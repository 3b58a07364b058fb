import COpenSSL
import Glibc

/// Judging the peer's certificates.
extension TLSSession {
    private static let errorLimit = 64

    /// OpenSSL asks whether the peer's chain is good (SSL_CTX_set_cert_verify_callback(3)).
    static let verifyChain: @convention(c) (OpaquePointer?, UnsafeMutableRawPointer?) -> Int32 = { store, _ in
        guard let session = session(of: store) else { return 0 }
        return session._withUnsafeGuaranteedRef { $0.verify(store) }
    }

    private static let noteError: @convention(c) (Int32, OpaquePointer?) -> Int32 = { good, store in
        if good == 0, let session = session(of: store) { session._withUnsafeGuaranteedRef { $0.noteError(store) } }
        // All that is wrong is found out, not only the first.
        return 1
    }

    private static func session(of store: OpaquePointer?) -> Unmanaged<TLSSession>? {
        guard let ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()),
            let data = BIO_get_data(SSL_get_rbio(OpaquePointer(ssl)))
        else { return nil }
        return Unmanaged<TLSSession>.fromOpaque(data)
    }

    private func verify(_ store: OpaquePointer?) -> Int32 {
        if context.verifyMode == .none { return 1 }
        if verdict == nil {
            errors = []
            firstError = X509_V_OK
            firstUnforgiven = X509_V_OK
            X509_STORE_CTX_set_verify_cb(store, Self.noteError)
            if X509_verify_cert(store) <= 0, errors.isEmpty { noteError(store) }
            if errors.isEmpty {
                verdict = true
                return 1
            }
            let chain = X509_STORE_CTX_get0_untrusted(store)
            presented = (0..<max(0, copenssl_certificate_count(chain))).compactMap { index in
                copenssl_certificate_at(chain, index).map { X509Reference(sharing: $0) }
            }
            judgesAfterwards = role == .server && isToPause()
            if context.verifyMode != .peer || judgesAfterwards {
                // Nothing depends on it, or not yet.
                X509_STORE_CTX_set_error(store, firstError)
                return 1
            } else if role == .client {
                copenssl_set_retry_verify(ssl)
                return 1
            } else {
                verdict = firstUnforgiven == X509_V_OK
            }
        }
        // What was forgiven is remembered with the session: another connection may not forgive it.
        X509_STORE_CTX_set_error(store, verdict == true || firstUnforgiven == X509_V_OK ? firstError : firstUnforgiven)
        return verdict == true ? 1 : 0
    }

    private func noteError(_ store: OpaquePointer?) {
        guard errors.count < Self.errorLimit else { return }
        let number = X509_STORE_CTX_get_error(store)
        let error = TLSError(
            openSSL: number, depth: Int(max(0, X509_STORE_CTX_get_error_depth(store))),
            certificate: X509_STORE_CTX_get_current_cert(store), expectedName: expectedName)
        note(error, number)
    }

    private func note(_ error: TLSError, _ number: Int32) {
        guard !errors.contains(error) else { return }
        if firstError == X509_V_OK { firstError = number }
        if firstUnforgiven == X509_V_OK, !forgives(error) { firstUnforgiven = number }
        errors.append(error)
    }

    /// A resumed session brings its certificate along, and nobody has looked at it this time.
    func recheckResumed() {
        guard context.verifyMode != .none, SSL_session_reused(ssl) == 1, let certificate = copenssl_peer_certificate(ssl) else { return }
        defer { X509_free(certificate) }
        func add(_ number: Int32) {
            note(TLSError(openSSL: number, depth: 0, certificate: certificate, expectedName: expectedName), number)
        }
        let earlier = Int32(clamping: SSL_get_verify_result(ssl))
        if earlier != X509_V_OK { add(earlier) }
        if let end = X509_get0_notAfter(certificate), X509_cmp_current_time(end) < 0 { add(X509_V_ERR_CERT_HAS_EXPIRED) }
        guard role == .client, !expectedName.isEmpty else { return }
        let flags = UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT)
        let fits = HostAddress(literal: expectedName) != nil
            ? X509_check_ip_asc(certificate, expectedName, 0) : X509_check_host(certificate, expectedName, expectedName.utf8.count, flags, nil)
        if fits != 1 { add(X509_V_ERR_HOSTNAME_MISMATCH) }
    }
}

/// What a connection can tell of itself.
extension TLSSession {
    var protocolName: String { SSL_get_version(ssl).map { String(cString: $0) } ?? "" }

    var cipherName: String {
        guard let cipher = SSL_get_current_cipher(ssl), let name = SSL_CIPHER_get_name(cipher) else { return "" }
        return String(cString: name)
    }

    var applicationProtocol: String {
        var start: UnsafePointer<UInt8>?
        var count: UInt32 = 0
        SSL_get0_alpn_selected(ssl, &start, &count)
        return String(decoding: UnsafeBufferPointer(start: start, count: start == nil ? 0 : Int(count)), as: UTF8.self)
    }

    var isResumed: Bool { SSL_session_reused(ssl) == 1 }

    var peerCertificate: TLSCertificate? {
        guard let certificate = copenssl_peer_certificate(ssl) else { return presented.first.map { TLSCertificate($0.pointer) } }
        defer { X509_free(certificate) }
        return TLSCertificate(certificate)
    }

    /// As the peer sent them, its own first.
    var peerCertificateChain: [TLSCertificate] {
        if !presented.isEmpty { return presented.map { TLSCertificate($0.pointer) } }
        var chain: [TLSCertificate] = []
        // To a server OpenSSL gives the client's own certificate apart from the others.
        if role == .server || isResumed, let own = peerCertificate { chain.append(own) }
        if let list = SSL_get_peer_cert_chain(ssl) {
            for index in 0..<max(0, copenssl_certificate_count(list)) {
                guard let certificate = copenssl_certificate_at(list, index) else { continue }
                let described = TLSCertificate(certificate)
                if described != chain.first { chain.append(described) }
            }
        }
        return chain
    }

    /// What can be resumed later; "" when nothing can.
    var ticket: String {
        guard role == .client, let session = SSL_get_session(ssl), SSL_SESSION_is_resumable(session) == 1 else { return "" }
        return TLSCertificate.text { PEM_write_bio_SSL_SESSION($0, session) }
    }

    func setTicket(_ text: String) throws(SocketError) {
        guard !text.isEmpty else { return }
        let session = try Self.readTicket(text)
        defer { SSL_SESSION_free(session) }
        // What was made under another policy would bring its verdict along.
        var count: UInt32 = 0
        let policy = SSL_SESSION_get0_id_context(session, &count)
        guard UnsafeBufferPointer(start: policy, count: Int(count)).elementsEqual(context.policy) else { return }
        // One that does not fit any more makes for a whole handshake, no error.
        SSL_set_session(ssl, session)
        ERR_clear_error()
    }

    static func checkTicket(_ text: String) throws(SocketError) { SSL_SESSION_free(try readTicket(text)) }

    /// The caller frees it.
    static func readTicket(_ text: String) throws(SocketError) -> OpaquePointer {
        var session: OpaquePointer?
        Array(text.utf8).withUnsafeBytes { bytes in
            guard let bio = BIO_new_mem_buf(bytes.baseAddress, Int32(clamping: bytes.count)) else { return }
            defer { BIO_free(bio) }
            session = PEM_read_bio_SSL_SESSION(bio, nil, nil, nil)
        }
        ERR_clear_error()
        guard let session else {
            throw SocketError(
                .sslInvalidUserData, "sessionTicket is not what an earlier connection gave, from \"-----BEGIN SSL SESSION PARAMETERS-----\" on")
        }
        return session
    }
}
