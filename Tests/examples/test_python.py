"""The examples in Python, against servers of Python's own."""

import random
import signal
import socket

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


class Usage(ExampleTest):
    def test_every_program_shows_its_usage(self):
        for program, arguments in (("http_get.py", ()), ("line_client.py", ()), ("chat_server.py", ("--help",))):
            result = run(PYTHON, FOLDER / program, *arguments)
            self.assertEqual(result.returncode, 2, program)
            self.assertIn("usage: " + program, result.stderr)
