"""Proxies, names and interfaces, in both faces."""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
import socketserver
import threading
import unittest
from typing import Any, List, Tuple

from support import LIMIT, MS, SIDECAR, Case

import sluice
from sluice import Proxy, ProxyType, aio


def relay(one: socket.socket, other: socket.socket) -> None:
    """Moves bytes one way until its end."""
    try:
        while True:
            chunk = one.recv(65536)
            if not chunk:
                break
            other.sendall(chunk)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # The other way has ended too.


class _HttpProxy(socketserver.BaseRequestHandler):
    """HTTP CONNECT, with user and password where the server has some."""

    def handle(self) -> None:
        server: Any = self.server
        stream = self.request.makefile("rb")
        while True:
            request = stream.readline().decode().split()
            fields = {}
            for line in iter(stream.readline, b"\r\n"):
                if not line:
                    return
                name, _, value = line.decode().partition(":")
                fields[name.lower()] = value.strip()
            wanted = server.credentials and "Basic " + base64.b64encode(server.credentials.encode()).decode()
            server.asked.append(request[1])
            if wanted and fields.get("proxy-authorization") != wanted:
                self.request.sendall(
                    b'HTTP/1.1 407 Who are you?\r\nProxy-Authenticate: Basic realm="tests"\r\nContent-Length: 0\r\n\r\n'
                )
                continue
            # Whatever the name is: it is the proxy that looks it up.
            port = int(request[1].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), LIMIT) as target:
                self.request.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=relay, args=(target, self.request))
                back.start()
                relay(self.request, target)
                back.join(LIMIT)
            return


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, credentials: str) -> None:
        super().__init__(("127.0.0.1", 0), _HttpProxy)
        self.credentials = credentials
        self.asked: List[str] = []


class ProxyCase(Case):
    def proxy(self, credentials: str = "") -> Tuple[_Server, Proxy]:
        server = _Server(credentials)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()

        def end() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        self.addCleanup(end)
        return server, Proxy.http("127.0.0.1", server.server_address[1])

    def target(self) -> Any:
        server = self.session.listen_tcp("127.0.0.1")
        self.addCleanup(server.__exit__, None, None, None)
        return server


class Values(unittest.TestCase):
    def test_a_password_is_not_shown(self) -> None:
        proxy = Proxy.socks5("host", 1080, "user", "secret")
        self.assertNotIn("secret", repr(proxy))
        self.assertNotIn("secret", f"{proxy}")
        self.assertIn("user@host:1080", repr(proxy))


