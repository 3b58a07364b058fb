"""The blocking face against the real sidecar: events, threads, and how sidecars live and end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from typing import List

from support import LIMIT, MS, SIDECAR, Case

import sluice


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
