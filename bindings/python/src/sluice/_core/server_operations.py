"""The operations of servers, each declared once for both faces."""

from __future__ import annotations

import socket
from typing import Any, Callable, Generic, Optional, TypeVar, cast

from ..enums import BindMode, ErrorCode, LocalAccess
from ..errors import OperationError, SluiceError, error_of_code
from ..events import SERVER_EVENTS, Callback
from ..proxies import Proxy
from ..tls import TlsConfiguration
from .calls import Call, operation
from .descriptors import HasDescriptor, as_socket, descriptor_call
from .handle_operations import HandleOperations
from .objects import HandleObject
from .proxy_operations import proxy_to_wire
from .results import NewConnection, flag, maybe_text, new_connection, nothing, number, read_proxy, text
from .tls_operations import configuration_from_wire, configuration_to_wire

S = TypeVar("S")


class ServerOperations(HandleOperations, Generic[S]):
    noun = "server"
    event_names = SERVER_EVENTS

    _accepted: Callable[..., S]
    _accepted_encrypted: Callable[..., Any]
    _is_encrypting = False

    def _encrypts(self, is_encrypting: bool) -> None:
        self._is_encrypting = is_encrypting

    @operation
    def close(self) -> Call[None]:
        """Stops listening. Sockets that were taken live on."""
        return Call(nothing)

    @operation
    def is_listening(self) -> Call[bool]:
        return Call(flag)

    @operation
    def has_pending_connections(self) -> Call[bool]:
        return Call(flag)

    @operation
    def next_pending_connection(self) -> Call[Optional[S]]:
        """The next accepted connection, None if there is none."""
        return Call(lambda handle: self._taken(number(handle)) if handle else None)

    @operation
    def max_pending_connections(self) -> Call[int]:
        """How many accepted connections wait here at most; the system keeps the rest queued."""
        return Call(number)

    @operation
    def set_max_pending_connections(self, count: int) -> Call[None]:
        return Call(nothing, {"count": count})

    @operation
    def listen_backlog(self) -> Call[int]:
        return Call(number)

    @operation
    def set_listen_backlog(self, count: int) -> Call[None]:
        return Call(nothing, {"count": count})

    @operation
    def address(self) -> Call[Optional[str]]:
        """None when it does not listen."""
        return Call(maybe_text)

    @operation
    def port(self) -> Call[int]:
        """0 when it does not listen."""
        return Call(number)

    @operation
    def error(self) -> Call[ErrorCode]:
        """The last error; NO_ERROR before any."""
        return Call(ErrorCode.from_wire)

    @operation
    def error_string(self) -> Call[str]:
        """The last error in words."""
        return Call(text)

    @operation
    def descriptor(self) -> Call[int]:
        """The descriptor in the sidecar's process, -1 when there is none."""
        return Call(number)

    @operation
    def set_descriptor(self, descriptor: HasDescriptor) -> Call[None]:
        """Listens with a socket of this process that listens already: a ``socket.socket``, or the number of a descriptor. The
        sidecar gets a copy; yours is still yours to close."""
        return descriptor_call(descriptor, {})

    @operation
    def take_descriptor(self) -> Call[socket.socket]:
        """Takes the listening socket out of the sidecar: it is Python's own from then on. No connection may be waiting here."""
        channel = self._session._channel
        return Call(lambda _: as_socket(channel.require_descriptor()))

    @operation
    def proxy(self) -> Call[Proxy]:
        """By way of which proxy it listens, without the password."""
        return Call(read_proxy)

    @operation
    def set_proxy(self, proxy: Proxy) -> Call[None]:
        """Sets it, before listening."""
        return Call(nothing, {"proxy": proxy_to_wire(proxy)})

    @operation
    def tls_configuration(self) -> Call[Optional[TlsConfiguration]]:
        """With what its connections are encrypted, but for the private key and its passphrase; None when they are not."""
        return Call(lambda value: None if value is None else configuration_from_wire(value))

    @operation
    def set_tls_configuration(self, configuration: Optional[TlsConfiguration]) -> Call[None]:
        """Encrypts connections from now on: they come as TlsSockets, and their handshake begins by itself. None: no longer."""
        wire = None if configuration is None else configuration_to_wire(configuration)
        return Call(lambda _: self._encrypts(wire is not None), {"configuration": wire})

    @operation
    def pause_accepting(self) -> Call[None]:
        """Accepts no more until ``resume_accepting``; connections wait in the system."""
        return Call(nothing)

    @operation
    def resume_accepting(self) -> Call[None]:
        return Call(nothing)

    @operation
    def wait_for_new_connection(self, timeout: int = 0) -> Call[NewConnection]:
        """Waits for a connection; the default only looks. The result is true if there is one."""
        return Call(new_connection, {"timeout": timeout}, waits=timeout)

    @operation
    def set_incoming_handler(self, incoming: str = "descriptor") -> Call[None]:
        """What becomes of a connection that comes in: "descriptor" makes it an event, incomingConnection, whose ``descriptor``
        goes into ``set_descriptor`` of a socket; "socket", as at first, makes it a socket that waits to be taken."""
        return Call(nothing, {"incoming": incoming})

    @operation
    def add_pending_connection(self, socket: HandleObject) -> Call[None]:
        """Puts a connected socket into the queue of those that wait to be taken."""
        if not isinstance(socket, HandleObject):
            raise TypeError(f"a socket of this session is needed, not {type(socket).__name__}")
        return Call(nothing, {"socket": socket.handle})

    def _taken(self, handle: int) -> S:
        # What add_pending_connection put into the queue is known already.
        known: Any = self._session._objects.get(handle)
        if known is not None:
            return cast(S, known)
        made = self._accepted_encrypted if self._is_encrypting else self._accepted
        return cast(S, made(self._session, handle, self))

    # For the call of both faces that raises where an operation returns false.

    def _failure(self, code: ErrorCode, message: str) -> SluiceError:
        if code is ErrorCode.NO_ERROR:
            return OperationError(message or "the server does not listen")
        return error_of_code(code, message)

    def on_new_connection(self, callback: Callback) -> Callback:
        return self.on("newConnection", callback)

    def on_pending_connection_available(self, callback: Callback) -> Callback:
        return self.on("pendingConnectionAvailable", callback)

    def on_incoming_connection(self, callback: Callback) -> Callback:
        return self.on("incomingConnection", callback)

    def on_accept_error(self, callback: Callback) -> Callback:
        return self.on("acceptError", callback)


