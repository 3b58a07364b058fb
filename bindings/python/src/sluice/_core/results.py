"""What operations result in, and how it is read from the JSON of an answer.

A reader raises ValueError, TypeError or KeyError for what it cannot read; the conversation makes a ProtocolError of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, TypeVar

from ..datagrams import Datagram
from ..enums import InterfaceFlags, ProxyType, SslErrorCode
from ..proxies import Proxy
from ..tls import Certificate, SslError
from .channel import decode_bytes

R = TypeVar("R")


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


@dataclass(frozen=True)
class NetworkInterface:
    """A network interface of the sidecar's machine."""

    name: str
    #: As ``Datagram.interface_index`` has it.
    index: int
    flags: InterfaceFlags
    addresses: List[str]


class RelayCounters(NamedTuple):
    """How many bytes a relay has moved, each way."""

    a_to_b: int
    b_to_a: int


class HeldDescriptor(int):
    """The number of a descriptor that the sidecar holds, as the event incomingConnection and ``Greeting.activated`` bring it. It
    means something to ``set_descriptor`` alone."""

    def __repr__(self) -> str:
        return f"HeldDescriptor({int(self)})"


class ActivatedDescriptor(NamedTuple):
    """A listening socket that the service manager has opened and passed to the sidecar, for ``set_descriptor`` of a server."""

    descriptor: HeldDescriptor
    name: str


class Greeting(NamedTuple):
    """What a sidecar says of itself."""

    server: str
    version: str
    protocol: int
    limits: Mapping[str, int]
    capabilities: List[str]
    activated: Sequence[ActivatedDescriptor] = ()


def nothing(value: Any) -> None:
    return None


def as_it_is(value: Any) -> Any:
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"not a boolean: {value!r}")
    return value


def number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"not a number: {value!r}")
    return value


def text(value: Any) -> str:
    return "" if value is None else str(value)


def maybe_number(value: Any) -> Optional[int]:
    return None if value is None else number(value)


def maybe_text(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def json_object(value: Any) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"not an object: {value!r}")
    return value


def list_of(read: Callable[[Any], R]) -> Callable[[Any], List[R]]:
    def read_all(value: Any) -> List[R]:
        if not isinstance(value, list):
            raise ValueError(f"not a list: {value!r}")
        return [read(each) for each in value]

    return read_all


def datagram(value: Any) -> Datagram:
    return Datagram(
        decode_bytes(value),
        maybe_text(value["senderAddress"]) or None,
        number(value["senderPort"]),
        maybe_text(value["destinationAddress"]) or None,
        number(value["destinationPort"]),
        number(value["interfaceIndex"]),
        number(value["hopLimit"]),
        flag(value["truncated"]),
    )


def read_proxy(value: Any) -> Proxy:
    return Proxy(
        ProxyType.from_wire(value["type"]), text(value.get("host")), value.get("port") or 0, text(value.get("user")),
        host_name_lookup=bool(value.get("hostNameLookup", True)),
    )  # fmt: skip


def read_certificate(value: Any) -> Certificate:
    return Certificate(
        text(value["pem"]), text(value["subject"]), text(value["issuer"]), text(value["commonName"]), text(value["serialNumber"]),
        text(value["validFrom"]), text(value["validUntil"]), [text(each) for each in value["subjectAlternativeNames"]],
        text(value["fingerprint"]), flag(value["isSelfSigned"]),
    )  # fmt: skip


def read_ssl_error(value: Any) -> SslError:
    return SslError(SslErrorCode.from_wire(value["error"]), text(value["message"]), number(value["depth"]))


def read_counters(value: Any) -> RelayCounters:
    return RelayCounters(number(value["aToB"]), number(value["bToA"]))


def members_of(properties: Mapping[str, Any]) -> Dict[str, Any]:
    """Properties as they are sent."""
    if not isinstance(properties, Mapping):
        raise TypeError(f"properties are given as a dictionary of names and values, not as {type(properties).__name__}")
    return dict(properties)


def new_connection(value: Any) -> NewConnection:
    return NewConnection(flag(value["available"]), flag(value["timedOut"]))


def peer_credentials(value: Any) -> PeerCredentials:
    return PeerCredentials(number(value["pid"]), number(value["uid"]), number(value["gid"]))
