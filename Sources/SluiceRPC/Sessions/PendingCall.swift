import Sluice

/// Who waits for an answer: the request's id, none for a notification, and the batch it came in.
struct Caller {
    let id: RequestID?
    let batch: Batch?
}

/// A call that answers when something has happened.
final class PendingCall {
    let caller: Caller
    let handle: Int
    /// Whether only an event ends it, and no time limit.
    let isUnlimited: Bool
    /// What to answer should the handle end before.
    let ifAbandoned: Reply
    /// Makes the core forget the wait.
    var cancelWait: (() -> Void)?
    private(set) var isOver = false

    init(caller: Caller, handle: Int, isUnlimited: Bool, ifAbandoned: Reply) {
        self.caller = caller
        self.handle = handle
        self.isUnlimited = isUnlimited
        self.ifAbandoned = ifAbandoned
    }

    func end() {
        isOver = true
        cancelWait?()
        cancelWait = nil
    }
}

/// The answers to a batch, gathered until the last of them is there.
final class Batch {
    let answers = OutputBuffer()
    private var unanswered = 0

    /// Something that has to be over before the batch is complete.
    func expectAnswer() { unanswered += 1 }

    func add(_ write: (OutputBuffer) -> Void) {
        answers.append(byte: answers.isEmpty ? UInt8(ascii: "[") : UInt8(ascii: ","))
        write(answers)
    }

    /// One of what was expected is over; true when it was the last.
    func isCompleteNow() -> Bool {
        unanswered -= 1
        return unanswered == 0
    }
}
