"""Real work over TCP and local sockets, through the protocol."""
import base64
import os
import random
import socket
import struct
import threading
import unittest

from support import PATIENCE, Peer, TestCase, connected, decoded, receive_exactly


class Connecting(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.handle = self.rpc.call("tcpSocket.create")

    def test_a_fresh_socket(self):
        expected = {"state": "Unconnected", "error": "NoError", "errorString": "", "socketType": "Tcp", "openMode": [], "isValid": False, "isOpen": False,
                    "isReadable": False, "isWritable": False, "isSequential": True, "localAddress": None, "localPort": 0, "peerAddress": None, "peerPort": 0,
                    "peerName": "", "bytesAvailable": 0, "bytesToWrite": 0, "atEnd": True, "canReadLine": False, "readBufferSize": 0, "writeBufferSize": 0,
                    "pauseMode": [], "descriptor": -1}
        self.assertEqual({name: self.rpc.call("socket." + name, self.handle) for name in expected}, expected)
        self.assertEqual(self.rpc.call("handle.kind", self.handle), "TcpSocket")

    def test_events_of_a_connection_and_its_end(self):
        peer = Peer(self)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.assertEqual(self.rpc.take_events(self.handle), ["stateChanged", "stateChanged", "hostFound"])
        connection = peer.accept()
        self.assertEqual(self.rpc.event("socket.connected", self.handle), {"handle": self.handle, "state": "Connected", "isOpen": True})
        self.assertEqual(self.rpc.take_events(self.handle), ["stateChanged"])
        connection.sendall(b"hello")
        self.assertEqual(self.rpc.event("socket.readyRead", self.handle)["bytesAvailable"], 5)
        self.assertEqual(self.rpc.call("socket.read", self.handle, 100), {"data": "hello", "encoding": "utf8"})
        self.rpc.call("socket.disconnectFromHost", self.handle)
        self.assertEqual(self.rpc.take_events(self.handle), ["stateChanged", "stateChanged", "readChannelFinished", "disconnected"])
        self.assertEqual(connection.recv(10), b"")

    def test_by_name_with_the_whole_story_of_a_failure(self):
        with socket.create_server(("127.0.0.1", 0)) as unused:
            port = unused.getsockname()[1]
        self.rpc.call("socket.connectToHost", self.handle, "localhost", port)
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), False)
        error = self.rpc.event("socket.errorOccurred", self.handle)
        self.assertEqual((error["error"], error["value"], error["systemError"], error["errnoName"]), ("ConnectionRefusedError", 10, 111, "ECONNREFUSED"))
        self.assertEqual(error["state"], "Unconnected")
        phases = [attempt["phase"] for attempt in error["attempts"]]
        self.assertIn("lookup", phases)
        self.assertIn("connect", phases)
        for attempt in error["attempts"]:
            self.assertIsInstance(attempt["milliseconds"], int)
        self.assertEqual(self.rpc.call("socket.error", self.handle), "ConnectionRefusedError")
        self.assertIn("refused", self.rpc.call("socket.errorString", self.handle).lower())

    def test_what_is_no_host_or_port(self):
        for host, port, name in (("", 80, "EmptyHostNameError"), ("127.0.0.1", 0, "PortNumberOutOfRangeError"), ("does-not-exist.invalid", 80, "HostNotFoundError")):
            with self.subTest(host=host, port=port):
                self.rpc.call("socket.connectToHost", self.handle, host, port)
                self.assertEqual(self.rpc.event("socket.errorOccurred", self.handle)["error"], name)
        for port in (-1, 65536, 1 << 40):
            answer = self.rpc.ask("socket.connectToHost", self.handle, "127.0.0.1", port)
            name = answer["error"]["data"]["error"] if "error" in answer else self.rpc.event("socket.errorOccurred", self.handle)["error"]
            self.assertIn(name, ("PortNumberOutOfRangeError", "InvalidArgumentError"))

    def test_twice(self):
        peer = Peer(self)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        error = self.rpc.error("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.assertError(error, -32000, "OperationError")
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)

    def test_names_of_enumerations(self):
        peer = Peer(self)
        for mode, protocol in ((["ReadOnly", "WriteOnly"], "IPv4"), ("ReadWrite", "IPv4Protocol"), ("ReadOnly|WriteOnly", 0), (3, 2), (["ReadWrite", "Unbuffered"], "any"), ([3, 32], "AnyIP")):
            with self.subTest(mode=mode, protocol=protocol):
                self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port, mode, protocol)
                self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)
                self.rpc.call("socket.abort", self.handle)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port, "ReadOnly")
        self.assertEqual(self.rpc.call("socket.openMode", self.handle), ["ReadOnly"])
        for mode in ("Sideways", ["ReadOnly", "Sideways"], 1024, -1, ["ReadOnly", None], [["ReadOnly"]], {}, 1.5, "ReadOnly,WriteOnly"):
            with self.subTest(mode=mode):
                self.assertError(self.rpc.error("socket.connectToHost", self.handle, "h", 1, mode), -32602, parameter="openMode")

    def test_ipv6(self):
        peer = Peer(self, "::1")
        self.rpc.call("socket.connectToHost", self.handle, "::1", peer.port)
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)
        self.assertEqual(self.rpc.call("socket.peerAddress", self.handle), "::1")
        self.assertEqual(self.rpc.call("socket.peerPort", self.handle), peer.port)
        self.assertEqual(self.rpc.call("socket.peerName", self.handle), "::1")

    def test_addresses(self):
        peer = Peer(self)
        self.rpc.call("socket.bind", self.handle, "127.0.0.1", 0)
        own = self.rpc.call("socket.localPort", self.handle)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)
        self.assertEqual(peer.accept().getpeername(), ("127.0.0.1", own))
        self.assertEqual(self.rpc.call("socket.localAddress", self.handle), "127.0.0.1")
        self.assertGreater(self.rpc.call("socket.descriptor", self.handle), 2)

    def test_options(self):
        peer = Peer(self)
        self.rpc.call("socket.setOption", self.handle, "LowDelay", 1)
        self.rpc.call("socket.setOption", self.handle, "KeepAliveOption", True)
        self.rpc.call("socket.setOption", self.handle, 8, 17)
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.assertIs(self.rpc.call("socket.waitForConnected", self.handle), True)
        self.assertEqual([self.rpc.call("socket.option", self.handle, name) for name in ("LowDelay", "KeepAlive", "KeepAliveIdle", 0)], [1, 1, 17, 1])

    def test_properties(self):
        properties = {"readBufferSize": 1000, "writeBufferSize": 2000, "connectTimeout": 5000, "closeTimeout": 6000, "allowHalfOpen": True, "keepAlive": True, "lowDelay": True}
        handle = self.rpc.call("tcpSocket.create", properties)
        got = self.rpc.call("socket.properties", handle)
        self.assertEqual({name: got[name] for name in properties}, properties)
        self.assertEqual((got["state"], got["isOpen"], got["bytesAvailable"], got["error"]), ("Unconnected", False, 0, "NoError"))
        self.rpc.call("socket.setProperty", handle, "connectTimeout", -1)
        self.assertEqual(self.rpc.call("socket.property", handle, "connectTimeout"), -1)
        before = self.rpc.call("socket.properties", handle)
        for values, code in (({"readBufferSize": 5, "nonsense": 1}, -32602), ({"readBufferSize": 5, "lowDelay": "yes"}, -32602), ({"readBufferSize": 5, "state": "Connected"}, -32602),
                             ({"readBufferSize": 5, "closeTimeout": -7}, -32001), ({"allowHalfOpen": False, "readBufferSize": -1}, -32001), ({"readBufferSize": 5, "connectTimeout": "x"}, -32602)):
            with self.subTest(values=values):
                self.assertError(self.rpc.error("socket.setProperties", handle, values), code)
                self.assertEqual(self.rpc.call("socket.properties", handle), before)
        count = self.rpc.call("session.stats")["handles"]
        self.assertError(self.rpc.error("tcpSocket.create", {"nonsense": 1}), -32602)
        self.assertEqual(self.rpc.call("session.stats")["handles"], count)
        self.assertError(self.rpc.error("socket.property", handle, "nonsense"), -32602, parameter="name")

    def test_subscriptions(self):
        peer = Peer(self)
        self.rpc.call("handle.subscribe", self.handle, ["connected", "bytesWritten"])
        self.rpc.call("socket.connectToHost", self.handle, "127.0.0.1", peer.port)
        self.rpc.event("socket.connected", self.handle)
        self.rpc.call("socket.write", self.handle, "four")
        self.assertEqual(self.rpc.event("socket.bytesWritten", self.handle)["bytes"], 4)
        self.rpc.call("handle.subscribe", self.handle, "none")
        peer.accept().sendall(b"x")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", self.handle), True)
        self.assertEqual(self.rpc.take_events(self.handle), [])
        self.rpc.call("handle.subscribe", self.handle, "all")
        self.rpc.call("handle.subscribe", self.handle, "default")
        self.rpc.call("handle.subscribe", self.handle, "disconnected")
        self.rpc.call("socket.abort", self.handle)
        self.assertEqual(self.rpc.take_events(self.handle), ["disconnected"])
        for bad in ("everything", ["connected", "nonsense"], {}, None, 1.5, [1]):
            self.assertError(self.rpc.error("handle.subscribe", self.handle, bad), -32602, parameter="events")


