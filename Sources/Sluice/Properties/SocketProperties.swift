/// The properties of sockets: one table for each kind, made of the same rows.
enum SocketProperties {
    static let tcp = PropertyTable(owner: "A TcpSocket", properties: connecting + common + internetOptions + halfOpen + live)
    static let tls = PropertyTable(owner: "A TlsSocket", properties: connecting + common + internetOptions + halfOpen + live)
    static let udp = PropertyTable(owner: "A UdpSocket", properties: connecting + common + internetOptions + live)
    static let local = PropertyTable(owner: "A LocalSocket", properties: localConnecting + common + bufferOptions + halfOpen + live)

    static func table(of kind: ObjectKind) -> PropertyTable<Socket> {
        switch kind {
        case .udpSocket: udp
        case .localSocket: local
        case .tlsSocket: tls
        default: tcp
        }
    }

    private typealias Row = Property<Socket>
    private static let timeLimit = PropertyType.integer(-1...Int(Int32.max))
    private static let size = PropertyType.integer(0...Int.max)
    static let nameLimit = 1024

    // MARK: Connecting by itself

    private static let autoConnect = [
        Row(
            name: "autoConnect", type: .boolean, get: { .boolean($0.autoConnect?.isEnabled ?? true) },
            set: { socket, value in socket.model.autoConnect.isEnabled = value.boolean ?? true }, role: .target),
        Row(
            name: "reconnectDelay", type: .reconnectDelay, get: { ($0.autoConnect?.delay ?? ReconnectDelay()).value },
            set: { socket, value throws(SocketError) in
                socket.model.autoConnect.delay = try ReconnectDelay(value, over: socket.autoConnect?.delay ?? ReconnectDelay())
            },
            check: { socket, value throws(SocketError) in
                _ = try ReconnectDelay(value, over: socket.autoConnect?.delay ?? ReconnectDelay())
            }),
    ]

    private static let connecting = [
        Row(
            name: "hostname", type: .text(limit: nameLimit), get: { .text($0.autoConnect?.target.host ?? "") },
            set: { socket, value in socket.model.autoConnect.target.host = value.text ?? "" }, role: .target),
        Row(
            name: "port", type: .integer(-1...65535), get: { .integer($0.autoConnect?.target.port ?? -1) },
            set: { socket, value in socket.model.autoConnect.target.port = value.integer ?? -1 },
            check: { _, value throws(SocketError) in
                guard value != .integer(0) else { throw SocketError(.invalidArgument, "Port 0 cannot be connected to; -1 is none") }
            }, role: .target),
        Row(
            name: "protocol", type: .networkProtocol, get: { .text(($0.autoConnect?.target.protocol ?? .any).name) },
            set: { socket, value in socket.model.autoConnect.target.protocol = NetworkProtocol(property: value) ?? .any }, role: .target),
        Row(
            name: "proxyTimeout", type: timeLimit, get: { .integer($0.proxyTimeout) },
            set: { socket, value throws(SocketError) in try socket.setProxyTimeout(value.integer ?? -1) }),
    ] + autoConnect

    private static let localConnecting = [
        Row(
            name: "serverName", type: .text(limit: nameLimit),
            get: { socket in
                if let name = socket.autoConnect?.target.host, !name.isEmpty { return .text(name) }
                return .text((socket as? LocalSocket)?.serverName ?? "")
            },
            set: { socket, value in socket.model.autoConnect.target.host = value.text ?? "" },
            setting: { .text($0.autoConnect?.target.host ?? "") }, role: .target),
    ] + autoConnect

    // MARK: What all have

    private static let common = [
        Row(
            name: "objectId", type: .text(limit: 255), get: { .text($0.objectId) },
            set: { socket, value throws(SocketError) in try socket.setObjectId(value.text ?? "") },
            check: { socket, value throws(SocketError) in try socket.checkObjectId(value.text ?? "") }),
        Row(
            name: "connectTimeout", type: timeLimit, get: { .integer($0.connectTimeout) },
            set: { socket, value throws(SocketError) in try socket.setConnectTimeout(value.integer ?? -1) }),
        Row(
            name: "closeTimeout", type: timeLimit, get: { .integer($0.closeTimeout) },
            set: { socket, value throws(SocketError) in try socket.setCloseTimeout(value.integer ?? -1) }),
        Row(
            name: "idleTimeout", type: .integer(0...Int(Int32.max)), get: { .integer($0.idleTimeout) },
            set: { socket, value throws(SocketError) in try socket.setIdleTimeout(value.integer ?? 0) }),
        Row(
            name: "readBufferSize", type: size, get: { .integer($0.readBufferSize) },
            set: { socket, value throws(SocketError) in try socket.setReadBufferSize(value.integer ?? 0) }),
        Row(
            name: "writeBufferSize", type: size, get: { .integer($0.writeBufferSize) },
            set: { socket, value throws(SocketError) in try socket.setWriteBufferSize(value.integer ?? 0) }),
    ]

