"""The scripts in plain bash."""

import socket

from support import EXAMPLES, ExampleTest, run

SESSION = EXAMPLES / "shell" / "session.sh"
DATAGRAM = EXAMPLES / "shell" / "datagram.sh"


class Session(ExampleTest):
    def test_a_line_comes_back(self):
        result = run(SESSION, "localhost", self.line_server(), "a line")
        self.assertRan(result)
        self.assertEqual(result.stdout, "a line\n")

    def test_characters_that_mean_something_to_json_or_the_shell(self):
        for line in ('say "hello"', "back\\slash", "$HOME `id` 'x' *", "tab\there", "grüße, 世界"):
            result = run(SESSION, "localhost", self.line_server(), line)
            self.assertRan(result)
            self.assertEqual(result.stdout, line + "\n")

    def test_a_refused_connection_is_told(self):
        result = run(SESSION, "127.0.0.1", self.unused_port(), "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stderr)

    def test_usage(self):
        result = run(SESSION)
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage: session.sh HOST PORT LINE", result.stderr)


class Datagram(ExampleTest):
    def test_the_answer_and_its_sender(self):
        port = self.datagram_server()
        for host in ("127.0.0.1", "localhost"):
            for text in ("a word", 'say "hello" \\ %s $HOME', "grüße, 世界", ""):
                result = run(DATAGRAM, host, port, text)
                self.assertRan(result)
                self.assertEqual(result.stdout, f"{text} (from 127.0.0.1)\n")

    def test_a_refusal_is_told(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            port = gone.getsockname()[1]
        result = run(DATAGRAM, "127.0.0.1", port, "x")
        self.assertEqual(result.returncode, 1)
        self.assertIn("refused", result.stderr)

    def test_usage(self):
        result = run(DATAGRAM)
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage: datagram.sh HOST PORT TEXT", result.stderr)
