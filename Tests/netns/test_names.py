"""Hosts with many addresses, of which the first ones never answer: the next one is tried in a moment and not after the system's minutes."""
from __future__ import annotations

import socket
import struct
import threading
import unittest
from typing import Dict, List

from netcase import LONG, PEER, PEER6, SHORT, NetworkCase

#: Addresses of which nothing comes back, and those of the peer. The resolver puts in front what is like our own address in more of its
#: bits: the peer's come last.
SILENT = ["10.1.0.%d" % number for number in (31, 32, 33)]
SILENT6 = ["fd01::%d" % number for number in (31, 32, 33)]
LAST, LAST6 = "10.1.0.200", "fd01::f00"


class ManyAddresses(NetworkCase):
    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.cable.lose(self.us, *SILENT, *SILENT6)
        self.cable.addresses(self.peer, LAST + "/24", LAST6 + "/64")

    def arrive(self, addresses: List[str], at: str) -> None:
        """Connects by name to where these addresses are. Without a race the system would wait for each of them for two minutes."""
        rpc = self.sidecar(self.us, "".join("%s many\n" % address for address in addresses))
        listener = self.listen(self.peer, at)
        handle = rpc.call("tcpSocket.create", properties={"connectTimeout": LONG})
        rpc.call("socket.connectToHost", handle, "many", listener.getsockname()[1])
        self.assertIs(rpc.call("socket.waitForConnected", handle), True)
        self.assertEqual(rpc.call("socket.peerAddress", handle), at)
        self.assertEqual(rpc.call("socket.peerName", handle), "many")
        connection = self.accept(listener)
        connection.sendall(b"hello")
        self.assertIs(rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(rpc.take_events(handle).count("connected"), 1)

    def test_the_first_are_silent(self) -> None:
        self.arrive(SILENT + [LAST], LAST)

    def test_the_first_are_silent_ipv6(self) -> None:
        self.arrive(SILENT6 + [LAST6], LAST6)

    def test_one_family_is_silent(self) -> None:
        self.arrive(SILENT6 + [LAST], LAST)

    def test_the_other_family_is_silent(self) -> None:
        self.arrive(SILENT + [LAST6], LAST6)

    def test_no_way_to_the_first(self) -> None:
        """These fail at once."""
        self.us.ip("route add unreachable 10.9.0.0/24", "route add blackhole 10.8.0.0/24", "route add prohibit 10.7.0.0/24")
        self.arrive(["fd09::1", "10.9.0.1", "10.8.0.1", "10.7.0.1", LAST], LAST)

    def test_none_answers(self) -> None:
        names = "".join("%s many\n" % address for address in SILENT + SILENT6)
        rpc = self.sidecar(self.us, names)
        handle = rpc.call("tcpSocket.create", properties={"connectTimeout": SHORT})
        rpc.call("socket.connectToHost", handle, "many", 80)
        told = self.assertFailed(rpc, handle, "SocketTimeoutError")
        # The lookup, and every address that was tried so far.
        tried = [attempt["address"] for attempt in told["attempts"] if attempt["phase"] == "connect"]
        self.assertTrue(tried, told)
        self.assertLessEqual({address.rsplit(":", 1)[0].strip("[]") for address in tried}, {*SILENT, *SILENT6})

    def test_all_refuse(self) -> None:
        """Told is the last one's reason, and how each of them went."""
        self.us.ip("route add unreachable 10.9.0.0/24")
        rpc = self.sidecar(self.us, "10.9.0.1 many\n%s many\n%s many\n" % (PEER, PEER6))
        handle = rpc.call("tcpSocket.create", properties={"connectTimeout": -1})
        rpc.call("socket.connectToHost", handle, "many", 80)
        told = self.failure(rpc, handle)
        self.assertIn(told["error"], ("ConnectionRefusedError", "NetworkError"))
        tried = [attempt["address"] for attempt in told["attempts"] if attempt["phase"] == "connect"]
        self.assertEqual(set(tried), {"10.9.0.1:80", PEER + ":80", "[%s]:80" % PEER6}, told)
        self.assertTrue(all(attempt["systemError"] for attempt in told["attempts"] if attempt["phase"] == "connect"), told)

    def test_a_wait_in_c(self) -> None:
        listener = self.listen(self.peer, LAST)
        program = self.waits(self.us, "connected", "many", listener.getsockname()[1], -1,
                             names="".join("%s many\n" % address for address in SILENT + [LAST]))
        self.assertEqual(program.line(), "true NoError Connected 0")


class NameServer(threading.Thread):
    """Answers questions for addresses of IPv4: {"name": ["10.1.0.2"]}. Other names do not exist; None: it never answers."""

    def __init__(self, place: socket.socket, names: "Dict[str, List[str] | None]"):
        super().__init__(daemon=True)
        self.place, self.names = place, names
        self.start()

    def run(self) -> None:
        try:
            while True:
                question, sender = self.place.recvfrom(1 << 12)
                answer = self.answer(question)
                if answer:
                    self.place.sendto(answer, sender)
        except OSError:
            return  # The test is over.

    def answer(self, question: bytes) -> bytes:
        labels, rest = [], question[12:]
        while rest[0]:
            labels.append(rest[1:1 + rest[0]].decode())
            rest = rest[1 + rest[0]:]
        kind = struct.unpack("!H", rest[1:3])[0]
        asked, name = question[12:len(question) - len(rest) + 5], ".".join(labels)
        known = name in self.names
        addresses = self.names.get(name, [])
        if addresses is None:
            return b""
        if kind != 1:
            addresses = []
        # An answer, with the recursion that was asked for; 3 is that there is no such name.
        head = question[:2] + struct.pack("!HHHHH", 0x8180 | (0 if known else 3), 1, len(addresses), 0, 0)
        return head + asked + b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(each) for each in addresses)


