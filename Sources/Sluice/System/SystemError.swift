import CLinux
import Glibc

/// A system call that failed: the error number and which call it was.
struct SystemError: Error {
    var number: Int32
    var call: StaticString

    /// The system's own words for the number.
    var text: String { SystemError.text(number) }

    static func text(_ number: Int32) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress else { return "" }
            clinux_error_text(number, start, buffer.count)
            return String(cString: start)
        }
    }
}
