"""How the sidecar starts and ends, and how it treats what it has inherited."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from support import PATIENCE, SLUICED, Client, Peer, Process, Service, TestCase, connected, receive_exactly

PING = b'{"jsonrpc":"2.0","id":"ping","method":"session.ping"}\n'


def run(*options, **keywords):
    return subprocess.run([SLUICED, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, **keywords)


class CommandLine(TestCase):
    def test_version(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout.decode(), r"^sluiced \d+\.\d+\.\d+\n$")
        hello = self.stdio().call("session.hello")
        self.assertEqual(result.stdout.decode(), "sluiced %s\n" % hello["version"])

    def test_help(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for option in ("--stdio", "--socket", "--openrpc", "--max-message", "--max-depth", "--max-handles", "--max-clients", "--max-output",
                       "--allow", "--deny", "--log-level", "--busy-poll", "--version"):
            self.assertIn(option, result.stdout.decode())

    def test_bad_usage(self):
        for options in ((), ("--stdio", "--socket", "/tmp/x"), ("--nonsense",), ("--stdio", "extra"), ("--socket",), ("--stdio", "--max-depth", "0"),
                        ("--stdio", "--max-depth", "2001"), ("--stdio", "--max-depth", "many"), ("--stdio", "--max-message", "10"),
                        ("--stdio", "--max-output", "1"), ("--stdio", "--max-handles", "0"), ("--stdio", "--max-clients", "-1"),
                        ("--stdio", "--log-level", "loud"), ("--stdio", "--allow", "host:port"), ("--stdio", "--deny", "10.0.0.0/33"), ("--stdio", "--deny", ""),
                        ("--stdio", "--busy-poll", "-1"), ("--openrpc", "--stdio")):
            with self.subTest(options=options):
                result = run(*options, stdin=subprocess.DEVNULL)
                self.assertEqual(result.returncode, 64, result)
                self.assertEqual(result.stdout, b"")
                self.assertIn(b"Error", result.stderr)

    def test_unusable_paths(self):
        folder = self.folder()
        plain = os.path.join(folder, "plain")
        open(plain, "w").close()
        for path in (plain, folder, os.path.join(folder, "none", "s"), os.path.join(folder, "x" * 200)):
            with self.subTest(path=path):
                result = run("--socket", path, stdin=subprocess.DEVNULL)
                self.assertEqual(result.returncode, 1)
                self.assertIn(b"sluiced: ", result.stderr)
                self.assertEqual(result.stdout, b"")
        self.assertTrue(os.path.exists(plain))

    def test_options_and_the_quick_way_are_the_same(self):
        short = json.loads(run("--stdio", input=b'{"jsonrpc":"2.0","id":1,"method":"session.hello"}').stdout)
        long = json.loads(run("--stdio", "--max-depth", "64", input=b'{"jsonrpc":"2.0","id":1,"method":"session.hello"}').stdout)
        self.assertEqual(short, long)

    def test_the_log_goes_to_standard_error(self):
        result = run("--stdio", "--log-level", "debug", input=PING)
        self.assertEqual(len(result.stdout.splitlines()), 1)
        self.assertIn(b"client connected", result.stderr)
        self.assertEqual(run("--stdio", input=PING).stderr, b"")


class StandardStreams(TestCase):
    def test_the_end_of_input_ends_it(self):
        result = run("--stdio", input=PING * 3)
        self.assertEqual(result.returncode, 0)
        self.assertEqual(len(result.stdout.splitlines()), 3)
        self.assertEqual(run("--stdio", input=b"").returncode, 0)
        self.assertEqual(run("--stdio", stdin=subprocess.DEVNULL).returncode, 0)

    def test_a_last_line_without_its_end(self):
        self.assertEqual(json.loads(run("--stdio", input=PING.strip()).stdout)["id"], "ping")
        self.assertIn("error", json.loads(run("--stdio", input=b'{"jsonrpc"').stdout))

    def test_input_from_a_file_output_to_a_file(self):
        with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
            source.write(PING * 20000)
            source.seek(0)
            process = subprocess.run([SLUICED, "--stdio"], stdin=source, stdout=target, timeout=PATIENCE)
            self.assertEqual(process.returncode, 0)
            target.seek(0)
            self.assertEqual(len(target.readlines()), 20000)

    def test_a_file_as_input_and_events_meanwhile(self):
        peer = Peer(self)
        requests = [
            {"jsonrpc": "2.0", "id": 1, "method": "tcpSocket.create"},
            {"jsonrpc": "2.0", "id": 2, "method": "socket.connectToHost", "params": [1, "127.0.0.1", peer.port]},
            {"jsonrpc": "2.0", "id": 3, "method": "socket.waitForConnected", "params": [1]},
        ]
        with tempfile.TemporaryFile() as source:
            source.write("\n".join(json.dumps(request) for request in requests).encode())
            source.seek(0)
            rpc = self.stdio(stdin=source)
            self.assertIs(rpc.answer(3)["result"], True)
            self.assertEqual(rpc.wait(), 0)

    def test_a_terminal(self):
        leader, follower = pty.openpty()
        settings = subprocess.run(["stty", "-echo", "-icanon"], stdin=follower)
        self.assertEqual(settings.returncode, 0)
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=follower, stdout=follower)
        os.close(follower)
        self.addCleanup(os.close, leader)
        os.write(leader, PING)
        data = b""
        while b"\n" not in data and select.select([leader], [], [], PATIENCE)[0]:
            data += os.read(leader, 1000)
        self.assertIn(b'"result":null', data)
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_a_socket_pair(self):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=theirs, stdout=theirs)
        theirs.close()
        client = Client.over(ours)
        self.addCleanup(client.close)
        self.assertTrue(client.is_alive())
        ours.shutdown(socket.SHUT_WR)
        self.assertIsNone(client.raw_message())
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_the_flags_of_inherited_descriptors_stay(self):
        inputs, outputs = os.pipe(), os.pipe()
        for end in (*inputs, *outputs):
            self.addCleanup(os.close, end)
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=inputs[0], stdout=outputs[1])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        os.write(inputs[1], PING)
        os.read(outputs[0], 1000)
        for end in (inputs[0], outputs[1]):
            self.assertEqual(fcntl.fcntl(end, fcntl.F_GETFL) & os.O_NONBLOCK, 0)

    def test_descriptors_that_are_non_blocking_already(self):
        inputs, outputs = os.pipe(), os.pipe()
        for end in (inputs[0], outputs[1]):
            os.set_blocking(end, False)
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=inputs[0], stdout=outputs[1])
        os.close(inputs[0])
        os.close(outputs[1])
        text = b"x" * 1000000
        payload = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}\n' % text
        view = memoryview(payload)
        while view:
            view = view[os.write(inputs[1], view):]
        data = b""
        while not data.endswith(b"\n"):
            data += os.read(outputs[0], 1 << 16)
        self.assertIn(text, data)
        os.close(inputs[1])
        self.assertEqual(process.wait(PATIENCE), 0)
        os.close(outputs[0])

    def test_output_that_nobody_takes_does_not_stop_the_loop(self):
        # A second client cannot be had here, so the network is what shows that the loop runs.
        rpc = self.stdio()
        server = rpc.call("tcpServer.create")
        rpc.call("tcpServer.listen", server, "127.0.0.1")
        port = rpc.call("server.port", server)
        payload = "x" * 4000000
        rpc.request("echo", payload)
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            pass
        self.assertEqual(rpc.message()["result"], [payload])
        rpc.event("server.newConnection", server)

    def test_a_reader_that_is_gone_ends_it(self):
        rpc = self.stdio()
        self.assertTrue(rpc.is_alive())
        rpc.process.stdout.close()
        rpc.send(PING)
        self.assertEqual(rpc.wait(), 0)

    def test_input_or_output_that_fails(self):
        with open("/dev/full", "wb") as full:
            result = subprocess.run([SLUICED, "--stdio"], input=PING, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"ENOSPC", result.stderr)
        folder = os.open("/", os.O_RDONLY)
        self.addCleanup(os.close, folder)
        result = run("--stdio", stdin=folder)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"EISDIR", result.stderr)

    def test_nothing_else_comes_out(self):
        # Standard output is pointed at standard error, so that stray text cannot be taken for a message.
        rpc = self.stdio()
        self.assertTrue(rpc.is_alive())
        links = {number: os.readlink("/proc/%d/fd/%d" % (rpc.process.pid, number)) for number in (0, 1, 2)}
        self.assertEqual(links[1], links[2])
        self.assertEqual(links[0], "/dev/null")

    def test_closed_standard_descriptors(self):
        for closed in ((0,), (2,), (0, 2)):
            with self.subTest(closed=closed):
                def close_them():
                    for number in closed:
                        os.close(number)
                keywords = {} if 0 in closed else {"input": PING}
                result = subprocess.run([SLUICED, "--stdio"], stdout=subprocess.PIPE, preexec_fn=close_them, timeout=PATIENCE, **keywords)
                self.assertEqual(result.returncode, 0)
                self.assertEqual(len(result.stdout.splitlines()), 0 if 0 in closed else 1)
        result = subprocess.run([SLUICED, "--stdio"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: os.close(1), timeout=PATIENCE)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"standard output", result.stderr)


class Ending(TestCase):
    def test_waits_are_answered_as_they_end(self):
        peer = Peer(self)
        rpc = self.stdio()
        handle, connection = connected(rpc, peer)
        number = rpc.request("socket.waitForReadyRead", handle)
        self.assertTrue(rpc.is_alive())
        rpc.end_input()
        connection.sendall(b"late")
        self.assertIs(rpc.answer(number)["result"], True)
        self.assertIsNone(rpc.raw_message())
        self.assertEqual(rpc.wait(), 0)

    def test_signals_end_it_in_order(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(signal=number):
                rpc = self.stdio()
                server = rpc.call("tcpServer.create")
                rpc.call("tcpServer.listen", server, "127.0.0.1")
                wait = rpc.request("server.waitForNewConnection", server, -1)
                self.assertTrue(rpc.is_alive())
                rpc.process.send_signal(number)
                self.assertError(rpc.answer(wait)["error"], -32800, "CancelledError")
                self.assertIsNone(rpc.raw_message())
                self.assertEqual(rpc.wait(), 0)

    def test_a_signal_flushes_large_output(self):
        service = self.service()
        client = self.client(service)
        payload = "x" * 8000000
        client.request("echo", payload)
        client.receive(PATIENCE)
        service.process.terminate()
        self.assertEqual(client.message()["result"], [payload])
        self.assertIsNone(client.raw_message())
        self.assertEqual(service.process.wait(PATIENCE), 0)
        self.assertFalse(os.path.exists(service.path))

    def test_shutdown(self):
        service = self.service()
        one, two = self.client(service), self.client(service)
        server = two.call("tcpServer.create")
        two.call("tcpServer.listen", server, "127.0.0.1")
        wait = two.request("server.waitForNewConnection", server, -1)
        self.assertTrue(two.is_alive())
        self.assertIsNone(one.call("session.shutdown"))
        self.assertIsNone(one.raw_message())
        self.assertError(two.answer(wait)["error"], -32800)
        self.assertEqual(service.process.wait(PATIENCE), 0)

    def test_what_was_written_is_still_sent(self):
        peer = Peer(self)
        size = 5000000
        data = "y" * size
        requests = [
            {"jsonrpc": "2.0", "id": 1, "method": "tcpSocket.create"},
            {"jsonrpc": "2.0", "id": 2, "method": "socket.connectToHost", "params": [1, "127.0.0.1", peer.port]},
            {"jsonrpc": "2.0", "id": 3, "method": "socket.write", "params": [1, data]},
        ]
        rpc = self.stdio()
        for request in requests:
            rpc.send_json(request)
        rpc.end_input()
        connection = peer.accept()
        self.assertEqual(len(receive_exactly(connection, size)), size)
        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(rpc.answer(3)["result"], size)
        self.assertEqual(rpc.wait(), 0)

    def test_handles_close_when_the_client_goes(self):
        service = self.service()
        peer = Peer(self)
        other = self.client(service)
        self.assertTrue(other.is_alive())
        before = service.descriptors()
        client = self.client(service)
        handle, connection = connected(client, peer)
        server = client.call("tcpServer.create")
        client.call("tcpServer.listen", server, "127.0.0.1")
        port = client.call("server.port", server)
        client.request("server.waitForNewConnection", server, -1)
        client.close()
        self.assertEqual(connection.recv(1), b"")
        self.eventually(lambda: service.descriptors() == before, "descriptors are closed")
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.assertEqual(other.call("session.stats")["sidecar"]["handles"], 0)
        self.assertEqual(other.call("session.stats")["sidecar"]["clients"], 1)

    def test_a_client_that_only_ends_its_sending(self):
        service = self.service()
        client = self.client(service)
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"tcpServer.create"}\n{"jsonrpc":"2.0","id":2,"method":"tcpServer.listen","params":[1,"127.0.0.1"]}\n'
                    b'{"jsonrpc":"2.0","id":3,"method":"server.waitForNewConnection","params":[1,200]}\n')
        client.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(client.answer(3)["result"], {"available": False, "timedOut": True})
        self.assertIsNone(client.raw_message())

    def test_a_reader_that_goes_while_a_wait_goes_on(self):
        rpc = self.stdio()
        server = rpc.call("tcpServer.create")
        rpc.call("tcpServer.listen", server, "127.0.0.1")
        rpc.request("server.waitForNewConnection", server, -1)
        self.assertTrue(rpc.is_alive())
        rpc.end_input()
        rpc.process.stdout.close()
        self.assertEqual(rpc.process.wait(PATIENCE / 2), 0)

    def test_a_client_that_goes_while_it_has_waits_after_its_end(self):
        service = self.service()
        before = service.descriptors()
        client = self.client(service)
        client.send(b'{"jsonrpc":"2.0","id":1,"method":"tcpServer.create"}\n{"jsonrpc":"2.0","id":2,"method":"tcpServer.listen","params":[1,"127.0.0.1"]}\n'
                    b'{"jsonrpc":"2.0","id":3,"method":"server.waitForNewConnection","params":[1,-1]}\n')
        client.socket.shutdown(socket.SHUT_WR)
        client.answer(2)
        client.close()
        started = time.monotonic()
        self.eventually(lambda: service.descriptors() == before, "descriptors are closed")
        self.assertLess(time.monotonic() - started, PATIENCE / 2, "not by the time limit of the wait")


class UnixSocket(TestCase):
    def test_mode_and_removal(self):
        old = os.umask(0)
        try:
            service = self.service()
        finally:
            os.umask(old)
        self.assertEqual(os.stat(service.path).st_mode & 0o777, 0o600)
        self.assertTrue(self.client(service).is_alive())
        service.close()
        self.assertFalse(os.path.exists(service.path))

    def test_a_stale_file_is_replaced_a_live_one_not(self):
        service = self.service()
        service.process.kill()
        service.process.wait()
        self.assertTrue(os.path.exists(service.path))
        again = Service(os.path.dirname(service.path))
        self.addCleanup(again.close)
        result = run("--socket", service.path, stdin=subprocess.DEVNULL)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"in use", result.stderr)
        self.assertTrue(self.client(again).is_alive())

    def test_only_one_of_many_that_start_at_once(self):
        folder = self.folder()
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(os.path.join(folder, "s"))
        stale.close()
        processes = [subprocess.Popen([SLUICED, "--socket", os.path.join(folder, "s")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                     for _ in range(6)]
        lines = [process.stdout.readline() for process in processes]
        self.assertEqual(sorted(lines), [b""] * 5 + [b"READY\n"])
        for process in processes:
            process.terminate()
            process.communicate(timeout=PATIENCE)

    def test_another_file_in_its_place_is_left_alone(self):
        service = self.service()
        os.unlink(service.path)
        with open(service.path, "w") as file:
            file.write("mine")
        service.close()
        self.assertTrue(os.path.exists(service.path))

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
    def test_another_user_is_turned_away(self):
        service = self.service()
        os.chmod(os.path.dirname(service.path), 0o755)
        os.chmod(service.path, 0o666)
        child = os.fork()
        if child == 0:
            try:
                os.setgid(65534)
                os.setuid(65534)
                client = Client(service.path)
                error = client.message()["error"]
                ended = client.raw_message() is None
                os._exit(0 if error["data"]["error"] == "NotPermittedError" and ended else 1)
            except BaseException:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), 0)
        self.assertTrue(self.client(service).is_alive())

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
    def test_root_is_turned_away_too(self):
        folder = self.folder()
        os.chmod(folder, 0o777)
        copy = os.path.join(folder, "sluiced")
        with open(SLUICED, "rb") as source, open(copy, "wb") as target:
            target.write(source.read())
        os.chmod(copy, 0o755)
        path = os.path.join(folder, "s")
        process = subprocess.Popen([copy, "--socket", path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, user=65534, group=65534)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stdout.close)
        self.assertEqual(process.stdout.readline(), b"READY\n")
        client = Client(path)
        self.addCleanup(client.close)
        self.assertError(client.message()["error"], -32001, "NotPermittedError")

    def test_descriptors_run_out(self):
        import resource
        service = self.service(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)))
        clients = [self.client(service) for _ in range(40)]
        self.assertTrue(clients[0].is_alive())
        for client in clients[:30]:
            client.close()
        self.assertTrue(clients[-1].is_alive())

    def test_many_clients_come_and_go(self):
        service = self.service()
        keeper = self.client(service)
        self.assertTrue(keeper.is_alive())
        before = service.descriptors()
        for _ in range(300):
            client = Client(service.path)
            client.send(PING)
            client.message()
            client.close()
        self.eventually(lambda: service.descriptors() == before, "descriptors are closed")
        self.assertTrue(keeper.is_alive())


if __name__ == "__main__":
    unittest.main()
