"""The blocking face against the real sidecar: connecting, misuse, bytes, local sockets."""

from __future__ import annotations

import gc
import hashlib
import os
import random
import socket
import tempfile
import threading
import unittest
from typing import Any, List

from support import LIMIT, MS, SIDECAR, Case

import sluice


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

    def test_a_line_longer_than_the_buffer_comes_in_pieces(self) -> None:
        client, peer = self.foreign_pair()
        client.set_read_buffer_size(8)
        peer.sendall(b"0123456789abcdef0123\nnext\n")
        peer.close()
        lines = list(client.lines(MS))
        self.assertEqual(b"".join(lines), b"0123456789abcdef0123\nnext\n")
        self.assertLessEqual(max(map(len, lines)), 8)
        self.assertEqual(lines[-1], b"next\n")

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


if __name__ == "__main__":
    unittest.main()
