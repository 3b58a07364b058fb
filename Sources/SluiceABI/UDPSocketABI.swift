import CSluice
import Sluice

// The functions of `udp_socket`.

// MARK: Writing

@_cdecl("sluice_udp_socket_write_datagram") @implementation
public func sluice_udp_socket_write_datagram(
    _ handle: sluice_handle, _ data: UnsafeRawPointer?, _ size: Int64, _ address: UnsafePointer<CChar>?, _ port: Int32
) -> Int64 {
    count(handle, .udpSocket) { socket throws(SocketError) in
        let bytes = try bytes(data, size)
        guard let address else { return try socket.writeDatagram(bytes) }
        return try socket.writeDatagram(bytes, address: text(address), port: Int(port))
    }
}

@_cdecl("sluice_udp_socket_write_datagrams") @implementation
public func sluice_udp_socket_write_datagrams(
    _ handle: sluice_handle, _ datagrams: UnsafePointer<sluice_outgoing_datagram>?, _ count: Int64
) -> Int64 {
    SluiceABI.count(handle, .udpSocket) { socket throws(SocketError) in
        let structs = try StructArray(datagrams, count)
        guard let row = try rowToOnePlace(structs), let place = structs[0]?.pointee else { return try socket.writeDatagrams(outgoing(structs)) }
        let address: String? = place.address == nil ? nil : try text(place.address)
        return try socket.writeDatagrams(row, address: address, port: Int(place.port))
    }
}

/// The bytes of datagrams that go one way, which is told by the same words, and no special one. Nil: they differ.
private func rowToOnePlace(_ structs: StructArray<sluice_outgoing_datagram>) throws(SocketError) -> [UnsafeRawBufferPointer]? {
    guard structs.count > 0, let place = structs[0]?.pointee else { return nil }
    var row: [UnsafeRawBufferPointer] = []
    row.reserveCapacity(structs.count)
    for index in 0..<structs.count {
        guard let datagram = structs[index], datagram.pointee.address == place.address, datagram.pointee.port == place.port,
            datagram.pointee.hop_limit == 0, datagram.pointee.interface_index == 0, datagram.pointee.source_address == nil
        else { return nil }
        row.append(try bytes(datagram.pointee.data, datagram.pointee.length))
    }
    return row
}

/// What C describes, its bytes still where they are.
private func outgoing(_ structs: StructArray<sluice_outgoing_datagram>) throws(SocketError) -> [BorrowedDatagram] {
    var datagrams: [BorrowedDatagram] = []
    datagrams.reserveCapacity(structs.count)
    // Many go to one place: its text is made once.
    var place: UnsafePointer<CChar>?
    var address: String?
    for index in 0..<structs.count {
        guard let datagram = structs[index]?.pointee else { break }
        if datagram.address != place {
            place = datagram.address
            address = place == nil ? nil : try text(place)
        }
        datagrams.append(
            BorrowedDatagram(
                try bytes(datagram.data, datagram.length), address: address, port: Int(datagram.port), options: try options(datagram)))
    }
    return datagrams
}

private func options(_ datagram: sluice_outgoing_datagram) throws(SocketError) -> DatagramOptions? {
    guard datagram.hop_limit != 0 || datagram.interface_index != 0 || datagram.source_address != nil else { return nil }
    guard 0...255 ~= datagram.hop_limit, datagram.interface_index >= 0 else { throw .invalidArgument }
    var options = DatagramOptions()
    if datagram.hop_limit != 0 { options.hopLimit = Int(datagram.hop_limit) }
    if datagram.interface_index != 0 { options.interfaceIndex = Int(datagram.interface_index) }
    if let source = datagram.source_address {
        guard let source = HostAddress(literal: try text(source)) else { throw .invalidArgument }
        options.source = source
    }
    return options
}

// MARK: Reading

@_cdecl("sluice_udp_socket_has_pending_datagrams") @implementation
public func sluice_udp_socket_has_pending_datagrams(_ handle: sluice_handle) -> Bool {
    ask(handle, .udpSocket, else: false) { $0.hasPendingDatagrams }
}

@_cdecl("sluice_udp_socket_pending_datagram_size") @implementation
public func sluice_udp_socket_pending_datagram_size(_ handle: sluice_handle) -> Int64 {
    ask(handle, .udpSocket, else: -1) { Int64($0.pendingDatagramSize) }
}

@_cdecl("sluice_udp_socket_read_datagram") @implementation
public func sluice_udp_socket_read_datagram(_ handle: sluice_handle, _ datagram: UnsafeMutablePointer<sluice_datagram>?) -> Int64 {
    count(handle, .udpSocket) { socket throws(SocketError) in
        let datagram = try whole(datagram)
        let (length, details) = try socket.readDatagram(into: space(datagram.pointee.data, datagram.pointee.capacity), quietly: true)
        fill(datagram, length: length, details)
        return length
    }
}

