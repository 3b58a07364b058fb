"""The operations of sockets, each declared once for both faces.

Times are milliseconds; -1 waits without a limit. What each operation promises is the same in C, in the protocol and here.
"""

from __future__ import annotations

import socket
from typing import Any, Dict, Mapping, Optional

from ..enums import (
    BindMode,
    ErrorCode,
    NetworkProtocol,
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
from ..events import SOCKET_EVENTS, Callback
from ..proxies import Proxy
from .calls import Call, operation
from .channel import Bytes, decode_bytes, encode_bytes
from .descriptors import HasDescriptor, as_socket, descriptor_call
from .handle_operations import HandleOperations
from .proxy_operations import proxy_to_wire
from .results import (
    as_it_is,
    flag,
    json_object,
    maybe_number,
    maybe_text,
    members_of,
    nothing,
    number,
    read_proxy,
    text,
)

DEFAULT_TIMEOUT = 30000


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
        return Call(nothing, {"host": host, "port": port, "openMode": open_mode, "protocol": protocol})

    @operation
    def disconnect_from_host(self) -> Call[None]:
        """Disconnects after all pending bytes are sent."""
        return Call(nothing)

    @operation
    def abort(self) -> Call[None]:
        """Closes at once and discards what is pending. The object can be used again."""
        return Call(nothing)

    @operation
    def close(self) -> Call[None]:
        """Closes for reading and writing, and disconnects after all pending bytes are sent."""
        return Call(nothing)

    @operation
    def shutdown_write(self) -> Call[None]:
        """Sends what is queued and then the end of the stream. Reading goes on."""
        return Call(nothing)

    @operation
    def bind(self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM) -> Call[None]:
        """Binds to a local address; port 0 picks one."""
        return Call(nothing, {"address": address, "port": port, "bindMode": bind_mode})

    @operation
    def set_descriptor(
        self,
        descriptor: HasDescriptor,
        state: SocketState = SocketState.CONNECTED,
        open_mode: OpenMode = OpenMode.READ_WRITE,
    ) -> Call[None]:
        """Wraps a socket of this process: a ``socket.socket``, or the number of a descriptor. The sidecar gets a copy; yours is
        still yours to close, and to be left alone while the two share what comes. What the event incomingConnection
        brought is the sidecar's already, and is taken over."""
        return descriptor_call(descriptor, {"state": state, "openMode": open_mode})

    @operation
    def descriptor(self) -> Call[int]:
        """The descriptor in the sidecar's process, -1 when there is none."""
        return Call(number)

    @operation
    def take_descriptor(self) -> Call[socket.socket]:
        """Takes the socket out of the sidecar: it is Python's own from then on, and this object is Unconnected. Nothing unread
        or unsent may be left behind."""
        channel = self._session._channel
        # The number in the answer is the sidecar's; what came with the answer is ours.
        return Call(lambda _: as_socket(channel.require_descriptor()))

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
        return Call(text)

    @operation
    def socket_type(self) -> Call[SocketType]:
        return Call(SocketType.from_wire)

    @operation
    def open_mode(self) -> Call[OpenMode]:
        return Call(OpenMode.from_wire)

    @operation
    def is_valid(self) -> Call[bool]:
        """Whether there is a live descriptor."""
        return Call(flag)

    @operation
    def is_open(self) -> Call[bool]:
        return Call(flag)

    @operation
    def is_readable(self) -> Call[bool]:
        return Call(flag)

    @operation
    def is_writable(self) -> Call[bool]:
        return Call(flag)

    @operation
    def is_sequential(self) -> Call[bool]:
        """Always true: a socket is a stream."""
        return Call(flag)

    @operation
    def local_address(self) -> Call[Optional[str]]:
        """None when there is none."""
        return Call(maybe_text)

    @operation
    def local_port(self) -> Call[int]:
        """0 when there is none."""
        return Call(number)

    @operation
    def peer_address(self) -> Call[Optional[str]]:
        """None when there is none."""
        return Call(maybe_text)

    @operation
    def peer_port(self) -> Call[int]:
        """0 when there is none."""
        return Call(number)

    @operation
    def peer_name(self) -> Call[str]:
        """The host as it was given to ``connect_to_host``."""
        return Call(text)

    @operation
    def bytes_available(self) -> Call[int]:
        """How many bytes can be read at once."""
        return Call(number)

    @operation
    def bytes_to_write(self) -> Call[int]:
        """How many written bytes are not yet with the system."""
        return Call(number)

    @operation
    def at_end(self) -> Call[bool]:
        """Whether nothing is there to be read now."""
        return Call(flag)

    @operation
    def can_read_line(self) -> Call[bool]:
        """Whether a whole line is there."""
        return Call(flag)

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
        return Call(number, {"maxSize": max_size})

    @operation
    def get_char(self) -> Call[Optional[int]]:
        """One byte, None if there is none."""
        return Call(maybe_number)

    @operation
    def put_char(self, byte: int) -> Call[None]:
        """Writes one byte."""
        return Call(nothing, {"byte": byte})

    @operation
    def unget_char(self, byte: int) -> Call[None]:
        """Puts one byte in front of what is there to be read."""
        return Call(nothing, {"byte": byte})

    @operation
    def write(self, data: Bytes) -> Call[int]:
        """Queues bytes and returns how many; all but where ``write_buffer_size`` sets a limit. Never waits."""
        return Call(number, encode_bytes(data))

    @operation
    def flush(self) -> Call[bool]:
        """Sends what the system takes now; whether any byte left."""
        return Call(flag)

    @operation
    def sync(self, timeout: int = DEFAULT_TIMEOUT) -> Call[None]:
        """Waits until all that was written is with the system."""
        return Call(nothing, {"timeout": timeout}, waits=timeout)

    @operation
    def read_buffer_size(self) -> Call[int]:
        """How many bytes wait here to be read at most, 0 for no limit."""
        return Call(number)

    @operation
    def set_read_buffer_size(self, bytes: int) -> Call[None]:
        return Call(nothing, {"bytes": bytes})

    @operation
    def write_buffer_size(self) -> Call[int]:
        """How many bytes wait here to be sent at most, 0 for no limit."""
        return Call(number)

    @operation
    def set_write_buffer_size(self, bytes: int) -> Call[None]:
        return Call(nothing, {"bytes": bytes})

    @operation
    def option(self, option: SocketOption) -> Call[int]:
        return Call(number, {"option": option})

    @operation
    def set_option(self, option: SocketOption, value: int) -> Call[None]:
        """Sets an option, before or after connecting."""
        return Call(nothing, {"option": option, "value": value})

    @operation
    def wait_for_connected(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits for the connection. False on an error; at the time-out the attempt is given up."""
        return Call(flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_ready_read(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits for new bytes to read. False on an error, at the end of the stream and at the time-out."""
        return Call(flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_bytes_written(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits until some written bytes are with the system. False if there are none to write."""
        return Call(flag, {"timeout": timeout}, waits=timeout)

    @operation
    def wait_for_disconnected(self, timeout: int = DEFAULT_TIMEOUT) -> Call[bool]:
        """Waits until the connection is closed. False if there is none."""
        return Call(flag, {"timeout": timeout}, waits=timeout)

    @operation
    def pause_mode(self) -> Call[PauseMode]:
        return Call(PauseMode.from_wire)

    @operation
    def set_pause_mode(self, pause_mode: PauseMode) -> Call[None]:
        return Call(nothing, {"pauseMode": pause_mode})

    @operation
    def resume(self) -> Call[None]:
        """Goes on after a pause."""
        return Call(nothing)

    @operation
    def proxy(self) -> Call[Proxy]:
        """By way of which proxy it connects, without the password."""
        return Call(read_proxy)

    @operation
    def set_proxy(self, proxy: Proxy) -> Call[None]:
        """Sets it, before connecting; ``Proxy()`` is the application's, as at first."""
        return Call(nothing, {"proxy": proxy_to_wire(proxy)})

    @operation
    def authenticate_proxy(self, user: str, password: str) -> Call[None]:
        """Answers proxyAuthenticationRequired; the connection then goes on. An empty user gives up."""
        return Call(nothing, {"user": user, "password": password})

    # For transports of the user's own: the object shows what it is told.

    @operation
    def set_peer_name(self, value: str) -> Call[None]:
        """What ``peer_name`` returns. This and the next seven work on sockets that have no descriptor of their own."""
        return Call(nothing, {"value": value})

    @operation
    def set_peer_address(self, value: str) -> Call[None]:
        return Call(nothing, {"value": value})

    @operation
    def set_peer_port(self, value: int) -> Call[None]:
        return Call(nothing, {"value": value})

    @operation
    def set_local_address(self, value: str) -> Call[None]:
        return Call(nothing, {"value": value})

    @operation
    def set_local_port(self, value: int) -> Call[None]:
        return Call(nothing, {"value": value})

    @operation
    def set_state(self, value: SocketState) -> Call[None]:
        """What ``state`` returns; no event but propertyChanged is sent."""
        return Call(nothing, {"value": value})

    @operation
    def set_error(self, value: ErrorCode) -> Call[None]:
        """What ``error`` returns; no event but propertyChanged is sent."""
        return Call(nothing, {"value": value})

    @operation
    def set_error_string(self, value: str) -> Call[None]:
        return Call(nothing, {"value": value})

    # The object as a whole.

    @operation
    def properties(self) -> Call[Dict[str, Any]]:
        """All properties by name, as the protocol calls them: readBufferSize, connectTimeout, allowHalfOpen, ..."""
        return Call(json_object)

    @operation
    def property(self, name: str) -> Call[Any]:
        return Call(as_it_is, {"name": name})

    @operation
    def set_properties(self, properties: Mapping[str, Any]) -> Call[None]:
        """Sets some properties; if one of them cannot be set, none is."""
        return Call(nothing, {"properties": members_of(properties)})

    @operation
    def set_property(self, name: str, value: Any) -> Call[None]:
        return Call(nothing, {"name": name, "value": value})

    @operation
    def to_json(self, graph: bool = False) -> Call[str]:
        """Its properties as the text of a JSON object; with ``graph`` those of all sockets of the session that have an
        ``objectId``, by that name."""
        return Call(text, {"graph": graph})

    @operation
    def from_json(self, text: str, graph: bool = False) -> Call[None]:
        """Sets what ``to_json`` wrote, all of it or nothing; properties that can only be read are passed over. The event
        completed tells that all is set."""
        return Call(nothing, {"text": text, "graph": graph})

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

    def on_proxy_authentication_required(self, callback: Callback) -> Callback:
        """The connection waits for ``authenticate_proxy``."""
        return self.on("proxyAuthenticationRequired", callback)

    def on_property_changed(self, callback: Callback) -> Callback:
        return self.on("propertyChanged", callback)

    def on_completed(self, callback: Callback) -> Callback:
        return self.on("completed", callback)
