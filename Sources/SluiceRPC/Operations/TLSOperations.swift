import Sluice

extension OperationTable {
    private static let configuration: StaticString = """
        {certificateAuthorities, certificate, privateKey, passphrase, verifyMode (auto, peer, query, none), verifyName, alpn (a list), \
        minimumVersion (TLSv1.2, TLSv1.3), ciphers, sessionTicket}: what is left out is not set. Certificates and keys are PEM text or \
        the path of a file.
        """
    private static let shownConfiguration: StaticString = "The members of tlsSocket.setConfiguration but privateKey and passphrase; null is not set."
    private static let tlsErrors: [SocketError.Code] = [.sslHandshakeFailed, .sslInvalidUserData, .sslInternal, .operation]

    /// What encrypted sockets have beside what all sockets have.
    static let tlsOperations: [Operation] = [
        Operation(
            "tlsSocket.create", "Makes a TLS socket: Unconnected, without a descriptor.",
            [Parameter("properties", .object, "Properties to set, as in socket.setProperties.", .optional)], .handle, errors: [.socketResource]
        ) { call throws(Failure) in
            try Properties.create(TLSSocket(loop: call.session.service.loop), call)
        },
        Operation(
            "tlsSocket.configuration", "The configuration, without its secrets.", [.handle], .anything(shownConfiguration)
        ) { call throws(Failure) in
            Reply(try call.tlsSocket().configuration)
        },
        Operation(
            "tlsSocket.setConfiguration", "Sets the configuration of the next encryption. What is wrong with it is told at once.",
            [.handle, Parameter("configuration", .object, configuration)], errors: [.sslInvalidUserData, .operation]
        ) { call throws(Failure) in
            let socket = try call.tlsSocket()
            let configuration = try tlsConfiguration(try call.value("configuration"))
            try call.run { () throws(SocketError) in try socket.setConfiguration(configuration) }
            return .null
        },
        Operation(
            "tlsSocket.connectToHostEncrypted",
            """
                As socket.connectToHost, and then the handshake: the outcome is the event encrypted or errorOccurred, and what \
                tlsSocket.waitForEncrypted answers. The peer's certificate is verified for this host.
                """,
            OperationTable.connectParameters, errors: OperationTable.connectErrors + [.sslHandshakeFailed, .sslInvalidUserData]
        ) { call throws(Failure) in
            let socket = try call.tlsSocket()
            try call.connect { host, port, mode, networkProtocol throws(SocketError) in
                try socket.connectToHostEncrypted(host, port: port, openMode: mode, protocol: networkProtocol)
            }
            return .null
        },
        Operation(
            "tlsSocket.startClientEncryption", "Begins the handshake, as the client, on a connection that stands.", [.handle], errors: tlsErrors
        ) { call throws(Failure) in
            let socket = try call.tlsSocket()
            try call.run { () throws(SocketError) in try socket.startClientEncryption() }
            return .null
        },
        Operation(
            "tlsSocket.startServerEncryption", "Begins the handshake, as the server, on a connection that stands.", [.handle], errors: tlsErrors
        ) { call throws(Failure) in
            let socket = try call.tlsSocket()
            try call.run { () throws(SocketError) in try socket.startServerEncryption() }
            return .null
        },
        wait(
            "tlsSocket.waitForEncrypted", "Answers when the connection is encrypted (true), or cannot be or was not in time (false).", .encrypted
        ) { call throws(Failure) in try call.tlsSocket() },
        get("tlsSocket.isEncrypted", "Whether the connection is encrypted.", .boolean) { .boolean($0.isEncrypted) },
        get("tlsSocket.sessionProtocol", "The version that is spoken, such as TLSv1.3.", .text("Empty when there is none.")) {
            .text($0.sessionProtocol)
        },
        get("tlsSocket.sessionCipher", "The cipher suite in use.", .text("Empty when there is none.")) { .text($0.sessionCipher) },
        get("tlsSocket.negotiatedProtocol", "The protocol over it that both sides agreed on (ALPN).", .text("Empty when there is none.")) {
            .text($0.negotiatedProtocol)
        },
        get("tlsSocket.isSessionResumed", "Whether the handshake was a short one, by a session ticket.", .boolean) { .boolean($0.isSessionResumed) },
        get(
            "tlsSocket.sessionTicket", "What to put into the configuration of the next connection to this server. It holds secrets.",
            .text("Empty when there is none.")
        ) {
            .text($0.sessionTicket)
        },
        get("tlsSocket.peerCertificate", "The peer's certificate.", .anything("""
            {pem, subject, issuer, commonName, serialNumber, validFrom, validUntil, subjectAlternativeNames, fingerprint, isSelfSigned}, or null.
            """)) { $0.peerCertificate.map { Reply($0) } ?? .null },
        get("tlsSocket.peerCertificateChain", "The peer's certificate and those that vouch for it.", .anything("A list of certificates.")) {
            .list($0.peerCertificateChain.map { Reply($0) })
        },
        get("tlsSocket.sslErrors", "What is wrong with the peer's certificate.", .anything("A list of {error, message, depth}.")) {
            .list($0.sslErrors.map { Reply($0) })
        },
        Operation(
            "tlsSocket.ignoreErrors", "Has the handshake go on in spite of errors of the certificate.",
            [.handle, Parameter("errors", .list(TLSError.Code.allCases.map(\.name)), "Only these; left out: all; an empty list: none.", .optional)]
        ) { call throws(Failure) in
            let socket = try call.tlsSocket()
            let errors = try call.value("errors").map { list in (0..<list.count).compactMap { list[$0]?.string.flatMap { TLSError.Code(name: $0) } } }
            socket.ignoreErrors(errors)
            return .null
        },
        Operation(
            "server.tlsConfiguration", "The configuration of a server whose connections are encrypted, without its secrets.", [.handle],
            .anything("As tlsSocket.configuration; null when they are not.")
        ) { call throws(Failure) in
            try call.server().tlsConfiguration.map { Reply($0) } ?? .null
        },
        Operation(
            "server.setTlsConfiguration",
            "Has the server encrypt the connections that it accepts from now on; they are TLS sockets then.",
            [.handle, Parameter("configuration", .object, "As in tlsSocket.setConfiguration; left out or null: plain connections.", .optional)],
            errors: [.sslInvalidUserData]
        ) { call throws(Failure) in
            let server = try call.server()
            let configuration = try call.isGiven("configuration") ? try tlsConfiguration(try call.value("configuration")) : nil
            try call.run { () throws(SocketError) in try server.setTLSConfiguration(configuration) }
            return .null
        },
    ]

