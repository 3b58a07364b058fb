"""The operations of all objects, each declared once for both faces."""

from __future__ import annotations

from typing import Any, Iterable, Union

from ..enums import ObjectKind
from ..events import NOT_SENT_AT_FIRST
from .calls import Call, operation
from .objects import HandleObject


class HandleOperations(HandleObject):
    noun = "handle"

    @operation
    def destroy(self) -> Call[None]:
        """Closes at once and drops what is pending. The handle names nothing from then on."""
        return Call(lambda _: self._session._remove(self))

    @operation
    def kind(self) -> Call[ObjectKind]:
        """What kind of object it is."""
        return Call(ObjectKind.from_wire)

    @operation
    def subscribe(self, events: Union[str, Iterable[str]]) -> Call[None]:
        """Which events it sends: their names, "all", "none", or "default", which is all but bytesWritten and propertyChanged."""
        if events == "all":
            wanted = self.event_names
        elif events == "default":
            wanted = self.event_names - NOT_SENT_AT_FIRST
        elif events == "none":
            wanted = frozenset()
        else:
            wanted = frozenset((events,) if isinstance(events, str) else events)

        def subscribed(_: Any) -> None:
            self._subscribed = set(wanted)

        return Call(subscribed, {"events": events if isinstance(events, str) else sorted(wanted)})
