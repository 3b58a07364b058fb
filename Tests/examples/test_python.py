"""The examples in Python, against servers of Python's own."""

import os
import random
import shutil
import signal
import socket
import threading
import unittest

from support import EXAMPLES, PYTHON, ExampleTest, run, start

FOLDER = EXAMPLES / "python"


class HttpGet(ExampleTest):
    def test_fetches_a_large_file_by_name(self):
        served = self.folder / "served"
        served.mkdir()
        data = random.Random(2).randbytes(5_000_003)
        (served / "large.bin").write_bytes(data)
        fetched = self.folder / "fetched"
        port = self.file_server(served)
        self.assertRan(run(PYTHON, FOLDER / "http_get.py", "-o", fetched, f"http://localhost:{port}/large.bin"))
        self.assertEqual(fetched.read_bytes(), data)

    def test_tells_what_went_wrong(self):
        missing = run(PYTHON, FOLDER / "http_get.py", f"http://localhost:{self.file_server(self.folder)}/missing")
        self.assertEqual(missing.returncode, 1)
        self.assertIn("404", missing.stderr)
        refused = run(PYTHON, FOLDER / "http_get.py", f"http://127.0.0.1:{self.unused_port()}/")
        self.assertEqual(refused.returncode, 1)
        self.assertIn("refused", refused.stderr)
        self.assertNotIn("Traceback", refused.stderr)


@unittest.skipIf(shutil.which("openssl") is None, "there is no openssl to make certificates")
class HttpsGet(ExampleTest):
    def test_fetches_from_who_is_trusted(self):
        served = self.folder / "served"
        served.mkdir()
        data = random.Random(3).randbytes(1_000_003)
        (served / "large.bin").write_bytes(data)
        certificate, key = self.certificate()
        url = f"https://localhost:{self.secure_file_server(served, certificate, key)}/large.bin"
        fetched = self.folder / "fetched"
        self.assertRan(run(PYTHON, FOLDER / "http_get.py", "--trust", certificate, "-o", fetched, url))
        self.assertEqual(fetched.read_bytes(), data)
        refused = run(PYTHON, FOLDER / "http_get.py", url)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("certificate", refused.stderr)
        self.assertNotIn("Traceback", refused.stderr)


class LineClient(ExampleTest):
    def test_every_line_comes_back(self):
        text = "".join(f"line {number}\n" for number in range(500))
        result = run(PYTHON, FOLDER / "line_client.py", "localhost", self.line_server(), stdin=text)
        self.assertRan(result)
        self.assertEqual(result.stdout, text)

    def test_a_refused_connection_is_told(self):
        result = run(PYTHON, FOLDER / "line_client.py", "127.0.0.1", self.unused_port(), stdin="")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


class Member:
    """Somebody in the chat, with a socket of Python's own."""

    def __init__(self, test, port, name):
        self.connection = socket.create_connection(("localhost", port), timeout=60)
        test.addCleanup(self.connection.close)
        self.lines = self.connection.makefile("r", encoding="utf-8")
        test.addCleanup(self.lines.close)
        test.assertEqual(self.hear(), "Who are you?")
        self.say(name)
        test.assertEqual(self.hear(), f"Welcome, {name}.")

    def say(self, text):
        self.connection.sendall(text.encode() + b"\n")

    def hear(self):
        return self.lines.readline().rstrip("\n")

    def leave(self):
        self.lines.close()
        self.connection.close()


class ChatServer(ExampleTest):
    def setUp(self):
        super().setUp()
        self.server = start(PYTHON, FOLDER / "chat_server.py")
        self.addCleanup(self.end)
        self.port = int(self.server.stdout.readline().rsplit(" ", 1)[1])

    def end(self):
        if self.server.poll() is None:
            self.server.kill()
        self.server.communicate()

    def two_members(self):
        anna = Member(self, self.port, "Anna")
        bo = Member(self, self.port, "Bo")
        self.assertEqual(anna.hear(), "* Bo is here")
        return anna, bo

    def test_members_hear_each_other(self):
        anna, bo = self.two_members()
        anna.say("good evening, 世界")
        self.assertEqual(bo.hear(), "Anna: good evening, 世界")
        bo.say("hello")
        self.assertEqual(anna.hear(), "Bo: hello")
        bo.leave()
        self.assertEqual(anna.hear(), "* Bo has left")

    def test_a_line_that_does_not_fit_comes_in_pieces(self):
        anna, bo = self.two_members()
        bo.say("x" * 10_000)
        heard = 0
        while heard < 10_000:
            self.assertRegex(piece := anna.hear(), "^Bo: x+$")
            heard += len(piece) - len("Bo: ")
        self.assertEqual(heard, 10_000)

    def test_ends_at_an_interrupt(self):
        self.server.send_signal(signal.SIGINT)
        _, errors = self.server.communicate(timeout=60)
        self.assertEqual(self.server.returncode, 0, errors)
        self.assertNotIn("Traceback", errors)


