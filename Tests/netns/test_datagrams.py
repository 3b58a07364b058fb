"""Datagrams between hosts: larger than a packet, to ports and hosts that are not there, to everybody on a cable."""
from __future__ import annotations

import errno
import socket
import unittest

from netcase import OUR, OUR6, PEER, PEER6, Cable, DatagramCase


class Sizes(DatagramCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.rpc = self.sidecar(self.us)

    def test_larger_than_a_packet(self) -> None:
        """The system takes them apart and joins them again."""
        for address, our, largest in ((PEER, OUR, 65507), (PEER6, OUR6, 65527)):
            receiver = self.datagrams(self.peer, address)
            handle = self.bound(self.rpc, our)
            for size in (1472, 1473, 9000, largest):
                self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "y" * size, *receiver.getsockname()[:2]), size)
                data, sender = receiver.recvfrom(1 << 16)
                self.assertEqual((len(data), sender[0]), (size, our))
                receiver.sendto(data, sender)
                datagram = self.receive(self.rpc, handle)
                self.assertEqual(datagram["bytes"], data)
                self.assertFalse(datagram["truncated"])
            error = self.rpc.error("udpSocket.writeDatagram", handle, "y" * (largest + 1), *receiver.getsockname()[:2])
            self.assertError(error, -32000, "DatagramTooLargeError")

    def test_batches_of_datagrams_larger_than_a_packet(self) -> None:
        """Such cannot leave joined, and do leave."""
        self.us.ip("link set eth0 mtu 1280")
        for address in (PEER, PEER6):
            receiver = self.datagrams(self.peer, address)
            host, port = receiver.getsockname()[:2]
            handle = self.connected_to(self.rpc, (host, port))
            for size in (1300, 1200, 5000, 100):
                batch = [{"data": "%04d" % number + "z" * (size - 4)} for number in range(10)]
                self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, batch), len(batch))
                self.assertEqual([receiver.recv(1 << 16).decode() for _ in batch], [one["data"] for one in batch])
            self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_path_mtu(self) -> None:
        for address in (PEER, PEER6):
            handle = self.connected_to(self.rpc, (address, 5000))
            self.assertEqual(self.rpc.call("socket.option", handle, "PathMtu"), 1500)
        self.us.ip("link set eth0 mtu 1400")
        self.assertEqual(self.rpc.call("socket.option", self.connected_to(self.rpc, (PEER, 5000)), "PathMtu"), 1400)


class NarrowPath(DatagramCase):
    def test_what_does_not_get_through_is_told(self) -> None:
        """A router tells how narrow the path is; from then on what is larger leaves in parts."""
        us, _, far = self.routed(mtu=1300)
        rpc = self.sidecar(us)
        for address in ("10.2.0.2", "fd02::2"):
            receiver = self.datagrams(far, address)
            handle = self.connected_to(rpc, receiver.getsockname())
            self.assertEqual(rpc.call("socket.option", handle, "PathMtu"), 1500)
            rpc.call("socket.write", handle, "l" * 1400)
            told = self.assertFailed(rpc, handle, "DatagramTooLargeError", errno.EMSGSIZE)
            self.assertEqual(told["state"], "Connected")
            self.assertEqual(rpc.call("socket.option", handle, "PathMtu"), 1300)
            rpc.call("socket.write", handle, "f" * 1400)
            self.assertEqual(receiver.recv(1 << 16), b"f" * 1400)

    def test_a_batch(self) -> None:
        """A router takes joined datagrams of IPv4 apart; those of IPv6 it gives back, and the next find their way."""
        us, _, far = self.routed(mtu=1300)
        rpc = self.sidecar(us)
        for address in ("10.2.0.2", "fd02::2"):
            receiver = self.datagrams(far, address)
            handle = self.connected_to(rpc, receiver.getsockname())
            if ":" in address:
                self.assertEqual(rpc.call("udpSocket.writeDatagrams", handle, [{"data": "l" * 1400}] * 20), 20)
                self.assertFailed(rpc, handle, "DatagramTooLargeError", errno.EMSGSIZE)
            batch = [{"data": "%02d" % number + "f" * 1398} for number in range(20)]
            self.assertEqual(rpc.call("udpSocket.writeDatagrams", handle, batch), len(batch))
            self.assertEqual([receiver.recv(1 << 16).decode() for _ in batch], [one["data"] for one in batch])


