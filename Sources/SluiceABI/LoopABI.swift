import CSluice
import Glibc
import Sluice

// The functions of `loop`.

/// A function that acts on a loop of the calling thread.
private func act(_ handle: sluice_handle, _ body: (LoopRecord, EventLoop) throws(SocketError) -> Void) -> sluice_error {
    guard let (record, loop) = loopRecord(handle) else { return unusable(handle) }
    do throws(SocketError) {
        try body(record, loop)
        return 0
    } catch {
        return failed(by: error)
    }
}

/// A function that runs a loop, and takes it for the calling thread when it is detached. The body is told whether the loop
/// still lives after each turn: a callback may have destroyed it.
private func run(
    _ handle: sluice_handle, _ body: (LoopRecord, EventLoop, _ turn: (Int) throws(SocketError) -> Bool?) throws(SocketError) -> Int64
) -> Int64 {
    let taken = HandleTables.record(of: handle)?.take(handle) ?? .invalidHandle
    guard taken == .noError else { return -Int64(failed(taken)) }
    guard let (record, loop) = loopRecord(handle) else { return -Int64(unusable(handle)) }
    record.enter()
    defer { record.leave() }
    do throws(SocketError) {
        return try body(record, loop) { timeout throws(SocketError) in
            let didAnything = try loop.runOnce(timeout: timeout)
            return record.isServing(loop) ? didAnything : nil
        }
    } catch {
        return -Int64(failed(by: error))
    }
}

/// A time that is up at some moment, or never.
private struct TimeLimit {
    private let end: Int64?

    init(milliseconds: Int64) {
        let (end, overflow) = Self.now().addingReportingOverflow(milliseconds)
        self.end = milliseconds < 0 || overflow ? nil : end
    }

    /// Milliseconds that are left, -1 without a limit.
    var left: Int {
        guard let end else { return -1 }
        return Int(max(0, end - Self.now()))
    }

    private static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}

@_cdecl("sluice_loop_create") @implementation
public func sluice_loop_create() -> sluice_handle {
    let loop: EventLoop
    do throws(SocketError) {
        loop = try EventLoop()
    } catch {
        _ = failed(by: error)
        return 0
    }
    guard let record = LoopRegistry.shared.acquire() else {
        _ = failed(.limitReached)
        return 0
    }
    return record.begin(loop)
}

@_cdecl("sluice_loop_destroy") @implementation
public func sluice_loop_destroy(_ loop: sluice_handle) -> sluice_error {
    act(loop) { record, _ in record.end() }
}

@_cdecl("sluice_loop_run") @implementation
public func sluice_loop_run(_ loop: sluice_handle) -> sluice_error {
    let result = run(loop) { record, _, turn throws(SocketError) in
        record.runs += 1
        defer { record.runs -= 1 }
        while !record.takeStopRequest() {
            guard try turn(-1) != nil else { break }
        }
        return 0
    }
    return sluice_error(-result)
}

@_cdecl("sluice_loop_run_once") @implementation
public func sluice_loop_run_once(_ loop: sluice_handle, _ timeout: Int64) -> Int64 {
    run(loop) { record, _, turn throws(SocketError) in
        let limit = try atLeast(-1, timeout)
        let didAnything = try turn(record.isStopRequested ? 0 : limit)
        // A stop is for the run around this one, if there is one.
        if record.runs == 0 { _ = record.takeStopRequest() }
        return didAnything ?? true ? 1 : 0
    }
}

@_cdecl("sluice_loop_stop") @implementation
public func sluice_loop_stop(_ loop: sluice_handle) -> sluice_error {
    if let record = HandleTables.record(of: loop), record.stop(loop) { return 0 }
    return failed(whyNoLoop(loop))
}

@_cdecl("sluice_loop_post") @implementation
public func sluice_loop_post(_ loop: sluice_handle, _ function: sluice_callback?, _ context: UnsafeMutableRawPointer?) -> sluice_error {
    guard let function else { return failed(.invalidArgument) }
    if let record = HandleTables.record(of: loop), record.post(to: loop, function, context) { return 0 }
    return failed(whyNoLoop(loop))
}

