"""The numbers of Sluice, by name.

The values are those of the C header and never change. Answers carry the names; both forms are read here.
"""

from __future__ import annotations

import enum
import functools
from typing import Any, Dict, Type, TypeVar

__all__ = [
    "BindMode",
    "ConnectPhase",
    "ErrorCode",
    "InterfaceFlags",
    "LocalAccess",
    "NetworkProtocol",
    "ObjectKind",
    "OpenMode",
    "PauseMode",
    "ProxyType",
    "SocketOption",
    "SocketState",
    "SocketType",
    "SslErrorCode",
    "TlsVersion",
    "VerifyMode",
]

_E = TypeVar("_E", bound="_NamedNumber")
_F = TypeVar("_F", bound="_NamedFlags")


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


@functools.lru_cache(maxsize=None)
def _by_plain_name(kind: Type[enum.Enum]) -> Dict[str, Any]:
    return {_plain(name): member for name, member in kind.__members__.items()}


class _NamedNumber(enum.IntEnum):
    # With some Python versions it would be the bare number.
    __str__ = enum.Enum.__str__

    @classmethod
    def from_wire(cls: Type[_E], value: Any) -> _E:
        """The member for a name as the sidecar sends it ("HostLookup"), or for a number."""
        try:
            if isinstance(value, str):
                return _by_plain_name(cls)[_plain(value)]  # type: ignore[no-any-return]
            return cls(value)
        except (KeyError, ValueError):
            raise ValueError(f"no {cls.__name__} is called {value!r}") from None


class _NamedFlags(enum.IntFlag):
    __str__ = enum.Flag.__str__

    @classmethod
    def from_wire(cls: Type[_F], value: Any) -> _F:
        """The flags for a list of names as the sidecar sends it (["ReadOnly", "Unbuffered"]), or for a number."""
        try:
            if isinstance(value, int):
                return cls(value)
            names = _by_plain_name(cls)
            result = cls(0)
            for name in value:
                result |= names[_plain(name)]
            return result
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"no {cls.__name__} is called {value!r}") from None


class SocketState(_NamedNumber):
    UNCONNECTED = 0
    HOST_LOOKUP = 1
    CONNECTING = 2
    CONNECTED = 3
    BOUND = 4
    LISTENING = 5
    CLOSING = 6


class ErrorCode(_NamedNumber):
    """What went wrong: up to 32 the network's errors, from 100 on the caller's mistakes.

    Each number has an exception class of its own, see :mod:`sluice.errors`.
    """

    NO_ERROR = 0
    EMPTY_HOST_NAME = 1
    PORT_NUMBER_OUT_OF_RANGE = 2
    DATAGRAM_WRITE = 3
    UNKNOWN = 9
    CONNECTION_REFUSED = 10
    REMOTE_HOST_CLOSED = 11
    HOST_NOT_FOUND = 12
    SOCKET_ACCESS = 13
    SOCKET_RESOURCE = 14
    SOCKET_TIMEOUT = 15
    DATAGRAM_TOO_LARGE = 16
    NETWORK = 17
    ADDRESS_IN_USE = 18
    SOCKET_ADDRESS_NOT_AVAILABLE = 19
    UNSUPPORTED_SOCKET_OPERATION = 20
    UNFINISHED_SOCKET_OPERATION = 21
    PROXY_AUTHENTICATION_REQUIRED = 22
    SSL_HANDSHAKE_FAILED = 23
    PROXY_CONNECTION_REFUSED = 24
    PROXY_CONNECTION_CLOSED = 25
    PROXY_CONNECTION_TIMEOUT = 26
    PROXY_NOT_FOUND = 27
    PROXY_PROTOCOL = 28
    OPERATION = 29
    SSL_INTERNAL = 30
    SSL_INVALID_USER_DATA = 31
    TEMPORARY = 32
    INVALID_HANDLE = 100
    WRONG_KIND = 101
    WRONG_THREAD = 102
    INVALID_ARGUMENT = 103
    INVALID_STATE = 104
    LIMIT_REACHED = 105
    CANCELLED = 106
    NOT_PERMITTED = 107
    OUT_OF_MEMORY = 108

    @classmethod
    def from_wire(cls, value: Any) -> ErrorCode:
        if isinstance(value, str) and value.endswith("Error") and value != "NoError":
            value = value[: -len("Error")]
        return super().from_wire(value)


class NetworkProtocol(_NamedNumber):
    UNKNOWN = -1
    IPV4 = 0
    IPV6 = 1
    ANY_IP = 2


class SocketType(_NamedNumber):
    UNKNOWN = -1
    TCP = 0
    UDP = 1
    LOCAL = 2
    TLS = 3