class Connecting(ProxyCase):
    def test_by_way_of_a_proxy(self) -> None:
        server, proxy = self.proxy()
        target = self.target()
        with self.session.tcp_socket() as sock:
            self.assertEqual(sock.proxy(), Proxy())
            sock.set_proxy(proxy)
            self.assertEqual(sock.proxy(), proxy)
            sock.connect_to_host("127.0.0.1", target.port())
            self.assertTrue(sock.wait_for_connected(MS), sock.error_string())
            with target.accept(MS) as accepted:
                sock.sendall(b"through")
                self.assertEqual(accepted.read_exactly(7, MS), b"through")
                accepted.sendall(b"and back")
                self.assertEqual(sock.read_exactly(8, MS), b"and back")
            self.assertEqual(server.asked, [f"127.0.0.1:{target.port()}"])

    def test_user_and_password(self) -> None:
        _, proxy = self.proxy("user:secret")
        target = self.target()
        with self.session.tcp_socket() as sock:
            sock.set_proxy(proxy._replace(user="user", password="secret"))
            self.assertEqual(sock.proxy().password, "")
            sock.connect_to_host("127.0.0.1", target.port())
            self.assertTrue(sock.wait_for_connected(MS), sock.error_string())

    def test_who_is_asked_can_answer(self) -> None:
        _, proxy = self.proxy("user:secret")
        target = self.target()
        with self.session.tcp_socket() as sock:
            asked: List[Tuple[Proxy, str]] = []

            @sock.on("proxyAuthenticationRequired")
            def answer(event: sluice.Event) -> None:
                asked.append((event.proxy, event.realm))
                event.source.authenticate_proxy("user", "secret")

            sock.set_proxy(proxy)
            sock.connect_to_host("127.0.0.1", target.port())
            self.assertTrue(sock.wait_for_connected(MS), sock.error_string())
            self.assertEqual([(each.host, each.port, realm) for each, realm in asked], [(proxy.host, proxy.port, "tests")])

    def test_nobody_answers(self) -> None:
        _, proxy = self.proxy("user:secret")
        target = self.target()
        with self.session.tcp_socket() as sock:
            sock.set_proxy(proxy)
            sock.connect_to_host("127.0.0.1", target.port())
            self.assertFalse(sock.wait_for_connected(MS))
            self.assertIs(sock.error(), sluice.ErrorCode.PROXY_AUTHENTICATION_REQUIRED)
            with self.assertRaises(sluice.OperationError):
                sock.authenticate_proxy("user", "secret")

    def test_a_proxy_that_is_not_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        with self.session.tcp_socket() as sock:
            sock.set_proxy(Proxy.socks5("127.0.0.1", port))
            sock.connect_to_host("127.0.0.1", 9)
            with self.assertRaises(sluice.ProxyConnectionRefusedError):
                sock._require(sock.wait_for_connected(MS))

    def test_for_the_whole_application(self) -> None:
        server, proxy = self.proxy()
        target = self.target()
        self.assertEqual(self.session.proxy.application().type, ProxyType.NONE)
        self.session.proxy.set_application(proxy)
        self.assertEqual(self.session.proxy.application(), proxy)
        with self.session.connect_tcp("target.example", target.port(), MS):
            self.assertEqual(server.asked, [f"target.example:{target.port()}"])
        # This machine is reached without it.
        with self.session.connect_tcp("127.0.0.1", target.port(), MS):
            self.assertEqual(len(server.asked), 1)
        with self.session.tcp_socket() as straight:
            straight.set_proxy(Proxy.none())
            straight.connect_to_host("target.invalid", target.port())
            self.assertFalse(straight.wait_for_connected(MS))
            self.assertIs(straight.error(), sluice.ErrorCode.HOST_NOT_FOUND)

    def test_misuse(self) -> None:
        with self.session.tcp_socket() as sock, self.session.local_socket() as local:
            with self.assertRaises(TypeError):
                sock.set_proxy("http://127.0.0.1:3128")  # type: ignore[arg-type]
            for wrong in (Proxy(ProxyType.HTTP), Proxy.http("host", 0), Proxy.socks5("", 1080), Proxy.http("host", 70000)):
                with self.assertRaises(sluice.SluiceError):
                    sock.set_proxy(wrong)
            with self.assertRaises(sluice.UnsupportedSocketOperationError):
                local.set_proxy(Proxy.http("host", 8080))


class Queries(unittest.TestCase):
    @unittest.skipIf(SIDECAR is None, "there is no sluiced")
    def test_what_the_environment_says(self) -> None:
        before = {name: os.environ.get(name) for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY")}

        def restore() -> None:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

        self.addCleanup(restore)
        for name in before:
            os.environ.pop(name, None)
        os.environ["all_proxy"] = "socks5h://proxy.example:1080"
        os.environ["no_proxy"] = "example.org"
        with sluice.start(SIDECAR) as session:
            self.assertEqual(session.proxy.for_query("example.net", 7000), [Proxy.socks5("proxy.example", 1080)])
            self.assertEqual([each.type for each in session.proxy.for_query("www.example.org", 7000)], [ProxyType.NONE])


class Names(Case):
    def test_addresses_of_names(self) -> None:
        host = self.session.host
        for address in host.lookup("localhost"):
            self.assertTrue(ipaddress.ip_address(address).is_loopback)
        self.assertEqual(host.lookup("127.0.0.1"), ["127.0.0.1"])
        self.assertEqual(host.lookup("localhost", sluice.NetworkProtocol.IPV4), ["127.0.0.1"])
        with self.assertRaises(sluice.HostNotFoundError):
            host.lookup("does-not-exist.invalid")
        with self.assertRaises(sluice.EmptyHostNameError):
            host.lookup("")

    def test_interfaces(self) -> None:
        loopback = [each for each in self.session.host.interfaces() if each.name == "lo"]
        self.assertEqual([each.index for each in loopback], [socket.if_nametoindex("lo")])
        self.assertIn(sluice.InterfaceFlags.IS_LOOPBACK, loopback[0].flags)
        self.assertIn("127.0.0.1", loopback[0].addresses)


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_names_and_proxies(self) -> None:
        async with aio.start(SIDECAR) as session:
            self.assertEqual(await session.host.lookup("127.0.0.1"), ["127.0.0.1"])
            self.assertTrue(await session.host.interfaces())
            self.assertIs((await session.proxy.application()).type, ProxyType.NONE)


if __name__ == "__main__":
    unittest.main()
