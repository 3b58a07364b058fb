"""The exceptions of Sluice: one tree, to be caught at any height.

::

    SluiceError
    ├── SocketError (also OSError)      what the network or the system did: one class for each number
    ├── MisuseError                     what the caller did: dead handle, wrong kind, bad value, ...
    ├── RpcError                        a request the protocol does not know
    ├── RequestCancelled                the request was cancelled before it was answered
    └── SidecarError                    the sidecar is missing, gone, closed or silent

Where Python has an exception of the same meaning, the class derives from that too:
``except ConnectionRefusedError`` catches :class:`sluice.ConnectionRefusedError`.
"""

from __future__ import annotations

import builtins
from typing import Any, ClassVar, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Type

from .enums import ConnectPhase, ErrorCode

__all__ = [
    "AddressInUseError",
    "ConnectionAttempt",
    "ConnectionRefusedError",
    "DatagramTooLargeError",
    "DatagramWriteError",
    "EmptyHostNameError",
    "EventsLostError",
    "HostNotFoundError",
    "InvalidArgumentError",
    "InvalidHandleError",
    "InvalidParametersError",
    "InvalidStateError",
    "LimitReachedError",
    "MethodNotFoundError",
    "MisuseError",
    "NetworkError",
    "NotPermittedError",
    "OperationError",
    "OutOfMemoryError",
    "PortNumberOutOfRangeError",
    "ProtocolError",
    "ProxyAuthenticationRequiredError",
    "ProxyConnectionClosedError",
    "ProxyConnectionRefusedError",
    "ProxyConnectionTimeoutError",
    "ProxyNotFoundError",
    "ProxyProtocolError",
    "RemoteHostClosedError",
    "RequestCancelled",
    "RpcError",
    "SessionClosedError",
    "SidecarError",
    "SidecarLostError",
    "SidecarNotFoundError",
    "SidecarTimeoutError",
    "SluiceError",
    "SocketAccessError",
    "SocketAddressNotAvailableError",
    "SocketError",
    "SocketResourceError",
    "SocketTimeoutError",
    "SslHandshakeFailedError",
    "SslInternalError",
    "SslInvalidUserDataError",
    "TemporaryError",
    "UnfinishedSocketOperationError",
    "UnknownError",
    "UnsupportedSocketOperationError",
    "WrongKindError",
    "WrongThreadError",
]


class ConnectionAttempt(NamedTuple):
    """One step of a connection that failed in the end."""

    address: str
    phase: ConnectPhase
    milliseconds: int
    system_error: int


class SluiceError(Exception):
    """The root of all that Sluice raises."""


