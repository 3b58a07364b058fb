import COpenSSL
import Glibc

/// What stands at OpenSSL's lower end: it takes and gives the encrypted bytes of a `TLSSession`.
enum TLSConnector {
    /// One for all, made once; it lives as long as the process.
    static func makeMethod() -> OpaquePointer? {
        guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice") else { return nil }
        BIO_meth_set_read(method, read)
        BIO_meth_set_write(method, write)
        BIO_meth_set_ctrl(method, control)
        return method
    }

    private static func session(_ bio: OpaquePointer?) -> Unmanaged<TLSSession>? {
        BIO_get_data(bio).map { Unmanaged<TLSSession>.fromOpaque($0) }
    }

    private static let read: @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>?, Int32) -> Int32 = { bio, bytes, count in
        copenssl_clear_retry(bio)
        guard let session = session(bio), let bytes, count > 0 else { return -1 }
        let received = session._withUnsafeGuaranteedRef { $0.take(bytes, Int(count)) }
        if received == -Int(EAGAIN) { copenssl_retry_read(bio) }
        return received >= 0 ? Int32(clamping: received) : -1
    }

    private static let write: @convention(c) (OpaquePointer?, UnsafePointer<CChar>?, Int32) -> Int32 = { bio, bytes, count in
        copenssl_clear_retry(bio)
        guard let session = session(bio), let bytes, count > 0 else { return -1 }
        let taken = session._withUnsafeGuaranteedRef { $0.put(bytes, Int(count)) }
        guard taken > 0 else {
            copenssl_retry_write(bio)
            return -1
        }
        return Int32(clamping: taken)
    }

    private static let control: @convention(c) (OpaquePointer?, Int32, Int, UnsafeMutableRawPointer?) -> Int = { bio, command, _, _ in
        switch command {
        case BIO_CTRL_FLUSH: 1
        case BIO_CTRL_EOF: session(bio)?._withUnsafeGuaranteedRef { $0.isAtEnd } == true ? 1 : 0
        default: 0
        }
    }
}
