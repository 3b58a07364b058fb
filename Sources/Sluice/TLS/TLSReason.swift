import COpenSSL

/// OpenSSL's reasons in words.
enum TLSReason {
    /// What an entry of OpenSSL's error queue says; for those that people meet, so that they know what to do.
    static func text(_ error: UInt) -> String {
        guard error != 0 else { return "no reason was given" }
        let reason = copenssl_error_reason(error)
        if copenssl_error_library(error) == ERR_LIB_SSL {
            if reason > SSL_AD_REASON_OFFSET { return alert(reason - SSL_AD_REASON_OFFSET) }
            if let words = words(reason) { return words }
        }
        return ERR_reason_error_string(error).map { String(cString: $0) } ?? "OpenSSL's error \(error)"
    }

    private static func words(_ reason: Int32) -> String? {
        switch reason {
        case SSL_R_WRONG_VERSION_NUMBER, SSL_R_BAD_PROTOCOL_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_HTTPS_PROXY_REQUEST:
            "what the peer sent is not TLS"
        case SSL_R_UNSUPPORTED_PROTOCOL, SSL_R_NO_PROTOCOLS_AVAILABLE, SSL_R_VERSION_TOO_LOW, SSL_R_UNKNOWN_PROTOCOL:
            "there is no TLS version that both sides accept"
        case SSL_R_NO_SHARED_CIPHER, SSL_R_NO_CIPHERS_AVAILABLE, SSL_R_WRONG_CIPHER_RETURNED, SSL_R_NO_CIPHERS_SPECIFIED:
            "there is no cipher that both sides accept"
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: "the peer gave no certificate"
        case SSL_R_CERTIFICATE_VERIFY_FAILED: "the peer's certificate was not accepted"
        case SSL_R_UNEXPECTED_EOF_WHILE_READING: "the peer ended the connection in the midst of it"
        case SSL_R_NO_RENEGOTIATION: "the peer wants to renegotiate, which is not done"
        case SSL_R_NO_APPLICATION_PROTOCOL: "there is no application protocol that both sides speak"
        case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: "what came was damaged or forged on its way"
        case SSL_R_EE_KEY_TOO_SMALL, SSL_R_CA_KEY_TOO_SMALL: "a key in the certificates is too small to be safe"
        case SSL_R_DH_KEY_TOO_SMALL: "the peer's Diffie-Hellman key is too small to be safe"
        default: nil
        }
    }

    /// An alert that the peer sent (RFC 8446, 6.2).
    private static func alert(_ number: Int32) -> String {
        switch number {
        case 40: "the peer found no cipher, version or certificate that both sides accept"
        case 42: "the peer says that our certificate is bad"
        case 43: "the peer does not support our kind of certificate"
        case 44: "the peer says that our certificate was revoked"
        case 45: "the peer says that our certificate has expired"
        case 46: "the peer does not accept our certificate"
        case 48: "the peer does not know the authority that issued our certificate"
        case 49: "the peer denies access"
        case 70: "there is no TLS version that both sides accept"
        case 71: "the peer wants safer ciphers than ours"
        case 80: "the peer had an internal error"
        case 90: "the peer gave up"
        case 100: "the peer does not renegotiate"
        case 112: "the peer does not know the host name that it was asked for"
        case 116: "the peer requires a certificate"
        case 120: "there is no application protocol that both sides speak"
        default: "the peer sent the alert \"\(String(cString: SSL_alert_desc_string_long(number)))\""
        }
    }

    /// Alerts by which a peer refuses the handshake, even if they come when it is over for us (as in TLS 1.3).
    static func refusesHandshake(_ error: UInt) -> Bool {
        guard copenssl_error_library(error) == ERR_LIB_SSL else { return false }
        let number = copenssl_error_reason(error) - SSL_AD_REASON_OFFSET
        return (40...49).contains(number) || [70, 71, 112, 116, 120].contains(number)
    }
}
