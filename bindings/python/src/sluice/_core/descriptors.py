"""Descriptors of this process, on their way into the sidecar and out of it."""

from __future__ import annotations

import os
import socket
from typing import Any, Mapping, Protocol, Union

from ..errors import InvalidArgumentError
from .calls import Call
from .results import HeldDescriptor, nothing


class HasFileno(Protocol):
    """A socket, a file, or whatever else stands for a descriptor."""

    def fileno(self) -> int: ...


HasDescriptor = Union[int, HasFileno]


def number_of(descriptor: HasDescriptor) -> int:
    """The number of an open descriptor. Raises for what is none, before anything is sent."""
    fileno = getattr(descriptor, "fileno", None)
    number = fileno() if callable(fileno) else descriptor
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"a socket, a file or the number of a descriptor is needed, not {type(descriptor).__name__}")
    try:
        os.fstat(number)
    except (OSError, OverflowError):
        what = "this number names" if number is descriptor else f"{descriptor!r} has"
        raise InvalidArgumentError(f"{what} no open descriptor of this process: {number}") from None
    return number


def descriptor_call(descriptor: HasDescriptor, parameters: Mapping[str, Any]) -> Call[None]:
    """The request that hands a descriptor over."""
    if isinstance(descriptor, HeldDescriptor):
        return Call(nothing, {**parameters, "descriptor": int(descriptor)})
    number = number_of(descriptor)
    return Call(nothing, {**parameters, "descriptor": number}, descriptor=number)


def as_socket(number: int) -> socket.socket:
    """A descriptor that is ours now, as Python's own socket, which waits as a new one does."""
    try:
        made = socket.socket(fileno=number)
    except BaseException:
        os.close(number)
        raise
    made.settimeout(socket.getdefaulttimeout())
    return made
