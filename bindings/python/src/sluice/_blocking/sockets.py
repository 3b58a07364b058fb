"""The objects of the blocking face.

Every operation of :mod:`sluice._core` is a method here that returns when it is done. What stands in this file is
what Python adds: context managers, iteration, and calls that raise where the operations return false.
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Optional, Type, TypeVar

from .._core.calls import Blocking, Call
from .._core.channel import CHUNK, Bytes, byte_view
from .._core.deadline import Deadline
from .._core.server_operations import LocalServerOperations, ServerOperations, TcpServerOperations
from .._core.socket_operations import DEFAULT_TIMEOUT, HandleOperations, LocalSocketOperations, SocketOperations
from ..enums import SocketState
from ..errors import RemoteHostClosedError, SessionClosedError, SluiceError, SocketError, SocketTimeoutError
from .queue import EventQueue

if TYPE_CHECKING:
    from .session import Session

H = TypeVar("H", bound="Handle")
S = TypeVar("S", bound="Socket")


class Handle(HandleOperations, Blocking):
    """What all objects have in common. Leaving its ``with`` destroys it."""

    def __enter__(self: H) -> H:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._destroyed:
            return
        try:
            if error is None:
                self._finish()
            self._leave()
        except SessionClosedError:
            pass  # Closing the session has destroyed it.
        except SluiceError:
            if error is None:
                raise

    def _finish(self) -> None:
        """What is to be done before it is left in good order."""

    def _leave(self) -> None:
        self.destroy()

    @classmethod
    def create(cls: Type[H], session: Session, properties: Optional[Mapping[str, Any]] = None) -> H:
        """A new object of this kind in the sidecar."""
        parameters = {} if properties is None else {"properties": dict(properties)}
        made: H = session._perform(f"{cls.noun}.create", Call(lambda handle: cls(session, int(handle)), parameters))
        return made

    def events(self) -> EventQueue:
        """Its events from now on, to be iterated over until it is destroyed."""
        queue = EventQueue(self)
        self._add_stream(queue)
        return queue


class Socket(SocketOperations, Handle):
    """What every socket can do. Leaving its ``with`` sends what is pending, then destroys it."""

    def sendall(self, data: Bytes, timeout: int = DEFAULT_TIMEOUT) -> None:
        """Writes all bytes and waits until they are with the system."""
        deadline = Deadline(timeout)
        rest = byte_view(data)
        while rest:
            rest = rest[self.write(rest[:CHUNK]) :]
            self.sync(deadline.left())

    def read_exactly(self, size: int, timeout: int = DEFAULT_TIMEOUT) -> bytes:
        """Waits for so many bytes and returns them. What had come before an error is the error's ``partial``."""
        deadline = Deadline(timeout)
        got = bytearray()
        try:
            while len(got) < size:
                if self.bytes_available():
                    got += self.read(min(CHUNK, size - len(got)))
                elif not self._wait_for_more(deadline.left()) and not self.bytes_available():
                    raise RemoteHostClosedError(f"the stream ended {size - len(got)} bytes too early")
        except SocketError as error:
            error.partial = bytes(got)
            raise
        return bytes(got)

    def chunks(self, timeout: int = DEFAULT_TIMEOUT) -> Iterator[bytes]:
        """The bytes as they come, until the stream ends. Raises SocketTimeoutError where nothing comes for so long."""
        ended = False
        while not ended:
            if self.bytes_available():
                yield self.read(CHUNK)
            else:
                ended = not self._wait_for_more(timeout)
        # What came between the last two calls.
        while self.bytes_available():
            yield self.read(CHUNK)

    def lines(self, timeout: int = DEFAULT_TIMEOUT) -> Iterator[bytes]:
        """The lines as they come, each with its newline; the last may have none. Time-outs as for ``chunks``. A line longer than the
        read buffer's limit comes in pieces."""
        ended = False
        while not ended:
            if self.can_read_line() or self._is_full():
                yield self.read_line()
            else:
                ended = not self._wait_for_more(timeout)
        while self.bytes_available():
            yield self.read_line()

    def __iter__(self) -> Iterator[bytes]:
        return self.lines()

    def _is_full(self) -> bool:
        limit = self.read_buffer_size()
        return limit > 0 and self.bytes_available() >= limit

    def _wait_for_more(self, timeout: int) -> bool:
        """Waits for new bytes: false at an orderly end of the stream, and raises at any other."""
        before = self._last_error
        if self.wait_for_ready_read(timeout):
            return True
        self._check_end(before, self.state())
        return False

    def _require(self, done: bool) -> None:
        if not done:
            raise self._failure(self.error(), self.error_string())

    def _finish(self) -> None:
        if self.bytes_to_write() > 0:
            before = self._last_error
            self.close()
            self.wait_for_disconnected()
            if self._last_error is not before:
                self._check_end(before, SocketState.UNCONNECTED)


class TcpSocket(Socket):
    """A TCP connection."""

    noun = "tcpSocket"


class LocalSocket(LocalSocketOperations, Socket):
    """A connection to a local server, over a Unix socket."""


class Server(ServerOperations[S], Handle):
    """What every server can do. Leaving its ``with`` closes it; the sockets it has accepted live on."""

    def accept(self, timeout: int = DEFAULT_TIMEOUT) -> S:
        """The next connection, waited for. Raises SocketTimeoutError where none comes in time."""
        deadline = Deadline(timeout)
        while True:
            made = self.next_pending_connection()
            if made is not None:
                return made
            waited = self.wait_for_new_connection(deadline.left())
            if waited.timed_out:
                raise SocketTimeoutError("no connection came in time")
            if not waited.available:
                raise self._failure(self.error(), self.error_string())

    def _leave(self) -> None:
        # Destroyed it is when the last of those sockets is gone.
        self.close()
        self._session._dismiss(self)


class TcpServer(TcpServerOperations[TcpSocket], Server[TcpSocket]):
    """Listens for TCP connections."""

    _accepted = TcpSocket


class LocalServer(LocalServerOperations[LocalSocket], Server[LocalSocket]):
    """Listens for connections to a Unix socket."""

    _accepted = LocalSocket
