"""The asyncio face against the real sidecar."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
import subprocess
import tempfile
import unittest
from typing import Any, List

from support import LIMIT, SIDECAR

import sluice
from sluice import aio

MS = int(LIMIT * 1000)


@unittest.skipIf(SIDECAR is None, "there is no sluiced")
class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.session = await aio.start(SIDECAR)
        self.addAsyncCleanup(self.session.close)

    async def test_a_connection(self) -> None:
        async with self.session.listen_tcp("127.0.0.1") as server:
            async with self.session.connect_tcp("localhost", await server.port(), MS) as client:
                async with await server.accept(MS) as accepted:
                    await client.sendall(b"one\ntwo\nthree")
                    await client.disconnect_from_host()
                    self.assertEqual([line async for line in accepted], [b"one\n", b"two\n", b"three"])
                    self.assertIs(await client.state(), sluice.SocketState.UNCONNECTED)

    async def test_a_hundred_at_a_time(self) -> None:
        async def serve(server: aio.TcpServer) -> None:
            for _ in range(100):
                accepted = await server.accept(MS)
                accepted.on_ready_read(echo)

        async def echo(event: sluice.Event) -> None:
            await event.source.write(await event.source.read_all())

        async def ask(number: int, port: int) -> bytes:
            async with self.session.connect_tcp("127.0.0.1", port, MS) as client:
                await client.sendall(b"%05d" % number)
                return await client.read_exactly(5, MS)

        async with self.session.listen_tcp("127.0.0.1") as server:
            serving = asyncio.ensure_future(serve(server))
            port = await server.port()
            answers = await asyncio.gather(*(ask(number, port) for number in range(100)))
            self.assertEqual(answers, [b"%05d" % number for number in range(100)])
            await serving

    async def test_failures_are_the_same_exceptions(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.assertRaises(ConnectionRefusedError) as raised:
            await self.session.connect_tcp("127.0.0.1", port, MS)
        self.assertTrue(raised.exception.attempts)  # type: ignore[attr-defined]
        async with self.session.listen_tcp("127.0.0.1") as server:
            with self.assertRaises(sluice.SocketTimeoutError):
                await server.accept(1)
            with self.assertRaises(sluice.AddressInUseError):
                await self.session.listen_tcp("127.0.0.1", await server.port())

    async def test_cancelling_a_wait(self) -> None:
        async with self.session.listen_tcp("127.0.0.1") as server:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_for_new_connection(-1), 0.01)
            self.assertEqual((await self.session.stats())["waits"], 0)

    async def test_events_as_an_iterator(self) -> None:
        names: List[str] = []
        async with self.session.listen_tcp("127.0.0.1") as server, self.session.tcp_socket() as client:
            events = client.events()
            await client.connect_to_host("127.0.0.1", await server.port())
            async with await server.accept(MS):
                pass
            async for event in events:
                names.append(event.name)
                if event.name == "disconnected":
                    break
        self.assertEqual(names[:5], ["stateChanged", "stateChanged", "hostFound", "stateChanged", "connected"])

    async def test_a_large_transfer_keeps_every_byte(self) -> None:
        data = random.Random(2).randbytes(4 << 20)

        async def receive(server: aio.TcpServer) -> bytes:
            digest = hashlib.sha256()
            async with await server.accept(MS) as accepted:
                async for chunk in accepted.chunks(MS):
                    digest.update(chunk)
            return digest.digest()

        async with self.session.listen_tcp("127.0.0.1") as server:
            receiving = asyncio.ensure_future(receive(server))
            async with self.session.connect_tcp("127.0.0.1", await server.port(), MS) as client:
                await client.sendall(data, -1)
            self.assertEqual(await receiving, hashlib.sha256(data).digest())

    async def test_local_sockets_and_descriptors(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "socket")
            async with self.session.listen_local(path) as server:
                client = await self.session.connect_local(path, MS)
                async with await server.accept(MS) as accepted:
                    self.assertEqual((await accepted.peer_credentials()).uid, os.getuid())
                    with await client.take_descriptor() as taken:
                        taken.sendall(b"past the sidecar")
                        self.assertEqual(await accepted.read_exactly(16, MS), b"past the sidecar")
                await client.destroy()
        ours, theirs = socket.socketpair()
        with ours:
            async with self.session.local_socket() as wrapped:
                await wrapped.set_descriptor(theirs)
                theirs.close()
                await wrapped.sendall(b"x")
                self.assertEqual(ours.recv(1), b"x")

    async def test_a_sidecar_at_a_path(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "sluiced.sock")
            assert SIDECAR is not None
            process = await asyncio.create_subprocess_exec(SIDECAR, "--socket", path, stdout=subprocess.PIPE)
            try:
                assert process.stdout is not None
                self.assertEqual(await process.stdout.readline(), b"READY\n")
                async with aio.connect(path) as session:
                    self.assertEqual(await session.ping([1, None]), [1, None])
            finally:
                process.terminate()
                await process.communicate()


def same(function: Any) -> Any:
    """What the two faces must agree on: the parameters."""
    import inspect

    return [(each.name, each.default) for each in inspect.signature(function).parameters.values()]


class Faces(unittest.TestCase):
    def test_both_have_the_same_names_with_the_same_parameters(self) -> None:
        names = "Session Handle Socket StreamSocket TcpSocket TlsSocket UdpSocket LocalSocket Server TcpServer LocalServer Relay Host Proxies"
        for name in names.split():
            blocking, asynchronous = getattr(sluice, name), getattr(aio, name)
            for member in dir(blocking):
                # Tasks are what futures are in the other face, and iteration has other names.
                if member.startswith("_") or member == "submit":
                    continue
                here, there = getattr(blocking, member), getattr(asynchronous, member)
                if callable(here):
                    self.assertEqual(same(here), same(there), f"{name}.{member}")
        self.assertEqual(same(sluice.start), same(aio.start))
        self.assertEqual(same(sluice.connect), same(aio.connect))


if __name__ == "__main__":
    unittest.main()
