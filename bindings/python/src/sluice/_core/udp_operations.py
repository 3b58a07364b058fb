"""The operations of UDP sockets, each declared once for both faces."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Optional, Tuple, Union

from ..datagrams import Datagram, OutgoingDatagram
from ..enums import ErrorCode, SocketState
from ..errors import OperationError
from .calls import Call, operation
from .channel import Bytes, encode_bytes
from .results import datagram, flag, list_of, nothing, number, text
from .socket_operations import SocketOperations

#: How many datagrams iteration asks for at a time: as JSON, even the largest ones stay below any sensible limit of a message.
BATCH = 64

#: What ``write_datagrams`` takes: bytes for the peer of a connected socket, or bytes with address and port.
Outgoing = Union[Bytes, Tuple[Bytes, str, int], OutgoingDatagram]


class UdpSocketOperations(SocketOperations):
    noun = "udpSocket"

    @operation
    def write_datagram(self, data: Bytes, address: Optional[str] = None, port: Optional[int] = None) -> Call[int]:
        """Sends one datagram, whole or not at all, and returns its size; it may be empty. Without an address it goes to the
        peer of a connected socket. A socket that is not bound is bound first. Never waits: what has to, is queued."""
        return Call(number, _outgoing(data, address, port))

    @operation
    def write_datagrams(self, datagrams: Iterable[Outgoing]) -> Call[int]:
        """Sends datagrams in their order, in few system calls: each bytes for the peer of a connected socket, (bytes, address,
        port), or an OutgoingDatagram. Returns how many were sent or queued; fewer than there are where no more can be queued
        or one cannot be sent, which errorOccurred tells. An error about the first of all is raised."""
        if isinstance(datagrams, (bytes, bytearray, memoryview, str)) or not isinstance(datagrams, Iterable):
            raise TypeError("a list of datagrams is needed; one alone goes by write_datagram")
        return Call(number, {"datagrams": [_datagram_of(each) for each in datagrams]})

    @operation
    def has_pending_datagrams(self) -> Call[bool]:
        """Whether a datagram waits to be read."""
        return Call(flag)

    @operation
    def pending_datagram_size(self) -> Call[int]:
        """The size of the next datagram, -1 when there is none."""
        return Call(number)

    @operation
    def read_datagram(self, max_size: int = -1) -> Call[Datagram]:
        """The next datagram; of one that is longer than ``max_size`` the rest is lost. Never waits: raises TemporaryError
        when there is none."""
        return Call(datagram, {"maxSize": max_size})

    @operation
    def read_datagrams(self, max_count: int) -> Call[List[Datagram]]:
        """At most so many of the datagrams that are there, perhaps none; never waits."""
        return Call(list_of(datagram), {"maxCount": max_count})

    @operation
    def join_multicast_group(self, group: str, interface: Union[str, int, None] = None) -> Call[None]:
        """Receives what is sent to the group from now on, on the interface of that name or number. The socket has to be bound, to
        "AnyIPv4" or an IPv4 address for a group of IPv4."""
        return Call(nothing, _membership(group, interface))

    @operation
    def leave_multicast_group(self, group: str, interface: Union[str, int, None] = None) -> Call[None]:
        """Ends what ``join_multicast_group`` began with the same group and interface."""
        return Call(nothing, _membership(group, interface))

    @operation
    def multicast_interface(self) -> Call[str]:
        """The name of the interface by which datagrams to groups leave; empty when the system chooses."""
        return Call(text)

    @operation
    def set_multicast_interface(self, interface: Union[str, int]) -> Call[None]:
        """Chooses it, by name or number; an empty name leaves it to the system."""
        return Call(nothing, {"interface": _interface(interface)})

    # For the calls of both faces that wait for datagrams.

    def _is_over(self, state: SocketState, error: ErrorCode, message: str) -> bool:
        """After a wait for datagrams that was in vain: whether the socket was closed, and raises what stopped it otherwise."""
        if state in (SocketState.BOUND, SocketState.CONNECTED):
            raise self._failure(error, message)
        return True


def closed_while_waiting() -> OperationError:
    return OperationError("the socket was closed while it was waited for a datagram")


def _outgoing(data: Any, address: Any, port: Any) -> Dict[str, Any]:
    if address is not None and not isinstance(address, str):
        raise TypeError(f"an address is text, as in write_datagram(data, '127.0.0.1', 7000), not {type(address).__name__}")
    if address is not None and port is None:
        raise TypeError(f"a port is needed too: (data, {address!r}, port)")
    members: Dict[str, Any] = encode_bytes(data)
    if address is not None:
        members["address"] = address
    if port is not None:
        members["port"] = port
    return members


def _datagram_of(item: Any) -> Dict[str, Any]:
    if isinstance(item, (bytes, bytearray, memoryview)):
        return _outgoing(item, None, None)
    if isinstance(item, tuple) and 0 < len(item) <= 3:
        return _outgoing(*OutgoingDatagram(*item))
    raise TypeError(f"a datagram is bytes or (bytes, address, port), not {item!r:.80}")


def _interface(interface: Union[str, int]) -> str:
    if isinstance(interface, bool) or not isinstance(interface, (str, int)):
        raise TypeError(f"an interface is a name or a number, not {type(interface).__name__}")
    return str(interface)


def _membership(group: str, interface: Union[str, int, None]) -> Dict[str, Any]:
    members = {"group": group}
    if interface is not None:
        members["interface"] = _interface(interface)
    return members
