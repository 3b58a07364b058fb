import Glibc

/// A program that runs beside a test, and ends with it.
final class Program {
    private var process: pid_t = 0

    /// The path of a program of this machine, nil when it is not installed.
    static func path(_ name: String) -> String? {
        ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/", "/usr/lib/squid/"].map { $0 + name }.first { access($0, X_OK) == 0 }
    }

    init(_ path: String, _ arguments: [String]) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [0, 1, 2] as [Int32] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        var values = ([path] + arguments).map { strdup($0) } + [nil]
        defer { for value in values { free(value) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own, so that its children end with it.
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let result = posix_spawn(&process, path, &actions, &attributes, &values, environ)
        guard result == 0 else { throw RawFailure("posix_spawn \(path)", result) }
    }

    /// Runs once it answers at that port; `start` gets a port that is free.
    static func listening(_ start: (_ port: Int) throws -> Program) throws -> (program: Program, port: Int) {
        for _ in 0..<5 {
            let port = try RawListener.tcp().port
            let program = try start(port)
            for _ in 0..<1500 {
                if let peer = try? RawPeer.connect(to: .ipv4(port: port)) {
                    peer.close()
                    return (program, port)
                }
                guard program.isRunning else { break }
                usleep(20_000)
            }
        }
        throw RawFailure("the program does not listen", ETIMEDOUT)
    }

    private var isRunning: Bool {
        guard process > 0 else { return false }
        guard waitpid(process, nil, WNOHANG) == 0 else {
            process = 0
            return false
        }
        return true
    }

    deinit {
        guard process > 0 else { return }
        kill(-process, SIGKILL)
        waitpid(process, nil, 0)
    }
}

extension TempFolder {
    /// Writes a file that everybody may read.
    func write(_ name: String, _ text: String) throws -> String {
        guard let file = fopen(path(name), "w") else { throw RawFailure("fopen") }
        fputs(text, file)
        fclose(file)
        chmod(path(name), 0o644)
        chmod(path, 0o755)
        return path(name)
    }
}

/// Sends back what comes, to anybody, until the process ends.
final class EchoServer {
    let port: Int

    init(_ address: RawAddress = .ipv4(port: 0)) throws {
        let listener = try RawListener(at: address)
        port = listener.port
        _ = try Worker {
            while let peer = try? RawPeer(owning: check(Glibc.accept(listener.descriptor, nil, nil), "accept")) {
                _ = try Worker {
                    while case let bytes = try peer.receive(), !bytes.isEmpty { try peer.send(bytes) }
                    peer.close()
                }
            }
        }
    }
}
