/// What a load balancer says, before the first byte of a connection, about where the connection comes from: the PROXY protocol,
/// versions 1 and 2 (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).
struct ProxyHeader {
    /// The longest header that is accepted; version 1 ends after 107 bytes, version 2 brings addresses of 216 and what else it likes.
    static let longest = 4096
    private static let longestText = 107
    private static let signature: [UInt8] = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]

    /// How many bytes it takes.
    let length: Int
    /// The ends of the connection to the balancer; nil when the balancer speaks for itself (a health check), or does not know.
    let addresses: (source: SocketAddress, destination: SocketAddress)?

    enum Outcome {
        case incomplete
        case complete(ProxyHeader)
        case malformed(String)
    }

    static func parse(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        let known = min(bytes.count, signature.count)
        if bytes.prefix(known).elementsEqual(signature.prefix(known)) {
            return bytes.count < 16 ? .incomplete : parseBinary(bytes)
        }
        let word = Array("PROXY ".utf8)
        let begin = min(bytes.count, word.count)
        guard bytes.prefix(begin).elementsEqual(word.prefix(begin)) else { return .malformed("it does not begin with a PROXY header") }
        return parseText(bytes)
    }

    // MARK: Version 1

    private static func parseText(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        guard let end = bytes.prefix(longestText).firstIndex(of: UInt8(ascii: "\n")) else {
            return bytes.count < longestText ? .incomplete : .malformed("its first line is longer than \(longestText) bytes")
        }
        guard end > 0, bytes[end - 1] == UInt8(ascii: "\r") else { return .malformed("its first line does not end with CR LF") }
        let words = bytes[..<(end - 1)].split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        guard words.count >= 2 else { return .malformed("it names no protocol") }
        if words[1] == "UNKNOWN" { return .complete(ProxyHeader(length: end + 1, addresses: nil)) }
        guard words.count == 6 else { return .malformed("it does not consist of six words") }
        guard let source = HostAddress(literal: words[2]), let destination = HostAddress(literal: words[3]),
            source.networkProtocol == destination.networkProtocol,
            words[1] == (source.isIPv4 ? "TCP4" : "TCP6")
        else { return .malformed("its addresses are not two of \(words[1].abbreviated)") }
        guard let sourcePort = port(words[4]), let destinationPort = port(words[5]) else {
            return .malformed("its ports are not numbers from 0 to 65535")
        }
        return .complete(
            ProxyHeader(
                length: end + 1,
                addresses: (SocketAddress(source, port: sourcePort), SocketAddress(destination, port: destinationPort))))
    }

    /// Digits alone, without needless zeros.
    private static func port(_ word: String) -> UInt16? {
        guard word.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }), word == "0" || !word.hasPrefix("0") else { return nil }
        return UInt16(word)
    }

    // MARK: Version 2

    private static func parseBinary(_ bytes: UnsafeRawBufferPointer) -> Outcome {
        let version = bytes[12] >> 4
        let command = bytes[12] & 15
        let length = 16 + Int(bytes[14]) << 8 + Int(bytes[15])
        guard version == 2, command <= 1 else { return .malformed("its version or command is unknown (\(bytes[12]))") }
        guard length <= longest else { return .malformed("it is longer than \(longest) bytes") }
        let family = bytes[13] >> 4
        let transport = bytes[13] & 15
        guard family <= 3, transport <= 2 else { return .malformed("its family or transport is unknown (\(bytes[13]))") }
        let place = 16
        let size = [0, 12, 36, 216][Int(family)]
        guard command == 0 || length >= place + size else { return .malformed("it has no room for its addresses") }
        guard bytes.count >= length else { return .incomplete }
        guard command == 1, transport == 1, family == 1 || family == 2 else { return .complete(ProxyHeader(length: length, addresses: nil)) }
        let addressSize = family == 1 ? 4 : 16
        let ports = place + 2 * addressSize
        func address(at offset: Int, port: Int) -> SocketAddress {
            let host = family == 1
                ? HostAddress(ipv4: UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
                : HostAddress(
                    ipv6High: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
                    low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
            return SocketAddress(host, port: UInt16(bigEndian: bytes.loadUnaligned(fromByteOffset: port, as: UInt16.self)))
        }
        return .complete(
            ProxyHeader(
                length: length,
                addresses: (address(at: place, port: ports), address(at: place + addressSize, port: ports + 2))))
    }
}
