"""Many processes behind HAProxy, as docs/scaling.md has them."""

import re
import shutil
import socket
import unittest

from support import EXAMPLES, PYTHON, ExampleTest, run, start

FOLDER = EXAMPLES / "balancer"


@unittest.skipIf(shutil.which("haproxy") is None, "there is no haproxy")
class Balancer(ExampleTest):
    def begin(self, *command):
        process = start(*command)

        def end():
            process.kill()
            process.communicate()

        self.addCleanup(end)
        return process

    def ports(self):
        """One for the public, and one for the service."""
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
            return one.getsockname()[1], two.getsockname()[1]

    def ask(self, port):
        """Our own address, and the answer."""
        with socket.create_connection(("127.0.0.1", port), timeout=60) as client, client.makefile("r") as lines:
            return client.getsockname(), lines.readline()

    def test_each_process_knows_its_clients(self):
        public, service = self.ports()
        processes = [self.begin(PYTHON, FOLDER / "service.py", service) for _ in range(2)]
        for process in processes:
            self.assertEqual(process.stdout.readline(), "ready\n")
        configuration = self.folder / "haproxy.cfg"
        text = (FOLDER / "haproxy.cfg").read_text()
        configuration.write_text(text.replace(":8000", f":{public}").replace(":7000", f":{service}"))
        self.assertRan(run("haproxy", "-c", "-f", configuration))
        balancer = self.begin("haproxy", "-db", "-f", configuration)
        served = set()
        while served != {process.pid for process in processes}:
            self.assertIsNone(balancer.poll(), "haproxy has ended")
            try:
                (address, port), answer = self.ask(public)
            except ConnectionRefusedError:
                continue  # It does not listen yet.
            who, pid = re.fullmatch(r"you are (\S+), I am (\d+)\n", answer).groups()
            self.assertEqual(who, f"{address}:{port}")
            served.add(int(pid))

    def test_what_is_no_balancer_is_turned_away(self):
        _, service = self.ports()
        process = self.begin(PYTHON, FOLDER / "service.py", service)
        self.assertEqual(process.stdout.readline(), "ready\n")
        with socket.create_connection(("127.0.0.1", service), timeout=60) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            try:
                self.assertEqual(client.recv(100), b"")
            except ConnectionResetError:
                pass  # That is what the system makes of it where something was left unread.

    def test_usage(self):
        result = run(PYTHON, FOLDER / "service.py")
        self.assertEqual(result.returncode, 2)
        self.assertIn("usage: service.py PORT", result.stderr)
