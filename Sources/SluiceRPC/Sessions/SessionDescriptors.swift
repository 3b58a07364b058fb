import Glibc
import Sluice

/// Native descriptors that come from the client, go to it, or are held for it.
extension Session {
    /// Which descriptor a call means.
    enum Claim {
        /// It came with the bytes, and was for this call alone.
        case received(Int32)
        /// The session holds it under this number.
        case held(Int32, number: Int)
        /// The sidecar has inherited it.
        case inherited(Int32)
        /// The service manager has passed it to the sidecar.
        case activated(Int32)

        var descriptor: Int32 {
            switch self {
            case .received(let descriptor), .held(let descriptor, _), .inherited(let descriptor), .activated(let descriptor): descriptor
            }
        }
    }

    /// A descriptor came with the bytes of a message.
    func received(_ descriptor: Int32) {
        guard receivedDescriptors.count < Limits.maxDescriptors, phase == .serving else {
            service.close(descriptor)
            refuse(.limitReached("More than \(Limits.maxDescriptors) descriptors came that no setDescriptor has asked for; this one was closed."))
            return
        }
        receivedDescriptors.append(descriptor)
    }

    /// The descriptor that a call means by this number: one that is held; else the oldest that came over the Unix socket; else one that
    /// the service manager has passed or, over standard input, one that the sidecar has inherited.
    func claimDescriptor(_ number: Int) throws(Failure) -> Claim {
        if HeldDescriptors.isNumber(number) {
            guard let descriptor = heldDescriptors[number] else {
                throw .invalidArgument("There is no descriptor \(number): it was used, or never told by server.incomingConnection of this client")
            }
            return .held(descriptor, number: number)
        }
        if !receivedDescriptors.isEmpty { return .received(receivedDescriptors.removeFirst()) }
        if let activated = service.activated.first(where: { Int($0.number) == number }) { return .activated(activated.number) }
        guard inheritsDescriptors else {
            throw .invalidArgument(
                "No descriptor came with the message: send it along with the request's bytes (SCM_RIGHTS). A number means nothing here.")
        }
        guard let descriptor = Int32(exactly: number), descriptor >= 0 else {
            throw .invalidArgument("\(number) is no descriptor")
        }
        // What was inherited is not close-on-exec; all that the sidecar itself has is.
        let flags = fcntl(descriptor, F_GETFD)
        guard descriptor > 2, flags >= 0, flags & FD_CLOEXEC == 0 else {
            throw .invalidArgument("The sidecar has not inherited a descriptor \(descriptor): start it with one, or use a Unix socket and SCM_RIGHTS")
        }
        return .inherited(descriptor)
    }

    /// The claimed descriptor belongs to something of the core now.
    func noteTaken(_ claim: Claim) {
        switch claim {
        case .held(_, let number): forgetHeld(number)
        case .activated(let descriptor): service.noteTaken(activated: descriptor)
        case .received, .inherited: break
        }
    }

    /// The core has made itself a duplicate.
    func noteCopied(_ claim: Claim) {
        switch claim {
        case .received(let descriptor): service.close(descriptor)
        case .held(let descriptor, let number):
            service.close(descriptor)
            forgetHeld(number)
        case .inherited, .activated: break
        }
    }

    /// Nobody has taken it: what came for a call that failed is closed, the rest stays what it was.
    func noteRefused(_ claim: Claim) {
        if case .received(let descriptor) = claim { service.close(descriptor) }
    }

    // MARK: Held

    var holdsManyDescriptors: Bool { heldDescriptors.count >= service.limits.maxHandles }

    /// Holds a connection that a server has accepted, and tells the client its number. When the client holds as many as it
    /// may, its servers accept no more until it has used some.
    func hold(_ descriptor: Int32, from entry: HandleEntry) {
        guard phase < .finishing, entry.subscribed.contains(EventMask(.incomingConnection)) else {
            service.close(descriptor)
            return
        }
        // A wait for a connection makes even a paused server accept.
        guard !holdsManyDescriptors else {
            service.close(descriptor)
            let error = SocketError(
                .limitReached,
                "This client holds \(heldDescriptors.count) descriptors that it has not used (--max-handles); the connection was closed.")
            tell(.acceptError(error), from: entry.source)
            return
        }
        tellIncoming(heldDescriptors.add(descriptor), from: entry.source)
        if holdsManyDescriptors { pauseServers(true) }
    }

    private func forgetHeld(_ number: Int) {
        heldDescriptors.remove(number)
        if heldDescriptors.count == service.limits.maxHandles - 1 { pauseServers(false) }
    }

    private func pauseServers(_ paused: Bool) {
        for entry in handles.values where entry.givesDescriptors { entry.pauseForLimit(paused) }
    }
}
