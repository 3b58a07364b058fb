import Sluice

/// The OpenRPC document (spec.open-rpc.org), made from the table that dispatches.
public enum OpenRPC {
    /// One line of JSON.
    static let document: [UInt8] = {
        let output = OutputBuffer()
        write(to: output)
        return output.withBytes { Array($0) }
    }()

    /// The document as text, a method a line, so that changes to it can be read.
    public static var text: [UInt8] {
        let output = OutputBuffer()
        write(to: output, separator: "\n")
        output.append(byte: 10)
        return output.withBytes { Array($0) }
    }

    private static func write(to output: OutputBuffer, separator: StaticString = "") {
        output.append("{\"openrpc\":\"1.3.2\",\"info\":{\"title\":\"Sluice\",\"version\":")
        output.append(quoted: Sidecar.version)
        output.append(",\"description\":")
        output.append(quoted: """
            Sockets over JSON-RPC 2.0, one message a line or behind Content-Length headers. Handles are integers of the client that made them. \
            Events are notifications: socket.<event>, server.<event> and relay.<event>, with handle, state, isOpen and values of their own; those that a call \
            raises come before its answer. $/cancelRequest {id} cancels a call that waits; it is then answered with error -32800. \
            Errors carry data {error, value}, and where they are known parameter, systemError, errnoName and attempts.
            """)
        output.append("},")
        output.append(separator)
        output.append("\"methods\":[")
        var isFirst = true
        for operation in OperationTable.shared.operations {
            if !isFirst { output.append(byte: UInt8(ascii: ",")) }
            isFirst = false
            output.append(separator)
            write(operation, to: output)
        }
        output.append(separator)
        output.append("],")
        output.append(separator)
        writeComponents(to: output)
        output.append("}")
    }

    private static func write(_ operation: Operation, to output: OutputBuffer) {
        output.append("{\"name\":")
        output.append(quoted: operation.name.text)
        output.append(",\"summary\":")
        output.append(quoted: operation.summary.text)
        output.append(",\"tags\":[{\"name\":")
        output.append(quoted: String(operation.name.text.prefix { $0 != "." }))
        output.append("}],\"paramStructure\":\"either\",\"params\":[")
        var isFirst = true
        for parameter in operation.parameters {
            if !isFirst { output.append(byte: UInt8(ascii: ",")) }
            isFirst = false
            write(parameter, to: output)
        }
        output.append("],\"result\":{\"name\":\"result\",\"schema\":")
        write(operation.result, to: output)
        output.append("}")
        if !operation.errors.isEmpty {
            output.append(",\"errors\":[")
            for (index, code) in operation.errors.enumerated() {
                if index > 0 { output.append(byte: UInt8(ascii: ",")) }
                output.append("{\"$ref\":\"#/components/errors/")
                output.append(text: code.name)
                output.append("\"}")
            }
            output.append("]")
        }
        output.append("}")
    }

    private static func write(_ parameter: Parameter, to output: OutputBuffer) {
        output.append("{\"name\":")
        output.append(quoted: parameter.name.text)
        output.append(",\"description\":")
        output.append(quoted: parameter.summary.text)
        output.append(",\"required\":")
        output.append(boolean: parameter.isRequired)
        output.append(",\"schema\":{")
        output.append(text: schema(of: parameter.type))
        switch parameter.presence {
        case .required, .optional: break
        case .integer(let number):
            output.append(",\"default\":")
            output.append(integer: number)
        case .boolean(let truth):
            output.append(",\"default\":")
            output.append(boolean: truth)
        case .text(let text):
            output.append(",\"default\":")
            if parameter.type.isFlags {
                output.append(list: [text.text])
            } else {
                output.append(quoted: text.text)
            }
        }
        output.append("}}")
    }

    // MARK: Schemas

