import CLinux
import Glibc
import Sluice

/// What a channel tells its session.
protocol ChannelHandler: AnyObject {
    func channelReadable()
    func channelWritable()
}

/// The two descriptors over which one client speaks: a socket twice, or standard input and output.
///
/// Inherited descriptors are shared with the parent process, and so are their flags; O_NONBLOCK is therefore never set. That a call
/// cannot block is made sure of call by call: MSG_DONTWAIT for sockets; for pipes poll, and no more than PIPE_BUF at a time, which a
/// writable pipe takes at once; files do not block.
final class Channel {
    enum Intake { case bytes(Int), nothing, end }
    enum Outcome { case done, blocked, broken }
    /// A descriptor that leaves with a certain byte of the output.
    struct Attachment {
        var offset: Int
        let descriptor: Int32
    }

    private enum Kind { case socket, pipe, other }

    private let input: Int32
    private let output: Int32
    private let inputKind: Kind
    private let outputKind: Kind
    /// Descriptors can travel with the bytes (a Unix socket).
    let passesDescriptors: Bool

    private let loop: EventLoop
    /// Held until `close`.
    private var handler: (any ChannelHandler)?
    private var inputWatch: DescriptorWatch?
    private var outputWatch: DescriptorWatch?
    /// Files are always readable and cannot be watched: they are read a piece a turn.
    private var inputTimer: Timer?
    private var inputIsUnwatchable = false
    private var isOpen = true
    /// What the system said when input or output could not go on; 0 if nothing.
    private(set) var failure: Int32 = 0

    /// How much one client may send in one turn before the others get theirs.
    private static let fairShare = 1 << 20
    private static let pipeAtomic = 4096

    /// The descriptors become the channel's own: it closes them.
    init(input: Int32, output: Int32, loop: EventLoop) {
        self.input = input
        self.output = output
        self.loop = loop
        inputKind = Self.kind(of: input)
        outputKind = input == output ? inputKind : Self.kind(of: output)
        passesDescriptors = inputKind == .socket && outputKind == .socket && Self.isUnixSocket(input) && Self.isUnixSocket(output)
    }

    /// An accepted connection of a Unix socket, of which nothing has to be found out.
    init(unixSocket: Int32, loop: EventLoop) {
        input = unixSocket
        output = unixSocket
        self.loop = loop
        inputKind = .socket
        outputKind = .socket
        passesDescriptors = true
    }

    deinit { close() }

    /// Begins to read.
    func start(_ handler: any ChannelHandler) throws(SocketError) {
        self.handler = handler
        do throws(SocketError) {
            inputWatch = try loop.watch(descriptor: input, readable: true, writable: false) { [unowned self] readable, writable in
                ready(readable: readable, writable: writable)
            }
        } catch {
            // Standard input may be a file, /dev/null, or closed.
            guard inputKind == .other else {
                self.handler = nil
                throw error
            }
            inputIsUnwatchable = true
            readInNextTurn()
        }
    }

    func close() {
        guard isOpen else { return }
        isOpen = false
        handler = nil
        stopReading()
        inputWatch?.cancel()
        outputWatch?.cancel()
        inputWatch = nil
        outputWatch = nil
        Glibc.close(input)
        if output != input { Glibc.close(output) }
    }

    /// Whether input and output are one and the same Unix socket.
    var isOneUnixSocket: Bool {
        guard passesDescriptors, input != output else { return passesDescriptors }
        var one = stat()
        var other = stat()
        return fstat(input, &one) == 0 && fstat(output, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino
    }

    /// Gives that socket away: the caller closes it.
    func detach() -> Int32? {
        guard isOpen, isOneUnixSocket else { return nil }
        isOpen = false
        handler = nil
        inputWatch?.cancel()
        outputWatch?.cancel()
        inputWatch = nil
        outputWatch = nil
        if output != input { Glibc.close(output) }
        return input
    }

    // MARK: Reading

    /// One read. Descriptors that came with the bytes are handed to `descriptors`.
    func read(into space: UnsafeMutableRawBufferPointer, descriptors: (Int32) -> Void) -> Intake {
        guard isOpen, let base = space.baseAddress else { return .end }
        while true {
            let count: Int
            if passesDescriptors {
                count = receive(base, space.count, descriptors)
            } else if inputKind == .socket {
                count = recv(input, base, space.count, Int32(MSG_DONTWAIT))
            } else {
                count = Glibc.read(input, base, space.count)
            }
            if count > 0 { return .bytes(count) }
            if count == 0 { return .end }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothing
            default:
                note(errno)
                return .end
            }
        }
    }

    /// Remembers why a call failed, unless it only means that the client is gone.
    private func note(_ number: Int32) {
        if number != EPIPE, number != ECONNRESET { failure = number }
    }

