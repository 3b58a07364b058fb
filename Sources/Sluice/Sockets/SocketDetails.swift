/// What only some sockets need at some time, so that an idle connection does not pay for it.
final class SocketDetails {
    var error: SocketError?
    var peerName = ""
    /// Known when the connection was made here; a reset connection cannot be asked for its peer any more.
    var peer: String?
    /// Options in the order they were set; applied to every descriptor that the socket gets.
    var options: [(option: SocketOption, value: Int)] = []
    var connecting: Connecting?
    var connectTimeout = Socket.standardTimeLimit
    var closeTimeout = Socket.standardTimeLimit
    var connectTimer: Timer?
    var closeTimer: Timer?
    var waits: [Wait] = []
    var model: SocketModel?
    var transport: (any Transport)?
    var proxyUse: ProxyUse?
    var shown = Socket.ShownAddresses()
    /// Of local sockets.
    var serverName = ""
    var fullServerName = ""
    var localOptions: LocalServerAccess = []
    var descriptors: DescriptorPassing?

    func setOption(_ option: SocketOption, _ value: Int) {
        options.removeAll { $0.option == option }
        options.append((option, value))
    }
}
