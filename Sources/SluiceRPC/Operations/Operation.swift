import Sluice

/// One operation: what is said about it, what it takes, what it gives, and what does it.
///
/// The table of these is the single source for dispatch, for checking parameters, and for the OpenRPC document.
struct Operation: Sendable {
    let name: StaticString
    let summary: StaticString
    let parameters: [Parameter]
    let result: ResultType
    /// Socket errors that are typical for it; misuse can happen to all.
    let errors: [SocketError.Code]
    /// Whether parameters are passed through unchecked.
    let takesAnything: Bool
    let handler: @Sendable (Call) throws(Failure) -> Reply

    init(
        _ name: StaticString, _ summary: StaticString, _ parameters: [Parameter] = [], _ result: ResultType = .null,
        errors: [SocketError.Code] = [], takesAnything: Bool = false,
        handler: @escaping @Sendable (Call) throws(Failure) -> Reply
    ) {
        self.name = name
        self.summary = summary
        self.parameters = parameters
        self.result = result
        self.errors = errors
        self.takesAnything = takesAnything
        self.handler = handler
    }
}

/// One parameter. By position they come in the order of the table.
struct Parameter: Sendable {
    enum Presence: Sendable {
        case required
        /// May be left out; what that means is said in the description.
        case optional
        case integer(Int)
        case boolean(Bool)
        case text(StaticString)
    }

    let name: StaticString
    let type: ValueType
    let presence: Presence
    let summary: StaticString

    init(_ name: StaticString, _ type: ValueType, _ summary: StaticString, _ presence: Presence = .required) {
        self.name = name
        self.type = type
        self.summary = summary
        self.presence = presence
    }

    var isRequired: Bool {
        if case .required = presence { true } else { false }
    }

    static let handle = Parameter("handle", .handle, "The object that this is about.")
    static let encoding = Parameter(
        "encoding", .choice(["utf8", "base64"]), "How the result's data comes: as base64 always, or as text where it is valid UTF-8.", .text("utf8"))
    static let timeout = Parameter(
        "timeout", .integer(-1...Int(Int32.max)), "Milliseconds to wait at most; -1 is no limit.", .integer(30000))
}

extension Operation {
    /// Whether a request with these parameters means a native descriptor that comes with it, rather than one that is held.
    func meansReceivedDescriptor(_ given: JSON?) -> Bool {
        guard let index = parameters.firstIndex(where: { $0.name.text == "descriptor" }) else { return false }
        guard let number = given?["descriptor"] ?? given?[index] else { return parameters[index].isRequired }
        return number.wholeNumber.map { !HeldDescriptors.isNumber($0) } ?? true
    }
}

/// What an operation answers.
indirect enum ResultType: Sendable {
    case null
    case boolean
    case integer(StaticString)
    case handle
    case handleOrNull
    case text(StaticString)
    case textOrNull(StaticString)
    case choice([String])
    case names([String])
    case data
    case byteOrNull
    case integerOrNull(StaticString)
    case datagram
    case datagrams
    case anything(StaticString)
    case object([(name: StaticString, type: ResultType)])
}

extension StaticString {
    var text: String { description }
}
