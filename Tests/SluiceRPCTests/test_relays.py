"""Bytes between two sockets that never come to the client."""
import os
import socket
import subprocess
import threading
import unittest

from support import PATIENCE, SLUICED, Client, Peer, TestCase, connected, receive_exactly


class Relays(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.a, self.left = connected(self.rpc, Peer(self))
        self.b, self.right = connected(self.rpc, Peer(self))

    def test_both_ways_to_the_end(self):
        self.left.sendall(b"before ")
        self.rpc.event("socket.readyRead", self.a)
        relay = self.rpc.call("relay.create", self.a, self.b)
        self.assertEqual(self.rpc.call("handle.kind", relay), "Relay")
        self.left.sendall(b"there")
        self.assertEqual(receive_exactly(self.right, 12), b"before there")
        big = os.urandom(3 << 20)
        thread = threading.Thread(target=self.right.sendall, args=(big,))
        thread.start()
        self.assertEqual(receive_exactly(self.left, len(big)), big)
        thread.join()
        self.left.close()
        self.assertEqual(self.right.recv(1), b"")
        self.assertNotIn("relay.finished", [m["method"] for m in self.rpc.seen])
        self.right.sendall(b"")
        self.right.close()
        event = self.rpc.event("relay.finished", relay)
        self.assertEqual(event, {"handle": relay, "state": "Unconnected", "isOpen": False, "aToB": 12, "bToA": len(big), "error": "NoError", "value": 0, "message": "", "systemError": 0})
        self.assertEqual(self.rpc.call("relay.counters", relay), {"aToB": 12, "bToA": len(big)})
        self.assertNotIn("socket.readyRead", [m["method"] for m in self.rpc.seen if m["params"]["handle"] == self.b])
        self.assertEqual([self.rpc.call("socket.state", each) for each in (self.a, self.b)], ["Unconnected", "Unconnected"])
        self.rpc.call("handle.destroy", relay)

    def test_ending_it_gives_the_sockets_back(self):
        relay = self.rpc.call("relay.create", self.a, self.b)
        self.left.sendall(b"one")
        self.assertEqual(receive_exactly(self.right, 3), b"one")
        self.assertError(self.rpc.error("socket.setDelivery", self.a, "push"), -32000, "OperationError")
        self.rpc.call("handle.destroy", relay)
        self.left.sendall(b"two")
        self.rpc.event("socket.readyRead", self.a)
        self.assertEqual(self.rpc.call("socket.readAll", self.a)["data"], "two")
        self.rpc.call("socket.write", self.b, "three")
        self.assertEqual(receive_exactly(self.right, 5), b"three")
        self.rpc.call("socket.setDelivery", self.a, "push")
        self.left.sendall(b"four")
        self.assertEqual(self.rpc.event("socket.data", self.a)["data"], "four")

    def test_a_socket_that_ends_within(self):
        relay = self.rpc.call("relay.create", self.a, self.b)
        self.rpc.call("handle.destroy", self.a)
        self.assertEqual(self.left.recv(1), b"")
        self.assertEqual(self.right.recv(1), b"")
        self.right.close()
        self.rpc.event("relay.finished", relay)

    def test_a_client_that_goes(self):
        self.rpc.call("relay.create", self.a, self.b)
        self.left.sendall(b"last words")
        self.assertEqual(receive_exactly(self.right, 10), b"last words")
        self.rpc.end_input()
        self.assertEqual(self.rpc.wait(), 0)
        self.assertEqual((self.left.recv(1), self.right.recv(1)), (b"", b""))

    def test_a_client_that_does_not_read_holds_up_no_relay(self):
        service = self.service("--max-output", "65536")
        slow = self.client(service)
        a, left = connected(slow, Peer(self))
        b, right = connected(slow, Peer(self))
        slow.call("relay.create", a, b)
        waiting = [slow.request("echo", x="x" * 3000) for _ in range(60)]
        big = os.urandom(2 << 20)
        thread = threading.Thread(target=left.sendall, args=(big,))
        thread.start()
        self.assertEqual(receive_exactly(right, len(big)), big)
        thread.join()
        for number in waiting:
            self.assertIn("result", slow.answer(number))

    def test_what_cannot_be(self):
        fresh, udp, server = (self.rpc.call(kind + ".create") for kind in ("tcpSocket", "udpSocket", "tcpServer"))
        for a, b, code, error in ((self.a, self.a, -32001, "InvalidArgumentError"), (self.a, fresh, -32000, "OperationError"), (fresh, self.a, -32000, "OperationError"),
                                  (self.a, udp, -32001, "WrongKindError"), (server, self.a, -32001, "WrongKindError"), (self.a, 999, -32001, "InvalidHandleError")):
            with self.subTest(a=a, b=b):
                self.assertError(self.rpc.error("relay.create", a, b), code, error)
        count = self.rpc.call("session.stats")["handles"]
        relay = self.rpc.call("relay.create", self.a, self.b)
        self.assertError(self.rpc.error("relay.create", self.b, self.a), -32000, "OperationError")
        self.assertEqual(self.rpc.call("session.stats")["handles"], count + 1)
        self.assertError(self.rpc.error("relay.counters", self.a), -32001, "WrongKindError")
        self.assertError(self.rpc.error("socket.state", relay), -32001, "WrongKindError")
        self.left.sendall(b"still")
        self.assertEqual(receive_exactly(self.right, 5), b"still")


class Attaching(TestCase):
    def setUp(self):
        self.service_ = self.service()
        self.watcher = self.client(self.service_)
        self.assertTrue(self.watcher.is_alive())
        self.before = self.service_.descriptors()
        self.rpc = self.client(self.service_)

    def test_a_connection_becomes_a_stream(self):
        handle, peer = connected(self.rpc, Peer(self))
        peer.sendall(b"before ")
        self.rpc.event("socket.readyRead", handle)
        self.assertIsNone(self.rpc.call("socket.attach", handle))
        peer.sendall(b"after")
        raw = self.rpc.socket
        self.assertEqual(self.rpc.buffer + receive_exactly(raw, 12 - len(self.rpc.buffer)), b"before after")
        big = os.urandom(2 << 20)
        for sender, receiver in ((raw, peer), (peer, raw)):
            thread = threading.Thread(target=sender.sendall, args=(big,))
            thread.start()
            self.assertEqual(receive_exactly(receiver, len(big)), big)
            thread.join()
        raw.shutdown(socket.SHUT_WR)
        self.assertEqual(peer.recv(1), b"")
        peer.sendall(b"the end")
        peer.close()
        self.assertEqual(receive_exactly(raw, 8), b"the end")
        self.eventually(lambda: self.service_.descriptors() == self.before, "all is closed")
        self.assertTrue(self.watcher.is_alive())
        self.assertEqual(self.watcher.call("session.stats")["sidecar"]["clients"], 1)

    def test_what_comes_right_behind_the_request(self):
        for headers in (False, True):
            with self.subTest(headers=headers):
                rpc = self.client(self.service_)
                rpc.headers = headers
                handle, peer = connected(rpc, Peer(self))
                text = b'{"jsonrpc":"2.0","id":"a","method":"socket.attach","params":[%d]}' % handle
                framed = b"Content-Length: %d\r\n\r\n%s" % (len(text), text) if headers else text + b"\n"
                rpc.send(framed + b'raw\n{"jsonrpc":"2.0"}\n')
                self.assertIsNone(rpc.answer("a")["result"])
                self.assertEqual(receive_exactly(peer, 22), b'raw\n{"jsonrpc":"2.0"}\n')

    def test_all_else_ends(self):
        handle, peer = connected(self.rpc, Peer(self))
        other, left = connected(self.rpc, Peer(self))
        wait = self.rpc.request("socket.waitForReadyRead", other, -1)
        number = self.rpc.request("socket.attach", handle)
        self.assertEqual(self.rpc.answer(wait)["error"]["code"], -32800)
        self.assertIsNone(self.rpc.answer(number)["result"])
        self.assertEqual(left.recv(1), b"")
        peer.close()
        self.assertEqual(self.rpc.buffer + self.rpc.socket.recv(1), b"", "nothing but the stream")

    def test_a_client_that_goes(self):
        handle, peer = connected(self.rpc, Peer(self))
        self.rpc.request("socket.attach", handle)
        self.rpc.close()
        self.assertEqual(peer.recv(1), b"")
        peer.close()
        self.eventually(lambda: self.service_.descriptors() == self.before, "all is closed")

    def test_the_end_of_the_sidecar(self):
        handle, peer = connected(self.rpc, Peer(self))
        self.rpc.call("socket.attach", handle)
        self.watcher.call("session.shutdown")
        self.assertEqual((peer.recv(1), self.rpc.socket.recv(1)), (b"", b""))
        self.assertEqual(self.service_.process.wait(PATIENCE), 0)

    def test_over_a_socket_pair(self):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=theirs, stdout=theirs)
        theirs.close()
        rpc = Client.over(ours)
        self.addCleanup(rpc.close)
        handle, peer = connected(rpc, Peer(self))
        rpc.call("socket.attach", handle)
        ours.sendall(b"raw")
        self.assertEqual(receive_exactly(peer, 3), b"raw")
        peer.close()
        self.assertEqual(ours.recv(1), b"")
        ours.close()
        self.assertEqual(process.wait(PATIENCE), 0)

    def test_what_cannot_be(self):
        fresh, udp = self.rpc.call("tcpSocket.create"), self.rpc.call("udpSocket.create")
        self.assertError(self.rpc.error("socket.attach", fresh), -32000, "OperationError")
        self.assertError(self.rpc.error("socket.attach", udp), -32001, "WrongKindError")
        handle, peer = connected(self.rpc, Peer(self))
        self.rpc.send_json([{"jsonrpc": "2.0", "id": "b", "method": "socket.attach", "params": [handle]}])
        self.assertError(self.rpc.until(lambda m: isinstance(m, list))[0]["error"], -32000, "UnsupportedSocketOperationError")
        rpc = self.stdio()
        error = rpc.error("socket.attach", connected(rpc, Peer(self))[0])
        self.assertError(error, -32000, "UnsupportedSocketOperationError")
        self.assertIn("--socket", error["message"])
        self.rpc.call("socket.setState", fresh, "Connected")
        self.assertError(self.rpc.error("socket.attach", fresh), -32000, "OperationError")
        self.assertTrue(self.rpc.is_alive())


if __name__ == "__main__":
    unittest.main()
