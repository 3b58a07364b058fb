import CSluice
import Sluice
import Synchronization

/// Which loop indices are free.
final class LoopRegistry: Sendable {
    static let shared = LoopRegistry()

    private struct State {
        /// How many indices were ever used.
        var used = 0
        var free: [LoopRecord] = []
    }

    private let state = Mutex(State())

    /// A record without a loop; nil when all are in use.
    func acquire() -> LoopRecord? {
        state.withLock { state in
            if let record = state.free.popLast() { return record }
            guard state.used < HandleParts.loopCount else { return nil }
            let record = LoopRecord(index: state.used)
            HandleTables.keep(record, at: state.used)
            state.used += 1
            return record
        }
    }

    func release(_ record: LoopRecord) {
        state.withLock { $0.free.append(record) }
    }
}
