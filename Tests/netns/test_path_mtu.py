"""How large a packet may be on its way, which on loopback nothing ever is."""
from __future__ import annotations

import unittest

from netcase import OUR, PEER, PEER6, NetworkCase, support

SIZE = 1 << 20


class Streams(NetworkCase):
    def pathMtu(self, rpc: object, handle: int) -> int:
        value = rpc.call("socket.option", handle, "PathMtu")
        self.assertEqual(rpc.call("socket.property", handle, "pathMtu"), value)
        return value

    def send(self, rpc: object, handle: int, connection: object) -> None:
        rpc.call("socket.write", handle, "x" * SIZE)
        self.assertEqual(support.receive_exactly(connection, SIZE), b"x" * SIZE)

    def test_of_a_cable(self) -> None:
        us, peer, cable = self.pair()
        rpc = self.sidecar(us)
        for address in (PEER, PEER6):
            handle, connection = self.connected(rpc, peer, address)
            self.assertEqual(self.pathMtu(rpc, handle), 1500)
        us.ip("link set eth0 mtu 1400")
        for address in (PEER, PEER6):
            handle, connection = self.connected(rpc, peer, address)
            self.assertEqual(self.pathMtu(rpc, handle), 1400)
            self.send(rpc, handle, connection)

    def test_of_a_route(self) -> None:
        us, peer, _ = self.pair()
        us.ip("route add %s/32 dev eth0 mtu 1000" % PEER)
        rpc = self.sidecar(us)
        handle, connection = self.connected(rpc, peer)
        self.assertEqual(self.pathMtu(rpc, handle), 1000)
        self.send(rpc, handle, connection)

    def test_of_a_path(self) -> None:
        """Nobody knows how narrow it is before a packet did not get through."""
        us, _, far = self.routed(mtu=1300)
        rpc = self.sidecar(us)
        for address in ("10.2.0.2", "fd02::2"):
            handle, connection = self.connected(rpc, far, address)
            self.assertEqual(self.pathMtu(rpc, handle), 1500)
            self.send(rpc, handle, connection)
            # Unless the peer, which knows its own cable, has asked for small segments.
            self.assertIn(self.pathMtu(rpc, handle), (1300, 1500))

    def test_of_a_path_that_gets_narrower(self) -> None:
        us, router, far = self.routed()
        rpc = self.sidecar(us)
        handle, connection = self.connected(rpc, far, "10.2.0.2")
        self.send(rpc, handle, connection)
        self.assertEqual(self.pathMtu(rpc, handle), 1500)
        router.ip("link set eth1 mtu 1300")
        self.send(rpc, handle, connection)
        self.assertEqual(self.pathMtu(rpc, handle), 1300)

    def test_a_local_connection(self) -> None:
        us, _, _ = self.pair()
        rpc = self.sidecar(us)
        handle, _ = self.connected(rpc, us, OUR)
        self.assertGreaterEqual(self.pathMtu(rpc, handle), 65535)

    def test_none_without_a_connection(self) -> None:
        us, peer, _ = self.pair()
        rpc = self.sidecar(us)
        handle = rpc.call("tcpSocket.create")
        self.assertError(rpc.error("socket.option", handle, "PathMtu"), -32001, "InvalidStateError")
        self.assertEqual(rpc.call("socket.property", handle, "pathMtu"), 0)

    def test_limited_by_ourselves(self) -> None:
        """IPv6 alone knows such a limit, 1280 at least."""
        us, peer, _ = self.pair()
        rpc = self.sidecar(us)
        handle, connection = self.connected(rpc, peer, PEER6)
        rpc.call("socket.setOption", handle, "PathMtu", 1280)
        self.send(rpc, handle, connection)
        self.assertError(rpc.error("socket.setOption", handle, "PathMtu", 1279), -32001, "InvalidArgumentError")
        handle, _ = self.connected(rpc, peer)
        self.assertError(rpc.error("socket.setOption", handle, "PathMtu", 1280), -32000, "UnsupportedSocketOperationError")


if __name__ == "__main__":
    unittest.main()
