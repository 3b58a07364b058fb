import COpenSSL
import Glibc

/// What a certificate says.
public struct TLSCertificate: Equatable, Sendable {
    /// The whole of it.
    public var pem = ""
    /// "CN=example.org,O=Example" (RFC 2253).
    public var subject = ""
    public var issuer = ""
    public var commonName = ""
    /// In hexadecimal.
    public var serialNumber = ""
    /// Seconds since 1970, and the same as "2026-01-31T12:00:00Z".
    public var validFrom = Time()
    public var validUntil = Time()
    /// "DNS:example.org", "IP:192.0.2.1", "email:…", "URI:…".
    public var subjectAlternativeNames: [String] = []
    /// SHA-256 of the certificate, in hexadecimal.
    public var fingerprint = ""
    public var isSelfSigned = false

    public struct Time: Equatable, Sendable {
        public var seconds = 0
        public var text = ""

        public init() {}
    }

    public init() {}

    init(_ certificate: OpaquePointer) {
        pem = Self.text { PEM_write_bio_X509($0, certificate) }
        subject = Self.name(X509_get_subject_name(certificate))
        issuer = Self.name(X509_get_issuer_name(certificate))
        commonName = Self.commonName(X509_get_subject_name(certificate))
        serialNumber = Self.serialNumber(certificate)
        validFrom = Self.time(X509_get0_notBefore(certificate))
        validUntil = Self.time(X509_get0_notAfter(certificate))
        subjectAlternativeNames = Self.alternativeNames(certificate)
        fingerprint = Self.fingerprint(certificate)
        isSelfSigned = X509_self_signed(certificate, 0) == 1
    }

    /// What OpenSSL writes.
    static func text(_ write: (OpaquePointer) -> Int32) -> String {
        guard let bio = BIO_new(BIO_s_mem()) else { return "" }
        defer { BIO_free(bio) }
        guard write(bio) > 0 else { return "" }
        var start: UnsafePointer<CChar>?
        let count = Int(copenssl_memory_contents(bio, &start))
        guard let start else { return "" }
        return String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }

    private static func name(_ name: OpaquePointer?) -> String {
        text { X509_NAME_print_ex($0, name, 0, copenssl_name_style()) }
    }

    private static func commonName(_ name: OpaquePointer?) -> String {
        let index = X509_NAME_get_index_by_NID(name, NID_commonName, -1)
        guard index >= 0, let value = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, index)) else { return "" }
        var bytes: UnsafeMutablePointer<UInt8>?
        let count = ASN1_STRING_to_UTF8(&bytes, value)
        guard count >= 0, let bytes else { return "" }
        defer { CRYPTO_free(bytes, #file, #line) }
        return String(decoding: UnsafeBufferPointer(start: bytes, count: Int(count)), as: UTF8.self)
    }

    private static func serialNumber(_ certificate: OpaquePointer) -> String {
        guard let number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nil) else { return "" }
        defer { BN_free(number) }
        guard let text = BN_bn2hex(number) else { return "" }
        defer { CRYPTO_free(text, #file, #line) }
        return String(cString: text)
    }

    static func time(_ time: UnsafePointer<ASN1_TIME>?) -> Time {
        var result = Time()
        var parts = tm()
        guard let time, ASN1_TIME_to_tm(time, &parts) == 1 else { return result }
        result.seconds = timegm(&parts)
        func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        result.text = "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
            + "T\(padded(parts.tm_hour)):\(padded(parts.tm_min)):\(padded(parts.tm_sec))Z"
        return result
    }

    static func alternativeNames(_ certificate: OpaquePointer) -> [String] {
        guard let extensions = X509_get_ext_d2i(certificate, NID_subject_alt_name, nil, nil) else { return [] }
        let names = OpaquePointer(extensions)
        defer { copenssl_free_names(names) }
        return (0..<max(0, copenssl_name_count(names))).compactMap { index in
            guard let name = copenssl_name_at(names, index) else { return nil }
            switch name.pointee.type {
            case GEN_DNS: return "DNS:" + string(name.pointee.d.dNSName)
            case GEN_EMAIL: return "email:" + string(name.pointee.d.rfc822Name)
            case GEN_URI: return "URI:" + string(name.pointee.d.uniformResourceIdentifier)
            case GEN_IPADD: return address(name.pointee.d.iPAddress).map { "IP:" + $0 }
            default: return nil
            }
        }
    }

    private static func bytes(_ value: UnsafePointer<ASN1_STRING>?) -> UnsafeBufferPointer<UInt8> {
        UnsafeBufferPointer(start: ASN1_STRING_get0_data(value), count: Int(max(0, value.map { ASN1_STRING_length($0) } ?? 0)))
    }

    /// Control characters would let a certificate write into whoever's terminal shows it.
    private static func string(_ value: UnsafePointer<ASN1_STRING>?) -> String {
        String(decoding: bytes(value).map { $0 < 0x20 || $0 == 0x7F ? 0x3F : $0 }, as: UTF8.self)
    }

    private static func address(_ value: UnsafePointer<ASN1_STRING>?) -> String? {
        let bytes = bytes(value)
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard bytes.count == 4 || bytes.count == 16,
            inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes.baseAddress, &text, socklen_t(text.count)) != nil
        else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func fingerprint(_ certificate: OpaquePointer) -> String {
        var digest = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var size: UInt32 = 0
        guard X509_digest(certificate, EVP_sha256(), &digest, &size) == 1 else { return "" }
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: digest.prefix(Int(size)).flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
