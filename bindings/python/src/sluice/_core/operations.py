"""Every operation, declared once for both faces.

Times are milliseconds; -1 waits without a limit. What each operation promises is the same in C, in the protocol and here.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Generic, Iterable, List, Mapping, NamedTuple, Optional, TypeVar, Union

from .calls import Call, operation
from .channel import Bytes, decode_bytes, encode_bytes
from .objects import HandleObject, SessionCore
from ..enums import (
    BindMode,
    ErrorCode,
    LocalAccess,
    NetworkProtocol,
    ObjectKind,
    OpenMode,
    PauseMode,
    SocketOption,
    SocketState,
    SocketType,
)
from ..errors import (
    OperationError,
    RemoteHostClosedError,
    SluiceError,
    SocketError,
    SocketTimeoutError,
    error_of_code,
)
from ..events import NOT_SENT_AT_FIRST, SERVER_EVENTS, SOCKET_EVENTS, Callback

DEFAULT_TIMEOUT = 30000

S = TypeVar("S")


class PeerCredentials(NamedTuple):
    """Who is at the other end of a local socket."""

    pid: int
    uid: int
    gid: int


class NewConnection(NamedTuple):
    """The result of waiting for a connection; true if there is one."""

    available: bool
    timed_out: bool

    def __bool__(self) -> bool:
        return self.available


class Greeting(NamedTuple):
    """What a sidecar says of itself."""

    server: str
    version: str
    protocol: int
    limits: Mapping[str, int]
    capabilities: List[str]


def _nothing(value: Any) -> None:
    return None


def _as_it_is(value: Any) -> Any:
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"not a boolean: {value!r}")
    return value


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"not a number: {value!r}")
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _maybe_number(value: Any) -> Optional[int]:
    return None if value is None else _number(value)


def _maybe_text(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def _object(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"not an object: {value!r}")
    return value


def _new_connection(value: Any) -> NewConnection:
    return NewConnection(_flag(value["available"]), _flag(value["timedOut"]))


def _peer_credentials(value: Any) -> PeerCredentials:
    return PeerCredentials(_number(value["pid"]), _number(value["uid"]), _number(value["gid"]))


def _open_descriptor(descriptor: Optional[int]) -> Optional[int]:
    """What can travel. The sidecar has to say what is wrong with a number that names nothing."""
    try:
        if descriptor is not None:
            os.fstat(descriptor)
        return descriptor
    except (OSError, OverflowError, TypeError):
        return None


class HandleOperations(HandleObject):
    noun = "handle"

    @operation
    def destroy(self) -> Call[None]:
        """Closes at once and drops what is pending. The handle names nothing from then on."""
        return Call(lambda _: self._session._remove(self))

    @operation
    def kind(self) -> Call[ObjectKind]:
        """What kind of object it is."""
        return Call(ObjectKind.from_wire)

    @operation
    def subscribe(self, events: Union[str, Iterable[str]]) -> Call[None]:
        """Which events it sends: their names, "all", "none", or "default", which is all but bytesWritten and propertyChanged."""
        if events == "all":
            wanted = self.event_names
        elif events == "default":
            wanted = self.event_names - NOT_SENT_AT_FIRST
        elif events == "none":
            wanted = frozenset()
        else:
            wanted = frozenset((events,) if isinstance(events, str) else events)

        def subscribed(_: Any) -> None:
            self._subscribed = set(wanted)

        return Call(subscribed, {"events": events if isinstance(events, str) else sorted(wanted)})


class SocketOperations(HandleOperations):
    noun = "socket"
    event_names = SOCKET_EVENTS

    @operation
    def connect_to_host(
        self,
        host: str,
        port: int,
        open_mode: OpenMode = OpenMode.READ_WRITE,
        protocol: NetworkProtocol = NetworkProtocol.ANY_IP,
    ) -> Call[None]:
        """Begins to connect and returns at once. The outcome is the event connected or errorOccurred, or what
        ``wait_for_connected`` returns."""
        return Call(_nothing, {"host": host, "port": port, "openMode": open_mode, "protocol": protocol})

    @operation
    def disconnect_from_host(self) -> Call[None]:
        """Disconnects after all pending bytes are sent."""
        return Call(_nothing)

    @operation
    def abort(self) -> Call[None]:
        """Closes at once and discards what is pending. The object can be used again."""
        return Call(_nothing)

    @operation
    def close(self) -> Call[None]:
        """Closes for reading and writing, and disconnects after all pending bytes are sent."""
        return Call(_nothing)

    @operation
    def shutdown_write(self) -> Call[None]:
        """Sends what is queued and then the end of the stream. Reading goes on."""
        return Call(_nothing)

    @operation
    def bind(self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM) -> Call[None]:
        """Binds to a local address; port 0 picks one."""
        return Call(_nothing, {"address": address, "port": port, "bindMode": bind_mode})

    @operation
    def set_descriptor(
        self,
        descriptor: int,
        state: SocketState = SocketState.CONNECTED,
        open_mode: OpenMode = OpenMode.READ_WRITE,
    ) -> Call[None]:
        """Wraps a descriptor of this process. The sidecar gets a copy; yours is still yours to close."""
        parameters = {"descriptor": descriptor, "state": state, "openMode": open_mode}
        return Call(_nothing, parameters, descriptor=_open_descriptor(descriptor))

    @operation
    def descriptor(self) -> Call[int]:
        """The descriptor in the sidecar's process, -1 when there is none."""
        return Call(_number)

    @operation
    def take_descriptor(self) -> Call[int]:
        """Takes the connection out of the sidecar: a descriptor of this process, for its new owner to close."""
        channel = self._session._channel
        # The number in the answer is the sidecar's; what came with the answer is ours.
        return Call(lambda _: _number(channel.take_descriptor()))

    @operation
    def state(self) -> Call[SocketState]:
        return Call(SocketState.from_wire)

    @operation
    def error(self) -> Call[ErrorCode]:
        """The last error; NO_ERROR before any."""
        return Call(ErrorCode.from_wire)

    @operation
    def error_string(self) -> Call[str]:
        """The last error in words."""
        return Call(_text)

    @operation
    def socket_type(self) -> Call[SocketType]:
        return Call(SocketType.from_wire)

    @operation
    def open_mode(self) -> Call[OpenMode]:
        return Call(OpenMode.from_wire)

    @operation
    def is_valid(self) -> Call[bool]:
        """Whether there is a live descriptor."""
        return Call(_flag)

    @operation
    def is_open(self) -> Call[bool]:
        return Call(_flag)

    @operation
    def is_readable(self) -> Call[bool]:
        return Call(_flag)

    @operation
    def is_writable(self) -> Call[bool]:
        return Call(_flag)

    @operation
    def is_sequential(self) -> Call[bool]:
        """Always true: a socket is a stream."""
        return Call(_flag)

    @operation
    def local_address(self) -> Call[Optional[str]]:
        """None when there is none."""
        return Call(_maybe_text)

    @operation
    def local_port(self) -> Call[int]:
        """0 when there is none."""
        return Call(_number)

    @operation
    def peer_address(self) -> Call[Optional[str]]:
        """None when there is none."""
        return Call(_maybe_text)

    @operation
    def peer_port(self) -> Call[int]:
        """0 when there is none."""
        return Call(_number)

    @operation
    def peer_name(self) -> Call[str]:
        """The host as it was given to ``connect_to_host``."""
        return Call(_text)

    @operation
    def bytes_available(self) -> Call[int]:
        """How many bytes can be read at once."""
        return Call(_number)

    @operation
    def bytes_to_write(self) -> Call[int]:
        """How many written bytes are not yet with the system."""
        return Call(_number)

    @operation
    def at_end(self) -> Call[bool]:
        """Whether nothing is there to be read now."""
        return Call(_flag)

    @operation
    def can_read_line(self) -> Call[bool]:
        """Whether a whole line is there."""
        return Call(_flag)

    @operation
    def read(self, max_size: int) -> Call[bytes]:
        """At most ``max_size`` of the bytes that are there; never waits."""
        return Call(decode_bytes, {"maxSize": max_size})

    @operation
    def read_all(self) -> Call[bytes]:
        """All bytes that are there; never waits."""
        return Call(decode_bytes)

    @operation
    def read_line(self, max_size: int = 0) -> Call[bytes]:
        """A line with its newline; without one, what is there. Never waits."""
        return Call(decode_bytes, {"maxSize": max_size})

    @operation
    def peek(self, max_size: int) -> Call[bytes]:
        """As ``read``, but leaves the bytes in place."""
        return Call(decode_bytes, {"maxSize": max_size})

    @operation
    def peek_all(self) -> Call[bytes]:
        """As ``read_all``, but leaves the bytes in place."""
        return Call(decode_bytes)

    @operation
    def skip(self, max_size: int) -> Call[int]:
        """Drops at most so many bytes; returns how many."""
        return Call(_number, {"maxSize": max_size})

    @operation
    def get_char(self) -> Call[Optional[int]]:
        """One byte, None if there is none."""
        return Call(_maybe_number)

    @operation
    def put_char(self, byte: int) -> Call[None]:
        """Writes one byte."""
        return Call(_nothing, {"byte": byte})

    @operation
    def unget_char(self, byte: int) -> Call[None]:
        """Puts one byte in front of what is there to be read."""
        return Call(_nothing, {"byte": byte})

    @operation
    def write(self, data: Bytes) -> Call[int]:
        """Queues bytes and returns how many; all but where ``write_buffer_size`` sets a limit. Never waits."""
        return Call(_number, encode_bytes(data))

    @operation
    def flush(self) -> Call[bool]:
        """Sends what the system takes now; whether any byte left."""
        return Call(_flag)

    @operation
    def sync(self, timeout: int = DEFAULT_TIMEOUT) -> Call[None]:
        """Waits until all that was written is with the system."""
        return Call(_nothing, {"timeout": timeout}, waits=timeout)

    @operation
    def read_buffer_size(self) -> Call[int]:
        """How many bytes wait here to be read at most, 0 for no limit."""
        return Call(_number)

    @operation
    def set_read_buffer_size(self, bytes: int) -> Call[None]:
        return Call(_nothing, {"bytes": bytes})

    @operation
    def write_buffer_size(self) -> Call[int]:
        """How many bytes wait here to be sent at most, 0 for no limit."""
        return Call(_number)

    @operation
    def set_write_buffer_size(self, bytes: int) -> Call[None]:
        return Call(_nothing, {"bytes": bytes})

    @operation
    def option(self, option: SocketOption) -> Call[int]:
        return Call(_number, {"option": option})

    @operation
    def set_option(self, option: SocketOption, value: int) -> Call[None]:
        """Sets an option, before or after connecting."""
        return Call(_nothing, {"option": option, "value": value})

    @operation
    def wait_for_connected(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits for the connection. False on an error; at the time-out the attempt is given up."""
        return Call(_flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_ready_read(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits for new bytes to read. False on an error, at the end of the stream and at the time-out."""
        return Call(_flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_bytes_written(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits until some written bytes are with the system. False if there are none to write."""
        return Call(_flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_disconnected(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits until the connection is closed. False if there is none."""
        return Call(_flag, {"timeout": timeout}, waits=timeout)

    @operation
    def pause_mode(self) -> Call[PauseMode]:
        return Call(PauseMode.from_wire)

    @operation
    def set_pause_mode(self, pause_mode: PauseMode) -> Call[None]:
        return Call(_nothing, {"pauseMode": pause_mode})

    @operation
    def resume(self) -> Call[None]:
        """Goes on after a pause."""
        return Call(_nothing)

    @operation
    def properties(self) -> Call[Dict[str, Any]]:
        """All properties by name, as the protocol calls them: readBufferSize, connectTimeout, allowHalfOpen, ..."""
        return Call(_object)

    @operation
    def property(self, name: str) -> Call[Any]:
        return Call(_as_it_is, {"name": name})

    @operation
    def set_properties(self, properties: Mapping[str, Any]) -> Call[None]:
        """Sets some properties; if one of them cannot be set, none is."""
        return Call(_nothing, {"properties": dict(properties)})

    @operation
    def set_property(self, name: str, value: Any) -> Call[None]:
        return Call(_nothing, {"name": name, "value": value})

    # For the calls of both faces that raise where an operation returns false.

    def _failure(self, code: ErrorCode, message: str) -> SluiceError:
        """The last error, with all that its event told."""
        last = self._last_error
        if isinstance(last, SocketError) and last.code is code:
            return last
        if code is ErrorCode.NO_ERROR:
            return OperationError(message or "this is not possible in the state the socket is in")
        return error_of_code(code, message)

    def _check_end(self, before: Optional[SluiceError], state: SocketState) -> None:
        """After a wait for bytes that was in vain, ``before`` being the last error before it: returns where the stream is at
        its orderly end, and raises what stopped it otherwise."""
        last = self._last_error
        if last is None:
            return
        if last is before and (state is SocketState.CONNECTED or isinstance(last, SocketTimeoutError)):
            # Old news; the peer has finished its half.
            return
        if isinstance(last, RemoteHostClosedError) and last.system_error == 0:
            return
        raise last

    def on_host_found(self, callback: Callback) -> Callback:
        return self.on("hostFound", callback)

    def on_connected(self, callback: Callback) -> Callback:
        return self.on("connected", callback)

    def on_disconnected(self, callback: Callback) -> Callback:
        return self.on("disconnected", callback)

    def on_state_changed(self, callback: Callback) -> Callback:
        return self.on("stateChanged", callback)

    def on_error_occurred(self, callback: Callback) -> Callback:
        return self.on("errorOccurred", callback)

    def on_ready_read(self, callback: Callback) -> Callback:
        return self.on("readyRead", callback)

    def on_line_available(self, callback: Callback) -> Callback:
        return self.on("lineAvailable", callback)

    def on_bytes_written(self, callback: Callback) -> Callback:
        return self.on("bytesWritten", callback)

    def on_about_to_close(self, callback: Callback) -> Callback:
        return self.on("aboutToClose", callback)

    def on_read_channel_finished(self, callback: Callback) -> Callback:
        return self.on("readChannelFinished", callback)


class LocalSocketOperations(SocketOperations):
    noun = "localSocket"

    @operation
    def connect_to_server(self, name: str, open_mode: OpenMode = OpenMode.READ_WRITE) -> Call[None]:
        """Connects to a local server: a bare name is looked for in the temporary folder, a path is taken as it is."""
        return Call(_nothing, {"name": name, "openMode": open_mode})

    @operation
    def disconnect_from_server(self) -> Call[None]:
        """Disconnects after all pending bytes are sent."""
        return Call(_nothing)

    @operation
    def server_name(self) -> Call[str]:
        return Call(_text)

    @operation
    def set_server_name(self, name: str) -> Call[None]:
        return Call(_nothing, {"name": name})

    @operation
    def full_server_name(self) -> Call[str]:
        """The path the name stands for."""
        return Call(_text)

    @operation
    def socket_options(self) -> Call[LocalAccess]:
        return Call(LocalAccess.from_wire)

    @operation
    def set_socket_options(self, options: LocalAccess) -> Call[None]:
        return Call(_nothing, {"options": options})

    @operation
    def peer_credentials(self) -> Call[PeerCredentials]:
        """The process at the other end, as the system vouches for it."""
        return Call(_peer_credentials)


class ServerOperations(HandleOperations, Generic[S]):
    noun = "server"
    event_names = SERVER_EVENTS

    _accepted: Callable[..., S]

    @operation
    def close(self) -> Call[None]:
        """Stops listening. Sockets that were taken live on."""
        return Call(_nothing)

    @operation
    def is_listening(self) -> Call[bool]:
        return Call(_flag)

    @operation
    def has_pending_connections(self) -> Call[bool]:
        return Call(_flag)

    @operation
    def next_pending_connection(self) -> Call[Optional[S]]:
        """The next accepted connection, None if there is none."""
        return Call(lambda handle: self._accepted(self._session, _number(handle), self) if handle else None)

    @operation
    def max_pending_connections(self) -> Call[int]:
        """How many accepted connections wait here at most; the system keeps the rest queued."""
        return Call(_number)

    @operation
    def set_max_pending_connections(self, count: int) -> Call[None]:
        return Call(_nothing, {"count": count})

    @operation
    def listen_backlog(self) -> Call[int]:
        return Call(_number)

    @operation
    def set_listen_backlog(self, count: int) -> Call[None]:
        return Call(_nothing, {"count": count})

    @operation
    def address(self) -> Call[Optional[str]]:
        """None when it does not listen."""
        return Call(_maybe_text)

    @operation
    def port(self) -> Call[int]:
        """0 when it does not listen."""
        return Call(_number)

    @operation
    def error(self) -> Call[ErrorCode]:
        """The last error; NO_ERROR before any."""
        return Call(ErrorCode.from_wire)

    @operation
    def error_string(self) -> Call[str]:
        """The last error in words."""
        return Call(_text)

    @operation
    def descriptor(self) -> Call[int]:
        """The descriptor in the sidecar's process, -1 when there is none."""
        return Call(_number)

    @operation
    def set_descriptor(self, descriptor: int) -> Call[None]:
        """Listens with a descriptor of this process that listens already. The sidecar gets a copy; yours is still yours to close."""
        return Call(_nothing, {"descriptor": descriptor}, descriptor=_open_descriptor(descriptor))

    @operation
    def pause_accepting(self) -> Call[None]:
        """Accepts no more until ``resume_accepting``; connections wait in the system."""
        return Call(_nothing)

    @operation
    def resume_accepting(self) -> Call[None]:
        return Call(_nothing)

    @operation
    def wait_for_new_connection(self, timeout: int = 0) -> Call[NewConnection]:
        """Waits for a connection; the default only looks. The result is true if there is one."""
        return Call(_new_connection, {"timeout": timeout}, waits=timeout)

    # For the call of both faces that raises where an operation returns false.

    def _failure(self, code: ErrorCode, message: str) -> SluiceError:
        if code is ErrorCode.NO_ERROR:
            return OperationError(message or "the server does not listen")
        return error_of_code(code, message)

    def on_new_connection(self, callback: Callback) -> Callback:
        return self.on("newConnection", callback)

    def on_pending_connection_available(self, callback: Callback) -> Callback:
        return self.on("pendingConnectionAvailable", callback)

    def on_accept_error(self, callback: Callback) -> Callback:
        return self.on("acceptError", callback)


class TcpServerOperations(ServerOperations[S]):
    noun = "tcpServer"

    @operation
    def listen(
        self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM
    ) -> Call[None]:
        """Listens; port 0 picks one, "any" is both IPv4 and IPv6."""
        return Call(_nothing, {"address": address, "port": port, "bindMode": bind_mode})


class LocalServerOperations(ServerOperations[S]):
    noun = "localServer"

    @operation
    def listen(self, name: Optional[str] = None, descriptor: Optional[int] = None) -> Call[None]:
        """Listens under a name or path, or with a descriptor as ``set_descriptor`` does: one of the two is given."""
        given = {"name": name, "descriptor": descriptor}
        return Call(_nothing, {key: value for key, value in given.items() if value is not None}, descriptor=_open_descriptor(descriptor))

    @operation
    def remove_server(self, name: str) -> Call[bool]:
        """Removes the file that a dead server left behind, never a live one's. Any server object can be asked for it."""
        return Call(_flag, {"name": name}, needs_handle=False)

    @operation
    def server_name(self) -> Call[str]:
        return Call(_text)

    @operation
    def full_server_name(self) -> Call[str]:
        """The path the name stands for."""
        return Call(_text)

    @operation
    def socket_options(self) -> Call[LocalAccess]:
        return Call(LocalAccess.from_wire)

    @operation
    def set_socket_options(self, options: LocalAccess) -> Call[None]:
        """Who may connect, and whether the name is an abstract one; to be set before ``listen``."""
        return Call(_nothing, {"options": options})


class SessionOperations(SessionCore):
    noun = "session"

    @operation
    def hello(self, client: str, protocol: int = 1) -> Call[Greeting]:
        """Introduces the client. ``start`` and ``connect`` have done it already."""
        return Call(self._greeted, {"client": client, "protocol": protocol})

    @operation
    def ping(self, payload: Any = None) -> Call[Any]:
        """Asks for an answer: the payload."""
        return Call(_as_it_is, {"payload": payload})

    @operation
    def stats(self) -> Call[Dict[str, Any]]:
        """Counts of requests, bytes, handles and queues."""
        return Call(_object)

    @operation
    def shutdown(self) -> Call[None]:
        """Asks the sidecar to end, for all its clients."""
        return Call(_nothing)

    def _greeted(self, value: Any) -> Greeting:
        limits = _object(value.get("limits", {}))
        limit = limits.get("messageSize")
        if isinstance(limit, int) and limit > 0:
            self._channel.message_limit = limit
        return Greeting(
            _text(value.get("server")), _text(value.get("version")), value.get("protocol", 1), limits, list(value.get("capabilities", ()))
        )


class RpcOperations(SessionCore):
    noun = "rpc"

    @operation
    def discover(self) -> Call[Dict[str, Any]]:
        """The OpenRPC description of all operations."""
        return Call(_object)