class SocketOption(_NamedNumber):
    LOW_DELAY = 0
    KEEP_ALIVE = 1
    MULTICAST_TTL = 2
    MULTICAST_LOOPBACK = 3
    TYPE_OF_SERVICE = 4
    SEND_BUFFER_SIZE = 5
    RECEIVE_BUFFER_SIZE = 6
    PATH_MTU = 7
    KEEP_ALIVE_IDLE = 8
    KEEP_ALIVE_INTERVAL = 9
    KEEP_ALIVE_COUNT = 10
    USER_TIMEOUT = 11
    BROADCAST = 12
    QUICK_ACK = 13


class ObjectKind(_NamedNumber):
    LOOP = 1
    TCP_SOCKET = 2
    UDP_SOCKET = 3
    LOCAL_SOCKET = 4
    TLS_SOCKET = 5
    TCP_SERVER = 6
    LOCAL_SERVER = 7
    RELAY = 8
    LOOKUP = 9


class ProxyType(_NamedNumber):
    #: The one of the whole application.
    DEFAULT = 0
    SOCKS5 = 1
    #: None at all.
    NONE = 2
    HTTP = 3


class VerifyMode(_NamedNumber):
    """What is made of the peer's certificates."""

    #: PEER for clients, and for servers whose configuration names certificate authorities; NONE for others.
    AUTOMATIC = 0
    #: They are looked at, and what is wrong is no obstacle.
    QUERY = 1
    #: There must be one, and a good one.
    PEER = 2
    #: They are not asked for, or not looked at.
    NONE = 3

    @classmethod
    def from_wire(cls, value: Any) -> VerifyMode:
        return super().from_wire("automatic" if value == "auto" else value)


class TlsVersion(_NamedNumber):
    TLS_1_2 = 0x0303
    TLS_1_3 = 0x0304

    @classmethod
    def from_wire(cls, value: Any) -> TlsVersion:
        return super().from_wire(_plain(value).replace(".", "").replace("v", "") if isinstance(value, str) else value)


class SslErrorCode(_NamedNumber):
    """What may be wrong with certificates; the numbers are Qt's."""

    UNSPECIFIED_ERROR = -1
    UNABLE_TO_GET_ISSUER_CERTIFICATE = 1
    UNABLE_TO_DECRYPT_CERTIFICATE_SIGNATURE = 2
    UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY = 3
    CERTIFICATE_SIGNATURE_FAILED = 4
    CERTIFICATE_NOT_YET_VALID = 5
    CERTIFICATE_EXPIRED = 6
    INVALID_NOT_BEFORE_FIELD = 7
    INVALID_NOT_AFTER_FIELD = 8
    SELF_SIGNED_CERTIFICATE = 9
    SELF_SIGNED_CERTIFICATE_IN_CHAIN = 10
    UNABLE_TO_GET_LOCAL_ISSUER_CERTIFICATE = 11
    UNABLE_TO_VERIFY_FIRST_CERTIFICATE = 12
    CERTIFICATE_REVOKED = 13
    INVALID_CA_CERTIFICATE = 14
    PATH_LENGTH_EXCEEDED = 15
    INVALID_PURPOSE = 16
    CERTIFICATE_UNTRUSTED = 17
    CERTIFICATE_REJECTED = 18
    SUBJECT_ISSUER_MISMATCH = 19
    AUTHORITY_ISSUER_SERIAL_NUMBER_MISMATCH = 20
    NO_PEER_CERTIFICATE = 21
    HOST_NAME_MISMATCH = 22


class OpenMode(_NamedFlags):
    NOT_OPEN = 0
    READ_ONLY = 1
    WRITE_ONLY = 2
    READ_WRITE = 3
    APPEND = 4
    TRUNCATE = 8
    UNBUFFERED = 32


class BindMode(_NamedFlags):
    DEFAULT_FOR_PLATFORM = 0
    SHARE_ADDRESS = 1
    DONT_SHARE_ADDRESS = 2
    REUSE_ADDRESS_HINT = 4
    REUSE_PORT = 8


class InterfaceFlags(_NamedFlags):
    """What a network interface is and can."""

    IS_UP = 1
    IS_RUNNING = 2
    CAN_BROADCAST = 4
    IS_LOOPBACK = 8
    IS_POINT_TO_POINT = 16
    CAN_MULTICAST = 32


class PauseMode(_NamedFlags):
    NEVER = 0
    ON_SSL_ERRORS = 1


class LocalAccess(_NamedFlags):
    """Who may connect to a local server, and whether its name is an abstract one."""

    NONE = 0
    USER = 1
    GROUP = 2
    OTHER = 4
    WORLD = 7
    ABSTRACT_NAMESPACE = 8


class ConnectPhase(_NamedNumber):
    LOOKUP = 1
    CONNECT = 2
    PROXY = 3
    TLS = 4
