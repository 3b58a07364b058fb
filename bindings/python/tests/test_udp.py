"""UDP in both faces, against the real sidecar and Python's own sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
import unittest
from typing import Any, List, Tuple

from support import LIMIT, MS, SIDECAR, Case, Refused, Scripted

import sluice
from sluice import aio

LARGEST = 65507
IPV6 = False
try:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        probe.bind(("::1", 0))
        IPV6 = True
except OSError:
    pass  # There is none on this machine.


class UdpCase(Case):
    def bound(self, address: str = "127.0.0.1") -> sluice.UdpSocket:
        made = self.session.bind_udp(address)
        self.addCleanup(made.__exit__, None, None, None)
        return made

    def peer(self) -> socket.socket:
        """Python's own socket."""
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(made.close)
        made.bind(("127.0.0.1", 0))
        made.settimeout(LIMIT)
        return made

    def closed_port(self) -> int:
        """A port at which nobody receives."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            port: int = gone.getsockname()[1]
            return port


class Datagrams(UdpCase):
    def test_what_is_known_of_a_datagram(self) -> None:
        sock, peer = self.bound(), self.peer()
        self.assertIs(sock.state(), sluice.SocketState.BOUND)
        peer.sendto(b"hello", ("127.0.0.1", sock.local_port()))
        came = sock.receive(MS)
        self.assertIsInstance(came, sluice.Datagram)
        self.assertEqual(came.data, b"hello")
        self.assertEqual(came.sender, peer.getsockname())
        self.assertEqual((came.destination_address, came.destination_port), ("127.0.0.1", sock.local_port()))
        self.assertEqual(came.interface_index, socket.if_nametoindex("lo"))
        self.assertGreater(came.hop_limit, 0)
        self.assertFalse(came.truncated)

    def test_an_answer_goes_to_the_sender(self) -> None:
        sock, peer = self.bound(), self.peer()
        for question in (b"text", b"", bytes(range(256)), "Grüße \U0001f600".encode(), b"\0" * 1000):
            peer.sendto(question, ("127.0.0.1", sock.local_port()))
            came = sock.receive(MS)
            self.assertEqual(came.data, question)
            self.assertEqual(sock.write_datagram(question, *came.sender), len(question))
            self.assertEqual(peer.recvfrom(LARGEST), (question, ("127.0.0.1", sock.local_port())))

    def test_the_largest_and_one_more(self) -> None:
        sock, peer = self.bound(), self.peer()
        to = peer.getsockname()
        sock.set_option(sluice.SocketOption.SEND_BUFFER_SIZE, 1 << 18)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        self.assertEqual(sock.write_datagram(b"x" * LARGEST, *to), LARGEST)
        self.assertEqual(len(peer.recv(1 << 16)), LARGEST)
        for size in (LARGEST + 1, 70_000):
            with self.assertRaises(sluice.DatagramTooLargeError):
                sock.write_datagram(b"x" * size, *to)
        self.assertIs(sock.state(), sluice.SocketState.BOUND)

    def test_a_part_of_a_datagram(self) -> None:
        sock, peer = self.bound(), self.peer()
        peer.sendto(b"abcdef", ("127.0.0.1", sock.local_port()))
        peer.sendto(b"next", ("127.0.0.1", sock.local_port()))
        self.assertTrue(sock.wait_for_ready_read(MS))
        self.assertTrue(sock.has_pending_datagrams())
        self.assertEqual(sock.pending_datagram_size(), 6)
        part = sock.read_datagram(2)
        self.assertEqual((part.data, part.truncated), (b"ab", True))
        self.assertEqual(sock.receive(MS).data, b"next")

    def test_nothing_to_read(self) -> None:
        sock = self.bound()
        self.assertFalse(sock.has_pending_datagrams())
        self.assertEqual(sock.pending_datagram_size(), -1)
        self.assertEqual(sock.read_datagrams(10), [])
        with self.assertRaises(sluice.TemporaryError):
            sock.read_datagram()

    def test_many_at_a_time_in_their_order(self) -> None:
        sock, other = self.bound(), self.bound()
        here = "127.0.0.1"
        port = other.local_port()
        sent: List[Any] = [(b"%d" % number, here, port) for number in range(50)]
        sent += [sluice.OutgoingDatagram(bytearray(b"a"), here, port), sluice.OutgoingDatagram(memoryview(b""), "localhost", port)]
        self.assertEqual(sock.write_datagrams(sent), 52)
        came: List[sluice.Datagram] = []
        while len(came) < 52:
            came.append(other.receive(MS))
        self.assertEqual([each.data for each in came], [bytes(each[0]) for each in sent])
        self.assertEqual({each.sender for each in came}, {(here, sock.local_port())})
        self.assertEqual(sock.write_datagrams(iter([])), 0)

    def test_one_of_many_that_cannot_be_sent_ends_the_row(self) -> None:
        sock, peer = self.bound(), self.peer()
        here, port = peer.getsockname()
        self.assertEqual(sock.write_datagrams([(b"one", here, port), (b"x" * 70_000, here, port), (b"two", here, port)]), 1)
        self.assertEqual(peer.recv(100), b"one")
        with self.assertRaises(sluice.DatagramTooLargeError):
            sock.write_datagrams([(b"x" * 70_000, here, port)])

    def test_by_name_and_unbound(self) -> None:
        peer = self.peer()
        with self.session.udp_socket() as sock:
            sock.write_datagram(b"by name", "localhost", peer.getsockname()[1])
            self.assertEqual(peer.recv(100), b"by name")
            self.assertIs(sock.state(), sluice.SocketState.BOUND)

    def test_iterating_until_it_is_closed(self) -> None:
        sock, peer = self.bound(), self.peer()
        port = sock.local_port()
        for number in range(20):
            peer.sendto(b"%d" % number, ("127.0.0.1", port))
        came: List[bytes] = []
        for each in sock:
            came.append(each.data)
            if len(came) == 20:
                sock.close()
        self.assertEqual(came, [b"%d" % number for number in range(20)])

    def test_closing_it_ends_a_wait(self) -> None:
        sock = self.bound()
        came: List[Any] = []
        with self.assertRaises(sluice.SocketTimeoutError):
            sock.receive(1)
        waiting = threading.Thread(target=lambda: came.extend(sock.datagrams(timeout=-1)))
        waiting.start()
        while self.session.stats()["waits"] == 0:
            pass
        sock.close()
        waiting.join(LIMIT)
        self.assertFalse(waiting.is_alive())
        self.assertEqual(came, [])

    @unittest.skipUnless(IPV6, "there is no IPv6")
    def test_both_families(self) -> None:
        with self.session.bind_udp("any") as sock:
            for address in ("127.0.0.1", "::1"):
                with self.session.udp_socket() as client:
                    client.write_datagram(address.encode(), address, sock.local_port())
                    came = sock.receive(MS)
                    self.assertEqual(came.data, address.encode())
                    # A socket for both families shows IPv4 inside IPv6.
                    self.assertIn(came.sender_address, (address, f"::ffff:{address}"))
                    sock.write_datagram(b"back", *came.sender)
                    self.assertEqual(client.receive(MS).data, b"back")

    def test_callbacks(self) -> None:
        sock, peer = self.bound(), self.peer()

        @sock.on("readyRead")
        def echo(event: sluice.Event) -> None:
            for each in event.source.read_datagrams(100):
                event.source.write_datagram(each.data, *each.sender)

        for number in range(20):
            peer.sendto(b"%d" % number, ("127.0.0.1", sock.local_port()))
            self.assertEqual(peer.recv(100), b"%d" % number)


class VirtualConnections(UdpCase):
    def test_reading_and_writing(self) -> None:
        peer = self.peer()
        with self.session.connect_udp("localhost", peer.getsockname()[1], MS) as sock:
            self.assertIs(sock.state(), sluice.SocketState.CONNECTED)
            self.assertEqual((sock.peer_name(), sock.peer_port()), ("localhost", peer.getsockname()[1]))
            sock.write(b"one")
            sock.write_datagram(b"two")
            self.assertEqual(sock.write_datagrams([b"three", b""]), 2)
            came = [peer.recvfrom(100) for _ in range(4)]
            self.assertEqual([data for data, _ in came], [b"one", b"two", b"three", b""])
            peer.sendto(b"line\nrest", came[0][1])
            peer.sendto(b"second", came[0][1])
            self.assertTrue(sock.wait_for_ready_read(MS))
            self.assertEqual(sock.read_line(), b"line\n")
            self.assertEqual(sock.read_all(), b"rest")
            self.assertEqual(sock.receive(MS).data, b"second")

    def test_a_refusal_concerns_one_datagram(self) -> None:
        with self.session.connect_udp("127.0.0.1", self.closed_port(), MS) as sock:
            for _ in range(2):
                waiting = self.session.submit(sock.wait_for_ready_read, MS)
                sock.write(b"x")
                self.assertFalse(waiting.result(LIMIT))
                self.assertIs(sock.error(), sluice.ErrorCode.CONNECTION_REFUSED)
            self.assertIs(sock.state(), sluice.SocketState.CONNECTED)

    def test_a_refusal_is_raised_to_who_receives(self) -> None:
        with self.session.connect_udp("127.0.0.1", self.closed_port(), MS) as sock:
            sock.write(b"x")
            with self.assertRaises(ConnectionRefusedError):
                sock.receive(MS)

    def test_closing_it_is_told(self) -> None:
        peer = self.peer()
        with self.session.connect_udp("127.0.0.1", peer.getsockname()[1], MS) as sock:
            events = sock.events()
            sock.disconnect_from_host()
            names = []
            while "disconnected" not in names:
                event = events.get(MS)
                assert event is not None
                names.append(event.name)
            self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)


class Addresses(UdpCase):
    def test_one_address_for_several(self) -> None:
        with self.session.bind_udp("127.0.0.1", 0, sluice.BindMode.SHARE_ADDRESS) as one:
            with self.session.bind_udp("127.0.0.1", one.local_port(), sluice.BindMode.SHARE_ADDRESS) as two:
                self.assertEqual(one.local_port(), two.local_port())
            with self.assertRaises(sluice.AddressInUseError):
                self.session.bind_udp("127.0.0.1", one.local_port(), sluice.BindMode.DONT_SHARE_ADDRESS)

    def test_a_group_and_its_members(self) -> None:
        group = "239.255.76.67"
        with self.session.bind_udp("AnyIPv4") as member, self.session.udp_socket() as sender:
            sender.set_multicast_interface("lo")
            self.assertEqual(sender.multicast_interface(), "lo")
            sender.set_multicast_interface(socket.if_nametoindex("lo"))
            sender.set_option(sluice.SocketOption.MULTICAST_TTL, 1)
            sender.set_option(sluice.SocketOption.MULTICAST_LOOPBACK, 1)
            member.join_multicast_group(group, "lo")
            with self.assertRaises(sluice.OperationError):
                member.join_multicast_group(group, "lo")
            sender.write_datagram(b"to all", group, member.local_port())
            came = member.receive(MS)
            self.assertEqual((came.data, came.destination_address, came.hop_limit), (b"to all", group, 1))
            member.leave_multicast_group(group, socket.if_nametoindex("lo"))
            with self.assertRaises(sluice.OperationError):
                member.leave_multicast_group(group, "lo")
            # What does not come is followed by what does.
            sender.write_datagram(b"to nobody", group, member.local_port())
            sender.write_datagram(b"to you", "127.0.0.1", member.local_port())
            self.assertEqual(member.receive(MS).data, b"to you")
            sender.set_multicast_interface("")

    def test_options(self) -> None:
        sock = self.bound()
        sock.set_option(sluice.SocketOption.BROADCAST, 1)
        self.assertEqual(sock.option(sluice.SocketOption.BROADCAST), 1)
        with self.assertRaises(sluice.UnsupportedSocketOperationError):
            sock.set_option(sluice.SocketOption.KEEP_ALIVE_COUNT, 3)


class Descriptors(UdpCase):
    def test_one_goes_in_and_comes_out_again(self) -> None:
        peer = self.peer()
        ours = self.peer()
        with self.session.udp_socket() as sock:
            sock.set_descriptor(ours, sluice.SocketState.BOUND)
            self.assertEqual(sock.local_port(), ours.getsockname()[1])
            sock.write_datagram(b"through the sidecar", *peer.getsockname())
            self.assertEqual(peer.recvfrom(100), (b"through the sidecar", ours.getsockname()))
            with sock.take_descriptor() as taken:
                self.assertEqual((taken.type, taken.getsockname()), (socket.SOCK_DGRAM, ours.getsockname()))
                self.assertIsNone(taken.gettimeout())
                self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)
                taken.sendto(b"and past it", peer.getsockname())
                self.assertEqual(peer.recv(100), b"and past it")

    def test_another_kind_is_refused(self) -> None:
        with self.session.udp_socket() as sock, socket.create_server(("127.0.0.1", 0)) as listening:
            with self.assertRaises(sluice.UnsupportedSocketOperationError):
                sock.set_descriptor(listening)


class Misuse(UdpCase):
    def test_each_mistake_is_told_and_changes_nothing(self) -> None:
        sock, to = self.bound(), self.peer().getsockname()
        mistakes: List[Tuple[Any, str, str]] = [
            (TypeError, "encode the text", "sock.write_datagram('text', *to)"),
            (TypeError, "bytes are needed", "sock.write_datagram(5, *to)"),
            (TypeError, "an address is text", "sock.write_datagram(b'x', to)"),
            (sluice.InvalidParametersError, "port", "sock.write_datagram(b'x', '127.0.0.1', '80')"),
            (TypeError, "a port is needed", "sock.write_datagram(b'x', '127.0.0.1')"),
            (sluice.InvalidArgumentError, "time-out", "sock.receive(-2)"),
            (TypeError, "time-out", "sock.receive('soon')"),
            (sluice.SluiceError, "", "sock.write_datagram(b'x', '127.0.0.1', 0)"),
            (sluice.SluiceError, "", "sock.write_datagram(b'x', '127.0.0.1', 65536)"),
            (sluice.SluiceError, "", "sock.write_datagram(b'x', '', 7000)"),
            (sluice.NetworkError, "no destination", "sock.write_datagram(b'x')"),
            (sluice.SluiceError, "", "sock.write_datagram(b'x', '::1', 7000)"),
            (sluice.SluiceError, "", "sock.write(b'x')"),
            (TypeError, "one alone goes by write_datagram", "sock.write_datagrams(b'x')"),
            (TypeError, "a list of datagrams", "sock.write_datagrams(None)"),
            (TypeError, r"a datagram is bytes or", "sock.write_datagrams(['text'])"),
            (TypeError, r"a datagram is bytes or", "sock.write_datagrams([(b'x', '127.0.0.1', 1, 2)])"),
            (sluice.InvalidArgumentError, "maxSize", "sock.read_datagram(-2)"),
            (sluice.InvalidArgumentError, "maxCount", "sock.read_datagrams(-1)"),
            (sluice.InvalidParametersError, "maxSize", "sock.read_datagram('all')"),
            (sluice.SluiceError, "bound", "fresh.join_multicast_group('239.1.2.3')"),
            (sluice.InvalidArgumentError, "10.0.0.1", "sock.join_multicast_group('10.0.0.1')"),
            (sluice.InvalidArgumentError, "interface", "sock.join_multicast_group('239.1.2.3', 'none of these')"),
            (TypeError, "an interface is a name or a number", "sock.join_multicast_group('239.1.2.3', 1.5)"),
            (sluice.InvalidArgumentError, "interface", "sock.set_multicast_interface('none of these')"),
            (sluice.SluiceError, "bound", "fresh.receive(1)"),
            (sluice.SluiceError, "bound", "list(fresh)"),
            (sluice.OperationError, "", "sock.bind('127.0.0.1', 0)"),
            (sluice.SocketAddressNotAvailableError, "", "fresh.bind('192.0.2.1')"),
            (sluice.WrongKindError, "", "session.call('udpSocket.hasPendingDatagrams', {'handle': stream.handle})"),
            (sluice.InvalidArgumentError, "", "fresh.set_descriptor(-1)"),
            (TypeError, "a socket, a file or the number", "fresh.set_descriptor('0')"),
            (TypeError, "a socket, a file or the number", "fresh.set_descriptor(True)"),
        ]
        with self.session.udp_socket() as fresh, self.session.tcp_socket() as stream:
            names = {"sock": sock, "fresh": fresh, "stream": stream, "to": to, "session": self.session}
            for kind, message, mistake in mistakes:
                with self.subTest(mistake):
                    with self.assertRaisesRegex(kind, message):
                        eval(mistake, names)
                    self.assertIs(sock.state(), sluice.SocketState.BOUND)
                    self.assertIs(fresh.state(), sluice.SocketState.UNCONNECTED)
        sock.write_datagram(b"it goes on", "127.0.0.1", sock.local_port())
        self.assertEqual(sock.receive(MS).data, b"it goes on")


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.session = await aio.start(SIDECAR)
        self.addAsyncCleanup(self.session.close)

    async def test_questions_and_answers(self) -> None:
        async def serve(sock: aio.UdpSocket) -> None:
            async for each in sock:
                await sock.write_datagram(each.data.upper(), *each.sender)

        async def ask(number: int, port: int) -> bytes:
            async with self.session.connect_udp("127.0.0.1", port, MS) as sock:
                await sock.write(b"question %d" % number)
                return (await sock.receive(MS)).data

        async with self.session.bind_udp("127.0.0.1") as server:
            serving = asyncio.ensure_future(serve(server))
            port = await server.local_port()
            answers = await asyncio.gather(*(ask(number, port) for number in range(50)))
            self.assertEqual(answers, [b"QUESTION %d" % number for number in range(50)])
            await server.close()
            await asyncio.wait_for(serving, LIMIT)

    async def test_time_limits_and_refusals(self) -> None:
        async with self.session.bind_udp("127.0.0.1") as sock:
            with self.assertRaises(sluice.SocketTimeoutError):
                await sock.receive(1)
        async with self.session.udp_socket() as fresh:
            with self.assertRaises(sluice.OperationError):
                await fresh.receive(1)

    async def test_descriptors(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
            ours.bind(("127.0.0.1", 0))
            async with self.session.udp_socket() as sock:
                await sock.set_descriptor(ours, sluice.SocketState.BOUND)
                with await sock.take_descriptor() as taken:
                    self.assertEqual(taken.getsockname(), ours.getsockname())


class Conversation(unittest.TestCase):
    """What goes over the wire, with a scripted sidecar."""

    DETAILS = {
        "senderAddress": "192.0.2.1", "senderPort": 9, "destinationAddress": None, "destinationPort": 7, "interfaceIndex": 2,
        "hopLimit": -1, "truncated": True,
    }  # fmt: skip

    def open(self, **scripts: Any) -> sluice.UdpSocket:
        made = {"udpSocket.create": lambda self, parameters: 1, "socket.bytesToWrite": lambda self, parameters: 0}
        self.sidecar = Scripted({**made, **{name.replace("_", ".", 1): script for name, script in scripts.items()}})
        session = sluice.Session(self.sidecar.theirs, answer_timeout=LIMIT)
        self.addCleanup(session.close)
        sock = session.udp_socket()
        self.addCleanup(sock.destroy)
        return sock

    def test_a_datagram_is_read_from_its_members(self) -> None:
        sock = self.open(
            udpSocket_readDatagram=lambda self, parameters: {"data": "AAE=", "encoding": "base64", **Conversation.DETAILS},
            udpSocket_readDatagrams=lambda self, parameters: [{"data": "x", "encoding": "utf8", **Conversation.DETAILS}] * 2,
        )
        came = sock.read_datagram(2)
        self.assertEqual(came, sluice.Datagram(b"\0\1", "192.0.2.1", 9, None, 7, 2, -1, True))
        self.assertEqual(self.sidecar.wait_for("udpSocket.readDatagram")["params"], {"handle": 1, "maxSize": 2})
        self.assertEqual([each.data for each in sock.read_datagrams(5)], [b"x", b"x"])

    def test_what_is_no_datagram_is_told(self) -> None:
        for result in ({"data": "x", "encoding": "utf8"}, None, 5):
            sock = self.open(udpSocket_readDatagram=lambda self, parameters: result)
            with self.assertRaises(sluice.ProtocolError):
                sock.read_datagram()

    def test_only_what_is_given_is_sent(self) -> None:
        sock = self.open(udpSocket_writeDatagram=lambda self, parameters: 1, udpSocket_writeDatagrams=lambda self, parameters: 3)
        sock.write_datagram(b"x")
        self.assertEqual(self.sidecar.wait_for("udpSocket.writeDatagram")["params"], {"handle": 1, "data": "x"})
        sock.write_datagram(b"x", "a", 1)
        self.assertEqual(
            self.sidecar.wait_for("udpSocket.writeDatagram", 2)["params"], {"handle": 1, "data": "x", "address": "a", "port": 1}
        )
        sock.write_datagrams([b"x", (b"\0", "a", 1), sluice.OutgoingDatagram(b"y")])
        self.assertEqual(
            self.sidecar.wait_for("udpSocket.writeDatagrams")["params"]["datagrams"],
            [{"data": "x"}, {"data": "AA==", "encoding": "base64", "address": "a", "port": 1}, {"data": "y"}],
        )

    def test_a_wait_that_fails_without_a_reason_ends_the_iteration(self) -> None:
        sock = self.open(
            udpSocket_readDatagrams=lambda self, parameters: [],
            socket_waitForReadyRead=lambda self, parameters: False,
            socket_state=lambda self, parameters: "Bound",
            socket_error=lambda self, parameters: "NoError",
            socket_errorString=lambda self, parameters: "",
        )
        with self.assertRaises(sluice.OperationError):
            list(sock)

    def test_an_error_of_reading_is_raised(self) -> None:
        def refuse(self: Scripted, parameters: Any) -> None:
            raise Refused({"code": -32000, "message": "bind it first", "data": {"error": "OperationError", "value": 29}})

        sock = self.open(udpSocket_readDatagrams=refuse)
        with self.assertRaisesRegex(sluice.OperationError, "bind it first"):
            next(iter(sock))


if __name__ == "__main__":
    unittest.main()
