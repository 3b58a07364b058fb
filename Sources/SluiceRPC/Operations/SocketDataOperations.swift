import Sluice

extension OperationTable {
    private static let maxSize = Parameter("maxSize", .integer(nil), "At most so many bytes.")
    private static let byte = Parameter("byte", .integer(0...255), "The byte.")

    /// Reading and writing.
    static let socketDataOperations: [Operation] = [
        Operation(
            "socket.read", "Takes at most so many of the bytes that are there; none when nothing is.", [.handle, maxSize, .encoding], .data,
            errors: [.operation]
        ) { call throws(Failure) in
            let size = min(try call.integer("maxSize"), call.session.service.limits.maxData)
            return try bytes(call) { socket throws(SocketError) in try socket.read(maxSize: size) }
        },
        Operation(
            "socket.readAll", "Takes all the bytes that are there.", [.handle, .encoding], .data, errors: [.operation]
        ) { call throws(Failure) in
            try checkSize(try call.socket().bytesAvailable, call, "socket.read")
            return try bytes(call) { socket throws(SocketError) in try socket.readAll() }
        },
        Operation(
            "socket.readLine", "Takes a line with its newline; without one, what is there.",
            [.handle, Parameter("maxSize", .integer(nil), "At most so many bytes; 0 is no limit.", .integer(0)), .encoding],
            .data, errors: [.operation]
        ) { call throws(Failure) in
            let size = try call.integer("maxSize")
            if size >= 0 { try checkSize(try call.socket().lineLength(maxSize: size), call, "maxSize") }
            return try bytes(call) { socket throws(SocketError) in try socket.readLine(maxSize: size) }
        },
        Operation(
            "socket.peek", "As socket.read, but the bytes stay.", [.handle, maxSize, .encoding], .data, errors: [.operation]
        ) { call throws(Failure) in
            let size = min(try call.integer("maxSize"), call.session.service.limits.maxData)
            return try bytes(call, isRead: false) { socket throws(SocketError) in try socket.peek(maxSize: size) }
        },
        Operation(
            "socket.peekAll", "As socket.readAll, but the bytes stay.", [.handle, .encoding], .data, errors: [.operation]
        ) { call throws(Failure) in
            try checkSize(try call.socket().bytesAvailable, call, "socket.peek")
            return try bytes(call, isRead: false) { socket throws(SocketError) in try socket.peekAll() }
        },
        Operation(
            "socket.skip", "Drops at most so many of the bytes that are there.", [.handle, maxSize],
            .integer("How many were dropped."), errors: [.operation]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let size = try call.integer("maxSize")
            let skipped = try call.run { () throws(SocketError) in try socket.skip(size) }
            try call.entry().didRead(something: skipped > 0)
            return .integer(skipped)
        },
        Operation("socket.getChar", "Takes one byte.", [.handle], .byteOrNull, errors: [.operation]) { call throws(Failure) in
            let socket = try call.socket()
            let byte = try call.run { () throws(SocketError) in try socket.getChar() }
            try call.entry().didRead(something: byte != nil)
            return byte.map { .integer(Int($0)) } ?? .null
        },
        Operation("socket.putChar", "Writes one byte.", [.handle, byte], errors: [.operation]) { call throws(Failure) in
            let socket = try call.socket()
            let byte = UInt8(truncatingIfNeeded: try call.integer("byte"))
            try call.run { () throws(SocketError) in try socket.putChar(byte) }
            return .null
        },
        Operation("socket.ungetChar", "Puts one byte in front of what can be read.", [.handle, byte], errors: [.operation]) { call throws(Failure) in
            let socket = try call.socket()
            let byte = UInt8(truncatingIfNeeded: try call.integer("byte"))
            try call.run { () throws(SocketError) in try socket.ungetChar(byte) }
            return .null
        },
        Operation(
            "socket.write", "Queues bytes and never waits; also before the socket is connected. Without a writeBufferSize it takes all.",
            [
                .handle,
                Parameter("data", .data, "Text, or base64 if the encoding says so."),
                Parameter("encoding", .choice(["utf8", "base64"]), "What data is.", .text("utf8")),
            ], .integer("How many bytes were taken."), errors: [.operation, .remoteHostClosed]
        ) { call throws(Failure) in
            let socket = try call.socket()
            return .integer(try call.withData { bytes throws(SocketError) in try socket.write(bytes) })
        },
        Operation(
            "socket.flush", "Sends what the system takes now.", [.handle], .boolean
        ) { call throws(Failure) in
            .boolean(try call.socket().flush())
        },
        Operation(
            "socket.setDelivery",
            """
                How received bytes come: pull (they are asked for), push (each piece, of a UDP socket each datagram, is an event \
                socket.data), or lines (each line is an event socket.line; not of UDP sockets). A client that lags behind holds \
                the peer back; datagrams are then dropped by the system.
                """,
            [
                .handle,
                Parameter("delivery", .choice(Delivery.allCases.map(\.rawValue)), "The way from now on."),
                Parameter(
                    "encoding", .choice(["utf8", "base64"]), "How the events' data comes: as base64 always, or as text where it is valid UTF-8.",
                    .text("utf8")),
            ]
        ) { call throws(Failure) in
            let socket = try call.socket()
            let entry = try call.entry()
            let delivery = Delivery(rawValue: try call.text("delivery")) ?? .pull
            let base64 = try call.isBase64
            guard delivery != .lines || !(socket is UDPSocket) else {
                throw .unsupported("Datagrams are delivered whole, not by line: use \"push\", one event socket.data for each")
            }
            guard delivery == .pull || !entry.isRelayed else {
                throw Failure(SocketError(.operation, "A relay moves this socket's data: end it first (handle.destroy), or wait for relay.finished"))
            }
            try call.run { () throws(SocketError) in try call.session.setDelivery(delivery, base64: base64, for: entry) }
            return .null
        },
    ]

    private static func bytes(_ call: Call, isRead: Bool = true, _ read: (Socket) throws(SocketError) -> [UInt8]) throws(Failure) -> Reply {
        let socket = try call.socket()
        let isBase64 = try call.isBase64
        let bytes = try call.run { () throws(SocketError) in try read(socket) }
        if isRead { try call.entry().didRead(something: !bytes.isEmpty) }
        // Control characters grow sixfold as text; where base64 alone stays within the limits it is what is sent.
        if !isBase64, bytes.count > 1 << 16, bytes.withUnsafeBytes({ quotedSize($0) }) > call.session.service.limits.maxOutput / 2 {
            return .data(bytes, asBase64: true)
        }
        return .data(bytes, asBase64: isBase64)
    }

    private static func checkSize(_ size: Int, _ call: Call, _ instead: StaticString) throws(Failure) {
        let limit = call.session.service.limits.maxData
        guard size <= limit else {
            throw .limitReached("""
                \(size) bytes are more than one answer may carry here (\(limit), by --max-output). Take them in pieces, with \
                \(instead).
                """)
        }
    }
}
