/// How SOCKS 5 writes addresses (RFC 1928, 5).
enum SOCKS5Wire {
    static let version: UInt8 = 5
    /// Of an address of any kind, with its type and port.
    static let longestEndpoint = 1 + 1 + 255 + 2

    enum Command: UInt8 {
        case connect = 1, bind = 2, udpAssociate = 3
    }

    /// Type, address and port.
    static func append(_ endpoint: ProxyEndpoint, to bytes: inout [UInt8]) {
        switch endpoint.host {
        case .address(let address): append(address, to: &bytes)
        case .name(let name):
            let text = name.utf8.prefix(255)
            bytes.append(3)
            bytes.append(UInt8(truncatingIfNeeded: text.count))
            bytes.append(contentsOf: text)
        }
        bytes.append(UInt8(endpoint.port >> 8))
        bytes.append(UInt8(endpoint.port & 0xff))
    }

    private static func append(_ address: HostAddress, to bytes: inout [UInt8]) {
        switch address.storage {
        case .anyDualStack:
            bytes.append(contentsOf: [1, 0, 0, 0, 0])
        case .ipv4(let number):
            bytes.append(1)
            for shift in [24, 16, 8, 0] as [UInt32] { bytes.append(UInt8(number >> shift & 0xff)) }
        case .ipv6(let high, let low, _):
            bytes.append(4)
            for half in [high, low] {
                for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(half >> UInt64(shift) & 0xff)) }
            }
        }
    }

    enum Parsed {
        case incomplete
        case unknownType(UInt8)
        case endpoint(ProxyEndpoint, length: Int)
    }

    /// Reads type, address and port.
    static func parse(_ bytes: UnsafeRawBufferPointer) -> Parsed {
        guard let type = bytes.first else { return .incomplete }
        let start: Int
        let size: Int
        switch type {
        case 1: (start, size) = (1, 4)
        case 4: (start, size) = (1, 16)
        case 3:
            guard bytes.count > 1 else { return .incomplete }
            (start, size) = (2, Int(bytes[1]))
        default: return .unknownType(type)
        }
        let length = start + size + 2
        guard bytes.count >= length else { return .incomplete }
        let port = UInt16(bytes[length - 2]) << 8 | UInt16(bytes[length - 1])
        let host: ProxyEndpoint.Host
        switch type {
        case 1:
            host = .address(HostAddress(ipv4: bytes[start..<start + 4].reduce(0) { $0 << 8 | UInt32($1) }))
        case 4:
            host = .address(
                HostAddress(
                    ipv6High: bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) },
                    low: bytes[start + 8..<start + 16].reduce(0) { $0 << 8 | UInt64($1) }))
        default:
            let name = String(decoding: bytes[start..<start + size], as: UTF8.self)
            host = HostAddress(literal: name).map { .address($0) } ?? .name(name)
        }
        return .endpoint(ProxyEndpoint(host: host, port: port), length: length)
    }
}
