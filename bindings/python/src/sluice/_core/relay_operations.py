"""The operations of relays, each declared once for both faces."""

from __future__ import annotations

from typing import Any

from ..events import RELAY_EVENTS, Callback
from .calls import Call, operation
from .handle_operations import HandleOperations
from .objects import HandleObject
from .results import RelayCounters, read_counters


class RelayOperations(HandleOperations):
    noun = "relay"
    event_names = RELAY_EVENTS

    @operation
    def counters(self) -> Call[RelayCounters]:
        """How many bytes went each way."""
        return Call(read_counters)

    def on_finished(self, callback: Callback) -> Callback:
        return self.on("finished", callback)


def socket_of(socket: Any) -> int:
    """The handle of an end of a relay."""
    if not isinstance(socket, HandleObject):
        raise TypeError(f"a socket of this session is needed, not {type(socket).__name__}")
    return socket.handle
