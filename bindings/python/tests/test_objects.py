"""The object model: properties, their events, JSON, sockets that connect by themselves, and sockets without a descriptor."""

from __future__ import annotations

import itertools
import json
import socket
import unittest
from typing import Any, Dict, List, Optional

from support import LIMIT, MS, SIDECAR, Case, Scripted

import sluice
from sluice import aio

DEFAULTS: Dict[str, Any] = {
    "autoConnect": True,
    "sendBufferSize": 0,
    "receiveBufferSize": 0,
    "readBufferSize": 0,
    "writeBufferSize": 0,
    "connectTimeout": 60000,
    "closeTimeout": 60000,
    "idleTimeout": 0,
    "objectId": "",
    "state": "Unconnected",
    "error": "NoError",
    "bytesAvailable": 0,
    "bytesToWrite": 0,
    "canReadLine": False,
    "atEnd": True,
    "isOpen": False,
    "isReadable": False,
    "isWritable": False,
}
STREAM: Dict[str, Any] = {"allowHalfOpen": False}
LOCAL: Dict[str, Any] = {"serverName": ""}
INTERNET: Dict[str, Any] = {
    "hostname": "",
    "port": -1,
    "protocol": "AnyIP",
    "proxyTimeout": 30000,
    "keepAlive": False,
    "lowDelay": False,
    "typeOfService": 0,
    "multicastLoopback": False,
    "multicastTtl": 0,
    "pathMtu": 0,
}

# So that nobody waits long for a second attempt.
SOON = {"first": 1, "ceiling": 10, "jitter": 0}


def next_event(events: sluice.EventQueue, name: str) -> sluice.Event:
    while True:
        event = events.get(MS)
        if event is None:
            raise AssertionError(f"{name} did not come")
        if event.name == name:
            return event


class Properties(Case):
    def test_every_kind_has_them_with_their_first_values(self) -> None:
        kinds: List[Any] = [
            (self.session.tcp_socket, {**DEFAULTS, **STREAM, **INTERNET}),
            (self.session.udp_socket, {**DEFAULTS, **INTERNET}),
            (self.session.local_socket, {**DEFAULTS, **STREAM, **LOCAL}),
        ]
        for make, expected in kinds:
            with make() as sock:
                properties = sock.properties()
                self.assertEqual(set(properties), {*expected, "reconnectDelay", "errorString"})
                for name, value in expected.items():
                    with self.subTest(kind=type(sock).__name__, property=name):
                        self.assertEqual(properties[name], value)
                        self.assertEqual(sock.property(name), value)
                self.assertEqual(set(properties["reconnectDelay"]), {"first", "ceiling", "jitter"})

    def test_what_is_set_is_read_back_and_told(self) -> None:
        with self.session.tcp_socket() as sock:
            told: List[Any] = []
            sock.subscribe("all")
            self.session.add_event_listener(lambda handle, name, values: told.append((name, values.get("name"), values.get("value"))))
            for name, value in (
                ("readBufferSize", 4096),
                ("allowHalfOpen", True),
                ("connectTimeout", 5000),
                ("keepAlive", True),
                ("objectId", "one"),
                ("protocol", "IPv4"),
                ("reconnectDelay", {"first": 5, "ceiling": 50, "jitter": 0}),
                ("autoConnect", False),
                ("hostname", "example.invalid"),
                ("port", 7),
            ):
                sock.set_property(name, value)
                self.assertEqual(sock.property(name), value)
                self.assertIn(("propertyChanged", name, value), told)
            self.assertEqual(sock.read_buffer_size(), 4096)
            told.clear()
            sock.set_property("readBufferSize", 4096)
            self.assertEqual(told, [], "nothing has changed")
            sock.set_read_buffer_size(8192)
            self.assertEqual(told, [("propertyChanged", "readBufferSize", 8192)])
            sock.connect_to_host("127.0.0.1", 0)
            self.assertEqual((sock.property("hostname"), sock.property("port")), ("example.invalid", 7))

    def test_the_event_by_its_members(self) -> None:
        with self.session.tcp_socket() as sock:
            events = sock.events()
            sock.on_property_changed(lambda event: None)
            sock.set_property("closeTimeout", 5)
            event = next_event(events, "propertyChanged")
            self.assertEqual((event.property_name, event.property_value, event.source), ("closeTimeout", 5, sock))

    def test_all_or_none(self) -> None:
        with self.session.tcp_socket() as sock:
            sock.set_properties({"readBufferSize": 10, "objectId": "named"})
            before = sock.properties()
            for wrong in (
                {"readBufferSize": 20, "unknown": 1},
                {"readBufferSize": 20, "connectTimeout": "soon"},
                {"readBufferSize": 20, "state": "Connected"},
                {"readBufferSize": 20, "closeTimeout": -5},
                {"readBufferSize": 20, "protocol": "IPv5"},
                {"readBufferSize": 20, "port": 70000},
                {"readBufferSize": 20, "reconnectDelay": {"second": 1}},
                {"readBufferSize": 20, "hostname": 5},
                {"readBufferSize": None},
            ):
                with self.subTest(wrong), self.assertRaises(sluice.SluiceError):
                    sock.set_properties(wrong)
                self.assertEqual(sock.properties(), before)

    def test_mistakes_name_the_property(self) -> None:
        with self.session.tcp_socket() as sock:
            for name, value in (("colour", 1), ("state", "Connected"), ("port", "80")):
                with self.assertRaisesRegex(sluice.SluiceError, name):
                    sock.set_property(name, value)
            with self.assertRaisesRegex(sluice.SluiceError, "colour"):
                sock.property("colour")
            with self.assertRaisesRegex(sluice.SluiceError, "colour"):
                self.session.tcp_socket({"colour": 1})

    def test_a_name_belongs_to_one(self) -> None:
        with self.session.tcp_socket({"objectId": "one"}), self.session.tcp_socket() as other:
            with self.assertRaisesRegex(sluice.SluiceError, "one"):
                other.set_property("objectId", "one")
            other.set_property("objectId", "two")