class Unreachable(DatagramCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.router, self.far = self.routed()
        self.rpc = self.sidecar(self.us)

    def test_nobody_at_the_port(self) -> None:
        """A connected socket hears of it, and goes on."""
        for address in ("10.2.0.2", "fd02::2"):
            place = self.datagrams(self.far, address)
            host, port = place.getsockname()[:2]
            place.close()
            handle = self.connected_to(self.rpc, (host, port))
            self.rpc.call("socket.write", handle, "anybody?")
            told = self.assertFailed(self.rpc, handle, "ConnectionRefusedError", errno.ECONNREFUSED)
            self.assertEqual(told["state"], "Connected")
            self.assertIn(address, told["message"])
            # Whoever asks for an answer only now hears of it once, too.
            self.assertIs(self.rpc.call("socket.waitForReadyRead", handle, -1), False)
            receiver = self.datagrams(self.far, address, port)
            self.rpc.call("socket.write", handle, "now?")
            self.assertEqual(receiver.recv(100), b"now?")
            receiver.sendto(b"yes", (OUR6 if ":" in address else OUR, self.rpc.call("socket.localPort", handle)))
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"yes")

    def test_a_wait_ends_with_it(self) -> None:
        place = self.datagrams(self.far, "10.2.0.2")
        where = place.getsockname()
        place.close()
        handle = self.connected_to(self.rpc, where)
        wait = self.rpc.request("socket.waitForReadyRead", handle, -1)
        self.rpc.request("socket.write", handle, "anybody?")
        self.assertIs(self.rpc.answer(wait)["result"], False)
        self.assertEqual(self.rpc.call("socket.error", handle), "ConnectionRefusedError")

    def test_a_bound_socket_hears_nothing(self) -> None:
        """It speaks with many, of whom one is not there."""
        handle = self.bound(self.rpc, OUR)
        self.rpc.call("udpSocket.writeDatagram", handle, "anybody?", "10.2.0.2", 9)
        receiver = self.datagrams(self.far, "10.2.0.2")
        self.rpc.call("udpSocket.writeDatagram", handle, "you?", *receiver.getsockname())
        _, sender = receiver.recvfrom(100)
        receiver.sendto(b"me", sender)
        self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"me")
        self.assertNotIn("errorOccurred", self.rpc.take_events(handle))

    def test_what_a_router_says_of_the_way(self) -> None:
        """Nothing is told of a host that cannot be reached for the moment, and nothing breaks."""
        receiver = self.datagrams(self.far, "10.2.0.2")
        handle = self.connected_to(self.rpc, receiver.getsockname())
        self.router.ip("route add unreachable 10.2.0.2/32")
        self.rpc.call("socket.write", handle, "lost")
        self.router.ip("route del unreachable 10.2.0.2/32")
        self.rpc.call("socket.write", handle, "found")
        self.assertEqual(receiver.recv(100), b"found")
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")

    def test_our_own_routes(self) -> None:
        """Each datagram that cannot leave is an error of that call and that datagram."""
        self.us.ip("route add unreachable 10.9.0.0/24", "route add blackhole 10.8.0.0/24", "route add prohibit 10.7.0.0/24",
                   "route del default", "route add 10.2.0.0/24 via 10.1.0.254")
        handle = self.bound(self.rpc, "AnyIPv4")
        receiver = self.datagrams(self.far, "10.2.0.2")
        for address, error in (("10.9.0.1", "NetworkError"), ("10.8.0.1", "NetworkError"), ("10.7.0.1", "SocketAccessError"),
                               ("10.6.0.1", "NetworkError")):
            self.assertError(self.rpc.error("udpSocket.writeDatagram", handle, "no way", address, 9), -32000, error)
            self.assertFailed(self.rpc, handle, error)
            self.rpc.call("udpSocket.writeDatagram", handle, address, *receiver.getsockname())
            self.assertEqual(receiver.recv(100), address.encode())
        for address in ("10.9.0.1", "10.8.0.1", "10.7.0.1", "10.6.0.1"):
            # Where nothing is sent by it, connecting already fails.
            connecting = self.rpc.call("udpSocket.create")
            self.rpc.call("socket.connectToHost", connecting, address, 9)
            self.assertIn(self.failure(self.rpc, connecting)["error"], ("NetworkError", "SocketAccessError"))
            self.assertEqual(self.rpc.call("socket.state", connecting), "Unconnected")

    def test_a_batch_in_which_one_has_no_way(self) -> None:
        self.us.ip("route add unreachable 10.9.0.0/24")
        receiver = self.datagrams(self.far, "10.2.0.2")
        host, port = receiver.getsockname()
        handle = self.bound(self.rpc, "AnyIPv4")
        places = [host, host, "10.9.0.1", host]
        batch = [{"data": "%d" % number, "address": place, "port": port} for number, place in enumerate(places)]
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, batch), 2)
        self.assertFailed(self.rpc, handle, "NetworkError", errno.EHOSTUNREACH)
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, batch[3:]), 1)
        self.assertEqual([receiver.recv(10) for _ in range(3)], [b"0", b"1", b"3"])

    def test_the_interface_is_down_for_a_while(self) -> None:
        receiver = self.datagrams(self.far, "10.2.0.2")
        handle = self.connected_to(self.rpc, receiver.getsockname())
        self.us.ip("link set eth0 down")
        self.assertError(self.rpc.error("socket.write", handle, "lost"), -32000, "NetworkError")
        self.assertFailed(self.rpc, handle, "NetworkError")
        self.us.ip("link set eth0 up", "route add default via 10.1.0.254")
        self.rpc.call("socket.write", handle, "found")
        self.assertEqual(receiver.recv(100), b"found")
        receiver.sendto(b"answer", (OUR, self.rpc.call("socket.localPort", handle)))
        self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"answer")


