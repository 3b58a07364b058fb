import Sluice

extension OperationTable {
    private static let address = Parameter(
        "address", .string, "An IPv4 or IPv6 address, or a name. Left out: the peer of a connected socket.", .optional)
    private static let port = Parameter("port", .integer(nil), "1 to 65535. Given together with the address.", .optional)
    private static let group = Parameter("group", .string, "The address of a multicast group.")
    private static let interface = Parameter(
        "interface", .string, "The name of a network interface, or its number as text. Left out: where the route to the group leads.", .optional)
    private static let writeErrors: [SocketError.Code] = [
        .datagramTooLarge, .portNumberOutOfRange, .network, .connectionRefused, .socketAccess, .unsupportedSocketOperation, .temporary, .operation,
    ]

    /// What datagram sockets have beside what all sockets have.
    static let datagramOperations: [Operation] = [
        Operation(
            "udpSocket.create", "Makes a UDP socket: Unconnected, without a descriptor.",
            [Parameter("properties", .object, "Properties to set, as in socket.setProperties.", .optional)], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(UDPSocket(loop: call.session.service.loop), call)
        },
        Operation(
            "udpSocket.writeDatagram",
            """
                Sends one datagram, whole or not at all; it may be empty. A socket that is not bound is bound first. What the system does not \
                take at once, and what goes to a name that has to be looked up, is queued; what fails then is told by errorOccurred.
                """,
            [
                .handle, Parameter("data", .data, "Text, or base64 if the encoding says so."), address, port,
                Parameter("encoding", .choice(["utf8", "base64"]), "What data is.", .text("utf8")),
            ], .integer("The size of the datagram."), errors: writeErrors
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            let address = try call.isGiven("address") ? try call.text("address") : nil
            let port = try call.isGiven("port") ? try call.integer("port") : nil
            try checkDestination(address, port, call)
            return .integer(try call.withData { bytes throws(SocketError) in try socket.writeDatagram(bytes, address: address, port: port) })
        },
        Operation(
            "udpSocket.writeDatagrams",
            """
                Sends datagrams in their order and in few system calls. It ends where no more can be queued, or at the first that cannot \
                be sent, which errorOccurred tells; if that is the first of all, the call fails.
                """,
            [.handle, Parameter("datagrams", .datagrams, "Each {data, encoding?, address?, port?}, as the parameters of udpSocket.writeDatagram.")],
            .integer("How many were sent or queued."), errors: writeErrors
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            guard let list = try call.value("datagrams") else { return .integer(0) }
            var datagrams: [OutgoingDatagram] = []
            datagrams.reserveCapacity(list.count)
            for index in 0..<list.count {
                guard let element = list[index] else { break }
                datagrams.append(try outgoing(element, index, call))
            }
            return .integer(try call.run { () throws(SocketError) in try socket.writeDatagrams(datagrams) })
        },
        Operation("udpSocket.hasPendingDatagrams", "Whether a datagram waits to be read.", [.handle], .boolean) { call throws(Failure) in
            .boolean(try call.udpSocket().hasPendingDatagrams)
        },
        Operation(
            "udpSocket.pendingDatagramSize", "The size of the next datagram.", [.handle], .integer("-1 when there is none.")
        ) { call throws(Failure) in
            .integer(try call.udpSocket().pendingDatagramSize)
        },
        Operation(
            "udpSocket.readDatagram",
            "Takes the next datagram, with who sent it and all else that the system told. TemporaryError when there is none.",
            [
                .handle,
                Parameter("maxSize", .integer(nil), "At most so many bytes of it, -1 is all; the rest is lost (truncated).", .integer(-1)),
                .encoding,
            ], .datagram, errors: [.temporary, .operation]
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            let maxSize = try call.integer("maxSize")
            let size = socket.pendingDatagramSize
            try checkSize(maxSize < 0 ? size : min(size, maxSize), call)
            let datagram = try call.run { () throws(SocketError) in try socket.readDatagram(maxSize: maxSize) }
            try call.entry().didRead(something: true)
            return .datagram(datagram, asBase64: try call.isBase64)
        },
        Operation(
            "udpSocket.readDatagrams", "Takes the datagrams that are there, as udpSocket.readDatagram; an empty list when there are none.",
            [
                .handle,
                Parameter("maxCount", .integer(nil), "At most so many. There may be fewer than are there, by the limit on one answer's data."),
                .encoding,
            ], .datagrams, errors: [.operation]
        ) { call throws(Failure) in
            let datagrams = try read(upTo: try call.integer("maxCount"), from: try call.udpSocket(), call)
            try call.entry().didRead(something: !datagrams.isEmpty)
            let isBase64 = try call.isBase64 || isTooLongAsText(datagrams, limit: call.session.service.limits.maxOutput / 2)
            return .list(datagrams.map { .datagram($0, asBase64: isBase64) })
        },
        Operation(
            "udpSocket.joinMulticastGroup",
            "Receives what is sent to a group from now on. The socket has to be bound, to AnyIPv4 or an IPv4 address for a group of IPv4.",
            [.handle, group, interface], errors: [.operation, .network, .unsupportedSocketOperation, .socketResource]
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            let group = try call.text("group")
            let interface = try call.isGiven("interface") ? try call.text("interface") : nil
            try call.session.service.rules.checkGroup(group, port: socket.localPort)
            try call.run { () throws(SocketError) in try socket.joinMulticastGroup(group, interface: interface) }
            return .null
        },
        Operation(
            "udpSocket.leaveMulticastGroup", "Leaves a group that was joined with the same interface.", [.handle, group, interface],
            errors: [.operation, .network, .unsupportedSocketOperation]
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            let group = try call.text("group")
            let interface = try call.isGiven("interface") ? try call.text("interface") : nil
            try call.run { () throws(SocketError) in try socket.leaveMulticastGroup(group, interface: interface) }
            return .null
        },
        Operation(
            "udpSocket.multicastInterface", "The name of the network interface by which datagrams to groups leave.", [.handle],
            .text("Empty when the system chooses.")
        ) { call throws(Failure) in
            .text(try call.udpSocket().multicastInterface)
        },
        Operation(
            "udpSocket.setMulticastInterface", "Chooses the network interface by which datagrams to groups leave.",
            [.handle, Parameter("interface", .string, "Its name, or its number as text; empty leaves it to the system.")],
            errors: [.network, .socketAddressNotAvailable]
        ) { call throws(Failure) in
            let socket = try call.udpSocket()
            let interface = try call.text("interface")
            try call.run { () throws(SocketError) in try socket.setMulticastInterface(interface) }
            return .null
        },
    ]

