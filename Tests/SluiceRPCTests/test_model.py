"""Properties, their events, their texts, and sockets that connect by themselves."""
import json
import socket
import unittest

from support import PATIENCE, Peer, TestCase, receive_exactly


class ModelCase(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def properties(self, handle):
        return self.rpc.call("socket.properties", handle)


class Properties(ModelCase):
    def test_what_every_kind_has(self):
        common = """autoConnect reconnectDelay objectId connectTimeout closeTimeout idleTimeout readBufferSize writeBufferSize sendBufferSize receiveBufferSize state error
            errorString bytesAvailable bytesToWrite canReadLine atEnd isOpen isReadable isWritable""".split()
        internet = "hostname port protocol keepAlive lowDelay typeOfService multicastLoopback multicastTtl pathMtu".split()
        for kind, own in (("tcpSocket", internet + ["allowHalfOpen"]), ("udpSocket", internet), ("localSocket", ["serverName", "allowHalfOpen"])):
            handle = self.rpc.call(kind + ".create")
            got = self.properties(handle)
            self.assertLessEqual(set(common + own), set(got), kind)
            self.assertEqual((got["autoConnect"], got["connectTimeout"], got["closeTimeout"], got["idleTimeout"], got["objectId"]), (True, 60000, 60000, 0, ""))
            for name, value in got.items():
                self.assertEqual(self.rpc.call("socket.property", handle, name), value, name)

    def test_faults(self):
        handle = self.rpc.call("tcpSocket.create", {"readBufferSize": 7})
        before = self.properties(handle)
        for name, value, code, parameter in (
            ("nonsense", 1, -32602, "name"), ("", 1, -32602, "name"), ("state", "Connected", -32602, "value"), ("lowDelay", 1, -32602, "value"), ("lowDelay", None, -32001, None),
            ("readBufferSize", "x", -32602, "value"), ("readBufferSize", 1.5, -32602, "value"), ("readBufferSize", -1, -32001, None), ("port", 65536, -32001, None),
            ("port", 0, -32001, None), ("protocol", "IPX", -32602, "value"), ("protocol", [], -32602, "value"), ("hostname", 5, -32602, "value"), ("hostname", "x" * 2000, -32001, None),
            ("reconnectDelay", {"first": -1}, -32001, None), ("reconnectDelay", 5, -32602, "value"), ("typeOfService", 256, -32001, None), ("objectId", "x" * 300, -32001, None),
        ):
            with self.subTest(name=name, value=value):
                answer = self.rpc.ask("socket.setProperty", handle, name, value)
                if value is None and "error" not in answer:
                    continue
                self.assertError(answer["error"], code, "InvalidArgumentError", parameter)
                if name:
                    self.assertIn(name[:20], answer["error"]["message"])
                self.assertEqual(self.properties(handle), before)
                if name:
                    answer = self.rpc.ask("socket.setProperties", handle, {"readBufferSize": 9, name: value} if name != "readBufferSize" else {"connectTimeout": 9, name: value})
                    self.assertError(answer["error"], code)
                    self.assertEqual(self.properties(handle), before, "all or none")

    def test_changes_are_told(self):
        peer = Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("socket.setProperty", handle, "readBufferSize", 5)
        self.assertEqual(self.rpc.take_events(handle), [], "not subscribed at first")
        self.rpc.call("handle.subscribe", handle, "all")
        self.rpc.call("socket.setProperties", handle, {"readBufferSize": 9, "writeBufferSize": 0, "reconnectDelay": {"first": 10, "ceiling": 20}})
        changes = [m["params"] for m in self.rpc.seen if m["method"] == "socket.propertyChanged"]
        self.assertEqual([(c["name"], c["value"]) for c in sorted(changes, key=lambda c: c["name"])],
                         [("readBufferSize", 9), ("reconnectDelay", {"first": 10, "ceiling": 20, "jitter": 25})])
        self.assertEqual(changes[0]["state"], "Unconnected")
        self.rpc.seen.clear()
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        self.rpc.event("socket.connected", handle)
        names = [m["params"]["name"] for m in self.rpc.seen if m["method"] == "socket.propertyChanged"]
        self.assertIn("state", names)
        self.assertIn("isOpen", names)

    def test_what_the_sidecar_does_for_itself_is_not_told(self):
        rpc = self.client(self.service("--max-output", "65536"))
        peer = Peer(self)
        handle = rpc.call("tcpSocket.create")
        rpc.call("handle.subscribe", handle, ["propertyChanged", "connected"])
        rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        rpc.event("socket.connected", handle)
        rpc.seen.clear()
        # So much at once that the client lags behind, and its sockets are held back.
        numbers = [rpc.request("echo", x="x" * 3000) for _ in range(100)]
        for number in numbers:
            rpc.answer(number)
        self.assertEqual(rpc.call("socket.property", handle, "readBufferSize"), 0)
        self.assertNotIn("readBufferSize", [m["params"].get("name") for m in rpc.seen])

    def test_completed_comes_after_creation_with_properties(self):
        handle = self.rpc.call("tcpSocket.create", {"lowDelay": True})
        self.assertEqual(self.rpc.event("socket.completed", handle)["state"], "Unconnected")
        other = self.rpc.call("tcpSocket.create")
        self.assertTrue(self.rpc.is_alive())
        self.assertEqual(self.rpc.take_events(other), [])

    def test_completed_comes_before_anything_is_connected(self):
        server = self.rpc.call("tcpServer.create")
        self.rpc.call("tcpServer.listen", server, "127.0.0.1")
        values = {"hostname": "127.0.0.1", "port": self.rpc.call("server.port", server)}
        for kind in ("tcpSocket", "udpSocket"):
            with self.subTest(kind=kind):
                handle = self.rpc.call(kind + ".create", values)
                self.rpc.event("socket.connected", handle)
                seen = [message["method"] for message in self.rpc.seen if message["params"].get("handle") == handle]
                self.assertEqual(seen[0], "socket.completed")

    def test_of_servers(self):
        server = self.rpc.call("tcpServer.create", {"maxPendingConnections": 3, "listenBacklog": 4})
        self.assertEqual([self.rpc.call("server." + name, server) for name in ("maxPendingConnections", "listenBacklog")], [3, 4])
        count = self.rpc.call("session.stats")["handles"]
        for kind in ("tcpServer", "localServer"):
            for bad, code in (({"nonsense": 1}, -32602), ({"listenBacklog": "x"}, -32602), ({"maxPendingConnections": 0}, -32001), ({"incoming": "x"}, -32602), ({"incoming": 1}, -32602), ({"port": 1}, -32602)):
                with self.subTest(bad=bad):
                    self.assertError(self.rpc.error(kind + ".create", bad), code, "InvalidArgumentError")
        self.assertEqual(self.rpc.call("session.stats")["handles"], count)


class Texts(ModelCase):
    def test_there_and_back(self):
        values = {"readBufferSize": 77, "lowDelay": True, "objectId": "first", "connectTimeout": 5, "hostname": "localhost", "autoConnect": False, "port": 7}
        handle = self.rpc.call("tcpSocket.create", values)
        text = self.rpc.call("socket.toJson", handle)
        self.assertIsInstance(text, str)
        got = json.loads(text)
        self.assertEqual({name: got[name] for name in values}, values)
        self.rpc.call("handle.destroy", handle)
        other = self.rpc.call("tcpSocket.create")
        self.assertIsNone(self.rpc.call("socket.fromJson", other, text))
        self.rpc.event("socket.completed", other)
        got = self.properties(other)
        self.assertEqual({name: got[name] for name in values}, values)
        self.assertEqual(self.rpc.call("socket.toJson", other), text)

    def test_faults(self):
        handle = self.rpc.call("tcpSocket.create", {"objectId": "a"})
        before = self.properties(handle)
        for text in ("", "nonsense", "[]", "5", '{"readBufferSize":1,"readBufferSize":2}', '{"readBufferSize":1,"nonsense":2}', '{"readBufferSize":"x"}', "{" * 100,
                     '{"readBufferSize":1,"lowDelay":"x"}', "\0"):
            for graph in (False, True):
                with self.subTest(text=text, graph=graph):
                    error = self.rpc.error("socket.fromJson", handle, text, graph)
                    self.assertError(error, error["code"], "InvalidArgumentError")
                    self.assertIn(error["code"], (-32602, -32001))
                    self.assertEqual(self.properties(handle), before)
        self.assertError(self.rpc.error("socket.fromJson", handle, '{"none":{}}', True), -32602, "InvalidArgumentError", "text")
        self.assertError(self.rpc.error("socket.fromJson", handle, '{"a":5}', True), -32602, "InvalidArgumentError", "text")
        self.assertError(self.rpc.error("socket.toJson", self.rpc.call("tcpServer.create")), -32001, "WrongKindError")

    def test_a_graph(self):
        first = self.rpc.call("tcpSocket.create", {"objectId": "first", "readBufferSize": 1})
        second = self.rpc.call("udpSocket.create", {"objectId": "second"})
        self.rpc.call("localSocket.create")
        graph = json.loads(self.rpc.call("socket.toJson", first, True))
        self.assertEqual(sorted(graph), ["first", "second"])
        self.assertEqual(graph["first"]["readBufferSize"], 1)
        self.assertError(self.rpc.error("tcpSocket.create", {"objectId": "first"}), -32001, "InvalidArgumentError")
        before = [self.properties(handle) for handle in (first, second)]
        bad = json.dumps({"first": {"readBufferSize": 50}, "second": {"multicastTtl": "x"}})
        self.assertError(self.rpc.error("socket.fromJson", second, bad, True), -32602, parameter="text")
        self.assertEqual([self.properties(handle) for handle in (first, second)], before, "all or none")
        self.rpc.call("socket.fromJson", second, json.dumps({"first": {"readBufferSize": 50}, "second": {"multicastTtl": 3}}), True)
        self.assertEqual((self.properties(first)["readBufferSize"], self.properties(second)["multicastTtl"]), (50, 3))
        self.rpc.event("socket.completed", first)
        self.rpc.event("socket.completed", second)
        self.rpc.call("handle.destroy", first)
        self.rpc.call("tcpSocket.create", {"objectId": "first"})

    def test_clients_do_not_meet(self):
        service = self.service()
        one, two = self.client(service), self.client(service)
        for rpc in (one, two):
            handle = rpc.call("tcpSocket.create", {"objectId": "same", "readBufferSize": 5 if rpc is one else 6})
        one_text, two_text = (rpc.call("socket.toJson", 1, True) for rpc in (one, two))
        self.assertEqual([json.loads(text)["same"]["readBufferSize"] for text in (one_text, two_text)], [5, 6])
        one.call("socket.fromJson", handle, '{"same":{"readBufferSize":99}}', True)
        self.assertEqual(two.call("socket.property", 1, "readBufferSize"), 6)


class AutoConnect(ModelCase):
    def test_it_connects_by_itself_and_again(self):
        peer = Peer(self)
        handle = self.rpc.call("tcpSocket.create", {"hostname": "127.0.0.1", "port": peer.port, "reconnectDelay": {"first": 1, "ceiling": 5}})
        self.rpc.event("socket.completed", handle)
        self.rpc.event("socket.connected", handle)
        self.rpc.call("socket.write", handle, "first")
        connection = peer.accept()
        self.assertEqual(receive_exactly(connection, 5), b"first")
        connection.close()
        self.rpc.event("socket.disconnected", handle)
        self.rpc.event("socket.connected", handle)
        self.rpc.call("socket.write", handle, "second")
        self.assertEqual(receive_exactly(peer.accept(), 6), b"second")
        self.rpc.call("socket.disconnectFromHost", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")

    def test_what_is_written_meanwhile_goes_out(self):
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))
            port = reserved.getsockname()[1]
            handle = self.rpc.call("tcpSocket.create", {"hostname": "127.0.0.1", "port": port, "reconnectDelay": {"first": 1, "ceiling": 5}})
            self.rpc.event("socket.errorOccurred", handle)
            self.assertEqual(self.rpc.call("socket.write", handle, "kept"), 4)
            reserved.listen()
            reserved.settimeout(PATIENCE)
            connection, _ = reserved.accept()
            connection.settimeout(PATIENCE)
            self.assertEqual(receive_exactly(connection, 4), b"kept")
            connection.close()

    def test_plain_connects_leave_the_properties_alone(self):
        peer = Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        self.rpc.event("socket.connected", handle)
        self.assertEqual((self.properties(handle)["hostname"], self.properties(handle)["port"]), ("", -1))
        peer.accept().close()
        self.rpc.event("socket.disconnected", handle)
        self.assertEqual(self.rpc.call("socket.state", handle), "Unconnected")

    def test_the_rules_hold(self):
        peer = Peer(self)
        rpc = self.stdio("--deny", "127.0.0.1", "--deny", "/nowhere")
        handle = rpc.call("tcpSocket.create", {"hostname": "127.0.0.1"})
        target = {"hostname": "127.0.0.1", "port": peer.port}
        for method, args in (
            ("tcpSocket.create", (target,)), ("udpSocket.create", (target,)), ("socket.setProperties", (handle, target)), ("socket.setProperty", (handle, "port", peer.port)),
            ("socket.setProperty", (handle, "port", float(peer.port))), ("socket.fromJson", (handle, json.dumps(target))), ("socket.fromJson", (handle, '{"port":5}')),
            ("localSocket.create", ({"serverName": "/nowhere/x"},)),
        ):
            with self.subTest(method=method, args=args):
                self.assertError(rpc.error(method, *args), -32001, "NotPermittedError")
        rpc.call("socket.setProperty", handle, "objectId", "a")
        self.assertError(rpc.error("socket.fromJson", handle, json.dumps({"a": target}), True), -32001, "NotPermittedError")
        self.assertEqual(rpc.call("socket.properties", handle)["port"], -1)
        rpc.call("socket.setProperties", handle, {"hostname": "::1", "port": 9, "autoConnect": False})
        local = rpc.call("localSocket.create", {"autoConnect": False, "serverName": "nowhere"})
        rpc = self.stdio("--allow", "/nowhere")
        local = rpc.call("localSocket.create", {"autoConnect": False, "serverName": "/nowhere/x"})
        error = rpc.error("localSocket.setSocketOptions", local, "AbstractNamespace")
        self.assertError(error, -32001, "NotPermittedError")

    def test_idle_timeout(self):
        peer = Peer(self)
        handle = self.rpc.call("tcpSocket.create", {"idleTimeout": 20})
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        self.rpc.event("socket.connected", handle)
        self.assertEqual(self.rpc.event("socket.errorOccurred", handle)["error"], "SocketTimeoutError")
        self.rpc.event("socket.disconnected", handle)


