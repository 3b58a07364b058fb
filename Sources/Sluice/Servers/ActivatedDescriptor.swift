import Glibc

/// A listening socket that the service manager opened and passed to this process (sd_listen_fds(3) of systemd): hand its number
/// to `setDescriptor` of a server.
public struct ActivatedDescriptor: Sendable {
    private static let first: Int32 = 3
    private static let most = 4096

    public let number: Int32
    /// As FileDescriptorName= of the socket unit says; "unknown" when nobody said anything.
    public let name: String

    /// What was passed to this process, in the order of the units; empty when it was not started so. From then on they are
    /// close-on-exec. The environment (LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES) is left as it is.
    public static func all() -> [ActivatedDescriptor] {
        guard let process = variable("LISTEN_PID"), Int32(process) == getpid(),
            let count = variable("LISTEN_FDS").flatMap({ Int($0) }), (0...most).contains(count)
        else { return [] }
        let names = (variable("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        return (0..<count).compactMap { index in
            let number = first + Int32(index)
            guard System.isOpen(number) else { return nil }
            System.setCloseOnExec(number)
            let name = index < names.count ? names[index] : ""
            return ActivatedDescriptor(number: number, name: name.isEmpty ? "unknown" : name)
        }
    }

    private static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
