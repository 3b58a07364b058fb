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
from sluice import enums, tls
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
    "socket.property": [("readBufferSize",), ("autoConnect",), ("reconnectDelay",)],
    "socket.set_properties": [({"connectTimeout": 1000, "idleTimeout": 0},)],
    "socket.set_property": [("closeTimeout", 1000)],
    "socket.to_json": [(), (True,)],
    "socket.from_json": [('{"connectTimeout": 1000}',), ("{}", True)],
    "udp_socket.write_datagram": [(b"text",), (b"",), (b"\xff\0", "127.0.0.1", 9)],
    "udp_socket.write_datagrams": [([],), ([b"text", b""],)],
    "udp_socket.read_datagrams": [(0,), (5,)],
    "udp_socket.set_multicast_interface": [("lo",), ("",)],
    "server.set_incoming_handler": [("descriptor",), ("socket",)],
    "server.set_max_pending_connections": [(30,)],
    "server.set_proxy": [(sluice.Proxy.none(),), (sluice.Proxy(),)],
    "server.set_tls_configuration": [(None,)],
    "socket.set_proxy": [(sluice.Proxy.none(),), (sluice.Proxy(),)],
    "tls_socket.set_configuration": [(sluice.TlsConfiguration(),)],
    "tls_socket.ignore_errors": [([],), ([sluice.SslErrorCode.CERTIFICATE_EXPIRED],), ()],
    "host.lookup": [("127.0.0.1",)],
    "proxy.set_application": [(sluice.Proxy.none(),)],
    "proxy.for_query": [("localhost", 80)],
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
    "tls_socket.wait_for_encrypted",
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
    "socket.authenticate_proxy",
    "socket.set_peer_name",
    "socket.set_peer_address",
    "socket.set_peer_port",
    "socket.set_local_address",
    "socket.set_local_port",
    "socket.set_state",
    "socket.set_error",
    "socket.set_error_string",
    "udp_socket.read_datagram",
    "udp_socket.join_multicast_group",
    "udp_socket.leave_multicast_group",
    "local_socket.connect_to_server",
    "local_socket.disconnect_from_server",
    "local_socket.set_server_name",
    "local_socket.set_socket_options",
    "local_socket.send_descriptor",
    "local_socket.receive_descriptor",
    "tls_socket.connect_to_host_encrypted",
    "tls_socket.start_client_encryption",
    "tls_socket.start_server_encryption",
    "server.close",
    "server.set_descriptor",
    "server.take_descriptor",
    "server.add_pending_connection",
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
    names = {**vars(enums), **vars(results), **vars(tls), "S": object, "socket": socket}
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

    def test_udp_socket(self) -> None:
        with self.session.bind_udp("127.0.0.1") as bound:
            with self.session.connect_udp("127.0.0.1", bound.local_port()) as client:
                self.walk(client)
            self.walk_getters(bound)
        with self.session.udp_socket() as fresh:
            self.walk_getters(fresh)

    def test_tls_socket(self) -> None:
        with self.session.tls_socket() as fresh:
            self.walk_getters(fresh)
        with self.session.listen_tcp("127.0.0.1") as server, self.session.tls_socket() as client:
            client.connect_to_host("127.0.0.1", server.port())
            self.assertTrue(client.wait_for_connected(5000))
            with server.accept():
                self.walk(client)

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
        self.walk(self.session.host)
        self.walk(self.session.proxy)

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
            wrapped.take_descriptor().close()

    @classmethod
    def tearDownClass(cls) -> None:
        left = APART - {"handle.destroy"} - cls.called
        assert not left, f"no class has {left}"


if __name__ == "__main__":
    unittest.main()
