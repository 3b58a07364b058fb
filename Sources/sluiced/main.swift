import SluiceRPC

// What nearly every client starts the sidecar with needs no parser: reading any option costs about a millisecond, which is
// half of the time until the first answer (Benchmarks/RESULTS.md). All else, and all that is wrong, goes the common way.
let arguments = CommandLine.arguments.dropFirst()
if arguments.elementsEqual(["--stdio"]) {
    Launch(Launch.Settings()).serveStandardStreams()
} else if arguments.count == 2, arguments.first == "--socket", let path = arguments.last, !path.hasPrefix("-") {
    Launch(Launch.Settings()).serve(path: path)
} else {
    Options.main()
}
