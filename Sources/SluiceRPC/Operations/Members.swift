import Sluice

/// An enumeration that stands in objects.
protocol NamedMember: RawRepresentable, CaseIterable where RawValue == Int32 {
    var name: String { get }
    init?(name: String)
}

extension TLSVerifyMode: NamedMember {}
extension TLSVersion: NamedMember {}
extension Proxy.Kind: NamedMember {}

/// The members of an object that came as a parameter, checked as parameters are: null is as if it were left out.
struct Members {
    let json: JSON?
    let parameter: StaticString

    init(_ json: JSON?, parameter: StaticString) {
        self.json = json
        self.parameter = parameter
    }

    /// Refuses members of other names.
    func check(_ names: [String]) throws(Failure) {
        var unknown: String?
        json?.forEachMember { key, _ in
            let name = String(decoding: key, as: UTF8.self)
            if !names.contains(name) { unknown = brief(name) }
            return unknown == nil
        }
        guard let unknown else { return }
        throw .invalidParameter(
            parameter.text, "\"\(parameter)\" has no member \"\(unknown)\"; it takes \(names.joined(separator: ", "))")
    }

    func wrong(_ name: StaticString, _ taken: String) -> Failure {
        .invalidParameter(parameter.text, "\"\(name)\" of \"\(parameter)\" takes \(taken)")
    }

    private func member(_ name: StaticString) -> JSON? {
        json?[name].flatMap { $0.kind == .null ? nil : $0 }
    }

    func text(_ name: StaticString) throws(Failure) -> String? {
        guard let value = member(name) else { return nil }
        guard let text = value.string else { throw wrong(name, "a string") }
        return text
    }

    /// An enumeration, by name or number.
    func named<Value: NamedMember>(_ name: StaticString, as type: Value.Type = Value.self) throws(Failure) -> Value? {
        guard let value = member(name) else { return nil }
        let found = value.string.map { Value(name: $0) } ?? value.wholeNumber.flatMap { Int32(exactly: $0) }.map { Value(rawValue: $0) }
        guard let found = found ?? nil else {
            throw wrong(name, "one of \(Value.allCases.map(\.name).joined(separator: ", "))")
        }
        return found
    }

    func integer(_ name: StaticString) throws(Failure) -> Int? {
        guard let value = member(name) else { return nil }
        guard let number = value.wholeNumber else { throw wrong(name, "an integer") }
        return number
    }

    func boolean(_ name: StaticString) throws(Failure) -> Bool? {
        guard let value = member(name) else { return nil }
        guard let truth = value.boolean else { throw wrong(name, "true or false") }
        return truth
    }

    func texts(_ name: StaticString) throws(Failure) -> [String]? {
        guard let value = member(name) else { return nil }
        guard value.kind == .array else { throw wrong(name, "a list of strings") }
        var texts: [String] = []
        for index in 0..<value.count {
            guard let text = value[index]?.string else { throw wrong(name, "a list of strings") }
            texts.append(text)
        }
        return texts
    }
}
