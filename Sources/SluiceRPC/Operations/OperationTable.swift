import Glibc

/// All operations, found by name.
struct OperationTable: Sendable {
    static let shared = OperationTable(
        handleOperations + socketConnectionOperations + socketStateOperations + socketDataOperations
            + virtualSocketOperations + datagramOperations + localOperations + serverOperations + tlsOperations
            + proxyOperations + hostOperations + relayOperations + sessionOperations)

    let operations: [Operation]
    /// Open addressing: a name's hash says where to begin to look. No text has to be made of the bytes of a message.
    private let places: [Int]

    private init(_ operations: [Operation]) {
        self.operations = operations
        var size = 64
        while size < operations.count * 4 { size *= 2 }
        var places = [Int](repeating: -1, count: size)
        for (index, operation) in operations.enumerated() {
            var place = operation.name.withUTF8Buffer { Self.hash(UnsafeRawBufferPointer($0)) } & (size - 1)
            while places[place] >= 0 { place = (place + 1) & (size - 1) }
            places[place] = index
        }
        self.places = places
    }

    func find(_ name: UnsafeRawBufferPointer) -> Operation? {
        let mask = places.count - 1
        var place = Self.hash(name) & mask
        while places[place] >= 0 {
            let operation = operations[places[place]]
            if Self.isSame(operation.name, name) { return operation }
            place = (place + 1) & mask
        }
        return nil
    }

    private static func isSame(_ name: StaticString, _ bytes: UnsafeRawBufferPointer) -> Bool {
        name.utf8CodeUnitCount == bytes.count && bytes.baseAddress.map { memcmp($0, name.utf8Start, bytes.count) == 0 } ?? false
    }

    /// FNV-1a, of names no longer than any operation's; what is longer is found nowhere all the same.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in bytes.prefix(64) { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int(hash)
    }
}
