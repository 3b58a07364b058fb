"""Sockets that a service manager opens and passes (LISTEN_FDS)."""
import os
import signal
import socket
import subprocess
import sys
import unittest

from support import PATIENCE, SLUICED, Client, Process, TestCase

#: Becomes the sidecar, with these descriptors from 3 on, as systemd does it.
STARTER = """
import fcntl, os, sys
numbers = [fcntl.fcntl(int(text), fcntl.F_DUPFD, 100) for text in sys.argv[1].split(",")]
for place, number in enumerate(numbers):
    os.dup2(number, 3 + place)
    os.close(number)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(numbers)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class Activation(TestCase):
    def unix_listener(self):
        path = os.path.join(self.folder(), "s")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        listener.listen()
        return listener, path

    def tcp_listener(self):
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        return listener, listener.getsockname()[1]

    def start(self, sockets, names, *options, **popen):
        numbers = [each.fileno() for each in sockets]
        process = subprocess.Popen([sys.executable, "-c", STARTER, ",".join(map(str, numbers)), names, SLUICED, *options], pass_fds=numbers, bufsize=0,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **{"stdin": subprocess.DEVNULL, **popen})

        def end():
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream:
                    stream.close()
        self.addCleanup(end)
        return process

    def test_serving_at_what_was_passed(self):
        (unix, path), (tcp, port) = self.unix_listener(), self.tcp_listener()
        process = self.start([unix, tcp], "clients:web", "--activated")
        self.assertEqual(process.stdout.readline(), b"READY\n")
        rpc = Client(path)
        self.addCleanup(rpc.close)
        self.assertEqual(rpc.call("session.hello")["activated"], [{"descriptor": 4, "name": "web"}])
        server = rpc.call("tcpServer.create")
        self.assertError(rpc.error("server.setDescriptor", server, 3), -32001, "InvalidArgumentError")
        rpc.call("server.setDescriptor", server, 4)
        self.assertEqual(rpc.call("server.port", server), port)
        self.assertEqual(rpc.call("session.hello")["activated"], [])
        self.assertError(rpc.error("server.setDescriptor", rpc.call("tcpServer.create"), 4), -32001, "InvalidArgumentError")
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            self.assertTrue(rpc.call("server.waitForNewConnection", server, 10000)["available"])
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE), 0)
        self.assertTrue(os.path.exists(path), "the file is the service manager's")

    def test_a_call_that_fails_leaves_it(self):
        (unix, path), (tcp, _) = self.unix_listener(), self.tcp_listener()
        process = self.start([unix, tcp], "", "--activated")
        self.assertEqual(process.stdout.readline(), b"READY\n")
        rpc = Client(path)
        self.addCleanup(rpc.close)
        self.assertError(rpc.error("server.setDescriptor", rpc.call("localServer.create"), 4), -32000, "UnsupportedSocketOperationError")
        self.assertEqual(rpc.call("session.hello")["activated"], [{"descriptor": 4, "name": "unknown"}])
        rpc.call("server.setDescriptor", rpc.call("tcpServer.create"), 4)

    def test_over_standard_streams(self):
        tcp, port = self.tcp_listener()
        rpc = Process.__new__(Process)
        super(Process, rpc).__init__()
        rpc.process = self.start([tcp], "web", "--stdio", stdin=subprocess.PIPE)
        self.assertEqual(rpc.call("session.hello")["activated"], [{"descriptor": 3, "name": "web"}])
        server = rpc.call("tcpServer.create")
        rpc.call("server.setDescriptor", server, 3)
        self.assertEqual(rpc.call("server.port", server), port)

    def test_without_a_socket_to_serve_at(self):
        tcp, _ = self.tcp_listener()
        process = self.start([tcp], "web", "--activated")
        self.assertEqual(process.wait(PATIENCE), 1)
        self.assertIn(b"LISTEN_FDS", process.stderr.read())
        result = subprocess.run([SLUICED, "--activated"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual((result.returncode, result.stdout), (1, b""))

    def test_what_was_passed_to_another_process(self):
        tcp, _ = self.tcp_listener()
        rpc = self.stdio(pass_fds=[tcp.fileno()], env={**os.environ, "LISTEN_PID": "1", "LISTEN_FDS": "1"})
        self.assertEqual(rpc.call("session.hello")["activated"], [])


if __name__ == "__main__":
    unittest.main()
