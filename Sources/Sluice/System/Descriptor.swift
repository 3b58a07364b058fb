import Glibc

/// A descriptor with exactly one owner, who closes it when it goes.
struct Descriptor: ~Copyable {
    let rawValue: Int32

    init(owning rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// Gives the descriptor away; whoever takes the number has to close it.
    consuming func release() -> Int32 {
        let number = rawValue
        discard self
        return number
    }

    deinit {
        System.close(rawValue)
    }
}
