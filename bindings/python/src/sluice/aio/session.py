"""The asyncio face's conversation with a sidecar.

It belongs to the event loop it was opened in. Everything happens in that loop: there are no threads.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import socket
from types import TracebackType
from typing import Any, Awaitable, Callable, Deque, Mapping, Optional, Set, Tuple, Type, TypeVar

from .._core.calls import Asynchronous, Call
from .._core.objects import ANSWER_TIMEOUT
from .._core.results import Greeting
from .._core.session_operations import RpcOperations, SessionOperations
from .._core.sidecar import GRACE, SidecarProcess, connect_sidecar, receive, send, start_sidecar
from .._core.socket_operations import DEFAULT_TIMEOUT
from .._version import CLIENT
from ..enums import BindMode, NetworkProtocol
from ..errors import ProtocolError, SessionClosedError, SidecarLostError, SidecarTimeoutError, SluiceError
from ..events import Event
from ..tls import TlsConfiguration
from .queue import Answer, EventQueue, Managed, Opening
from .sockets import Handle, Host, LocalServer, LocalSocket, Proxies, Relay, Socket, TcpServer, TcpSocket, TlsSocket, UdpSocket

R = TypeVar("R")
H = TypeVar("H", bound=Handle)


class Session(SessionOperations, RpcOperations, Asynchronous, Managed):
    """A conversation with a sidecar. Closing it closes all that was made in it."""

    #: What the sidecar says of itself.
    greeting: Greeting

    def __init__(
        self,
        connection: socket.socket,
        process: Optional[SidecarProcess] = None,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        super().__init__(connection, process, answer_timeout)
        self._loop = asyncio.get_running_loop()
        self._unsent: Deque[Tuple[memoryview, Optional[int]]] = collections.deque()
        self._ended = asyncio.Event()
        self._reaping: Optional[Awaitable[None]] = None
        self._events = EventQueue()
        # The loop itself holds its tasks only weakly.
        self._callback_tasks: Set[asyncio.Task[Any]] = set()
        connection.setblocking(False)
        self._loop.add_reader(connection, self._readable)

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        await self.close()

    @property
    def host(self) -> Host:
        """What is about names and network interfaces."""
        return Host(self)

    @property
    def proxy(self) -> Proxies:
        """What is about the proxies of the whole application."""
        return Proxies(self)

    # Making objects.

    def tcp_socket(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[TcpSocket]:
        """A new socket. With the properties hostname and port it connects by itself, and again when the connection is lost."""
        return TcpSocket.create(self, properties)

    def udp_socket(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[UdpSocket]:
        return UdpSocket.create(self, properties)

    def tls_socket(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[TlsSocket]:
        return TlsSocket.create(self, properties)

    def local_socket(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[LocalSocket]:
        return LocalSocket.create(self, properties)

    def tcp_server(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[TcpServer]:
        return TcpServer.create(self, properties)

    def local_server(self, properties: Optional[Mapping[str, Any]] = None) -> Opening[LocalServer]:
        return LocalServer.create(self, properties)

    def relay(self, a: Socket, b: Socket) -> Opening[Relay]:
        """Moves bytes both ways between two connected sockets; no byte of them comes to this process."""
        return Relay.create(self, a, b)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> Opening[TcpSocket]:
        """A connected socket. Raises what went wrong, with each address that was tried."""

        async def connect(made: TcpSocket) -> None:
            await made.connect_to_host(host, port, protocol=protocol)
            await made._require(await made.wait_for_connected(timeout))

        return Opening(self._prepared(self.tcp_socket(), connect))

    def connect_tls(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        configuration: Optional[TlsConfiguration] = None,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> Opening[TlsSocket]:
        """An encrypted connection to a host whose certificate is good. Raises what went wrong."""

        async def connect(made: TlsSocket) -> None:
            if configuration is not None:
                await made.set_configuration(configuration)
            await made.connect_to_host_encrypted(host, port, protocol=protocol)
            await made._require(await made.wait_for_encrypted(timeout))

        return Opening(self._prepared(self.tls_socket(), connect))

    def connect_local(self, name: str, timeout: int = DEFAULT_TIMEOUT) -> Opening[LocalSocket]:
        """A socket that is connected to a local server. Raises what went wrong."""

        async def connect(made: LocalSocket) -> None:
            await made.connect_to_server(name)
            await made._require(await made.wait_for_connected(timeout))

        return Opening(self._prepared(self.local_socket(), connect))

    def connect_udp(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> Opening[UdpSocket]:
        """A UDP socket that talks to one peer."""

        async def connect(made: UdpSocket) -> None:
            await made.connect_to_host(host, port, protocol=protocol)
            await made._require(await made.wait_for_connected(timeout))

        return Opening(self._prepared(self.udp_socket(), connect))

    def bind_udp(
        self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM
    ) -> Opening[UdpSocket]:
        """A UDP socket that receives at an address; port 0 picks one."""
        return Opening(self._prepared(self.udp_socket(), lambda made: made.bind(address, port, bind_mode)))

    def listen_tcp(self, address: str = "any", port: int = 0) -> Opening[TcpServer]:
        """A server that listens."""
        return Opening(self._prepared(self.tcp_server(), lambda made: made.listen(address, port)))

    def listen_local(self, name: str) -> Opening[LocalServer]:
        """A local server that listens."""
        return Opening(self._prepared(self.local_server(), lambda made: made.listen(name)))

    async def _prepared(self, opening: Opening[H], prepare: Callable[[H], Awaitable[None]]) -> H:
        made = await opening
        try:
            await prepare(made)
        except BaseException:
            with contextlib.suppress(SluiceError):
                await made.destroy()
            raise
        return made

    # Requests.

    async def call(self, method: str, parameters: Optional[Mapping[str, Any]] = None) -> Any:
        """A request in the protocol's own words: what it results in, as JSON."""
        return await self._perform(method, Call(lambda value: value, parameters, waits=-1))

    async def _perform(self, method: str, call: Call[R]) -> R:
        limit = None if call.waits < 0 else call.waits / 1000 + self._answer_timeout
        answer: Answer[R] = Answer(loop=self._loop)
        # The caller may close its own before this one has gone.
        descriptor = None if call.descriptor is None else os.dup(call.descriptor)
        try:
            number, line = self._channel.request(method, call.parameters, call.read, answer)
        except BaseException:
            if descriptor is not None:
                os.close(descriptor)
            raise
        self._send(line, descriptor)
        timer = None if limit is None else self._loop.call_later(limit, self._expire, answer, method, limit)
        try:
            return await answer
        except (asyncio.CancelledError, SidecarTimeoutError):
            # A task that is cancelled cancels its request. A read that had taken bytes by then has lost them.
            cancellation = self._channel.cancellation(number)
            if cancellation is not None:
                self._send(cancellation)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    @staticmethod
    def _expire(answer: Answer[Any], method: str, limit: float) -> None:
        answer.fail(SidecarTimeoutError(f"the sidecar did not answer {method} within {limit} s"))

    def _notify(self, method: str, parameters: Mapping[str, Any]) -> None:
        self._send(self._channel.notification(method, parameters))

    def _send(self, line: bytes, descriptor: Optional[int] = None) -> None:
        """Sends as soon as possible; a descriptor is closed once it has gone."""
        self._unsent.append((memoryview(self._orphans_gone() + line), descriptor))
        if len(self._unsent) == 1:
            self._send_unsent()
            if self._unsent:
                self._loop.add_writer(self._connection, self._writable)

    def _send_unsent(self) -> None:
        try:
            while self._unsent:
                data, descriptor = self._unsent[0]
                sent = send(self._connection, data, descriptor)
                self._drop_first()
                if sent < len(data):
                    self._unsent.appendleft((data[sent:], None))
        except BlockingIOError:
            pass
        except OSError:
            # The reader sees the end too, and tells all that wait.
            while self._unsent:
                self._drop_first()

    def _drop_first(self) -> None:
        _, descriptor = self._unsent.popleft()
        if descriptor is not None:
            os.close(descriptor)

    def _writable(self) -> None:
        self._send_unsent()
        if not self._unsent:
            self._loop.remove_writer(self._connection)
            if self._channel.failure is not None:
                self._finish_sending()

    def _readable(self) -> None:
        try:
            chunk, descriptors = receive(self._connection)
            if chunk:
                self._channel.receive(chunk, descriptors)
            else:
                self._end(SidecarLostError("the sidecar ended the connection"))
        except BlockingIOError:
            return
        except OSError as error:
            self._end(SidecarLostError(f"the connection to the sidecar broke: {error}"))
        except ProtocolError as error:
            self._end(error)

    # Events.

    def queue_events(self) -> None:
        """Begins to keep for ``next_event`` the events that no callback and no ``events()`` takes."""
        if self._unclaimed is None:
            self._claim(self._events)

    async def next_event(self, timeout: int = -1) -> Optional[Event]:
        """The next event that nobody else takes; None at the time-out (milliseconds). The first call begins to keep them."""
        self.queue_events()
        return await self._events.get(timeout)

    def _dispatch(self, event: Event) -> None:
        self._loop.call_soon(self._run_callbacks, event)

    def _run_callbacks(self, event: Event) -> None:
        for callback in list(event.source._callbacks.get(event.name, ())):
            try:
                result = callback(event)
            except Exception as error:
                self._loop.call_exception_handler({"message": f"a callback failed at {event!r}", "exception": error})
                continue
            if asyncio.iscoroutine(result):
                task = self._loop.create_task(result)
                self._callback_tasks.add(task)
                task.add_done_callback(self._callback_done)

    def _callback_done(self, task: asyncio.Task[Any]) -> None:
        self._callback_tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        # The program may close the session while a callback is at work.
        if error is not None and not isinstance(error, SessionClosedError):
            self._loop.call_exception_handler({"message": "a callback failed", "exception": error, "task": task})

    # The end.

    async def close(self) -> None:
        """Ends the conversation, and the sidecar if it is our own. What was written is still sent; open requests fail with
        SessionClosedError."""
        if self._is_forgotten:
            return
        if not self._ended.is_set():
            cancellations = self._channel.fail(SessionClosedError("the session is closed"))
            self._send(cancellations)
            if not self._unsent:
                self._finish_sending()
            try:
                await asyncio.wait_for(self._ended.wait(), GRACE)
            except asyncio.TimeoutError:
                pass
            finally:
                self._end(SessionClosedError("the session is closed"))
        if self._reaping is not None:
            await self._reaping

    def _finish_sending(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has ended already.

    def _end(self, error: SluiceError) -> None:
        if self._ended.is_set():
            return
        self._ended.set()
        self._loop.remove_reader(self._connection)
        self._loop.remove_writer(self._connection)
        self._connection.close()
        while self._unsent:
            self._drop_first()
        if self._process is not None and isinstance(error, SidecarLostError):
            error = SidecarLostError(f"{error}{self._process.exit_status(0)}")
        self._channel.fail(error)
        self._end_events(self._channel.failure or error)
        if self._process is not None:
            self._reaping = self._loop.run_in_executor(None, self._process.stop)


def start(path: Optional[str] = None, *arguments: str, answer_timeout: float = ANSWER_TIMEOUT) -> Opening[Session]:
    """A session with a sidecar of its own, which ends with it: ``async with start() as s`` or ``s = await start()``.

    ``path`` and ``arguments`` are as for :func:`sluice.start`.
    """

    async def opening() -> Session:
        connection, process = start_sidecar(path, arguments)
        return await _greeted(Session(connection, process, answer_timeout))

    return Opening(opening())


def connect(path: str, answer_timeout: float = ANSWER_TIMEOUT) -> Opening[Session]:
    """A session with the sidecar that listens at a path (``sluiced --socket PATH``)."""

    async def opening() -> Session:
        return await _greeted(Session(connect_sidecar(path), None, answer_timeout))

    return Opening(opening())


async def _greeted(session: Session) -> Session:
    try:
        session.greeting = await session.hello(CLIENT)
    except BaseException:
        await session.close()
        raise
    return session
