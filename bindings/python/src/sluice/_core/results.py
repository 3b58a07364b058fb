"""What operations result in, and how it is read from the JSON of an answer.

A reader raises ValueError, TypeError or KeyError for what it cannot read; the conversation makes a ProtocolError of that.
"""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, NamedTuple, Optional


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


def new_connection(value: Any) -> NewConnection:
    return NewConnection(flag(value["available"]), flag(value["timedOut"]))


def peer_credentials(value: Any) -> PeerCredentials:
    return PeerCredentials(number(value["pid"]), number(value["uid"]), number(value["gid"]))


def open_descriptor(descriptor: Optional[int]) -> Optional[int]:
    """What can travel. The sidecar has to say what is wrong with a number that names nothing."""
    try:
        if descriptor is not None:
            os.fstat(descriptor)
        return descriptor
    except (OSError, OverflowError, TypeError):
        return None
