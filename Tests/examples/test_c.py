"""The examples in C, and the plugin in its host, against servers of Python's own."""

import hashlib
import random
import shutil
import socket
import threading
import unittest

from support import EXAMPLES, PYTHON, ExampleTest, run, start


class CExamples(ExampleTest):
    def setUp(self):
        super().setUp()
        self.programs = self.make(EXAMPLES / "c")

    def test_http_get_fetches_a_large_file_by_name(self):
        served = self.folder / "served"
        served.mkdir()
        data = random.Random(1).randbytes(5_000_003)
        (served / "large.bin").write_bytes(data)
        port = self.file_server(served)
        fetched = self.folder / "fetched"
        self.assertRan(run(self.programs / "http_get", "-o", fetched, f"http://localhost:{port}/large.bin"))
        self.assertEqual(hashlib.sha256(fetched.read_bytes()).digest(), hashlib.sha256(data).digest())

    @unittest.skipIf(shutil.which("openssl") is None, "there is no openssl to make certificates")
    def test_http_get_fetches_from_who_is_trusted(self):
        served = self.folder / "served"
        served.mkdir()
        data = random.Random(4).randbytes(1_000_003)
        (served / "large.bin").write_bytes(data)
        certificate, key = self.certificate()
        url = f"https://localhost:{self.secure_file_server(served, certificate, key)}/large.bin"
        fetched = self.folder / "fetched"
        self.assertRan(run(self.programs / "http_get", "--trust", certificate, "-o", fetched, url))
        self.assertEqual(fetched.read_bytes(), data)
        refused = run(self.programs / "http_get", url)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("certificate", refused.stderr)
        missing = run(self.programs / "http_get", "--trust", self.folder / "nothing.pem", url)
        self.assertEqual(missing.returncode, 1)
        self.assertIn("nothing.pem", missing.stderr)

    def test_http_get_writes_to_stdout(self):
        served = self.folder / "served"
        served.mkdir()
        (served / "small.txt").write_text("a few words\n")
        port = self.file_server(served)
        result = run(self.programs / "http_get", f"http://127.0.0.1:{port}/small.txt")
        self.assertRan(result)
        self.assertEqual(result.stdout, "a few words\n")

    def test_http_get_tells_what_went_wrong(self):
        port = self.file_server(self.folder)
        missing = run(self.programs / "http_get", f"http://localhost:{port}/missing")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("404", missing.stderr)
        refused = run(self.programs / "http_get", f"http://127.0.0.1:{self.unused_port()}/")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("refused", refused.stderr)

    def test_http_get_notices_a_body_cut_short(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\nonly this")

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(thread.join)
        result = run(self.programs / "http_get", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        self.assertEqual(result.returncode, 1)
        self.assertNotEqual(result.stderr, "")

    def test_every_program_shows_its_usage(self):
        for program in ("http_get", "blocking_client", "command_transport"):
            result = run(self.programs / program)
            self.assertEqual(result.returncode, 2, program)
            self.assertIn("usage: " + program, result.stderr)
        for program in ("echo_server", "udp_echo_server"):
            result = run(self.programs / program, "--help")
            self.assertEqual(result.returncode, 2)
            self.assertIn("usage: " + program, result.stderr)

    def test_echo_server_serves_many_and_half_closed_clients(self):
        server = start(self.programs / "echo_server")
        self.addCleanup(self.end, server)
        port = int(server.stdout.readline().rsplit(" ", 1)[1])

        def client(seed, failures):
            # More than every buffer on the way, sent by one thread and read by another, then a half close.
            data = random.Random(seed).randbytes(4_000_000)
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                sender = threading.Thread(target=lambda: (connection.sendall(data), connection.shutdown(socket.SHUT_WR)))
                sender.start()
                received = bytearray()
                while chunk := connection.recv(65536):
                    received += chunk
                sender.join()
            if received != data:
                failures.append(f"client {seed}: {len(received)} bytes of {len(data)} came back as sent")

        failures = []
        threads = [threading.Thread(target=client, args=(seed, failures)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_echo_server_tells_a_port_in_use(self):
        with socket.create_server(("", 0)) as taken:
            result = run(self.programs / "echo_server", taken.getsockname()[1])
        self.assertEqual(result.returncode, 1)
        self.assertIn("AddressInUseError", result.stderr)

    def test_udp_echo_server_sends_back_what_comes(self):
        server = start(self.programs / "udp_echo_server")
        self.addCleanup(self.end, server)
        port = int(server.stdout.readline().rsplit(" ", 1)[1])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            for size in (0, 1, 1400, 65507):
                data = random.Random(size).randbytes(size)
                client.sendto(data, ("127.0.0.1", port))
                self.assertEqual(client.recvfrom(65536), (data, ("127.0.0.1", port)))
            # Many at a time.
            sent = [b"%d" % number for number in range(100)]
            for data in sent:
                client.sendto(data, ("127.0.0.1", port))
            self.assertEqual([client.recv(100) for _ in sent], sent)

    def test_udp_echo_server_tells_a_port_in_use(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("", 0))
            result = run(self.programs / "udp_echo_server", taken.getsockname()[1])
        self.assertEqual(result.returncode, 1)
        self.assertIn("AddressInUseError", result.stderr)

    def test_command_transport_talks_to_a_program(self):
        program = self.programs / "command_transport"
        result = run(program, "any line", "tr", "a-z", "A-Z")
        self.assertRan(result)
        self.assertEqual(result.stdout, "ANY LINE\n")
        # More than any buffer on the way, in both directions.
        line = "x" * 100_000
        result = run(program, line, PYTHON, "-c", "import sys; sys.stdout.write(sys.stdin.read() * 20)")
        self.assertRan(result)
        self.assertEqual(result.stdout, (line + "\n") * 20)

    def test_command_transport_tells_what_went_wrong(self):
        missing = run(self.programs / "command_transport", "x", self.folder / "no-such-program")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("No such file", missing.stderr)
        failing = run(self.programs / "command_transport", "x", "false")
        self.assertEqual(failing.returncode, 1)
        self.assertIn("false failed", failing.stderr)

    def test_blocking_client_prints_each_answer(self):
        result = run(self.programs / "blocking_client", "localhost", self.line_server(), "first line", "second line")
        self.assertRan(result)
        self.assertEqual(result.stdout, "first line\nsecond line\n")

    def test_blocking_client_tells_a_refused_connection(self):
        result = run(self.programs / "blocking_client", "127.0.0.1", self.unused_port(), "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stderr)

    def end(self, server):
        server.terminate()
        server.communicate()


class Plugin(ExampleTest):
    def setUp(self):
        super().setUp()
        self.programs = self.make(EXAMPLES / "plugin")

    def test_the_host_polls_the_plugin_beside_its_own(self):
        result = run(self.programs / "host", self.programs / "plugin.so", "localhost", self.line_server(), "who is there?")
        self.assertRan(result)
        once = "plugin: the answer is who is there?\nhost: 1 event of my own, some of the plugin\n"
        self.assertEqual(result.stdout, once * 2)

    def test_the_plugin_reports_a_refused_connection(self):
        result = run(self.programs / "host", self.programs / "plugin.so", "127.0.0.1", self.unused_port(), "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stderr)