    private func receive(_ base: UnsafeMutableRawPointer, _ size: Int, _ descriptors: (Int32) -> Void) -> Int {
        withUnsafeTemporaryAllocation(of: Int32.self, capacity: Int(CLINUX_MAX_DESCRIPTORS)) { list in
            var received = 0
            var truncated = false
            let count = clinux_receive_descriptors(
                input, base, size, list.baseAddress, list.count, &received, &truncated, Int32(MSG_DONTWAIT))
            let number = errno
            for index in 0..<min(received, list.count) { descriptors(list[index]) }
            errno = number
            return count
        }
    }

    /// After the end of input there is nothing more to read.
    func stopReading() {
        inputTimer?.cancel()
        inputTimer = nil
        guard let watch = inputWatch else { return }
        if inputKind == .socket, output == input, isOpen {
            watch.readable = false
        } else {
            watch.cancel()
            inputWatch = nil
        }
    }

    /// Whether the other end is closed in both directions: nobody reads what is sent any more.
    var isHungUp: Bool {
        guard outputKind != .other else { return false }
        var entry = pollfd(fd: output, events: 0, revents: 0)
        guard poll(&entry, 1, 0) > 0 else { return false }
        return Int32(entry.revents) & Int32(POLLHUP | POLLERR | POLLNVAL) != 0
    }

    private func readInNextTurn() {
        inputTimer = loop.addTimer(after: 0) { [weak self] in
            guard let self, self.isOpen else { return }
            self.inputTimer = nil
            self.handler?.channelReadable()
        }
    }

    /// To be called when a read is done and more is wanted.
    func continueReading() {
        if inputIsUnwatchable, inputTimer == nil, isOpen { readInNextTurn() }
    }

    // MARK: Writing

    /// Sends what goes now. Each attachment leaves with the byte at its offset, and is closed here when it has.
    func write(_ buffer: OutputBuffer, attachments: inout [Attachment]) -> Outcome {
        var budget = Self.fairShare
        while !buffer.isEmpty {
            guard budget > 0 else { return .blocked }
            var size = min(buffer.count, budget)
            var attached: Int32?
            if let next = attachments.first {
                if next.offset <= 0 { attached = next.descriptor } else { size = min(size, next.offset) }
                // The next one needs a message of its own.
                if attached != nil, attachments.count > 1 { size = min(size, max(1, attachments[1].offset)) }
            }
            let sent = buffer.withBytes { writeOnce($0.baseAddress, size, attached) }
            guard sent > 0 else {
                if sent == 0 || errno == EAGAIN { return .blocked }
                note(errno)
                return .broken
            }
            buffer.removeFirst(sent)
            budget -= sent
            if let attached {
                attachments.removeFirst()
                Glibc.close(attached)
            }
            for index in attachments.indices { attachments[index].offset -= sent }
        }
        return .done
    }

    /// The number of bytes that went out, 0 when none can now, -1 on failure.
    private func writeOnce(_ bytes: UnsafeRawPointer?, _ size: Int, _ descriptor: Int32?) -> Int {
        guard isOpen, let bytes else { return -1 }
        while true {
            let count: Int
            switch outputKind {
            case .socket:
                if var descriptor {
                    count = clinux_send_descriptors(output, bytes, size, &descriptor, 1, Int32(MSG_DONTWAIT))
                } else {
                    count = send(output, bytes, size, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
                }
            case .pipe:
                guard isWritable else { return 0 }
                count = Glibc.write(output, bytes, min(size, Self.pipeAtomic))
            case .other:
                count = Glibc.write(output, bytes, size)
            }
            if count < 0, errno == EINTR { continue }
            return count
        }
    }

    private var isWritable: Bool {
        var entry = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        // A pipe whose reader is gone is "ready" too: the write then says so.
        return poll(&entry, 1, 0) > 0
    }

    /// Asks to be told when more can be sent, or no longer.
    func watchWritable(_ wanted: Bool) {
        guard isOpen else { return }
        if output == input {
            inputWatch?.writable = wanted
        } else if wanted, outputWatch == nil {
            outputWatch = try? loop.watch(descriptor: output, readable: false, writable: true) { [unowned self] readable, writable in
                ready(readable: readable, writable: writable)
            }
            // What cannot be watched never blocks; it only had its share of this turn.
            if outputWatch == nil { _ = loop.addTimer(after: 0) { [weak self] in self?.handler?.channelWritable() } }
        } else {
            outputWatch?.writable = wanted
        }
    }

    private func ready(readable: Bool, writable: Bool) {
        guard isOpen else { return }
        if writable { handler?.channelWritable() }
        if readable { handler?.channelReadable() }
    }

    // MARK: Kinds

    private static func kind(of descriptor: Int32) -> Kind {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .other }
        switch status.st_mode & S_IFMT {
        case S_IFSOCK: return .socket
        case S_IFIFO: return .pipe
        default: return isatty(descriptor) == 1 ? .pipe : .other
        }
    }

    private static func isUnixSocket(_ descriptor: Int32) -> Bool {
        var address = sockaddr_storage()
        var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        return result == 0 && Int32(address.ss_family) == AF_UNIX
    }
}
