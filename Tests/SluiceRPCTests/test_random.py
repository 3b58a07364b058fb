"""Calls put together at random, from the document of all operations: whatever is asked, each call is answered and nothing breaks."""
import os
import random
import socket
import unittest

from support import Peer, TestCase

STRINGS = ["", "127.0.0.1", "::1", "localhost", "x", "a\0b", "ReadWrite", "LowDelay", "all", "utf8", "base64", "push", "lines", "pull", "aGk=", "ä\U0001f600", "/", "n" * 200,
           "readBufferSize", "Connected", "User|Group", "none.invalid", "239.255.0.7", "lo", "hostname", "objectId", "descriptor",
           '{"hostname":"127.0.0.1","readBufferSize":9}', '{"a":{"lowDelay":true}}']
NUMBERS = [-2, -1, 0, 1, 2, 3, 5, 80, 255, 256, 65535, 65536, 1 << 31, 1 << 62, -(1 << 63), 1.5, 2.0]


class RandomCalls(TestCase):
    def value(self, chance, schema, handles):
        kind = chance.randrange(10)
        if kind == 0:
            return chance.choice([None, True, False, [], {}, [1, "x"], {"a": 1}, chance.choice(STRINGS), chance.choice(NUMBERS)])
        if "anyOf" in schema:
            return self.value(chance, chance.choice(schema["anyOf"]), handles)
        if "enum" in schema:
            return chance.choice(schema["enum"])
        types = schema.get("type", "string")
        if types == "array" and "$ref" in schema["items"]:
            return [{"data": chance.choice(STRINGS), "encoding": chance.choice(["utf8", "base64"]), "address": chance.choice(["127.0.0.1", "::1", "localhost", ""]),
                     "port": chance.choice([self.port, 0, 65535])} for _ in range(chance.randrange(4))]
        if types == "array":
            return [chance.choice(schema["items"]["enum"]) for _ in range(chance.randrange(3))]
        if types == "object":
            properties = {chance.choice(["readBufferSize", "allowHalfOpen", "lowDelay", "connectTimeout", "listenBacklog", "idleTimeout", "objectId", "incoming", "x"]):
                          chance.choice([0, 1, 100, True, "x", "descriptor"])}
            if chance.randrange(6) == 0:
                properties = {"hostname": "127.0.0.1", "port": self.port, "reconnectDelay": {"first": 1, "ceiling": 5}}
            return properties
        if types == "integer" or "integer" in types:
            return chance.choice(NUMBERS) if chance.randrange(3) else chance.choice([0, 1, 10, self.port])
        return chance.choice(STRINGS)

    def test_anything(self):
        for seed in range(6):
            with self.subTest(seed=seed):
                self.run_with(random.Random(seed))

    def run_with(self, chance):
        peer = Peer(self)
        self.port = peer.port
        rpc = self.stdio("--max-handles", "50", "--deny", "*:1-1023", env={**os.environ, "TMPDIR": self.folder()})
        methods = [m for m in rpc.call("rpc.discover")["methods"] if m["name"] not in ("session.shutdown", "rpc.discover")]
        open_calls = {}
        handles = []
        peers = []
        for number in range(3000):
            method = chance.choice(methods)
            if not handles or chance.randrange(20) == 0:
                method = chance.choice([m for m in methods if m["name"].endswith(".create")])
            params = {}
            for parameter in method["params"]:
                name = parameter["name"]
                if name == "handle":
                    params[name] = chance.choice(handles) if handles and chance.randrange(20) else chance.choice(NUMBERS)
                elif name == "timeout":
                    params[name] = chance.choice([0, 1, 5])
                elif parameter["required"] or chance.randrange(2):
                    params[name] = self.value(chance, parameter["schema"], handles)
            if method["name"] == "socket.connectToHost" and chance.randrange(2):
                params.update(host="127.0.0.1", port=self.port)
            message = {"jsonrpc": "2.0", "method": method["name"], "params": list(params.values()) if chance.randrange(4) == 0 else params}
            if chance.randrange(15):
                message["id"] = number
                open_calls[number] = method["name"]
            rpc.send_json([message] if chance.randrange(10) == 0 else message)
            if chance.randrange(30) == 0 and open_calls:
                rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": chance.choice(list(open_calls))}})
            if number % 25 == 24:
                self.settle(rpc, open_calls, handles)
                self.talk(chance, peer, peers)
        self.settle(rpc, open_calls, handles)
        self.assertTrue(rpc.is_alive())
        rpc.end_input()
        # What the sidecar has accepted it sends, for half a minute if need be: a peer that is gone takes nothing.
        for connection in [*peers, peer.listener]:
            connection.close()
        self.assertEqual([m for m in rpc.rest() if "id" in m], [])
        self.assertEqual(rpc.wait(), 0)

    def settle(self, rpc, open_calls, handles):
        """Reads until all calls are answered."""
        while open_calls:
            message = rpc.message()
            for answer in message if isinstance(message, list) else [message]:
                if "id" not in answer:
                    continue
                self.assertIn(answer["id"], open_calls)
                name = open_calls.pop(answer["id"])
                self.assertEqual("result" in answer, "error" not in answer)
                if "error" in answer:
                    self.assertIn(answer["error"]["code"], (-32602, -32000, -32001, -32800), (name, answer))
                elif (name.endswith(".create") or name == "server.nextPendingConnection") and answer["result"]:
                    # One that was put into a server's queue comes back under its own number.
                    self.assertTrue(name == "server.nextPendingConnection" or answer["result"] not in handles)
                    handles.append(answer["result"])
        del handles[:-60]

    def talk(self, chance, peer, peers):
        """Something for the sockets to receive."""
        peer.listener.setblocking(False)
        try:
            while True:
                connection, _ = peer.listener.accept()
                connection.setblocking(False)
                self.addCleanup(connection.close)
                peers.append(connection)
        except BlockingIOError:
            pass
        for connection in peers[-5:]:
            try:
                kind = chance.randrange(4)
                if kind == 0:
                    connection.send(b"text\nlines\n\xff")
                elif kind == 1:
                    connection.recv(1000)
                elif kind == 2:
                    connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass


if __name__ == "__main__":
    unittest.main()
