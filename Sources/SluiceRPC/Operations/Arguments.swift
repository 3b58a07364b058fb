import Sluice

/// The values that a request gives for an operation's parameters, checked against the table.
struct Arguments {
    /// The most parameters that an operation has.
    static let most = 6

    /// All that was sent, for operations that take anything.
    let whole: JSON?
    private var values = InlineArray<6, JSON?>(repeating: nil)

    /// Throws for what is missing, unknown or of another type, and names it.
    init(_ sent: JSON?, of operation: Operation) throws(Failure) {
        whole = sent
        if operation.takesAnything { return }
        let parameters = operation.parameters
        guard parameters.count <= Self.most else { throw .internalError("\(operation.name) has too many parameters") }
        if let sent {
            if sent.kind == .array {
                try takeByPosition(sent, operation)
            } else {
                try takeByName(sent, operation)
            }
        }
        for index in parameters.indices {
            let parameter = parameters[index]
            // What may be left out may also be null, so that a later one can be given by position.
            if let value = values[index], !parameter.isRequired, value.kind == .null, !parameter.takesNull { values[index] = nil }
            if let value = values[index] {
                try Self.check(value, parameter, operation)
            } else if parameter.isRequired {
                throw .invalidParameter(parameter.name.text, "\(operation.name) needs \"\(parameter.name)\": \(parameter.type.description)")
            }
        }
    }

    private mutating func takeByPosition(_ sent: JSON, _ operation: Operation) throws(Failure) {
        let parameters = operation.parameters
        guard sent.count <= parameters.count else {
            throw .invalidParameters("""
                \(operation.name) takes \(parameters.count) parameters at most (\(Self.names(of: operation))), not \(sent.count)
                """)
        }
        for index in 0..<sent.count { values[index] = sent[index] }
    }

    private mutating func takeByName(_ sent: JSON, _ operation: Operation) throws(Failure) {
        let parameters = operation.parameters
        var found = 0
        for index in parameters.indices {
            guard let value = sent[parameters[index].name] else { continue }
            values[index] = value
            found += 1
        }
        if found < sent.count { throw Self.unknownParameter(sent, operation) }
    }

    private static func unknownParameter(_ sent: JSON, _ operation: Operation) -> Failure {
        var unknown = ""
        sent.forEachMember { key, _ in
            let name = String(decoding: key, as: UTF8.self)
            if operation.parameters.contains(where: { $0.name.text == name }) { return true }
            unknown = brief(name)
            return false
        }
        let known = operation.parameters.isEmpty ? "no parameters" : names(of: operation)
        return .invalidParameter(unknown, "\(operation.name) has no parameter \"\(unknown)\"; it takes \(known)")
    }

    private static func names(of operation: Operation) -> String {
        operation.parameters.map { $0.name.text }.joined(separator: ", ")
    }

    private static func check(_ value: JSON, _ parameter: Parameter, _ operation: Operation) throws(Failure) {
        guard parameter.type.accepts(value) else {
            throw .invalidParameter(parameter.name.text, "\"\(parameter.name)\" of \(operation.name) takes \(parameter.type.description)")
        }
        if case .integer(let range?) = parameter.type, let number = value.wholeNumber, !range.contains(number) {
            throw .invalidArgument("\"\(parameter.name)\" of \(operation.name) takes \(parameter.type.description), not \(number)")
        }
    }

    subscript(index: Int) -> JSON? {
        index >= 0 && index < Self.most ? values[index] : nil
    }
}

extension Parameter {
    fileprivate var takesNull: Bool {
        if case .anything = type { true } else { false }
    }
}
