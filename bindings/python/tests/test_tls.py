"""TLS in both faces, against the real sidecar and Python's own ssl."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest
from typing import Any, Callable, ClassVar, List

from support import LIMIT, MS, SIDECAR, Case

import sluice
from sluice import SslErrorCode, TlsConfiguration, VerifyMode, aio

OPENSSL = shutil.which("openssl")


class Material:
    """A certificate for localhost, signed by itself."""

    folder: tempfile.TemporaryDirectory[str]
    certificate: str
    key: str

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.certificate = os.path.join(self.folder.name, "certificate.pem")
        self.key = os.path.join(self.folder.name, "key.pem")
        assert OPENSSL is not None
        command = [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
        command += ["-keyout", self.key, "-out", self.certificate, "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        subprocess.run(command, check=True, capture_output=True)

    def text(self, path: str) -> str:
        with open(path, encoding="ascii") as file:
            return file.read()


@unittest.skipIf(OPENSSL is None, "there is no openssl to make certificates")
class TlsCase(Case):
    material: ClassVar[Material]

    @classmethod
    def setUpClass(cls) -> None:
        cls.material = Material()
        cls.addClassCleanup(cls.material.folder.cleanup)

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.material.certificate, self.material.key)
        context.set_alpn_protocols(["one", "two"])
        return context

    def serve(self, talk: Callable[[ssl.SSLSocket], None]) -> int:
        """The port of a server of Python's own for one connection."""
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(LIMIT)

        def run() -> None:
            try:
                with listening:
                    raw, _ = listening.accept()
                raw.settimeout(LIMIT)
                with self.server_context().wrap_socket(raw, server_side=True) as peer:
                    talk(peer)
            except OSError:
                pass  # The client did not like us.

        thread = threading.Thread(target=run)
        thread.start()
        self.addCleanup(thread.join, LIMIT)
        port: int = listening.getsockname()[1]
        return port

    def trusting(self, **members: Any) -> TlsConfiguration:
        return TlsConfiguration(certificate_authorities=self.material.certificate, **members)


def echo(peer: ssl.SSLSocket) -> None:
    while True:
        chunk = peer.recv(65536)
        if not chunk:
            return
        peer.sendall(chunk)


