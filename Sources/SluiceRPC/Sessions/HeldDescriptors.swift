import Glibc

/// Raw descriptors that a session holds for its client, under numbers of its own: no descriptor of the sidecar or the client
/// can have such a number, and none is given out twice.
struct HeldDescriptors {
    private static let firstNumber = 1 << 30

    private var descriptors: [Int: Int32] = [:]
    private var next = firstNumber

    var count: Int { descriptors.count }

    static func isNumber(_ number: Int) -> Bool { number >= firstNumber }

    mutating func add(_ descriptor: Int32) -> Int {
        let number = next
        next += 1
        descriptors[number] = descriptor
        return number
    }

    subscript(number: Int) -> Int32? { descriptors[number] }

    mutating func remove(_ number: Int) { descriptors[number] = nil }

    mutating func closeAll() {
        for descriptor in descriptors.values { Glibc.close(descriptor) }
        descriptors = [:]
    }
}