class Json(Case):
    def test_there_and_back(self) -> None:
        with self.session.tcp_socket() as one, self.session.tcp_socket() as two:
            one.set_properties({"readBufferSize": 100, "allowHalfOpen": True, "hostname": "h", "autoConnect": False})
            text = one.to_json()
            self.assertEqual(json.loads(text)["readBufferSize"], 100)
            events = two.events()
            two.from_json(text)
            next_event(events, "completed")
            self.assertEqual(two.properties(), one.properties())

    def test_a_graph(self) -> None:
        with self.session.tcp_socket({"objectId": "tcp"}) as one, self.session.udp_socket({"objectId": "udp"}) as two:
            with self.session.tcp_socket() as nameless:
                graph = json.loads(nameless.to_json(graph=True))
            self.assertEqual(set(graph), {"tcp", "udp"})
            graph["tcp"]["connectTimeout"] = 5
            graph["udp"]["closeTimeout"] = 6
            one.from_json(json.dumps(graph), graph=True)
            self.assertEqual((one.property("connectTimeout"), two.property("closeTimeout")), (5, 6))
            mistakes: List[Any] = [{**graph, "unknown": {}}, {"tcp": {"connectTimeout": 7}, "udp": {"closeTimeout": "x"}}, []]
            for wrong in mistakes:
                with self.assertRaises(sluice.SluiceError):
                    one.from_json(json.dumps(wrong), graph=True)
                self.assertEqual(one.property("connectTimeout"), 5)

    def test_what_is_no_json_is_told(self) -> None:
        with self.session.tcp_socket() as sock:
            for wrong in ("", "{", "[]", "5", '{"unknown": 1}', '{"port": "x"}'):
                with self.subTest(wrong), self.assertRaises(sluice.SluiceError):
                    sock.from_json(wrong)


class AutoConnect(Case):
    def server(self, port: int = 0) -> socket.socket:
        made = socket.create_server(("127.0.0.1", port))
        made.settimeout(LIMIT)
        self.addCleanup(made.close)
        return made

    def accept(self, server: socket.socket) -> socket.socket:
        peer, _ = server.accept()
        peer.settimeout(LIMIT)
        self.addCleanup(peer.close)
        return peer

    def properties(self, server: socket.socket) -> Dict[str, Any]:
        return {"hostname": "127.0.0.1", "port": server.getsockname()[1], "reconnectDelay": SOON}

    def test_made_with_properties_it_connects_by_itself(self) -> None:
        server = self.server()
        with self.session.tcp_socket(self.properties(server)) as sock:
            events = sock.events()
            peer = self.accept(server)
            next_event(events, "completed")
            peer.sendall(b"hello")
            self.assertEqual(sock.read_exactly(5, MS), b"hello")

    def test_only_where_both_are_set_and_it_is_wanted(self) -> None:
        server = self.server()
        properties = self.properties(server)
        for some in ({"hostname": "127.0.0.1"}, {"port": properties["port"]}, {**properties, "autoConnect": False}):
            with self.session.tcp_socket(some) as sock:
                self.session.ping()
                self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)
                sock.set_properties({**properties, "autoConnect": True})
                self.accept(server)

    def test_it_connects_again_and_what_was_written_meanwhile_arrives_once_and_in_order(self) -> None:
        server = self.server()
        with self.session.tcp_socket(self.properties(server)) as sock:
            events = sock.events()
            peer = self.accept(server)
            next_event(events, "connected")
            peer.close()
            port = server.getsockname()[1]
            server.close()
            next_event(events, "disconnected")
            for number in range(100):
                sock.write(b"line %d\n" % number)
            peer = self.accept(self.server(port))
            with peer.makefile("rb") as lines:
                self.assertEqual([next(lines) for _ in range(100)], [b"line %d\n" % number for number in range(100)])
            next_event(events, "connected")

    def test_a_reset_and_a_refusal_are_no_end(self) -> None:
        server = self.server()
        with self.session.tcp_socket(self.properties(server)) as sock:
            events = sock.events()
            peer = self.accept(server)
            next_event(events, "connected")
            port = server.getsockname()[1]
            server.close()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            peer.close()
            while True:
                error: Optional[BaseException] = next_event(events, "errorOccurred").error
                if isinstance(error, sluice.ConnectionRefusedError):
                    break
            self.accept(self.server(port))
            next_event(events, "connected")

    def test_switched_off_it_stays_away(self) -> None:
        server = self.server()
        with self.session.tcp_socket(self.properties(server)) as sock:
            events = sock.events()
            peer = self.accept(server)
            next_event(events, "connected")
            sock.set_property("autoConnect", False)
            peer.close()
            next_event(events, "disconnected")
            self.assertIs(sock.state(), sluice.SocketState.UNCONNECTED)

    def test_a_connection_that_is_idle_is_closed(self) -> None:
        client, peer = self.foreign_pair()
        events = client.events()
        client.set_property("idleTimeout", 1)
        self.assertIsInstance(next_event(events, "errorOccurred").error, sluice.SocketTimeoutError)
        next_event(events, "disconnected")
        self.assertEqual(peer.recv(1), b"")


