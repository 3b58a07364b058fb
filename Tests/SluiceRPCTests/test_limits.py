"""One client cannot hurt the others: its limits, and what it is told at each."""
import json
import random
import socket
import threading
import unittest

from support import PATIENCE, Client, Peer, TestCase, connected, decoded


class Limits(TestCase):
    def test_they_are_told(self):
        rpc = self.stdio("--max-message", "50000", "--max-depth", "10", "--max-handles", "3", "--max-clients", "7", "--max-output", "100000")
        limits = rpc.call("session.hello", "me", 1)["limits"]
        self.assertEqual({key: limits[key] for key in ("messageSize", "depth", "handles", "clients", "output")},
                         {"messageSize": 50000, "depth": 10, "handles": 3, "clients": 7, "output": 100000})

    def test_handles(self):
        service = self.service("--max-handles", "5")
        client, other = self.client(service), self.client(service)
        handles = [client.call("tcpSocket.create") for _ in range(5)]
        for noun in ("tcpSocket", "localSocket", "tcpServer", "localServer"):
            error = client.error(noun + ".create")
            self.assertError(error, -32001, "LimitReachedError")
            self.assertIn("--max-handles", error["message"])
        self.assertEqual(other.call("tcpSocket.create"), 1)
        client.call("handle.destroy", handles[2])
        fresh = client.call("tcpSocket.create")
        self.assertNotIn(fresh, handles)

    def test_a_connection_is_not_lost_for_want_of_a_handle(self):
        rpc = self.stdio("--max-handles", "2")
        server = rpc.call("tcpServer.create")
        spare = rpc.call("tcpSocket.create")
        rpc.call("tcpServer.listen", server, "127.0.0.1")
        with socket.create_connection(("127.0.0.1", rpc.call("server.port", server)), PATIENCE) as connection:
            connection.sendall(b"kept")
            rpc.event("server.newConnection", server)
            self.assertError(rpc.error("server.nextPendingConnection", server), -32001, "LimitReachedError")
            rpc.call("handle.destroy", spare)
            handle = rpc.call("server.nextPendingConnection", server)
            rpc.call("socket.waitForReadyRead", handle)
            self.assertEqual(decoded(rpc.call("socket.readAll", handle)), b"kept")

    def test_handles_are_not_used_twice(self):
        rpc = self.stdio()
        seen = set()
        for _ in range(3000):
            handle = rpc.call("tcpSocket.create")
            self.assertNotIn(handle, seen)
            seen.add(handle)
            rpc.call("handle.destroy", handle)

    def test_clients(self):
        service = self.service("--max-clients", "3")
        clients = [self.client(service) for _ in range(3)]
        for client in clients:
            self.assertTrue(client.is_alive())
        extra = self.client(service)
        answer = extra.message()
        self.assertIsNone(answer["id"])
        self.assertError(answer["error"], -32001, "LimitReachedError")
        self.assertIn("--max-clients", answer["error"]["message"])
        self.assertIsNone(extra.raw_message())
        clients[0].close()

        def admitted():
            late = Client(service.path)
            self.addCleanup(late.close)
            late.request("session.ping")
            return "result" in late.message()
        self.eventually(admitted, "there is room again")

    def test_handles_belong_to_their_client(self):
        service = self.service()
        one, two = self.client(service), self.client(service)
        mine = one.call("tcpSocket.create")
        two.call("tcpServer.create")
        self.assertEqual(one.call("handle.kind", mine), "TcpSocket")
        self.assertEqual(two.call("handle.kind", mine), "TcpServer")
        self.assertError(two.error("handle.kind", mine + 1), -32001, "InvalidHandleError")


