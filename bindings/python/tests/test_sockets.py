"""The blocking face against the real sidecar: what a program does with it."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import Any, List

from support import LIMIT, SIDECAR

import sluice

MS = int(LIMIT * 1000)


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.session = sluice.start(SIDECAR)
        self.addCleanup(self.session.close)

    def pair(self) -> Any:
        """Both ends of a connection through the sidecar."""
        with self.session.listen_tcp("127.0.0.1") as server:
            client = self.session.connect_tcp("127.0.0.1", server.port(), MS)
            self.addCleanup(client.__exit__, None, None, None)
            accepted = server.accept(MS)
            self.addCleanup(accepted.__exit__, None, None, None)
            return client, accepted

    def foreign_pair(self) -> Any:
        """A connection whose other end is Python's own socket."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = self.session.connect_tcp("127.0.0.1", server.getsockname()[1], MS)
            self.addCleanup(client.__exit__, None, None, None)
            peer, _ = server.accept()
            peer.settimeout(LIMIT)
            self.addCleanup(peer.close)
            return client, peer


class Connecting(Case):
    def test_by_name_and_by_address(self) -> None:
        with self.session.listen_tcp("any") as server:
            for host in ("localhost", "127.0.0.1"):
                with self.session.connect_tcp(host, server.port(), MS) as sock, server.accept(MS) as accepted:
                    self.assertIs(sock.state(), sluice.SocketState.CONNECTED)
                    self.assertEqual(sock.peer_name(), host)
                    self.assertEqual((sock.local_address(), sock.local_port()), ("127.0.0.1", accepted.peer_port()))

    def test_the_plain_operations_do_the_same(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server, self.session.tcp_socket() as sock:
            sock.connect_to_host("127.0.0.1", server.port())
            self.assertTrue(sock.wait_for_connected(MS))
            with server.accept(MS) as accepted:
                sock.write(b"ping")
                self.assertTrue(accepted.wait_for_ready_read(MS))
                self.assertEqual(accepted.read_all(), b"ping")

    def test_a_refused_connection_raises_what_python_calls_so(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        with self.assertRaises(ConnectionRefusedError) as raised:
            self.session.connect_tcp("127.0.0.1", port, MS)
        error = raised.exception
        assert isinstance(error, sluice.ConnectionRefusedError)
        self.assertIs(error.code, sluice.ErrorCode.CONNECTION_REFUSED)
        self.assertEqual(error.errno, 111)
        self.assertEqual([(each.phase, each.system_error) for each in error.attempts], [(sluice.ConnectPhase.CONNECT, 111)])
        self.assertIn(str(port), str(error))

    def test_each_way_to_fail_has_its_exception(self) -> None:
        for host, port, expected in (
            ("does-not-exist.invalid", 1, sluice.HostNotFoundError),
            ("", 1, sluice.EmptyHostNameError),
            ("127.0.0.1", 0, sluice.PortNumberOutOfRangeError),
        ):
            with self.assertRaises(expected):
                self.session.connect_tcp(host, port, MS)
        with self.assertRaises(sluice.HostNotFoundError):
            self.session.connect_local("/nowhere/at/all", MS)

    def test_a_failed_connection_leaves_no_handle(self) -> None:
        before = self.session.stats()["handles"]
        with self.assertRaises(sluice.SluiceError):
            self.session.connect_tcp("127.0.0.1", 0, MS)
        self.assertEqual(self.session.stats()["handles"], before)

    def test_an_address_in_use(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            with self.assertRaises(sluice.AddressInUseError):
                self.session.listen_tcp("127.0.0.1", server.port())

    def test_time_limits(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            with self.assertRaises(TimeoutError):
                server.accept(1)
        client, peer = self.foreign_pair()
        self.assertFalse(client.wait_for_ready_read(1))
        self.assertIs(client.error(), sluice.ErrorCode.SOCKET_TIMEOUT)
        with self.assertRaises(sluice.SocketTimeoutError) as raised:
            client.read_exactly(4, 1)
        self.assertEqual(raised.exception.partial, b"")
        peer.sendall(b"ab")
        with self.assertRaises(sluice.SocketTimeoutError) as raised:
            client.read_exactly(4, 200)
        self.assertEqual(raised.exception.partial, b"ab")


class Misuse(Case):
    def test_a_destroyed_object(self) -> None:
        sock = self.session.tcp_socket()
        sock.destroy()
        with self.assertRaises(sluice.InvalidHandleError):
            sock.state()

    def test_wrong_kinds_types_and_values(self) -> None:
        with self.session.tcp_server() as server, self.session.tcp_socket() as sock:
            with self.assertRaises(sluice.WrongKindError):
                self.session.call("socket.state", {"handle": server.handle})
            with self.assertRaises(sluice.InvalidParametersError):
                sock.connect_to_host("localhost", "80")  # type: ignore[arg-type]
            with self.assertRaises(TypeError):
                sock.write("text")  # type: ignore[arg-type]
            with self.assertRaises(sluice.InvalidArgumentError):
                sock.set_read_buffer_size(-1)
            with self.assertRaises(sluice.InvalidParametersError):
                self.session.call("socket.state", {"handle": sock.handle, "unknown": 1})
            with self.assertRaises(sluice.MethodNotFoundError):
                self.session.call("socket.levitate")

    def test_writing_without_a_connection(self) -> None:
        with self.session.tcp_socket() as sock:
            with self.assertRaises(sluice.OperationError):
                sock.write(b"x")

    def test_a_request_beyond_the_sidecars_limit(self) -> None:
        with sluice.start(SIDECAR, "--max-message", "4096") as session, session.tcp_socket() as sock:
            with self.assertRaises(sluice.LimitReachedError):
                sock.write(b"x" * 5000)
            session.ping()


class Bytes(Case):
    def test_all_bytes_go_both_ways(self) -> None:
        client, accepted = self.pair()
        for data in (b"text\n", bytes(range(256)), b"\0\0", "Grüße \U0001f600".encode(), b"\xff"):
            client.sendall(data)
            self.assertEqual(accepted.read_exactly(len(data), MS), data)

    def test_the_reading_operations(self) -> None:
        client, peer = self.foreign_pair()
        peer.sendall(b"one\ntwo\nrest")
        while client.bytes_available() < 12:
            self.assertTrue(client.wait_for_ready_read(MS))
        self.assertTrue(client.can_read_line())
        self.assertEqual(client.peek(3), b"one")
        self.assertEqual(client.read_line(), b"one\n")
        self.assertEqual(client.get_char(), ord("t"))
        client.unget_char(ord("T"))
        self.assertEqual(client.peek_all(), b"Two\nrest")
        self.assertEqual(client.skip(2), 2)
        self.assertEqual(client.read(2), b"o\n")
        self.assertEqual(client.read_all(), b"rest")
        self.assertTrue(client.at_end())
        self.assertIsNone(client.get_char())

    def test_lines_until_the_peer_closes(self) -> None:
        client, peer = self.foreign_pair()
        lines = iter(client)
        peer.sendall(b"first\nsec")
        self.assertEqual(next(lines), b"first\n")
        peer.sendall(b"ond\nlast")
        peer.close()
        self.assertEqual(list(lines), [b"second\n", b"last"])

    def test_a_reset_is_no_orderly_end(self) -> None:
        client, peer = self.foreign_pair()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        with self.assertRaises(ConnectionResetError):
            list(client.chunks(MS))

    def test_a_stream_that_ends_too_early(self) -> None:
        client, peer = self.foreign_pair()
        peer.sendall(b"abc")
        peer.close()
        with self.assertRaises(sluice.RemoteHostClosedError) as raised:
            client.read_exactly(5, MS)
        self.assertEqual(raised.exception.partial, b"abc")

    def test_half_closes(self) -> None:
        client, peer = self.foreign_pair()
        client.set_property("allowHalfOpen", True)
        peer.sendall(b"question")
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(b"".join(client.chunks(MS)), b"question")
        client.sendall(b"answer")
        client.shutdown_write()
        self.assertEqual(peer.recv(100), b"answer")
        self.assertEqual(peer.recv(100), b"")

    def test_leaving_a_with_sends_what_is_pending(self) -> None:
        client, peer = self.foreign_pair()
        data = os.urandom(1 << 20) * 3
        received: List[bytes] = []

        def read() -> None:
            while True:
                chunk = peer.recv(1 << 16)
                if not chunk:
                    return
                received.append(chunk)

        with client:
            sent = 0
            while sent < len(data):
                sent += client.write(data[sent : sent + 262144])
            reader = threading.Thread(target=read)
            reader.start()
        reader.join(LIMIT)
        self.assertEqual(b"".join(received), data)

    def test_a_large_transfer_keeps_every_byte(self) -> None:
        client, accepted = self.pair()
        data = random.Random(1).randbytes(8 << 20)
        sender = threading.Thread(target=client.sendall, args=(data, -1))
        sender.start()
        digest, size = hashlib.sha256(), 0
        for chunk in accepted.chunks(MS):
            digest.update(chunk)
            size += len(chunk)
            if size == len(data):
                break
        sender.join()
        self.assertEqual(digest.digest(), hashlib.sha256(data).digest())

    def test_asking_and_answering_many_times(self) -> None:
        client, peer = self.foreign_pair()

        def echo() -> None:
            for _ in range(300):
                peer.sendall(peer.recv(100))

        echoing = threading.Thread(target=echo)
        echoing.start()
        for count in range(300):
            message = b"message %d\n" % count
            client.write(message)
            self.assertTrue(client.wait_for_ready_read(MS), client.error_string())
            self.assertEqual(client.read_all(), message)
        echoing.join(LIMIT)

    def test_waiting_after_it_has_happened(self) -> None:
        client, peer = self.foreign_pair()
        peer.settimeout(LIMIT)
        client.write(b"x")
        self.assertEqual(peer.recv(1), b"x")
        self.assertTrue(client.wait_for_bytes_written(MS))
        peer.sendall(b"y")
        while client.bytes_available() == 0:
            pass
        self.assertTrue(client.wait_for_ready_read(MS))
        client.write(b"z" * 100)
        client.disconnect_from_host()
        while client.state() is not sluice.SocketState.UNCONNECTED:
            pass
        self.assertTrue(client.wait_for_disconnected(MS))


    def test_accepted_sockets_outlive_their_server(self) -> None:
        def accept() -> Any:
            with self.session.listen_tcp("127.0.0.1") as server:
                client = self.session.connect_tcp("127.0.0.1", server.port(), MS)
                return client, server.accept(MS)

        handles = self.session.stats()["handles"]
        client, accepted = accept()
        gc.collect()
        client.sendall(b"x")
        self.assertEqual(accepted.read_exactly(1, MS), b"x")
        client.destroy()
        accepted.destroy()
        del client, accepted
        gc.collect()
        self.assertEqual(self.session.stats()["handles"], handles)


class Local(Case):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket")

    def test_a_connection(self) -> None:
        with self.session.listen_local(self.path) as server:
            self.assertEqual((server.server_name(), server.full_server_name()), (self.path, self.path))
            with self.session.connect_local(self.path, MS) as client, server.accept(MS) as accepted:
                self.assertIsInstance(accepted, sluice.LocalSocket)
                client.sendall(b"hello")
                self.assertEqual(accepted.read_exactly(5, MS), b"hello")
                credentials = accepted.peer_credentials()
                self.assertEqual((credentials.uid, credentials.gid), (os.getuid(), os.getgid()))
        self.assertFalse(os.path.exists(self.path))

    def test_what_a_dead_server_left_behind(self) -> None:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(self.path)
        with self.session.local_server() as server:
            with self.assertRaises(sluice.ConnectionRefusedError):
                self.session.connect_local(self.path, MS)
            self.assertTrue(server.remove_server(self.path))
            server.set_socket_options(sluice.LocalAccess.USER)
            server.listen(self.path)
            self.assertEqual(os.stat(self.path).st_mode & 0o077, 0)
            self.assertFalse(server.remove_server(self.path))


class Events(Case):
    def test_an_echo_server_of_callbacks(self) -> None:
        server = self.session.listen_tcp("127.0.0.1")
        sockets: List[sluice.TcpSocket] = []

        @server.on("newConnection")
        def welcome(event: sluice.Event) -> None:
            accepted = server.next_pending_connection()
            if accepted is None:
                return
            sockets.append(accepted)
            accepted.on_ready_read(lambda event: event.source.write(event.source.read_all()))
            accepted.on_disconnected(lambda event: event.source.destroy())

        for count in range(10):
            with socket.create_connection(("127.0.0.1", server.port()), LIMIT) as client:
                message = b"echo %d" % count
                client.sendall(message)
                self.assertEqual(client.recv(100), message)
        server.destroy()

    def test_the_course_of_a_connection(self) -> None:
        client = self.session.tcp_socket()
        events = client.events()
        with socket.create_server(("127.0.0.1", 0)) as server:
            client.connect_to_host("127.0.0.1", server.getsockname()[1])
            peer, _ = server.accept()
            peer.sendall(b"line\n")
            peer.close()
        seen = []
        for event in events:
            seen.append((event.name, event.state))
            if event.name == "disconnected":
                break
        client.destroy()
        states = sluice.SocketState
        self.assertEqual(
            [each for each in seen if each[0] != "lineAvailable"],
            [
                ("stateChanged", states.HOST_LOOKUP),
                ("stateChanged", states.CONNECTING),
                ("hostFound", states.CONNECTING),
                ("stateChanged", states.CONNECTED),
                ("connected", states.CONNECTED),
                ("readyRead", states.CONNECTED),
                ("errorOccurred", states.CONNECTED),
                ("stateChanged", states.CLOSING),
                ("stateChanged", states.UNCONNECTED),
                ("readChannelFinished", states.UNCONNECTED),
                ("disconnected", states.UNCONNECTED),
            ],
        )

    def test_events_of_a_call_come_before_its_return(self) -> None:
        heard: List[str] = []
        self.session.add_event_listener(lambda handle, name, values: heard.append(name))
        with socket.create_server(("127.0.0.1", 0)) as server, self.session.tcp_socket() as client:
            client.connect_to_host("127.0.0.1", server.getsockname()[1])
            self.assertEqual(heard[:3], ["stateChanged", "stateChanged", "hostFound"])
            self.assertTrue(client.wait_for_connected(MS))
            self.assertIn("connected", heard)

    def test_bytes_written_are_told_to_who_asks(self) -> None:
        client, peer = self.foreign_pair()
        total, done = [0], threading.Event()

        @client.on("bytesWritten")
        def written(event: sluice.Event) -> None:
            total[0] += event.bytes_written
            if total[0] == 100_000:
                done.set()

        client.write(b"x" * 100_000)
        received = 0
        while received < 100_000:
            received += len(peer.recv(100_000))
        self.assertTrue(done.wait(LIMIT), total)


class Together(Case):
    def test_many_threads_share_a_session(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            failures: List[BaseException] = []

            def work(number: int) -> None:
                try:
                    with self.session.connect_tcp("127.0.0.1", server.port(), MS) as sock:
                        sock.sendall(b"%d\n" % number)
                        self.assertEqual(sock.read_exactly(3, MS), b"ok\n")
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
            for thread in threads:
                thread.start()
            seen = set()
            for _ in threads:
                with server.accept(MS) as accepted:
                    seen.add(next(iter(accepted)))
                    accepted.sendall(b"ok\n")
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(failures, [])
            self.assertEqual(seen, {b"%d\n" % number for number in range(20)})

    def test_a_wait_does_not_keep_others_waiting_and_can_be_cancelled(self) -> None:
        client, peer = self.foreign_pair()
        waiting = self.session.submit(client.wait_for_ready_read, timeout=-1)
        self.session.ping()
        self.assertFalse(waiting.done())
        self.assertTrue(waiting.cancel())
        peer.sendall(b"x")
        self.assertEqual(client.read_exactly(1, MS), b"x")

    def test_two_clients_of_one_sidecar(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sluiced.sock")
            with self.assertRaises(sluice.SidecarNotFoundError):
                sluice.connect(path)
            assert SIDECAR is not None
            process = subprocess.Popen([SIDECAR, "--socket", path], stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), b"READY\n")
                with sluice.connect(path) as one, sluice.connect(path) as two:
                    server = one.listen_tcp("127.0.0.1")
                    with self.assertRaises(sluice.InvalidHandleError):
                        two.call("server.port", {"handle": server.handle})
                    with two.connect_tcp("127.0.0.1", server.port(), MS), server.accept(MS):
                        pass
            finally:
                process.terminate()
                process.communicate()
            self.assertEqual(process.returncode, 0)


class Lives(Case):
    def pid(self, session: sluice.Session) -> int:
        assert session._process is not None
        return session._process.pid

    def assert_gone(self, pid: int) -> None:
        with self.assertRaises(ProcessLookupError):
            os.kill(pid, 0)

    def test_the_sidecar_ends_with_its_session(self) -> None:
        with sluice.start(SIDECAR) as session:
            sock = session.tcp_socket()
            pid = self.pid(session)
            self.assertIs(sock.session, session)
        self.assert_gone(pid)

    def test_closing_ends_a_wait_without_limit(self) -> None:
        session = sluice.start(SIDECAR)
        server = session.listen_tcp("127.0.0.1")
        waiting = session.submit(server.wait_for_new_connection, timeout=-1)
        session.ping()
        session.close()
        self.assertIsInstance(waiting.exception(LIMIT), sluice.SessionClosedError)
        self.assert_gone(self.pid(session))

    def test_a_killed_sidecar_is_told_with_its_signal(self) -> None:
        session = sluice.start(SIDECAR)
        server = session.listen_tcp("127.0.0.1")
        waiting = session.submit(server.wait_for_new_connection, timeout=-1)
        session.ping()
        os.kill(self.pid(session), signal.SIGKILL)
        with self.assertRaisesRegex(sluice.SidecarLostError, "signal 9"):
            waiting.result(LIMIT)
        with self.assertRaises(sluice.SidecarLostError):
            session.ping()
        session.close()

    def test_a_sidecar_that_cannot_start(self) -> None:
        with self.assertRaises(FileNotFoundError):
            sluice.start("/no/such/sluiced")
        with self.assertRaises(sluice.SidecarLostError):
            sluice.start("true")

    def test_a_program_that_ends_leaves_no_sidecar(self) -> None:
        program = (
            "import os, sys; import support, sluice; s = sluice.start(support.SIDECAR); "
            "k = s.listen_tcp('127.0.0.1'); k.on_new_connection(print); print(s._process.pid, flush=True); {}"
        )
        for end in ("pass", "os._exit(0)", "os.kill(os.getpid(), 9)", "sluice.default_session(); sys.exit(3)"):
            with self.subTest(end=end):
                done = subprocess.run(
                    [sys.executable, "-c", program.format(end)],
                    cwd=os.path.dirname(os.path.abspath(__file__)),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    timeout=2 * LIMIT,
                    check=False,
                )
                self.assertEqual(done.stderr, b"")
                pid = int(done.stdout)
                deadline = time.monotonic() + LIMIT
                while os.path.exists(f"/proc/{pid}/fd/0") and time.monotonic() < deadline:
                    pass
                self.assertFalse(os.path.exists(f"/proc/{pid}/fd/0"))


if __name__ == "__main__":
    unittest.main()
