"""Datagrams as a program sees them."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple, Union

__all__ = ["Datagram", "OutgoingDatagram"]


class Datagram(NamedTuple):
    """A datagram that came, with all that the system told of it."""

    data: bytes
    #: Who sent it; None and 0 when the system did not tell.
    sender_address: Optional[str]
    sender_port: int
    #: The address of this machine, the group or the broadcast address that it was sent to; None when it is not known.
    destination_address: Optional[str] = None
    destination_port: int = 0
    #: The number of the network interface that it came in by; 0 when it is not known.
    interface_index: int = 0
    #: What is left of its hop limit (time to live); -1 when it is not known.
    hop_limit: int = -1
    #: There was more of it than was asked for; the rest is lost.
    truncated: bool = False

    @property
    def sender(self) -> Tuple[Optional[str], int]:
        """Where an answer goes: ``sock.write_datagram(answer, *datagram.sender)``."""
        return self.sender_address, self.sender_port


class OutgoingDatagram(NamedTuple):
    """A datagram for ``write_datagrams``; without an address it goes to the peer of a connected socket."""

    data: Union[bytes, bytearray, memoryview]
    address: Optional[str] = None
    port: Optional[int] = None
