"""Socket options of every kind of socket, before and after there is a descriptor, against what the system says."""

from __future__ import annotations

import socket
import tempfile
import unittest
from typing import Any, Dict, List, Tuple

from support import MS, Case

import sluice
from sluice import SocketOption as O

# Values that the system keeps as they are.
PLAIN: Dict[str, List[Tuple[O, int, int, int]]] = {
    "tcp": [
        (O.LOW_DELAY, 1, socket.IPPROTO_TCP, socket.TCP_NODELAY),
        (O.KEEP_ALIVE, 1, socket.SOL_SOCKET, socket.SO_KEEPALIVE),
        (O.TYPE_OF_SERVICE, 0x10, socket.IPPROTO_IP, socket.IP_TOS),
        (O.KEEP_ALIVE_IDLE, 77, socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
        (O.KEEP_ALIVE_INTERVAL, 7, socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
        (O.KEEP_ALIVE_COUNT, 3, socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
        (O.USER_TIMEOUT, 5000, socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    ],
    "udp": [
        (O.MULTICAST_TTL, 7, socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
        (O.MULTICAST_LOOPBACK, 0, socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP),
        (O.TYPE_OF_SERVICE, 0x10, socket.IPPROTO_IP, socket.IP_TOS),
        (O.BROADCAST, 0, socket.SOL_SOCKET, socket.SO_BROADCAST),
        (O.KEEP_ALIVE, 1, socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    ],
    "local": [],
}

# What a kind does not have. The rest of the options are about the system's buffers, or can only be read.
LACKING: Dict[str, List[O]] = {
    "tcp": [O.BROADCAST],
    "udp": [O.LOW_DELAY, O.KEEP_ALIVE_IDLE, O.KEEP_ALIVE_INTERVAL, O.KEEP_ALIVE_COUNT, O.USER_TIMEOUT, O.QUICK_ACK],
    "local": [each for each in O if each not in (O.SEND_BUFFER_SIZE, O.RECEIVE_BUFFER_SIZE)],
}


class Options(Case):
    def fresh(self, kind: str) -> Any:
        made = getattr(self.session, f"{kind}_socket")()
        self.addCleanup(made.__exit__, None, None, None)
        return made

    def connect(self, kind: str, sock: Any) -> None:
        if kind == "udp":
            sock.bind("127.0.0.1")
            return
        if kind == "local":
            folder = tempfile.TemporaryDirectory()
            self.addCleanup(folder.cleanup)
            server: Any = self.session.listen_local(f"{folder.name}/socket")
            sock.connect_to_server(server.full_server_name())
        else:
            server = self.session.listen_tcp("127.0.0.1")
            sock.connect_to_host("127.0.0.1", server.port())
        self.addCleanup(server.__exit__, None, None, None)
        self.assertTrue(sock.wait_for_connected(MS))
        accepted = server.accept(MS)
        self.addCleanup(accepted.__exit__, None, None, None)

    def test_set_before_and_after(self) -> None:
        for early in (True, False):
            for kind, options in PLAIN.items():
                sock = self.fresh(kind)
                if not early:
                    self.connect(kind, sock)
                for option, value, _, _ in options:
                    with self.subTest(kind=kind, option=option, early=early):
                        sock.set_option(option, value)
                        self.assertEqual(sock.option(option), value)
                if early:
                    self.connect(kind, sock)
                with sock.take_descriptor() as taken:
                    for option, value, level, number in options:
                        with self.subTest(kind=kind, option=option, early=early):
                            self.assertEqual(taken.getsockopt(level, number), value)

    def test_the_systems_buffers(self) -> None:
        for kind in PLAIN:
            for option, number in ((O.SEND_BUFFER_SIZE, socket.SO_SNDBUF), (O.RECEIVE_BUFFER_SIZE, socket.SO_RCVBUF)):
                with self.subTest(kind=kind, option=option):
                    sock = self.fresh(kind)
                    sock.set_option(option, 20_000)
                    self.connect(kind, sock)
                    told = sock.option(option)
                    self.assertGreaterEqual(told, 20_000)
                    with sock.take_descriptor() as taken:
                        self.assertEqual(taken.getsockopt(socket.SOL_SOCKET, number), told)

    def test_the_way_to_the_peer(self) -> None:
        client, _ = self.foreign_pair()
        self.assertGreater(client.option(O.PATH_MTU), 0)
        with self.assertRaises(sluice.SluiceError):
            client.set_option(O.PATH_MTU, 1500)

    def test_what_a_kind_lacks_is_told(self) -> None:
        for kind, options in LACKING.items():
            for is_connected in (False, True):
                sock = self.fresh(kind)
                if is_connected:
                    self.connect(kind, sock)
                for option in options:
                    with self.subTest(kind=kind, option=option, is_connected=is_connected):
                        with self.assertRaises(sluice.UnsupportedSocketOperationError):
                            sock.set_option(option, 1)

    def test_what_does_not_fit_is_told(self) -> None:
        sock = self.fresh("tcp")
        wrong = ((O.TYPE_OF_SERVICE, 256), (O.KEEP_ALIVE_COUNT, 0), (O.KEEP_ALIVE_IDLE, -1), (O.USER_TIMEOUT, -1), (O.SEND_BUFFER_SIZE, -1))
        for option, value in wrong:
            with self.subTest(option), self.assertRaisesRegex(sluice.InvalidArgumentError, "takes"):
                sock.set_option(option, value)


if __name__ == "__main__":
    unittest.main()
