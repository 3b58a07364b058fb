"""The objects of the asyncio face.

Every operation of :mod:`sluice._core` is a coroutine here. What stands in this file is
what Python adds: asynchronous context managers, iteration, and calls that raise where the operations return false.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Mapping, Optional, Type, TypeVar

from .._core.calls import Asynchronous, Call
from .._core.channel import CHUNK, Bytes, byte_view
from .._core.deadline import Deadline
from .._core.server_operations import LocalServerOperations, ServerOperations, TcpServerOperations
from .._core.socket_operations import DEFAULT_TIMEOUT, HandleOperations, LocalSocketOperations, SocketOperations
from ..enums import SocketState
from ..errors import RemoteHostClosedError, SessionClosedError, SluiceError, SocketError, SocketTimeoutError
from .queue import EventQueue, Managed, Opening

if TYPE_CHECKING:
    from .session import Session

H = TypeVar("H", bound="Handle")
S = TypeVar("S", bound="Socket")


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

    @classmethod
    def create(cls: Type[H], session: Session, properties: Optional[Mapping[str, Any]] = None) -> Opening[H]:
        """A new object of this kind in the sidecar."""
        parameters = {} if properties is None else {"properties": dict(properties)}
        return Opening(session._perform(f"{cls.noun}.create", Call(lambda handle: cls(session, int(handle)), parameters)))

    def events(self) -> EventQueue:
        """Its events from now on, to be iterated over until it is destroyed."""
        queue = EventQueue(self)
        self._add_stream(queue)
        return queue


class Socket(SocketOperations, Handle):
    """What every socket can do. Leaving its ``with`` sends what is pending, then destroys it."""

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


class TcpSocket(Socket):
    """A TCP connection."""

    noun = "tcpSocket"


class LocalSocket(LocalSocketOperations, Socket):
    """A connection to a local server, over a Unix socket."""


class Server(ServerOperations[S], Handle):
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


class LocalServer(LocalServerOperations[LocalSocket], Server[LocalSocket]):
    """Listens for connections to a Unix socket."""

    _accepted = LocalSocket
