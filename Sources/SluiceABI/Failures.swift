import CSluice
import Glibc
import Sluice

/// The calling thread's last failure, for `sluice_last_error`. The number itself is what the thread keeps: nothing is
/// allocated for it. The words have a place of their own, which a thread gets with its first failure that has any.
enum LastFailure {
    private static let wordsSize = 512

    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

    private static let wordsKey: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, { free($0) }) == 0 ? key : nil
    }()

    private static var words: UnsafeMutablePointer<CChar>? {
        wordsKey.flatMap { pthread_getspecific($0) }?.assumingMemoryBound(to: CChar.self)
    }

    static var message: String { words.map { String(cString: $0) } ?? "" }

    static func setMessage(_ message: String) {
        guard words != nil || !message.isEmpty, let wordsKey else { return }
        if words == nil { pthread_setspecific(wordsKey, malloc(wordsSize)) }
        if let words { _ = copy(message, to: words, wordsSize) }
    }

    static var code: sluice_error {
        get {
            guard let key else { return sluice_error(SLUICE_ERROR_NONE) }
            return sluice_error(truncatingIfNeeded: Int(bitPattern: pthread_getspecific(key)))
        }
        set {
            guard let key else { return }
            pthread_setspecific(key, UnsafeRawPointer(bitPattern: Int(newValue)))
        }
    }
}

/// Records the failure and returns its number.
@inline(never)
func failed(_ code: SocketError.Code) -> sluice_error {
    LastFailure.code = code.rawValue
    LastFailure.setMessage("")
    return code.rawValue
}

@inline(never)
func failed(by error: SocketError) -> sluice_error {
    LastFailure.code = error.code.rawValue
    LastFailure.setMessage(error.message)
    return error.code.rawValue
}

/// Records why the handle cannot be used and returns that as a number.
@inline(never)
func unusable(_ handle: sluice_handle) -> sluice_error { failed(whyNoObject(handle)) }

extension SocketError {
    /// A mistake in the arguments, of which there is no more to say.
    static var invalidArgument: SocketError { SocketError(.invalidArgument, "") }
}
