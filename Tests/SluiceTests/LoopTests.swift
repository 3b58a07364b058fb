import Glibc
import Sluice
import Testing

@Suite struct LoopTests {
    private let loop: EventLoop

    init() throws { loop = try EventLoop() }

    /// Runs the loop until this holds; a test that waits for ever is a failed one.
    private func run(until condition: () -> Bool, sourceLocation: SourceLocation = #_sourceLocation) throws {
        var gaveUp = false
        let watchdog = loop.addTimer(after: Bench.patience) { gaveUp = true }
        defer { watchdog.cancel() }
        while !condition(), !gaveUp { _ = try loop.runOnce(timeout: -1) }
        #expect(!gaveUp, sourceLocation: sourceLocation)
    }

    // MARK: Timers

    @Test func timersFireInTheOrderOfTheirTimes() throws {
        var fired: [Int] = []
        for delay in [7, 1, 5, 0, 3, 2, 6, 4] { _ = loop.addTimer(after: delay) { fired.append(delay) } }
        try run { fired.count == 8 }
        #expect(fired == Array(0..<8))
    }

    @Test func timersStayInOrderWhenOthersAreCancelled() throws {
        var fired: [Int] = []
        let timers = (0..<64).map { index in loop.addTimer(after: (index * 37) % 64) { fired.append((index * 37) % 64) } }
        for index in stride(from: 0, to: 64, by: 3) { timers[index].cancel() }
        let expected = (0..<64).filter { $0 % 3 != 0 }.map { ($0 * 37) % 64 }.sorted()
        try run { fired.count == expected.count }
        #expect(fired == expected)
    }

    @Test func aTimerFiresOnceAndOnlyOnce() throws {
        var fired = 0
        let timer = loop.addTimer(after: 0) { fired += 1 }
        var last = false
        _ = loop.addTimer(after: 5) { last = true }
        try run { last }
        #expect(fired == 1)
        #expect(!timer.isActive)
    }

    @Test func aTimerThatNobodyHoldsStillFires() throws {
        var fired = false
        _ = loop.addTimer(after: 1) { fired = true }
        try run { fired }
    }

    @Test func aCancelledTimerDoesNotFire() throws {
        var fired = false
        let timer = loop.addTimer(after: 0) { fired = true }
        #expect(timer.isActive)
        timer.cancel()
        timer.cancel()
        #expect(!timer.isActive)
        var last = false
        _ = loop.addTimer(after: 1) { last = true }
        try run { last }
        #expect(!fired)
    }

    @Test func aTimerMayCancelAnotherThatIsDueToo() throws {
        var fired: [String] = []
        var second: Sluice.Timer?
        _ = loop.addTimer(after: 0) {
            fired.append("first")
            second?.cancel()
        }
        second = loop.addTimer(after: 0) { fired.append("second") }
        var last = false
        _ = loop.addTimer(after: 3) { last = true }
        try run { last }
        #expect(fired == ["first"])
    }

    @Test func aRepeatingTimerGoesOnUntilItCancelsItself() throws {
        var fired = 0
        var timer: Sluice.Timer?
        timer = loop.addTimer(after: 1, repeats: true) {
            fired += 1
            if fired == 5 { timer?.cancel() }
        }
        try run { fired == 5 }
        var last = false
        _ = loop.addTimer(after: 5) { last = true }
        try run { last }
        #expect(fired == 5)
    }

    @Test func timersThatStartNewOnesDoNotHoldUpTheTurn() throws {
        var fired = 0
        func again() {
            fired += 1
            if fired < 1_000_000 { _ = loop.addTimer(after: 0) { again() } }
        }
        _ = loop.addTimer(after: 0) { again() }
        let every = loop.addTimer(after: 0, repeats: true) { fired += 1 }
        _ = try loop.runOnce(timeout: -1)
        #expect(fired < 1000)
        every.cancel()
        fired = 1_000_000
        while try loop.runOnce(timeout: 0) {}
    }

    @Test(arguments: [Int.max, Int.max / 1_000_000, 1 << 40]) func aTimeFarAwayIsNotNow(delay: Int) throws {
        var fired = false
        let timer = loop.addTimer(after: delay) { fired = true }
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(!fired)
        timer.cancel()
    }

    @Test func aNegativeTimeIsNow() throws {
        var fired = false
        _ = loop.addTimer(after: -5) { fired = true }
        #expect(try loop.runOnce(timeout: -1))
        #expect(fired)
    }

    // MARK: Posted work

    @Test func postedWorkRunsInItsOrder() throws {
        let seen = Shared<[Int]>([])
        for number in 0..<100 { loop.post { seen.change { $0.append(number) } } }
        #expect(seen.value.isEmpty)
        _ = try loop.runOnce(timeout: 0)
        #expect(seen.value == Array(0..<100))
    }