    private static let halfOpen = [
        Row(
            name: "allowHalfOpen", type: .boolean, get: { .boolean($0.allowHalfOpen) },
            set: { socket, value in socket.allowHalfOpen = value.boolean ?? false }),
    ]

    // MARK: Native options

    private static let bufferOptions = [
        systemSize("sendBufferSize", .sendBufferSize), systemSize("receiveBufferSize", .receiveBufferSize),
    ]

    private static let internetOptions = [
        option("keepAlive", .keepAlive), option("lowDelay", .lowDelay), option("typeOfService", .typeOfService),
        // What the system does without being told is not the documented default of these two.
        option("multicastLoopback", .multicastLoopback, systemDiffers: true),
        option("multicastTtl", .multicastTtl, systemDiffers: true), systemSize("pathMtu", .pathMtu),
    ] + bufferOptions

    /// Shown as it was set before there is a descriptor, as the system tells it afterwards.
    private static func option(_ name: String, _ option: SocketOption, systemDiffers: Bool = false) -> Property<Socket> {
        let isSwitch = option.isSwitch
        let type = isSwitch ? PropertyType.boolean : .integer(option.range ?? 0...0)
        @Sendable func number(_ value: PropertyValue) -> Int? { value.integer ?? value.boolean.map { $0 ? 1 : 0 } }
        @Sendable func value(_ number: Int) -> PropertyValue { isSwitch ? .boolean(number != 0) : .integer(number) }
        return Property(
            name: name, type: type, get: { value($0.optionInForce(option)) },
            set: { socket, new throws(SocketError) in
                if let number = number(new) { try socket.setOption(option, number) } else { socket.forgetOption(option) }
            },
            check: { socket, new throws(SocketError) in
                if let number = number(new) { try option.check(number, for: socket.socketType) }
            },
            setting: { socket in
                if let set = socket.optionSetting(option) { return value(set) }
                return systemDiffers && socket.socketType == .udp ? .null : value(0)
            }, takesNull: true, role: .option)
    }

    /// 0 leaves it to the system.
    private static func systemSize(_ name: String, _ option: SocketOption) -> Property<Socket> {
        Property(
            name: name, type: .integer(0...Int(Int32.max)), get: { .integer($0.optionInForce(option)) },
            set: { socket, new throws(SocketError) in
                if let size = new.integer, size > 0 { try socket.setOption(option, size) } else { socket.forgetOption(option) }
            },
            check: { socket, new throws(SocketError) in try option.check(new.integer ?? 0, for: socket.socketType) },
            setting: { .integer($0.optionSetting(option) ?? 0) }, takesNull: true, role: .option)
    }

    // MARK: What can only be read

    private static let live = [
        Row(name: "state", type: .state, get: { .text($0.state.name) }, role: .live),
        Row(name: "error", type: .error, get: { .text($0.error.name) }, role: .live),
        Row(name: "errorString", type: .text(limit: .max), get: { .text($0.errorString) }, role: .live),
        Row(name: "bytesAvailable", type: size, get: { .integer($0.bytesHeld) }, role: .live),
        Row(name: "bytesToWrite", type: size, get: { .integer($0.bytesToWrite) }, role: .live),
        Row(name: "canReadLine", type: .boolean, get: { .boolean($0.canReadLine) }, role: .live),
        Row(name: "atEnd", type: .boolean, get: { .boolean($0.atEnd) }, role: .live),
        Row(name: "isOpen", type: .boolean, get: { .boolean($0.isOpen) }, role: .live),
        Row(name: "isReadable", type: .boolean, get: { .boolean($0.isReadable) }, role: .live),
        Row(name: "isWritable", type: .boolean, get: { .boolean($0.isWritable) }, role: .live),
    ]
}

extension Socket {
    /// What the system says while there is a descriptor, what was set before; 0 where neither is known.
    fileprivate func optionInForce(_ option: SocketOption) -> Int {
        if descriptor >= 0, let value = try? self.option(option) { return value }
        return optionSetting(option) ?? 0
    }

    fileprivate func optionSetting(_ option: SocketOption) -> Int? {
        existingDetails?.options.first { $0.option == option }?.value
    }

    /// The next descriptor gets what the system gives it; this one keeps what it has.
    fileprivate func forgetOption(_ option: SocketOption) { existingDetails?.options.removeAll { $0.option == option } }
}