class Discover(ExampleTest):
    def offer(self, *words):
        """A service on the loopback interface, once it can be found."""
        service = start(PYTHON, FOLDER / "discover.py", "offer", *words, "--interface", "lo")

        def end():
            service.kill()
            service.communicate()

        self.addCleanup(end)
        self.assertEqual(service.stdout.readline(), "offering\n")
        return service

    def test_each_service_is_found_once(self):
        # Others may look for services at the same time, and see these.
        names = [f"service-{os.getpid()}-{number}" for number in range(2)]
        for number, name in enumerate(names):
            self.offer(name, 7000 + number)
        result = run(PYTHON, FOLDER / "discover.py", "find", *names, "--interface", "lo", "--wait", "20000")
        self.assertRan(result)
        found = sorted(line for line in result.stdout.splitlines() if line.split()[0] in names)
        self.assertEqual([line.split()[0::2] for line in found], [[names[0], "7000"], [names[1], "7001"]])

    def test_ends_at_an_interrupt(self):
        service = self.offer("interrupted", 7000)
        service.send_signal(signal.SIGINT)
        _, errors = service.communicate(timeout=60)
        self.assertEqual(service.returncode, 0, errors)
        self.assertNotIn("Traceback", errors)

    def test_an_interface_that_does_not_exist_is_told(self):
        result = run(PYTHON, FOLDER / "discover.py", "find", "--interface", "none-such")
        self.assertEqual(result.returncode, 1)
        self.assertIn("none-such", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


class ShipLines(ExampleTest):
    def test_a_server_that_comes_late_and_goes_and_comes_gets_all_lines(self):
        holder = socket.create_server(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        holder.close()
        shipper = start(PYTHON, FOLDER / "ship_lines.py", "127.0.0.1", port)
        self.addCleanup(shipper.communicate)
        self.addCleanup(shipper.kill)
        shipper.stdin.write("one\ntwo\n")
        shipper.stdin.flush()
        self.hear(shipper, "refused")
        self.receive(shipper, port, ["one\n", "two\n"])
        # Only once it has seen that nobody is there: what the system has taken by then nobody can send again.
        self.hear(shipper, "refused")
        shipper.stdin.write("three\n")
        shipper.stdin.close()
        shipper.stdin = None
        self.receive(shipper, port, ["three\n"])
        self.assertEqual(shipper.wait(60), 0)

    def hear(self, shipper, word):
        while word not in (line := shipper.stderr.readline()):
            self.assertNotEqual(line, "", f"it ended without telling of {word}")

    def receive(self, shipper, port, expected):
        with socket.create_server(("127.0.0.1", port)) as server:
            server.settimeout(60)
            connection, _ = server.accept()
            with connection, connection.makefile("r", encoding="utf-8") as lines:
                self.assertEqual([lines.readline() for _ in expected], expected)
                self.hear(shipper, "connected")


class Forward(ExampleTest):
    def begin(self, port):
        """A forwarder, and its own port."""
        forwarder = start(PYTHON, FOLDER / "forward.py", 0, "127.0.0.1", port)

        def end():
            forwarder.kill()
            forwarder.communicate()

        self.addCleanup(end)
        return forwarder, int(forwarder.stdout.readline().rsplit(" ", 1)[1])

    def test_both_ways_and_half_closes(self):
        forwarder, port = self.begin(self.line_server())
        lines = b"".join(b"line %d\n" % number for number in range(50_000))
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            sender = threading.Thread(target=lambda: (client.sendall(lines), client.shutdown(socket.SHUT_WR)))
            sender.start()
            received = bytearray()
            while chunk := client.recv(65536):
                received += chunk
            sender.join()
        self.assertEqual(received, lines)
        self.assertEqual(forwarder.stdout.readline(), f"{len(lines)} bytes there, {len(lines)} back\n")

    def test_a_place_that_refuses(self):
        forwarder, port = self.begin(self.unused_port())
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
            self.assertEqual(client.recv(1), b"")
        self.assertIn("refused", forwarder.stderr.readline())


class Usage(ExampleTest):
    def test_every_program_shows_its_usage(self):
        for program, arguments in (
            ("http_get.py", ()), ("line_client.py", ()), ("chat_server.py", ("--help",)), ("discover.py", ()), ("ship_lines.py", ("a", "b")),
            ("forward.py", ("1",)),
        ):
            result = run(PYTHON, FOLDER / program, *arguments)
            self.assertEqual(result.returncode, 2, program)
            self.assertIn("usage: " + program, result.stderr)