    @Test func workFromThreadsRunsOnTheLoopsThreadInEachThreadsOrder() throws {
        let seen = Shared<[(thread: Int, number: Int, place: UInt)]>([])
        let mailbox = loop.mailbox
        let workers = try (0..<4).map { thread in
            try Worker {
                for number in 0..<500 { mailbox.post { let place = UInt(pthread_self()); seen.change { $0.append((thread, number, place)) } } }
            }
        }
        try run { seen.value.count == 2000 }
        for worker in workers { try worker.join() }
        let here = UInt(pthread_self())
        #expect(seen.value.allSatisfy { $0.place == here })
        for thread in 0..<4 { #expect(seen.value.filter { $0.thread == thread }.map(\.number) == Array(0..<500)) }
    }

    @Test func workPostedByWorkRunsInTheNextTurn() throws {
        let seen = Shared<[String]>([])
        let mailbox = loop.mailbox
        mailbox.post {
            seen.change { $0.append("first") }
            mailbox.post { seen.change { $0.append("second") } }
        }
        _ = try loop.runOnce(timeout: 0)
        #expect(seen.value == ["first"])
        _ = try loop.runOnce(timeout: -1)
        #expect(seen.value == ["first", "second"])
    }

    @Test func workMayBePostedToALoopThatIsGone() throws {
        var other: EventLoop? = try EventLoop()
        let mailbox = try #require(other?.mailbox)
        other = nil
        mailbox.post {}
        mailbox.stop()
    }

    // MARK: Running and stopping

    @Test func aTurnTellsWhetherAnythingWasDone() throws {
        #expect(try loop.runOnce(timeout: 0) == false)
        #expect(try loop.runOnce(timeout: 1) == false)
        loop.post {}
        #expect(try loop.runOnce(timeout: -1))
        _ = try loop.runOnce(timeout: 0)
        #expect(try loop.runOnce(timeout: 0) == false)
    }

    @Test func aStopBeforeRunEndsItAtOnceAndTheNextRunNot() throws {
        loop.stop()
        try loop.run()
        let ran = Shared(false)
        let mailbox = loop.mailbox
        mailbox.post {
            ran.change { $0 = true }
            mailbox.stop()
        }
        try loop.run()
        #expect(ran.value)
    }

    @Test func twoStopsEndOneRun() throws {
        loop.stop()
        loop.stop()
        try loop.run()
        var fired = false
        _ = loop.addTimer(after: 0) {
            fired = true
            self.loop.stop()
        }
        try loop.run()
        #expect(fired)
    }

    @Test func anotherThreadStopsASleepingLoop() throws {
        let mailbox = loop.mailbox
        let started = Shared(false)
        mailbox.post { started.change { $0 = true } }
        let worker = try Worker {
            while !started.value { sched_yield() }
            mailbox.stop()
        }
        try loop.run()
        try worker.join()
        #expect(started.value)
    }

    @Test func endsOfTurnsAreTold() throws {
        var turns = 0
        loop.afterTurn { turns += 1 }
        for _ in 0..<3 { _ = try loop.runOnce(timeout: 0) }
        #expect(turns == 3)
    }

    // MARK: Turns within turns

    @Test func aTimerMayRunTheLoop() throws {
        var order: [String] = []
        _ = loop.addTimer(after: 0) {
            order.append("outer begins")
            try? self.run { order.contains("inner") }
            order.append("outer ends")
        }
        _ = loop.addTimer(after: 2) { order.append("inner") }
        try run { order.contains("outer ends") }
        #expect(order == ["outer begins", "inner", "outer ends"])
    }

    @Test func postedWorkMayRunTheLoopUntilLaterWorkIsDone() throws {
        // Both are collected in the same turn; the second must not be out of reach of the turn that the first one runs.
        nonisolated(unsafe) let bench = (loop: loop, order: Shared<[String]>([]))
        bench.loop.post {
            bench.order.change { $0.append("first begins") }
            for _ in 0..<10 where !bench.order.value.contains("second") { _ = try? bench.loop.runOnce(timeout: 0) }
            bench.order.change { $0.append("first ends") }
        }
        bench.loop.post { bench.order.change { $0.append("second") } }
        for _ in 0..<3 { _ = try loop.runOnce(timeout: 0) }
        #expect(bench.order.value == ["first begins", "second", "first ends"])
    }

    @Test func aRunWithinARunEndsAlone() throws {
        var order: [String] = []
        _ = loop.addTimer(after: 0) {
            _ = self.loop.addTimer(after: 0) {
                order.append("stop inner")
                self.loop.stop()
            }
            try? self.loop.run()
            order.append("inner ended")
            _ = self.loop.addTimer(after: 0) {
                order.append("stop outer")
                self.loop.stop()
            }
        }
        try loop.run()
        #expect(order == ["stop inner", "inner ended", "stop outer"])
    }
}
