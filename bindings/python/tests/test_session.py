"""Sessions of both faces against a scripted sidecar: what depends on time, order and the end."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import unittest
import warnings
from typing import Any, List

from support import LIMIT, Refused, Scripted

import sluice
from sluice import aio

MADE = {
    "tcpSocket.create": lambda self, parameters: 1,
    "tcpServer.create": lambda self, parameters: 1,
    "socket.bytesToWrite": lambda self, parameters: 0,
}


def later(self: Scripted, parameters: Any) -> Any:
    return Scripted.LATER


class Blocking(unittest.TestCase):
    def setUp(self) -> None:
        # Most tests leave their objects to the closing session.
        warnings.simplefilter("ignore", ResourceWarning)

    def open(self, answer_timeout: float = LIMIT, **scripts: Any) -> sluice.Session:
        self.sidecar = Scripted({**MADE, **{name.replace("_", ".", 1): script for name, script in scripts.items()}})
        session = sluice.Session(self.sidecar.theirs, answer_timeout=answer_timeout)
        self.addCleanup(session.close)
        return session

    def test_a_request_has_its_method_handle_and_parameters(self) -> None:
        sock = self.open(socket_waitForReadyRead=lambda self, parameters: True).tcp_socket()
        self.assertIs(sock.wait_for_ready_read(timeout=5), True)
        sent = self.sidecar.wait_for("socket.waitForReadyRead")
        self.assertEqual(sent["params"], {"timeout": 5, "handle": 1})

    def test_a_call_raises_its_error_as_an_exception(self) -> None:
        def refuse(self: Scripted, parameters: Any) -> None:
            raise Refused({"code": -32001, "message": "dead", "data": {"error": "InvalidHandleError", "value": 100}})

        sock = self.open(socket_state=refuse).tcp_socket()
        with self.assertRaisesRegex(sluice.InvalidHandleError, "dead"):
            sock.state()

    def test_the_end_of_the_sidecar_fails_all_that_wait_once(self) -> None:
        session = self.open(socket_waitForConnected=later)
        sock = session.tcp_socket()
        answers = [session.submit(sock.wait_for_connected, timeout=-1) for _ in range(3)]
        self.sidecar.wait_for("socket.waitForConnected", 3)
        self.sidecar.hang_up()
        for answer in answers:
            self.assertIsInstance(answer.exception(LIMIT), sluice.SidecarLostError)
        with self.assertRaises(sluice.SidecarLostError):
            sock.state()

    def test_closing_fails_what_waits_and_cancels_it(self) -> None:
        session = self.open(socket_waitForConnected=later)
        answer = session.submit(session.tcp_socket().wait_for_connected)
        self.sidecar.wait_for("socket.waitForConnected")
        session.close()
        self.assertIsInstance(answer.exception(LIMIT), sluice.SessionClosedError)
        self.sidecar.wait_for("$/cancelRequest")
        session.close()
        with self.assertRaises(sluice.SessionClosedError):
            session.ping()

    def test_cancelling_a_future_cancels_the_request(self) -> None:
        session = self.open(socket_waitForConnected=later)
        answer = session.submit(session.tcp_socket().wait_for_connected, timeout=-1)
        request = self.sidecar.wait_for("socket.waitForConnected")
        self.assertTrue(answer.cancel())
        self.assertEqual(self.sidecar.wait_for("$/cancelRequest")["params"], {"id": request["id"]})
        self.sidecar.send({"id": request["id"], "error": {"code": -32800, "message": "cancelled"}})
        session.ping()
        self.assertTrue(answer.cancelled())

    def test_a_sidecar_that_does_not_answer_is_told_from_a_time_out(self) -> None:
        def timed_out(self: Scripted, parameters: Any) -> None:
            raise Refused({"code": -32000, "message": "late", "data": {"error": "SocketTimeoutError", "value": 15}})

        sock = self.open(answer_timeout=0.05, socket_waitForConnected=later, socket_sync=timed_out).tcp_socket()
        with self.assertRaises(sluice.SidecarTimeoutError):
            sock.wait_for_connected(timeout=1)
        self.sidecar.wait_for("$/cancelRequest")
        with self.assertRaises(sluice.SocketTimeoutError):
            sock.sync(timeout=1)

    def test_an_interrupted_wait_is_cancelled_and_the_session_goes_on(self) -> None:
        session = self.open(socket_waitForConnected=later)
        sock = session.tcp_socket()
        main = threading.main_thread().ident
        assert main is not None
        raised = threading.Event()

        def handler(number: int, frame: Any) -> None:
            if not raised.is_set():
                raised.set()
                raise KeyboardInterrupt

        def interrupt() -> None:
            self.sidecar.wait_for("socket.waitForConnected")
            while sys._current_frames()[main].f_code.co_name != "wait":
                pass
            # A signal that comes just before the thread blocks does not wake it.
            while not raised.is_set():
                signal.pthread_kill(main, signal.SIGINT)
                raised.wait(0.01)

        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, handler))
        threading.Thread(target=interrupt).start()
        with self.assertRaises(KeyboardInterrupt):
            sock.wait_for_connected(timeout=-1)
        request = self.sidecar.wait_for("$/cancelRequest")["params"]["id"]
        self.sidecar.send({"id": request, "error": {"code": -32800, "message": "cancelled"}})
        session.ping()

    def test_a_sidecar_that_takes_nothing_is_given_up(self) -> None:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        session = sluice.Session(ours, answer_timeout=0.1)
        self.addCleanup(session.close)
        # Nobody reads: the socket fills up.
        with self.assertRaises(sluice.SidecarError):
            for _ in range(100):
                session.submit(session.ping, "x" * 100_000)
            session.ping()

    def test_a_listener_hears_an_event_before_the_call_returns(self) -> None:
        def connect(self: Scripted, parameters: Any) -> None:
            self.event("socket.stateChanged", 1)

        session = self.open(socket_connectToHost=connect)
        sock = session.tcp_socket()
        heard: List[Any] = []
        session.add_event_listener(lambda handle, name, values: heard.append((handle, name, values["state"])))
        for count in range(1, 50):
            sock.connect_to_host("localhost", 1)
            self.assertEqual(heard, [(1, "stateChanged", "Connected")] * count)

    def test_a_listener_that_makes_a_call_is_stopped_from_waiting_for_itself(self) -> None:
        session = self.open()
        sock = session.tcp_socket()
        raised: List[BaseException] = []

        def listener(handle: int, name: str, values: Any) -> None:
            try:
                sock.state()
            except RuntimeError as error:
                raised.append(error)

        session.add_event_listener(listener)
        self.sidecar.event("socket.connected", 1)
        session.ping()
        self.assertEqual(len(raised), 1)

    def test_a_callback_may_make_calls(self) -> None:
        session = self.open(socket_bytesAvailable=lambda self, parameters: 5)
        sock = session.tcp_socket()
        done = threading.Event()
        seen: List[Any] = []

        @sock.on("readyRead")
        def ready(event: sluice.Event) -> None:
            seen.append((event.source is sock, event.bytes_available, sock.bytes_available()))
            done.set()

        self.sidecar.event("socket.readyRead", 1, bytesAvailable=5)
        self.assertTrue(done.wait(LIMIT))
        self.assertEqual(seen, [(True, 5, 5)])

    def test_a_failing_callback_is_shown_and_the_next_one_called(self) -> None:
        sock = self.open().tcp_socket()
        done = threading.Event()
        shown: List[Any] = []
        hook, threading.excepthook = threading.excepthook, lambda arguments: shown.append(arguments.exc_type)
        self.addCleanup(setattr, threading, "excepthook", hook)
        sock.on_connected(lambda event: 1 / 0)
        sock.on_connected(lambda event: done.set())
        self.sidecar.event("socket.connected", 1)
        self.assertTrue(done.wait(LIMIT))
        self.assertEqual(shown, [ZeroDivisionError])

    def test_asking_for_an_event_that_is_not_sent_subscribes_to_it(self) -> None:
        sock = self.open().tcp_socket()
        sock.on_connected(print)
        sock.on_bytes_written(print)
        subscribed = self.sidecar.wait_for("handle.subscribe")["params"]
        self.assertIn("bytesWritten", subscribed["events"])
        self.assertIn("connected", subscribed["events"])
        self.assertNotIn("propertyChanged", subscribed["events"])
        with self.assertRaises(ValueError):
            sock.on("readyred", print)

    def test_events_before_an_accepted_socket_was_known_wait_for_it(self) -> None:
        def accept(self: Scripted, parameters: Any) -> Any:
            self.send({"id": self.current, "result": 2})
            self.event("socket.readyRead", 2, bytesAvailable=3)
            return Scripted.LATER

        session = self.open(server_nextPendingConnection=accept)
        server = session.tcp_server()
        accepted = server.next_pending_connection()
        assert accepted is not None
        self.assertIsInstance(accepted, sluice.TcpSocket)
        session.ping()
        done = threading.Event()
        accepted.on_ready_read(lambda event: done.set())
        self.assertTrue(done.wait(LIMIT))

    def test_events_can_be_taken_one_by_one(self) -> None:
        session = self.open()
        sock = session.tcp_socket()
        events = sock.events()
        session.queue_events()
        self.sidecar.event("socket.connected", 1)
        self.sidecar.event("socket.readyRead", 1, bytesAvailable=1)
        self.assertEqual([next(events).name, next(events).name], ["connected", "readyRead"])
        self.assertIsNone(session.next_event(0))
        sock.destroy()
        self.assertEqual(list(events), [])

    def test_events_of_nobody_come_to_next_event(self) -> None:
        session = self.open()
        sock = session.tcp_socket()
        session.queue_events()
        sock.on_connected(lambda event: None)
        self.sidecar.event("socket.connected", 1)
        self.sidecar.event("socket.disconnected", 1)
        event = session.next_event(int(LIMIT * 1000))
        assert event is not None
        self.assertEqual((event.name, event.source), ("disconnected", sock))

    def test_the_end_of_the_sidecar_ends_the_waiting_for_events(self) -> None:
        session = self.open()
        events = session.tcp_socket().events()
        self.sidecar.hang_up()
        with self.assertRaises(sluice.SidecarLostError):
            next(events)
        with self.assertRaises(sluice.SidecarLostError):
            session.next_event()

    def test_an_object_nobody_holds_is_destroyed_in_the_sidecar(self) -> None:
        session = self.open()
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            session.tcp_socket()
            gc.collect()
        self.assertEqual([each.category for each in shown], [ResourceWarning])
        session.ping()
        self.assertEqual(self.sidecar.wait_for("handle.destroy")["params"], {"handle": 1})

    def test_an_object_with_callbacks_lives_without_being_held(self) -> None:
        session = self.open()
        done = threading.Event()
        session.tcp_socket().on_connected(lambda event: done.set())
        gc.collect()
        self.sidecar.event("socket.connected", 1)
        self.assertTrue(done.wait(LIMIT))

    def test_leaving_a_with_destroys_even_after_an_error(self) -> None:
        session = self.open()
        with self.assertRaises(ZeroDivisionError):
            with session.tcp_socket():
                raise ZeroDivisionError
        self.sidecar.wait_for("handle.destroy")
        with session.tcp_socket() as sock:
            sock.destroy()
        with session.tcp_socket():
            session.close()

    def test_a_fork_leaves_the_session_to_the_parent(self) -> None:
        session = self.open()
        sock = session.tcp_socket()
        child = os.fork()
        if child == 0:
            try:
                sock.state()
            except sluice.SidecarError:
                session.close()
                os._exit(0)
            os._exit(1)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        session.ping()

    def test_garbage_from_the_sidecar_ends_the_session(self) -> None:
        session = self.open(session_ping=later)
        answer = session.submit(session.ping)
        self.sidecar.wait_for("session.ping")
        self.sidecar.ours.sendall(b"Segmentation fault\n")
        self.assertIsInstance(answer.exception(LIMIT), sluice.ProtocolError)


class Asyncio(unittest.IsolatedAsyncioTestCase):
    async def open(self, answer_timeout: float = LIMIT, **scripts: Any) -> aio.Session:
        self.sidecar = Scripted({**MADE, **{name.replace("_", ".", 1): script for name, script in scripts.items()}})
        session = aio.Session(self.sidecar.theirs, answer_timeout=answer_timeout)
        self.addAsyncCleanup(session.close)
        return session

    async def came(self, method: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, self.sidecar.wait_for, method)

    async def test_cancelling_a_task_cancels_the_request(self) -> None:
        session = await self.open(socket_waitForConnected=later)
        async with session.tcp_socket() as sock:
            task = asyncio.ensure_future(sock.wait_for_connected(-1))
            request = await self.came("socket.waitForConnected")
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual((await self.came("$/cancelRequest"))["params"], {"id": request["id"]})
            self.sidecar.send({"id": request["id"], "error": {"code": -32800, "message": "cancelled"}})
            await session.ping()

    async def test_the_end_of_the_sidecar_fails_all_that_wait(self) -> None:
        session = await self.open(socket_waitForConnected=later)
        sock = await session.tcp_socket()
        tasks = [asyncio.ensure_future(sock.wait_for_connected(-1)) for _ in range(3)]
        await self.came("socket.waitForConnected")
        self.sidecar.hang_up()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            self.assertIsInstance(result, sluice.SidecarLostError)

    async def test_closing_fails_what_waits(self) -> None:
        session = await self.open(socket_waitForConnected=later)
        sock = await session.tcp_socket()
        task = asyncio.ensure_future(sock.wait_for_connected(-1))
        await self.came("socket.waitForConnected")
        await session.close()
        with self.assertRaises(sluice.SessionClosedError):
            await task

    async def test_a_sidecar_that_does_not_answer_is_noticed(self) -> None:
        session = await self.open(answer_timeout=0.05, socket_waitForConnected=later)
        async with session.tcp_socket() as sock:
            with self.assertRaises(sluice.SidecarTimeoutError):
                await sock.wait_for_connected(1)
            await self.came("$/cancelRequest")

    async def test_callbacks_run_in_the_loop_and_may_be_coroutines(self) -> None:
        session = await self.open(socket_bytesAvailable=lambda self, parameters: 5)
        sock = await session.tcp_socket()
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        @sock.on("readyRead")
        async def ready(event: sluice.Event) -> None:
            done.set_result((threading.current_thread(), await sock.bytes_available()))

        self.sidecar.event("socket.readyRead", 1, bytesAvailable=5)
        self.assertEqual(await asyncio.wait_for(done, LIMIT), (threading.current_thread(), 5))
        await sock.destroy()

    async def test_events_come_as_an_iterator_until_the_object_is_destroyed(self) -> None:
        session = await self.open()
        sock = await session.tcp_socket()
        events = sock.events()
        self.sidecar.event("socket.connected", 1)
        self.assertEqual((await events.get(int(LIMIT * 1000))).name, "connected")  # type: ignore[union-attr]
        self.assertIsNone(await events.get(0))
        await sock.destroy()
        self.assertEqual([event async for event in events], [])

    async def test_a_request_larger_than_the_sockets_buffer_gets_through(self) -> None:
        session = await self.open(socket_write=lambda self, parameters: len(parameters["data"]))
        async with session.tcp_socket() as sock:
            sizes = await asyncio.gather(*(sock.write(b"x" * 3_000_000) for _ in range(3)))
            self.assertEqual(sizes, [3_000_000] * 3)

    async def test_events_before_an_accepted_socket_was_known_wait_for_it(self) -> None:
        def accept(self: Scripted, parameters: Any) -> Any:
            self.send({"id": self.current, "result": 2})
            self.event("socket.readyRead", 2, bytesAvailable=3)
            return Scripted.LATER

        session = await self.open(server_nextPendingConnection=accept)
        server = await session.tcp_server()
        accepted = await server.next_pending_connection()
        assert accepted is not None
        await session.ping()
        done = asyncio.Event()
        accepted.on_ready_read(lambda event: done.set())
        await asyncio.wait_for(done.wait(), LIMIT)
        await accepted.destroy()
        await server.destroy()


if __name__ == "__main__":
    unittest.main()
