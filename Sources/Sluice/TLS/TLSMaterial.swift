import COpenSSL
import Glibc

/// Reads certificates and keys, and says which item is bad and why.
struct TLSMaterial {
    /// No file of certificates is larger.
    private static let largestFile = 16 << 20

    /// What the item is called in the configuration.
    let item: String
    /// The file it came from; nil for text.
    let file: String?
    private let bytes: [UInt8]

    /// `value`: PEM text, or the path of a file.
    init(_ item: String, _ value: String) throws(SocketError) {
        self.item = item
        if value.contains("-----BEGIN ") {
            file = nil
            bytes = Array(value.utf8)
        } else {
            file = value
            bytes = try Self.read(value, item)
        }
        guard !bytes.isEmpty else { throw failure("is empty") }
    }

    private var text: String { String(decoding: bytes, as: UTF8.self) }

    func failure(_ reason: String) -> SocketError { Self.failure(item, file, reason) }

    static func failure(_ item: String, _ file: String?, _ reason: String, systemError: Int32 = 0) -> SocketError {
        SocketError(.sslInvalidUserData, "\(item)\(file.map { " (\($0.abbreviated))" } ?? "") \(reason)", systemError: systemError)
    }

    private static func read(_ path: String, _ item: String) throws(SocketError) -> [UInt8] {
        guard !path.utf8.contains(0), !path.contains("\n") else { throw failure(item, nil, "is neither PEM text nor the path of a file") }
        // A pipe must not hold us up: it is opened without waiting, and then refused.
        let number = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard number >= 0 else { throw unreadable(item, path) }
        let descriptor = Descriptor(owning: number)
        var status = stat()
        guard fstat(descriptor.rawValue, &status) == 0 else { throw unreadable(item, path) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw failure(item, path, "is not a file") }
        guard status.st_size <= largestFile else { throw failure(item, path, "is too large for a file of certificates") }
        var content = [UInt8](repeating: 0, count: status.st_size)
        var filled = 0
        while filled < content.count {
            let count = content.withUnsafeMutableBytes { Glibc.read(descriptor.rawValue, $0.baseAddress.map { $0 + filled }, $0.count - filled) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(item, path) }
            if count == 0 { break }
            filled += count
        }
        content.removeLast(content.count - filled)
        return content
    }

    private static func unreadable(_ item: String, _ path: String) -> SocketError {
        let number = errno
        return failure(item, path, "cannot be read: \(SystemError.text(number))", systemError: number)
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private func withBIO<Result>(_ body: (OpaquePointer) throws(SocketError) -> Result) throws(SocketError) -> Result {
        var outcome: Swift.Result<Result, SocketError>?
        bytes.withUnsafeBytes { buffer in
            guard let bio = BIO_new_mem_buf(buffer.baseAddress, Int32(clamping: buffer.count)) else { return }
            defer { BIO_free(bio) }
            do throws(SocketError) { outcome = .success(try body(bio)) } catch { outcome = .failure(error) }
        }
        guard let outcome else { throw SocketError(.outOfMemory, "There is no memory to read \(item)") }
        return try outcome.get()
    }

    /// All certificates, in their order.
    func certificates() throws(SocketError) -> [X509Reference] {
        try withBIO { bio throws(SocketError) in
            ERR_clear_error()
            defer { ERR_clear_error() }
            var list: [X509Reference] = []
            while let certificate = PEM_read_bio_X509(bio, nil, TLSMaterial.refusePassphrase, nil) {
                list.append(X509Reference(owning: certificate))
            }
            let error = ERR_peek_last_error()
            let ended = copenssl_error_library(error) == ERR_LIB_PEM && copenssl_error_reason(error) == PEM_R_NO_START_LINE
            guard ended else { throw failure("cannot be read: its \(ordinal(list.count + 1)) certificate is damaged (\(TLSReason.text(error)))") }
            guard !list.isEmpty else { throw failure("holds no certificate (there is no \"-----BEGIN CERTIFICATE-----\")") }
            return list
        }
    }

    /// The private key, which the caller frees.
    func privateKey(passphrase: String) throws(SocketError) -> OpaquePointer {
        try withBIO { bio throws(SocketError) in
            ERR_clear_error()
            defer { ERR_clear_error() }
            var request = PassphraseRequest(passphrase: Array(passphrase.utf8))
            let key = withUnsafeMutablePointer(to: &request) { PEM_read_bio_PrivateKey(bio, nil, TLSMaterial.givePassphrase, $0) }
            if let key { return key }
            let error = ERR_peek_error()
            guard text.contains("PRIVATE KEY-----") else { throw failure("holds no private key") }
            if request.wasAsked {
                throw failure(passphrase.isEmpty ? "is encrypted, and no passphrase is set" : "cannot be opened with this passphrase")
            }
            throw failure("cannot be read: the key is damaged (\(TLSReason.text(error)))")
        }
    }

    private struct PassphraseRequest {
        let passphrase: [UInt8]
        var wasAsked = false
    }

    /// Without a callback of ours OpenSSL would ask on the terminal.
    private static let refusePassphrase:
        @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = { _, _, _, _ in -1 }

    private static let givePassphrase:
        @convention(c) (UnsafeMutablePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Int32 = { buffer, size, _, context in
        guard let request = context?.assumingMemoryBound(to: PassphraseRequest.self) else { return -1 }
        request.pointee.wasAsked = true
        let passphrase = request.pointee.passphrase
        guard !passphrase.isEmpty, passphrase.count <= Int(size), let buffer else { return -1 }
        for (index, byte) in passphrase.enumerated() { buffer[index] = CChar(bitPattern: byte) }
        return Int32(passphrase.count)
    }
}

func ordinal(_ number: Int) -> String {
    switch number {
    case 1: "first"
    case 2: "second"
    case 3: "third"
    default: "\(number)th"
    }
}

/// A certificate of OpenSSL's, counted.
final class X509Reference {
    let pointer: OpaquePointer

    /// Takes over the reference.
    init(owning pointer: OpaquePointer) { self.pointer = pointer }

    init(sharing pointer: OpaquePointer) {
        X509_up_ref(pointer)
        self.pointer = pointer
    }

    deinit { X509_free(pointer) }
}
