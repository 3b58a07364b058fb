import CJansson

/// One value of a parsed JSON text.
///
/// A parsed text never changes, and every value of it keeps the whole text alive; so a value may be kept and passed on freely.
struct JSON {
    enum Kind { case object, array, string, integer, real, boolean, null }

    private let document: Document
    private let pointer: UnsafeMutablePointer<json_t>

    /// Owns the tree of values that the parser made.
    private final class Document {
        let root: UnsafeMutablePointer<json_t>
        init(owning root: UnsafeMutablePointer<json_t>) { self.root = root }
        deinit { json_decref(root) }
    }

    /// Why a text could not be read, in words.
    struct Fault: Error { let reason: String }

    /// Parses one JSON text of any kind: nothing but blanks may stand before and after it, keys may not repeat, integers
    /// have 63 bits at most.
    init(parsing bytes: UnsafeRawBufferPointer, limits: JSONLimits) throws(Fault) {
        if let reason = limits.exceeded(by: bytes) { throw Fault(reason: reason) }
        var fault = json_error_t()
        let flags = Int(JSON_DECODE_ANY) | Int(JSON_REJECT_DUPLICATES) | Int(JSON_ALLOW_NUL)
        guard let root = json_loadb(bytes.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, flags, &fault) else {
            throw Fault(reason: Self.words(of: fault))
        }
        document = Document(owning: root)
        pointer = root
    }

    private init(_ pointer: UnsafeMutablePointer<json_t>, of document: Document) {
        self.pointer = pointer
        self.document = document
    }

    /// To be called once before the first text is parsed, and before there is a second thread: the memory and the seed of
    /// the hash tables are process-wide.
    static func prepare() {
        JSONMemory.install()
        json_object_seed(0)
    }

    var kind: Kind {
        switch pointer.pointee.type {
        case JSON_OBJECT: .object
        case JSON_ARRAY: .array
        case JSON_STRING: .string
        case JSON_INTEGER: .integer
        case JSON_REAL: .real
        case JSON_TRUE, JSON_FALSE: .boolean
        default: .null
        }
    }

    // MARK: Plain values

    var integer: Int? { kind == .integer ? Int(json_integer_value(pointer)) : nil }
    var real: Double? { kind == .real ? json_real_value(pointer) : nil }
    var boolean: Bool? { kind == .boolean ? pointer.pointee.type == JSON_TRUE : nil }

    /// A whole number, also where it is written as a real (1.0), since some languages know no other numbers.
    var wholeNumber: Int? {
        if let integer { return integer }
        guard let real, real.magnitude <= 9_007_199_254_740_992 else { return nil }
        return Int(exactly: real)
    }

    var string: String? {
        withString { String(decoding: $0, as: UTF8.self) }
    }

    /// The UTF-8 of a string, U+0000 included; nil if the value is none.
    func withString<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        guard kind == .string, let text = json_string_value(pointer) else { return nil }
        return body(UnsafeRawBufferPointer(start: text, count: json_string_length(pointer)))
    }

    // MARK: Members

    /// The number of elements or members; 0 for other kinds.
    var count: Int {
        switch kind {
        case .array: json_array_size(pointer)
        case .object: json_object_size(pointer)
        default: 0
        }
    }

    subscript(index: Int) -> JSON? {
        guard index >= 0, let element = json_array_get(pointer, index) else { return nil }
        return JSON(element, of: document)
    }

    subscript(key: StaticString) -> JSON? {
        let member = key.utf8Start.withMemoryRebound(to: CChar.self, capacity: key.utf8CodeUnitCount) {
            json_object_getn(pointer, $0, key.utf8CodeUnitCount)
        }
        return member.map { JSON($0, of: document) }
    }

    /// Keys and values of an object, until `body` returns false.
    func forEachMember(_ body: (_ key: UnsafeRawBufferPointer, _ value: JSON) -> Bool) {
        var iterator = json_object_iter(pointer)
        while let current = iterator {
            guard let key = json_object_iter_key(current), let value = json_object_iter_value(current) else { return }
            let bytes = UnsafeRawBufferPointer(start: key, count: json_object_iter_key_len(current))
            guard body(bytes, JSON(value, of: document)) else { return }
            iterator = json_object_iter_next(pointer, current)
        }
    }

    // MARK: Writing

    /// Writes the value as compact text: one line, whatever is in it. One pass is enough where the text is no longer than
    /// `expecting`.
    func write(to output: OutputBuffer, expecting: Int = 512) {
        let flags = Int(JSON_COMPACT) | Int(JSON_ENCODE_ANY)
        var wanted = expecting
        for _ in 0..<2 {
            var size = 0
            output.append(upTo: wanted) { space in
                size = json_dumpb(pointer, space.assumingMemoryBound(to: CChar.self).baseAddress, space.count, flags)
                return size <= space.count ? size : 0
            }
            if size <= wanted { return }
            wanted = size
        }
    }

    private static func words(of fault: json_error_t) -> String {
        let text = withUnsafeBytes(of: fault.text) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        return "\(text) (line \(fault.line), byte \(fault.position))"
    }
}
