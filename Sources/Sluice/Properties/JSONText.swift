import CJansson

/// JSON texts of properties. What comes from outside is limited in size and depth.
enum JSONText {
    static let sizeLimit = 1 << 20
    /// A graph holds many objects.
    static let graphSizeLimit = 16 << 20
    static let depthLimit = 16

    // MARK: Reading

    static func parse(_ text: String, limit: Int) throws(SocketError) -> PropertyValue {
        var text = text
        var result = Result<PropertyValue, SocketError>.success(.null)
        text.withUTF8 { bytes in
            do throws(SocketError) { result = .success(try parse(UnsafeRawBufferPointer(bytes), limit: limit)) } catch { result = .failure(error) }
        }
        return try result.get()
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer, limit: Int) throws(SocketError) -> PropertyValue {
        guard bytes.count <= limit else {
            throw SocketError(.invalidArgument, "The JSON text has \(bytes.count) bytes; the limit is \(limit)")
        }
        guard !isTooDeep(bytes) else {
            throw SocketError(.invalidArgument, "The JSON text is nested deeper than \(depthLimit) levels")
        }
        var fault = json_error_t()
        let flags = Int(JSON_DECODE_ANY) | Int(JSON_REJECT_DUPLICATES) | Int(JSON_ALLOW_NUL)
        guard let root = json_loadb(bytes.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, flags, &fault) else {
            let words = withUnsafeBytes(of: fault.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            throw SocketError(.invalidArgument, "The JSON text is wrong in line \(fault.line), column \(max(0, fault.column)): \(words)")
        }
        defer { json_decref(root) }
        return value(of: root)
    }

    /// The parser recurses as deep as a text is nested: that is known from a glance at the text.
    private static func isTooDeep(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var depth = 0
        var inString = false
        var isEscaped = false
        for byte in bytes {
            if inString {
                if isEscaped { isEscaped = false } else if byte == 0x5C { isEscaped = true } else if byte == 0x22 { inString = false }
                continue
            }
            switch byte {
            case 0x22: inString = true
            case 0x5B, 0x7B:
                depth += 1
                if depth > depthLimit { return true }
            case 0x5D, 0x7D: depth -= 1
            default: break
            }
        }
        return false
    }

    private static func value(of json: UnsafeMutablePointer<json_t>) -> PropertyValue {
        switch json.pointee.type {
        case JSON_OBJECT:
            var members: [PropertyValue.Member] = []
            var iterator = json_object_iter(json)
            while let current = iterator, let key = json_object_iter_key(current), let member = json_object_iter_value(current) {
                let name = UnsafeRawBufferPointer(start: key, count: json_object_iter_key_len(current))
                members.append(PropertyValue.Member(String(decoding: name, as: UTF8.self), value(of: member)))
                iterator = json_object_iter_next(json, current)
            }
            return .object(members)
        case JSON_ARRAY:
            return .list((0..<json_array_size(json)).compactMap { json_array_get(json, $0).map(value(of:)) })
        case JSON_STRING:
            guard let text = json_string_value(json) else { return .null }
            return .text(String(decoding: UnsafeRawBufferPointer(start: text, count: json_string_length(json)), as: UTF8.self))
        case JSON_INTEGER: return .integer(Int(json_integer_value(json)))
        case JSON_REAL: return .real(json_real_value(json))
        case JSON_TRUE: return .boolean(true)
        case JSON_FALSE: return .boolean(false)
        default: return .null
        }
    }

    // MARK: Writing

    static func write(_ value: PropertyValue) throws(SocketError) -> String {
        let root = try make(value, depth: 0)
        defer { json_decref(root) }
        let flags = Int(JSON_COMPACT) | Int(JSON_ENCODE_ANY)
        let size = json_dumpb(root, nil, 0, flags)
        guard size > 0 else { throw noMemory }
        return String(unsafeUninitializedCapacity: size) { buffer in
            buffer.withMemoryRebound(to: CChar.self) { json_dumpb(root, $0.baseAddress, size, flags) }
        }
    }

    private static var noMemory: SocketError { SocketError(.outOfMemory, "There is no memory for the JSON text") }

    private static func make(_ value: PropertyValue, depth: Int) throws(SocketError) -> UnsafeMutablePointer<json_t> {
        guard depth <= depthLimit else {
            throw SocketError(.limitReached, "The value is nested deeper than \(depthLimit) levels")
        }
        if let json = scalar(value) { return json }
        guard let json = try container(value, depth: depth) else { throw noMemory }
        return json
    }

    private static func scalar(_ value: PropertyValue) -> UnsafeMutablePointer<json_t>? {
        switch value {
        case .null: json_null()
        case .boolean(let truth): truth ? json_true() : json_false()
        case .integer(let number): json_integer(json_int_t(number))
        // What is no number has no place in JSON.
        case .real(let number): number.isFinite ? json_real(number) : json_null()
        case .text(var text): text.withUTF8 { withChars($0) { json_stringn_nocheck($0, $1) } }
        case .list, .object: nil
        }
    }

    private static func container(_ value: PropertyValue, depth: Int) throws(SocketError) -> UnsafeMutablePointer<json_t>? {
        switch value {
        case .list(let elements):
            guard let array = json_array() else { return nil }
            do throws(SocketError) {
                for element in elements where json_array_append_new(array, try make(element, depth: depth + 1)) != 0 { throw noMemory }
            } catch {
                json_decref(array)
                throw error
            }
            return array
        case .object(let members):
            guard let object = json_object() else { return nil }
            do throws(SocketError) {
                for member in members {
                    let json = try make(member.value, depth: depth + 1)
                    var name = member.name
                    let result = name.withUTF8 { withChars($0) { json_object_setn_new_nocheck(object, $0, $1, json) } }
                    guard result == 0 else { throw noMemory }
                }
            } catch {
                json_decref(object)
                throw error
            }
            return object
        default: return nil
        }
    }

    private static func withChars<Result>(_ bytes: UnsafeBufferPointer<UInt8>, _ body: (UnsafePointer<CChar>?, Int) -> Result) -> Result {
        // An empty text may have no memory at all, which is not the same as none.
        guard let base = bytes.baseAddress else { return "".withCString { body($0, 0) } }
        return base.withMemoryRebound(to: CChar.self, capacity: bytes.count) { body($0, bytes.count) }
    }
}
