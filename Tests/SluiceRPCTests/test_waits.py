"""Calls that answer later: they hold nobody up, can be cancelled, and are always answered."""
import socket
import unittest

from support import PATIENCE, Peer, TestCase, connected, decoded, receive_exactly


class Waits(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.peer = Peer(self)

    def test_others_are_served_meanwhile(self):
        handle, connection = connected(self.rpc, self.peer)
        wait = self.rpc.request("socket.waitForReadyRead", handle, -1)
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")
        self.rpc.call("socket.write", handle, "while waiting")
        self.assertEqual(receive_exactly(connection, 13), b"while waiting")
        connection.sendall(b"answer")
        self.assertIs(self.rpc.answer(wait)["result"], True)
        events = [m["method"] for m in self.rpc.seen if "method" in m]
        self.assertEqual(events, ["socket.readyRead"], "the event comes before the answer")

    def test_time_runs_out(self):
        handle, _ = connected(self.rpc, self.peer)
        for limit in (0, 1, 30):
            self.assertIs(self.rpc.call("socket.waitForReadyRead", handle, limit), False)
            self.assertEqual(self.rpc.event("socket.errorOccurred", handle)["error"], "SocketTimeoutError")
        self.assertIs(self.rpc.call("socket.waitForDisconnected", handle, 1), False)
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")

    def test_nothing_to_wait_for(self):
        handle = self.rpc.call("tcpSocket.create")
        for what in ("Connected", "ReadyRead", "BytesWritten", "Disconnected"):
            self.assertIs(self.rpc.call("socket.waitFor" + what, handle, -1), False)
        self.assertIsNone(self.rpc.call("socket.sync", handle, -1))

    def test_cancel(self):
        handle, connection = connected(self.rpc, self.peer)
        wait = self.rpc.request("socket.waitForReadyRead", handle, -1)
        self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": wait}})
        self.assertError(self.rpc.answer(wait)["error"], -32800, "CancelledError")
        # Once only, and what is over or unknown is let be.
        for number in (wait, 12345, "x"):
            self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": number}})
        connection.sendall(b"later")
        self.rpc.event("socket.readyRead", handle)
        self.assertTrue(self.rpc.is_alive())
        self.assertFalse([m for m in self.rpc.seen if "id" in m])

    def test_cancel_tells_ids_of_different_types_apart(self):
        handle, connection = connected(self.rpc, self.peer)
        for number in (77, "77", 77.5, None):
            self.rpc.send_json({"jsonrpc": "2.0", "id": number, "method": "socket.waitForReadyRead", "params": [handle, -1]})
        self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": "77"}})
        answer = self.rpc.until(lambda m: "id" in m)
        self.assertEqual((answer["id"], answer["error"]["code"]), ("77", -32800))
        connection.sendall(b"x")
        answers = [self.rpc.until(lambda m: "id" in m) for _ in range(3)]
        self.assertEqual([(type(a["id"]), a["result"]) for a in answers], [(int, True), (float, True), (type(None), True)])

    def test_connecting_can_be_cancelled_without_ending_the_attempt(self):
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        blockers = []
        for _ in range(3):
            blocker = socket.socket()
            blocker.setblocking(False)
            blocker.connect_ex(full.getsockname())
            blockers.append(blocker)
            self.addCleanup(blocker.close)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", full.getsockname()[1])
        wait = self.rpc.request("socket.waitForConnected", handle, -1)
        self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": wait}})
        self.assertError(self.rpc.answer(wait)["error"], -32800)
        self.assertEqual(self.rpc.call("socket.state", handle), "Connecting")
        self.assertIs(self.rpc.call("socket.waitForConnected", handle, 10), False)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")

    def test_the_handle_is_destroyed(self):
        handle, connection = connected(self.rpc, self.peer)
        waits = [self.rpc.request("socket.waitFor" + what, handle, -1) for what in ("ReadyRead", "Disconnected")]
        server = self.rpc.call("tcpServer.create")
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        for_connection = self.rpc.request("server.waitForNewConnection", server, -1)
        self.rpc.call("handle.destroy", server)
        destroyed = self.rpc.request("handle.destroy", handle)
        answers = {m["id"]: m for m in [self.rpc.until(lambda m: "id" in m) for _ in range(3)]} | {m["id"]: m for m in self.rpc.seen if "id" in m}
        self.assertEqual(answers[for_connection]["result"], {"available": False, "timedOut": False})
        self.assertIs(answers[waits[0]]["result"], False)
        self.assertIn("result", answers[waits[1]])
        self.assertIsNone(answers[destroyed]["result"])
        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(self.rpc.call("session.stats")["waits"], 0)

    def test_sync(self):
        handle, connection = connected(self.rpc, self.peer)
        size = 4 << 20
        self.rpc.call("socket.write", handle, "z" * size)
        number = self.rpc.request("socket.sync", handle)
        self.assertEqual(len(receive_exactly(connection, size)), size)
        self.assertIsNone(self.rpc.answer(number)["result"])
        self.assertEqual(self.rpc.call("socket.bytesToWrite", handle), 0)
        self.rpc.call("socket.write", handle, "z" * (32 << 10) * 200)
        answer = self.rpc.ask("socket.sync", handle, 1)
        if "error" in answer:
            self.assertError(answer["error"], -32000, "SocketTimeoutError")

    def test_many_at_once(self):
        handle, connection = connected(self.rpc, self.peer)
        waits = [self.rpc.request("socket.waitForReadyRead", handle, -1) for _ in range(1000)]
        self.assertEqual(self.rpc.call("session.stats")["waits"], 1000)
        connection.sendall(b"for all")
        for number in waits:
            self.assertIs(self.rpc.answer(number)["result"], True)

    def test_too_many_at_once(self):
        handle, connection = connected(self.rpc, self.peer)
        numbers = [self.rpc.request("socket.waitForReadyRead", handle, -1) for _ in range(4097)]
        self.assertError(self.rpc.answer(numbers[-1])["error"], -32001, "LimitReachedError")
        connection.sendall(b"x")
        self.assertIs(self.rpc.answer(numbers[0])["result"], True)

    def test_as_notifications(self):
        handle, connection = connected(self.rpc, self.peer)
        self.rpc.send_json({"jsonrpc": "2.0", "method": "socket.waitForReadyRead", "params": [handle, -1]})
        connection.sendall(b"x")
        self.rpc.event("socket.readyRead", handle)
        self.assertTrue(self.rpc.is_alive())


class BetweenCalls(TestCase):
    """The sidecar's loop runs between the calls of a client that thinks of no loop: what has happened by then answers its wait."""

    def setUp(self):
        self.rpc = self.stdio()
        self.handle, self.connection = connected(self.rpc, Peer(self))

    def wait(self, what, limit=-1):
        return self.rpc.call("socket.waitFor" + what, self.handle, limit)

    def test_bytes_that_came_before_the_wait(self):
        self.connection.sendall(b"early")
        self.rpc.event("socket.readyRead", self.handle)
        self.assertIs(self.wait("ReadyRead"), True)
        # Told once; what is still in the buffer is not new any more.
        self.assertIs(self.wait("ReadyRead", 0), False)
        self.assertEqual(decoded(self.rpc.call("socket.readAll", self.handle)), b"early")

    def test_bytes_that_were_read_are_not_news(self):
        for method, args in (("readAll", ()), ("read", (1,)), ("readLine", ()), ("getChar", ()), ("skip", (1,))):
            self.connection.sendall(b"xy")
            self.rpc.event("socket.readyRead", self.handle)
            self.rpc.call("socket." + method, self.handle, *args)
            self.assertIs(self.wait("ReadyRead", 0), False)
        self.connection.sendall(b"xy")
        self.rpc.event("socket.readyRead", self.handle)
        self.rpc.call("socket.peek", self.handle, 1)
        self.assertIs(self.wait("ReadyRead"), True)

    def test_without_any_events(self):
        self.rpc.call("handle.subscribe", self.handle, "none")
        self.connection.sendall(b"early")
        self.eventually(lambda: self.rpc.call("socket.bytesAvailable", self.handle) == 5, "the bytes are there")
        self.assertIs(self.wait("ReadyRead"), True)

    def test_bytes_that_went_before_the_wait(self):
        self.rpc.call("socket.write", self.handle, "gone")
        self.assertEqual(receive_exactly(self.connection, 4), b"gone")
        self.assertIs(self.wait("BytesWritten"), True)
        self.assertIs(self.wait("BytesWritten"), False)

    def test_an_end_that_came_before_the_wait(self):
        self.rpc.call("socket.disconnectFromHost", self.handle)
        self.assertIs(self.wait("Disconnected"), True)
        self.assertIs(self.wait("Disconnected"), False)
        self.rpc.call("socket.abort", self.handle)

    def test_an_end_of_the_last_connection_is_not_this_one_s(self):
        peer = Peer(self)
        self.connection.sendall(b"old")
        self.rpc.event("socket.readyRead", self.handle)
        self.connection.close()
        self.rpc.event("socket.disconnected", self.handle)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)
        self.assertIs(self.wait("Disconnected", 0), False)
        self.assertIs(self.wait("ReadyRead", 0), False)

    def test_a_refused_second_connect_forgets_nothing(self):
        self.connection.sendall(b"early")
        self.rpc.event("socket.readyRead", self.handle)
        self.assertError(self.rpc.error("socket.connectToHost", self.handle, "127.0.0.1", 1), -32000, "OperationError")
        self.assertIs(self.wait("ReadyRead"), True)


