import COpenSSL

/// What is sent to prove who one is.
struct HTTPCredentials {
    /// RFC 7617.
    static func basic(user: String, password: String) -> String { "Basic " + base64(Array("\(user):\(password)".utf8)) }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let piece = bytes[start..<min(start + 3, bytes.count)]
            var word: UInt32 = 0
            for byte in piece { word = word << 8 | UInt32(byte) }
            word <<= UInt32(8 * (3 - piece.count))
            for place in 0..<4 {
                text.append(place <= piece.count ? alphabet[Int(word >> UInt32(18 - 6 * place) & 0x3f)] : UInt8(ascii: "="))
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// Digest (RFC 7616): the password itself is not sent.
struct HTTPDigest {
    enum Algorithm: CaseIterable {
        // From the weakest up.
        case md5, sha256

        init?(_ name: String) {
            switch name {
            case "md5": self = .md5
            case "sha-256": self = .sha256
            default: return nil
            }
        }

        /// In hexadecimal; nil where the system does not allow the algorithm.
        func hash(_ text: String) -> String? {
            var size: UInt32 = 0
            let kind = self == .md5 ? EVP_md5() : EVP_sha256()
            let bytes = [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { buffer, count in
                let done = Array(text.utf8).withUnsafeBytes { EVP_Digest($0.baseAddress, $0.count, buffer.baseAddress, &size, kind, nil) }
                count = done == 1 ? Int(size) : 0
            }
            guard !bytes.isEmpty else { return nil }
            let digits = Array("0123456789abcdef".utf8)
            return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
        }
    }

    let algorithm: Algorithm
    private let isSession: Bool
    private let challenge: HTTPChallenge
    private let nonce: String
    private let usesQuality: Bool
    private var count: UInt32 = 0

    /// Nil for a challenge that cannot be met.
    init?(_ challenge: HTTPChallenge) {
        guard challenge.scheme == "digest", let nonce = challenge["nonce"] else { return nil }
        var name = challenge["algorithm"]?.lowercased() ?? "md5"
        isSession = name.hasSuffix("-sess")
        if isSession { name = String(name.dropLast("-sess".utf8.count)) }
        guard let algorithm = Algorithm(name) else { return nil }
        if let qualities = challenge["qop"] {
            guard qualities.lowercased().split(whereSeparator: { $0 == "," || $0 == " " }).contains("auth") else { return nil }
            usesQuality = true
        } else {
            usesQuality = false
        }
        self.algorithm = algorithm
        self.challenge = challenge
        self.nonce = nonce
    }

    /// The proxy knows the credentials, but wants them with a fresh nonce.
    static func isStale(_ challenge: HTTPChallenge) -> Bool { challenge["stale"]?.lowercased() == "true" }

    /// The value of the field; nil where the system does not allow the algorithm.
    mutating func authorization(user: String, password: String, method: String, target: String) -> String? {
        let clientNonce = String(UInt64.random(in: .min ... .max), radix: 16) + String(UInt64.random(in: .min ... .max), radix: 16)
        return authorization(user: user, password: password, method: method, target: target, clientNonce: clientNonce)
    }

    mutating func authorization(user: String, password: String, method: String, target: String, clientNonce: String) -> String? {
        count &+= 1
        let digits = String(count, radix: 16)
        let number = String(repeating: "0", count: 8 - digits.utf8.count) + digits
        let realm = challenge.realm
        guard var secret = algorithm.hash("\(user):\(realm):\(password)"), let request = algorithm.hash("\(method):\(target)")
        else { return nil }
        if isSession {
            guard let session = algorithm.hash("\(secret):\(nonce):\(clientNonce)") else { return nil }
            secret = session
        }
        let middle = usesQuality ? "\(nonce):\(number):\(clientNonce):auth" : nonce
        guard let response = algorithm.hash("\(secret):\(middle):\(request)") else { return nil }

        var name = user
        let hashesUser = challenge["userhash"]?.lowercased() == "true"
        if hashesUser {
            guard let hashed = algorithm.hash("\(user):\(realm)") else { return nil }
            name = hashed
        }
        var value = "Digest username=\(Self.quoted(name)), realm=\(Self.quoted(realm)), nonce=\(Self.quoted(nonce))"
        value += ", uri=\(Self.quoted(target)), response=\"\(response)\""
        if let asked = challenge["algorithm"] { value += ", algorithm=\(Self.plain(asked))" }
        if let opaque = challenge["opaque"] { value += ", opaque=\(Self.quoted(opaque))" }
        if usesQuality { value += ", qop=auth, nc=\(number)" }
        if usesQuality || isSession { value += ", cnonce=\(Self.quoted(clientNonce))" }
        if hashesUser { value += ", userhash=true" }
        return value
    }

    private static func plain(_ text: String) -> String { String(text.filter { $0.isLetter || $0.isNumber || $0 == "-" }) }

    /// What the proxy sent goes back to it, and nothing of it may end the line.
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars where scalar.value >= 0x20 && scalar.value != 0x7f {
            if scalar == "\"" || scalar == "\\" { result += "\\" }
            result.unicodeScalars.append(scalar)
        }
        return result + "\""
    }
}