class Bytes(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.peer = Peer(self)
        self.handle, self.connection = connected(self.rpc, self.peer)

    def received(self, data):
        """Has the socket receive this, and waits until it is there."""
        self.connection.sendall(data)
        self.eventually(lambda: self.rpc.call("socket.bytesAvailable", self.handle) == len(data), "the bytes are there")

    def test_writing(self):
        for data, encoding, expected in (("hello", None, b"hello"), ("hello", "utf8", b"hello"), ("", "utf8", b""), ("", "base64", b""), ("a\0b\u2028\U0001f600", "utf8", "a\0b\u2028\U0001f600".encode()),
                                         ("AAEC/w==", "base64", b"\0\1\2\xff"), ("aGVsbG8=", "base64", b"hello")):
            with self.subTest(data=data):
                params = {"handle": self.handle, "data": data}
                if encoding:
                    params["encoding"] = encoding
                self.assertEqual(self.rpc.call("socket.write", **params), len(expected))
                self.assertEqual(receive_exactly(self.connection, len(expected)), expected)

    def test_what_is_no_base64(self):
        for data in ("A", "AA", "AAA", "AA=", "AA= ", "AA==\n", " AA==", "A===", "====", "AB==", "AAB=", "AA==AA==", "-_-_", "AAA\0", "ä===", "AAAA="):
            with self.subTest(data=data):
                self.assertError(self.rpc.error("socket.write", handle=self.handle, data=data, encoding="base64"), -32602, parameter="data")
        self.assertError(self.rpc.error("socket.write", handle=self.handle, data="x", encoding="latin1"), -32602, parameter="encoding")
        self.assertEqual(self.rpc.call("socket.bytesToWrite", self.handle), 0)

    def test_reading_text_and_bytes(self):
        for data in (b"plain", "ä\0\u2028\U0001f600\x7f\x01\"\\/".encode(), b"\xff\xfe", b"half \xc3", bytes(range(256)), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"):
            with self.subTest(data=data[:20]):
                try:
                    data.decode()
                    encoding = "utf8"
                except UnicodeDecodeError:
                    encoding = "base64"
                self.received(data)
                result = self.rpc.call("socket.peekAll", self.handle)
                self.assertEqual((decoded(result), result["encoding"]), (data, encoding))
                result = self.rpc.call("socket.peekAll", self.handle, "base64")
                self.assertEqual((decoded(result), result["encoding"]), (data, "base64"))
                self.assertEqual(decoded(self.rpc.call("socket.readAll", self.handle)), data)
        self.assertEqual(self.rpc.call("socket.readAll", self.handle), {"data": "", "encoding": "utf8"})

    def test_reading_in_pieces(self):
        self.received(b"one\ntwo\nthree")
        self.assertIs(self.rpc.call("socket.canReadLine", self.handle), True)
        self.assertIs(self.rpc.call("socket.atEnd", self.handle), False)
        self.assertEqual(self.rpc.call("socket.getChar", self.handle), ord("o"))
        self.rpc.call("socket.ungetChar", self.handle, ord("O"))
        self.assertEqual(self.rpc.call("socket.peek", self.handle, 2)["data"], "On")
        self.assertEqual(self.rpc.call("socket.readLine", self.handle)["data"], "One\n")
        self.assertEqual(self.rpc.call("socket.skip", self.handle, 1), 1)
        self.assertEqual(self.rpc.call("socket.readLine", self.handle, 2)["data"][:2], "wo"[:2])
        rest = decoded(self.rpc.call("socket.readAll", self.handle))
        self.assertTrue(rest.endswith(b"three"))
        self.assertIsNone(self.rpc.call("socket.getChar", self.handle))
        self.rpc.call("socket.putChar", self.handle, 65)
        self.assertEqual(self.connection.recv(1), b"A")
        for method in ("socket.read", "socket.peek", "socket.skip"):
            self.assertError(self.rpc.error(method, self.handle, -1), -32001, "InvalidArgumentError")

    def test_line_events(self):
        self.connection.sendall(b"no end")
        self.rpc.event("socket.readyRead", self.handle)
        self.connection.sendall(b" yet\n")
        self.rpc.event("socket.lineAvailable", self.handle)
        self.assertEqual(self.rpc.call("socket.readLine", self.handle)["data"], "no end yet\n")

    def test_much_both_ways(self):
        data = random.Random(1).randbytes(3 << 20)
        self.assertEqual(self.rpc.call("socket.write", handle=self.handle, data=base64.b64encode(data).decode(), encoding="base64"), len(data))
        self.assertEqual(receive_exactly(self.connection, len(data)), data)
        self.assertIsNone(self.rpc.call("socket.sync", self.handle))
        sender = threading.Thread(target=self.connection.sendall, args=(data,))
        sender.start()
        got = b""
        while len(got) < len(data):
            piece = decoded(self.rpc.call("socket.readAll", self.handle))
            got += piece
            if not piece:
                self.assertIs(self.rpc.call("socket.waitForReadyRead", self.handle), True)
        sender.join()
        self.assertEqual(got, data)

    def test_an_answer_has_a_limit(self):
        rpc = self.stdio("--max-output", "1000000")
        handle, connection = connected(rpc, self.peer)
        sender = threading.Thread(target=connection.sendall, args=(b"\x01" * 600000,))
        sender.start()
        self.eventually(lambda: rpc.call("socket.bytesAvailable", handle) == 600000, "the bytes are there")
        sender.join()
        error = rpc.error("socket.readAll", handle)
        self.assertError(error, -32001, "LimitReachedError")
        self.assertIn("socket.read", error["message"])
        self.assertError(rpc.error("socket.readLine", handle), -32001, "LimitReachedError")
        got = 0
        while got < 600000:
            result = rpc.call("socket.read", handle, 600000)
            got += len(decoded(result))
        self.assertEqual(rpc.call("socket.bytesAvailable", handle), 0)

    def test_half_close(self):
        self.rpc.call("socket.write", self.handle, "last words")
        self.rpc.call("socket.shutdownWrite", self.handle)
        self.assertEqual(receive_exactly(self.connection, 100), b"last words")
        self.received(b"still here")
        self.assertEqual(decoded(self.rpc.call("socket.readAll", self.handle)), b"still here")

    def test_the_peer_closes(self):
        self.connection.sendall(b"bye")
        self.connection.close()
        self.rpc.event("socket.disconnected", self.handle)
        events = self.rpc.take_events(self.handle)
        self.assertLess(events.index("readyRead"), events.index("errorOccurred"))
        self.assertEqual(self.rpc.call("socket.error", self.handle), "RemoteHostClosedError")
        self.assertEqual(decoded(self.rpc.call("socket.readAll", self.handle)), b"bye")
        self.assertEqual(self.rpc.ask("socket.write", self.handle, "too late")["error"]["code"], -32000)

    def test_a_reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        error = self.rpc.event("socket.errorOccurred", self.handle)
        self.assertEqual((error["error"], error["errnoName"]), ("RemoteHostClosedError", "ECONNRESET"))

    def test_not_open(self):
        fresh = self.rpc.call("tcpSocket.create")
        for method, args in (("socket.write", ("x",)), ("socket.putChar", (1,)), ("socket.shutdownWrite", ())):
            with self.subTest(method=method):
                self.assertError(self.rpc.error(method, fresh, *args), -32000, "OperationError")

    def test_read_buffer_size_holds_the_peer_back(self):
        self.rpc.call("socket.setReadBufferSize", self.handle, 1000)
        self.connection.setblocking(False)
        sent = 0
        idle = 0
        while idle < 20:
            try:
                sent += self.connection.send(b"x" * 65536)
                idle = 0
            except BlockingIOError:
                idle += 1
                self.assertLessEqual(self.rpc.call("socket.bytesAvailable", self.handle), 1000)
        got = 0
        while got < sent:
            piece = len(decoded(self.rpc.call("socket.read", self.handle, 1000)))
            self.assertLessEqual(piece, 1000)
            got += piece
            if not piece:
                self.rpc.call("socket.waitForReadyRead", self.handle, 100)
        self.assertEqual(got, sent)


class Servers(TestCase):
    def setUp(self):
        self.rpc = self.stdio()
        self.server = self.rpc.call("tcpServer.create")

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.rpc.call("server.port", self.server)), PATIENCE)
        self.addCleanup(connection.close)
        return connection

    def test_echo(self):
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        self.assertEqual(self.rpc.call("server.address", self.server), "127.0.0.1")
        connection = self.connect()
        event = self.rpc.event("server.newConnection", self.server)
        self.assertEqual((event["pending"], event["state"], event["isOpen"]), (1, "Listening", True))
        self.assertIs(self.rpc.call("server.hasPendingConnections", self.server), True)
        handle = self.rpc.call("server.nextPendingConnection", self.server)
        self.assertEqual(self.rpc.call("socket.state", handle), "Connected")
        self.assertIsNone(self.rpc.call("server.nextPendingConnection", self.server))
        connection.sendall(b"ping\n")
        self.rpc.event("socket.lineAvailable", handle)
        line = self.rpc.call("socket.readLine", handle)
        self.rpc.call("socket.write", handle, line["data"], line["encoding"])
        self.assertEqual(receive_exactly(connection, 5), b"ping\n")

    def test_data_that_came_before_the_socket_was_taken(self):
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        connection = self.connect()
        connection.sendall(b"early")
        self.rpc.event("server.newConnection", self.server)
        handle = self.rpc.call("server.nextPendingConnection", self.server)
        # Its events come after the answer that tells its number.
        self.assertEqual(self.rpc.take_events(handle), [])
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(decoded(self.rpc.call("socket.readAll", handle)), b"early")

    def test_state_and_errors(self):
        self.assertEqual((self.rpc.call("server.isListening", self.server), self.rpc.call("server.port", self.server), self.rpc.call("server.address", self.server),
                          self.rpc.call("server.descriptor", self.server), self.rpc.call("server.error", self.server)), (False, 0, None, -1, "NoError"))
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        self.assertError(self.rpc.error("tcpServer.listen", self.server), -32000, "OperationError")
        other = self.rpc.call("tcpServer.create")
        error = self.rpc.error("tcpServer.listen", other, "127.0.0.1", self.rpc.call("server.port", self.server))
        self.assertError(error, -32000, "AddressInUseError")
        self.assertEqual(error["data"]["errnoName"], "EADDRINUSE")
        self.assertEqual(self.rpc.call("server.error", other), "AddressInUseError")
        self.rpc.call("server.close", self.server)
        self.assertIs(self.rpc.call("server.isListening", self.server), False)

    def test_limits_of_the_queue(self):
        server = self.rpc.call("tcpServer.create", {"maxPendingConnections": 2, "listenBacklog": 7})
        self.assertEqual(self.rpc.call("server.maxPendingConnections", server), 2)
        self.assertEqual(self.rpc.call("server.listenBacklog", server), 7)
        self.rpc.call("server.setListenBacklog", server, 9)
        self.rpc.call("server.setMaxPendingConnections", server, 3)
        self.assertEqual((self.rpc.call("server.maxPendingConnections", server), self.rpc.call("server.listenBacklog", server)), (3, 9))

    def test_waiting(self):
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        self.assertEqual(self.rpc.call("server.waitForNewConnection", self.server), {"available": False, "timedOut": True})
        self.assertEqual(self.rpc.call("server.waitForNewConnection", self.server, 20), {"available": False, "timedOut": True})
        number = self.rpc.request("server.waitForNewConnection", self.server, -1)
        self.assertTrue(self.rpc.is_alive())
        self.connect()
        self.assertEqual(self.rpc.answer(number)["result"], {"available": True, "timedOut": False})
        self.assertEqual(self.rpc.call("server.waitForNewConnection", self.server), {"available": True, "timedOut": False})

    def test_pausing(self):
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        self.rpc.call("server.pauseAccepting", self.server)
        self.connect()
        self.assertTrue(self.rpc.is_alive())
        self.assertIs(self.rpc.call("server.hasPendingConnections", self.server), False)
        self.rpc.call("server.resumeAccepting", self.server)
        self.rpc.event("server.newConnection", self.server)

    def test_dual_stack(self):
        self.rpc.call("tcpServer.listen", self.server)
        port = self.rpc.call("server.port", self.server)
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, port), PATIENCE):
                self.rpc.event("server.newConnection", self.server)

    def test_many_clients(self):
        self.rpc.call("tcpServer.listen", self.server, "127.0.0.1")
        self.rpc.call("server.setMaxPendingConnections", self.server, 200)
        connections = [self.connect() for _ in range(100)]
        for connection in connections:
            connection.sendall(b"%d\n" % connection.getsockname()[1])
        for _ in connections:
            self.assertTrue(self.rpc.call("server.waitForNewConnection", self.server, 10000)["available"])
            handle = self.rpc.call("server.nextPendingConnection", self.server)
            self.rpc.call("socket.waitForReadyRead", handle)
            self.assertEqual(decoded(self.rpc.call("socket.readLine", handle)), b"%d\n" % self.rpc.call("socket.peerPort", handle))
            self.rpc.call("handle.destroy", handle)
        for connection in connections:
            self.assertEqual(connection.recv(1), b"")