class Order(TestCase):
    def test_requests_take_effect_as_sent(self):
        rpc = self.stdio()
        handle, connection = connected(rpc, Peer(self))
        numbers = [rpc.request("socket.write", handle, "%d," % i) for i in range(500)]
        for number in numbers:
            self.assertIn("result", rpc.answer(number))
        expected = "".join("%d," % i for i in range(500)).encode()
        self.assertEqual(receive_exactly(connection, len(expected)), expected)

    def test_a_whole_session_in_one_write(self):
        peer = Peer(self)
        rpc = self.stdio()
        lines = [
            '{"jsonrpc":"2.0","id":1,"method":"tcpSocket.create"}',
            '{"jsonrpc":"2.0","id":2,"method":"socket.connectToHost","params":{"handle":1,"host":"127.0.0.1","port":%d}}' % peer.port,
            '{"jsonrpc":"2.0","id":3,"method":"socket.write","params":{"handle":1,"data":"before the connection stands\\n"}}',
            '{"jsonrpc":"2.0","id":4,"method":"socket.waitForDisconnected","params":{"handle":1}}',
            '{"jsonrpc":"2.0","id":5,"method":"socket.disconnectFromHost","params":{"handle":1}}',
        ]
        rpc.send("\n".join(lines).encode() + b"\n")
        connection = peer.accept()
        self.assertEqual(receive_exactly(connection, 1000), b"before the connection stands\n")
        self.assertIs(rpc.answer(4)["result"], True)


if __name__ == "__main__":
    unittest.main()