    // MARK: Sending

    /// Whether the rules let a datagram go there. `index`: its place in a list.
    private static func checkDestination(_ address: String?, _ port: Int?, _ call: Call, index: Int? = nil) throws(Failure) {
        guard let address else {
            guard port != nil else { return }
            throw .invalidParameter(
                index == nil ? "port" : "datagrams",
                """
                    \(place(index))\(call.operation.name) was given a "port" and no "address": give both, or neither for the peer of a \
                    connected socket
                    """)
        }
        try call.session.service.rules.checkSend(address, port: port ?? 0)
    }

    private static func place(_ index: Int?) -> String { index.map { "datagram \($0): " } ?? "" }

    /// An element of a list of datagrams; what it may have is checked as parameters are.
    private static func outgoing(_ element: JSON, _ index: Int, _ call: Call) throws(Failure) -> OutgoingDatagram {
        func wrong(_ reason: String) -> Failure {
            .invalidParameter("datagrams", "element \(index) of \"datagrams\" of \(call.operation.name) \(reason)")
        }
        guard element.kind == .object else { throw wrong("must be an object {data, encoding?, address?, port?}") }
        var unknown: String?
        element.forEachMember { key, _ in
            let name = String(decoding: key, as: UTF8.self)
            if !["data", "encoding", "address", "port"].contains(name) { unknown = brief(name) }
            return unknown == nil
        }
        if let unknown { throw wrong("has no member \"\(unknown)\"; it takes data, encoding, address, port") }
        func member(_ name: StaticString) -> JSON? {
            element[name].flatMap { $0.kind == .null ? nil : $0 }
        }
        guard let data = member("data") else { throw wrong("lacks \"data\", a string (text, or base64 with \"encoding\": \"base64\")") }
        guard data.kind == .string else { throw wrong("takes a string as \"data\" (text, or base64 with \"encoding\": \"base64\")") }
        let encoding = member("encoding")
        guard encoding == nil || encoding?.string == "utf8" || encoding?.string == "base64" else {
            throw wrong("takes utf8 or base64 as \"encoding\"")
        }
        let address = member("address")
        guard address == nil || address?.kind == .string else { throw wrong("takes a string as \"address\"") }
        let port = member("port")
        guard port == nil || port?.wholeNumber != nil else { throw wrong("takes an integer as \"port\"") }
        let isBase64 = encoding?.string == "base64"
        guard let bytes = data.withString({ isBase64 ? decodeBase64($0) : Array($0) }) ?? nil else {
            throw wrong("has \"data\" that is not base64: the plain alphabet, no blanks, padded with = to groups of four")
        }
        try checkDestination(address?.string, port?.wholeNumber, call, index: index)
        return OutgoingDatagram(bytes, address: address?.string, port: port?.wholeNumber)
    }

    // MARK: Receiving

    /// What one datagram adds to an answer beside its bytes.
    private static let datagramCost = 256

    private static func read(upTo maxCount: Int, from socket: UDPSocket, _ call: Call) throws(Failure) -> [Datagram] {
        // Looks at the count and the state alone.
        _ = try call.run { () throws(SocketError) in try socket.readDatagrams(maxCount: min(maxCount, 0)) }
        var datagrams: [Datagram] = []
        var room = call.session.service.limits.maxData
        while datagrams.count < maxCount {
            let size = socket.pendingDatagramSize
            guard size >= 0 else { break }
            if datagrams.isEmpty { try checkSize(size, call) } else if size + datagramCost > room { break }
            let next = try call.run { () throws(SocketError) in try socket.readDatagrams(maxCount: 1) }
            guard !next.isEmpty else { break }
            datagrams += next
            room -= size + datagramCost
        }
        return datagrams
    }

    private static func checkSize(_ size: Int, _ call: Call) throws(Failure) {
        let limit = call.session.service.limits.maxData
        guard size <= limit else {
            throw .limitReached("""
                The next datagram has \(size) bytes, more than one answer may carry here (\(limit), by --max-output). Take its beginning with \
                maxSize of udpSocket.readDatagram, or pieces of it with socket.read.
                """)
        }
    }

    /// Control characters grow sixfold as text: then base64 is what is sent.
    private static func isTooLongAsText(_ datagrams: [Datagram], limit: Int) -> Bool {
        let bytes = datagrams.reduce(0) { $0 + $1.data.count }
        guard bytes > limit / 8 else { return false }
        return datagrams.reduce(0) { sum, datagram in sum + datagram.data.withUnsafeBytes { quotedSize($0) } } > limit
    }
}