@_cdecl("sluice_udp_socket_read_datagrams") @implementation
public func sluice_udp_socket_read_datagrams(
    _ handle: sluice_handle, _ datagrams: UnsafeMutablePointer<sluice_datagram>?, _ count: Int64
) -> Int64 {
    SluiceABI.count(handle, .udpSocket) { socket throws(SocketError) in
        let structs = try StructArray(datagrams, count)
        for index in 0..<structs.count {
            guard let datagram = structs[index]?.pointee else { break }
            _ = try space(datagram.data, datagram.capacity)
        }
        var index = 0
        var previous: (place: UnsafePointer<sluice_datagram>, details: DatagramDetails)?
        return try socket.readDatagrams(maxCount: structs.count) { bytes, details in
            guard let place = structs[index] else { return }
            let datagram = UnsafeMutablePointer(mutating: place)
            let length = min(bytes.count, Int(datagram.pointee.capacity))
            if length > 0, let source = bytes.baseAddress { datagram.pointee.data?.copyMemory(from: source, byteCount: length) }
            fill(datagram, length: length, details, after: previous)
            if length < bytes.count { datagram.pointee.truncated = true }
            previous = (place, details)
            index += 1
        }
    }
}

/// Fills in what is known of a datagram. Where it has an address in common with the one before, that text is copied.
private func fill(
    _ datagram: UnsafeMutablePointer<sluice_datagram>, length: Int, _ details: DatagramDetails,
    after previous: (place: UnsafePointer<sluice_datagram>, details: DatagramDetails)? = nil
) {
    datagram.pointee.truncated = details.truncated
    datagram.pointee.length = Int64(length)
    datagram.pointee.sender_port = Int32(truncatingIfNeeded: details.senderPort)
    datagram.pointee.destination_port = Int32(truncatingIfNeeded: details.destinationPort)
    datagram.pointee.interface_index = Int32(truncatingIfNeeded: details.interfaceIndex)
    datagram.pointee.hop_limit = Int32(truncatingIfNeeded: details.hopLimit)
    if let previous, previous.details.sender == details.sender {
        datagram.pointee.sender_address = previous.place.pointee.sender_address
    } else {
        fill(&datagram.pointee.sender_address) { text in
            if let sender = details.sender { sender.write(to: text) } else { text[0] = 0 }
        }
    }
    if let previous, previous.details.destination == details.destination, previous.details.interfaceIndex == details.interfaceIndex {
        datagram.pointee.destination_address = previous.place.pointee.destination_address
    } else {
        fill(&datagram.pointee.destination_address) { details.writeDestination(to: $0) }
    }
}

/// Has an address written to an array of characters in a struct.
private func fill<Characters>(_ characters: inout Characters, _ write: (UnsafeMutablePointer<CChar>) -> Void) {
    withUnsafeMutableBytes(of: &characters) { bytes in
        guard bytes.count >= HostAddress.textCapacity, let text = bytes.baseAddress?.assumingMemoryBound(to: CChar.self) else { return }
        write(text)
    }
}

// MARK: Groups

@_cdecl("sluice_udp_socket_join_multicast_group") @implementation
public func sluice_udp_socket_join_multicast_group(
    _ handle: sluice_handle, _ group: UnsafePointer<CChar>?, _ interface: UnsafePointer<CChar>?
) -> sluice_error {
    act(handle, .udpSocket) { socket throws(SocketError) in
        try socket.joinMulticastGroup(text(group), interface: interface == nil ? nil : text(interface))
    }
}

@_cdecl("sluice_udp_socket_leave_multicast_group") @implementation
public func sluice_udp_socket_leave_multicast_group(
    _ handle: sluice_handle, _ group: UnsafePointer<CChar>?, _ interface: UnsafePointer<CChar>?
) -> sluice_error {
    act(handle, .udpSocket) { socket throws(SocketError) in
        try socket.leaveMulticastGroup(text(group), interface: interface == nil ? nil : text(interface))
    }
}

@_cdecl("sluice_udp_socket_multicast_interface") @implementation
public func sluice_udp_socket_multicast_interface(
    _ handle: sluice_handle, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int
) -> Int64 {
    fill(handle, .udpSocket, buffer, capacity) { $0.multicastInterface }
}

@_cdecl("sluice_udp_socket_set_multicast_interface") @implementation
public func sluice_udp_socket_set_multicast_interface(_ handle: sluice_handle, _ interface: UnsafePointer<CChar>?) -> sluice_error {
    act(handle, .udpSocket) { socket throws(SocketError) in
        try socket.setMulticastInterface(interface == nil ? "" : text(interface))
    }
}
