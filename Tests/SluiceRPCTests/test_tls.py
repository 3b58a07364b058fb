"""Encrypted sockets through the sidecar, against Python's own TLS."""
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from support import PATIENCE, Peer, TestCase, receive_exactly


def make_certificate(folder):
    """A certificate for localhost that vouches for itself: the paths of it and its key."""
    certificate, key = os.path.join(folder, "certificate.pem"), os.path.join(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=PATIENCE)
    return certificate, key


class TLSCase(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.mkdtemp(prefix="sluice-")
        cls.addClassCleanup(shutil.rmtree, cls.certificates, True)
        cls.certificate, cls.key = make_certificate(cls.certificates)

    def setUp(self):
        self.rpc = self.stdio()
        self.peer = Peer(self)

    def serve(self, *protocols):
        """Accepts one connection and encrypts it, in a thread; what it returns gives the connection."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        connections = []

        def run():
            plain = self.peer.accept()
            try:
                connections.append(context.wrap_socket(plain, server_side=True))
            except (ssl.SSLError, OSError) as error:
                connections.append(error)
        thread = threading.Thread(target=run)
        thread.start()

        def finish():
            thread.join(PATIENCE)
            if connections and isinstance(connections[0], ssl.SSLSocket):
                self.addCleanup(connections[0].close)
            return connections[0]
        self.addCleanup(thread.join, PATIENCE)
        return finish

    def client(self, **configuration):
        handle = self.rpc.call("tlsSocket.create")
        self.rpc.call("tlsSocket.setConfiguration", handle, {"certificateAuthorities": self.certificate, **configuration})
        return handle


class Clients(TLSCase):
    def test_encrypted_from_the_beginning(self):
        finish = self.serve("h2", "http/1.1")
        handle = self.client(alpn=["spdy", "http/1.1"])
        self.assertEqual([self.rpc.call("handle.kind", handle), self.rpc.call("socket.socketType", handle)], ["TlsSocket", "Tls"])
        self.rpc.call("tlsSocket.connectToHostEncrypted", handle, "localhost", self.peer.port)
        self.rpc.call("socket.write", handle, "written early")
        self.assertIs(self.rpc.call("tlsSocket.waitForEncrypted", handle), True)
        connection = finish()
        names = self.rpc.take_events(handle)
        self.assertLess(names.index("connected"), names.index("encrypted"))
        self.assertEqual(receive_exactly(connection, 13), b"written early")
        connection.sendall(b"back\n")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readLine", handle)["data"], "back\n")
        self.assertIs(self.rpc.call("tlsSocket.isEncrypted", handle), True)
        self.assertEqual(self.rpc.call("tlsSocket.sessionProtocol", handle), connection.version())
        self.assertEqual(self.rpc.call("tlsSocket.sessionCipher", handle), connection.cipher()[0])
        self.assertEqual(self.rpc.call("tlsSocket.negotiatedProtocol", handle), "http/1.1")
        self.assertIs(self.rpc.call("tlsSocket.isSessionResumed", handle), False)
        certificate = self.rpc.call("tlsSocket.peerCertificate", handle)
        with open(self.certificate) as file:
            self.assertEqual(certificate["pem"].strip(), file.read().strip())
        self.assertEqual((certificate["commonName"], certificate["isSelfSigned"]), ("localhost", True))
        self.assertIn("DNS:localhost", certificate["subjectAlternativeNames"])
        self.assertEqual(self.rpc.call("tlsSocket.peerCertificateChain", handle), [certificate])
        self.assertEqual(self.rpc.call("tlsSocket.sslErrors", handle), [])
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertEqual(connection.recv(10), b"")

    def test_later(self):
        finish = self.serve()
        handle = self.client()
        self.rpc.call("socket.connectToHost", handle, "localhost", self.peer.port)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        self.assertIs(self.rpc.call("tlsSocket.isEncrypted", handle), False)
        self.rpc.call("tlsSocket.startClientEncryption", handle)
        self.rpc.event("socket.encrypted", handle)
        finish().sendall(b"x")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertError(self.rpc.error("tlsSocket.startClientEncryption", handle), -32000, "OperationError")
        self.assertError(self.rpc.error("tlsSocket.startServerEncryption", handle), -32000, "OperationError")

    def test_a_certificate_that_nobody_vouches_for(self):
        finish = self.serve()
        handle = self.rpc.call("tlsSocket.create")
        self.rpc.call("tlsSocket.connectToHostEncrypted", handle, "localhost", self.peer.port)
        self.assertIs(self.rpc.call("tlsSocket.waitForEncrypted", handle), False)
        errors = self.rpc.event("socket.sslErrors", handle)["errors"]
        self.assertEqual([error["error"] for error in errors], ["SelfSignedCertificate"])
        self.assertEqual(sorted(errors[0]), ["depth", "error", "message"])
        event = self.rpc.event("socket.errorOccurred", handle)
        self.assertEqual(event["error"], "SslHandshakeFailedError")
        self.assertEqual(event["attempts"][-1]["phase"], "tls")
        finish()

    def test_errors_that_are_ignored(self):
        for errors, works in ((None, True), (["SelfSignedCertificate"], True), (["CertificateExpired"], False), ([], False)):
            with self.subTest(errors=errors):
                finish = self.serve()
                handle = self.rpc.call("tlsSocket.create")
                self.rpc.call("tlsSocket.ignoreErrors", handle, *([] if errors is None else [errors]))
                self.rpc.call("tlsSocket.connectToHostEncrypted", handle, "localhost", self.peer.port)
                self.assertIs(self.rpc.call("tlsSocket.waitForEncrypted", handle), works)
                finish()

    def test_pausing_at_errors(self):
        finish = self.serve()
        handle = self.rpc.call("tlsSocket.create")
        self.rpc.call("socket.setPauseMode", handle, "OnSslErrors")
        self.rpc.call("tlsSocket.connectToHostEncrypted", handle, "localhost", self.peer.port)
        self.rpc.event("socket.sslErrors", handle)
        self.rpc.call("tlsSocket.ignoreErrors", handle, ["SelfSignedCertificate"])
        self.rpc.call("socket.resume", handle)
        self.rpc.event("socket.encrypted", handle)
        finish()

    def test_faults_of_the_configuration(self):
        handle = self.rpc.call("tlsSocket.create")
        for name, value in (("certificate", 5), ("verifyMode", "sometimes"), ("verifyMode", 9), ("minimumVersion", "SSLv3"), ("alpn", "h2"), ("alpn", [5]), ("nonsense", "x"), ("ciphers", [])):
            with self.subTest(name=name):
                error = self.rpc.error("tlsSocket.setConfiguration", handle, {name: value})
                self.assertError(error, -32602, "InvalidArgumentError", "configuration")
                self.assertIn(name, error["message"])
        for name, value in (("certificate", "/none.pem"), ("certificateAuthorities", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"), ("privateKey", self.certificate), ("ciphers", "nonsense")):
            with self.subTest(name=name):
                error = self.rpc.error("tlsSocket.setConfiguration", handle, {name: value})
                self.assertError(error, -32000, "SslInvalidUserDataError")
                self.assertIn(name, error["message"])
        self.assertError(self.rpc.error("tlsSocket.ignoreErrors", handle, ["Nonsense"]), -32602, parameter="errors")

    def test_secrets_are_not_told(self):
        handle = self.rpc.call("tlsSocket.create")
        values = {"certificate": self.certificate, "privateKey": self.key, "passphrase": "secret", "verifyMode": 1, "alpn": ["h2"], "minimumVersion": "1.3", "verifyName": None}
        self.rpc.call("tlsSocket.setConfiguration", handle, values)
        self.assertEqual(self.rpc.call("tlsSocket.configuration", handle), {
            "certificateAuthorities": None, "certificate": self.certificate, "verifyMode": "query", "verifyName": None, "alpn": ["h2"], "minimumVersion": "TLSv1.3",
            "ciphers": None, "sessionTicket": None})

    def test_wrong_kinds_and_states(self):
        tcp, tls = self.rpc.call("tcpSocket.create"), self.rpc.call("tlsSocket.create")
        self.assertError(self.rpc.error("tlsSocket.startClientEncryption", tcp), -32001, "WrongKindError")
        self.assertError(self.rpc.error("tlsSocket.startClientEncryption", tls), -32000, "OperationError")
        self.assertError(self.rpc.error("tlsSocket.waitForEncrypted", tcp), -32001, "WrongKindError")
        self.assertIs(self.rpc.call("tlsSocket.waitForEncrypted", tls), False)
        self.assertIsNone(self.rpc.call("tlsSocket.peerCertificate", tls))

    def test_the_rules_hold(self):
        rpc = self.stdio("--deny", "127.0.0.1")
        handle = rpc.call("tlsSocket.create")
        self.assertError(rpc.error("tlsSocket.connectToHostEncrypted", handle, "127.0.0.1", self.peer.port), -32001, "NotPermittedError")
        self.assertError(rpc.error("tlsSocket.create", {"hostname": "127.0.0.1", "port": 5}), -32001, "NotPermittedError")


class Servers(TLSCase):
    def connect(self, port):
        context = ssl.create_default_context(cafile=self.certificate)
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", port), PATIENCE), server_hostname="localhost", do_handshake_on_connect=False)
        self.addCleanup(connection.close)
        return connection

    def handshake(self, connection):
        thread = threading.Thread(target=connection.do_handshake)
        thread.start()
        self.addCleanup(thread.join, PATIENCE)
        return thread

    def test_connections_that_are_encrypted_from_the_beginning(self):
        server = self.rpc.call("tcpServer.create")
        self.assertIsNone(self.rpc.call("server.tlsConfiguration", server))
        self.rpc.call("server.setTlsConfiguration", server, {"certificate": self.certificate, "privateKey": self.key})
        self.assertEqual(self.rpc.call("server.tlsConfiguration", server)["certificate"], self.certificate)
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        connection = self.connect(self.rpc.call("server.port", server))
        thread = self.handshake(connection)
        self.assertTrue(self.rpc.call("server.waitForNewConnection", server, 10000)["available"])
        handle = self.rpc.call("server.nextPendingConnection", server)
        self.assertEqual(self.rpc.call("handle.kind", handle), "TlsSocket")
        self.assertIs(self.rpc.call("tlsSocket.waitForEncrypted", handle), True)
        thread.join(PATIENCE)
        connection.sendall(b"hello")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "hello")
        self.rpc.call("server.setTlsConfiguration", server, None)
        self.assertIsNone(self.rpc.call("server.tlsConfiguration", server))

    def test_an_accepted_connection_later(self):
        server = self.rpc.call("tcpServer.create", {"incoming": "descriptor"})
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        connection = self.connect(self.rpc.call("server.port", server))
        handle = self.rpc.call("tlsSocket.create")
        self.rpc.call("tlsSocket.setConfiguration", handle, {"certificate": self.certificate, "privateKey": self.key})
        self.rpc.call("socket.setDescriptor", handle, self.rpc.event("server.incomingConnection", server)["descriptor"])
        self.rpc.call("tlsSocket.startServerEncryption", handle)
        thread = self.handshake(connection)
        self.rpc.event("socket.encrypted", handle)
        thread.join(PATIENCE)
        self.rpc.call("socket.write", handle, "hello")
        self.assertEqual(receive_exactly(connection, 5), b"hello")

    def test_faults(self):
        server = self.rpc.call("tcpServer.create")
        error = self.rpc.error("server.setTlsConfiguration", server, {"certificate": "/none.pem"})
        self.assertError(error, -32000, "SslInvalidUserDataError")
        self.assertError(self.rpc.error("server.setTlsConfiguration", server, {"x": 1}), -32602, parameter="configuration")
        self.assertIsNone(self.rpc.call("server.tlsConfiguration", server))


if __name__ == "__main__":
    unittest.main()