class Details(DatagramCase):
    """What is known of a datagram, where that differs from one to the other."""

    def test_who_where_and_how_far(self) -> None:
        us, router, far = self.routed()
        rpc = self.sidecar(us)
        with us:
            index = socket.if_nametoindex("eth0")
        for our, address in ((OUR, "10.2.0.2"), (OUR6, "fd02::2")):
            handle = self.bound(rpc)
            sender = self.datagrams(far, address)
            if ":" in address:
                sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 20)
            else:
                sender.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 20)
            sender.sendto(b"hello", (our, rpc.call("socket.localPort", handle)))
            datagram = self.receive(rpc, handle)
            self.assertEqual(datagram["senderAddress"].removeprefix("::ffff:"), address)
            self.assertEqual(datagram["destinationAddress"], our)
            self.assertEqual(datagram["senderPort"], sender.getsockname()[1])
            # One router has taken one hop.
            self.assertEqual((datagram["interfaceIndex"], datagram["hopLimit"]), (index, 19))

    def test_two_interfaces(self) -> None:
        us, peer, _ = self.pair()
        second = Cable(us, peer, "eth1")
        second.addresses(us, "10.3.0.1/24")
        second.addresses(peer, "10.3.0.2/24")
        rpc = self.sidecar(us)
        handle = self.bound(rpc)
        port = rpc.call("socket.localPort", handle)
        indexes = []
        for our, address in ((OUR, PEER), ("10.3.0.1", "10.3.0.2")):
            self.datagrams(peer, address).sendto(b"hello", (our, port))
            datagram = self.receive(rpc, handle)
            self.assertEqual(datagram["destinationAddress"], our)
            indexes.append(datagram["interfaceIndex"])
        with us:
            self.assertEqual(indexes, [socket.if_nametoindex(name) for name in ("eth0", "eth1")])


class Broadcast(DatagramCase):
    EVERYBODY = ("10.1.0.255", "255.255.255.255")

    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.us.ip("route add default dev eth0")
        self.rpc = self.sidecar(self.us)

    def test_received(self) -> None:
        self.peer.ip("address del %s/24 dev eth0" % PEER, "address add %s/24 broadcast 10.1.0.255 dev eth0" % PEER,
                     "route add default dev eth0")
        handle = self.bound(self.rpc, "AnyIPv4")
        sender = self.datagrams(self.peer)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        for address in self.EVERYBODY:
            sender.sendto(b"all", (address, self.rpc.call("socket.localPort", handle)))
            datagram = self.receive(self.rpc, handle)
            self.assertEqual((datagram["bytes"], datagram["destinationAddress"]), (b"all", address))

    def test_sent(self) -> None:
        self.us.ip("address del %s/24 dev eth0" % OUR, "address add %s/24 broadcast 10.1.0.255 dev eth0" % OUR,
                   "route replace default dev eth0")
        receiver = self.datagrams(self.peer, "0.0.0.0")
        handle = self.bound(self.rpc, "AnyIPv4")
        self.assertEqual(self.rpc.call("socket.option", handle, "Broadcast"), 1)
        for address in self.EVERYBODY:
            self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "all", address, receiver.getsockname()[1]), 3)
            self.assertEqual(receiver.recvfrom(100)[1][0], OUR)
        self.rpc.call("socket.setOption", handle, "Broadcast", 0)
        for address in self.EVERYBODY:
            error = self.rpc.error("udpSocket.writeDatagram", handle, "all", address, receiver.getsockname()[1])
            self.assertError(error, -32000, "SocketAccessError")


if __name__ == "__main__":
    unittest.main()
