"""The operations of servers, each declared once for both faces."""

from __future__ import annotations

from typing import Callable, Generic, Optional, TypeVar

from ..enums import BindMode, ErrorCode, LocalAccess
from ..errors import OperationError, SluiceError, error_of_code
from ..events import SERVER_EVENTS, Callback
from .calls import Call, operation
from .results import NewConnection, flag, maybe_text, new_connection, nothing, number, open_descriptor, text
from .socket_operations import HandleOperations

S = TypeVar("S")


class ServerOperations(HandleOperations, Generic[S]):
    noun = "server"
    event_names = SERVER_EVENTS

    _accepted: Callable[..., S]

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
        return Call(lambda handle: self._accepted(self._session, number(handle), self) if handle else None)

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
    def set_descriptor(self, descriptor: int) -> Call[None]:
        """Listens with a descriptor of this process that listens already. The sidecar gets a copy; yours is still yours to close."""
        return Call(nothing, {"descriptor": descriptor}, descriptor=open_descriptor(descriptor))

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
        return Call(nothing, {"address": address, "port": port, "bindMode": bind_mode})


class LocalServerOperations(ServerOperations[S]):
    noun = "localServer"

    @operation
    def listen(self, name: Optional[str] = None, descriptor: Optional[int] = None) -> Call[None]:
        """Listens under a name or path, or with a descriptor as ``set_descriptor`` does: one of the two is given."""
        given = {"name": name, "descriptor": descriptor}
        return Call(nothing, {key: value for key, value in given.items() if value is not None}, descriptor=open_descriptor(descriptor))

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
