"""Descriptors of every kind, in and out of the sidecar, in both faces."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest
from typing import Any, List

from support import LIMIT, MS, SIDECAR, Case, Scripted

import sluice
from sluice import aio


class Streams(Case):
    def test_a_connection_goes_in_and_comes_out_again(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, self.session.local_socket() as wrapped:
            wrapped.set_descriptor(theirs.fileno())
            theirs.close()
            wrapped.sendall(b"through the sidecar")
            self.assertEqual(ours.recv(100), b"through the sidecar")
            with wrapped.take_descriptor() as taken:
                self.assertIsInstance(taken, socket.socket)
                self.assertEqual((taken.family, taken.type), (socket.AF_UNIX, socket.SOCK_STREAM))
                self.assertIsNone(taken.gettimeout())
                self.assertFalse(os.get_inheritable(taken.fileno()))
                self.assertIs(wrapped.state(), sluice.SocketState.UNCONNECTED)
                taken.sendall(b"and past it")
                self.assertEqual(ours.recv(100), b"and past it")

    def test_a_socket_object_as_good_as_its_number(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            with socket.create_connection(server.getsockname()) as ours, self.session.tcp_socket() as wrapped:
                peer, _ = server.accept()
                with peer:
                    wrapped.set_descriptor(ours)
                    self.assertEqual(wrapped.peer_port(), server.getsockname()[1])
                    wrapped.sendall(b"x")
                    self.assertEqual(peer.recv(1), b"x")

    def test_a_taken_connection_waits_as_a_new_one_does(self) -> None:
        client, peer = self.foreign_pair()
        self.addCleanup(socket.setdefaulttimeout, socket.getdefaulttimeout())
        socket.setdefaulttimeout(LIMIT)
        with client.take_descriptor() as taken:
            self.assertEqual(taken.gettimeout(), LIMIT)
            taken.sendall(b"x")
            self.assertEqual(peer.recv(1), b"x")

    def test_unread_bytes_are_not_left_behind(self) -> None:
        client, peer = self.foreign_pair()
        peer.sendall(b"unread")
        self.assertTrue(client.wait_for_ready_read(MS))
        with self.assertRaises(sluice.OperationError):
            client.take_descriptor()
        self.assertEqual(client.read_all(), b"unread")
        client.take_descriptor().close()

    def test_what_is_no_descriptor_is_refused(self) -> None:
        with self.session.tcp_socket() as sock, tempfile.TemporaryFile() as file:
            closed = socket.socket()
            closed.close()
            for wrong, kind in (
                (-1, sluice.InvalidArgumentError),
                (1 << 40, sluice.InvalidArgumentError),
                (closed, sluice.InvalidArgumentError),
                (file, sluice.SluiceError),
                (file.fileno(), sluice.SluiceError),
                ("1", TypeError),
                (None, TypeError),
                (1.0, TypeError),
            ):
                with self.assertRaises(kind, msg=repr(wrong)):
                    sock.set_descriptor(wrong)  # type: ignore[arg-type]
            self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)
            with self.assertRaises(sluice.SluiceError):
                sock.take_descriptor()

    def test_many_threads_get_their_own(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            failures: List[BaseException] = []

            def work() -> None:
                try:
                    with self.session.connect_tcp("127.0.0.1", server.port(), MS) as sock:
                        name = (sock.local_address(), sock.local_port())
                        with sock.take_descriptor() as taken:
                            self.assertEqual(taken.getsockname(), name)
                except BaseException as error:
                    failures.append(error)

            threads = [threading.Thread(target=work) for _ in range(20)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
            self.assertEqual(failures, [])


class Servers(Case):
    def test_a_listening_socket_goes_in_and_comes_out_again(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as ours, self.session.tcp_server() as server:
            server.set_descriptor(ours)
            self.assertTrue(server.is_listening())
            with self.session.connect_tcp("127.0.0.1", server.port(), MS), server.accept(MS):
                pass
            with server.take_descriptor() as taken:
                self.assertFalse(server.is_listening())
                self.assertEqual(taken.getsockname(), ours.getsockname())
                with socket.create_connection(taken.getsockname(), LIMIT) as client:
                    accepted, address = taken.accept()
                    with accepted:
                        self.assertEqual(address, client.getsockname())

    def test_a_local_one(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            with socket.socket(socket.AF_UNIX) as ours, self.session.local_server() as server:
                ours.bind(path)
                ours.listen()
                server.listen(descriptor=ours)
                with self.session.connect_local(path, MS) as client, server.accept(MS) as accepted:
                    client.sendall(b"x")
                    self.assertEqual(accepted.read_exactly(1, MS), b"x")
                with server.take_descriptor() as taken:
                    self.assertEqual(taken.getsockname(), path)

    def test_what_does_not_listen_is_refused(self) -> None:
        with self.session.tcp_server() as server, socket.socket() as idle:
            with self.assertRaises(sluice.SluiceError):
                server.set_descriptor(idle)
            with self.assertRaises(sluice.SluiceError):
                server.take_descriptor()
            self.assertFalse(server.is_listening())


@unittest.skipIf(SIDECAR is None or shutil.which("bash") is None, "there is no sluiced, or no bash")
class Activated(unittest.TestCase):
    def test_sockets_that_the_service_manager_has_opened(self) -> None:
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as clients, socket.create_server(("127.0.0.1", 0)) as web:
            path = os.path.join(folder, "sluiced.sock")
            clients.bind(path)
            clients.listen()
            numbers = [fcntl.fcntl(each.fileno(), fcntl.F_DUPFD, 20) for each in (clients, web)]
            script = 'exec 3<&$1 4<&$2; export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=clients:web; exec "$0" --activated'
            command = ["bash", "-c", script, str(SIDECAR), *map(str, numbers)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=numbers)
            for number in numbers:
                os.close(number)
            try:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), b"READY\n")
                with sluice.connect(path) as session, session.tcp_server() as server:
                    activated = {each.name: each.descriptor for each in session.greeting.activated}
                    server.set_descriptor(activated["web"])
                    self.assertEqual(server.port(), web.getsockname()[1])
                    with session.connect_tcp("127.0.0.1", server.port(), MS), server.accept(MS):
                        pass
            finally:
                process.terminate()
                process.communicate()
            self.assertTrue(os.path.exists(path))


class Incoming(Case):
    def connect(self, server: sluice.TcpServer) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", server.port()), LIMIT)
        self.addCleanup(client.close)
        return client

    def test_a_raw_connection_becomes_a_socket_and_joins_the_queue(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            server.set_incoming_handler()
            events = server.events()
            client = self.connect(server)
            event = events.get(MS)
            while event is not None and event.name != "incomingConnection":
                event = events.get(MS)
            assert event is not None
            self.assertFalse(server.has_pending_connections())
            with self.session.tcp_socket() as sock:
                sock.set_descriptor(event.descriptor)
                self.assertEqual(sock.peer_port(), client.getsockname()[1])
                server.add_pending_connection(sock)
                self.assertTrue(server.has_pending_connections())
                self.assertIs(server.accept(MS), sock)
                sock.sendall(b"welcome")
                self.assertEqual(client.recv(100), b"welcome")
                with sock.take_descriptor() as taken:
                    self.assertEqual(taken.getpeername(), client.getsockname())

    def test_it_means_nothing_to_another_session(self) -> None:
        assert SIDECAR is not None
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sluiced.sock")
            process = subprocess.Popen([SIDECAR, "--socket", path], stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                self.assertEqual(process.stdout.readline(), b"READY\n")
                with sluice.connect(path) as one, sluice.connect(path) as two, one.listen_tcp("127.0.0.1") as server:
                    server.set_incoming_handler()
                    events = server.events()
                    client = self.connect(server)
                    event = events.get(MS)
                    assert event is not None and event.name == "incomingConnection"
                    with two.tcp_socket() as foreign, one.tcp_socket() as own:
                        with self.assertRaises(sluice.SluiceError):
                            foreign.set_descriptor(event.descriptor)
                        own.set_descriptor(event.descriptor)
                        with self.assertRaises(sluice.SluiceError):
                            own.set_descriptor(event.descriptor)
                        own.abort()
                        self.assertEqual(client.recv(1), b"")
            finally:
                process.terminate()
                process.communicate()

    def test_back_to_sockets(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            server.set_incoming_handler("descriptor")
            server.set_incoming_handler("socket")
            self.connect(server)
            with server.accept(MS):
                pass

    def test_misuse(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server, self.session.tcp_socket() as fresh:
            with self.assertRaises(sluice.SluiceError):
                server.set_incoming_handler("something")
            with self.assertRaises(TypeError):
                server.add_pending_connection(fresh.handle)  # type: ignore[arg-type]
            with self.assertRaises(sluice.SluiceError):
                server.add_pending_connection(fresh)
            with self.assertRaises(sluice.WrongKindError):
                server.add_pending_connection(server)
            for number in (-1, 0, 1 << 40):
                with self.assertRaises(sluice.SluiceError, msg=str(number)):
                    fresh.set_descriptor(sluice.HeldDescriptor(number))
            self.assertIs(fresh.state(), sluice.SocketState.UNCONNECTED)


class Passing(Case):
    def test_a_descriptor_travels_with_the_bytes(self) -> None:
        ours, theirs = socket.socketpair()
        with ours, self.session.local_socket() as sock, tempfile.TemporaryFile() as file:
            sock.set_descriptor(theirs)
            theirs.close()
            file.write(b"content")
            file.flush()
            sock.send_descriptor(file)
            sock.sendall(b"here")
            data, descriptors, _, _ = socket.recv_fds(ours, 100, 1)
            self.assertEqual(data, b"here")
            with open(descriptors[0], "rb") as received:
                received.seek(0)
                self.assertEqual(received.read(), b"content")

            self.assertIsNone(sock.receive_descriptor())
            socket.send_fds(ours, [b"back"], [file.fileno()])
            self.assertEqual(sock.read_exactly(4, MS), b"back")
            number = sock.receive_descriptor()
            assert number is not None
            with open(number, "rb") as received:
                self.assertEqual(os.fstat(number).st_ino, os.fstat(file.fileno()).st_ino)
            self.assertIsNone(sock.receive_descriptor())

    def test_misuse(self) -> None:
        with self.session.local_socket() as sock:
            with self.assertRaises(sluice.InvalidArgumentError):
                sock.send_descriptor(-1)
            with self.assertRaises(TypeError):
                sock.send_descriptor("0")  # type: ignore[arg-type]
            with self.assertRaises(sluice.SluiceError):
                sock.send_descriptor(0)


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.session = await aio.start(SIDECAR)
        self.addAsyncCleanup(self.session.close)

    async def test_in_and_out(self) -> None:
        ours, theirs = socket.socketpair()
        with ours:
            async with self.session.local_socket() as sock:
                await sock.set_descriptor(theirs)
                theirs.close()
                with await sock.take_descriptor() as taken:
                    taken.sendall(b"x")
                    self.assertEqual(ours.recv(1), b"x")

    async def test_incoming_connections(self) -> None:
        async with self.session.listen_tcp("127.0.0.1") as server, self.session.tcp_socket() as sock:
            came: asyncio.Future[sluice.HeldDescriptor] = asyncio.get_running_loop().create_future()
            server.on_incoming_connection(lambda event: came.set_result(event.descriptor))
            await server.set_incoming_handler()
            with socket.create_connection(("127.0.0.1", await server.port()), LIMIT) as client:
                await sock.set_descriptor(await asyncio.wait_for(came, LIMIT))
                await sock.sendall(b"x")
                self.assertEqual(client.recv(1), b"x")


class OnTheWire(unittest.IsolatedAsyncioTestCase):
    async def test_a_descriptor_that_must_wait_is_our_own_copy(self) -> None:
        def no(self: Scripted, parameters: Any) -> None:
            return None

        sidecar = Scripted({"localSocket.create": lambda self, parameters: 1, "socket.setDescriptor": no, "session.ping": no})
        session = aio.Session(sidecar.theirs)
        self.addAsyncCleanup(session.close)
        sock = await session.local_socket()
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        # More than the connection takes at once is before it.
        pings = [asyncio.ensure_future(session.ping("x" * 400_000)) for _ in range(5)]
        setting = asyncio.ensure_future(sock.set_descriptor(theirs))
        await asyncio.sleep(0)
        theirs.close()
        await asyncio.wait_for(asyncio.gather(setting, *pings), LIMIT)
        self.assertEqual(sidecar.wait_for("socket.setDescriptor")["params"]["state"], sluice.SocketState.CONNECTED)
        await sock.destroy()


if __name__ == "__main__":
    unittest.main()
