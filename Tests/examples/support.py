"""What the tests of the examples share: where things are, peers of Python's own, and a way to run a program to its end."""

import functools
import http.server
import os
import pathlib
import socket
import socketserver
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / ".build" / "release")).resolve()
SLUICED = BUILD / "sluiced"
CC = os.environ.get("CC") or subprocess.run([ROOT / ".ci" / "cc"], check=True, capture_output=True, text=True).stdout.strip()

PYTHON = sys.executable

# How to compile and link against the build tree, where a user has pkg-config.
SLUICE_FLAGS = f"-I{ROOT / 'include'} -L{BUILD} -lsluice -Wl,-rpath,{BUILD}"

# No program of a test may outlive this; it is a guard against hanging, not a measure.
LIMIT = 120


def environment():
    """The environment of the programs under test: the sidecar and the Python client of this tree."""
    return os.environ | {
        "PATH": f"{BUILD}:{os.environ['PATH']}",
        "SLUICED": str(SLUICED),
        "PYTHONPATH": str(ROOT / "bindings" / "python" / "src"),
    }


def run(*command, stdin=None, cwd=None):
    """Runs a program to its end; answers its CompletedProcess, output as text."""
    return subprocess.run(
        [str(word) for word in command], input=stdin, cwd=cwd, env=environment(), timeout=LIMIT, capture_output=True, text=True
    )


def start(*command):
    """Starts a program whose output the test reads line by line."""
    return subprocess.Popen(
        [str(word) for word in command],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class _Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class _DatagramEcho(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data, self.client_address)


class _QuietFiles(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


class _QuietServer(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # A client that does not like the certificate is no news here.


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class ExampleTest(unittest.TestCase):
    """A test with a temporary folder and servers that end with it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sluice-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def serve(self, server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def end():
            server.shutdown()
            thread.join()
            server.server_close()

        self.addCleanup(end)
        return server.server_address[1]

    def line_server(self):
        """The port of a server on this machine that sends every line back."""
        return self.serve(_Server(("127.0.0.1", 0), _Echo))

    def datagram_server(self):
        """The port at which every datagram is sent back."""
        return self.serve(socketserver.UDPServer(("127.0.0.1", 0), _DatagramEcho))

    def file_server(self, folder):
        """The port of Python's own HTTP server over a folder."""
        handler = functools.partial(_QuietFiles, directory=str(folder))
        return self.serve(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))

    def certificate(self):
        """The paths of a certificate for localhost, signed by itself, and of its key."""
        certificate, key = self.folder / "certificate.pem", self.folder / "key.pem"
        result = run(
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-keyout", key,
            "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
        )
        self.assertRan(result)
        return certificate, key

    def secure_file_server(self, folder, certificate, key):
        """As file_server, over TLS."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        handler = functools.partial(_QuietFiles, directory=str(folder))
        server = _QuietServer(("127.0.0.1", 0), handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return self.serve(server)

    def unused_port(self):
        """A port on which nobody listens: bound, so that nobody else can begin to."""
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        return holder.getsockname()[1]

    def assertRan(self, process):
        self.assertEqual(process.returncode, 0, f"{process.args}\nstdout: {process.stdout}\nstderr: {process.stderr}")

    def make(self, folder):
        """Builds the examples of a folder against the build tree; answers where the programs are."""
        self.assertRan(run("make", "-C", folder, f"OUT={self.folder}", f"CC={CC}", f"SLUICE={SLUICE_FLAGS}"))
        return self.folder

