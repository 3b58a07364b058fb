"""Every operation of every object, once, against the real sidecar: it exists there, and its result is of the type it says."""

from __future__ import annotations

import inspect
import os
import socket
import tempfile
import unittest
from typing import Any, Dict, List, Set, Tuple, Union, get_args, get_origin

from support import SIDECAR

import sluice
from sluice import enums
from sluice._core import results

# What is given to the operations that need something. Those that are not here are called with their defaults alone.
GIVEN: Dict[str, List[Tuple[Any, ...]]] = {
    "handle.subscribe": [("all",), (["connected", "bytesWritten"],), ("connected",), ("none",), ("default",)],
    "socket.read": [(5,)],
    "socket.peek": [(5,)],
    "socket.skip": [(1,)],
    "socket.put_char": [(65,)],
    "socket.unget_char": [(66,)],
    "socket.write": [(b"text",), (b"\xff\0",), (bytearray(b""),)],
    "socket.set_read_buffer_size": [(0,)],
    "socket.set_write_buffer_size": [(0,)],
    "socket.option": [(enums.SocketOption.SEND_BUFFER_SIZE,), (enums.SocketOption.RECEIVE_BUFFER_SIZE,)],
    "socket.set_option": [(enums.SocketOption.SEND_BUFFER_SIZE, 65536)],
    "socket.set_pause_mode": [(enums.PauseMode.ON_SSL_ERRORS,), (enums.PauseMode.NEVER,)],
    "socket.property": [("readBufferSize",), ("allowHalfOpen",)],
    "socket.set_properties": [({"connectTimeout": 1000, "allowHalfOpen": False},)],
    "socket.set_property": [("closeTimeout", 1000)],
    "server.set_max_pending_connections": [(30,)],
    "server.set_listen_backlog": [(50,)],
    "session.hello": [("tests",)],
    "session.ping": [(), ({"any": ["thing"]},)],
}

# Every wait is told not to.
TIMED = {
    "socket.sync",
    "socket.wait_for_connected",
    "socket.wait_for_ready_read",
    "socket.wait_for_bytes_written",
    "socket.wait_for_disconnected",
    "server.wait_for_new_connection",
}

# These change what the others need; the tests below call them on objects of their own.
APART = {
    "handle.destroy",
    "socket.abort",
    "socket.bind",
    "socket.close",
    "socket.connect_to_host",
    "socket.disconnect_from_host",
    "socket.set_descriptor",
    "socket.shutdown_write",
    "socket.take_descriptor",
    "local_socket.connect_to_server",
    "local_socket.disconnect_from_server",
    "local_socket.set_server_name",
    "local_socket.set_socket_options",
    "server.close",
    "server.set_descriptor",
    "tcp_server.listen",
    "local_server.listen",
    "local_server.remove_server",
    "local_server.set_socket_options",
    "session.shutdown",
}


def declared_operations(kind: Any) -> Dict[str, str]:
    """The operations of a class: name of the method, and noun.name."""
    found = {}
    for base in kind.__mro__:
        for name, member in vars(base).items():
            method = getattr(getattr(member, "operation", None), "method", None)
            if method is not None:
                noun = "".join(f"_{each.lower()}" if each.isupper() else each for each in method.partition(".")[0])
                found[name] = f"{noun}.{name}"
    return found


def fits(value: Any, wanted: Any) -> bool:
    if wanted is Any:
        return True
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Union:
        return any(fits(value, each) for each in arguments)
    if isinstance(origin, type):
        return isinstance(value, origin)
    return isinstance(value, wanted if wanted is not None else type(None))


