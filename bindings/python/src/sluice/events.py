"""Events as a program sees them, and the queue they wait in."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, FrozenSet, List, Mapping, Optional

from ._core.channel import decode_bytes
from ._core.results import HeldDescriptor, RelayCounters, read_counters, read_proxy, read_ssl_error
from .enums import SocketState
from .errors import EventsLostError, SluiceError, error_of_values
from .proxies import Proxy
from .tls import SslError

if TYPE_CHECKING:
    from ._core.objects import HandleObject

SOCKET_EVENTS = frozenset(
    "hostFound connected disconnected stateChanged errorOccurred readyRead lineAvailable bytesWritten aboutToClose "
    "readChannelFinished proxyAuthenticationRequired propertyChanged completed encrypted sslErrors data line".split()
)
SERVER_EVENTS = frozenset(
    "newConnection pendingConnectionAvailable incomingConnection acceptError stateChanged errorOccurred "
    "propertyChanged".split()
)

RELAY_EVENTS = frozenset(("finished",))

#: What an object sends unless it is told otherwise with ``subscribe``: all but these.
NOT_SENT_AT_FIRST = frozenset(("bytesWritten", "propertyChanged"))

#: These are sent, but an answer is waited for only where somebody has named them.
WANTED_BY_NAME = frozenset(("proxyAuthenticationRequired",))

#: How many events wait for somebody to take them before the oldest are dropped.
QUEUE_LIMIT = 65536

# Events that only say "more of the same": while one waits unseen, the next one of that object joins it.
_JOINING: FrozenSet[str] = frozenset(("readyRead", "lineAvailable", "bytesWritten"))


class Event:
    """Something that happened to an object, with the object's state at that moment."""

    __slots__ = ("name", "source", "state", "is_open", "values")

    #: "readyRead", "connected", ...
    name: str
    #: The object it happened to.
    source: Any
    #: The state of the object at that moment; by now it may have another. None for servers.
    state: Optional[SocketState]
    #: Whether the object was open at that moment.
    is_open: bool
    #: All that came with the event, by the names of the protocol.
    values: Mapping[str, Any]

    def __init__(self, name: str, source: HandleObject, values: Mapping[str, Any]) -> None:
        state = values.get("state")
        self.name = name
        self.source = source
        self.state = None if state is None else SocketState.from_wire(state)
        self.is_open = bool(values.get("isOpen", False))
        self.values = values

    @property
    def bytes_available(self) -> int:
        """Of readyRead: how many bytes wait to be read."""
        return int(self.values.get("bytesAvailable", 0))

    @property
    def bytes_written(self) -> int:
        """Of bytesWritten: how many bytes went to the system since the last such event."""
        return int(self.values.get("bytes", 0))

    @property
    def pending(self) -> int:
        """Of newConnection: how many connections wait to be taken."""
        return int(self.values.get("pending", 0))

    @property
    def data(self) -> bytes:
        """Of data and line: the bytes."""
        return decode_bytes(self.values) if "data" in self.values else b""

    @property
    def descriptor(self) -> HeldDescriptor:
        """Of incomingConnection: the connection, for ``set_descriptor`` of a socket."""
        return HeldDescriptor(self.values.get("descriptor", -1))

    @property
    def counters(self) -> RelayCounters:
        """Of finished: how many bytes went each way."""
        return read_counters(self.values)

    @property
    def proxy(self) -> Proxy:
        """Of proxyAuthenticationRequired: the proxy that asks."""
        return read_proxy(self.values.get("proxy", {"type": "None"}))

    @property
    def realm(self) -> str:
        """Of proxyAuthenticationRequired: for what the proxy wants user and password, in its own words."""
        return str(self.values.get("realm", ""))

    @property
    def ssl_errors(self) -> List[SslError]:
        """Of sslErrors: what is wrong with the peer's certificates."""
        return [read_ssl_error(each) for each in self.values.get("errors", ())]

    @property
    def property_name(self) -> str:
        """Of propertyChanged: which one, by its name in the protocol."""
        return str(self.values.get("name", ""))

    @property
    def property_value(self) -> Any:
        """Of propertyChanged: what it is now."""
        return self.values.get("value")

    @property
    def error(self) -> Optional[SluiceError]:
        """Of errorOccurred, acceptError and finished: the error, as the exception it would be if it were raised."""
        return error_of_values(self.values) if self.values.get("error") not in (None, "NoError") else None

    def __repr__(self) -> str:
        own = {name: value for name, value in self.values.items() if name not in ("handle", "state", "isOpen")}
        return f"<Event {self.name} of {self.source!r}{f' {own}' if own else ''}>"


Callback = Callable[[Event], Any]


class EventBuffer:
    """Events in their order, until somebody takes them.

    It cannot grow without end: joining events join, and beyond the limit the oldest event is dropped, which ``take`` tells once.
    """

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        self._limit = limit
        self._boxes: Deque[List[Event]] = collections.deque()
        self._joinable: Dict[int, Dict[str, List[Event]]] = {}
        self._lost = 0

    def __len__(self) -> int:
        return len(self._boxes)

    def add(self, event: Event) -> None:
        handle = event.source.handle
        box = [event]
        if event.name in _JOINING:
            waiting = self._joinable.setdefault(handle, {})
            earlier = waiting.get(event.name)
            if earlier is not None:
                earlier[0] = _joined(earlier[0], event)
                return
            waiting[event.name] = box
        else:
            # Whatever comes after this must not move before it.
            self._joinable.pop(handle, None)
        self._boxes.append(box)
        if len(self._boxes) > self._limit:
            self._remove_first()
            self._lost += 1

    def take(self) -> Optional[Event]:
        """The oldest event, None if there is none; EventsLostError where some were dropped."""
        if self._lost:
            lost, self._lost = self._lost, 0
            raise EventsLostError(lost)
        return self._remove_first() if self._boxes else None

    def _remove_first(self) -> Event:
        box = self._boxes.popleft()
        event = box[0]
        waiting = self._joinable.get(event.source.handle)
        if waiting is not None and waiting.get(event.name) is box:
            del waiting[event.name]
            if not waiting:
                del self._joinable[event.source.handle]
        return event


def _joined(earlier: Event, later: Event) -> Event:
    if later.name != "bytesWritten":
        return later
    total = earlier.bytes_written + later.bytes_written
    return Event(later.name, later.source, {**later.values, "bytes": total})
