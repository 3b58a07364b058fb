import CLinux
import COpenSSL
import Glibc

/// One TLS connection: OpenSSL between the socket above and what carries its bytes, a descriptor or another transport.
///
/// OpenSSL never touches the descriptor. What it writes is gathered and leaves in few system calls; what it reads comes by
/// recv(2) that does not wait. Bytes count as sent once the records they are in are with the system.
final class TLSSession: Transport {
    /// Room for what leaves at once, and for one record more.
    static let outputSize = (64 << 10) + recordRoom
    /// The largest record with its header and seal.
    private static let recordRoom = 17 << 10
    static let largestRecord = 16 << 10

    let context: TLSContext
    let ssl: OpaquePointer
    private let descriptor: Int32
    /// The transport that carries our bytes in place of the descriptor.
    let below: (any Transport)?
    /// What the certificate has to be for; "" when no name is asked for.
    let expectedName: String
    var role: TLSContext.Role { context.role }

    /// What came before the encryption began and was not read: the beginning of what the peer sends.
    private var early: [UInt8]
    private var earlyTaken = 0
    /// What was written before the encryption began and leaves as it is.
    private(set) var plainLeft: Int

    /// Encrypted, and not yet with the system.
    private var output: UnsafeMutableRawPointer?
    private var outputStart = 0
    private var outputEnd = 0
    /// How many of the bytes that will be offered next are in `output` already.
    private var ahead = 0

    /// What the last attempt to receive from below said: 0 is the end, below 0 minus errno.
    private var lastReceived = -Int(EAGAIN)
    /// The system had no more when it was asked last, and would have told of more by now.
    private var isDrained = false
    private var isHungUp = false
    /// Anything came, or was sent, once the handshake was over.
    private var hasHeard = false
    private var hasSpoken = false

    /// The handshake is over, and judged.
    private(set) var isEstablished = false
    /// OpenSSL is at work: nothing else may be asked of it.
    private(set) var isBusy = false
    private(set) var isClosed = false
    private(set) var failure: SocketError?
    /// How messages name the peer: " (host:port)".
    let peerSuffix: String

    /// What is wrong with the peer's certificates.
    var errors: [TLSError] = []
    /// The peer's chain while it is being judged: OpenSSL shows it only when it is accepted.
    var presented: [X509Reference] = []
    /// OpenSSL's number for the first of them.
    var firstError: Int32 = X509_V_OK
    var firstUnforgiven: Int32 = X509_V_OK
    /// Whether to go on in spite of the errors; nil while that is open.
    var verdict: Bool?
    /// Judges errors in the midst of a server's handshake.
    var forgives: (TLSError) -> Bool = { _ in false }
    /// Whether somebody wants to be asked, and the handshake can wait for it. A server's cannot: OpenSSL then asks when it is over.
    var isToPause: () -> Bool = { false }
    var judgesAfterwards = false

    nonisolated(unsafe) private static let method = TLSConnector.makeMethod()

    init(
        _ context: TLSContext, descriptor: Int32, below: (any Transport)?, hostName: String, configuration: TLSConfiguration,
        early: [UInt8], plain: Int, peerSuffix: String
    ) throws(SocketError) {
        ERR_clear_error()
        guard let ssl = SSL_new(context.pointer) else { throw SocketError(.outOfMemory, "There is no memory for a TLS connection") }
        self.context = context
        self.ssl = ssl
        self.descriptor = descriptor
        self.below = below
        self.early = early
        plainLeft = plain
        self.peerSuffix = peerSuffix
        var name = configuration.verifyName.isEmpty ? hostName : configuration.verifyName
        if name.hasSuffix("."), name.utf8.count > 1 { name.removeLast() }
        if let zone = name.firstIndex(of: "%") { name = String(name[..<zone]) }
        expectedName = name
        guard let bio = BIO_new(Self.method) else { throw SocketError(.outOfMemory, "There is no memory for a TLS connection") }
        BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
        BIO_set_init(bio, 1)
        SSL_set_bio(ssl, bio, bio)
        switch context.role {
        case .client:
            SSL_set_connect_state(ssl)
            try setServerName()
            try setTicket(configuration.sessionTicket)
        case .server:
            SSL_set_accept_state(ssl)
        }
    }

