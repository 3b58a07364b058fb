import CLinux
import Glibc

/// Datagrams that were received and not yet read. While the loop's scratch area holds them this owns no memory.
///
/// A packet is what the system handed over in one piece: one datagram, or several of one size.
struct DatagramInbox {
    /// How many bytes can be put back.
    static let backRoom = 4096

    private var packets: UnsafeMutablePointer<clinux_packet>?
    /// Where the packets and their bytes are once they had to leave the scratch area.
    private var memory: UnsafeMutableRawPointer?
    private var count: Int32 = 0
    private var index: Int32 = 0
    /// Where the next datagram begins in its packet, and how much of it was read as a stream.
    private var position: UInt32 = 0
    private var consumed: UInt32 = 0
    /// The first packet is room for bytes that were put back.
    private var hasBackRoom = false

    var isEmpty: Bool { packets == nil }
    var ownsMemory: Bool { memory != nil }

    /// Takes over what was received; nothing may be left of what was before.
    mutating func load(_ packets: UnsafeMutablePointer<clinux_packet>, count: Int) {
        guard count > 0 else { return }
        self = DatagramInbox()
        self.packets = packets
        self.count = Int32(clamping: count)
    }

    private var packet: UnsafeMutablePointer<clinux_packet>? { packets.map { $0 + Int(index) } }

    /// The end of the next datagram in its packet.
    private func end(_ packet: clinux_packet) -> UInt32 {
        packet.segment == 0 ? packet.size : min(position + packet.segment, packet.size)
    }

    /// What is left of the next datagram; nothing when there is none.
    var front: UnsafeMutableRawBufferPointer {
        guard let packet = packet?.pointee else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        let start = position + consumed
        return UnsafeMutableRawBufferPointer(start: packet.bytes + Int(start), count: Int(end(packet) - start))
    }

    /// What the system told of the next datagram.
    func details(localPort: Int) -> DatagramDetails? {
        guard let packet = packet?.pointee else { return nil }
        return DatagramDetails(
            sender: HostAddress(packet.sender), senderPort: Int(packet.sender.port),
            destination: HostAddress(packet.destination), destinationPort: localPort,
            interfaceIndex: Int(packet.interface_index), hopLimit: Int(packet.hop_limit),
            truncated: packet.truncated && end(packet) == packet.size)
    }

    /// Removes bytes from the front of the next datagram, and the datagram itself once nothing is left of it.
    mutating func consume(_ size: Int) {
        guard let packet = packet?.pointee else { return }
        consumed += UInt32(clamping: size)
        if position + consumed >= end(packet) { removeFront() }
    }

    /// Removes the next datagram, read or not.
    mutating func removeFront() {
        guard let packet = packet?.pointee else { return }
        position = end(packet)
        consumed = 0
        guard position >= packet.size else { return }
        position = 0
        index += 1
        if index >= count { removeAll() }
    }

    mutating func removeAll() {
        free(memory)
        self = DatagramInbox()
    }

    /// How many datagrams are left.
    var datagramCount: Int {
        guard let packets else { return 0 }
        var total = 0
        for number in Int(index)..<Int(count) {
            let packet = packets[number]
            let left = packet.size - (number == Int(index) ? position : 0)
            total += packet.segment == 0 ? 1 : Int((left + packet.segment - 1) / packet.segment)
        }
        return total
    }

    /// Puts a byte back in front: into the next datagram where that was partly read, else as a datagram of its own, which
    /// takes what is put back after it too. Nil: there is no memory; false: there is no room.
    mutating func prepend(_ byte: UInt8) -> Bool? {
        if consumed == 0 {
            if hasBackRoom, index == 0 { return false }
            guard copyOut(backRoom: Self.backRoom) else { return nil }
        }
        consumed -= 1
        front.storeBytes(of: byte, as: UInt8.self)
        return true
    }

    /// Copies everything out of the scratch area. False without memory: then everything is lost.
    mutating func settle() -> Bool {
        if isEmpty || ownsMemory { return true }
        if copyOut(backRoom: 0) { return true }
        removeAll()
        return false
    }

    /// Moves what is left to memory of its own, with `backRoom` bytes in front as a packet that was read already.
    private mutating func copyOut(backRoom: Int) -> Bool {
        let first = Int(index)
        let left = packets == nil ? 0 : Int(count) - first
        var bytes = backRoom
        for number in 0..<left { bytes += remaining(first + number).count }
        let extra = backRoom > 0 ? 1 : 0
        let tableSize = (left + extra) * MemoryLayout<clinux_packet>.stride
        guard let fresh = malloc(tableSize + bytes) else { return false }
        let table = fresh.bindMemory(to: clinux_packet.self, capacity: left + extra)
        var place = fresh + tableSize
        if extra > 0 {
            var packet = clinux_packet()
            packet.bytes = place.assumingMemoryBound(to: UInt8.self)
            packet.size = UInt32(backRoom)
            packet.hop_limit = -1
            table.initialize(to: packet)
            place += backRoom
        }
        for number in 0..<left {
            guard let packets else { break }
            let source = remaining(first + number)
            var packet = packets[first + number]
            if let start = source.baseAddress { place.copyMemory(from: start, byteCount: source.count) }
            packet.bytes = place.assumingMemoryBound(to: UInt8.self)
            packet.size = UInt32(clamping: source.count)
            (table + extra + number).initialize(to: packet)
            place += source.count
        }
        free(memory)
        memory = fresh
        packets = table
        count = Int32(left + extra)
        index = 0
        position = 0
        if extra > 0 { consumed = UInt32(backRoom) }
        hasBackRoom = extra > 0
        return true
    }

    /// A packet from where its next unread datagram begins.
    private func remaining(_ number: Int) -> UnsafeMutableRawBufferPointer {
        guard let packet = packets?[number] else { return UnsafeMutableRawBufferPointer(start: nil, count: 0) }
        let start = number == Int(index) ? position : 0
        return UnsafeMutableRawBufferPointer(start: packet.bytes + Int(start), count: Int(packet.size - start))
    }
}
