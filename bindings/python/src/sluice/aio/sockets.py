"""The objects of the asyncio face.

Every operation of :mod:`sluice._core` is a coroutine here. What stands in this file is
what Python adds: asynchronous context managers, iteration, and calls that raise where the operations return false.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Mapping, Optional, Tuple, Type, TypeVar

from .._core.calls import Asynchronous, Call
from .._core.channel import CHUNK, Bytes, byte_view
from .._core.deadline import Deadline
from .._core.handle_operations import HandleOperations
from .._core.host_operations import HostOperations
from .._core.local_operations import LocalSocketOperations
from .._core.proxy_operations import ProxyOperations
from .._core.relay_operations import RelayOperations, socket_of
from .._core.results import members_of
from .._core.server_operations import LocalServerOperations, ServerOperations, TcpServerOperations
from .._core.socket_operations import DEFAULT_TIMEOUT, SocketOperations
from .._core.tls_operations import TlsSocketOperations
from .._core.udp_operations import BATCH, UdpSocketOperations, closed_while_waiting
from ..datagrams import Datagram
from ..enums import SocketState
from ..errors import OperationError, RemoteHostClosedError, SessionClosedError, SluiceError, SocketError, SocketTimeoutError
from .queue import EventQueue, Managed, Opening

if TYPE_CHECKING:
    from .session import Session

H = TypeVar("H", bound="Handle")
M = TypeVar("M", bound="Made")
S = TypeVar("S", bound="Socket")


def _creation(kind: Type[M], session: Session, properties: Optional[Mapping[str, Any]]) -> Call[M]:
    if properties is None:
        return Call(lambda handle: kind(session, int(handle)))
    return Call(lambda handle: kind(session, int(handle), is_at_work=True), {"properties": members_of(properties)})


class Handle(HandleOperations, Asynchronous, Managed):
    """What all objects have in common. Leaving its ``async with`` destroys it."""

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._destroyed:
            return
        try:
            if error is None:
                await self._finish()
            await self._leave()
        except SessionClosedError:
            pass  # Closing the session has destroyed it.
        except SluiceError:
            if error is None:
                raise

    async def _finish(self) -> None:
        """What is to be done before it is left in good order."""

    async def _leave(self) -> None:
        await self.destroy()

    def events(self) -> EventQueue:
        """Its events from now on, to be iterated over until it is destroyed."""
        queue = EventQueue(self)
        self._add_stream(queue)
        return queue


class Made(Handle):
    """What is made with properties: sockets and servers."""

    @classmethod
    def create(cls: Type[M], session: Session, properties: Optional[Mapping[str, Any]] = None) -> Opening[M]:
        """A new object of this kind in the sidecar."""
        return Opening(session._perform(f"{cls.noun}.create", _creation(cls, session, properties)))


class Socket(SocketOperations, Made):
    """What every socket can do. Leaving its ``async with`` sends what is pending, then destroys it."""

    async def _require(self, done: bool) -> None:
        if not done:
            raise self._failure(await self.error(), await self.error_string())

    async def _finish(self) -> None:
        if await self.bytes_to_write() > 0:
            before = self._last_error
            await self.close()
            await self.wait_for_disconnected()
            if self._last_error is not before:
                self._check_end(before, SocketState.UNCONNECTED)


class StreamSocket(Socket):
    """What the sockets whose bytes are a stream can do: TCP, TLS and local ones."""

    async def sendall(self, data: Bytes, timeout: int = DEFAULT_TIMEOUT) -> None:
        """Writes all bytes and waits until they are with the system."""
        deadline = Deadline(timeout)
        rest = byte_view(data)
        while rest:
            rest = rest[await self.write(rest[:CHUNK]) :]
            await self.sync(deadline.left())

    async def read_exactly(self, size: int, timeout: int = DEFAULT_TIMEOUT) -> bytes:
        """Waits for so many bytes and returns them. What had come before an error is the error's ``partial``."""
        deadline = Deadline(timeout)
        got = bytearray()
        try:
            while len(got) < size:
                if await self.bytes_available():
                    got += await self.read(min(CHUNK, size - len(got)))
                elif not await self._wait_for_more(deadline.left()) and not await self.bytes_available():
                    raise RemoteHostClosedError(f"the stream ended {size - len(got)} bytes too early")
        except SocketError as error:
            error.partial = bytes(got)
            raise
        return bytes(got)

    async def chunks(self, timeout: int = DEFAULT_TIMEOUT) -> AsyncIterator[bytes]:
        """The bytes as they come, until the stream ends. Raises SocketTimeoutError where nothing comes for so long."""
        ended = False
        while not ended:
            if await self.bytes_available():
                yield await self.read(CHUNK)
            else:
                ended = not await self._wait_for_more(timeout)
        # What came between the last two calls.
        while await self.bytes_available():
            yield await self.read(CHUNK)

    async def lines(self, timeout: int = DEFAULT_TIMEOUT) -> AsyncIterator[bytes]:
        """The lines as they come, each with its newline; the last may have none. Time-outs as for ``chunks``. A line longer than the
        read buffer's limit comes in pieces."""
        ended = False
        while not ended:
            if await self.can_read_line() or await self._is_full():
                yield await self.read_line()
            else:
                ended = not await self._wait_for_more(timeout)
        while await self.bytes_available():
            yield await self.read_line()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.lines()

    async def _is_full(self) -> bool:
        limit = await self.read_buffer_size()
        return limit > 0 and await self.bytes_available() >= limit

    async def _wait_for_more(self, timeout: int) -> bool:
        """Waits for new bytes: false at an orderly end of the stream, and raises at any other."""
        before = self._last_error
        if await self.wait_for_ready_read(timeout):
            return True
        self._check_end(before, await self.state())
        return False