class TcpServerOperations(ServerOperations[S]):
    noun = "tcpServer"

    @operation
    def listen(
        self, address: str = "any", port: int = 0, bind_mode: BindMode = BindMode.DEFAULT_FOR_PLATFORM
    ) -> Call[None]:
        """Listens; port 0 picks one, "any" is both IPv4 and IPv6."""
        return Call(nothing, {"address": address, "port": port, "bindMode": bind_mode})


class LocalServerOperations(ServerOperations[S]):
    noun = "localServer"

    @operation
    def listen(self, name: Optional[str] = None, descriptor: Optional[HasDescriptor] = None) -> Call[None]:
        """Listens under a name or path, or with a descriptor as ``set_descriptor`` does: one of the two is given."""
        named = {} if name is None else {"name": name}
        return Call(nothing, named) if descriptor is None else descriptor_call(descriptor, named)

    @operation
    def remove_server(self, name: str) -> Call[bool]:
        """Removes the file that a dead server left behind, never a live one's. Any server object can be asked for it."""
        return Call(flag, {"name": name}, needs_handle=False)

    @operation
    def server_name(self) -> Call[str]:
        return Call(text)

    @operation
    def full_server_name(self) -> Call[str]:
        """The path the name stands for."""
        return Call(text)

    @operation
    def socket_options(self) -> Call[LocalAccess]:
        return Call(LocalAccess.from_wire)

    @operation
    def set_socket_options(self, options: LocalAccess) -> Call[None]:
        """Who may connect, and whether the name is an abstract one; to be set before ``listen``."""
        return Call(nothing, {"options": options})
