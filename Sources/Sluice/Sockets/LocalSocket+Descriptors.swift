import CLinux
import Glibc

/// Descriptors on their way beside the bytes of a local socket (SCM_RIGHTS of unix(7)).
final class DescriptorPassing {
    /// How many may wait to be taken: whoever connects could fill this process's table with more.
    static let mostWaiting = 16

    /// Our duplicates of what is to be sent, each with the number of unsent bytes before the byte that it travels with.
    fileprivate var outgoing: [(descriptor: Int32, bytesBefore: Int)] = []
    fileprivate var incoming: [Int32] = []
    /// Came while too many waited, and were closed.
    fileprivate var wereLost = false

    deinit {
        closeOutgoing()
        closeIncoming()
    }

    fileprivate func closeOutgoing() {
        for (descriptor, _) in outgoing { System.close(descriptor) }
        outgoing = []
    }

    fileprivate func closeIncoming() {
        for descriptor in incoming { System.close(descriptor) }
        incoming = []
        wereLost = false
    }
}

extension LocalSocket {
    private var passing: DescriptorPassing {
        if let existing = details.descriptors { return existing }
        let fresh = DescriptorPassing()
        details.descriptors = fresh
        return fresh
    }

    /// Sends a descriptor to the peer, which gets a duplicate: it travels with the next byte that is written after this call.
    /// The caller's own stays the caller's and may be closed at once. Descriptors for which no byte is written are not sent.
    public func sendDescriptor(_ descriptor: Int32) throws(SocketError) {
        guard isWritable, state == .connected || state == .connecting, !flags.contains(.writeFinishing) else {
            throw SocketError(.operation, "The socket is not connected, or not open for writing")
        }
        guard !flags.contains(.hasTransport) else { throw SocketError(.unsupportedSocketOperation, "A transport carries bytes alone") }
        guard passing.outgoing.count < Int(CLINUX_MAX_DESCRIPTORS) else {
            throw SocketError(.limitReached, "\(passing.outgoing.count) descriptors wait for a byte to travel with: write first")
        }
        guard gatheredCount == 0 || queueForWriting() != nil else {
            throw SocketError(.outOfMemory, "There is no memory to queue what was written")
        }
        do throws(SystemError) {
            let duplicate = try System.duplicate(descriptor)
            passing.outgoing.append((duplicate.release(), bytesToWrite))
            flags.insert(.descriptorsToSend)
        } catch {
            guard error.number != EBADF else { throw SocketError(.invalidArgument, "\(descriptor) is not an open descriptor") }
            throw SocketError.from(error)
        }
    }

    /// The descriptor that came first and has not been taken yet, or -1 when none has come. It is the caller's from now on, and
    /// close-on-exec. At most 16 wait to be taken: when more came, they were closed, and LimitReached says so once.
    public func receiveDescriptor() throws(SocketError) -> Int32 {
        guard let passing = existingDetails?.descriptors else { return -1 }
        guard passing.incoming.isEmpty else { return passing.incoming.removeFirst() }
        guard !passing.wereLost else {
            passing.wereLost = false
            throw SocketError(
                .limitReached, "Descriptors were lost: no more than \(DescriptorPassing.mostWaiting) can wait to be taken, and the process needs room for them")
        }
        return -1
    }

    var hasUntakenDescriptors: Bool { existingDetails?.descriptors?.incoming.isEmpty == false }

    /// recv(2), and what comes beside the bytes. The system ends a read where descriptors came, whatever is behind.
    func receiveWithDescriptors(_ place: UnsafeMutableRawPointer, _ room: Int, waiting: Bool) -> Int {
        let capacity = DescriptorPassing.mostWaiting
        return withUnsafeTemporaryAllocation(of: Int32.self, capacity: capacity) { buffer in
            let free = capacity - (existingDetails?.descriptors?.incoming.count ?? 0)
            let places = UnsafeMutableBufferPointer(rebasing: buffer.prefix(max(0, free)))
            let (result, came, lost) = System.receive(rawDescriptor, place, room, descriptors: places, waiting: waiting)
            guard came > 0 || lost else {
                flags.remove(.stoppedAtDescriptor)
                return result
            }
            flags.insert(.stoppedAtDescriptor)
            passing.incoming.append(contentsOf: places.prefix(came))
            if lost { passing.wereLost = true }
            return result
        }
    }

    /// Sends up to the next byte that a descriptor travels with, or that byte and the descriptor.
    func sendQueueWithDescriptors(_ queue: WriteQueue) -> (sent: Int, complete: Bool) {
        guard let passing = existingDetails?.descriptors, let next = passing.outgoing.first?.bytesBefore else {
            return queue.send(to: rawDescriptor)
        }
        let here = next > 0 ? [] : passing.outgoing.prefix { $0.bytesBefore == 0 }.map(\.descriptor)
        let following = passing.outgoing.first { $0.bytesBefore > 0 }?.bytesBefore ?? .max
        let sent = queue.offer { piece in
            let part = UnsafeRawBufferPointer(rebasing: piece.prefix(following))
            guard !here.isEmpty else { return part.baseAddress.map { System.send(rawDescriptor, $0, part.count) } ?? 0 }
            return System.sendDescriptors(rawDescriptor, part, here)
        }
        guard sent > 0 else { return (sent, sent == 0) }
        queue.consume(sent)
        here.forEach(System.close)
        passing.outgoing.removeFirst(here.count)
        for index in passing.outgoing.indices { passing.outgoing[index].bytesBefore -= sent }
        if passing.outgoing.isEmpty { flags.remove(.descriptorsToSend) }
        return (sent, true)
    }

    func dropUntakenDescriptors() { existingDetails?.descriptors?.closeIncoming() }

    func dropUnsentDescriptors() {
        existingDetails?.descriptors?.closeOutgoing()
        flags.remove(.descriptorsToSend)
    }
}
