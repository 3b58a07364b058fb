/// What the connections of an encrypting server have in common.
struct ServerEncryption {
    let configuration: TLSConfiguration
    let context: TLSContext

    func makeSocket(_ loop: EventLoop) -> StreamSocket { TLSSocket(loop: loop, accepting: context, configuration: configuration) }
}

extension Server {
    /// With a configuration, connections become `TLSSocket`s (of local servers too) whose server's handshake begins at once; nil: they are plain,
    /// as at first. For connections from now on: to take a renewed certificate into use, set the configuration again.
    /// Bad material is SslInvalidUserDataError and changes nothing.
    public func setTLSConfiguration(_ configuration: TLSConfiguration?) throws(SocketError) {
        guard let configuration else {
            encryption = nil
            return
        }
        encryption = ServerEncryption(
            configuration: configuration, context: try loop.tlsContexts.context(for: configuration, role: .server))
    }

    public var tlsConfiguration: TLSConfiguration? { encryption?.configuration }
}