class SlowClients(TestCase):
    def test_it_is_told_and_dropped(self):
        service = self.service("--max-output", "2000000")
        other, slow = self.client(service), self.client(service)
        before = service.memory()
        sender = threading.Thread(target=self.flood, args=(slow,))
        sender.start()
        self.eventually(lambda: other.call("session.stats")["sidecar"]["clientsDropped"] == 1, "the slow client is dropped")
        self.assertTrue(other.is_alive())
        self.assertLess(service.memory() - before, 32 << 20)
        # Whole messages, then why, then the end.
        last = None
        while True:
            raw = slow.raw_message()
            if raw is None:
                break
            last = slow_message = json.loads(raw)
            self.assertIn("jsonrpc", slow_message)
        sender.join()
        self.assertIsNone(last["id"])
        self.assertError(last["error"], -32001, "LimitReachedError")
        self.assertIn("--max-output", last["error"]["message"])
        self.assertTrue(other.is_alive())

    @staticmethod
    def flood(client):
        line = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}\n' % (b"x" * 10000)
        try:
            for _ in range(5000):
                client.socket.sendall(line)
        except OSError:
            pass

    def test_a_patient_one_is_not(self):
        service = self.service("--max-output", "2000000")
        client = self.client(service)
        for _ in range(3):
            numbers = [client.request("echo", "x" * 100000) for _ in range(15)]
            for number in numbers:
                self.assertIn("result", client.answer(number))

    def test_its_sockets_stop_being_read(self):
        service = self.service("--max-output", "1000000")
        client, other = self.client(service), self.client(service)
        peer = Peer(self)
        handle, connection = connected(client, peer)
        self.assertEqual(client.call("socket.readBufferSize", handle), 0)
        # It lags behind the soft limit, an eighth, but not behind the hard one. What its own socket holds comes first.
        room = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) + (1 << 18)
        blocked = [client.request("echo", "x" * 100000) for _ in range(room // 100000 + 4)]
        self.eventually(lambda: other.call("session.stats")["sidecar"]["clients"] == 2, "both are there")
        connection.setblocking(False)
        sent = 0
        idle = 0
        while idle < 50:
            try:
                sent += connection.send(b"y" * 65536)
                idle = 0
            except BlockingIOError:
                idle += 1
                self.assertTrue(other.is_alive())
            self.assertLess(sent, 64 << 20, "the peer is held back")
        for number in blocked:
            client.answer(number)
        # Having caught up it gets all of it.
        got = 0
        while got < sent:
            piece = len(decoded(client.call("socket.read", handle, 300000)))
            got += piece
            if not piece:
                client.call("socket.waitForReadyRead", handle)
        self.assertEqual(got, sent)
        self.assertEqual(client.call("socket.readBufferSize", handle), 0)

    def test_unread_output_over_pipes(self):
        rpc = self.stdio("--max-output", "1000000")
        line = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}\n' % (b"x" * 10000)
        try:
            for _ in range(1000):
                rpc.send(line)
        except BrokenPipeError:
            pass
        last = rpc.rest()[-1]
        self.assertError(last["error"], -32001, "LimitReachedError")
        self.assertEqual(rpc.wait(), 1)

    def test_dropped_in_header_framing(self):
        service = self.service("--max-output", "500000")
        client = self.client(service)
        client.headers = True
        body = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}' % (b"x" * 10000)
        try:
            for _ in range(1000):
                client.socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        except OSError:
            pass
        last = None
        while True:
            raw = client.raw_message()
            if raw is None:
                break
            last = json.loads(raw)
        self.assertError(last["error"], -32001, "LimitReachedError")


class BadClients(TestCase):
    def test_all_kinds_of_nonsense_beside_one_that_works(self):
        service = self.service("--max-message", "100000")
        good = self.client(service)
        peer = Peer(self)
        handle, connection = connected(good, peer)
        chance = random.Random(11)
        stop = threading.Event()
        problems = []

        def nonsense():
            while not stop.is_set():
                try:
                    client = Client(service.path)
                    for _ in range(chance.randrange(1, 8)):
                        client.socket.setblocking(False)
                        kind = chance.randrange(6)
                        data = (chance.randbytes(chance.randrange(1, 5000)) if kind == 0 else b"[" * 20000 + b"\n" if kind == 1 else b"x" * 300000 if kind == 2
                                else b'{"jsonrpc":"2.0","id":1,"method":"tcpSocket.create"}\n' * 50 if kind == 3 else b"Content-Length: 50\r\n\r\n" if kind == 4
                                else b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}\n' * 20)
                        try:
                            client.socket.send(data)
                        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                            pass
                    client.close()
                except OSError as problem:
                    problems.append(problem)
        threads = [threading.Thread(target=nonsense) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for round in range(60):
                good.call("socket.write", handle, "%d\n" % round)
                line = b""
                while not line.endswith(b"\n"):
                    line += connection.recv(100)
                connection.sendall(line)
                good.call("socket.waitForReadyRead", handle)
                self.assertEqual(decoded(good.call("socket.readAll", handle)), b"%d\n" % round)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(problems, [])
        self.eventually(lambda: good.call("session.stats")["sidecar"]["clients"] == 1, "the others are gone")
        self.assertEqual(good.call("session.stats")["sidecar"]["handles"], 1)

    def test_memory_stays_flat(self):
        service = self.service()
        client = self.client(service)
        peer = Peer(self)

        def work():
            for _ in range(200):
                handle, connection = connected(client, peer)
                client.call("socket.write", handle, "x" * 1000)
                connection.recv(2000)
                client.call("handle.destroy", handle)
                connection.close()
        work()
        before = service.memory(), service.descriptors()
        for _ in range(3):
            work()
        self.assertLess(service.memory() - before[0], 2 << 20)
        self.assertEqual(service.descriptors(), before[1])


if __name__ == "__main__":
    unittest.main()
