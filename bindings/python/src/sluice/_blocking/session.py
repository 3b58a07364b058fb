"""The blocking face's conversation with a sidecar.

It may be used from any number of threads. One thread of its own reads what the sidecar sends; callbacks run on a second one,
which starts with the first callback, so a callback may make calls and may wait.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import socket
import struct
import threading
import weakref
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Type, TypeVar

from .._core.calls import Blocking, Call, operation
from .._core.objects import ANSWER_TIMEOUT, report_exception
from .._core.results import Greeting
from .._core.session_operations import RpcOperations, SessionOperations
from .._core.sidecar import GRACE, SidecarProcess, connect_sidecar, receive, send, start_sidecar
from .._core.socket_operations import DEFAULT_TIMEOUT
from .._version import CLIENT
from ..enums import BindMode, NetworkProtocol
from ..errors import ProtocolError, SessionClosedError, SidecarLostError, SidecarTimeoutError, SluiceError
from ..events import Callback, Event
from ..tls import TlsConfiguration
from .queue import Answer, EventQueue
from .sockets import Handle, Host, LocalServer, LocalSocket, Proxies, Relay, Socket, TcpServer, TcpSocket, TlsSocket, UdpSocket

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    P = ParamSpec("P")

R = TypeVar("R")
H = TypeVar("H", bound=Handle)


class Session(SessionOperations, RpcOperations, Blocking):
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
        self._writing = threading.Lock()
        # A sidecar that takes no requests for so long has not answered either.
        limit = struct.pack("ll", int(answer_timeout), int(answer_timeout % 1 * 1_000_000))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._events = EventQueue()
        self._callback_queue = EventQueue()
        self._callback_thread: Optional[threading.Thread] = None
        self._reader = threading.Thread(target=self._read, name="sluice-reader", daemon=True)
        self._reader.start()
        _open_sessions.add(self)

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    @property
    def host(self) -> Host:
        """What is about names and network interfaces."""
        return Host(self)

    @property
    def proxy(self) -> Proxies:
        """What is about the proxies of the whole application."""
        return Proxies(self)

    # Making objects.

    def tcp_socket(self, properties: Optional[Mapping[str, Any]] = None) -> TcpSocket:
        """A new socket. With the properties hostname and port it connects by itself, and again when the connection is lost."""
        return TcpSocket.create(self, properties)

    def udp_socket(self, properties: Optional[Mapping[str, Any]] = None) -> UdpSocket:
        return UdpSocket.create(self, properties)

    def tls_socket(self, properties: Optional[Mapping[str, Any]] = None) -> TlsSocket:
        return TlsSocket.create(self, properties)

    def local_socket(self, properties: Optional[Mapping[str, Any]] = None) -> LocalSocket:
        return LocalSocket.create(self, properties)

    def tcp_server(self, properties: Optional[Mapping[str, Any]] = None) -> TcpServer:
        return TcpServer.create(self, properties)

    def local_server(self, properties: Optional[Mapping[str, Any]] = None) -> LocalServer:
        return LocalServer.create(self, properties)

    def relay(self, a: Socket, b: Socket) -> Relay:
        """Moves bytes both ways between two connected sockets; no byte of them comes to this process."""
        return Relay.create(self, a, b)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> TcpSocket:
        """A connected socket. Raises what went wrong, with each address that was tried."""

        def connect(made: TcpSocket) -> None:
            made.connect_to_host(host, port, protocol=protocol)
            made._require(made.wait_for_connected(timeout))

        return self._prepared(self.tcp_socket(), connect)

    def connect_tls(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        configuration: Optional[TlsConfiguration] = None,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> TlsSocket:
        """An encrypted connection to a host whose certificate is good. Raises what went wrong."""

        def connect(made: TlsSocket) -> None:
            if configuration is not None:
                made.set_configuration(configuration)
            made.connect_to_host_encrypted(host, port, protocol=protocol)
            made._require(made.wait_for_encrypted(timeout))

        return self._prepared(self.tls_socket(), connect)

    def connect_local(self, name: str, timeout: int = DEFAULT_TIMEOUT) -> LocalSocket:
        """A socket that is connected to a local server. Raises what went wrong."""

        def connect(made: LocalSocket) -> None:
            made.connect_to_server(name)
            made._require(made.wait_for_connected(timeout))

        return self._prepared(self.local_socket(), connect)

    def connect_udp(
        self,
        host: str,
        port: int,
        timeout: int = DEFAULT_TIMEOUT,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> UdpSocket:
        """A UDP socket that talks to one peer."""

        def connect(made: UdpSocket) -> None:
            made.connect_to_host(host, port, protocol=protocol)
            made._require(made.wait_for_connected(timeout))

        return self._prepared(self.udp_socket(), connect)

    def bind_udp(
        self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM
    ) -> UdpSocket:
        """A UDP socket that receives at an address; port 0 picks one."""
        return self._prepared(self.udp_socket(), lambda made: made.bind(address, port, bind_mode))

    def listen_tcp(self, address: str = "any", port: int = 0) -> TcpServer:
        """A server that listens."""
        return self._prepared(self.tcp_server(), lambda made: made.listen(address, port))

    def listen_local(self, name: str) -> LocalServer:
        """A local server that listens."""
        return self._prepared(self.local_server(), lambda made: made.listen(name))

    def _prepared(self, made: H, prepare: Callable[[H], None]) -> H:
        try:
            prepare(made)
        except BaseException:
            with contextlib.suppress(SluiceError):
                made.destroy()
            raise
        return made

    # Requests.

    def submit(self, method: Callable[P, R], *args: P.args, **keywords: P.kwargs) -> concurrent.futures.Future[R]:
        """Begins an operation and returns its future: ``session.submit(sock.wait_for_ready_read, timeout=-1)``.

        Cancelling the future cancels the request; waits and lookups then end at once. Do not cancel a read: what it had
        taken from the socket is gone.
        """
        target: Any = getattr(method, "__self__", None)
        declared = getattr(method, "operation", None)
        if not isinstance(declared, operation):
            raise TypeError(f"{method!r} is no operation")
        call: Call[R] = declared.declare(target, *args, **keywords)
        answer: Answer[R] = Answer()
        self._request(declared.method, target._addressed(call), answer)
        return answer

    def call(self, method: str, parameters: Optional[Mapping[str, Any]] = None) -> Any:
        """A request in the protocol's own words: what it results in, as JSON."""
        return self._perform(method, Call(lambda value: value, parameters, waits=-1))

    def _perform(self, method: str, call: Call[R]) -> R:
        limit = None if call.waits < 0 else call.waits / 1000 + self._answer_timeout
        answer: Answer[R] = Answer()
        try:
            self._request(method, call, answer)
            return answer.result(limit)
        except concurrent.futures.TimeoutError:
            # An operation's own time-out is an error of the same family; it comes as the answer.
            if not answer.cancel():
                raise
            raise SidecarTimeoutError(f"the sidecar did not answer {method} within {limit} s") from None
        except BaseException:
            answer.cancel()
            raise

    def _request(self, method: str, call: Call[R], answer: Answer[R]) -> None:
        if threading.current_thread() is self._reader:
            raise RuntimeError("an event listener must not make calls: it would wait for itself")
        number, line = self._channel.request(method, call.parameters, call.read, answer)

        def cancel() -> None:
            cancellation = self._channel.cancellation(number)
            if cancellation is not None:
                self._send(cancellation)

        answer.on_cancel = cancel
        self._send(line, call.descriptor)

    def _notify(self, method: str, parameters: Mapping[str, Any]) -> None:
        self._send(self._channel.notification(method, parameters))

    def _send(self, line: bytes, descriptor: Optional[int] = None) -> None:
        with self._writing:
            self._write(line, descriptor)

    def _write(self, line: bytes, descriptor: Optional[int] = None) -> None:
        try:
            rest = memoryview(self._orphans_gone() + line)
            rest = rest[send(self._connection, rest, descriptor) :]
            if rest:
                self._connection.sendall(rest, socket.MSG_NOSIGNAL)
        except OSError:
            # Gone, or it takes nothing any more. The reader sees the end of it and tells all that wait.
            self._hang_up()
        except BaseException:
            # Interrupted, perhaps in the middle of a line: nothing can follow it.
            self._hang_up()
            raise

    # Events.

    def queue_events(self) -> None:
        """Begins to keep for ``next_event`` the events that no callback and no ``events()`` takes."""
        if self._unclaimed is None:
            self._claim(self._events)

    def next_event(self, timeout: int = -1) -> Optional[Event]:
        """The next event that nobody else takes; None at the time-out (milliseconds). The first call begins to keep them."""
        self.queue_events()
        return self._events.get(timeout)

    def _dispatch(self, event: Event) -> None:
        # Called with the events' lock held, so the thread starts once.
        if self._callback_thread is None:
            self._callback_thread = threading.Thread(target=self._run_callbacks, name="sluice-callbacks", daemon=True)
            self._callback_thread.start()
        self._callback_queue.put(event)

    def _run_callbacks(self) -> None:
        while True:
            try:
                event = self._callback_queue.get()
                if event is None:
                    return
                for callback in list(event.source._callbacks.get(event.name, ())):
                    self._run_callback(callback, event)
            except SluiceError:
                report_exception()

    @staticmethod
    def _run_callback(callback: Callback, event: Event) -> None:
        try:
            callback(event)
        except SessionClosedError:
            pass  # The program closed the session while the callback was at work.
        except Exception:
            report_exception()

    # The end.

    def close(self) -> None:
        """Ends the conversation, and the sidecar if it is our own. What was written is still sent; open requests fail with
        SessionClosedError, and callbacks that have not begun are not called."""
        if self._is_forgotten:
            return
        cancellations = self._channel.fail(SessionClosedError("the session is closed"))
        self._callback_queue.clear()
        # Another thread may be stuck in writing to a sidecar that hangs.
        if cancellations and self._writing.acquire(timeout=GRACE):
            try:
                self._write(cancellations)
            finally:
                self._writing.release()
        try:
            self._connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # It has ended already.
        current = threading.current_thread()
        if current is not self._reader:
            self._reader.join(GRACE)
            if self._reader.is_alive():
                self._hang_up()
                self._reader.join()
        if self._callback_thread is not None and current is not self._callback_thread:
            self._callback_thread.join(GRACE)

    def _hang_up(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # It has ended already.

    def _read(self) -> None:
        error: SluiceError
        try:
            while True:
                chunk, descriptors = receive(self._connection)
                if not chunk:
                    break
                self._channel.receive(chunk, descriptors)
            error = SidecarLostError("the sidecar ended the connection")
        except OSError as failure:
            error = SidecarLostError(f"the connection to the sidecar broke: {failure}")
        except ProtocolError as failure:
            error = failure
        self._end(error)

    def _end(self, error: SluiceError) -> None:
        self._hang_up()
        if self._channel.failure is None and self._process is not None and isinstance(error, SidecarLostError):
            error = SidecarLostError(f"{error}{self._process.exit_status()}")
        self._channel.fail(error)
        self._end_events(self._channel.failure or error)
        self._callback_queue.end(None)
        with self._writing:
            self._connection.close()
        if self._process is not None:
            self._process.stop()


def start(path: Optional[str] = None, *arguments: str, answer_timeout: float = ANSWER_TIMEOUT) -> Session:
    """A session with a sidecar of its own, which ends with it.

    ``path`` names the ``sluiced`` to run; without it the environment's SLUICED, the one in this package, on the PATH or built in
    this source tree is taken. ``arguments`` are more options for it.
    """
    connection, process = start_sidecar(path, arguments)
    return _greeted(Session(connection, process, answer_timeout))


def connect(path: str, answer_timeout: float = ANSWER_TIMEOUT) -> Session:
    """A session with the sidecar that listens at a path (``sluiced --socket PATH``)."""
    return _greeted(Session(connect_sidecar(path), None, answer_timeout))


def _greeted(session: Session) -> Session:
    try:
        session.greeting = session.hello(CLIENT)
    except BaseException:
        session.close()
        raise
    return session


_default: Optional[Session] = None
_default_lock = threading.Lock()


def default_session() -> Session:
    """The session of the whole program: started at the first call, closed when the program ends."""
    global _default
    with _default_lock:
        if _default is None or _default._channel.failure is not None:
            _default = start()
        return _default


_open_sessions: weakref.WeakSet[Session] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for each in list(_open_sessions):
        each.close()
