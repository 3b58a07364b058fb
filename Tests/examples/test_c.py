"""The examples in C, and the plugin in its host, against servers of Python's own."""

import hashlib
import random
import socket
import threading

from support import EXAMPLES, ExampleTest, run, start


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
        for program in ("http_get", "blocking_client"):
            result = run(self.programs / program)
            self.assertEqual(result.returncode, 2, program)
            self.assertIn("usage: " + program, result.stderr)
        result = run(self.programs / "echo_server", "--help")
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage: echo_server", result.stderr)

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