    deinit {
        // So that the session can be resumed: nothing is wrong with it, however the connection ended.
        if isEstablished { SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN) }
        SSL_free(ssl)
        if let output { context.giveOutput(output) }
    }

    /// Asks for the host by name, and has the certificate checked for it.
    private func setServerName() throws(SocketError) {
        guard !expectedName.isEmpty else { return }
        guard !expectedName.utf8.contains(0) else { throw badName() }
        let isAddress = HostAddress(literal: expectedName) != nil
        if !isAddress, copenssl_set_server_name(ssl, expectedName) == 0 { throw badName() }
        guard context.verifyMode != .none else { return }
        let parameters = SSL_get0_param(ssl)
        // What it is for stands in subjectAltName (RFC 9525); "CN" says it no more.
        X509_VERIFY_PARAM_set_hostflags(parameters, UInt32(X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT))
        let result = isAddress
            ? X509_VERIFY_PARAM_set1_ip_asc(parameters, expectedName) : X509_VERIFY_PARAM_set1_host(parameters, expectedName, expectedName.utf8.count)
        guard result == 1 else { throw badName() }
    }

    private func badName() -> SocketError {
        SocketError(.sslInvalidUserData, "\"\(expectedName.abbreviated)\" is not a name that a certificate could be for")
    }

    // MARK: What OpenSSL asks for

    func take(_ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        if earlyTaken < early.count {
            let amount = min(count, early.count - earlyTaken)
            early.withUnsafeBytes { source in
                if let base = source.baseAddress { memcpy(bytes, base + earlyTaken, amount) }
            }
            earlyTaken += amount
            if earlyTaken == early.count {
                early = []
                earlyTaken = 0
            }
            return note(amount)
        }
        if isClosed { return note(-Int(ENOTCONN)) }
        if let below { return note(below.receive(into: UnsafeMutableRawBufferPointer(start: bytes, count: count))) }
        if isDrained { return note(-Int(EAGAIN)) }
        let received = System.recv(descriptor, bytes, count)
        if isEstablished, received > 0 { hasHeard = true }
        // After a short read the system has no more and tells when there is; but an end that is known has still to be seen.
        if received < count, received > 0 || received == -Int(EAGAIN) { isDrained = !isHungUp }
        return note(received)
    }

    private func note(_ received: Int) -> Int {
        lastReceived = received
        return received
    }

    var isAtEnd: Bool { lastReceived == 0 }

    /// How many bytes it took; 0 while there is no room.
    func put(_ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        if output == nil { output = context.takeOutput() }
        guard let output else { return 0 }
        let amount = min(count, Self.outputSize - outputEnd)
        memcpy(output + outputEnd, bytes, amount)
        outputEnd += amount
        return amount
    }

    var hasOutput: Bool { outputEnd > outputStart }

    /// Sends what is encrypted: 0 when all of it is with the system, or minus errno.
    func flush() -> Int {
        while let output, hasOutput {
            if isClosed { return -Int(ENOTCONN) }
            let size = outputEnd - outputStart
            let start = output + outputStart
            let sent = below?.send(UnsafeRawBufferPointer(start: start, count: size)) ?? System.send(descriptor, start, size)
            guard sent > 0 else { return sent == 0 ? -Int(EAGAIN) : sent }
            outputStart += sent
        }
        outputStart = 0
        outputEnd = 0
        if let output {
            self.output = nil
            context.giveOutput(output)
        }
        return 0
    }

    // MARK: The handshake

    enum Step {
        case waiting
        /// Somebody has to say whether the errors are forgiven: `verdict`.
        case judging
        case done
        case failed(SocketError)
    }

    /// Goes on with the handshake as far as it can go now.
    func shakeHands() -> Step {
        guard !isBusy, plainLeft == 0 else { return .waiting }
        while true {
            let pending = flush()
            if pending == -Int(EAGAIN) { return .waiting }
            if pending < 0 { return .failed(handshakeFailure(errno: Int32(clamping: -pending))) }
            if SSL_is_init_finished(ssl) == 1 { return conclude() }
            isBusy = true
            ERR_clear_error()
            let result = SSL_do_handshake(ssl)
            let error = ERR_peek_error()
            let wanted = SSL_want(ssl)
            isBusy = false
            if isClosed { return .waiting }
            if result == 1 { continue }
            switch wanted {
            // What it wants says nothing once there is an error.
            case SSL_WRITING where hasOutput && error == 0: continue
            case SSL_READING where lastReceived == -Int(EAGAIN) && error == 0:
                let sent = flush()
                return sent == 0 || sent == -Int(EAGAIN) ? .waiting : .failed(handshakeFailure(errno: Int32(clamping: -sent)))
            case SSL_RETRY_VERIFY: return .judging
            case SSL_READING where lastReceived < 0 && lastReceived != -Int(EAGAIN):
                return .failed(handshakeFailure(errno: Int32(clamping: -lastReceived)))
            default:
                // What we say about it to the peer.
                _ = flush()
                let reason = isAtEnd ? "the peer ended the connection in the midst of it" : reason(error)
                ERR_clear_error()
                return .failed(SocketError(.sslHandshakeFailed, "The TLS handshake failed: \(reason)\(peerSuffix)"))
            }
        }
    }

    /// The handshake itself is over.
    private func conclude() -> Step {
        if verdict == nil {
            recheckResumed()
            if !errors.isEmpty, context.verifyMode == .peer { return .judging }
        }
        if verdict == false, context.verifyMode == .peer {
            return .failed(SocketError(.sslHandshakeFailed, "The TLS handshake failed: \(reason(0))\(peerSuffix)"))
        }
        isEstablished = true
        return .done
    }

    /// What the verification found says more than OpenSSL's word that it failed.
    private func reason(_ error: UInt) -> String {
        let refused = verdict == false && (error == 0 || copenssl_error_reason(error) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        return refused && !errors.isEmpty ? errors.map(\.message).joined(separator: "; ") : TLSReason.text(error)
    }

    private func handshakeFailure(errno number: Int32) -> SocketError {
        let cause = SocketError.from(errno: number, doing: .read, peer: nil).message
        return SocketError(.sslHandshakeFailed, "The TLS handshake failed: \(cause)\(peerSuffix)", systemError: number)
    }

    // MARK: Transport

    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard isEstablished, !isBusy, let start = buffer.baseAddress else { return -Int(EAGAIN) }
        if hasOutput {
            // What OpenSSL had to say by itself. A broken connection shows when it is read from.
            _ = flush()
        }
        var total = 0
        while total < buffer.count {
            isBusy = true
            if ERR_peek_error() != 0 { ERR_clear_error() }
            let count = SSL_read(ssl, start + total, Int32(clamping: buffer.count - total))
            isBusy = false
            if count > 0 {
                total += Int(count)
                continue
            }
            // What came before an end is given first; the end shows again when it is asked for.
            return total > 0 ? total : readOutcome()
        }
        return total
    }

    private func readOutcome() -> Int {
        let error = ERR_peek_error()
        let wanted = SSL_want(ssl)
        if hasOutput { _ = flush() }
        if error == 0 || lastReceived != -Int(EAGAIN), wanted == SSL_READING, lastReceived < 0 { return lastReceived }
        if error == 0, wanted == SSL_WRITING { return -Int(EAGAIN) }
        if isAtEnd, SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN == 0 {
            failure = SocketError(
                .sslInternal,
                "The connection was cut off: the peer ended it without TLS's close_notify, so bytes may be missing\(peerSuffix)")
            return -Int(EPROTO)
        }
        if error == 0 { return 0 }
        return broken(by: error)
    }

    private func broken(by error: UInt) -> Int {
        let refused = TLSReason.refusesHandshake(error)
        failure = SocketError(
            refused ? .sslHandshakeFailed : .sslInternal,
            (refused ? "The TLS handshake failed: " : "The TLS connection is broken: ") + TLSReason.text(error) + peerSuffix)
        ERR_clear_error()
        return -Int(EPROTO)
    }

    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        if plainLeft > 0 { return sendPlain(bytes) }
        guard isEstablished, !isBusy, let start = bytes.baseAddress else { return -Int(EAGAIN) }
        ahead = min(ahead, bytes.count)
        while ahead < bytes.count, Self.outputSize - outputEnd >= Self.recordRoom {
            isBusy = true
            if ERR_peek_error() != 0 { ERR_clear_error() }
            let count = SSL_write(ssl, start + ahead, Int32(min(bytes.count - ahead, Self.largestRecord)))
            isBusy = false
            guard count > 0 else {
                let error = ERR_peek_error()
                if error != 0 { return broken(by: error) }
                break
            }
            ahead += Int(count)
        }
        let result = flush()
        guard result == 0 else { return result }
        guard ahead > 0 else { return -Int(EAGAIN) }
        hasSpoken = true
        defer { ahead = 0 }
        return ahead
    }

    private func sendPlain(_ bytes: UnsafeRawBufferPointer) -> Int {
        let piece = UnsafeRawBufferPointer(rebasing: bytes.prefix(plainLeft))
        guard let start = piece.baseAddress else { return 0 }
        let sent = below?.send(piece) ?? System.send(descriptor, start, piece.count)
        if sent > 0 { plainLeft -= sent }
        return sent
    }

    /// Tells the peer that nothing more will come (close_notify). The layer below stays open for what the peer still sends.
    func finishSending() -> Int {
        if isEstablished, !isBusy, SSL_get_shutdown(ssl) & SSL_SENT_SHUTDOWN == 0 {
            isBusy = true
            ERR_clear_error()
            _ = SSL_shutdown(ssl)
            ERR_clear_error()
            isBusy = false
        }
        return flush()
    }

    /// Whether closing the descriptor now leaves what was sent alone.
    ///
    /// A TLS 1.3 server sends tickets after the handshake. Where they come to a closed descriptor the system answers with a reset and drops what it
    /// has not sent yet: a client that connects, writes and closes would lose its bytes. It has to hear something first, or
    /// know that all has arrived.
    var isSafeToClose: Bool {
        guard role == .client, below == nil, isEstablished, hasSpoken, !hasHeard, SSL_version(ssl) == TLS1_3_VERSION else { return true }
        let received = withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
            buffer.baseAddress.map { System.recv(descriptor, $0, buffer.count) } ?? 0
        }
        hasHeard = received != -Int(EAGAIN)
        return hasHeard || System.unacknowledged(descriptor) <= 0
    }

    func close() {
        isClosed = true
        below?.close()
    }

    func wait(readable: Bool, writable: Bool, timeout: Int) -> Int {
        if let below { return below.wait(readable: readable || !isEstablished, writable: writable || hasOutput, timeout: timeout) }
        if writable, !hasOutput, plainLeft == 0, isEstablished { return 1 }
        var entry = pollfd(fd: descriptor, events: 0, revents: 0)
        if readable { entry.events |= Int16(POLLIN) | Int16(CLINUX_POLLRDHUP) }
        if hasOutput || plainLeft > 0 { entry.events |= Int16(POLLOUT) }
        // A hang-up is told whether asked for or not: while nothing can be done about it, it must not keep us awake.
        if entry.events == 0, isHungUp { entry.fd = -1 }
        let result = System.poll(&entry, 1, timeoutMilliseconds: Int32(clamping: timeout))
        let found = Int32(entry.revents)
        if result > 0 { note(readiness: found & ~POLLOUT != 0, hungUp: found & (POLLERR | POLLHUP | CLINUX_POLLRDHUP) != 0) }
        return result
    }

    /// The system told of the descriptor.
    func note(readiness readable: Bool, hungUp: Bool) {
        if hungUp { isHungUp = true }
        if readable || hungUp { isDrained = false }
    }
}

extension System {
    /// How many of the bytes that were sent the other end's system has not confirmed (tcp(7)).
    static func unacknowledged(_ descriptor: Int32) -> Int {
        var count: Int32 = 0
        return ioctl(descriptor, UInt(TIOCOUTQ), &count) == 0 ? Int(count) : 0
    }
}