    private static func schema(of type: ValueType) -> String {
        switch type {
        case .handle: "\"type\":\"integer\",\"minimum\":1"
        case .integer(let range): "\"type\":\"integer\"" + (range.map { ",\"minimum\":\($0.lowerBound),\"maximum\":\($0.upperBound)" } ?? "")
        case .boolean: "\"type\":\"boolean\""
        case .setting: "\"type\":[\"integer\",\"boolean\"]"
        case .string, .data: "\"type\":\"string\""
        case .object: "\"type\":\"object\""
        case .datagrams: "\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/OutgoingDatagram\"}"
        case .list(let names): "\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":\(list(names))}"
        case .anything: ""
        case .choice(let names): "\"type\":\"string\",\"enum\":\(list(names))"
        case .state: named(SocketState.allNames)
        case .error: named(SocketError.Code.allNames)
        case .networkProtocol: named(NetworkProtocol.allNames + ["any"])
        case .option: named(SocketOption.allNames)
        case .openMode: flags(OpenMode.allNames)
        case .bindMode: flags(BindMode.allNames)
        case .pauseMode: flags(PauseMode.allNames)
        case .access: flags(LocalServerAccess.allNames)
        case .events: flags(["all", "none", "default"] + EventType.allCases.map(\.name))
        }
    }

    private static func named(_ names: [String]) -> String {
        "\"anyOf\":[{\"type\":\"string\",\"enum\":\(list(names))},{\"type\":\"integer\"}]"
    }

    private static func flags(_ names: [String]) -> String {
        "\"anyOf\":[{\"type\":\"array\",\"items\":{\"enum\":\(list(names))}},{\"type\":\"string\"},{\"type\":\"integer\"}]"
    }

    private static func list(_ names: [String]) -> String {
        "[" + names.map { "\"\($0)\"" }.joined(separator: ",") + "]"
    }

    private static func write(_ type: ResultType, to output: OutputBuffer) {
        func write(_ schema: String, _ description: StaticString? = nil) {
            output.append("{")
            output.append(text: schema)
            if let description {
                if !schema.isEmpty { output.append(",") }
                output.append("\"description\":")
                output.append(quoted: description.text)
            }
            output.append("}")
        }
        switch type {
        case .null: write("\"type\":\"null\"")
        case .boolean: write("\"type\":\"boolean\"")
        case .integer(let description): write("\"type\":\"integer\"", description)
        case .handle: write("\"type\":\"integer\",\"minimum\":1", "The new handle.")
        case .handleOrNull: write("\"type\":[\"integer\",\"null\"],\"minimum\":1", "The new handle, or null when there is nothing to take.")
        case .text(let description): write("\"type\":\"string\"", description)
        case .textOrNull(let description): write("\"type\":[\"string\",\"null\"]", description)
        case .choice(let names): write("\"type\":\"string\",\"enum\":\(list(names))")
        case .names(let names): write("\"type\":\"array\",\"items\":{\"type\":\"string\",\"enum\":\(list(names))}")
        case .data: write("\"$ref\":\"#/components/schemas/Data\"")
        case .byteOrNull: write("\"type\":[\"integer\",\"null\"],\"minimum\":0,\"maximum\":255", "The byte, or null when there is none.")
        case .integerOrNull(let description): write("\"type\":[\"integer\",\"null\"]", description)
        case .datagram: write("\"$ref\":\"#/components/schemas/Datagram\"")
        case .datagrams: write("\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/Datagram\"}")
        case .anything(let description): write("", description)
        case .object(let members):
            output.append("{\"type\":\"object\",\"properties\":{")
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(",") }
                output.append(quoted: member.name.text)
                output.append(":")
                Self.write(member.type, to: output)
            }
            output.append("}}")
        }
    }

    private static func writeComponents(to output: OutputBuffer) {
        output.append("""
            "components":{"schemas":{"Data":{"type":"object","properties":{"data":{"type":"string"},\
            "encoding":{"type":"string","enum":["utf8","base64"]}},"required":["data","encoding"]},\
            "Datagram":{"type":"object","properties":{"data":{"type":"string"},"encoding":{"type":"string","enum":["utf8","base64"]},\
            "senderAddress":{"type":["string","null"]},"senderPort":{"type":"integer"},"destinationAddress":{"type":["string","null"]},\
            "destinationPort":{"type":"integer"},"interfaceIndex":{"type":"integer"},"hopLimit":{"type":"integer"},\
            "truncated":{"type":"boolean"}}},\
            "OutgoingDatagram":{"type":"object","properties":{"data":{"type":"string"},"encoding":{"type":"string",\
            "enum":["utf8","base64"],"default":"utf8"},"address":{"type":"string"},"port":{"type":"integer"}},"required":["data"]}},"errors":{
            """)
        var isFirst = true
        for code in SocketError.Code.allCases where code != .noError {
            if !isFirst { output.append(",") }
            isFirst = false
            output.append(quoted: code.name)
            output.append(":{\"code\":")
            output.append(integer: (code.isMisuse ? Failure.Code.misuse : .socketError).rawValue)
            output.append(",\"message\":")
            output.append(quoted: code.name)
            output.append(",\"data\":{\"error\":")
            output.append(quoted: code.name)
            output.append(",\"value\":")
            output.append(integer: Int(code.rawValue))
            output.append("}}")
        }
        output.append("}}")
    }
}

extension ValueType {
    fileprivate var isFlags: Bool {
        switch self {
        case .openMode, .bindMode, .pauseMode, .access, .events: true
        default: false
        }
    }
}
