import ArgumentParser
import Logging
import SluiceRPC

/// The command line.
struct Options: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sluiced",
        abstract: "Sockets for scripts: speaks JSON-RPC 2.0 on standard input and output, or on a Unix socket.",
        usage: """
            sluiced --stdio [options]
            sluiced --socket PATH [options]
            sluiced --activated [options]
            sluiced --openrpc
            """,
        discussion: """
            One request a line, one answer a line; a connection that begins with "Content-Length:" speaks header framing instead. \
            sluiced --openrpc prints what there is to call.

              $ echo '{"jsonrpc":"2.0","id":1,"method":"session.hello"}' | sluiced --stdio

            Rules for --allow and --deny: HOST, HOST:PORT, HOST:FIRST-LAST, *.DOMAIN, an address or network such as 10.0.0.0/8 or \
            [fd00::/8]:443, * for every host, an absolute path with all below it, @NAME for abstract names that begin so. What is denied is \
            refused; once anything is allowed, all else is refused. Where addresses are denied, so are names that no rule allows by name.
            """,
        version: "sluiced \(Sidecar.version)")

    @Flag(help: "Serve one client on standard input and output; end with its input.")
    var stdio = false

    @Option(help: ArgumentHelp("Serve clients of the same user at this path. READY is printed once they can connect.", valueName: "path"))
    var socket: String?

    @Flag(help: "As --socket, at the Unix sockets that the service manager has opened and passed (a systemd socket unit).")
    var activated = false

    @Flag(help: "Print the OpenRPC description of all operations and end.")
    var openrpc = false

    @Option(help: ArgumentHelp("Bytes of one message.", valueName: "bytes"))
    var maxMessage = Limits().maxMessage

    @Option(help: ArgumentHelp("How deep arrays and objects of a message may be nested.", valueName: "levels"))
    var maxDepth = Limits().maxDepth

    @Option(help: ArgumentHelp("Handles that one client may hold.", valueName: "count"))
    var maxHandles = Limits().maxHandles

    @Option(help: ArgumentHelp("Clients at a time.", valueName: "count"))
    var maxClients = Limits().maxClients

    @Option(help: ArgumentHelp("""
        Bytes of output that a client may leave unread before it is dropped; its sockets pause at an eighth of it.
        """, valueName: "bytes"))
    var maxOutput = Limits().maxOutput

    @Option(parsing: .singleValue, help: ArgumentHelp("What clients may connect to, send to, bind and listen at. May be repeated.", valueName: "rule"))
    var allow: [String] = []

    @Option(parsing: .singleValue, help: ArgumentHelp("What clients may not connect to, send to, bind or listen at. May be repeated.", valueName: "rule"))
    var deny: [String] = []

    @Option(help: ArgumentHelp("Keep asking for events for so long before sleeping: faster round trips for a busy core.", valueName: "microseconds"))
    var busyPoll = 0

    @Option(help: "What is told on standard error.")
    var logLevel = LogLevel.warning

    enum LogLevel: String, CaseIterable, ExpressibleByArgument {
        case trace, debug, info, notice, warning, error, critical

        var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .warning }
    }

    func validate() throws {
        let ways = [stdio, socket != nil, activated, openrpc].count { $0 }
        guard ways == 1 else {
            throw ValidationError("Give one of --stdio, --socket PATH, --activated and --openrpc.")
        }
        try check("--max-message", maxMessage, 1024...(1 << 30))
        try check("--max-depth", maxDepth, 1...Limits.deepest)
        try check("--max-handles", maxHandles, 1...1_000_000)
        try check("--max-clients", maxClients, 1...100_000)
        try check("--max-output", maxOutput, 4096...(1 << 40))
        try check("--busy-poll", busyPoll, 0...1_000_000)
        do throws(AccessRules.Fault) {
            _ = try AccessRules(allow: allow, deny: deny)
        } catch {
            throw ValidationError(error.message)
        }
    }

    private func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw ValidationError("\(name) takes \(range.lowerBound) to \(range.upperBound), not \(value).")
        }
    }

    func run() throws {
        if openrpc {
            try Launch.printOpenRPC()
            return
        }
        var settings = Launch.Settings()
        settings.limits.maxMessage = maxMessage
        settings.limits.maxDepth = maxDepth
        settings.limits.maxHandles = maxHandles
        settings.limits.maxClients = maxClients
        settings.limits.maxOutput = maxOutput
        settings.rules = try AccessRules(allow: allow, deny: deny)
        settings.busyPoll = busyPoll
        settings.logLevel = logLevel.level
        let launch = Launch(settings)
        if let socket {
            launch.serve(path: socket)
        } else if activated {
            launch.serveActivated()
        } else {
            launch.serveStandardStreams()
        }
    }
}
