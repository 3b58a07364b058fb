import COpenSSL

/// One thing that is wrong with the peer's certificates.
public struct TLSError: Error, Equatable, Sendable {
    /// Numbers and names as Qt's.
    public enum Code: Int32, CaseIterable, Sendable {
        case unspecified = -1
        case unableToGetIssuerCertificate = 1, unableToDecryptCertificateSignature, unableToDecodeIssuerPublicKey
        case certificateSignatureFailed, certificateNotYetValid, certificateExpired, invalidNotBeforeField, invalidNotAfterField
        case selfSignedCertificate, selfSignedCertificateInChain, unableToGetLocalIssuerCertificate, unableToVerifyFirstCertificate
        case certificateRevoked, invalidCaCertificate, pathLengthExceeded, invalidPurpose, certificateUntrusted, certificateRejected
        case subjectIssuerMismatch, authorityIssuerSerialNumberMismatch, noPeerCertificate, hostNameMismatch

        /// "CertificateExpired", "HostNameMismatch", …
        public var name: String {
            if self == .unspecified { return "UnspecifiedError" }
            let text = "\(self)"
            return text.prefix(1).uppercased() + text.dropFirst()
        }

        public init?(name: String) {
            guard let code = Self.allCases.first(where: { $0.name == name }) else { return nil }
            self = code
        }

        init(_ error: Int32) {
            self = switch error {
            case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: .unableToGetIssuerCertificate
            case X509_V_ERR_UNABLE_TO_DECRYPT_CERT_SIGNATURE: .unableToDecryptCertificateSignature
            case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY: .unableToDecodeIssuerPublicKey
            case X509_V_ERR_CERT_SIGNATURE_FAILURE: .certificateSignatureFailed
            case X509_V_ERR_CERT_NOT_YET_VALID: .certificateNotYetValid
            case X509_V_ERR_CERT_HAS_EXPIRED: .certificateExpired
            case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD: .invalidNotBeforeField
            case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD: .invalidNotAfterField
            case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: .selfSignedCertificate
            case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: .selfSignedCertificateInChain
            case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: .unableToGetLocalIssuerCertificate
            case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: .unableToVerifyFirstCertificate
            case X509_V_ERR_CERT_REVOKED: .certificateRevoked
            case X509_V_ERR_INVALID_CA: .invalidCaCertificate
            case X509_V_ERR_PATH_LENGTH_EXCEEDED: .pathLengthExceeded
            case X509_V_ERR_INVALID_PURPOSE: .invalidPurpose
            case X509_V_ERR_CERT_UNTRUSTED: .certificateUntrusted
            case X509_V_ERR_CERT_REJECTED: .certificateRejected
            case X509_V_ERR_SUBJECT_ISSUER_MISMATCH: .subjectIssuerMismatch
            case X509_V_ERR_AKID_ISSUER_SERIAL_MISMATCH: .authorityIssuerSerialNumberMismatch
            case X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH: .hostNameMismatch
            default: .unspecified
            }
        }
    }

    public var code: Code
    /// In words: "the peer's certificate is for example.org, not localhost".
    public var message: String
    /// Which certificate of the chain: 0 is the peer's own, 1 the one that issued it, and so on.
    public var certificateDepth: Int

    public var name: String { code.name }

    public init(_ code: Code, _ message: String, certificateDepth: Int = 0) {
        self.code = code
        self.message = message
        self.certificateDepth = certificateDepth
    }

    /// Of OpenSSL's verification. `expectedName`: what the certificate should be for.
    init(openSSL error: Int32, depth: Int, certificate: OpaquePointer?, expectedName: String) {
        code = Code(error)
        certificateDepth = depth
        let which = depth == 0 ? "the peer's certificate" : "the \(ordinal(depth + 1)) certificate of the peer's chain"
        message = switch code {
        case .certificateExpired: "\(which) has expired" + (certificate.map { " (on \(TLSCertificate.time(X509_get0_notAfter($0)).text))" } ?? "")
        case .certificateNotYetValid:
            "\(which) is not valid yet" + (certificate.map { " (before \(TLSCertificate.time(X509_get0_notBefore($0)).text))" } ?? "")
        case .selfSignedCertificate: "self-signed certificate: \(which) is signed by itself, and is not among those that are trusted"
        case .selfSignedCertificateInChain: "the chain ends in a root certificate that is not trusted"
        case .unableToGetIssuerCertificate, .unableToGetLocalIssuerCertificate: "the authority that issued \(which) is not known"
        case .unableToVerifyFirstCertificate: "the peer's certificate cannot be checked: those that issued it are missing"
        case .certificateSignatureFailed: "the signature of \(which) is wrong"
        case .certificateRevoked: "\(which) was revoked"
        case .invalidPurpose: "\(which) is made for another purpose"
        case .invalidCaCertificate: "\(which) issued one and is not entitled to"
        case .hostNameMismatch: Self.mismatch(certificate, expectedName)
        default: "\(which): \(String(cString: X509_verify_cert_error_string(Int(error))))"
        }
    }

    private static func mismatch(_ certificate: OpaquePointer?, _ expectedName: String) -> String {
        let names = certificate.map { TLSCertificate.alternativeNames($0) } ?? []
        guard !names.isEmpty else { return "the peer's certificate names no host, so it is not for \(expectedName.abbreviated)" }
        let shown = names.prefix(5).map { ($0.split(separator: ":", maxSplits: 1).last.map(String.init) ?? $0).abbreviated }
        return "the peer's certificate is for \(shown.joined(separator: ", "))\(names.count > 5 ? ", …" : ""), not \(expectedName.abbreviated)"
    }
}