    private static func get(
        _ name: StaticString, _ summary: StaticString, _ result: ResultType, _ get: @escaping @Sendable (TLSSocket) -> Reply
    ) -> Operation {
        Operation(name, summary, [.handle], result) { call throws(Failure) in get(try call.tlsSocket()) }
    }

    /// The configuration that an object means.
    private static func tlsConfiguration(_ json: JSON?) throws(Failure) -> TLSConfiguration {
        var result = TLSConfiguration()
        let members = Members(json, parameter: "configuration")
        try members.check([
            "certificateAuthorities", "certificate", "privateKey", "passphrase", "verifyMode", "verifyName", "alpn", "minimumVersion", "ciphers",
            "sessionTicket",
        ])
        result.certificateAuthorities = try members.text("certificateAuthorities") ?? ""
        result.certificate = try members.text("certificate") ?? ""
        result.privateKey = try members.text("privateKey") ?? ""
        result.passphrase = try members.text("passphrase") ?? ""
        result.verifyName = try members.text("verifyName") ?? ""
        result.ciphers = try members.text("ciphers") ?? ""
        result.sessionTicket = try members.text("sessionTicket") ?? ""
        result.alpn = try members.texts("alpn") ?? []
        result.verifyMode = try members.named("verifyMode") ?? result.verifyMode
        result.minimumVersion = try members.named("minimumVersion") ?? result.minimumVersion
        return result
    }
}

extension Reply {
    /// Without what must not be told.
    fileprivate init(_ configuration: TLSConfiguration) {
        self = .object([
            ("certificateAuthorities", .textOrNull(configuration.certificateAuthorities)), ("certificate", .textOrNull(configuration.certificate)),
            ("verifyMode", .text(configuration.verifyMode.name)), ("verifyName", .textOrNull(configuration.verifyName)),
            ("alpn", .list(configuration.alpn.map { .text($0) })), ("minimumVersion", .text(configuration.minimumVersion.name)),
            ("ciphers", .textOrNull(configuration.ciphers)), ("sessionTicket", .textOrNull(configuration.sessionTicket)),
        ])
    }

    fileprivate init(_ certificate: TLSCertificate) {
        self = .object([
            ("pem", .text(certificate.pem)), ("subject", .text(certificate.subject)), ("issuer", .text(certificate.issuer)),
            ("commonName", .text(certificate.commonName)), ("serialNumber", .text(certificate.serialNumber)),
            ("validFrom", .text(certificate.validFrom.text)), ("validUntil", .text(certificate.validUntil.text)),
            ("subjectAlternativeNames", .list(certificate.subjectAlternativeNames.map { .text($0) })),
            ("fingerprint", .text(certificate.fingerprint)), ("isSelfSigned", .boolean(certificate.isSelfSigned)),
        ])
    }

    init(_ error: TLSError) {
        self = .object([("error", .text(error.name)), ("message", .text(error.message)), ("depth", .integer(error.certificateDepth))])
    }
}