class Clients(TlsCase):
    def test_a_server_that_is_trusted(self) -> None:
        with self.session.connect_tls("localhost", self.serve(echo), MS, self.trusting(alpn=["two"])) as sock:
            self.assertTrue(sock.is_encrypted())
            self.assertTrue(sock.session_protocol().startswith("TLSv1."))
            self.assertTrue(sock.session_cipher())
            self.assertEqual(sock.negotiated_protocol(), "two")
            self.assertEqual(sock.ssl_errors(), [])
            certificate = sock.peer_certificate()
            assert certificate is not None
            self.assertEqual(certificate.common_name, "localhost")
            self.assertIn("DNS:localhost", certificate.subject_alternative_names)
            self.assertTrue(certificate.is_self_signed)
            self.assertEqual(sock.peer_certificate_chain()[0], certificate)
            sock.sendall(b"line\n")
            self.assertEqual(next(iter(sock)), b"line\n")
            sock.sendall(os.urandom(300_000))
            sock.read_exactly(300_000, MS)

    def test_one_that_is_not(self) -> None:
        with self.assertRaises(sluice.SslHandshakeFailedError) as raised:
            self.session.connect_tls("localhost", self.serve(echo), MS)
        self.assertIn("certificate", str(raised.exception).lower())

    def test_the_wrong_host(self) -> None:
        with self.assertRaises(sluice.SslHandshakeFailedError):
            self.session.connect_tls("127.0.0.1", self.serve(echo), MS, self.trusting(verify_name="example.org"))

    def test_what_is_wrong_can_be_ignored(self) -> None:
        with self.session.tls_socket() as sock:
            told: List[sluice.SslError] = []
            sock.on_ssl_errors(lambda event: told.extend(event.ssl_errors))
            sock.ignore_errors([SslErrorCode.SELF_SIGNED_CERTIFICATE])
            sock.connect_to_host_encrypted("localhost", self.serve(echo))
            self.assertTrue(sock.wait_for_encrypted(MS), sock.error_string())
            self.assertEqual([each.code for each in sock.ssl_errors()], [SslErrorCode.SELF_SIGNED_CERTIFICATE])
        with self.session.tls_socket() as sock:
            sock.set_configuration(TlsConfiguration(verify_mode=VerifyMode.NONE))
            sock.connect_to_host_encrypted("localhost", self.serve(echo))
            self.assertTrue(sock.wait_for_encrypted(MS), sock.error_string())

    def test_in_the_middle_of_a_connection(self) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        listening.settimeout(LIMIT)
        with listening, self.session.tls_socket() as sock:
            sock.set_configuration(self.trusting(verify_name="localhost"))
            sock.connect_to_host("127.0.0.1", listening.getsockname()[1])
            self.assertTrue(sock.wait_for_connected(MS))
            raw, _ = listening.accept()
            raw.settimeout(LIMIT)
            sock.sendall(b"STARTTLS\n")
            self.assertEqual(raw.recv(100), b"STARTTLS\n")
            sock.start_client_encryption()
            with self.server_context().wrap_socket(raw, server_side=True) as peer:
                self.assertTrue(sock.wait_for_encrypted(MS), sock.error_string())
                sock.sendall(b"secret")
                self.assertEqual(peer.recv(100), b"secret")

    def test_bad_material_is_named(self) -> None:
        with self.session.tls_socket() as sock:
            for wrong in (
                TlsConfiguration(certificate_authorities="/no/such/file"),
                TlsConfiguration(certificate=self.material.certificate),
                TlsConfiguration(certificate=self.material.certificate, private_key=self.material.certificate),
                TlsConfiguration(ciphers="none of these"),
            ):
                with self.subTest(wrong), self.assertRaises(sluice.SslInvalidUserDataError) as raised:
                    sock.set_configuration(wrong)
                self.assertTrue(str(raised.exception))
            for mistake in ("PEM", None, {"verifyMode": "none"}):
                with self.assertRaises(TypeError):
                    sock.set_configuration(mistake)  # type: ignore[arg-type]
            with self.assertRaises(TypeError):
                sock.set_configuration(TlsConfiguration(alpn="h2"))
            for mistake in (TlsConfiguration(minimum_version="SSLv3"), TlsConfiguration(verify_mode="maybe")):  # type: ignore[arg-type]
                with self.assertRaises(ValueError):
                    sock.set_configuration(mistake)

    def test_names_do_for_numbers(self) -> None:
        with self.session.tls_socket() as sock:
            sock.set_configuration(TlsConfiguration(minimum_version="TLSv1.3", verify_mode="none"))  # type: ignore[arg-type]
            said = sock.configuration()
            self.assertEqual((said.minimum_version, said.verify_mode), (sluice.TlsVersion.TLS_1_3, sluice.VerifyMode.NONE))

    def test_secrets_are_not_given_back(self) -> None:
        with self.session.tls_socket() as sock:
            configuration = TlsConfiguration(
                certificate=self.material.text(self.material.certificate), private_key=self.material.text(self.material.key), alpn=["h2"]
            )
            self.assertNotIn("PRIVATE", repr(configuration))
            sock.set_configuration(configuration)
            told = sock.configuration()
            self.assertEqual((told.private_key, told.passphrase), ("", ""))
            self.assertEqual((told.certificate, list(told.alpn), told.verify_mode), (configuration.certificate, ["h2"], VerifyMode.AUTOMATIC))


class Servers(TlsCase):
    def test_its_connections_are_encrypted(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            self.assertIsNone(server.tls_configuration())
            server.set_tls_configuration(TlsConfiguration(certificate=self.material.certificate, private_key=self.material.key))
            told = server.tls_configuration()
            assert told is not None
            self.assertEqual(told.private_key, "")
            with self.session.connect_tls("localhost", server.port(), MS, self.trusting()) as client:
                with server.accept(MS) as accepted:
                    self.assertIsInstance(accepted, sluice.TlsSocket)
                    client.sendall(b"hello")
                    self.assertEqual(accepted.read_exactly(5, MS), b"hello")
            server.set_tls_configuration(None)
            with self.session.connect_tcp("127.0.0.1", server.port(), MS), server.accept(MS) as plain:
                self.assertNotIsInstance(plain, sluice.TlsSocket)


@unittest.skipIf(SIDECAR is None or OPENSSL is None, "there is no sluiced, or no openssl")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_both_ends(self) -> None:
        material = Material()
        self.addCleanup(material.folder.cleanup)
        async with aio.start(SIDECAR) as session, session.listen_tcp("127.0.0.1") as server:
            await server.set_tls_configuration(TlsConfiguration(certificate=material.certificate, private_key=material.key))
            trusting = TlsConfiguration(certificate_authorities=material.certificate)
            async with session.connect_tls("localhost", await server.port(), MS, trusting) as client:
                async with await server.accept(MS) as accepted:
                    await client.sendall(b"hello")
                    self.assertEqual(await accepted.read_exactly(5, MS), b"hello")


if __name__ == "__main__":
    unittest.main()