class _Coded(SluiceError):
    """An error with a number; its subclasses register themselves by theirs."""

    default_code: ClassVar[ErrorCode] = ErrorCode.UNKNOWN
    _by_code: ClassVar[Dict[int, Type[_Coded]]] = {}

    message: str
    code: ErrorCode
    system_error: int
    attempts: Sequence[ConnectionAttempt]

    def __init_subclass__(cls, code: Optional[ErrorCode] = None) -> None:
        super().__init_subclass__()
        if code is not None:
            cls.default_code = code
            _Coded._by_code[int(code)] = cls

    def __init__(
        self,
        message: str = "",
        code: Optional[ErrorCode] = None,
        system_error: int = 0,
        attempts: Sequence[ConnectionAttempt] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = self.default_code if code is None else code
        self.system_error = system_error
        self.attempts = tuple(attempts)

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> Tuple[Any, ...]:
        return type(self), (self.message, self.code, self.system_error, self.attempts)


class SocketError(_Coded, OSError):
    """The network, the peer or the system refused.

    ``code`` is the number of the error, ``system_error`` (and ``errno``) the system's own, 0 if there is none;
    ``attempts`` tells of a failed connection each address that was tried. ``partial`` holds what ``read_exactly`` had read.
    """

    partial: bytes = b""

    def __init__(
        self,
        message: str = "",
        code: Optional[ErrorCode] = None,
        system_error: int = 0,
        attempts: Sequence[ConnectionAttempt] = (),
    ) -> None:
        super().__init__(message, code, system_error, attempts)
        self.errno = system_error
        self.strerror = message


class EmptyHostNameError(SocketError, ValueError, code=ErrorCode.EMPTY_HOST_NAME): ...
class PortNumberOutOfRangeError(SocketError, ValueError, code=ErrorCode.PORT_NUMBER_OUT_OF_RANGE): ...
class DatagramWriteError(SocketError, code=ErrorCode.DATAGRAM_WRITE): ...
class UnknownError(SocketError, code=ErrorCode.UNKNOWN): ...
class ConnectionRefusedError(SocketError, builtins.ConnectionRefusedError, code=ErrorCode.CONNECTION_REFUSED): ...
class RemoteHostClosedError(SocketError, builtins.ConnectionResetError, code=ErrorCode.REMOTE_HOST_CLOSED): ...
class HostNotFoundError(SocketError, code=ErrorCode.HOST_NOT_FOUND): ...
class SocketAccessError(SocketError, builtins.PermissionError, code=ErrorCode.SOCKET_ACCESS): ...
class SocketResourceError(SocketError, code=ErrorCode.SOCKET_RESOURCE): ...
class SocketTimeoutError(SocketError, builtins.TimeoutError, code=ErrorCode.SOCKET_TIMEOUT): ...
class DatagramTooLargeError(SocketError, code=ErrorCode.DATAGRAM_TOO_LARGE): ...
class NetworkError(SocketError, code=ErrorCode.NETWORK): ...
class AddressInUseError(SocketError, code=ErrorCode.ADDRESS_IN_USE): ...
class SocketAddressNotAvailableError(SocketError, code=ErrorCode.SOCKET_ADDRESS_NOT_AVAILABLE): ...
class UnsupportedSocketOperationError(SocketError, code=ErrorCode.UNSUPPORTED_SOCKET_OPERATION): ...
class UnfinishedSocketOperationError(SocketError, code=ErrorCode.UNFINISHED_SOCKET_OPERATION): ...
class ProxyAuthenticationRequiredError(SocketError, code=ErrorCode.PROXY_AUTHENTICATION_REQUIRED): ...
class SslHandshakeFailedError(SocketError, code=ErrorCode.SSL_HANDSHAKE_FAILED): ...
class ProxyConnectionRefusedError(SocketError, builtins.ConnectionRefusedError, code=ErrorCode.PROXY_CONNECTION_REFUSED): ...
class ProxyConnectionClosedError(SocketError, builtins.ConnectionResetError, code=ErrorCode.PROXY_CONNECTION_CLOSED): ...
class ProxyConnectionTimeoutError(SocketError, builtins.TimeoutError, code=ErrorCode.PROXY_CONNECTION_TIMEOUT): ...
class ProxyNotFoundError(SocketError, code=ErrorCode.PROXY_NOT_FOUND): ...
class ProxyProtocolError(SocketError, code=ErrorCode.PROXY_PROTOCOL): ...
class OperationError(SocketError, code=ErrorCode.OPERATION): ...
class SslInternalError(SocketError, code=ErrorCode.SSL_INTERNAL): ...
class SslInvalidUserDataError(SocketError, code=ErrorCode.SSL_INVALID_USER_DATA): ...
class TemporaryError(SocketError, code=ErrorCode.TEMPORARY): ...


class MisuseError(_Coded):
    """The caller asked for something that cannot be; nothing has changed."""


class InvalidHandleError(MisuseError, code=ErrorCode.INVALID_HANDLE): ...
class WrongKindError(MisuseError, TypeError, code=ErrorCode.WRONG_KIND): ...
class WrongThreadError(MisuseError, RuntimeError, code=ErrorCode.WRONG_THREAD): ...
class InvalidArgumentError(MisuseError, ValueError, code=ErrorCode.INVALID_ARGUMENT): ...
class InvalidStateError(MisuseError, code=ErrorCode.INVALID_STATE): ...
class LimitReachedError(MisuseError, code=ErrorCode.LIMIT_REACHED): ...
class NotPermittedError(MisuseError, builtins.PermissionError, code=ErrorCode.NOT_PERMITTED): ...
class OutOfMemoryError(MisuseError, MemoryError, code=ErrorCode.OUT_OF_MEMORY): ...


class RpcError(SluiceError):
    """The sidecar did not take the request: unknown method, bad parameters, not a request at all."""

    def __init__(self, message: str = "", code: int = 0, data: Any = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.data = data

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" if self.code else self.message


class MethodNotFoundError(RpcError, NotImplementedError):
    """This sidecar has no such operation."""


class InvalidParametersError(RpcError, TypeError, ValueError):
    """A parameter is missing, unknown or of the wrong type."""


class RequestCancelled(SluiceError):
    """The request was cancelled before it was answered."""


class SidecarError(SluiceError):
    """The sidecar cannot be asked."""


class SidecarNotFoundError(SidecarError, FileNotFoundError):
    """There is no ``sluiced`` where it was looked for."""


class SidecarLostError(SidecarError, ConnectionError):
    """The connection to the sidecar ended although nobody closed it. Raised once for each request that was open."""


class SidecarTimeoutError(SidecarError, builtins.TimeoutError):
    """The sidecar did not answer in time. The operation's own time-outs are :class:`SocketTimeoutError`."""


class SessionClosedError(SidecarError):
    """The session was closed, here."""


class ProtocolError(SidecarError):
    """The sidecar sent what the protocol does not know."""


class EventsLostError(SidecarError):
    """More events waited than the queue holds; the oldest ``count`` of them were dropped."""

    def __init__(self, count: int = 0) -> None:
        super().__init__(f"{count} events were dropped because nobody took them in time")
        self.count = count


_SOCKET_ERROR = -32000
_MISUSE = -32001
_INVALID_PARAMETERS = -32602
_METHOD_NOT_FOUND = -32601
_REQUEST_CANCELLED = -32800


def error_of_code(
    code: ErrorCode,
    message: str,
    system_error: int = 0,
    attempts: Sequence[ConnectionAttempt] = (),
) -> SluiceError:
    """The exception for an error number, ready to be raised."""
    if code is ErrorCode.CANCELLED:
        return RequestCancelled(message)
    default = MisuseError if code >= ErrorCode.INVALID_HANDLE else SocketError
    kind = _Coded._by_code.get(int(code), default)
    return kind(message, code, system_error, attempts)


def error_of_answer(error: Any) -> SluiceError:
    """The exception for the ``error`` member of an answer."""
    if not isinstance(error, dict) or not isinstance(error.get("code"), int):
        return ProtocolError(f"the sidecar sent an error without a code: {error!r}")
    number: int = error["code"]
    message = str(error.get("message", ""))
    data = error.get("data")
    if number == _REQUEST_CANCELLED:
        return RequestCancelled(message)
    if number == _INVALID_PARAMETERS:
        return InvalidParametersError(message, number, data)
    if number == _METHOD_NOT_FOUND:
        return MethodNotFoundError(message, number, data)
    if number in (_SOCKET_ERROR, _MISUSE) and isinstance(data, dict) and ("value" in data or "error" in data):
        return error_of_values(data, message)
    return RpcError(message, number, data)


def error_of_values(values: Mapping[str, Any], message: Optional[str] = None) -> SluiceError:
    """The exception for an error as the sidecar describes it, in an answer's data or in an event."""
    try:
        code = ErrorCode.from_wire(values["value"] if "value" in values else values["error"])
    except ValueError:
        # A later sidecar may know numbers that this client does not.
        code = ErrorCode.UNKNOWN
    text = message if message is not None else str(values.get("message", ""))
    return error_of_code(code, text, int(values.get("systemError") or 0), _attempts(values.get("attempts")))


def _attempts(values: Any) -> List[ConnectionAttempt]:
    return [
        ConnectionAttempt(
            str(each.get("address", "")),
            ConnectPhase.from_wire(each.get("phase", ConnectPhase.CONNECT)),
            int(each.get("milliseconds", 0)),
            int(each.get("systemError") or 0),
        )
        for each in values or ()
    ]