class TcpSocket(StreamSocket):
    """A TCP connection."""

    noun = "tcpSocket"


class TlsSocket(TlsSocketOperations, TcpSocket):
    """A TCP connection that is encrypted, from its beginning or from some point on."""


class LocalSocket(LocalSocketOperations, StreamSocket):
    """A connection to a local server, over a Unix socket."""


class UdpSocket(UdpSocketOperations, Socket):
    """Sends and receives datagrams. Iterating takes them as they come."""

    async def receive(self, timeout: int = DEFAULT_TIMEOUT) -> Datagram:
        """The next datagram, waited for. Raises SocketTimeoutError where none comes in time."""
        deadline = Deadline(timeout)
        while True:
            came = await self.read_datagrams(1)
            if came:
                return came[0]
            if not await self._wait_for_datagrams(deadline.left()):
                raise closed_while_waiting()

    async def datagrams(self, timeout: int = DEFAULT_TIMEOUT) -> AsyncIterator[Datagram]:
        """The datagrams as they come, until the socket is closed. Raises SocketTimeoutError where none comes for so long, and what the
        network reports of an earlier datagram; it may be called again after that."""
        came = await self.read_datagrams(BATCH)
        while came or await self._wait_for_datagrams(timeout):
            for each in came:
                yield each
            try:
                came = await self.read_datagrams(BATCH)
            except OperationError:
                return  # It was closed meanwhile.

    def __aiter__(self) -> AsyncIterator[Datagram]:
        return self.datagrams()

    async def _wait_for_datagrams(self, timeout: int) -> bool:
        """False when the socket was closed; raises at any other end."""
        if await self.wait_for_ready_read(timeout):
            return True
        return not self._is_over(await self.state(), await self.error(), await self.error_string())


class Server(ServerOperations[S], Made):
    """What every server can do. Leaving its ``async with`` closes it; the sockets it has accepted live on."""

    async def accept(self, timeout: int = DEFAULT_TIMEOUT) -> S:
        """The next connection, waited for. Raises SocketTimeoutError where none comes in time."""
        deadline = Deadline(timeout)
        while True:
            made = await self.next_pending_connection()
            if made is not None:
                return made
            waited = await self.wait_for_new_connection(deadline.left())
            if waited.timed_out:
                raise SocketTimeoutError("no connection came in time")
            if not waited.available:
                raise self._failure(await self.error(), await self.error_string())

    async def _leave(self) -> None:
        # Destroyed it is when the last of those sockets is gone.
        await self.close()
        self._session._dismiss(self)


class TcpServer(TcpServerOperations[TcpSocket], Server[TcpSocket]):
    """Listens for TCP connections."""

    _accepted = TcpSocket
    _accepted_encrypted = TlsSocket


class LocalServer(LocalServerOperations[LocalSocket], Server[LocalSocket]):
    """Listens for connections to a Unix socket."""

    _accepted = LocalSocket
    _accepted_encrypted = TlsSocket


class Relay(RelayOperations, Handle):
    """Moves bytes both ways between two sockets inside the sidecar, until both have ended. Leaving its ``async with`` lets go of them."""

    #: The sockets, which live as long as it does.
    ends: Tuple[Socket, ...] = ()

    @classmethod
    def create(cls, session: Session, a: Socket, b: Socket) -> Opening[Relay]:
        """A relay between two connected sockets. Nothing else may be read from them or written to them while it runs."""

        def made(handle: Any) -> Relay:
            relay = cls(session, int(handle), is_at_work=True)
            relay.ends = (a, b)
            return relay

        return Opening(session._perform("relay.create", Call(made, {"a": socket_of(a), "b": socket_of(b)})))


class Host(HostOperations, Asynchronous):
    """Names and network interfaces: ``session.host.lookup(name)``."""


class Proxies(ProxyOperations, Asynchronous):
    """The proxies of the whole application: ``session.proxy.set_application(proxy)``."""
