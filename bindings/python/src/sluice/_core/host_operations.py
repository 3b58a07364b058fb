"""The operations about names and network interfaces."""

from __future__ import annotations

from typing import Any, List

from ..enums import InterfaceFlags, NetworkProtocol
from .calls import Call, operation
from .objects import SessionPart
from .results import NetworkInterface, list_of, number, text

LOOKUP_TIMEOUT = 60000


def _interface(value: Any) -> NetworkInterface:
    return NetworkInterface(
        text(value["name"]), number(value["index"]), InterfaceFlags.from_wire(value["flags"]), [text(each) for each in value["addresses"]]
    )


class HostOperations(SessionPart):
    noun = "host"

    @operation
    def lookup(
        self, name: str, protocol: NetworkProtocol = NetworkProtocol.ANY_IP, timeout: int = LOOKUP_TIMEOUT
    ) -> Call[List[str]]:
        """The addresses of a name, in the order in which to try them; an address is its own. Raises HostNotFoundError where
        there is none."""
        return Call(list_of(text), {"name": name, "protocol": protocol, "timeout": timeout}, waits=timeout)

    @operation
    def interfaces(self) -> Call[List[NetworkInterface]]:
        """The network interfaces of the machine that the sidecar runs on."""
        return Call(list_of(_interface))
