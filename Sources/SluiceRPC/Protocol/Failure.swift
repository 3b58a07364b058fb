import Sluice

/// Why a request is answered with an error: the JSON-RPC code and what its `data` says.
struct Failure: Error {
    /// The codes that are sent. Those of the protocol itself are the specification's; the last is the one that the
    /// Language Server Protocol uses for the same purpose.
    enum Code: Int {
        case parseError = -32700
        case invalidRequest = -32600
        case methodNotFound = -32601
        case invalidParameters = -32602
        case internalError = -32603
        case socketError = -32000
        case misuse = -32001
        case cancelled = -32800
    }

    var code: Code
    var error: SocketError
    /// The parameter that is wrong, for `invalidParameters`.
    var parameter: String?

    /// A fault of a socket, or misuse that the core has found.
    init(_ error: SocketError) {
        code = error.code.isMisuse ? .misuse : .socketError
        self.error = error
    }

    private init(_ code: Code, _ number: SocketError.Code, _ message: String, parameter: String? = nil) {
        self.code = code
        self.error = SocketError(number, message)
        self.parameter = parameter
    }

    static func parseError(_ reason: String) -> Failure { Failure(.parseError, .invalidArgument, "Parse error: \(reason)") }
    static func invalidRequest(_ reason: String) -> Failure { Failure(.invalidRequest, .invalidArgument, "Invalid request: \(reason)") }
    static func invalidParameter(_ name: String, _ reason: String) -> Failure {
        Failure(.invalidParameters, .invalidArgument, "Invalid params: \(reason)", parameter: name)
    }
    static func invalidParameters(_ reason: String) -> Failure { Failure(.invalidParameters, .invalidArgument, "Invalid params: \(reason)") }
    static func methodNotFound(_ name: String) -> Failure {
        Failure(.methodNotFound, .unsupportedSocketOperation,
                "Method not found: \(brief(name)). rpc.discover tells which methods there are.")
    }
    static func tooLarge(_ what: String, limit: Int, option: String) -> Failure {
        Failure(.invalidRequest, .limitReached, "\(what) is above the limit of \(limit) bytes (\(option)).")
    }
    static func limitReached(_ reason: String) -> Failure { Failure(.misuse, .limitReached, reason) }
    static func invalidHandle(_ handle: Int) -> Failure {
        Failure(.misuse, .invalidHandle,
                """
                    There is no handle \(handle). Handles end with handle.destroy, belong to the client that made them, and their \
                    numbers are not used again.
                    """)
    }
    static func wrongKind(_ message: String) -> Failure { Failure(.misuse, .wrongKind, message) }
    static func invalidArgument(_ message: String) -> Failure { Failure(.misuse, .invalidArgument, message) }
    static func notPermitted(_ message: String) -> Failure { Failure(.misuse, .notPermitted, message) }
    static func unsupported(_ message: String) -> Failure { Failure(.socketError, .unsupportedSocketOperation, message) }
    static func cancelled(_ reason: String) -> Failure { Failure(.cancelled, .cancelled, reason) }
    static func internalError(_ reason: String) -> Failure { Failure(.internalError, .unknown, "Internal error: \(reason)") }

    /// Writes the `error` object.
    func write(to output: OutputBuffer) {
        output.append("{\"code\":")
        output.append(integer: code.rawValue)
        output.append(",\"message\":")
        output.append(quoted: error.message)
        output.append(",\"data\":{\"error\":")
        output.append(quoted: error.code.name)
        output.append(",\"value\":")
        output.append(integer: Int(error.code.rawValue))
        if let parameter {
            output.append(",\"parameter\":")
            output.append(quoted: parameter)
        }
        output.append(systemDetailsOf: error)
        output.append("}}")
    }
}

extension OutputBuffer {
    /// What the system said and which addresses were tried, as further members of an object; nothing where there is nothing.
    func append(systemDetailsOf error: SocketError) {
        if error.systemError != 0 {
            append(",\"systemError\":")
            append(integer: Int(error.systemError))
            append(",\"errnoName\":")
            append(quoted: errnoName(error.systemError))
        }
        guard !error.attempts.isEmpty else { return }
        append(",\"attempts\":[")
        var isFirst = true
        for attempt in error.attempts {
            if !isFirst { append(byte: UInt8(ascii: ",")) }
            isFirst = false
            append("{\"address\":")
            append(quoted: attempt.address)
            append(",\"phase\":")
            append(quoted: attempt.phase.name)
            append(",\"milliseconds\":")
            append(integer: attempt.milliseconds)
            append(",\"systemError\":")
            append(integer: Int(attempt.systemError))
            if attempt.systemError != 0 {
                append(",\"errnoName\":")
                append(quoted: errnoName(attempt.systemError))
            }
            append(byte: UInt8(ascii: "}"))
        }
        append(byte: UInt8(ascii: "]"))
    }
}

/// A name fit to stand in a message: what a client sends can be a megabyte long.
func brief(_ text: String) -> String {
    text.utf8.count <= 100 ? text : "\(text.prefix(80))…"
}
