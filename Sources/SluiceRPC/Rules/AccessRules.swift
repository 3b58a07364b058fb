import Glibc
import Sluice

/// Which hosts, ports and local names clients may connect to, bind or listen at.
///
/// A denied target is refused; if anything is allowed explicitly, so is all else. Names and addresses are different things: a
/// rule about addresses cannot be checked against a name before it is looked up, so where addresses are denied a name is
/// refused too, unless a rule allows that very name.
public struct AccessRules: Sendable {
    /// A rule that cannot be read, and why.
    public struct Fault: Error {
        public let message: String
    }

    private let allowed: [AccessRule]
    private let denied: [AccessRule]

    public init() {
        allowed = []
        denied = []
    }

    public init(allow: [String], deny: [String]) throws(Fault) {
        allowed = try Self.parse(allow, option: "--allow")
        denied = try Self.parse(deny, option: "--deny")
    }

    private static func parse(_ texts: [String], option: String) throws(Fault) -> [AccessRule] {
        var rules: [AccessRule] = []
        for text in texts {
            guard let rule = AccessRule(text) else {
                throw Fault(
                    message: """
                        \(option) \(text): expected HOST, HOST:PORT, HOST:FIRST-LAST, an address or network such as 10.0.0.0/8 or \
                        [fd00::/8]:443,
                        """
                        + "*, *.DOMAIN, an absolute path, or @NAME for abstract names")
            }
            rules.append(rule)
        }
        return rules
    }

    var isEmpty: Bool { allowed.isEmpty && denied.isEmpty }

    // MARK: Questions

    func checkConnect(_ host: String, port: Int) throws(Failure) { try check(host, port, "Connecting to") }
    func checkSend(_ host: String, port: Int) throws(Failure) { try check(host, port, "Sending to") }
    func checkGroup(_ group: String, port: Int) throws(Failure) { try check(group, port, "Joining") }

    private func check(_ host: String, _ port: Int, _ doing: StaticString) throws(Failure) {
        guard !isEmpty else { return }
        let target: AccessTarget
        if let address = AccessAddress(literal: host) {
            // Connecting to "any" reaches this machine.
            target = .address(address.isAny ? address.loopback : address, port: port)
        } else {
            target = .name(normalized(host), port: port)
        }
        try check(target, "\(doing) \(brief(host)) port \(port)")
    }

    func checkListen(_ address: String, port: Int) throws(Failure) {
        guard !isEmpty else { return }
        let target: AccessTarget
        if let special = HostAddress(parsing: address) {
            // Listening on "any" is listening on every address there is.
            let literal = special.isAny ? nil : AccessAddress(literal: special.description)
            target = literal.map { .address($0, port: port) } ?? .everyAddress(port: port)
        } else {
            target = .name(normalized(address), port: port)
        }
        try check(target, "Listening at \(brief(address)) port \(port)")
    }

    /// `connects`: the name is connected to, rather than taken or removed.
    func checkLocal(_ name: String, isAbstract: Bool, connects: Bool) throws(Failure) {
        guard !isEmpty else { return }
        let target: AccessTarget = isAbstract ? .abstract(name) : .path(canonicalPath(of: name, followsLast: connects))
        try check(target, "The local name \(brief(name))")
    }

    private func check(_ target: AccessTarget, _ what: String) throws(Failure) {
        if let rule = denied.first(where: { $0.matches(target) }) {
            throw .notPermitted("\(what) is not permitted by this sidecar (--deny \(rule.text)).")
        }
        let isNamed = allowed.contains { $0.namesHost && $0.matches(target) }
        if !isNamed, target.isIndefinite, let rule = denied.first(where: { $0.couldConcern(target) }) {
            throw .notPermitted(
                "\(what) is not permitted by this sidecar: it may mean an address of --deny \(rule.text). Give an address, or have the name allowed.")
        }
        guard allowed.isEmpty || allowed.contains(where: { $0.matches(target) }) else {
            throw .notPermitted("\(what) is not permitted by this sidecar: no --allow rule covers it.")
        }
    }

    private func normalized(_ host: String) -> String {
        let lower = host.lowercased()
        return lower.hasSuffix(".") ? String(lower.dropLast()) : lower
    }
}

/// The full path that a local name stands for, as the system would find it: links and `..` are resolved in their order.
/// `followsLast`: the last part is resolved too where it exists, as connecting does; listening and removing do not.
func canonicalPath(of name: String, followsLast: Bool) -> String {
    var path = name
    if !path.hasPrefix("/") {
        // Where bare names live.
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? ""
        path = (folder.isEmpty ? "/tmp" : folder) + "/" + name
    }
    if followsLast, let whole = resolved(path) { return whole }
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    guard let slash = path.lastIndex(of: "/") else { return path }
    let last = path[path.index(after: slash)...]
    guard last != "..", last != ".", let folder = resolved(String(path[...slash])) else { return lexicallyResolved(path) }
    return folder == "/" ? "/\(last)" : "\(folder)/\(last)"
}

private func resolved(_ path: String) -> String? {
    guard let text = realpath(path, nil) else { return nil }
    defer { free(text) }
    return String(cString: text)
}

/// For what does not exist: nothing can be connected to there.
private func lexicallyResolved(_ path: String) -> String {
    var parts: [Substring] = []
    for part in path.split(separator: "/") where part != "." {
        if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    return "/" + parts.joined(separator: "/")
}
