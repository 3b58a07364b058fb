/// What is known of a received datagram beside its bytes.
public struct DatagramDetails: Sendable {
    /// Nil when the system did not tell.
    public var sender: HostAddress?
    public var senderPort: Int
    /// The address of this machine, the group or the broadcast address that it was sent to.
    public var destination: HostAddress?
    public var destinationPort: Int
    /// The number of the interface that it came in by, 0 when it is not known.
    public var interfaceIndex: Int
    /// What is left of its hop limit (time to live), -1 when it is not known.
    public var hopLimit: Int
    /// There was more of it than fitted; the rest is lost.
    public var truncated: Bool

    /// The sender's address in words, "" when it is not known.
    public var senderAddress: String { sender?.description ?? "" }
    /// The destination in words, IPv6 with the number of the interface (`ff02::fb%2`); "" when it is not known.
    public var destinationAddress: String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: HostAddress.textCapacity) { buffer in
            guard let start = buffer.baseAddress else { return "" }
            writeDestination(to: start)
            return String(cString: start)
        }
    }

    /// Writes `destinationAddress`, ended by NUL, to memory of `HostAddress.textCapacity` bytes.
    public func writeDestination(to text: UnsafeMutablePointer<CChar>) {
        text[0] = 0
        guard let destination else { return }
        destination.write(to: text)
        guard destination.isIPv6, !destination.isIPv4Mapped, destination.scope == 0, interfaceIndex > 0 else { return }
        HostAddress.appendScope(UInt32(clamping: interfaceIndex), byName: false, to: text)
    }

    static let unknown = DatagramDetails(
        sender: nil, senderPort: 0, destination: nil, destinationPort: 0, interfaceIndex: 0, hopLimit: -1, truncated: false)
}

/// A received datagram.
@dynamicMemberLookup
public struct Datagram: Sendable {
    public var data: [UInt8]
    public var details: DatagramDetails

    public subscript<Value>(dynamicMember member: KeyPath<DatagramDetails, Value>) -> Value { details[keyPath: member] }
}

/// How one datagram leaves where that shall differ from the rest.
public struct DatagramOptions: Hashable, Sendable {
    /// 1 to 255.
    public var hopLimit: Int?
    /// The address of this machine that it shall come from.
    public var source: HostAddress?
    /// The number of the interface that it shall leave by.
    public var interfaceIndex: Int?

    public init(hopLimit: Int? = nil, source: HostAddress? = nil, interfaceIndex: Int? = nil) {
        self.hopLimit = hopLimit
        self.source = source
        self.interfaceIndex = interfaceIndex
    }
}

/// A datagram to be sent.
public struct OutgoingDatagram: Sendable {
    public var data: [UInt8]
    /// An address or a name; nil for the peer of a connected socket.
    public var address: String?
    public var port: Int?
    public var options: DatagramOptions?

    public init(_ data: [UInt8], address: String? = nil, port: Int? = nil, options: DatagramOptions? = nil) {
        self.data = data
        self.address = address
        self.port = port
        self.options = options
    }
}

/// A datagram to be sent from memory of the caller's, which stays valid during the call.
public struct BorrowedDatagram {
    public var bytes: UnsafeRawBufferPointer
    /// An address or a name; nil for the peer of a connected socket.
    public var address: String?
    public var port: Int?
    public var options: DatagramOptions?

    public init(_ bytes: UnsafeRawBufferPointer, address: String? = nil, port: Int? = nil, options: DatagramOptions? = nil) {
        self.bytes = bytes
        self.address = address
        self.port = port
        self.options = options
    }
}
