"""Native descriptors that go in and out: with the bytes of a message on a Unix socket, by inheritance over pipes."""
import json
import os
import socket
import subprocess
import unittest

from support import PATIENCE, SLUICED, Client, Peer, TestCase, connected, decoded, receive_exactly


class OverAUnixSocket(TestCase):
    def setUp(self):
        self.service_ = self.service()
        self.rpc = self.client(self.service_)
        self.assertTrue(self.rpc.is_alive())
        self.before = self.service_.descriptors()

    def request_with(self, descriptors, method, **params):
        number = next(self.rpc.ids)
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"
        self.rpc.send_with_descriptors(line, descriptors)
        return self.rpc.answer(number)

    def test_a_request_that_fails_uses_up_its_descriptor(self):
        first, second = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
        handle = self.rpc.call("tcpServer.create")
        for method, parameters in (
            ("server.setDescriptor", {"handle": handle, "descriptor": 0, "nope": 1}),
            ("server.setDescriptor", {"handle": 999, "descriptor": 0}),
            ("localServer.listen", {"handle": handle, "descriptor": 0}),
        ):
            self.assertIn("error", self.request_with([first.fileno()], method, **parameters))
        self.assertIsNone(self.request_with([second.fileno()], "server.setDescriptor", handle=handle, descriptor=0)["result"])
        self.assertEqual(self.rpc.call("server.port", handle), second.getsockname()[1])
        self.rpc.call("handle.destroy", handle)
        self.assertEqual(self.service_.descriptors(), self.before)
        first.close()
        second.close()

    def test_giving_a_connection(self):
        ours, theirs = socket.create_server(("127.0.0.1", 0)), socket.socket()
        theirs.connect(ours.getsockname())
        connection, _ = ours.accept()
        ours.close()
        handle = self.rpc.call("tcpSocket.create")
        answer = self.request_with([theirs.fileno()], "socket.setDescriptor", handle=handle, descriptor=theirs.fileno())
        self.assertIsNone(answer["result"])
        theirs.close()
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")
        connection.sendall(b"in")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(decoded(self.rpc.call("socket.readAll", handle)), b"in")
        self.rpc.call("socket.write", handle, "out")
        self.assertEqual(receive_exactly(connection, 3), b"out")
        self.rpc.call("handle.destroy", handle)
        self.assertEqual(connection.recv(1), b"")
        connection.close()
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_a_descriptor_that_is_not_connected_is_closed_by_connecting(self):
        server = self.rpc.call("localServer.create")
        self.rpc.call("localServer.listen", server, os.path.join(self.folder(), "server"))
        name = self.rpc.call("localServer.fullServerName", server)
        for state in ("Unconnected", "Bound"):
            with self.subTest(state=state), socket.socket(socket.AF_UNIX) as ours:
                handle = self.rpc.call("localSocket.create")
                self.assertIsNone(self.request_with([ours.fileno()], "socket.setDescriptor", handle=handle, descriptor=0, state=state)["result"])
                self.rpc.call("localSocket.connectToServer", handle, name)
                self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
                self.rpc.call("handle.destroy", handle)
        self.rpc.call("handle.destroy", server)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_giving_a_listener(self):
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        server = self.rpc.call("tcpServer.create")
        self.assertIsNone(self.request_with([listener.fileno()], "server.setDescriptor", handle=server, descriptor=0)["result"])
        listener.close()
        self.assertEqual(self.rpc.call("server.port", server), port)
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            self.assertTrue(self.rpc.call("server.waitForNewConnection", server, 10000)["available"])

    def test_giving_a_local_listener(self):
        path = os.path.join(self.folder(), "l")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            server = self.rpc.call("localServer.create")
            self.assertIsNone(self.request_with([listener.fileno()], "localServer.listen", handle=server, descriptor=listener.fileno())["result"])
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            self.assertTrue(self.rpc.call("server.waitForNewConnection", server, 10000)["available"])

    def test_without_one(self):
        handle = self.rpc.call("tcpSocket.create")
        for number in (0, 5, self.rpc.socket.fileno(), -1):
            error = self.rpc.error("socket.setDescriptor", handle=handle, descriptor=number)
            self.assertError(error, -32001, "InvalidArgumentError")
            self.assertIn("SCM_RIGHTS", error["message"])

    def test_what_is_no_connection(self):
        handle = self.rpc.call("tcpSocket.create")
        reader, writer = os.pipe()
        with open("/dev/null") as null, socket.socket() as fresh:
            for descriptor in (reader, null.fileno(), fresh.fileno()):
                answer = self.request_with([descriptor], "socket.setDescriptor", handle=handle, descriptor=descriptor)
                self.assertError(answer["error"], -32000, "UnsupportedSocketOperationError")
        os.close(reader)
        os.close(writer)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_several_are_taken_in_order(self):
        pairs = [socket.socketpair() for _ in range(5)]
        handles = [self.rpc.call("localSocket.create") for _ in pairs]
        numbers = []
        for handle, (_, theirs) in zip(handles, pairs):
            number = next(self.rpc.ids)
            numbers.append(number)
            self.rpc.send_with_descriptors(json.dumps({"jsonrpc": "2.0", "id": number, "method": "socket.setDescriptor",
                                                       "params": [handle, theirs.fileno()]}).encode() + b"\n", [theirs.fileno()])
        for number in numbers:
            self.assertIn("result", self.rpc.answer(number))
        for index, (handle, (ours, theirs)) in enumerate(zip(handles, pairs)):
            theirs.close()
            self.rpc.call("socket.write", handle, "%d" % index)
            self.assertEqual(ours.recv(10), b"%d" % index)
            ours.close()

    def test_unasked_ones_are_limited_and_closed(self):
        with open("/dev/null") as null:
            self.rpc.send_with_descriptors(b"\n", [null.fileno()] * 100)
        self.assertTrue(self.rpc.is_alive())
        complaints = [m for m in self.rpc.seen if m.get("id", 0) is None]
        self.assertEqual(len(complaints), 36)
        self.assertError(complaints[0]["error"], -32001, "LimitReachedError")
        self.assertEqual(self.service_.descriptors(), self.before + 64)
        other = self.client(self.service_)
        self.assertTrue(other.is_alive())
        self.rpc.close()
        self.eventually(lambda: self.service_.descriptors() == self.before, "they are closed")

    def test_taking_a_connection(self):
        peer = Peer(self)
        handle, connection = connected(self.rpc, peer)
        self.assertIsInstance(self.rpc.call("socket.takeDescriptor", handle), int)
        self.assertEqual(len(self.rpc.descriptors), 1)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")
        with socket.socket(fileno=self.rpc.descriptors.pop()) as mine:
            mine.settimeout(PATIENCE)
            mine.sendall(b"directly")
            self.assertEqual(receive_exactly(connection, 8), b"directly")
            self.rpc.call("handle.destroy", handle)
            connection.sendall(b"still")
            self.assertEqual(receive_exactly(mine, 5), b"still")
        self.assertEqual(connection.recv(1), b"")
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_taking_many_among_other_answers(self):
        peer = Peer(self)
        pairs = [connected(self.rpc, peer) for _ in range(20)]
        numbers = []
        text = b""
        for handle, _ in pairs:
            for method, params in (("echo", ["x" * 3000]), ("socket.takeDescriptor", [handle]), ("socket.state", [handle])):
                number = next(self.rpc.ids)
                if method == "socket.takeDescriptor":
                    numbers.append(number)
                text += json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"
        self.rpc.send(text)
        for number in numbers:
            self.assertIn("result", self.rpc.answer(number))
        self.assertTrue(self.rpc.is_alive())
        self.assertEqual(len(self.rpc.descriptors), 20)
        for index, (number, (_, connection)) in enumerate(zip(self.rpc.descriptors, pairs)):
            with socket.socket(fileno=os.dup(number)) as mine:
                mine.sendall(b"%d" % index)
                self.assertEqual(receive_exactly(connection, len(b"%d" % index)), b"%d" % index)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_taking_a_listener(self):
        server = self.rpc.call("tcpServer.create")
        self.assertError(self.rpc.error("server.takeDescriptor", server), -32001, "InvalidStateError")
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        port = self.rpc.call("server.port", server)
        self.rpc.send_json([{"jsonrpc": "2.0", "id": "b", "method": "server.takeDescriptor", "params": [server]}])
        self.assertError(self.rpc.until(lambda m: isinstance(m, list))[0]["error"], -32000, "UnsupportedSocketOperationError")
        with socket.create_connection(("127.0.0.1", port), PATIENCE):
            self.assertTrue(self.rpc.call("server.waitForNewConnection", server, 10000)["available"])
            error = self.rpc.error("server.takeDescriptor", server)
            self.assertError(error, -32000, "OperationError")
            self.rpc.call("handle.destroy", self.rpc.call("server.nextPendingConnection", server))
        self.assertIsInstance(self.rpc.call("server.takeDescriptor", server), int)
        self.assertIs(self.rpc.call("server.isListening", server), False)
        with socket.socket(fileno=self.rpc.descriptors.pop()) as mine:
            mine.settimeout(PATIENCE)
            self.assertEqual(mine.getsockname()[1], port)
            with socket.create_connection(("127.0.0.1", port), PATIENCE):
                mine.accept()[0].close()
        self.rpc.call("handle.destroy", server)
        self.assertEqual(self.service_.descriptors(), self.before)

    def local_pair(self):
        """A handle of a local socket, and the other end."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.settimeout(PATIENCE)
        handle = self.rpc.call("localSocket.create")
        self.assertIsNone(self.request_with([theirs.fileno()], "socket.setDescriptor", handle=handle, descriptor=3)["result"])
        theirs.close()
        return handle, ours

    def test_a_descriptor_to_the_peer(self):
        handle, ours = self.local_pair()
        reader, writer = os.pipe()
        self.assertIsNone(self.request_with([writer], "localSocket.sendDescriptor", handle=handle, descriptor=writer)["result"])
        os.close(writer)
        self.rpc.call("socket.write", handle, "with it")
        data, descriptors, _, _ = socket.recv_fds(ours, 100, 10)
        self.assertEqual((data[:1], len(descriptors)), (b"w", 1))
        os.write(descriptors[0], b"through")
        self.assertEqual(os.read(reader, 100), b"through")
        os.close(descriptors[0])
        os.close(reader)
        self.rpc.call("handle.destroy", handle)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_a_descriptor_of_the_peer(self):
        handle, ours = self.local_pair()
        self.assertIsNone(self.rpc.call("localSocket.receiveDescriptor", handle))
        self.assertEqual(self.rpc.descriptors, [])
        reader, writer = os.pipe()
        socket.send_fds(ours, [b"here"], [writer, reader])
        os.close(writer)
        os.close(reader)
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "here")
        for _ in range(2):
            self.assertIsInstance(self.rpc.call("localSocket.receiveDescriptor", handle), int)
        self.assertIsNone(self.rpc.call("localSocket.receiveDescriptor", handle))
        writer, reader = self.rpc.descriptors
        os.write(writer, b"through")
        self.assertEqual(os.read(reader, 100), b"through")
        self.rpc.call("handle.destroy", handle)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_passing_faults(self):
        handle, _ = self.local_pair()
        tcp, fresh = self.rpc.call("tcpSocket.create"), self.rpc.call("localSocket.create")
        self.assertError(self.rpc.error("localSocket.sendDescriptor", handle, 3), -32001, "InvalidArgumentError")
        reader, writer = os.pipe()
        self.assertError(self.request_with([reader], "localSocket.sendDescriptor", handle=fresh, descriptor=0)["error"], -32000, "OperationError")
        self.assertError(self.request_with([reader], "localSocket.sendDescriptor", handle=tcp, descriptor=0)["error"], -32001, "WrongKindError")
        self.assertError(self.rpc.error("localSocket.receiveDescriptor", tcp), -32001, "WrongKindError")
        os.close(reader)
        os.close(writer)
        for each in (handle, tcp, fresh):
            self.rpc.call("handle.destroy", each)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_an_incoming_connection_out_of_the_sidecar(self):
        server = self.rpc.call("tcpServer.create", {"incoming": "descriptor"})
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        with socket.create_connection(("127.0.0.1", self.rpc.call("server.port", server)), PATIENCE) as client:
            number = self.rpc.event("server.incomingConnection", server)["descriptor"]
            handle = self.rpc.call("tcpSocket.create")
            # A held number means itself, whatever else comes along.
            listener = socket.create_server(("127.0.0.1", 0))
            other = self.rpc.call("tcpServer.create")
            first, second = next(self.rpc.ids), next(self.rpc.ids)
            text = json.dumps({"jsonrpc": "2.0", "id": first, "method": "socket.setDescriptor", "params": [handle, number]}) + "\n"
            text += json.dumps({"jsonrpc": "2.0", "id": second, "method": "server.setDescriptor", "params": [other, listener.fileno()]}) + "\n"
            self.rpc.send_with_descriptors(text.encode(), [listener.fileno()])
            self.assertIn("result", self.rpc.answer(first))
            self.assertIn("result", self.rpc.answer(second))
            listener.close()
            self.rpc.call("socket.takeDescriptor", handle)
            with socket.socket(fileno=self.rpc.descriptors.pop()) as mine:
                client.sendall(b"x")
                self.assertEqual(mine.recv(1), b"x")
        for each in (server, handle, other):
            self.rpc.call("handle.destroy", each)
        self.assertEqual(self.service_.descriptors(), self.before)

    def test_taking_with_something_left(self):
        handle, connection = connected(self.rpc, Peer(self))
        connection.sendall(b"unread")
        self.rpc.event("socket.readyRead", handle)
        self.assertError(self.rpc.error("socket.takeDescriptor", handle), -32000, "OperationError")
        self.assertEqual(decoded(self.rpc.call("socket.readAll", handle)), b"unread")
        self.rpc.send_json([{"jsonrpc": "2.0", "id": "b", "method": "socket.takeDescriptor", "params": [handle]}])
        batch = self.rpc.until(lambda m: isinstance(m, list))
        self.assertError(batch[0]["error"], -32000, "UnsupportedSocketOperationError")
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")


class OverPipes(TestCase):
    def test_an_inherited_connection(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.settimeout(PATIENCE)
        with theirs:
            rpc = self.stdio(pass_fds=[theirs.fileno()])
            number = theirs.fileno()
        handle = rpc.call("localSocket.create")
        rpc.call("socket.setDescriptor", handle, number)
        rpc.call("socket.write", handle, "inherited")
        self.assertEqual(receive_exactly(ours, 9), b"inherited")
        other = rpc.call("localSocket.create")
        self.assertIn(rpc.error("socket.setDescriptor", other, number)["data"]["error"], ("OperationError", "InvalidArgumentError"))

    def test_none_of_the_sidecar_s_own(self):
        rpc = self.stdio()
        handle = rpc.call("tcpSocket.create")
        for number in range(40):
            self.assertError(rpc.error("socket.setDescriptor", handle, number), -32001, "InvalidArgumentError")
        self.assertTrue(rpc.is_alive())

    def test_an_inherited_one_for_the_peer(self):
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        ours.settimeout(PATIENCE)
        reader, writer = os.pipe()
        with theirs:
            rpc = self.stdio(pass_fds=[theirs.fileno(), writer])
            number = theirs.fileno()
        handle = rpc.call("localSocket.create")
        rpc.call("socket.setDescriptor", handle, number)
        for _ in range(2):
            rpc.call("localSocket.sendDescriptor", handle, writer)
            rpc.call("socket.write", handle, "x")
            _, (received,), _, _ = socket.recv_fds(ours, 1, 1)
            self.assertTrue(os.path.sameopenfile(received, writer))
            os.close(received)
        self.assertError(rpc.error("localSocket.sendDescriptor", handle, 4000), -32001, "InvalidArgumentError")
        error = rpc.error("localSocket.receiveDescriptor", handle)
        self.assertError(error, -32000, "UnsupportedSocketOperationError")
        self.assertIn("--socket", error["message"])
        os.close(reader)
        os.close(writer)

    def test_nothing_can_be_handed_over(self):
        rpc = self.stdio()
        handle, connection = connected(rpc, Peer(self))
        error = rpc.error("socket.takeDescriptor", handle)
        self.assertError(error, -32000, "UnsupportedSocketOperationError")
        self.assertIn("--socket", error["message"])
        self.assertEqual(rpc.call("socket.state", handle), "Connected")

    def test_a_socket_pair_can_pass_them(self):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([SLUICED, "--stdio"], stdin=theirs, stdout=theirs)
        self.addCleanup(process.wait)
        theirs.close()
        rpc = Client.over(ours)
        self.addCleanup(rpc.close)
        self.assertIn("descriptors", rpc.call("session.hello")["capabilities"])
        handle, connection = connected(rpc, Peer(self))
        rpc.call("socket.takeDescriptor", handle)
        self.assertEqual(len(rpc.descriptors), 1)


if __name__ == "__main__":
    unittest.main()