class VirtualSockets(ModelCase):
    VALUES = (("PeerName", "peerName", "name"), ("PeerAddress", "peerAddress", "192.0.2.1"), ("PeerPort", "peerPort", 5), ("LocalAddress", "localAddress", "192.0.2.2"),
              ("LocalPort", "localPort", 6), ("State", "state", "Connected"), ("Error", "error", "NetworkError"), ("ErrorString", "errorString", "something else"))

    def test_what_is_set_is_shown(self):
        for kind in ("tcpSocket", "udpSocket", "localSocket"):
            handle = self.rpc.call(kind + ".create")
            for name, shown, value in self.VALUES:
                with self.subTest(kind=kind, name=name):
                    self.assertIsNone(self.rpc.call("socket.set" + name, handle, value))
                    self.assertEqual(self.rpc.call("socket." + shown, handle), value)
            self.assertEqual(self.rpc.take_events(handle), [])

    def test_a_connection_of_its_own(self):
        peer = Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", peer.port)
        self.rpc.event("socket.connected", handle)
        for name, shown, value in self.VALUES:
            before = self.rpc.call("socket." + shown, handle)
            self.assertError(self.rpc.error("socket.set" + name, handle, value), -32000, "OperationError")
            self.assertEqual(self.rpc.call("socket." + shown, handle), before)

    def test_values(self):
        handle = self.rpc.call("tcpSocket.create")
        for name, value in (("PeerPort", "x"), ("PeerPort", 1.5), ("PeerName", 5), ("State", "Nonsense"), ("State", 99), ("Error", "Nonsense"), ("Error", 8), ("ErrorString", None)):
            with self.subTest(name=name, value=value):
                self.assertError(self.rpc.error("socket.set" + name, handle, value), -32602, "InvalidArgumentError", "value")
        for name, value in (("PeerPort", -1), ("LocalPort", 65536)):
            self.assertIn("error", self.rpc.ask("socket.set" + name, handle, value))
        self.rpc.call("socket.setError", handle, 17)
        self.assertEqual([self.rpc.call("socket." + name, handle) for name in ("error", "errorString")], ["NetworkError", "Unknown error"])

    def test_every_call_in_every_state_that_is_only_shown(self):
        for kind in ("tcpSocket", "udpSocket", "localSocket"):
            for state in ("HostLookup", "Connecting", "Connected", "Bound", "Listening", "Closing"):
                for method, args in (("write", ("x",)), ("read", (5,)), ("readAll", ()), ("flush", ()), ("waitForReadyRead", (0,)), ("waitForConnected", (0,)), ("waitForBytesWritten", (0,)),
                                     ("waitForDisconnected", (0,)), ("sync", (0,)), ("option", ("KeepAlive",)), ("setOption", ("SendBufferSize", 5000)), ("properties", ()), ("descriptor", ()),
                                     ("shutdownWrite", ()), ("bind", ("127.0.0.1",)), ("connectToHost", ("127.0.0.1", 9)), ("disconnectFromHost", ()), ("close", ()), ("abort", ())):
                    handle = self.rpc.call(kind + ".create")
                    self.rpc.call("socket.setState", handle, state)
                    answer = self.rpc.ask("socket." + method, handle, *args)
                    if "error" in answer:
                        self.assertIn(answer["error"]["code"], (-32000, -32001), (kind, state, method, answer))
                    self.rpc.call("handle.destroy", handle)
        self.assertTrue(self.rpc.is_alive())


