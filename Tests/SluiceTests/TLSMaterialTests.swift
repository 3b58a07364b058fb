import Glibc
import Sluice
import Testing

/// Bad material is refused when it is set, and the message says which item is bad and why.
@Suite struct TLSMaterialTests {
    private struct Case: CustomTestStringConvertible, Sendable {
        let words: String
        let change: @Sendable (inout TLSConfiguration) -> Void
        var testDescription: String { words }
    }

    private static func path(_ name: String) -> String { Certificates.path(name) }

    private static let cases = [
        Case(words: "certificate (/nowhere/server.pem) cannot be read: No such file or directory") { $0.certificate = "/nowhere/server.pem" },
        Case(words: "certificate (/tmp) is not a file") { $0.certificate = "/tmp" },
        Case(words: "certificate (/dev/null) is not a file") { $0.certificate = "/dev/null" },
        Case(words: "holds no certificate") { $0.certificate = path("server.key") },
        Case(words: "its first certificate is damaged") { $0.certificate = path("damaged.pem") },
        Case(words: "certificate holds no certificate") { $0.certificate = "-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n" },
        Case(words: "privateKey (\(path("client.key"))) does not belong to the certificate: \(path("server-chain.pem")) has another key") {
            $0.privateKey = path("client.key")
        },
        Case(words: "certificate (\(path("reversed-chain.pem"))) is in the wrong order: the privateKey belongs to the second certificate") {
            $0.certificate = path("reversed-chain.pem")
        },
        Case(words: "privateKey (\(path("locked.key"))) is encrypted, and no passphrase is set") { $0.privateKey = path("locked.key") },
        Case(words: "privateKey (\(path("locked.key"))) cannot be opened with this passphrase") {
            $0.privateKey = path("locked.key")
            $0.passphrase = "guess"
        },
        Case(words: "privateKey (\(path("server.pem"))) holds no private key") { $0.privateKey = path("server.pem") },
        Case(words: "privateKey is not set, and certificate (\(path("server-chain.pem"))) holds no private key") { $0.privateKey = "" },
        Case(words: "certificate is not set, and there is a privateKey") { $0.certificate = "" },
        Case(words: "certificateAuthorities (/nowhere) cannot be read") { $0.certificateAuthorities = "/nowhere" },
        Case(words: "certificateAuthorities holds no certificate") { $0.certificateAuthorities = "-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n" },
        Case(words: "is neither PEM text nor the path of a file") { $0.certificateAuthorities = "some\ntext" },
        Case(words: "ciphers: OpenSSL has none of \"NONSENSE\"") { $0.ciphers = "NONSENSE" },
        Case(words: "ciphers: OpenSSL has none of \"TLS_NONSENSE\"") { $0.ciphers = "TLS_NONSENSE" },
        Case(words: "alpn: the name of a protocol has 1 to 255 bytes") { $0.alpn = ["h2", ""] },
        Case(words: "sessionTicket is not what an earlier connection gave") { $0.sessionTicket = "what?" },
    ]

    @Test(arguments: cases) private func badMaterialIsNamed(_ bad: Case) throws {
        let bench = try Bench()
        defer { bench.end() }
        let socket = try bench.tlsSocket(.server())
        var configuration = TLSConfiguration.server()
        bad.change(&configuration)
        do {
            try socket.setConfiguration(configuration)
            Issue.record("it was accepted")
        } catch {
            #expect(error.code == .sslInvalidUserData)
            #expect(error.message.contains(bad.words), "\(error.message)")
        }
        #expect(socket.configuration == .server(), "nothing changed")
    }

    @Test func textAndFilesAreTheSame() throws {
        let bench = try Bench()
        defer { bench.end() }
        let text = TLSConfiguration.server().with {
            $0.certificate = Certificates.text("server-chain.pem")
            $0.privateKey = Certificates.text("locked.key")
            $0.passphrase = "secret"
        }
        _ = try bench.tlsPair(.client.with { $0.certificateAuthorities = Certificates.text("root.pem") }, text)
        _ = try bench.tlsPair(.client, .server().with { $0.certificate = Certificates.path("all-in-one.pem"); $0.privateKey = "" })
    }

    @Test func aServerNeedsACertificate() throws {
        let bench = try Bench()
        defer { bench.end() }
        #expect(code { _ = try bench.tlsServer(TLSConfiguration()) } == .sslInvalidUserData)
        let link = try bench.link()
        let socket = try bench.tlsSocket()
        #expect(code { try socket.startServerEncryption() } == .operation, "there is no connection")
        try socket.setDescriptor(try link.socket.takeDescriptor())
        #expect(code { try socket.startServerEncryption() } == .sslInvalidUserData)
        #expect(socket.state == .connected)
    }

    /// A name that cannot be one is told when it matters.
    @Test func aRenewedCertificateIsTakenIntoUse() throws {
        let bench = try Bench()
        defer { bench.end() }
        let folder = try TempFolder()
        func install(_ name: String) {
            for (from, to) in [("\(name)-chain.pem", "chain.pem"), ("\(name).key", "key.pem")] {
                #expect(system("cp '\(Certificates.path(from))' '\(folder.path(to)).new' && mv '\(folder.path(to)).new' '\(folder.path(to))'") == 0)
            }
        }
        let configuration = TLSConfiguration().with { $0.certificate = folder.path("chain.pem"); $0.privateKey = folder.path("key.pem") }
        install("expired")
        let before = try bench.tlsConnect(.client, configuration)
        bench.run { before.client.isGone }
        install("server")
        _ = try bench.tlsPair(.client, configuration)
    }
}
