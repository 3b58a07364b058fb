"""Bytes between two sockets inside the sidecar, in both faces."""

from __future__ import annotations

import os
import socket
import threading
import unittest
from typing import Any, List

from support import LIMIT, MS, SIDECAR, Case

import sluice
from sluice import aio


class Relays(Case):
    def test_both_ways_until_both_have_ended(self) -> None:
        one, first = self.foreign_pair()
        two, second = self.foreign_pair()
        data = os.urandom(3 << 20)
        received: List[bytes] = []

        def read() -> None:
            while True:
                chunk = second.recv(1 << 16)
                if not chunk:
                    return
                received.append(chunk)

        reader = threading.Thread(target=read)
        reader.start()
        with self.session.relay(one, two) as relay:
            events = relay.events()
            first.sendall(data)
            first.shutdown(socket.SHUT_WR)
            reader.join(LIMIT)
            self.assertEqual(b"".join(received), data)
            second.sendall(b"answer")
            second.shutdown(socket.SHUT_WR)
            self.assertEqual(first.recv(100), b"answer")
            self.assertEqual(first.recv(100), b"")
            finished = events.get(MS)
            assert finished is not None
            self.assertEqual((finished.name, finished.counters, finished.error), ("finished", (len(data), 6), None))

    def test_what_came_before_goes_along(self) -> None:
        one, first = self.foreign_pair()
        two, second = self.foreign_pair()
        first.sendall(b"early")
        self.assertTrue(one.wait_for_ready_read(MS))
        with self.session.relay(one, two) as relay:
            self.assertEqual(second.recv(100), b"early")
            self.assertIs(relay.kind(), sluice.ObjectKind.RELAY)
            self.assertEqual(relay.counters(), (5, 0))

    def test_misuse(self) -> None:
        one, _ = self.foreign_pair()
        with self.session.tcp_socket() as idle, self.session.bind_udp("127.0.0.1") as datagrams:
            mistakes: List[Any] = [(one, one), (one, idle), (idle, one), (one, datagrams)]
            for a, b in mistakes:
                with self.assertRaises(sluice.SluiceError):
                    self.session.relay(a, b)
            with self.assertRaises(TypeError):
                self.session.relay(one, 5)  # type: ignore[arg-type]


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def test_a_relay(self) -> None:
        async with aio.start(SIDECAR) as session, session.listen_tcp("127.0.0.1") as server:
            with socket.create_connection(("127.0.0.1", await server.port()), LIMIT) as first:
                one = await server.accept(MS)
                with socket.create_connection(("127.0.0.1", await server.port()), LIMIT) as second:
                    two = await server.accept(MS)
                    async with session.relay(one, two) as relay:
                        first.sendall(b"hello")
                        first.shutdown(socket.SHUT_WR)
                        second.shutdown(socket.SHUT_WR)
                        async for event in relay.events():
                            self.assertEqual(event.counters, (5, 0))
                            break
                    self.assertEqual(second.recv(100), b"hello")


if __name__ == "__main__":
    unittest.main()
