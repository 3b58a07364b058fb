"""The operations of a session, each declared once for both faces."""

from __future__ import annotations

from typing import Any, Dict

from .calls import Call, operation
from .objects import SessionCore
from .results import ActivatedDescriptor, Greeting, HeldDescriptor, as_it_is, json_object, nothing, text


class SessionOperations(SessionCore):
    noun = "session"

    @operation
    def hello(self, client: str, protocol: int = 1) -> Call[Greeting]:
        """Introduces the client. ``start`` and ``connect`` have done it already."""
        return Call(self._greeted, {"client": client, "protocol": protocol})

    @operation
    def ping(self, payload: Any = None) -> Call[Any]:
        """Asks for an answer: the payload."""
        return Call(as_it_is, {"payload": payload})

    @operation
    def stats(self) -> Call[Dict[str, Any]]:
        """Counts of requests, bytes, handles and queues."""
        return Call(json_object)

    @operation
    def shutdown(self) -> Call[None]:
        """Asks the sidecar to end, for all its clients."""
        return Call(nothing)

    def _greeted(self, value: Any) -> Greeting:
        limits = json_object(value.get("limits", {}))
        self._channel.message_limit = limits.get("messageSize", self._channel.message_limit)
        self._channel.depth_limit = limits.get("depth", self._channel.depth_limit)
        return Greeting(
            text(value.get("server")),
            text(value.get("version")),
            value.get("protocol", 1),
            limits,
            list(value.get("capabilities", ())),
            [ActivatedDescriptor(HeldDescriptor(each["descriptor"]), text(each["name"])) for each in value.get("activated", ())],
        )


class RpcOperations(SessionCore):
    noun = "rpc"

    @operation
    def discover(self) -> Call[Dict[str, Any]]:
        """The OpenRPC description of all operations."""
        return Call(json_object)