class LocalSockets(TestCase):
    def setUp(self):
        self.tmp = self.folder()
        self.rpc = self.stdio(env={**os.environ, "TMPDIR": self.tmp})

    def test_server_and_client(self):
        server = self.rpc.call("localServer.create")
        self.rpc.call("localServer.setSocketOptions", server, ["User"])
        self.assertEqual(self.rpc.call("localServer.socketOptions", server), ["User"])
        self.rpc.call("localServer.listen", server, "name")
        self.assertEqual(self.rpc.call("localServer.serverName", server), "name")
        path = self.rpc.call("localServer.fullServerName", server)
        self.assertEqual(path, os.path.join(self.tmp, "name"))
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o700)
        client = self.rpc.call("localSocket.create")
        self.rpc.call("localSocket.connectToServer", client, "name")
        self.assertEqual((self.rpc.call("localSocket.serverName", client), self.rpc.call("localSocket.fullServerName", client)), ("name", path))
        credentials = self.rpc.call("localSocket.peerCredentials", client)
        self.assertEqual(credentials, {"pid": self.rpc.process.pid, "uid": os.getuid(), "gid": os.getgid()})
        self.rpc.event("server.newConnection", server)
        accepted = self.rpc.call("server.nextPendingConnection", server)
        self.assertEqual(self.rpc.call("handle.kind", accepted), "LocalSocket")
        self.rpc.call("socket.write", client, "over")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", accepted), True)
        self.assertEqual(decoded(self.rpc.call("socket.readAll", accepted)), b"over")
        self.rpc.call("localSocket.disconnectFromServer", client)
        self.rpc.event("socket.disconnected", accepted)
        self.rpc.call("server.close", server)
        self.assertFalse(os.path.exists(path))

    def test_abstract_names(self):
        name = "sluice-test-%d" % os.getpid()
        server, client = self.rpc.call("localServer.create"), self.rpc.call("localSocket.create")
        for handle, noun in ((server, "localServer"), (client, "localSocket")):
            self.rpc.call(noun + ".setSocketOptions", handle, "AbstractNamespace")
        self.rpc.call("localServer.listen", server, name)
        self.rpc.call("localSocket.connectToServer", client, name)
        self.assertEqual(self.rpc.call("socket.state", client), "Connected")
        self.assertFalse(os.path.exists(os.path.join(self.tmp, name)))

    def test_remove_server(self):
        path = os.path.join(self.tmp, "dead")
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(path)
        dead.close()
        self.assertIs(self.rpc.call("localServer.removeServer", "dead"), True)
        self.assertFalse(os.path.exists(path))
        server = self.rpc.call("localServer.create")
        self.rpc.call("localServer.listen", server, "live")
        self.assertIs(self.rpc.call("localServer.removeServer", "live"), False)
        self.assertTrue(os.path.exists(os.path.join(self.tmp, "live")))

    def test_nobody_there(self):
        client = self.rpc.call("localSocket.create")
        self.rpc.call("localSocket.setServerName", client, "nobody")
        answer = self.rpc.ask("localSocket.connectToServer", client)
        if "result" in answer:
            error = self.rpc.event("socket.errorOccurred", client)
        else:
            error = answer["error"]["data"]
        self.assertEqual((error["error"], error["errnoName"]), ("HostNotFoundError", "ENOENT"))


if __name__ == "__main__":
    unittest.main()