def result_type(kind: Any, name: str) -> Any:
    text = inspect.signature(getattr(kind, name)).return_annotation
    names = {**vars(enums), **vars(results), "S": object}
    return eval(text, names)


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Operations(unittest.TestCase):
    called: Set[str] = set()
    session: sluice.Session
    folder: tempfile.TemporaryDirectory[str]

    @classmethod
    def setUpClass(cls) -> None:
        cls.session = sluice.start(SIDECAR)
        cls.addClassCleanup(cls.session.close)
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)

    def walk(self, target: Any) -> None:
        kind = type(target)
        for name, noun_name in sorted(declared_operations(kind).items()):
            self.called.add(noun_name)
            if noun_name in APART:
                continue
            wanted = result_type(kind, name)
            for given in GIVEN.get(noun_name, [()]):
                with self.subTest(kind=kind.__name__, operation=noun_name, given=given):
                    keywords = {"timeout": 0} if noun_name in TIMED else {}
                    value = getattr(target, name)(*given, **keywords)
                    self.assertTrue(fits(value, wanted), f"{value!r} is no {wanted}")

    def test_tcp_socket_and_server(self) -> None:
        with self.session.listen_tcp("127.0.0.1") as server:
            with self.session.connect_tcp("127.0.0.1", server.port()) as client, server.accept() as accepted:
                self.walk(client)
                self.walk(accepted)
            self.walk(server)
        with self.session.tcp_socket() as fresh, self.session.tcp_server() as idle:
            self.walk_getters(fresh)
            self.walk_getters(idle)

    def test_local_socket_and_server(self) -> None:
        name = os.path.join(self.folder.name, "walk")
        with self.session.listen_local(name) as server:
            with self.session.connect_local(name) as client, server.accept() as accepted:
                self.walk(client)
                self.walk(accepted)
            self.walk(server)
        with self.session.local_socket() as fresh, self.session.local_server() as idle:
            self.walk_getters(fresh)
            self.walk_getters(idle)

    def walk_getters(self, target: Any) -> None:
        kind = type(target)
        for name, noun_name in sorted(declared_operations(kind).items()):
            takes = list(inspect.signature(getattr(target, name)).parameters)
            if takes or noun_name in APART or noun_name in ("socket.get_char", "socket.read_all", "socket.peek_all"):
                continue
            if noun_name == "local_socket.peer_credentials":
                continue
            with self.subTest(kind=kind.__name__, operation=noun_name):
                value = getattr(target, name)()
                self.assertTrue(fits(value, result_type(kind, name)), repr(value))

    def test_session(self) -> None:
        self.walk(self.session)

    def test_apart(self) -> None:
        session = self.session
        path = os.path.join(self.folder.name, "apart")

        server = session.tcp_server()
        self.assertIsNone(server.listen("127.0.0.1", 0, sluice.BindMode.SHARE_ADDRESS))
        sock = session.tcp_socket()
        self.assertIsNone(sock.bind("127.0.0.1", 0))
        self.assertIs(sock.state(), sluice.SocketState.BOUND)
        self.assertIsNone(
            sock.connect_to_host(
                "127.0.0.1", server.port(), sluice.OpenMode.READ_WRITE, sluice.NetworkProtocol.IPV4
            )
        )
        self.assertTrue(sock.wait_for_connected(5000))
        self.assertIsNone(sock.shutdown_write())
        self.assertIsNone(sock.disconnect_from_host())
        self.assertIsNone(sock.abort())
        self.assertIsNone(sock.close())
        self.assertIsNone(server.close())
        self.assertFalse(server.is_listening())
        self.assertIsNone(sock.destroy())

        with socket.create_server(("127.0.0.1", 0)) as listening:
            self.assertIsNone(server.set_descriptor(listening.fileno()))
            self.assertEqual(server.port(), listening.getsockname()[1])
        server.destroy()

        local_server = session.local_server()
        self.assertIsNone(local_server.set_socket_options(sluice.LocalAccess.USER | sluice.LocalAccess.GROUP))
        self.assertEqual(local_server.socket_options(), sluice.LocalAccess.USER | sluice.LocalAccess.GROUP)
        self.assertIsNone(local_server.listen(path))
        self.assertFalse(local_server.remove_server(path))
        local = session.local_socket()
        self.assertIsNone(local.set_socket_options(sluice.LocalAccess.NONE))
        self.assertIsNone(local.set_server_name(path))
        self.assertIsNone(local.connect_to_server(path))
        self.assertTrue(local.wait_for_connected(5000))
        self.assertIsNone(local.disconnect_from_server())
        local.destroy()
        local_server.destroy()

        with sluice.start(SIDECAR) as other:
            self.assertIsNone(other.shutdown())

        ours, theirs = socket.socketpair()
        with ours, theirs, session.local_socket() as wrapped:
            self.assertIsNone(wrapped.set_descriptor(theirs.fileno()))
            taken = wrapped.take_descriptor()
            os.close(taken)

    @classmethod
    def tearDownClass(cls) -> None:
        left = APART - {"handle.destroy"} - cls.called
        assert not left, f"no class has {left}"


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Descriptors(unittest.TestCase):
    def test_a_connection_goes_in_and_comes_out_again(self) -> None:
        with sluice.start(SIDECAR) as session:
            ours, theirs = socket.socketpair()
            with ours:
                wrapped = session.local_socket()
                wrapped.set_descriptor(theirs.fileno())
                theirs.close()
                wrapped.sendall(b"through the sidecar")
                self.assertEqual(ours.recv(100), b"through the sidecar")
                with socket.socket(fileno=wrapped.take_descriptor()) as taken:
                    self.assertIs(wrapped.state(), sluice.SocketState.UNCONNECTED)
                    taken.sendall(b"and past it")
                    self.assertEqual(ours.recv(100), b"and past it")

    def test_what_is_no_descriptor_is_refused(self) -> None:
        with sluice.start(SIDECAR) as session, session.tcp_socket() as sock, tempfile.TemporaryFile() as file:
            for number in (-1, 1 << 40, file.fileno()):
                with self.assertRaises((sluice.MisuseError, sluice.SocketError), msg=str(number)):
                    sock.set_descriptor(number)
            self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)


if __name__ == "__main__":
    unittest.main()
