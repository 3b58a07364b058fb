"""Groups of hosts: who is in a group receives what is sent to it, by the interface that was chosen, as far as it may go."""
from __future__ import annotations

import socket
import struct
import unittest
from typing import Any, Dict

from netcase import OUR, OUR6, PEER, PEER6, Cable, DatagramCase

#: Python has no name for it.
_IP_RECVTTL = 12

GROUP, OTHER = "239.1.2.3", "239.1.2.4"
GROUP6, OTHER6 = "ff15::123", "ff15::124"


class Groups(DatagramCase):
    """We have two cables to the peer."""

    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.first = self.pair()
        self.second = Cable(self.us, self.peer, "eth1")
        self.second.addresses(self.us, "10.3.0.1/24", "fd03::1/64")
        self.second.addresses(self.peer, "10.3.0.2/24", "fd03::2/64")
        self.rpc = self.sidecar(self.us)

    def send(self, group: str, port: int, data: bytes, interface: str = "eth0", hops: int = 1) -> None:
        """From the peer."""
        if ":" in group:
            sender = self.datagrams(self.peer, "::")
            with self.peer:
                index = socket.if_nametoindex(interface)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, hops)
        else:
            sender = self.datagrams(self.peer, "0.0.0.0")
            address = {"eth0": PEER, "eth1": "10.3.0.2"}[interface]
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, hops)
        sender.sendto(data, (group, port))

    def mark(self, handle: int, port: int, our: str) -> Dict[str, Any]:
        """What is the next to arrive, when the last thing sent is for this socket alone. On a cable nothing overtakes."""
        self.datagrams(self.peer, PEER6 if ":" in our else PEER).sendto(b"mark", (our, port))
        return self.receive(self.rpc, handle)

    def joined(self, group: str, interface: str = "eth0") -> "tuple[int, int]":
        handle = self.bound(self.rpc, "any" if ":" in group else "AnyIPv4")
        self.rpc.call("udpSocket.joinMulticastGroup", handle, group, interface)
        return handle, self.rpc.call("socket.localPort", handle)

    def test_received(self) -> None:
        for group, peer in ((GROUP, PEER), (GROUP6, None)):
            handle, port = self.joined(group)
            self.send(group, port, b"for all", hops=7)
            datagram = self.receive(self.rpc, handle)
            self.assertEqual((datagram["bytes"], datagram["destinationAddress"], datagram["hopLimit"]), (b"for all", group, 7))
            self.assertEqual(datagram["interfaceIndex"], self.first.index(self.us))
            if peer:
                self.assertEqual(datagram["senderAddress"], peer)

    def test_not_of_another_group(self) -> None:
        for group, other, our in ((GROUP, OTHER, OUR), (GROUP6, OTHER6, OUR6)):
            handle, port = self.joined(group)
            self.send(other, port, b"for others")
            self.assertEqual(self.mark(handle, port, our)["bytes"], b"mark")

    def test_not_by_another_interface(self) -> None:
        for group in (GROUP, GROUP6):
            handle, port = self.joined(group, "eth1")
            self.send(group, port, b"by the first", "eth0")
            self.send(group, port, b"by the second", "eth1")
            datagram = self.receive(self.rpc, handle)
            self.assertEqual((datagram["bytes"], datagram["interfaceIndex"]), (b"by the second", self.second.index(self.us)))

    def test_both_interfaces_and_one_again(self) -> None:
        for group in (GROUP, GROUP6):
            handle, port = self.joined(group, "eth0")
            self.rpc.call("udpSocket.joinMulticastGroup", handle, group, str(self.second.index(self.us)))
            for interface in ("eth0", "eth1"):
                self.send(group, port, interface.encode(), interface)
                self.assertEqual(self.receive(self.rpc, handle)["bytes"], interface.encode())
            self.rpc.call("udpSocket.leaveMulticastGroup", handle, group, "eth0")
            self.send(group, port, b"lost", "eth0")
            self.send(group, port, b"found", "eth1")
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"found")

    def test_left(self) -> None:
        for group, our in ((GROUP, OUR), (GROUP6, OUR6)):
            handle, port = self.joined(group)
            self.send(group, port, b"first")
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"first")
            self.rpc.call("udpSocket.leaveMulticastGroup", handle, group, "eth0")
            self.send(group, port, b"second")
            self.assertEqual(self.mark(handle, port, our)["bytes"], b"mark")
            self.assertError(self.rpc.error("udpSocket.leaveMulticastGroup", handle, group, "eth0"), -32000)

    def listening(self, group: str, interface: str) -> socket.socket:
        """A socket of the peer's that is in the group by this interface alone."""
        if ":" in group:
            receiver = self.datagrams(self.peer, "::")
            with self.peer:
                index = socket.if_nametoindex(interface)
                receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP,
                                    socket.inet_pton(socket.AF_INET6, group) + struct.pack("@I", index))
            receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            receiver = self.datagrams(self.peer, "0.0.0.0")
            address = {"eth0": PEER, "eth1": "10.3.0.2"}[interface]
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(group) + socket.inet_aton(address))
            receiver.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        return receiver

    def hops(self, receiver: socket.socket) -> "tuple[bytes, int]":
        data, ancillary, _, _ = receiver.recvmsg(100, 100)
        return data, next(struct.unpack("@i", value[:4])[0] for _, kind, value in ancillary if kind in (socket.IP_TTL, socket.IPV6_HOPLIMIT))

    def test_sent_by_the_chosen_interface(self) -> None:
        for group, bind in ((GROUP, "AnyIPv4"), (GROUP6, "any")):
            receivers = {interface: self.listening(group, interface) for interface in ("eth0", "eth1")}
            handle = self.bound(self.rpc, bind)
            for interface in ("eth1", "eth0"):
                self.rpc.call("udpSocket.setMulticastInterface", handle, interface)
                self.assertEqual(self.rpc.call("udpSocket.multicastInterface", handle), interface)
                self.rpc.call("udpSocket.writeDatagram", handle, interface, group, receivers[interface].getsockname()[1])
                self.assertEqual(receivers[interface].recv(100), interface.encode())

    def test_hops(self) -> None:
        for group, bind in ((GROUP, "AnyIPv4"), (GROUP6, "any")):
            receiver = self.listening(group, "eth0")
            handle = self.bound(self.rpc, bind)
            self.rpc.call("udpSocket.setMulticastInterface", handle, "eth0")
            for hops in (1, 9, 255):
                self.rpc.call("socket.setOption", handle, "MulticastTtl", hops)
                self.assertEqual(self.rpc.call("socket.option", handle, "MulticastTtl"), hops)
                self.rpc.call("udpSocket.writeDatagram", handle, "%d" % hops, group, receiver.getsockname()[1])
                self.assertEqual(self.hops(receiver), (b"%d" % hops, hops))
            # As far as this host. Linux minds that only where the sender is in the group itself.
            self.rpc.call("udpSocket.joinMulticastGroup", handle, group, "eth0")
            self.rpc.call("socket.setOption", handle, "MulticastTtl", 0)
            self.rpc.call("udpSocket.writeDatagram", handle, "0", group, receiver.getsockname()[1])
            self.rpc.call("socket.setOption", handle, "MulticastTtl", 1)
            self.rpc.call("udpSocket.writeDatagram", handle, "after", group, receiver.getsockname()[1])
            self.assertEqual(receiver.recv(100), b"after")

    def test_two_sockets_of_one_host(self) -> None:
        """Both are in the group at one port; MulticastLoopback decides about what our own host sends."""
        sockets = []
        port = 0
        for _ in range(2):
            handle = self.rpc.call("udpSocket.create")
            self.rpc.call("socket.bind", handle, "AnyIPv4", port, ["ShareAddress"])
            self.rpc.call("udpSocket.joinMulticastGroup", handle, GROUP, "eth0")
            port = self.rpc.call("socket.localPort", handle)
            sockets.append(handle)
        self.send(GROUP, port, b"from the peer")
        for handle in sockets:
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"from the peer")
        sender = self.bound(self.rpc, OUR)
        self.rpc.call("udpSocket.setMulticastInterface", sender, "eth0")
        self.rpc.call("udpSocket.writeDatagram", sender, "from here", GROUP, port)
        for handle in sockets:
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"from here")
        self.rpc.call("socket.setOption", sender, "MulticastLoopback", 0)
        self.rpc.call("udpSocket.writeDatagram", sender, "to others", GROUP, port)
        self.send(GROUP, port, b"mark")
        for handle in sockets:
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"mark")

    def test_no_way_to_the_group(self) -> None:
        """Without a route and without an interface nobody knows where to join."""
        handle = self.bound(self.rpc, "AnyIPv4")
        error = self.rpc.error("udpSocket.joinMulticastGroup", handle, GROUP)
        self.assertError(error, -32000, "NetworkError")
        self.us.ip("route add 239.0.0.0/8 dev eth1")
        self.rpc.call("udpSocket.joinMulticastGroup", handle, GROUP)
        self.send(GROUP, self.rpc.call("socket.localPort", handle), b"by the route", "eth1")
        self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"by the route")

    def test_the_interface_is_down_for_a_while(self) -> None:
        for group in (GROUP, GROUP6):
            handle, port = self.joined(group)
            self.first.cut()
            self.us.ip("link set eth0 down")
            self.first.mend()
            self.send(group, port, b"still a member")
            self.assertEqual(self.receive(self.rpc, handle)["bytes"], b"still a member")


if __name__ == "__main__":
    unittest.main()
