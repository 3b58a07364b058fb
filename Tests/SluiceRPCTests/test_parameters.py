"""Every operation of the table refuses what it does not take, says what is wrong, and does no harm."""
import json
import subprocess
import unittest

from support import PATIENCE, ROOT, SLUICED, Peer, TestCase, connected

#: A value of each JSON type, to be tried where it does not belong.
VALUES = {"integer": 5, "string": "text", "boolean": True, "array": [1], "object": {"a": 1}, "number": 1.5}


def document():
    return json.loads(subprocess.run([SLUICED, "--openrpc"], stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout)


def accepted_types(schema):
    if "anyOf" in schema:
        return {kind for part in schema["anyOf"] for kind in accepted_types(part)}
    kind = schema.get("type")
    return set(VALUES) if kind is None else set(kind) if isinstance(kind, list) else {kind}


class Table(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.methods = {method["name"]: method for method in document()["methods"]}

    def setUp(self):
        self.rpc = self.stdio()
        self.handles = {noun: self.rpc.call(noun + ".create") for noun in ("tcpSocket", "udpSocket", "tlsSocket", "localSocket", "tcpServer", "localServer")}
        peer = Peer(self)
        self.handles["relay"] = self.rpc.call("relay.create", connected(self.rpc, peer)[0], connected(self.rpc, peer)[0])

    def handle_for(self, name):
        noun = name.split(".")[0]
        return self.handles[{"socket": "tcpSocket", "server": "tcpServer", "handle": "tcpSocket"}.get(noun, noun)]

    def good_values(self, method):
        """A value of the right type for each required parameter."""
        values = {}
        for parameter in method["params"]:
            if parameter["name"] == "handle":
                values["handle"] = self.handle_for(method["name"])
            elif parameter["required"]:
                values[parameter["name"]] = self.good_value(parameter["schema"])
        return values

    def good_value(self, schema):
        if "anyOf" in schema:
            return self.good_value(schema["anyOf"][0])
        if "enum" in schema:
            return schema["enum"][0]
        return {"string": "x", "object": {}, "array": []}.get(str(schema.get("type")), 1)

    def checked_methods(self):
        for name, method in self.methods.items():
            if name not in ("echo", "session.shutdown"):
                yield name, method

    def test_what_the_operations_file_lists_is_there(self):
        expected = """
            tcpSocket.create udpSocket.create localSocket.create handle.destroy handle.kind handle.subscribe
            socket.connectToHost socket.disconnectFromHost socket.abort socket.close socket.shutdownWrite socket.bind socket.setDescriptor socket.descriptor
            socket.takeDescriptor socket.state socket.error socket.errorString socket.socketType socket.openMode socket.isValid socket.isOpen
            socket.isReadable socket.isWritable socket.isSequential socket.localAddress socket.localPort socket.peerAddress socket.peerPort socket.peerName
            socket.bytesAvailable socket.bytesToWrite socket.atEnd socket.canReadLine socket.read socket.readAll socket.readLine socket.peek socket.peekAll
            socket.skip socket.getChar socket.putChar socket.ungetChar socket.write socket.flush socket.sync socket.readBufferSize socket.setReadBufferSize
            socket.writeBufferSize socket.setWriteBufferSize socket.option socket.setOption socket.waitForConnected socket.waitForReadyRead
            socket.waitForBytesWritten socket.waitForDisconnected socket.pauseMode socket.setPauseMode socket.resume socket.properties socket.setProperties
            socket.property socket.setProperty socket.toJson socket.fromJson socket.setDelivery socket.setPeerName socket.setPeerAddress socket.setPeerPort
            socket.setLocalAddress socket.setLocalPort socket.setState socket.setError socket.setErrorString
            udpSocket.writeDatagram udpSocket.writeDatagrams udpSocket.hasPendingDatagrams udpSocket.pendingDatagramSize udpSocket.readDatagram
            udpSocket.readDatagrams udpSocket.joinMulticastGroup udpSocket.leaveMulticastGroup udpSocket.multicastInterface udpSocket.setMulticastInterface
            tlsSocket.create tlsSocket.configuration tlsSocket.setConfiguration tlsSocket.connectToHostEncrypted tlsSocket.startClientEncryption
            tlsSocket.startServerEncryption tlsSocket.waitForEncrypted tlsSocket.isEncrypted tlsSocket.sessionProtocol tlsSocket.sessionCipher
            tlsSocket.negotiatedProtocol tlsSocket.isSessionResumed tlsSocket.sessionTicket tlsSocket.peerCertificate tlsSocket.peerCertificateChain tlsSocket.sslErrors
            tlsSocket.ignoreErrors server.tlsConfiguration server.setTlsConfiguration socket.proxy socket.setProxy socket.authenticateProxy server.proxy server.setProxy
            proxy.application proxy.setApplication proxy.forQuery host.lookup host.interfaces relay.create relay.counters socket.attach
            localSocket.sendDescriptor localSocket.receiveDescriptor server.takeDescriptor server.setIncomingHandler server.addPendingConnection
            localSocket.connectToServer localSocket.disconnectFromServer localSocket.serverName
            localSocket.setServerName localSocket.fullServerName localSocket.socketOptions localSocket.setSocketOptions localSocket.peerCredentials
            tcpServer.create localServer.create tcpServer.listen localServer.listen localServer.removeServer localServer.serverName
            localServer.fullServerName localServer.socketOptions localServer.setSocketOptions server.close server.isListening server.hasPendingConnections
            server.nextPendingConnection server.maxPendingConnections server.setMaxPendingConnections server.listenBacklog server.setListenBacklog
            server.address server.port server.error server.errorString server.descriptor server.setDescriptor server.pauseAccepting
            server.resumeAccepting server.waitForNewConnection session.hello session.ping session.stats session.shutdown rpc.discover echo""".split()
        self.assertEqual(sorted(self.methods), sorted(expected))

    def test_unknown_parameters(self):
        for name, method in self.checked_methods():
            with self.subTest(method=name):
                error = self.rpc.error(name, **self.good_values(method), surplus=1)
                self.assertError(error, -32602, "InvalidArgumentError", "surplus")
                self.assertIn("surplus", error["message"])
                for parameter in method["params"]:
                    self.assertIn(parameter["name"], error["message"])

    def test_too_many_by_position(self):
        for name, method in self.checked_methods():
            with self.subTest(method=name):
                self.assertError(self.rpc.error(name, *[1] * (len(method["params"]) + 1)), -32602)

    def test_missing_parameters(self):
        for name, method in self.checked_methods():
            values = self.good_values(method)
            for missing in [parameter["name"] for parameter in method["params"] if parameter["required"]]:
                with self.subTest(method=name, missing=missing):
                    error = self.rpc.error(name, **{key: value for key, value in values.items() if key != missing}) if len(values) > 1 else self.rpc.error(name)
                    self.assertError(error, -32602, "InvalidArgumentError", missing)
                    self.assertIn('"%s"' % missing, error["message"])

    def test_wrong_types(self):
        for name, method in self.checked_methods():
            values = self.good_values(method)
            for parameter in method["params"]:
                types = accepted_types(parameter["schema"])
                for kind, value in VALUES.items():
                    # An enumeration takes strings and integers, but not these ones.
                    if kind in types and not (kind == "string" and "enum" in str(parameter["schema"]) and parameter["name"] != "events"):
                        continue
                    if kind == "number" and "integer" in types and "number" in types:
                        continue
                    with self.subTest(method=name, parameter=parameter["name"], kind=kind):
                        error = self.rpc.error(name, **{**values, parameter["name"]: value})
                        self.assertError(error, -32602, "InvalidArgumentError", parameter["name"])
                        self.assertIn(parameter["name"], error["message"])
                        self.assertIn("takes", error["message"])

    def test_null(self):
        for name, method in self.checked_methods():
            values = self.good_values(method)
            for parameter in method["params"]:
                if parameter["required"] and parameter["schema"]:
                    with self.subTest(method=name, parameter=parameter["name"]):
                        self.assertError(self.rpc.error(name, **{**values, parameter["name"]: None}), -32602)

    def test_dead_and_foreign_handles(self):
        dead = self.rpc.call("tcpSocket.create")
        self.rpc.call("handle.destroy", dead)
        for name, method in self.checked_methods():
            if not any(parameter["name"] == "handle" for parameter in method["params"]):
                continue
            values = self.good_values(method)
            for handle in (dead, 0, -1, 999999, 9223372036854775807, -9223372036854775808):
                with self.subTest(method=name, handle=handle):
                    error = self.rpc.error(name, **{**values, "handle": handle})
                    self.assertError(error, -32001, "InvalidHandleError")

    def test_wrong_kinds(self):
        wrong = {"socket": "tcpServer", "server": "tcpSocket", "localSocket": "tcpSocket", "udpSocket": "tcpSocket", "tlsSocket": "tcpSocket", "relay": "tcpSocket", "localServer": "tcpServer", "tcpServer": "localServer"}
        for name, method in self.checked_methods():
            noun = name.split(".")[0]
            if noun not in wrong or not any(parameter["name"] == "handle" for parameter in method["params"]):
                continue
            with self.subTest(method=name):
                error = self.rpc.error(name, **{**self.good_values(method), "handle": self.handles[wrong[noun]]})
                self.assertError(error, -32001, "WrongKindError")
                self.assertIn(name, error["message"])

    def test_defaults_and_order_by_position(self):
        socket = self.handles["tcpSocket"]
        self.rpc.call("socket.bind", socket)
        self.assertEqual(self.rpc.call("socket.state", socket), "Bound")
        self.assertGreater(self.rpc.call("socket.localPort", socket), 0)
        self.rpc.call("socket.abort", socket)
        self.rpc.call("socket.bind", socket, None, None, ["ShareAddress"])
        self.rpc.call("socket.abort", socket)
        self.rpc.call("socket.bind", socket, "127.0.0.1", 0, "ShareAddress|ReuseAddressHint")
        self.rpc.call("socket.abort", socket)
        self.rpc.call("socket.bind", handle=socket, bindMode=5, address="::1")
        self.assertEqual(self.rpc.call("socket.localAddress", socket), "::1")

    def test_values_out_of_range(self):
        socket, server = self.handles["tcpSocket"], self.handles["tcpServer"]
        for method, args in (
            ("socket.waitForConnected", (socket, -2)), ("socket.waitForConnected", (socket, 1 << 40)), ("socket.sync", (socket, -5)),
            ("server.waitForNewConnection", (server, -2)), ("socket.setReadBufferSize", (socket, -1)), ("socket.setWriteBufferSize", (socket, -1)),
            ("socket.putChar", (socket, 256)), ("socket.ungetChar", (socket, -1)), ("server.setMaxPendingConnections", (server, 0)),
            ("server.setListenBacklog", (server, 0)), ("socket.setOption", (socket, "TypeOfService", 300)), ("socket.setOption", (socket, "KeepAliveCount", 0)),
            ("session.hello", ("me", 2)), ("socket.setDescriptor", (socket, 1)), ("socket.setDescriptor", (socket, -1)), ("socket.setDescriptor", (socket, 1 << 40)),
        ):
            with self.subTest(method=method, args=args):
                self.assertError(self.rpc.error(method, *args), -32001, "InvalidArgumentError")
        for port in (-1, 65536, 1 << 40, -(1 << 62)):
            with self.subTest(port=port):
                self.assertIn(self.rpc.error("tcpServer.listen", server, "127.0.0.1", port)["data"]["error"], ("PortNumberOutOfRangeError", "InvalidArgumentError"))
                self.assertIn(self.rpc.error("socket.bind", socket, "127.0.0.1", port)["data"]["error"], ("PortNumberOutOfRangeError", "InvalidArgumentError"))
        self.assertError(self.rpc.error("socket.option", socket, "Nonsense"), -32602, parameter="option")
        self.assertError(self.rpc.error("socket.option", socket, 99), -32602, parameter="option")

    def test_bad_names(self):
        tcp, local, server = self.handles["tcpSocket"], self.handles["localSocket"], self.handles["localServer"]
        million = "x" * 1000000
        for host in ("a\0b", million, "\0", "ü" * 500000, "..", "a..b", "1.2.3", "0x7f.1", "[::1]", " ", "::1%nope"):
            with self.subTest(host=host[:10]):
                self.rpc.call("socket.connectToHost", tcp, host, 1)
                error = self.rpc.event("socket.errorOccurred", tcp)
                self.assertIn(error["error"], ("HostNotFoundError", "ConnectionRefusedError", "InvalidArgumentError"))
                self.assertLess(len(error["message"]), 5000)
        for name in ("", "a\0b", million, "/" + million, "/does/not/exist", "/etc/passwd"):
            with self.subTest(name=name[:10]):
                answer = self.rpc.ask("localSocket.connectToServer", local, name)
                if "error" not in answer:
                    self.rpc.event("socket.errorOccurred", local)
                self.assertEqual(self.rpc.call("socket.state", local), "Unconnected")
                self.assertIn("error", self.rpc.ask("localServer.listen", server, name))
                self.assertIs(self.rpc.call("server.isListening", server), False)
        for address in ("a\0b", million, "not.an.address", "300.1.1.1", "192.0.2.1"):
            with self.subTest(address=address[:10]):
                self.assertIn("error", self.rpc.ask("tcpServer.listen", self.handles["tcpServer"], address))
                self.assertIn("error", self.rpc.ask("socket.bind", tcp, address))
        self.assertTrue(self.rpc.is_alive())

    def test_either_name_or_descriptor(self):
        server = self.handles["localServer"]
        self.assertError(self.rpc.error("localServer.listen", server), -32602)
        self.assertError(self.rpc.error("localServer.listen", server, "a", 5), -32602)

    def test_whole_numbers_may_be_written_as_reals(self):
        self.rpc.send(b'{"jsonrpc":"2.0","id":"r","method":"socket.setReadBufferSize","params":[%d.0,1e3]}\n' % self.handles["tcpSocket"])
        self.assertIn("result", self.rpc.answer("r"))
        self.assertEqual(self.rpc.call("socket.readBufferSize", self.handles["tcpSocket"]), 1000)

    def test_the_document_is_the_one_in_the_tree(self):
        with open(ROOT / "bindings" / "openrpc.json") as file:
            self.assertEqual(json.load(file), document(), "make it again: sluiced --openrpc > bindings/openrpc.json")

    def test_the_document_is_what_discover_answers(self):
        self.assertEqual(self.rpc.call("rpc.discover"), document())

    def test_the_document_is_sound(self):
        whole = document()
        self.assertEqual(whole["openrpc"], "1.3.2")
        self.assertTrue(whole["info"]["version"])
        names = [method["name"] for method in whole["methods"]]
        self.assertEqual(len(names), len(set(names)))
        for method in whole["methods"]:
            self.assertTrue(method["summary"], method["name"])
            self.assertIn("schema", method["result"])
            optional = False
            for parameter in method["params"]:
                self.assertTrue(parameter["description"], method["name"])
                self.assertFalse(optional and parameter["required"], "%s: what is required comes first" % method["name"])
                optional = not parameter["required"]
            for error in method.get("errors", []):
                self.assertIn(error["$ref"].split("/")[-1], whole["components"]["errors"])


if __name__ == "__main__":
    unittest.main()
