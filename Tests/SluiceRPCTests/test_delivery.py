"""Received bytes that come by themselves: pieces and lines."""
import random
import threading
import unittest

from support import Peer, TestCase, connected, decoded


class Delivery(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.handle, self.connection = connected(self.rpc, Peer(self))

    def collect(self, name, size, rpc=None):
        """Events until they have brought so many bytes."""
        pieces = []
        while sum(map(len, pieces)) < size:
            pieces.append(decoded((rpc or self.rpc).event("socket." + name, self.handle)))
        return pieces

    def test_pieces(self):
        self.rpc.call("socket.setDelivery", self.handle, "push")
        self.connection.sendall(b"hello")
        event = self.rpc.event("socket.data", self.handle)
        self.assertEqual(event, {"handle": self.handle, "state": "Connected", "isOpen": True, "data": "hello", "encoding": "utf8"})
        self.assertEqual(self.rpc.call("socket.bytesAvailable", self.handle), 0)
        self.assertNotIn("readyRead", self.rpc.take_events(self.handle))
        data = random.Random(3).randbytes(1 << 20)
        sender = threading.Thread(target=self.connection.sendall, args=(data,))
        sender.start()
        self.assertEqual(b"".join(self.collect("data", len(data))), data)
        sender.join()

    def test_what_is_there_already(self):
        self.connection.sendall(b"early\nlines\nrest")
        self.rpc.event("socket.readyRead", self.handle)
        self.rpc.call("socket.setDelivery", self.handle, "lines")
        self.assertEqual(self.collect("line", 12), [b"early\n", b"lines\n"])
        self.rpc.call("socket.setDelivery", self.handle, "push", "base64")
        event = self.rpc.event("socket.data", self.handle)
        self.assertEqual((decoded(event), event["encoding"]), (b"rest", "base64"))

    def test_lines(self):
        self.rpc.call("socket.setDelivery", self.handle, "lines")
        self.connection.sendall(b"one\ntwo")
        self.assertEqual(self.collect("line", 4), [b"one\n"])
        self.connection.sendall(b"\n\n\xff\n")
        self.assertEqual(self.collect("line", 7), [b"two\n", b"\n", b"\xff\n"])
        # The end of the stream ends a line too, and comes after it.
        self.connection.sendall(b"last words")
        self.connection.close()
        self.rpc.event("socket.disconnected", self.handle)
        names = [m["method"] for m in self.rpc.seen if m["params"]["handle"] == self.handle]
        self.assertIn("socket.line", names)
        self.assertLess(names.index("socket.line"), names.index("socket.readChannelFinished"))
        self.assertEqual(decoded(self.rpc.event("socket.line", self.handle)), b"last words")

    def test_a_line_without_end_comes_in_pieces(self):
        self.rpc.call("socket.setDelivery", self.handle, "lines")
        data = b"x" * 300000
        sender = threading.Thread(target=self.connection.sendall, args=(data + b"\nnext\n",))
        sender.start()
        pieces = self.collect("line", len(data) + 6)
        sender.join()
        self.assertEqual(b"".join(pieces), data + b"\nnext\n")
        self.assertEqual(pieces[-1], b"next\n")

    def test_half_a_character_is_not_kept_back(self):
        self.rpc.call("socket.setDelivery", self.handle, "push")
        text = "ä\U0001f600€".encode()
        for index in range(len(text)):
            self.connection.sendall(text[index:index + 1])
            event = self.rpc.event("socket.data", self.handle)
            self.assertEqual((decoded(event), event["encoding"]), (text[index:index + 1], "base64"))

    def test_without_subscription_to_anything(self):
        self.rpc.call("handle.subscribe", self.handle, "none")
        self.rpc.call("socket.setDelivery", self.handle, "push")
        self.connection.sendall(b"still")
        self.assertEqual(b"".join(self.collect("data", 5)), b"still")

    def test_back_to_pulling(self):
        self.rpc.call("socket.setDelivery", self.handle, "push")
        self.rpc.call("socket.setDelivery", self.handle, "pull")
        self.connection.sendall(b"pull")
        self.rpc.event("socket.readyRead", self.handle)
        self.assertEqual(decoded(self.rpc.call("socket.readAll", self.handle)), b"pull")

    def test_a_slow_client_holds_the_peer_back(self):
        service = self.service("--max-output", "1000000")
        client, other = self.client(service), self.client(service)
        self.handle, connection = connected(client, Peer(self))
        client.call("socket.setDelivery", self.handle, "push")
        data = random.Random(4).randbytes(16 << 20)
        sender = threading.Thread(target=connection.sendall, args=(data,))
        sender.start()
        # It does not read for as long as it takes until nothing moves any more.
        last = -1
        still = 0
        while still < 20:
            bytes_sent = other.call("session.stats")["sidecar"]["handles"], service.memory()
            still = still + 1 if bytes_sent == last else 0
            last = bytes_sent
        self.assertTrue(other.is_alive())
        self.assertEqual(b"".join(self.collect("data", len(data), client)), data)
        sender.join()
        self.assertEqual(other.call("session.stats")["sidecar"]["clientsDropped"], 0)

    def test_bad_values(self):
        for value in ("Push", "", None, 1):
            self.assertError(self.rpc.error("socket.setDelivery", self.handle, value), -32602, parameter="delivery")


if __name__ == "__main__":
    unittest.main()
