import Testing
@testable import Sluice

@Suite struct Smoke {
    @Test func loopMakes() throws { _ = try EventLoop() }
}
