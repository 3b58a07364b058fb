import CLinux
import Glibc
import Sluice

/// Where the handler writes; a handler may do no more than that.
nonisolated(unsafe) private var signalDescriptor: Int32 = -1

/// Turns SIGTERM, SIGINT and SIGHUP into a call on the loop's thread.
final class EndSignals {
    private let descriptor: Int32
    private var watch: DescriptorWatch?

    init(loop: EventLoop, _ action: @escaping () -> Void) throws(SocketError) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else {
            throw SocketError(.socketResource, "no descriptor is left to hear of signals", systemError: errno)
        }
        signalDescriptor = descriptor
        let descriptor = descriptor
        watch = try loop.watch(descriptor: descriptor, readable: true, writable: false) { _, _ in
            var count: UInt64 = 0
            _ = read(descriptor, &count, 8)
            action()
        }
        for number in [SIGTERM, SIGINT, SIGHUP] {
            // A signal that was ignored when the process started, as under nohup, stays so.
            let before = signal(number) { _ in
                let number = errno
                var one: UInt64 = 1
                _ = write(signalDescriptor, &one, 8)
                errno = number
            }
            if number == SIGHUP, unsafeBitCast(before, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self) { signal(number, SIG_IGN) }
        }
    }

    func stop() { watch?.cancel() }
}
