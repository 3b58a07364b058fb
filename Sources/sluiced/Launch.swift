import CLinux
import Glibc
import Logging
import Sluice
import SluiceRPC

/// Puts the process in order and runs the service in it, to the end of the process.
struct Launch {
    struct Settings {
        var limits = Limits()
        var rules = AccessRules()
        var busyPoll = 0
        var logLevel = Logger.Level.warning
    }

    private let settings: Settings
    private let log: Logger
    /// Looked for before anything else is opened.
    private let activated = ActivatedDescriptor.all()

    init(_ settings: Settings) {
        self.settings = settings
        var log = Logger(label: "sluiced") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = settings.logLevel
        self.log = log
    }

    /// Serves the parent process, until its end of input.
    func serveStandardStreams() -> Never {
        guard fcntl(STDOUT_FILENO, F_GETFD) >= 0 else { fail("standard output is closed, and answers would go there") }
        prepareProcess()
        // Messages alone may come out where the client reads: the original is kept here, and whatever else the process
        // prints goes to standard error.
        let input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
        let output = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
        guard input >= 0, output >= 0, dup2(STDERR_FILENO, STDOUT_FILENO) >= 0 else { fail("cannot duplicate standard input and output") }
        openNothing(as: STDIN_FILENO)
        run(failsWithItsClient: true) { service throws(SocketError) in try service.serve(input: input, output: output) }
    }

    /// Serves whoever connects to the path, until a signal.
    func serve(path: String) -> Never {
        prepareProcess()
        run(failsWithItsClient: false) { service throws(SocketError) in
            try service.listen(path: path)
            // For whoever has started the sidecar and waits until it can be used.
            _ = write(STDOUT_FILENO, "READY\n", 6)
        }
    }

    /// Serves whoever connects to the sockets that the service manager has passed, until a signal.
    func serveActivated() -> Never {
        prepareProcess()
        run(failsWithItsClient: false) { service throws(SocketError) in
            try service.listenActivated()
            _ = write(STDOUT_FILENO, "READY\n", 6)
        }
    }

    static func printOpenRPC() throws {
        var rest = OpenRPC.text[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { exit(1) }
            rest = rest.dropFirst(count)
        }
    }

    /// `failsWithItsClient`: a client that had to be dropped is what the exit status tells. A service outlives such a client.
    private func run(failsWithItsClient: Bool, _ start: (Sidecar) throws(SocketError) -> Void) -> Never {
        do throws(SocketError) {
            let service = try Sidecar(limits: settings.limits, rules: settings.rules, log: log, activated: activated)
            service.loop.busyPoll = settings.busyPoll
            let signals = try EndSignals(loop: service.loop) { service.end() }
            try start(service)
            try service.run()
            signals.stop()
            exit(failsWithItsClient && (service.hasDroppedClient || service.hasFailedClient) ? 1 : 0)
        } catch {
            fail(error.message)
        }
    }

    private func fail(_ message: String) -> Never {
        let text = "sluiced: \(message)\n"
        _ = write(STDERR_FILENO, text, text.utf8.count)
        exit(1)
    }

    // MARK: The process

    private func prepareProcess() {
        // A client that is gone shows as EPIPE, and ends its session rather than the process.
        signal(SIGPIPE, SIG_IGN)
        // A closed standard descriptor would become that of a socket, and stray output would end up with somebody's peer.
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] where fcntl(descriptor, F_GETFD) < 0 { openNothing(as: descriptor) }
        raiseDescriptorLimit()
    }

    private func openNothing(as descriptor: Int32) {
        let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
        guard nothing >= 0, nothing != descriptor else { return }
        dup2(nothing, descriptor)
        close(nothing)
    }

    /// Each handle may need a descriptor; how many there may be is the administrator's hard limit, not the shell's habit.
    private func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}
