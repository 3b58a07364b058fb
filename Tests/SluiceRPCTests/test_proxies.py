"""Proxies, name lookups and interfaces."""
import os
import socket
import threading
import unittest

from support import PATIENCE, Peer, TestCase, receive_exactly


class HTTPProxy:
    """Connects its first client to where it asks to be, after it has asked for credentials, if it does."""

    def __init__(self, case, credentials=None):
        self.peer = Peer(case)
        self.port = self.peer.port
        self.requests = []
        self.credentials = credentials
        self.case = case
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.thread.join, PATIENCE)
        # Ends an accept that goes on; closing would not.
        case.addCleanup(self.end)

    def end(self):
        self.peer.listener.shutdown(socket.SHUT_RDWR)

    def run(self):
        try:
            while True:
                client, _ = self.peer.listener.accept()
                client.settimeout(PATIENCE)
                if self.serve(client):
                    return
                client.close()
        except OSError:
            pass

    def serve(self, client):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = client.recv(1)
            if not piece:
                return False
            head += piece
        self.requests.append(head)
        if self.credentials and b"Proxy-Authorization: Basic " + self.credentials not in head:
            client.sendall(b'HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm="here"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
            return False
        host, port = head.split(b" ")[1].decode().rsplit(":", 1)
        target = socket.create_connection((host.strip("[]"), int(port)), PATIENCE)
        client.sendall(b"HTTP/1.1 200 Yes\r\n\r\n")
        data = client.recv(100)
        target.sendall(data)
        client.sendall(target.recv(100))
        client.close()
        target.close()
        return True


class Proxies(TestCase):
    def setUp(self):
        self.rpc = self.stdio(env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")})

    def through(self, proxy, handle, target):
        self.rpc.call("socket.setProxy", handle, {"type": "Http", "host": "127.0.0.1", "port": proxy.port})
        self.rpc.call("socket.connectToHost", handle, "127.0.0.1", target.port)

    def exchange(self, handle, target):
        connection = target.accept()
        self.rpc.call("socket.write", handle, "question")
        self.assertEqual(receive_exactly(connection, 8), b"question")
        connection.sendall(b"answer")
        self.assertIs(self.rpc.call("socket.waitForReadyRead", handle), True)
        self.assertEqual(self.rpc.call("socket.readAll", handle)["data"], "answer")

    def test_values(self):
        handle = self.rpc.call("tcpSocket.create")
        self.assertEqual(self.rpc.call("socket.proxy", handle), {"type": "Default"})
        proxy = {"type": "Socks5", "host": "proxy.invalid", "port": 1080, "user": "me", "password": "secret", "hostNameLookup": False}
        self.rpc.call("socket.setProxy", handle, proxy)
        del proxy["password"]
        self.assertEqual(self.rpc.call("socket.proxy", handle), proxy)
        for bad in ({}, {"type": 9}, {"type": "Nonsense"}, {"type": "Http", "host": 5}, {"type": "Http", "host": "x", "port": "5"}, {"type": "None", "nonsense": 1},
                    {"type": "Http", "host": "x", "port": 5, "hostNameLookup": "yes"}):
            with self.subTest(bad=bad):
                self.assertError(self.rpc.error("socket.setProxy", handle, bad), -32602, "InvalidArgumentError", "proxy")
        for bad in ({"type": "Http"}, {"type": "Http", "host": "x"}, {"type": "Http", "host": "x", "port": 70000}, {"type": "Http", "host": "a b", "port": 5}):
            with self.subTest(bad=bad):
                self.assertError(self.rpc.error("socket.setProxy", handle, bad), -32001, "InvalidArgumentError")
        self.assertEqual(self.rpc.call("socket.proxy", handle), proxy)
        self.rpc.call("socket.setProxy", handle, {"type": "None"})
        local = self.rpc.call("localSocket.create")
        self.assertError(self.rpc.error("socket.setProxy", local, proxy), -32000, "UnsupportedSocketOperationError")
        server = self.rpc.call("tcpServer.create")
        self.rpc.call("server.setProxy", server, proxy)
        self.assertEqual(self.rpc.call("server.proxy", server), proxy)

    def test_the_application_s(self):
        self.assertEqual(self.rpc.call("proxy.application"), {"type": "None"})
        self.rpc.call("proxy.setApplication", {"type": "Http", "host": "proxy.invalid", "port": 3128})
        self.assertEqual(self.rpc.call("proxy.application"), {"type": "Http", "host": "proxy.invalid", "port": 3128, "hostNameLookup": True})
        self.assertError(self.rpc.error("proxy.setApplication", {"type": "Http"}), -32001, "InvalidArgumentError")

    def test_each_client_has_its_own_application(self):
        service = self.service(env={name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")})
        mine, other = self.client(service), self.client(service)
        handle, foreign = mine.call("tcpSocket.create"), other.call("tcpSocket.create")
        # Bound, and nobody listens.
        holder = socket.socket()
        self.addCleanup(holder.close)
        holder.bind(("127.0.0.1", 0))
        mine.call("proxy.setApplication", {"type": "Http", "host": "127.0.0.1", "port": holder.getsockname()[1]})
        later = mine.call("tcpSocket.create")
        for rpc, used, error in ((mine, handle, "ProxyConnectionRefusedError"), (mine, later, "ProxyConnectionRefusedError"), (other, foreign, "HostNotFoundError")):
            rpc.call("socket.connectToHost", used, "target.invalid", 80)
            self.assertIs(rpc.call("socket.waitForConnected", used), False)
            self.assertEqual(rpc.call("socket.error", used), error)
        self.assertEqual(other.call("proxy.application"), {"type": "None"})

    def test_the_system_s(self):
        rpc = self.stdio(env={**os.environ, "ALL_PROXY": "socks5h://proxy.invalid:1080", "NO_PROXY": "direct.invalid", "HTTP_PROXY": "", "HTTPS_PROXY": ""})
        self.assertEqual(rpc.call("proxy.forQuery", "other.invalid", 7000)[0], {"type": "Socks5", "host": "proxy.invalid", "port": 1080, "hostNameLookup": True})
        self.assertEqual(rpc.call("proxy.forQuery", "direct.invalid", 7000), [{"type": "None"}])

    def test_by_way_of_one(self):
        proxy, target = HTTPProxy(self), Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.through(proxy, handle, target)
        self.assertIs(self.rpc.call("socket.waitForConnected", handle), True)
        self.exchange(handle, target)
        self.assertTrue(proxy.requests[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % target.port))

    def test_credentials_that_are_asked_for(self):
        proxy, target = HTTPProxy(self, b"bWU6c2VjcmV0"), Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("handle.subscribe", handle, ["connected", "proxyAuthenticationRequired", "errorOccurred"])
        self.through(proxy, handle, target)
        event = self.rpc.event("socket.proxyAuthenticationRequired", handle)
        self.assertEqual(event["realm"], "here")
        self.assertEqual(event["proxy"], {"type": "Http", "host": "127.0.0.1", "port": proxy.port, "hostNameLookup": True})
        self.rpc.call("socket.authenticateProxy", handle, "me", "secret")
        self.rpc.event("socket.connected", handle)
        self.exchange(handle, target)
        self.assertError(self.rpc.error("socket.authenticateProxy", handle, "me", "secret"), -32000, "OperationError")

    def test_credentials_that_nobody_gives(self):
        proxy, target = HTTPProxy(self, b"bWU6c2VjcmV0"), Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.through(proxy, handle, target)
        self.assertEqual(self.rpc.event("socket.errorOccurred", handle)["error"], "ProxyAuthenticationRequiredError")
        self.assertIn("proxyAuthenticationRequired", self.rpc.take_events(handle))

    def test_giving_up(self):
        proxy, target = HTTPProxy(self, b"bWU6c2VjcmV0"), Peer(self)
        handle = self.rpc.call("tcpSocket.create")
        self.rpc.call("handle.subscribe", handle, "proxyAuthenticationRequired")
        self.through(proxy, handle, target)
        self.rpc.event("socket.proxyAuthenticationRequired", handle)
        wait = self.rpc.request("socket.waitForConnected", handle)
        self.rpc.request("socket.authenticateProxy", handle)
        self.assertIs(self.rpc.answer(wait)["result"], False)
        self.assertEqual(self.rpc.call("socket.error", handle), "ProxyAuthenticationRequiredError")

    def test_the_rules_hold(self):
        rpc = self.stdio("--deny", "127.0.0.1:3128", "--deny", "::1")
        handle, server = rpc.call("tcpSocket.create"), rpc.call("tcpServer.create")
        bad = {"type": "Http", "host": "127.0.0.1", "port": 3128}
        for method, args in (("socket.setProxy", (handle, bad)), ("server.setProxy", (server, {**bad, "type": "Socks5"})), ("proxy.setApplication", (bad,))):
            with self.subTest(method=method):
                self.assertError(rpc.error(method, *args), -32001, "NotPermittedError")
        rpc.call("socket.setProxy", handle, {"type": "Http", "host": "127.0.0.1", "port": 3129})
        self.assertError(rpc.error("socket.connectToHost", handle, "::1", 5), -32001, "NotPermittedError")


class Hosts(TestCase):
    def setUp(self):
        self.rpc = self.stdio()

    def test_lookup(self):
        self.assertIn("127.0.0.1", self.rpc.call("host.lookup", "localhost", "IPv4"))
        self.assertEqual(self.rpc.call("host.lookup", "192.0.2.7"), ["192.0.2.7"])
        self.assertEqual(self.rpc.call("host.lookup", "::1", "IPv6", -1), ["::1"])
        for name, protocol, error in (("", "any", "EmptyHostNameError"), ("none.invalid", "any", "HostNotFoundError"), ("192.0.2.7", "IPv6", "HostNotFoundError"), ("a\0b", "any", "HostNotFoundError"),
                                      ("x" * 100000, "any", "HostNotFoundError")):
            with self.subTest(name=name[:20]):
                self.assertError(self.rpc.error("host.lookup", name, protocol), -32000, error)
        self.assertError(self.rpc.error("host.lookup", "localhost", "any", -2), -32001, "InvalidArgumentError")
        self.assertError(self.rpc.error("host.lookup", 5), -32602, parameter="name")

    def test_cancelling(self):
        number = self.rpc.request("host.lookup", "192.0.2.7")
        self.rpc.send_json({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": number}})
        answer = self.rpc.answer(number)
        self.assertTrue("result" in answer or answer["error"]["code"] == -32800, answer)
        self.rpc.send_json([{"jsonrpc": "2.0", "id": "a", "method": "host.lookup", "params": ["none.invalid"]}, {"jsonrpc": "2.0", "method": "$/cancelRequest", "params": ["a"]}])
        answer, = self.rpc.until(lambda message: isinstance(message, list))
        self.assertEqual(answer["error"]["code"], -32800)
        self.assertEqual(self.rpc.call("session.stats")["waits"], 0)

    def test_many_at_once_and_the_end(self):
        numbers = [self.rpc.request("host.lookup", "localhost" if n % 2 else "127.0.0.1") for n in range(100)]
        self.rpc.end_input()
        answers = {message["id"]: message for message in self.rpc.rest()}
        self.assertEqual({number for number in numbers if "result" in answers[number]}, set(numbers))
        self.assertEqual(self.rpc.wait(), 0)

    def test_interfaces(self):
        interfaces = self.rpc.call("host.interfaces")
        self.assertEqual({each["name"]: each["index"] for each in interfaces}, {name: index for index, name in socket.if_nameindex()})
        loopback, = [each for each in interfaces if each["name"] == "lo"]
        self.assertEqual(sorted(loopback), ["addresses", "flags", "index", "name"])
        self.assertIn("127.0.0.1", loopback["addresses"])
        self.assertLessEqual({"IsUp", "IsLoopBack"}, set(loopback["flags"]))


if __name__ == "__main__":
    unittest.main()
