/// What one client may cost the others. Each limit has an option of its own, and whoever reaches one is told which.
public struct Limits: Sendable {
    /// Bytes of one message, in either framing.
    public var maxMessage = 16 << 20
    /// How deep arrays and objects of a message may stand in each other.
    public var maxDepth = 64
    /// Handles that one client holds at a time.
    public var maxHandles = 1024
    /// Clients at a time.
    public var maxClients = 256
    /// Bytes of output that a client has not taken yet.
    public var maxOutput = 64 << 20

    /// Requests in one batch.
    static let maxBatch = 10_000
    /// Calls of one client that wait for something at the same time.
    static let maxPending = 4096
    /// Descriptors that came with messages and were not asked for yet.
    static let maxDescriptors = 64
    /// What the JSON library can take.
    public static let deepest = 2000

    public init() {}

    /// Where a client's sockets stop being read until it has caught up.
    var softOutput: Int { max(4096, maxOutput / 8) }
    /// The most bytes that one answer carries as `data`: what is left of half the output when they have become base64.
    var maxData: Int { max(1, maxOutput / 8 * 3) }

    var json: JSONLimits { JSONLimits(depth: maxDepth) }
}
