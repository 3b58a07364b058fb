import Sluice

/// Received bytes that come by themselves: in pieces (`push`) or by line (`lines`).
extension Session {
    /// The most bytes of one piece, and of a line that has no end.
    private static let pieceSize = 64 * 1024

    func setDelivery(_ delivery: Delivery, base64: Bool, for entry: HandleEntry) throws(SocketError) {
        // What is not delivered because the client lags must stay with the sender, not in memory.
        if delivery != .pull, entry.readBufferSize == 0, !(entry.source is UDPSocket) { try entry.setReadBufferSize(Self.pieceSize) }
        entry.delivery = delivery
        entry.deliversBase64 = base64
        if delivery != .pull { deliver(entry) }
    }

    /// Sends what a socket has received. False for an event that the client does not get.
    func preparesDelivery(of event: Event, _ entry: HandleEntry) -> Bool {
        switch event {
        case .readyRead, .lineAvailable:
            deliver(entry)
            return false
        case .readChannelFinished, .disconnected:
            deliver(entry, isEnd: true)
        default:
            break
        }
        return true
    }

    /// Sends what may be sent now. At the end of the stream that is everything, an incomplete line too.
    func deliver(_ entry: HandleEntry, isEnd: Bool = false) {
        guard let socket = entry.socket, phase < .finishing else { return }
        if let socket = socket as? UDPSocket { return deliverDatagrams(of: socket, entry) }
        while !isHeldBack || isEnd, entry.delivery != .pull, phase < .finishing {
            guard let size = nextSize(of: socket, entry, isEnd: isEnd), let bytes = try? socket.read(maxSize: size), !bytes.isEmpty else { return }
            entry.forget(.arrived)
            let type: EventType = entry.delivery == .lines ? .line : .data
            send { output in
                output.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
                Self.writeHead(of: type, from: socket, to: output)
                output.append(byte: UInt8(ascii: ","))
                bytes.withUnsafeBytes { output.append(dataMembers: $0, asBase64: entry.deliversBase64) }
                output.append("}}")
            }
        }
    }

    /// Sends what may be sent now, one event for each datagram. The rest stays with the system, which drops what is too much for it.
    private func deliverDatagrams(of socket: UDPSocket, _ entry: HandleEntry) {
        guard !socket.isOpen || socket.isReadable else { return }
        while !isHeldBack, entry.delivery == .push, phase < .finishing {
            guard let datagram = try? socket.readDatagrams(maxCount: 1).first else { return }
            entry.didRead(something: true)
            send { output in
                output.append("{\"jsonrpc\":\"2.0\",\"method\":\"")
                Self.writeHead(of: .data, from: socket, to: output)
                output.append(byte: UInt8(ascii: ","))
                output.append(datagram, asBase64: entry.deliversBase64)
                output.append("}}")
            }
            // Only then is it known whether the client keeps up.
            if isOutputLong { flush() }
        }
    }

    /// How many bytes the next piece has; nil when none is ready.
    private func nextSize(of socket: Socket, _ entry: HandleEntry, isEnd: Bool) -> Int? {
        let available = min(socket.bytesAvailable, Self.pieceSize)
        guard available > 0 else { return nil }
        // Whatever has come is passed on, be it half a character: a peer that waits for an answer sends nothing to complete it.
        guard entry.delivery == .lines else { return available }
        if socket.canReadLine {
            let length = socket.lineLength(maxSize: Self.pieceSize)
            return length > 0 ? length : nil
        }
        let isFull = available == Self.pieceSize || (entry.readBufferSize > 0 && socket.bytesAvailable >= entry.readBufferSize)
        return isEnd || isFull ? available : nil
    }
}