class Incoming(ModelCase):
    def listening(self, rpc=None, **properties):
        rpc = rpc or self.rpc
        server = rpc.call("tcpServer.create", properties)
        rpc.call("tcpServer.listen", server, "127.0.0.1")
        return server, rpc.call("server.port", server)

    def connect(self, port):
        client = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.addCleanup(client.close)
        return client

    def test_a_descriptor_instead_of_a_socket(self):
        server, port = self.listening()
        self.rpc.call("server.setIncomingHandler", server, "descriptor")
        client = self.connect(port)
        event = self.rpc.event("server.incomingConnection", server)
        self.assertEqual(sorted(event), ["descriptor", "handle", "isOpen", "state"])
        self.assertEqual(self.rpc.event("server.newConnection", server)["pending"], 0)
        self.assertIs(self.rpc.call("server.hasPendingConnections", server), False)
        self.assertIsNone(self.rpc.call("server.nextPendingConnection", server))
        handle = self.rpc.call("tcpSocket.create")
        self.assertError(self.rpc.error("socket.setDescriptor", handle, event["descriptor"], "Bound", 99), -32602)
        self.rpc.call("socket.setDescriptor", handle, event["descriptor"])
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")
        self.rpc.call("socket.write", handle, "hello")
        self.assertEqual(receive_exactly(client, 5), b"hello")
        other = self.rpc.call("tcpSocket.create")
        error = self.rpc.error("socket.setDescriptor", other, event["descriptor"])
        self.assertError(error, -32001, "InvalidArgumentError")
        self.assertIn("incomingConnection", error["message"])
        self.rpc.call("server.setIncomingHandler", server, "socket")
        self.connect(port)
        self.assertTrue(self.rpc.call("server.waitForNewConnection", server, 10000)["available"])
        self.assertIsInstance(self.rpc.call("server.nextPendingConnection", server), int)

    def test_a_call_that_fails_leaves_it(self):
        server, port = self.listening(incoming="descriptor")
        client = self.connect(port)
        number = self.rpc.event("server.incomingConnection", server)["descriptor"]
        local, udp, tcp = (self.rpc.call(kind + "Socket.create") for kind in ("local", "udp", "tcp"))
        for handle in (local, udp):
            self.assertError(self.rpc.error("socket.setDescriptor", handle, number), -32000, "UnsupportedSocketOperationError")
        self.rpc.call("socket.setDescriptor", tcp, number)
        self.rpc.call("socket.write", tcp, "x")
        self.assertEqual(client.recv(1), b"x")

    def test_adding_it_to_the_queue(self):
        server, port = self.listening(incoming="descriptor")
        self.connect(port)
        handle = self.rpc.call("tcpSocket.create")
        self.assertError(self.rpc.error("server.addPendingConnection", server, handle), -32000, "OperationError")
        self.rpc.call("socket.setDescriptor", handle, self.rpc.event("server.incomingConnection", server)["descriptor"])
        self.rpc.call("server.addPendingConnection", server, handle)
        self.rpc.event("server.pendingConnectionAvailable", server)
        self.assertError(self.rpc.error("server.addPendingConnection", server, handle), -32000, "OperationError")
        self.assertIs(self.rpc.call("server.hasPendingConnections", server), True)
        self.assertEqual(self.rpc.call("server.nextPendingConnection", server), handle)
        self.assertIsNone(self.rpc.call("server.nextPendingConnection", server))

    def test_a_socket_that_is_gone_from_the_queue(self):
        server, port = self.listening(incoming="descriptor")
        self.connect(port)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("socket.setDescriptor", handle, self.rpc.event("server.incomingConnection", server)["descriptor"])
        self.rpc.call("server.addPendingConnection", server, handle)
        self.rpc.call("handle.destroy", handle)
        self.assertIsNone(self.rpc.call("server.nextPendingConnection", server))
        self.assertIs(self.rpc.call("server.hasPendingConnections", server), False)

    def test_wrong_values(self):
        server, _ = self.listening()
        tcp, udp = self.rpc.call("tcpSocket.create"), self.rpc.call("udpSocket.create")
        self.assertError(self.rpc.error("server.setIncomingHandler", server, "nonsense"), -32602, parameter="incoming")
        self.assertError(self.rpc.error("server.setIncomingHandler", tcp, "descriptor"), -32001, "WrongKindError")
        self.assertError(self.rpc.error("server.addPendingConnection", server, udp), -32001, "WrongKindError")
        self.assertError(self.rpc.error("server.addPendingConnection", server, server), -32001, "WrongKindError")
        self.assertError(self.rpc.error("server.addPendingConnection", server, 999), -32001, "InvalidHandleError")
        for number in (1 << 30, (1 << 30) + 5, 1 << 62):
            self.assertError(self.rpc.error("socket.setDescriptor", tcp, number), -32001, "InvalidArgumentError")

    def test_without_a_subscriber_connections_are_closed(self):
        server, port = self.listening(incoming="descriptor")
        self.rpc.call("handle.subscribe", server, ["acceptError"])
        self.assertEqual(self.connect(port).recv(1), b"")

    def test_what_is_not_used_is_closed_with_the_session(self):
        service = self.service()
        rpc, other = self.client(service), self.client(service)
        self.assertTrue(rpc.is_alive() and other.is_alive())
        before = service.descriptors()
        server, port = self.listening(rpc, incoming="descriptor")
        client = self.connect(port)
        rpc.event("server.incomingConnection", server)
        rpc.close()
        self.assertEqual(client.recv(1), b"")
        self.eventually(lambda: service.descriptors() == before - 1, "they are closed")
        self.assertTrue(other.is_alive())

    def test_numbers_are_one_client_s(self):
        service = self.service()
        one, two = self.client(service), self.client(service)
        server, port = self.listening(one, incoming="descriptor")
        self.connect(port)
        number = one.event("server.incomingConnection", server)["descriptor"]
        self.assertError(two.error("socket.setDescriptor", two.call("tcpSocket.create"), number), -32001, "InvalidArgumentError")

    def test_a_client_that_uses_none(self):
        rpc = self.stdio("--max-handles", "5")
        server, port = self.listening(rpc, incoming="descriptor")
        clients = [self.connect(port) for _ in range(12)]
        numbers = [rpc.event("server.incomingConnection", server)["descriptor"] for _ in range(5)]
        self.assertTrue(rpc.is_alive())
        self.assertNotIn("incomingConnection", rpc.take_events(server), "the others wait in the system's queue")
        for _ in range(7):
            handle = rpc.call("tcpSocket.create")
            rpc.call("socket.setDescriptor", handle, numbers.pop(0))
            rpc.call("handle.destroy", handle)
            numbers.append(rpc.event("server.incomingConnection", server)["descriptor"])
        self.assertEqual(len(set(numbers)), 5)
        for client in clients[:7]:
            self.assertEqual(client.recv(1), b"")
        self.assertTrue(rpc.is_alive())


if __name__ == "__main__":
    unittest.main()
