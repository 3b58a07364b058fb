import CSluice
import Glibc
import Sluice

/// The calling thread's last failure, for `sluice_last_error`. The number itself is what the thread keeps: nothing is
/// allocated, and nothing has to be freed when the thread ends.
enum LastFailure {
    private static let key: pthread_key_t? = {
        var key = pthread_key_t()
        return pthread_key_create(&key, nil) == 0 ? key : nil
    }()

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
    return code.rawValue
}

/// Records why the handle cannot be used and returns that as a number.
@inline(never)
func unusable(_ handle: sluice_handle) -> sluice_error { failed(whyNoObject(handle)) }

extension SocketError {
    /// A mistake in the arguments. C callers get the number alone, so there is no text to it.
    static var invalidArgument: SocketError { SocketError(.invalidArgument, "") }
}
