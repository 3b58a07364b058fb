"""Datagrams through the sidecar."""
import base64
import json
import os
import socket
import unittest

from support import PATIENCE, TestCase, decoded

MEMBERS = ["data", "destinationAddress", "destinationPort", "encoding", "hopLimit", "interfaceIndex", "senderAddress", "senderPort", "truncated"]
GROUP = "239.255.77.%d" % (os.getpid() % 250 + 1)


class Outsider:
    """A datagram socket of Python's own."""

    def __init__(self, case, address="127.0.0.1"):
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        case.addCleanup(self.socket.close)
        self.socket.settimeout(PATIENCE)
        self.socket.bind((address, 0))
        self.port = self.socket.getsockname()[1]

    def receive(self):
        return self.socket.recvfrom(1 << 16)[0]


def dead_port():
    """A port at which nobody is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        return gone.getsockname()[1]


class UDPCase(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def bound(self, address="127.0.0.1", rpc=None, **params):
        rpc = rpc or self.rpc
        handle = rpc.call("udpSocket.create")
        rpc.call("socket.bind", handle=handle, address=address, **params)
        return handle, rpc.call("socket.localPort", handle)

    def next_datagram(self, handle, **params):
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        return self.rpc.call("udpSocket.readDatagram", handle=handle, **params)


class Datagrams(UDPCase):
    def test_there_and_back(self):
        handle, port = self.bound()
        self.assertEqual(self.rpc.call("socket.state", handle), "Bound")
        self.assertEqual(self.rpc.call("handle.kind", handle), "UdpSocket")
        self.assertEqual(self.rpc.call("socket.socketType", handle), "Udp")
        outsider = Outsider(self)
        outsider.socket.sendto(b"question", ("127.0.0.1", port))
        event = self.rpc.event("socket.readyRead", handle)
        self.assertEqual((event["bytesAvailable"], event["state"]), (8, "Bound"))
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", handle), True)
        self.assertEqual(self.rpc.call("udpSocket.pendingDatagramSize", handle), 8)
        datagram = self.rpc.call("udpSocket.readDatagram", handle)
        self.assertEqual(datagram, {
            "data": "question", "encoding": "utf8", "senderAddress": "127.0.0.1", "senderPort": outsider.port, "destinationAddress": "127.0.0.1",
            "destinationPort": port, "interfaceIndex": socket.if_nametoindex("lo"), "hopLimit": datagram["hopLimit"], "truncated": False})
        self.assertGreater(datagram["hopLimit"], 0)
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "answer", datagram["senderAddress"], datagram["senderPort"]), 6)
        self.assertEqual(outsider.receive(), b"answer")
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", handle), False)
        self.assertEqual(self.rpc.call("udpSocket.pendingDatagramSize", handle), -1)

    def test_hop_limit_as_it_was_sent(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        outsider.socket.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 7)
        outsider.socket.sendto(b"x", ("127.0.0.1", port))
        self.assertEqual(self.next_datagram(handle)["hopLimit"], 7)

    def test_over_ipv6(self):
        handle, port = self.bound("::1")
        outsider = Outsider(self, "::1")
        outsider.socket.sendto(b"six", ("::1", port))
        datagram = self.next_datagram(handle)
        self.assertEqual((datagram["senderAddress"], datagram["destinationAddress"].split("%")[0], decoded(datagram)), ("::1", "::1", b"six"))
        self.rpc.call("udpSocket.writeDatagram", handle, "back", "::1", outsider.port)
        self.assertEqual(outsider.receive(), b"back")

    def test_any_is_both_families(self):
        handle, port = self.bound("any")
        for address, shown in (("127.0.0.1", "::ffff:127.0.0.1"), ("::1", "::1")):
            outsider = Outsider(self, address)
            outsider.socket.sendto(b"x", (address, port))
            datagram = self.next_datagram(handle)
            self.assertEqual((datagram["senderAddress"], datagram["destinationAddress"].split("%")[0]), (shown, shown))
            for destination in (address, shown):
                self.rpc.call("udpSocket.writeDatagram", handle, "back", destination, outsider.port)
                self.assertEqual(outsider.receive(), b"back")

    def test_an_unbound_socket_is_bound_by_sending(self):
        for address, bound in (("127.0.0.1", "0.0.0.0"), ("::1", None)):
            outsider = Outsider(self, address)
            handle = self.rpc.call("udpSocket.create")
            self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "x", address, outsider.port), 1)
            self.assertEqual(outsider.receive(), b"x")
            self.assertEqual(self.rpc.call("socket.state", handle), "Bound")
            if bound:
                self.assertEqual(self.rpc.call("socket.localAddress", handle), bound)

    def test_to_a_name(self):
        outsider = Outsider(self)
        handle, _ = self.bound()
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "by name", "localhost", outsider.port), 7)
        self.assertEqual(outsider.receive(), b"by name")

    def test_a_name_that_is_none(self):
        handle, _ = self.bound()
        self.rpc.call("udpSocket.writeDatagram", handle, "lost", "none.invalid", 9)
        error = self.rpc.event("socket.errorOccurred", handle)
        self.assertEqual(error["error"], "HostNotFoundError")
        self.assertIn("4 bytes", error["message"])
        self.assertEqual(self.rpc.call("socket.bytesToWrite", handle), 0)

    def test_what_waits_for_a_lookup_goes_out_when_the_handle_ends(self):
        outsider = Outsider(self)
        rpc = self.stdio()
        handle, _ = self.bound(rpc=rpc)
        rpc.call("udpSocket.writeDatagram", handle, "last words", "localhost", outsider.port)
        rpc.end_input()
        self.assertEqual(outsider.receive(), b"last words")
        self.assertEqual(rpc.wait(), 0)

    def test_zero_length(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "", "127.0.0.1", outsider.port), 0)
        self.assertEqual(outsider.receive(), b"")
        outsider.socket.sendto(b"", ("127.0.0.1", port))
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", handle), True)
        self.assertEqual(self.rpc.call("udpSocket.pendingDatagramSize", handle), 0)
        datagram = self.rpc.call("udpSocket.readDatagram", handle)
        self.assertEqual((datagram["data"], datagram["senderPort"], datagram["truncated"]), ("", outsider.port, False))
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", handle), False)

    def test_a_wait_after_an_empty_one_has_come(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        outsider.socket.sendto(b"", ("127.0.0.1", port))
        self.rpc.event("socket.readyRead", handle)
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)

    def test_the_largest_and_one_more(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        largest = os.urandom(65507)
        outsider.socket.sendto(largest, ("127.0.0.1", port))
        datagram = self.next_datagram(handle)
        self.assertEqual((decoded(datagram), datagram["encoding"]), (largest, "base64"))
        text = base64.b64encode(largest).decode()
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle=handle, data=text, encoding="base64", address="127.0.0.1", port=outsider.port), 65507)
        self.assertEqual(outsider.receive(), largest)
        for size in (65508, 70000):
            error = self.rpc.error("udpSocket.writeDatagram", handle, "x" * size, "127.0.0.1", outsider.port)
            self.assertError(error, -32000, "DatagramTooLargeError")
            self.assertIn(str(size), error["message"])
        self.rpc.call("udpSocket.writeDatagram", handle, "after", "127.0.0.1", outsider.port)
        self.assertEqual(outsider.receive(), b"after", "of what is too large nothing is sent")

    def test_truncation(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        for text in (b"0123456789", b"next"):
            outsider.socket.sendto(text, ("127.0.0.1", port))
        datagram = self.next_datagram(handle, maxSize=4)
        self.assertEqual((datagram["data"], datagram["truncated"]), ("0123", True))
        datagram = self.next_datagram(handle, maxSize=4)
        self.assertEqual((datagram["data"], datagram["truncated"]), ("next", False))
        outsider.socket.sendto(b"x", ("127.0.0.1", port))
        datagram = self.next_datagram(handle, maxSize=0)
        self.assertEqual((datagram["data"], datagram["truncated"]), ("", True))
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", handle), False)

    def test_nothing_to_read(self):
        handle, _ = self.bound()
        self.assertError(self.rpc.error("udpSocket.readDatagram", handle), -32000, "TemporaryError")
        self.assertEqual(self.rpc.call("udpSocket.readDatagrams", handle, 5), [])
        fresh = self.rpc.call("udpSocket.create")
        self.assertError(self.rpc.error("udpSocket.readDatagram", fresh), -32000, "OperationError")
        self.assertError(self.rpc.error("udpSocket.readDatagrams", fresh, 5), -32000, "OperationError")
        self.assertIs(self.rpc.call("udpSocket.hasPendingDatagrams", fresh), False)
        self.assertEqual(self.rpc.call("udpSocket.pendingDatagramSize", fresh), -1)

    def test_encodings(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        for sent, ask, encoding in ((b"text", "utf8", "utf8"), (b"text", "base64", "base64"), (b"\xff\x00", "utf8", "base64"), ("ä\0".encode(), "utf8", "utf8")):
            outsider.socket.sendto(sent, ("127.0.0.1", port))
            datagram = self.next_datagram(handle, encoding=ask)
            self.assertEqual((decoded(datagram), datagram["encoding"]), (sent, encoding))
            outsider.socket.sendto(sent, ("127.0.0.1", port))
            self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
            datagram, = self.rpc.call("udpSocket.readDatagrams", handle, 1, ask)
            self.assertEqual((decoded(datagram), datagram["encoding"]), (sent, encoding))

    def test_broadcast(self):
        handle, _ = self.bound("AnyIPv4")
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "x", "127.255.255.255", 9), 1)
        self.rpc.call("socket.setOption", handle, "Broadcast", 0)
        self.assertError(self.rpc.error("udpSocket.writeDatagram", handle, "x", "127.255.255.255", 9), -32000, "SocketAccessError")


class Batches(UDPCase):
    def test_many_at_once(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        other = Outsider(self)
        batch = [{"data": "a%d" % n, "address": "127.0.0.1", "port": outsider.port} for n in range(50)] + [
            {"data": "/wA=", "encoding": "base64", "address": "127.0.0.1", "port": other.port}, {"data": "", "address": "127.0.0.1", "port": other.port},
            {"data": "named", "encoding": None, "address": "localhost", "port": other.port}]
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, batch), 53)
        self.assertEqual([outsider.receive() for _ in range(50)], [b"a%d" % n for n in range(50)])
        self.assertEqual([other.receive() for _ in range(3)], [b"\xff\x00", b"", b"named"])
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, []), 0)

    def test_reading_many(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        sent = [b"%d" % n * (n % 7) for n in range(40)]
        for each in sent:
            outsider.socket.sendto(each, ("127.0.0.1", port))
        # All are in the socket's queue once sendto has returned.
        first = self.rpc.call("udpSocket.readDatagrams", handle, 3)
        self.assertEqual([decoded(each) for each in first], sent[:3])
        self.assertEqual(self.rpc.call("udpSocket.readDatagrams", handle, 0), [])
        rest = self.rpc.call("udpSocket.readDatagrams", handle, 1 << 40)
        self.assertEqual([decoded(each) for each in rest], sent[3:])
        for each in first + rest:
            self.assertEqual(sorted(each), MEMBERS)
            self.assertEqual((each["senderAddress"], each["senderPort"], each["destinationPort"]), ("127.0.0.1", outsider.port, port))

    def test_equal_ones_keep_their_borders(self):
        handle, port = self.bound()
        sender, _ = self.bound()
        batch = [{"data": "%04d" % n, "address": "127.0.0.1", "port": port} for n in range(100)]
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", sender, batch), 100)
        got = []
        while len(got) < 100:
            self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
            got += [each["data"] for each in self.rpc.call("udpSocket.readDatagrams", handle, 100)]
        self.assertEqual(got, ["%04d" % n for n in range(100)])

    def test_where_a_batch_ends(self):
        handle, _ = self.bound()
        outsider = Outsider(self)
        def to(data):
            return {"data": data, "address": "127.0.0.1", "port": outsider.port}
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, [to("one"), to("two"), to("x" * 70000), to("three")]), 2)
        self.assertEqual(self.rpc.event("socket.errorOccurred", handle)["error"], "DatagramTooLargeError")
        self.assertEqual([outsider.receive(), outsider.receive()], [b"one", b"two"])
        self.assertError(self.rpc.error("udpSocket.writeDatagrams", handle, [to("x" * 70000), to("three")]), -32000, "DatagramTooLargeError")
        self.rpc.call("udpSocket.writeDatagram", handle, "end", "127.0.0.1", outsider.port)
        self.assertEqual(outsider.receive(), b"end")

    def test_what_is_wrong_with_a_list(self):
        handle, _ = self.bound()
        outsider = Outsider(self)
        good = {"data": "x", "address": "127.0.0.1", "port": outsider.port}
        for bad in (5, "x", None, [], {}, {"data": 5}, {"data": None}, {"data": "x", "address": 5, "port": 1}, {"data": "x", "address": "127.0.0.1", "port": "1"},
                    {"data": "x", "address": "127.0.0.1", "port": 1.5}, {"data": "x", "encoding": "hex"}, {"data": "x", "encoding": 5}, {"data": "x", "surplus": 1},
                    {"data": "?", "encoding": "base64"}, {"data": "x", "port": 5}):
            with self.subTest(bad=bad):
                error = self.rpc.error("udpSocket.writeDatagrams", handle, [good, bad])
                self.assertError(error, -32602, "InvalidArgumentError", "datagrams")
                self.assertIn("1", error["message"])
        outsider.socket.settimeout(0)
        self.assertRaises(BlockingIOError, outsider.receive)
        for bad in ("x", 5, {}, True):
            self.assertError(self.rpc.error("udpSocket.writeDatagrams", handle, bad), -32602, parameter="datagrams")

    def test_one_answer_has_its_limit(self):
        rpc = self.stdio("--max-output", "65536")
        handle, port = self.bound(rpc=rpc)
        rpc.call("socket.setOption", handle, "ReceiveBufferSize", 1 << 20)
        outsider = Outsider(self)
        for _ in range(6):
            outsider.socket.sendto(b"\x01" * 10000, ("127.0.0.1", port))
        got = []
        while len(got) < 6:
            piece = rpc.call("udpSocket.readDatagrams", handle, 100)
            self.assertTrue(0 < len(piece) <= 2, len(piece))
            got += piece
        self.assertEqual({decoded(each) for each in got}, {b"\x01" * 10000})
        outsider.socket.sendto(b"y" * 30000, ("127.0.0.1", port))
        for method, argument in (("udpSocket.readDatagram", -1), ("udpSocket.readDatagram", 29000), ("udpSocket.readDatagrams", 1)):
            error = rpc.error(method, handle, argument)
            self.assertError(error, -32001, "LimitReachedError")
            self.assertIn("maxSize", error["message"])
        self.assertEqual(rpc.call("udpSocket.pendingDatagramSize", handle), 30000)
        datagram = rpc.call("udpSocket.readDatagram", handle, 20000)
        self.assertEqual((len(datagram["data"]), datagram["truncated"]), (20000, True))


class Connected(UDPCase):
    def connected(self, port):
        handle = self.rpc.call("udpSocket.create")
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", port)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        return handle, self.rpc.call("socket.localPort", handle)

    def test_a_virtual_connection(self):
        outsider, stranger = Outsider(self), Outsider(self)
        handle, port = self.connected(outsider.port)
        self.assertEqual(self.rpc.take_events(handle), ["stateChanged", "stateChanged", "hostFound", "stateChanged", "connected"])
        self.assertEqual([self.rpc.call("socket." + name, handle) for name in ("state", "peerAddress", "peerPort", "peerName", "isOpen", "isValid")],
                         ["Connected", "127.0.0.1", outsider.port, "127.0.0.1", True, True])
        self.assertEqual(self.rpc.call("socket.write", handle, "by write"), 8)
        self.assertEqual(self.rpc.call("udpSocket.writeDatagram", handle, "by datagram"), 11)
        self.assertEqual(self.rpc.call("udpSocket.writeDatagrams", handle, [{"data": "by list"}]), 1)
        self.assertEqual([outsider.receive() for _ in range(3)], [b"by write", b"by datagram", b"by list"])
        stranger.socket.sendto(b"from elsewhere", ("127.0.0.1", port))
        outsider.socket.sendto(b"line\nrest", ("127.0.0.1", port))
        outsider.socket.sendto(b"second", ("127.0.0.1", port))
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.bytesAvailable", handle), 9)
        self.assertIs(self.rpc.call("socket.canReadLine", handle), True)
        self.assertEqual(self.rpc.call("socket.readLine", handle)["data"], "line\n")
        self.assertEqual(self.rpc.call("socket.peek", handle, 100)["data"], "rest")
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "rest", "reading keeps to the datagrams' borders")
        self.assertEqual(self.rpc.call("socket.skip", handle, 2), 2)
        self.assertEqual(self.rpc.call("socket.getChar", handle), ord("c"))
        self.assertEqual(self.rpc.call("socket.read", handle, 100)["data"], "ond")
        self.assertEqual(self.rpc.call("socket.bytesAvailable", handle), 0)
        self.rpc.seen.clear()
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertEqual(self.rpc.take_events(handle), ["stateChanged", "stateChanged", "readChannelFinished", "disconnected"])

    def test_a_bound_socket_connects_and_closes(self):
        outsider = Outsider(self)
        handle, port = self.bound()
        self.rpc.call("socket.connectToHost", handle, "localhost", outsider.port, "ReadWrite", "IPv4")
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        self.assertEqual(self.rpc.call("socket.localPort", handle), port)
        self.rpc.call("socket.close", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        self.assertIs(self.rpc.call("socket.waitForDisconnected", handle), True, "it was, since the last such wait")
        self.assertIs(self.rpc.call("socket.waitForDisconnected", handle), False)

    def test_closing_a_bound_one_is_no_disconnect(self):
        handle, _ = self.bound()
        self.rpc.seen.clear()
        self.rpc.call("socket.close", handle)
        self.assertNotIn("disconnected", self.rpc.take_events(handle))
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        self.assertEqual(self.rpc.call("socket.descriptor", handle), -1)

    def test_refused(self):
        handle, _ = self.connected(dead_port())
        self.rpc.call("socket.write", handle, "anybody there?")
        error = self.rpc.event("socket.errorOccurred", handle)
        self.assertEqual((error["error"], error["errnoName"], error["state"]), ("ConnectionRefusedError", "ECONNREFUSED", "Connected"))
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected", "an error is of one datagram")
        # The next wait hears of it although it is over, as a wait that had begun before would.
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), False)
        wait = self.rpc.request("socket.waitForReadyRead", handle)
        self.rpc.request("socket.write", handle, "still nobody?")
        self.assertIs(self.rpc.answer(wait)["result"], False)
        # And a wait after that knows nothing of it.
        wait = self.rpc.request("socket.waitForReadyRead", handle, -1)
        self.assertEqual(self.rpc.call("session.stats")["waits"], 1)
        self.rpc.request("socket.abort", handle)
        self.assertIs(self.rpc.answer(wait)["result"], False)

    def test_what_came_is_read_although_another_was_refused(self):
        outsider = Outsider(self)
        handle, port = self.connected(outsider.port)
        outsider.socket.sendto(b"good bye", ("127.0.0.1", port))
        self.rpc.event("socket.readyRead", handle)
        outsider.socket.close()
        self.rpc.call("socket.write", handle, "too late")
        self.rpc.event("socket.errorOccurred", handle)
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("udpSocket.readDatagram", handle)["data"], "good bye")

    def test_waits(self):
        outsider = Outsider(self)
        handle, port = self.connected(outsider.port)
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle, 0), False)
        self.assertEqual(self.rpc.event("socket.errorOccurred", handle)["error"], "SocketTimeoutError")
        wait = self.rpc.request("socket.waitForReadyRead", handle)
        self.assertTrue(self.rpc.is_alive())
        outsider.socket.sendto(b"x", ("127.0.0.1", port))
        self.assertIs(self.rpc.answer(wait)["result"], True)
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True, "it is not read yet")
        self.rpc.call("socket.write", handle, "x")
        self.assertIs(self.rpc.call("socket.waitForBytesWritten", handle), True)
        self.assertIs(self.rpc.call("socket.waitForBytesWritten", handle), False)
        self.assertIsNone(self.rpc.call("socket.sync", handle))
        wait = self.rpc.request("socket.waitForDisconnected", handle)
        self.assertTrue(self.rpc.is_alive())
        self.rpc.request("socket.disconnectFromHost", handle)
        self.assertIs(self.rpc.answer(wait)["result"], True)

    def test_bytes_written(self):
        outsider = Outsider(self)
        handle, _ = self.bound()
        self.rpc.call("handle.subscribe", handle, ["bytesWritten"])
        self.rpc.call("udpSocket.writeDatagram", handle, "12345", "127.0.0.1", outsider.port)
        self.assertEqual(self.rpc.event("socket.bytesWritten", handle)["bytes"], 5)

    def test_without_a_destination(self):
        handle, _ = self.bound()
        self.assertError(self.rpc.error("udpSocket.writeDatagram", handle, "x"), -32000, "NetworkError")
        self.assertError(self.rpc.error("udpSocket.writeDatagrams", handle, [{"data": "x"}]), -32000, "NetworkError")
        self.assertError(self.rpc.error("socket.write", handle, "x"), -32000, "OperationError")
        for method, args, parameter in (("udpSocket.writeDatagram", {"data": "x", "port": 5}, "port"), ("udpSocket.writeDatagrams", {"datagrams": [{"data": "x", "port": 5}]}, "datagrams")):
            self.assertError(self.rpc.error(method, handle=handle, **args), -32602, parameter=parameter)


class Values(UDPCase):
    def test_values_that_do_not_fit(self):
        handle, _ = self.bound()
        for method, args, name in (
            ("udpSocket.writeDatagram", ("x", "127.0.0.1", 0), "PortNumberOutOfRangeError"), ("udpSocket.writeDatagram", ("x", "127.0.0.1"), "PortNumberOutOfRangeError"),
            ("udpSocket.writeDatagram", ("x", "127.0.0.1", 65536), "PortNumberOutOfRangeError"), ("udpSocket.writeDatagram", ("x", "127.0.0.1", -1), "PortNumberOutOfRangeError"),
            ("udpSocket.writeDatagram", ("x", "127.0.0.1", 1 << 62), "PortNumberOutOfRangeError"), ("udpSocket.writeDatagram", ("x", "", 5), "InvalidArgumentError"),
            ("udpSocket.writeDatagram", ("x", "0.0.0.0", 5), "InvalidArgumentError"),
            ("udpSocket.writeDatagram", ("x", "::1", 5), "UnsupportedSocketOperationError"),
            ("udpSocket.readDatagram", (-2,), "InvalidArgumentError"), ("udpSocket.readDatagrams", (-1,), "InvalidArgumentError"),
            ("udpSocket.joinMulticastGroup", ("127.0.0.1",), "InvalidArgumentError"), ("udpSocket.joinMulticastGroup", ("nonsense",), "InvalidArgumentError"),
            ("udpSocket.joinMulticastGroup", (GROUP, "none0"), "InvalidArgumentError"), ("udpSocket.leaveMulticastGroup", (GROUP,), "OperationError"),
            ("udpSocket.joinMulticastGroup", ("ff02::1",), "UnsupportedSocketOperationError"), ("udpSocket.setMulticastInterface", ("none0",), "InvalidArgumentError"),
            ("udpSocket.setMulticastInterface", ("a\0b",), "InvalidArgumentError"), ("udpSocket.setMulticastInterface", ("-1",), "InvalidArgumentError"),
        ):
            with self.subTest(method=method, args=args):
                error = self.rpc.error(method, handle, *args)
                self.assertEqual(error["data"]["error"], name, error)
                self.assertEqual(error["code"], -32001 if error["data"]["value"] >= 100 else -32000)
        self.assertEqual(self.rpc.call("socket.state", handle), "Bound")

    def test_wrong_types(self):
        handle, _ = self.bound()
        for method, good in (("writeDatagram", {"data": "x", "address": "127.0.0.1", "port": 9, "encoding": "utf8"}), ("writeDatagrams", {"datagrams": []}),
                             ("readDatagram", {"maxSize": 1, "encoding": "utf8"}), ("readDatagrams", {"maxCount": 1, "encoding": "utf8"}),
                             ("joinMulticastGroup", {"group": GROUP, "interface": "lo"}), ("leaveMulticastGroup", {"group": GROUP, "interface": "lo"}),
                             ("setMulticastInterface", {"interface": "lo"}), ("hasPendingDatagrams", {}), ("pendingDatagramSize", {}), ("multicastInterface", {})):
            for name, value in good.items():
                for bad in (5, "x", True, 1.5, [1], {"a": 1}):
                    if type(bad) is type(value) and not (name == "encoding"):
                        continue
                    with self.subTest(method=method, name=name, bad=bad):
                        self.assertError(self.rpc.error("udpSocket." + method, **{"handle": handle, **good, name: bad}), -32602, "InvalidArgumentError", name)
            self.assertError(self.rpc.error("udpSocket." + method, handle=handle, surplus=1, **good), -32602, parameter="surplus")
        self.assertError(self.rpc.error("udpSocket.writeDatagram", handle, "?", "127.0.0.1", 9, "base64"), -32602, parameter="data")

    def test_wrong_kinds(self):
        tcp, server = self.rpc.call("tcpSocket.create"), self.rpc.call("tcpServer.create")
        for method, args in (("writeDatagram", ("x",)), ("writeDatagrams", ([],)), ("hasPendingDatagrams", ()), ("pendingDatagramSize", ()), ("readDatagram", ()),
                             ("readDatagrams", (1,)), ("joinMulticastGroup", (GROUP,)), ("leaveMulticastGroup", (GROUP,)), ("multicastInterface", ()), ("setMulticastInterface", ("lo",))):
            for handle in (tcp, server):
                with self.subTest(method=method):
                    error = self.rpc.error("udpSocket." + method, handle, *args)
                    self.assertError(error, -32001, "WrongKindError")
                    self.assertIn("UDP", error["message"])
        handle, _ = self.bound()
        self.assertError(self.rpc.error("socket.shutdownWrite", handle), -32000, "UnsupportedSocketOperationError")
        self.assertError(self.rpc.error("localSocket.serverName", handle), -32001, "WrongKindError")

    def test_properties_at_creation(self):
        handle = self.rpc.call("udpSocket.create", {"multicastTtl": 9, "receiveBufferSize": 50000})
        self.rpc.call("socket.bind", handle, "127.0.0.1")
        self.assertEqual(self.rpc.call("socket.option", handle, "MulticastTtl"), 9)
        self.assertEqual(self.rpc.call("socket.option", handle, "ReceiveBufferSize"), 100000, "the system doubles it")
        count = self.rpc.call("session.stats")["handles"]
        for bad in ({"nonsense": 1}, {"multicastTtl": "x"}, {"allowHalfOpen": True}):
            self.assertError(self.rpc.error("udpSocket.create", bad), -32602, parameter="properties")
        self.assertEqual(self.rpc.call("session.stats")["handles"], count)

    def test_options(self):
        handle = self.rpc.call("udpSocket.create")
        for option, value in (("TypeOfService", 32), ("Broadcast", 1), ("MulticastTtl", 5), ("MulticastLoopback", 0)):
            self.rpc.call("socket.setOption", handle, option, value)
            self.assertEqual(self.rpc.call("socket.option", handle, option), value)
        self.rpc.call("socket.bind", handle, "AnyIPv4")
        for option, value in (("TypeOfService", 32), ("Broadcast", 1), ("MulticastTtl", 5), ("MulticastLoopback", 0)):
            self.assertEqual(self.rpc.call("socket.option", handle, option), value, option)
        self.assertError(self.rpc.error("socket.setOption", handle, "MulticastTtl", 256), -32001, "InvalidArgumentError")
        self.assertError(self.rpc.error("socket.setOption", handle, "UserTimeout", 5), -32000, "UnsupportedSocketOperationError")

    def test_bind_modes(self):
        first, port = self.bound(bindMode=["ShareAddress"])
        second = self.rpc.call("udpSocket.create")
        self.assertError(self.rpc.error("socket.bind", second, "127.0.0.1", port), -32000, "AddressInUseError")
        self.assertEqual(self.rpc.call("socket.state", second), "Unconnected")
        self.rpc.call("socket.bind", second, "127.0.0.1", port, ["ShareAddress"])
        third, port = self.bound(bindMode="ReusePort")
        fourth = self.rpc.call("udpSocket.create")
        self.rpc.call("socket.bind", fourth, "127.0.0.1", port, "ReusePort")
        self.assertEqual(self.rpc.call("socket.localPort", fourth), port)


class Multicast(UDPCase):
    def test_a_group_on_the_loopback_interface(self):
        handle, port = self.bound("AnyIPv4")
        self.rpc.call("udpSocket.joinMulticastGroup", handle, GROUP, "lo")
        error = self.rpc.error("udpSocket.joinMulticastGroup", handle, GROUP, "lo")
        self.assertError(error, -32000, "OperationError")
        sender, _ = self.bound("AnyIPv4")
        self.assertEqual(self.rpc.call("udpSocket.multicastInterface", sender), "")
        self.rpc.call("udpSocket.setMulticastInterface", sender, "lo")
        self.assertEqual(self.rpc.call("udpSocket.multicastInterface", sender), "lo")
        self.rpc.call("udpSocket.writeDatagram", sender, "to all", GROUP, port)
        datagram = self.next_datagram(handle)
        self.assertEqual((datagram["data"], datagram["destinationAddress"], datagram["interfaceIndex"]), ("to all", GROUP, socket.if_nametoindex("lo")))
        self.rpc.call("udpSocket.leaveMulticastGroup", handle, GROUP, str(socket.if_nametoindex("lo")))
        self.rpc.call("udpSocket.writeDatagram", sender, "not heard", GROUP, port)
        self.rpc.call("udpSocket.writeDatagram", sender, "direct", "127.0.0.1", port)
        self.assertEqual(self.next_datagram(handle)["data"], "direct")
        self.rpc.call("udpSocket.setMulticastInterface", sender, "")
        self.assertEqual(self.rpc.call("udpSocket.multicastInterface", sender), "")

    def test_over_ipv6(self):
        handle, port = self.bound("AnyIPv6")
        for group in ("ff01::77", "ff02::77%lo"):
            self.rpc.call("udpSocket.joinMulticastGroup", handle, group, "lo")
            self.rpc.call("udpSocket.leaveMulticastGroup", handle, group, "lo")
            self.assertError(self.rpc.error("udpSocket.leaveMulticastGroup", handle, group, "lo"), -32000, "OperationError")
        self.rpc.call("udpSocket.setMulticastInterface", handle, str(socket.if_nametoindex("lo")))
        self.assertEqual(self.rpc.call("udpSocket.multicastInterface", handle), "lo")

    def test_unbound(self):
        handle = self.rpc.call("udpSocket.create")
        for method in ("joinMulticastGroup", "leaveMulticastGroup"):
            error = self.rpc.error("udpSocket." + method, handle, GROUP)
            self.assertError(error, -32000, "OperationError")
            self.assertIn("bound", error["message"])
        self.rpc.call("udpSocket.setMulticastInterface", handle, "lo")
        self.assertEqual(self.rpc.call("udpSocket.multicastInterface", handle), "lo")


class Delivery(UDPCase):
    def test_push(self):
        handle, port = self.bound()
        outsider = Outsider(self)
        outsider.socket.sendto(b"before", ("127.0.0.1", port))
        self.rpc.event("socket.readyRead", handle)
        self.rpc.call("socket.setDelivery", handle, "push")
        sent = [b"before", b"", b"line\nline\n", b"\xff\x00"]
        for each in sent[1:]:
            outsider.socket.sendto(each, ("127.0.0.1", port))
        events = [self.rpc.event("socket.data", handle) for _ in sent]
        self.assertEqual([decoded(each) for each in events], sent)
        for event in events:
            self.assertEqual(sorted(event), sorted(MEMBERS + ["handle", "state", "isOpen"]))
            self.assertEqual((event["senderAddress"], event["senderPort"], event["destinationPort"], event["state"]), ("127.0.0.1", outsider.port, port, "Bound"))
        self.assertNotIn("readyRead", self.rpc.take_events(handle))
        self.rpc.call("socket.setDelivery", handle, "pull")
        outsider.socket.sendto(b"pulled", ("127.0.0.1", port))
        self.rpc.event("socket.readyRead", handle)
        self.assertEqual(self.rpc.call("udpSocket.readDatagram", handle)["data"], "pulled")

    def test_as_base64(self):
        handle, port = self.bound()
        self.rpc.call("socket.setDelivery", handle, "push", "base64")
        Outsider(self).socket.sendto(b"text", ("127.0.0.1", port))
        event = self.rpc.event("socket.data", handle)
        self.assertEqual((event["encoding"], decoded(event)), ("base64", b"text"))

    def test_not_by_line(self):
        handle, _ = self.bound()
        error = self.rpc.error("socket.setDelivery", handle, "lines")
        self.assertError(error, -32000, "UnsupportedSocketOperationError")
        self.assertIn("push", error["message"])

    def test_a_client_that_does_not_read(self):
        service = self.service("--max-output", "262144")
        slow, quick = self.client(service), self.client(service)
        slow_handle, port = self.bound(rpc=slow)
        slow.call("socket.setDelivery", slow_handle, "push")
        outsider = Outsider(self)
        # Until the slow client's socket to the sidecar is full and its output has come to the soft limit.
        self.eventually(lambda: self.flood(outsider, port) and self.drops(port) > 0, "the system drops what nobody takes")
        memory = service.memory()
        for _ in range(20):
            self.flood(outsider, port)
            self.assertTrue(quick.is_alive())
        self.assertLess(service.memory() - memory, 4 << 20)
        self.assertEqual(quick.call("session.stats")["sidecar"]["clientsDropped"], 0)
        # Reading again, it gets what there is, and what comes from then on.
        wanted = b"the last"
        got = slow.event("socket.data", slow_handle)
        while decoded(got) != wanted:
            if not slow.buffer:
                outsider.socket.sendto(wanted, ("127.0.0.1", port))
            got = slow.event("socket.data", slow_handle)
        self.assertTrue(slow.is_alive())

    def test_a_client_that_pulls_and_does_not_read(self):
        service = self.service()
        slow, quick = self.client(service), self.client(service)
        slow_handle, port = self.bound(rpc=slow)
        outsider = Outsider(self)
        memory = service.memory()
        for _ in range(20):
            self.flood(outsider, port)
            self.assertTrue(quick.is_alive())
        self.assertGreater(self.drops(port), 0)
        self.assertLess(service.memory() - memory, 4 << 20)
        self.assertTrue(slow.call("udpSocket.readDatagrams", slow_handle, 1))

    def flood(self, outsider, port):
        for _ in range(500):
            outsider.socket.sendto(b"x" * 1400, ("127.0.0.1", port))
        return True

    def drops(self, port):
        """How many datagrams the system had no room for."""
        with open("/proc/net/udp") as file:
            lines = [line.split() for line in file]
        return sum(int(line[12]) for line in lines[1:] if line[1].endswith(":%04X" % port))


class Rules(UDPCase):
    def may(self, rpc, handle, address, port=9, method="udpSocket.writeDatagram"):
        if method == "udpSocket.writeDatagram":
            answer = rpc.ask(method, handle, "x", address, port)
        elif method == "udpSocket.writeDatagrams":
            answer = rpc.ask(method, handle, [{"data": "x", "address": address, "port": port}])
        else:
            answer = rpc.ask(method, rpc.call("udpSocket.create"), address, port)
        permitted = "error" not in answer or answer["error"]["data"]["error"] != "NotPermittedError"
        if not permitted:
            self.assertError(answer["error"], -32001, "NotPermittedError")
            self.assertIn(address, answer["error"]["message"])
            self.assertIn("not permitted", answer["error"]["message"])
        return permitted

    def check(self, options, good, bad):
        rpc = self.stdio(*options)
        handle = rpc.call("udpSocket.create")
        for method in ("udpSocket.writeDatagram", "udpSocket.writeDatagrams", "socket.connectToHost"):
            for targets, verdict in ((good, True), (bad, False)):
                for target in targets:
                    with self.subTest(options=options, method=method, target=target):
                        self.assertIs(self.may(rpc, handle, *target, method=method), verdict)

    def test_destinations(self):
        self.check(("--deny", "127.0.0.0/8"), [("::1", 9)], [("127.0.0.1", 9), ("127.9.9.9", 53), ("::ffff:127.0.0.1", 9), ("localhost", 9), ("127.1", 9), ("0.0.0.0", 9)])
        self.check(("--allow", "127.0.0.1:9-20", "--allow", "*.good.invalid"), [("127.0.0.1", 9), ("a.good.invalid", 5)],
                   [("127.0.0.1", 21), ("127.0.0.2", 9), ("::1", 9), ("localhost", 9), ("good.invalid", 9), ("255.255.255.255", 9)])
        self.check(("--deny", "*:53"), [("127.0.0.1", 54)], [("127.0.0.1", 53), ("none.invalid", 53), ("224.0.0.251", 53)])

    def test_one_in_a_list_that_is_not_permitted(self):
        outsider = Outsider(self)
        rpc = self.stdio("--deny", "127.0.0.2")
        handle, _ = self.bound(rpc=rpc)
        batch = [{"data": "x", "address": address, "port": outsider.port} for address in ("127.0.0.1", "127.0.0.2")]
        self.assertError(rpc.error("udpSocket.writeDatagrams", handle, batch), -32001, "NotPermittedError")
        rpc.call("udpSocket.writeDatagram", handle, "alone", "127.0.0.1", outsider.port)
        self.assertEqual(outsider.receive(), b"alone", "of a list that is refused nothing is sent")

    def test_groups(self):
        rpc = self.stdio("--deny", "239.255.0.0/16", "--deny", "[ff00::/8]")
        handle, port = self.bound("127.0.0.1", rpc=rpc)
        error = rpc.error("udpSocket.joinMulticastGroup", handle, GROUP, "lo")
        self.assertError(error, -32001, "NotPermittedError")
        self.assertIn(GROUP, error["message"])
        rpc.call("udpSocket.joinMulticastGroup", handle, "239.254.0.1", "lo")
        self.assertError(rpc.error("udpSocket.joinMulticastGroup", handle, "ff02::1%lo"), -32001, "NotPermittedError")
        self.assertFalse(self.may(rpc, handle, GROUP))
        rpc = self.stdio("--allow", "127.0.0.1", "--allow", "239.1.2.3")
        handle, port = self.bound("127.0.0.1", rpc=rpc)
        rpc.call("udpSocket.joinMulticastGroup", handle, "239.1.2.3", "lo")
        self.assertError(rpc.error("udpSocket.joinMulticastGroup", handle, "239.1.2.4", "lo"), -32001, "NotPermittedError")

    def test_binding(self):
        rpc = self.stdio("--allow", "127.0.0.1")
        handle = rpc.call("udpSocket.create")
        self.assertError(rpc.error("socket.bind", handle), -32001, "NotPermittedError")
        rpc.call("socket.bind", handle, "127.0.0.1")

    def test_what_is_refused_changes_nothing(self):
        rpc = self.stdio("--deny", "127.0.0.1")
        handle = rpc.call("udpSocket.create")
        self.assertFalse(self.may(rpc, handle, "127.0.0.1"))
        self.assertEqual(rpc.call("socket.state", handle), "Unconnected")
        self.assertEqual(rpc.take_events(handle), [])


class Descriptors(UDPCase):
    def setUp(self):
        self.service_ = self.service()
        self.rpc = self.client(self.service_)
        self.assertTrue(self.rpc.is_alive())
        self.before = self.service_.descriptors()

    def hand_in(self, descriptor, **params):
        number = next(self.rpc.ids)
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": "socket.setDescriptor", "params": {"descriptor": 3, **params}}).encode() + b"\n"
        self.rpc.send_with_descriptors(line, [descriptor])
        return self.rpc.answer(number)

    def test_a_bound_one_goes_in_and_out(self):
        outsider = Outsider(self)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.bind(("127.0.0.1", 0))
            port = mine.getsockname()[1]
            handle = self.rpc.call("udpSocket.create")
            self.assertIsNone(self.hand_in(mine.fileno(), handle=handle, state="Bound")["result"])
        self.assertEqual([self.rpc.call("socket." + name, handle) for name in ("state", "localPort")], ["Bound", port])
        outsider.socket.sendto(b"in", ("127.0.0.1", port))
        self.assertEqual(self.next_datagram(handle)["data"], "in")
        outsider.socket.sendto(b"unread", ("127.0.0.1", port))
        self.rpc.event("socket.readyRead", handle)
        self.assertError(self.rpc.error("socket.takeDescriptor", handle), -32000, "OperationError")
        self.assertEqual(self.next_datagram(handle)["data"], "unread")
        self.assertIsInstance(self.rpc.call("socket.takeDescriptor", handle), int)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        with socket.socket(fileno=self.rpc.descriptors.pop()) as back:
            back.settimeout(PATIENCE)
            self.assertEqual(back.getsockname()[1], port)
            outsider.socket.sendto(b"back", ("127.0.0.1", port))
            self.assertEqual(back.recv(100), b"back")
        self.rpc.call("handle.destroy", handle)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_a_connected_one(self):
        outsider = Outsider(self)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.connect(("127.0.0.1", outsider.port))
            handle = self.rpc.call("udpSocket.create")
            self.assertIsNone(self.hand_in(mine.fileno(), handle=handle)["result"])
        self.assertEqual([self.rpc.call("socket." + name, handle) for name in ("state", "peerPort")], ["Connected", outsider.port])
        self.rpc.call("socket.write", handle, "hello")
        self.assertEqual(outsider.receive(), b"hello")

    def test_of_another_kind(self):
        udp, tcp = self.rpc.call("udpSocket.create"), self.rpc.call("tcpSocket.create")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, socket.socket() as stream:
            datagrams.bind(("127.0.0.1", 0))
            self.assertError(self.hand_in(stream.fileno(), handle=udp, state="Bound")["error"], -32000, "UnsupportedSocketOperationError")
            self.assertError(self.hand_in(datagrams.fileno(), handle=tcp, state="Bound")["error"], -32000, "UnsupportedSocketOperationError")
            self.assertError(self.hand_in(datagrams.fileno(), handle=udp, state="Connected")["error"], -32000)
        self.assertEqual(self.service_.descriptors(), self.before)


if __name__ == "__main__":
    unittest.main()
