import Sluice
import Testing

/// How a wait is made.
enum WaitForm: CaseIterable { case blocking, deferred }

/// A form, over a transport.
struct WaitWay: CustomTestStringConvertible {
    let form: WaitForm
    let transport: Transport

    static let all = WaitForm.allCases.flatMap { form in Transport.allCases.map { WaitWay(form: form, transport: $0) } }
    var testDescription: String { "\(form), \(transport.testDescription)" }
}

/// Waits in the one form or the other.
func wait(_ form: WaitForm, _ bench: Bench, _ socket: StreamSocket, _ kind: Wait.Kind, _ timeout: Int) -> Bool {
    if form == .blocking { return socket.wait(for: kind, timeout: timeout) }
    var answers: [Bool] = []
    socket.beginWait(kind, timeout: timeout) { answers.append($0) }
    bench.run { !answers.isEmpty }
    _ = try? bench.settle()
    #expect(answers.count == 1, "answered once")
    return answers.first ?? false
}
