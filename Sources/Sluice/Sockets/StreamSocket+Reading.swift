import Glibc

extension StreamSocket {
    /// Reads what the system has, tells of it, and notices the end of the stream. `chunks` bounds how often is read:
    /// a blocking wait takes one chunk and leaves the rest for the next.
    func receive(chunks: Int = .max) {
        let begun = epoch
        var chunksLeft = chunks
        var share = EventLoop.fairShare
        while state == .connected, !flags.contains(.readFinished), chunksLeft > 0 {
            let room = readRoom
            guard room > 0 else {
                flags.insert(.readPaused)
                return
            }
            let received = receiveChunk(room)
            guard received > 0 else {
                handleNothing(received)
                return
            }
            chunksLeft -= 1
            announceRead()
            guard begun == epoch else { return }
            // A short read means that the system had no more; after a hang-up the end still has to be seen. A transport says so.
            if received < room, flags.isDisjoint(with: [.hungUp, .transportInUse, .stoppedAtDescriptor]) { return }
            share -= received
            if share <= 0 {
                requestTurn(.receiveInTurn)
                return
            }
        }
    }

    /// What one read may bring.
    var readRoom: Int {
        readLimit == 0 ? BufferPool.scratchSize : max(0, min(BufferPool.scratchSize, readLimit - readBuffer.count))
    }

    /// What a read that brought no bytes says.
    func handleNothing(_ result: Int) {
        if result == 0 {
            endOfStream()
        } else if result != -Int(EAGAIN) {
            connectionBroken(Int32(truncatingIfNeeded: -result), doing: .read)
        }
    }

    /// One read from the descriptor into the read buffer. Returns as `recv`, or minus errno.
    func receiveChunk(_ room: Int) -> Int {
        let area = loop.buffers.incoming
        let large = readBuffer.count >= BufferPool.scratchSize
        if large {
            // Much is unread already: spare it the detour.
            guard let place = readBuffer.reserve(room) else { return -Int(ENOMEM) }
            let received = receiveBytes(place, room)
            if received > 0 {
                readBuffer.commit(received)
                discardIfWriteOnly()
            }
            return received
        }
        guard claimScratch() else { return -Int(ENOMEM) }
        let received = receiveBytes(area.pointee.bytes, room)
        if received > 0, !keep(received) { return -Int(ENOMEM) }
        return received
    }

    /// As recv(2) that does not wait, or minus errno.
    @inline(__always)
    private func receiveBytes(_ place: UnsafeMutableRawPointer, _ room: Int) -> Int {
        flags.isDisjoint(with: .indirect)
            ? System.recv(rawDescriptor, place, room) : receiveIndirectly(place, room, waiting: false)
    }

    /// Makes the loop's scratch area free: whoever's unread bytes are still in it copies them out.
    func claimScratch() -> Bool {
        let area = loop.buffers.incoming
        guard let owner = area.pointee.owner else { return true }
        area.pointee.owner = nil
        return owner._withUnsafeGuaranteedRef { $0.readBuffer.settle() }
    }

    /// Takes over bytes that were read into the scratch area. False without memory.
    func keep(_ received: Int) -> Bool {
        let area = loop.buffers.incoming
        if !isReadable { return true }
        if readBuffer.isEmpty {
            readBuffer.setWindow(area.pointee.bytes, count: received)
            area.pointee.owner = .passUnretained(self)
            return true
        }
        guard let place = readBuffer.reserve(received) else { return false }
        place.copyMemory(from: area.pointee.bytes, byteCount: received)
        readBuffer.commit(received)
        return true
    }

    private func discardIfWriteOnly() {
        if !isReadable { readBuffer.removeAll() }
    }

    /// Tells of new bytes. What the handlers leave in the scratch area is copied out.
    ///
    /// `keepWindow`: leave them there. A blocking wait's caller reads them next; whoever else needs the area first settles it.
    func announceRead(keepWindow: Bool = false) {
        progress.received &+= 1
        guard isReadable else { return }
        if !flags.contains(.inReadyRead) {
            let begun = epoch
            flags.insert(.inReadyRead)
            send(.readyRead, .readyRead(bytesAvailable: readBuffer.count))
            if begun == epoch, isSubscribed(to: .lineAvailable), readBuffer.firstLineLength() != nil {
                send(.lineAvailable, .lineAvailable)
            }
            flags.remove(.inReadyRead)
        }
        let area = loop.buffers.incoming
        if area.pointee.isOwned(by: self), !keepWindow {
            area.pointee.owner = nil
            if !readBuffer.settle() {
                connectionBroken(ENOMEM, doing: .read)
                return
            }
        }
        completeWaits()
    }

    /// The socket was taken from a server's queue: what came before is told to its new owner.
    func announceUnread() {
        if !readBuffer.isEmpty { requestTurn(.announceInTurn) }
    }

    /// Goes on reading once there is room again.
    func resumeReading() {
        guard flags.contains(.readPaused), readRoom > 0 else { return }
        flags.remove(.readPaused)
        requestTurn(.receiveInTurn)
    }

    // MARK: What the user calls

    /// What came before the end of a connection can still be read; without that, a socket that is not connected has nothing to
    /// be read from, now or later.
    private func checkReadable(_ size: Int) throws(SocketError) {
        guard isReadable else { throw SocketError(.operation, "The socket is not open for reading") }
        guard !readBuffer.isEmpty || state == .connected || size == 0 else {
            throw SocketError(.operation, "The socket is not connected and nothing is left to read")
        }
    }

    func readBytes(into buffer: UnsafeMutableRawBufferPointer, peek: Bool) throws(SocketError) -> Int {
        try checkReadable(buffer.count)
        guard let destination = buffer.baseAddress else { return 0 }
        let count = readBuffer.read(into: destination, size: buffer.count, peek: peek)
        if count > 0, !peek {
            resumeReading()
            noteChange(settings: false)
        }
        return count
    }

    func measureLine(maxSize: Int) -> Int {
        let line = readBuffer.firstLineLength() ?? readBuffer.count
        return maxSize > 0 ? min(line, maxSize) : line
    }

    func readLineBytes(into buffer: UnsafeMutableRawBufferPointer) throws(SocketError) -> Int {
        let length = min(measureLine(maxSize: 0), buffer.count)
        return try readBytes(into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<length]), peek: false)
    }

    func skipBytes(_ maxSize: Int) throws(SocketError) -> Int {
        try checkSize(maxSize, "maxSize")
        try checkReadable(maxSize)
        let count = min(maxSize, readBuffer.count)
        readBuffer.skip(count)
        resumeReading()
        noteChange(settings: false)
        return count
    }

    func putBack(_ byte: UInt8) throws(SocketError) {
        guard isReadable else { throw SocketError(.operation, "The socket is not open for reading") }
        guard readBuffer.prepend(byte) else { throw SocketError(.outOfMemory, "There is no memory for the read buffer") }
        noteChange(settings: false)
    }
}