class NameServers(NetworkCase):
    """What a name server says, or does not."""

    port = 80

    def setUp(self) -> None:
        super().setUp()
        self.us, self.peer, self.cable = self.pair()
        self.place = self.datagrams(self.peer, PEER, 53)

    def looking_up(self, name: str, **properties: int) -> int:
        self.rpc = self.sidecar(self.us, "127.0.0.1 localhost\n", "nameserver %s\noptions timeout:30 attempts:1\n" % PEER)
        handle = self.rpc.call("tcpSocket.create", properties=properties)
        self.rpc.call("socket.connectToHost", handle, name, self.port)
        return handle

    def test_it_knows_the_name(self) -> None:
        NameServer(self.place, {"service.test": [PEER]})
        listener = self.listen(self.peer)
        self.port = listener.getsockname()[1]
        handle = self.looking_up("service.test", connectTimeout=LONG)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        self.assertEqual(self.rpc.call("socket.peerAddress", handle), PEER)

    def test_it_knows_addresses_that_are_silent(self) -> None:
        self.cable.lose(self.us, *SILENT)
        self.cable.addresses(self.peer, LAST + "/24")
        NameServer(self.place, {"service.test": [*SILENT, LAST]})
        listener = self.listen(self.peer, LAST)
        self.port = listener.getsockname()[1]
        handle = self.looking_up("service.test", connectTimeout=LONG)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        self.assertEqual(self.rpc.call("socket.peerAddress", handle), LAST)

    def test_there_is_no_such_name(self) -> None:
        NameServer(self.place, {})
        handle = self.looking_up("nobody.test", connectTimeout=-1)
        told = self.assertFailed(self.rpc, handle, "HostNotFoundError")
        self.assertIn("nobody.test", told["message"])

    def test_it_is_silent(self) -> None:
        """The limit to connect is one for the lookup, too."""
        NameServer(self.place, {"slow.test": None})
        handle = self.looking_up("slow.test", connectTimeout=SHORT)
        self.assertEqual(self.rpc.call("socket.state", handle), "HostLookup")
        told = self.assertFailed(self.rpc, handle, "SocketTimeoutError")
        self.assertEqual(told["state"], "Unconnected")
        # The socket is of use again, while the system still waits for the name server.
        listener = self.listen(self.peer)
        self.rpc.call("socket.connectToHost", handle, PEER, listener.getsockname()[1])
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)

    def test_a_wait_for_one_that_is_silent(self) -> None:
        NameServer(self.place, {"slow.test": None})
        handle = self.looking_up("slow.test", connectTimeout=-1)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle, SHORT), False)
        self.assertFailed(self.rpc, handle, "SocketTimeoutError")

    def test_aborted_while_it_is_silent(self) -> None:
        NameServer(self.place, {"slow.test": None, "service.test": [PEER]})
        handle = self.looking_up("slow.test", connectTimeout=-1)
        self.rpc.call("socket.abort", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        # Other lookups do not have to wait for that one.
        listener = self.listen(self.peer)
        self.rpc.call("socket.connectToHost", handle, "service.test", listener.getsockname()[1])
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)

    def test_the_end_of_the_sidecar_does_not_wait_for_it(self) -> None:
        NameServer(self.place, {"slow.test": None})
        self.looking_up("slow.test", connectTimeout=-1)
        self.rpc.end_input()
        self.assertEqual(self.rpc.wait(), 0)

    def test_datagrams_to_a_name(self) -> None:
        NameServer(self.place, {"service.test": [PEER]})
        self.looking_up("localhost", connectTimeout=-1)
        receiver = self.datagrams(self.peer)
        handle = self.rpc.call("udpSocket.create")
        for number in range(3):
            self.rpc.call("udpSocket.writeDatagram", handle, "%d" % number, "service.test", receiver.getsockname()[1])
        self.assertEqual([receiver.recv(10) for _ in range(3)], [b"0", b"1", b"2"])
        self.rpc.call("udpSocket.writeDatagram", handle, "lost", "nobody.test", receiver.getsockname()[1])
        self.assertFailed(self.rpc, handle, "HostNotFoundError")


if __name__ == "__main__":
    unittest.main()