class Virtual(Case):
    def test_it_shows_what_it_is_told(self) -> None:
        with self.session.tcp_socket() as sock:
            sock.set_peer_name("name")
            sock.set_peer_address("192.0.2.1")
            sock.set_peer_port(7)
            sock.set_local_address("192.0.2.2")
            sock.set_local_port(8)
            sock.set_state(sluice.SocketState.CONNECTING)
            sock.set_error(sluice.ErrorCode.NETWORK)
            sock.set_error_string("told so")
            self.assertEqual((sock.peer_name(), sock.peer_address(), sock.peer_port()), ("name", "192.0.2.1", 7))
            self.assertEqual((sock.local_address(), sock.local_port()), ("192.0.2.2", 8))
            self.assertIs(sock.state(), sluice.SocketState.CONNECTING)
            self.assertEqual((sock.error(), sock.error_string()), (sluice.ErrorCode.NETWORK, "told so"))

    def test_one_with_a_descriptor_cannot_be_told(self) -> None:
        client, _ = self.foreign_pair()
        name = client.peer_name()
        with self.assertRaises(sluice.OperationError):
            client.set_peer_name("other")
        self.assertEqual(client.peer_name(), name)

    def test_misuse(self) -> None:
        with self.session.tcp_socket() as sock:
            with self.assertRaises(sluice.SluiceError):
                sock.set_peer_port(70000)
            with self.assertRaises(sluice.InvalidParametersError):
                sock.set_state("Flying")  # type: ignore[arg-type]


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_a_socket_that_connects_by_itself(self) -> None:
        async with aio.start(SIDECAR) as session, session.listen_tcp("127.0.0.1") as server:
            properties = {"hostname": "127.0.0.1", "port": await server.port(), "reconnectDelay": SOON, "objectId": "client"}
            async with session.tcp_socket(properties) as sock:
                for word in (b"first", b"second"):
                    async with await server.accept(MS) as accepted:
                        await sock.write(word)
                        self.assertEqual(await accepted.read_exactly(len(word), MS), word)
                self.assertEqual(json.loads(await sock.to_json(graph=True))["client"]["hostname"], "127.0.0.1")


class Early(unittest.TestCase):
    """Events that come before the answer that makes their object."""

    def open(self) -> sluice.Session:
        numbers = itertools.count(1)

        def create(self: Scripted, parameters: Any) -> int:
            handle = next(numbers)
            for name in ("stateChanged", "completed", "stateChanged"):
                self.event(f"socket.{name}", handle)
            return handle

        scripts = {"tcpSocket.create": create, "socket.bytesToWrite": lambda self, parameters: 0}
        session = sluice.Session(Scripted(scripts).theirs)
        self.addCleanup(session.close)
        return session

    def test_they_wait_for_who_asks(self) -> None:
        session = self.open()
        for _ in range(2):
            sock = session.tcp_socket({"hostname": "h", "port": 1})
            events = sock.events()
            self.assertEqual({event.name for event in (events.get(MS), events.get(MS)) if event}, {"stateChanged", "completed"})
            sock.destroy()
        self.assertEqual(session._unborn, {})

    def test_callbacks_get_them_too(self) -> None:
        session = self.open()
        with session.tcp_socket({"hostname": "h", "port": 1}) as sock:
            events = sluice.EventQueue()
            sock.on_completed(events.put)
            event = events.get(MS)
            assert event is not None
            self.assertEqual(event.name, "completed")

    def test_or_go_to_the_sessions_queue(self) -> None:
        session = self.open()
        session.queue_events()
        with session.tcp_socket({"hostname": "h", "port": 1}) as sock:
            event = session.next_event(MS)
            assert event is not None
            self.assertIs(event.source, sock)


if __name__ == "__main__":
    unittest.main()