@_cdecl("sluice_loop_descriptor") @implementation
public func sluice_loop_descriptor(_ loop: sluice_handle) -> Int32 {
    var descriptor: Int32 = -1
    let error = act(loop) { (_, loop) throws(SocketError) in descriptor = try loop.descriptor }
    return error == 0 ? descriptor : -error
}

@_cdecl("sluice_loop_next_event") @implementation
public func sluice_loop_next_event(_ loop: sluice_handle, _ event: UnsafeMutablePointer<sluice_event>?, _ timeout: Int64) -> Int64 {
    run(loop) { record, loop, turn throws(SocketError) in
        let event = try whole(event)
        let limit = TimeLimit(milliseconds: Int64(try atLeast(-1, timeout)))
        record.setQueueing(true)
        record.runs += 1
        defer { record.runs -= 1 }
        var left = Int(timeout)
        var hadTurn = false
        while !record.takeStopRequest() {
            // What was written about the event before goes out now, as at the end of a callback. Left to the turn, it would
            // keep that one from sleeping, and cost one more.
            loop.sendWritten()
            guard record.isServing(loop) else { throw SocketError(.invalidHandle, "") }
            if let next = record.nextEvent() {
                event.pointee = next
                return 1
            }
            if left == 0, hadTurn, !record.hasQueuedEvents { break }
            guard try turn(record.hasQueuedEvents ? 0 : left) != nil else { throw SocketError(.invalidHandle, "") }
            hadTurn = true
            left = limit.left
        }
        return 0
    }
}

@_cdecl("sluice_loop_queue_events") @implementation
public func sluice_loop_queue_events(_ loop: sluice_handle, _ on: Bool) -> sluice_error {
    act(loop) { record, _ in record.setQueueing(on) }
}

@_cdecl("sluice_loop_dropped_events") @implementation
public func sluice_loop_dropped_events(_ loop: sluice_handle) -> Int64 {
    guard let (record, _) = loopRecord(loop) else {
        _ = unusable(loop)
        return 0
    }
    return record.droppedEvents
}

@_cdecl("sluice_loop_set_busy_poll") @implementation
public func sluice_loop_set_busy_poll(_ loop: sluice_handle, _ microseconds: Int64) -> sluice_error {
    act(loop) { (_, loop) throws(SocketError) in
        guard microseconds <= 1_000_000 else { throw .invalidArgument }
        loop.busyPoll = try atLeast(0, microseconds)
    }
}

@_cdecl("sluice_loop_start_timer") @implementation
public func sluice_loop_start_timer(
    _ loop: sluice_handle, _ milliseconds: Int64, _ repeats: Bool, _ function: sluice_callback?, _ context: UnsafeMutableRawPointer?
) -> Int64 {
    var number: Int64 = 0
    let error = act(loop) { (record, loop) throws(SocketError) in
        guard let function else { throw .invalidArgument }
        number = record.startTimer(on: loop, after: try atLeast(0, milliseconds), repeats: repeats, function, context)
    }
    return error == 0 ? number : -Int64(error)
}

@_cdecl("sluice_loop_stop_timer") @implementation
public func sluice_loop_stop_timer(_ loop: sluice_handle, _ timer: Int64) -> sluice_error {
    act(loop) { (record, _) throws(SocketError) in
        guard record.stopTimer(timer) else { throw .invalidArgument }
    }
}

@_cdecl("sluice_loop_detach") @implementation
public func sluice_loop_detach(_ loop: sluice_handle) -> sluice_error {
    act(loop) { (record, _) throws(SocketError) in
        guard record.detach() else { throw SocketError(.invalidState, "") }
    }
}

@_cdecl("sluice_loop_attach") @implementation
public func sluice_loop_attach(_ loop: sluice_handle) -> sluice_error {
    let taken = HandleTables.record(of: loop)?.take(loop) ?? .invalidHandle
    return taken == .noError ? 0 : failed(taken)
}
