"""Where no packet can go, or where somebody says that it cannot: an error, at once and not at a time limit."""
from __future__ import annotations

import errno
import unittest

from netcase import PEER, PEER6, NetworkCase


class Routes(NetworkCase):
    """What our own host knows."""

    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.rpc = self.sidecar(self.us)

    def refused(self, address: str) -> dict:
        """The error of connecting there, without any time limit of ours."""
        handle = self.rpc.call("tcpSocket.create", properties={"connectTimeout": -1})
        self.rpc.call("socket.connectToHost", handle, address, 80)
        told = self.failure(self.rpc, handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        self.assertIn(address, told["message"])
        return told

    def assertNetworkError(self, address: str, number: int, words: str) -> None:
        told = self.refused(address)
        self.assertEqual((told["error"], told["systemError"]), ("NetworkError", number), told)
        self.assertIn(words, told["message"])

    def test_no_route(self) -> None:
        self.assertNetworkError("10.9.0.1", errno.ENETUNREACH, "network is unreachable")
        self.assertNetworkError("fd09::1", errno.ENETUNREACH, "network is unreachable")

    def test_an_unreachable_route(self) -> None:
        self.us.ip("route add unreachable 10.9.0.0/24", "route add unreachable fd09::/64")
        self.assertNetworkError("10.9.0.1", errno.EHOSTUNREACH, "host is unreachable")
        self.assertNetworkError("fd09::1", errno.EHOSTUNREACH, "host is unreachable")

    def test_a_blackhole_route(self) -> None:
        """The system's number for it is EINVAL, which by itself would tell a person nothing."""
        self.us.ip("route add blackhole 10.9.0.0/24", "route add blackhole fd09::/64")
        self.assertNetworkError("10.9.0.1", errno.EINVAL, "no way to this address")
        self.assertNetworkError("fd09::1", errno.EINVAL, "no way to this address")

    def test_a_prohibiting_route(self) -> None:
        self.us.ip("route add prohibit 10.9.0.0/24", "route add prohibit fd09::/64")
        for address in ("10.9.0.1", "fd09::1"):
            told = self.refused(address)
            self.assertEqual((told["error"], told["systemError"]), ("SocketAccessError", errno.EACCES), told)

    def test_our_interface_is_down(self) -> None:
        self.us.ip("link set eth0 down")
        self.assertNetworkError(PEER, errno.ENETUNREACH, "network is unreachable")

    def test_nobody_has_the_address(self) -> None:
        """The system asks the cable who has it, and gives up."""
        for family in ("ipv4", "ipv6"):
            self.us.sysctl("net/%s/neigh/eth0/retrans_time_ms" % family, 50)
            self.us.sysctl("net/%s/neigh/eth0/mcast_solicit" % family, 1)
        self.assertNetworkError("10.1.0.99", errno.EHOSTUNREACH, "host is unreachable")
        self.assertNetworkError("fd01::99", errno.EHOSTUNREACH, "host is unreachable")

    def test_nobody_listens(self) -> None:
        for address in (PEER, PEER6):
            told = self.refused(address)
            self.assertEqual((told["error"], told["systemError"]), ("ConnectionRefusedError", errno.ECONNREFUSED), told)

    def test_the_address_bound_to_was_removed(self) -> None:
        handle = self.rpc.call("tcpSocket.create")
        self.us.ip("address add 10.1.0.7/24 dev eth0")
        self.rpc.call("socket.bind", handle, "10.1.0.7")
        self.us.ip("address del 10.1.0.7/24 dev eth0")
        listener = self.listen(self.peer)
        self.rpc.call("socket.connectToHost", handle, PEER, listener.getsockname()[1])
        # To the system this is a source for which there is no way.
        self.assertFailed(self.rpc, handle, "NetworkError", errno.ENETUNREACH, errno.EINVAL)
        self.rpc.call("socket.abort", handle)
        self.assertError(self.rpc.error("socket.bind", handle, "10.1.0.7"), -32000, "SocketAddressNotAvailableError")

    def test_a_wait_ends_with_the_error(self) -> None:
        program = self.waits(self.us, "connected", "10.9.0.1", 80, -1)
        self.assertEqual(program.line(), "false NetworkError Unconnected 1")


class Routers(NetworkCase):
    """What a router on the way says."""

    def setUp(self) -> None:
        super().setUp()
        self.us, self.router, self.far = self.routed()
        self.rpc = self.sidecar(self.us)

    def answer(self, address: str) -> dict:
        handle = self.rpc.call("tcpSocket.create", properties={"connectTimeout": -1})
        self.rpc.call("socket.connectToHost", handle, address, 80)
        return self.failure(self.rpc, handle)

    def test_it_works_at_all(self) -> None:
        for address in ("10.2.0.2", "fd02::2"):
            self.connected(self.rpc, self.far, address)

    def test_it_knows_no_way(self) -> None:
        for address in ("10.9.0.1", "fd09::1"):
            told = self.answer(address)
            self.assertEqual(told["error"], "NetworkError", told)
            self.assertIn(told["systemError"], (errno.ENETUNREACH, errno.EHOSTUNREACH))

    def test_it_says_unreachable(self) -> None:
        self.router.ip("route add unreachable 10.9.0.0/24", "route add unreachable fd09::/64")
        told = self.answer("10.9.0.1")
        self.assertEqual((told["error"], told["systemError"]), ("NetworkError", errno.EHOSTUNREACH), told)
        told = self.answer("fd09::1")
        self.assertEqual((told["error"], told["systemError"]), ("NetworkError", errno.ENETUNREACH), told)

    def test_it_says_prohibited(self) -> None:
        self.router.ip("route add prohibit 10.9.0.0/24", "route add prohibit fd09::/64")
        told = self.answer("10.9.0.1")
        self.assertEqual((told["error"], told["systemError"]), ("NetworkError", errno.EHOSTUNREACH), told)
        told = self.answer("fd09::1")
        self.assertEqual((told["error"], told["systemError"]), ("SocketAccessError", errno.EACCES), told)

    def test_a_connection_outlives_a_way_that_is_lost_for_a_while(self) -> None:
        """What a router says of a connection that is there may be over soon: it is no end."""
        handle, connection = self.connected(self.rpc, self.far, "10.2.0.2")
        self.router.ip("route add unreachable 10.2.0.2/32")
        self.rpc.call("socket.write", handle, "on the way")
        self.rpc.call("socket.flush", handle)
        self.router.ip("route del unreachable 10.2.0.2/32")
        self.assertEqual(connection.recv(100), b"on the way")
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")

    def test_its_word_is_told_when_the_time_is_over(self) -> None:
        handle, _ = self.connected(self.rpc, self.far, "10.2.0.2", options={"UserTimeout": 500})
        self.router.ip("route add unreachable 10.2.0.2/32")
        self.rpc.call("socket.write", handle, "lost")
        self.assertFailed(self.rpc, handle, "NetworkError", errno.EHOSTUNREACH)
        self.assertEnded(self.rpc, handle)


if __name__ == "__main__":
    unittest.main()
