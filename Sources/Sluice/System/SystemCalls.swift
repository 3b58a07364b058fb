import CLinux
import Glibc

/// Every system call of the library; those that name files are in FileCalls.swift.
///
/// Calls on the data path return the result or minus errno: no throwing, no allocation. `EINTR` is handled here once, so that
/// no caller sees it. Calls that make a descriptor throw and hand it over owned; every descriptor is close-on-exec.
enum System {
    static let stream = Int32(SOCK_STREAM.rawValue)
    static let datagram = Int32(SOCK_DGRAM.rawValue)
    private static let closeOnExec = Int32(SOCK_CLOEXEC.rawValue)
    private static let nonBlockingFlag = Int32(SOCK_NONBLOCK.rawValue)

    // MARK: Moving bytes: none of these waits, but for `recvOnce`

    private static var withoutWaiting: Int32 { Int32(truncatingIfNeeded: MSG_DONTWAIT | MSG_NOSIGNAL) }

    @inline(__always)
    static func recv(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        while true {
            let result = Glibc.recv(descriptor, bytes, count, withoutWaiting)
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// As `recv`, but the bytes stay with the system.
    static func peek(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        while true {
            let result = Glibc.recv(descriptor, bytes, count, withoutWaiting | Int32(truncatingIfNeeded: MSG_PEEK))
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// One recv(2): a signal ends it with -EINTR, so that a caller who sleeps in it can look at its deadline.
    @inline(__always)
    static func recvOnce(_ descriptor: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int) -> Int {
        let result = Glibc.recv(descriptor, bytes, count, 0)
        return result >= 0 ? result : -Int(errno)
    }

    /// Never raises SIGPIPE.
    @inline(__always)
    static func send(_ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        while true {
            let result = Glibc.send(descriptor, bytes, count, withoutWaiting)
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// Never raises SIGPIPE. At most 1024 pieces (IOV_MAX).
    @inline(__always)
    static func sendVector(_ descriptor: Int32, _ pieces: UnsafePointer<iovec>, _ count: Int) -> Int {
        while true {
            let result = clinux_send_vector(descriptor, pieces, count, withoutWaiting)
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// Sends bytes (at least one) together with copies of descriptors; the number of bytes sent, or minus errno.
    static func sendDescriptors(_ socket: Int32, _ bytes: UnsafeRawBufferPointer, _ descriptors: [Int32]) -> Int {
        while true {
            let result = descriptors.withUnsafeBufferPointer {
                clinux_send_descriptors(socket, bytes.baseAddress, bytes.count, $0.baseAddress, $0.count, withoutWaiting)
            }
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// Receives bytes, and descriptors into `descriptors`, which belong to the caller then. How many `came` is told, and whether some
    /// were `lost` for want of room. While `waiting`, a signal ends it with -EINTR.
    static func receive(
        _ socket: Int32, _ bytes: UnsafeMutableRawPointer, _ count: Int, descriptors: UnsafeMutableBufferPointer<Int32>, waiting: Bool
    ) -> (result: Int, came: Int, lost: Bool) {
        var came = 0
        var lost = false
        while true {
            let result = clinux_receive_descriptors(
                socket, bytes, count, descriptors.baseAddress, descriptors.count, &came, &lost, waiting ? 0 : withoutWaiting)
            if result >= 0 { return (result, came, lost) }
            let number = errno
            if number != EINTR || waiting { return (-Int(number), came, lost) }
        }
    }

    /// As splice(2): the number of bytes moved into the pipe, or minus errno.
    static func splice(fromSocket socket: Int32, to pipe: Int32, _ count: Int) -> Int {
        while true {
            let result = clinux_splice_from_socket(socket, pipe, count)
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// As splice(2): the number of bytes moved out of the pipe, or minus errno.
    static func splice(from pipe: Int32, toSocket socket: Int32, _ count: Int) -> Int {
        while true {
            let result = clinux_splice_to_socket(pipe, socket, count)
            if result >= 0 { return result }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    // MARK: Connections

    static func setCloseOnExec(_ descriptor: Int32) { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }

    /// A new connection's descriptor, or minus errno. The peer's address is not asked for.
    @inline(__always)
    static func accept(_ descriptor: Int32, nonBlocking: Bool) -> Int {
        while true {
            let result = clinux_accept(descriptor, nonBlocking)
            if result >= 0 { return Int(result) }
            let number = errno
            if number != EINTR { return -Int(number) }
        }
    }

    /// 0, or minus errno. An interrupted connect goes on by itself, and so is reported as `-EINPROGRESS`.
    static func connect(_ descriptor: Int32, _ address: SocketAddress) -> Int {
        address.withSockAddr { pointer, length in
            if Glibc.connect(descriptor, pointer, length) == 0 { return 0 }
            let number = errno
            return -Int(number == EINTR ? EINPROGRESS : number)
        }
    }

    static func bind(_ descriptor: Int32, _ address: SocketAddress) -> Int {
        address.withSockAddr { pointer, length in outcome(Glibc.bind(descriptor, pointer, length)) }
    }

    static func listen(_ descriptor: Int32, backlog: Int32) -> Int {
        outcome(Glibc.listen(descriptor, backlog))
    }

    /// `how`: SHUT_RD, SHUT_WR or SHUT_RDWR.
    static func shutdown(_ descriptor: Int32, _ how: Int) -> Int {
        outcome(Glibc.shutdown(descriptor, Int32(truncatingIfNeeded: how)))
    }

    static func socket(family: Int32, type: Int32, protocol number: Int32 = 0, nonBlocking: Bool = false) throws(SystemError) -> Descriptor {
        try owned(Glibc.socket(family, type | closeOnExec | (nonBlocking ? nonBlockingFlag : 0), number), "socket")
    }

    /// Never repeated, whatever it says: Linux has released the number in every case, and another thread may already own it.
    static func close(_ descriptor: Int32) {
        _ = Glibc.close(descriptor)
    }

    /// Another descriptor for the same socket.
    static func duplicate(_ descriptor: Int32) throws(SystemError) -> Descriptor {
        try owned(fcntl(descriptor, F_DUPFD_CLOEXEC, 0), "fcntl")
    }

    /// How long recv(2) sleeps at most on a blocking descriptor; 0 is without limit (SO_RCVTIMEO).
    static func setReceiveTimeout(_ descriptor: Int32, milliseconds: Int32) -> Int {
        var limit = timeval(tv_sec: Int(milliseconds / 1000), tv_usec: Int(milliseconds % 1000) * 1000)
        return outcome(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size)))
    }

    static func setNonBlocking(_ descriptor: Int32, _ nonBlocking: Bool) -> Int {
        outcome(clinux_set_non_blocking(descriptor, nonBlocking))
    }

    // MARK: Waiting

    /// The number of ready descriptors, 0 at the time limit or after a signal (the caller then looks at its own deadline again),
    /// or minus errno. A negative time has no limit.
    @inline(__always)
    static func poll(_ descriptors: UnsafeMutablePointer<pollfd>, _ count: Int, timeoutMilliseconds: Int32) -> Int {
        let result = Glibc.poll(descriptors, nfds_t(count), timeoutMilliseconds)
        if result >= 0 { return Int(result) }
        let number = errno
        return number == EINTR ? 0 : -Int(number)
    }

    /// Sleeps; less after a signal. A negative time has no limit.
    static func sleep(milliseconds: Int32) { _ = Glibc.poll(nil, 0, milliseconds) }

    static func epollCreate() throws(SystemError) -> Descriptor {
        try owned(epoll_create1(Int32(EPOLL_CLOEXEC)), "epoll_create1")
    }

    /// `operation`: EPOLL_CTL_ADD, EPOLL_CTL_MOD or EPOLL_CTL_DEL.
    static func epollControl(_ epoll: Int32, _ operation: Int32, _ descriptor: Int32, _ events: UInt32, _ data: UInt64) throws(SystemError) {
        guard clinux_epoll_control(epoll, operation, descriptor, events, data) == 0 else {
            throw SystemError(number: errno, call: "epoll_ctl")
        }
    }

    /// As `poll`: 0 after a signal. `clinux_epoll_data` tells which registration an event is about.
    @inline(__always)
    static func epollWait(_ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>, _ capacity: Int32, _ timeoutMilliseconds: Int32) -> Int {
        let result = epoll_wait(epoll, events, capacity, timeoutMilliseconds)
        if result >= 0 { return Int(result) }
        let number = errno
        return number == EINTR ? 0 : -Int(number)
    }

    /// A counter that is readable while above 0; non-blocking.
    static func eventDescriptor() throws(SystemError) -> Descriptor {
        try owned(eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK)), "eventfd")
    }

    /// Adds to the counter and so makes it readable. A full counter is readable already: nothing is lost. Any thread.
    static func eventWrite(_ descriptor: Int32) {
        while eventfd_write(descriptor, 1) != 0, errno == EINTR {}
    }

    /// A timer on the monotonic clock that is readable once it has fired; non-blocking.
    static func timerDescriptor() throws(SystemError) -> Descriptor {
        try owned(timerfd_create(CLOCK_MONOTONIC, Int32(TFD_CLOEXEC | TFD_NONBLOCK)), "timerfd_create")
    }

    /// Fires once at this time of `monotonicNanoseconds()`, at once if that has passed; 0 disarms. Setting it also makes it
    /// unreadable until it fires (again).
    @discardableResult
    static func setTimer(_ descriptor: Int32, deadline nanoseconds: UInt64) -> Int {
        var setting = itimerspec()
        setting.it_value.tv_sec = Int(nanoseconds / 1_000_000_000)
        setting.it_value.tv_nsec = Int(nanoseconds % 1_000_000_000)
        return outcome(timerfd_settime(descriptor, Int32(TFD_TIMER_ABSTIME), &setting, nil))
    }

    /// The clock of all deadlines: never set, not counting the time the machine sleeps.
    @inline(__always)
    static func monotonicNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    // MARK: What a descriptor is

    static func getOption(_ descriptor: Int32, _ level: Int32, _ name: Int32) -> (result: Int, value: Int32) {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        let result = outcome(getsockopt(descriptor, level, name, &value, &size))
        return (result, value)
    }

    @discardableResult
    static func setOption(_ descriptor: Int32, _ level: Int32, _ name: Int32, _ value: Int32) -> Int {
        var value = value
        return outcome(setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size)))
    }

    /// The pending error of a socket as an errno (0: none), which is cleared by asking.
    static func socketError(_ descriptor: Int32) -> Int32 {
        let (result, value) = getOption(descriptor, SOL_SOCKET, SO_ERROR)
        return result == 0 ? value : Int32(truncatingIfNeeded: -result)
    }

    static func isSocket(_ descriptor: Int32) -> Bool {
        var status = stat()
        return fstat(descriptor, &status) == 0 && status.st_mode & S_IFMT == S_IFSOCK
    }

    static func isOpen(_ descriptor: Int32) -> Bool {
        descriptor >= 0 && fcntl(descriptor, F_GETFD) >= 0
    }

    /// AF_INET, AF_INET6, AF_UNIX, …; nil when this is no socket.
    static func socketFamily(_ descriptor: Int32) -> Int32? { optionIfSocket(descriptor, SO_DOMAIN) }

    /// `System.stream`, `System.datagram`, …; nil when this is no socket.
    static func socketType(_ descriptor: Int32) -> Int32? { optionIfSocket(descriptor, SO_TYPE) }

    static func isListening(_ descriptor: Int32) -> Bool { optionIfSocket(descriptor, SO_ACCEPTCONN) == 1 }

    private static func optionIfSocket(_ descriptor: Int32, _ name: Int32) -> Int32? {
        let (result, value) = getOption(descriptor, SOL_SOCKET, name)
        return result == 0 ? value : nil
    }

    static func localAddress(_ descriptor: Int32) -> SocketAddress? {
        SocketAddress { getsockname(descriptor, $0, $1) }
    }

    static func peerAddress(_ descriptor: Int32) -> SocketAddress? {
        SocketAddress { getpeername(descriptor, $0, $1) }
    }

    static func peerCredentials(_ descriptor: Int32) throws(SystemError) -> (pid: Int32, uid: UInt32, gid: UInt32) {
        var credentials = clinux_credentials()
        guard clinux_peer_credentials(descriptor, &credentials) == 0 else {
            throw SystemError(number: errno, call: "getsockopt")
        }
        return (credentials.pid, credentials.uid, credentials.gid)
    }

    // MARK: Results

    @inline(__always)
    static func outcome(_ result: Int32) -> Int {
        result >= 0 ? Int(result) : -Int(errno)
    }

    static func owned(_ result: Int32, _ call: StaticString) throws(SystemError) -> Descriptor {
        guard result >= 0 else { throw SystemError(number: errno, call: call) }
        return Descriptor(owning: result)
    }
}
