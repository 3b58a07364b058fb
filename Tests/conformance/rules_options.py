"""Rules about socket options: what is set is kept, and what does not fit is refused."""
from __future__ import annotations

from typing import Any, Dict, Optional, Tuple

import vocabulary
from datagram_model import datagram_sockets
from differences import View, rule

# The values that each option takes.  Switches take any.
_SWITCH = (None, None)
_LIMITS: Dict[str, Tuple[Optional[int], Optional[int]]] = {
    "LowDelayOption": _SWITCH, "KeepAliveOption": _SWITCH, "MulticastLoopbackOption": _SWITCH, "MulticastTtlOption": (0, 255),
    "TypeOfServiceOption": (0, 255), "SendBufferSizeSocketOption": (0, 2**31 - 1), "ReceiveBufferSizeSocketOption": (0, 2**31 - 1)}
_BUFFERS = ("SendBufferSizeSocketOption", "ReceiveBufferSizeSocketOption")
_WITHOUT_DESCRIPTOR = ("UnconnectedState", "HostLookupState")
# The two lowest bits of the type of service are TCP's own (RFC 3168).
_TCP_SERVICE = 0xfc


def _fitting(option: str, value: Any) -> Optional[int]:
    """The value as it is kept, None when it is refused."""
    least, most = _LIMITS[option]
    value = vocabulary.argument("int", value)
    if least is None:
        return int(bool(value))
    return int(value) if isinstance(value, int) and least <= value <= (most or 0) else None


def _has(option: str, udp: bool) -> bool:
    return option != "LowDelayOption" if udp else option != "MulticastTtlOption"


@rule("options-are-kept")
def options_are_kept(view: View) -> None:
    """An option is kept whenever it is set, and holds for every descriptor after; one that does not fit is refused; TypeOfService works on IPv6."""
    datagrams = datagram_sockets(view)
    kept: Dict[str, Dict[str, int]] = {}
    early: Dict[str, Dict[str, bool]] = {}    # set while there was no descriptor, or for an earlier one
    for i, event in enumerate(view.events):
        name = event["obj"]
        if view.is_signal(i, "stateChanged", "UnconnectedState"):
            early[name] = {option: True for option in kept.get(name, {})}
        if view.kinds.get(name) != "socket" or event["ev"] != "call" or event["name"] not in ("socketOption", "setSocketOption"):
            continue
        values, option, udp = kept.setdefault(name, {}), event["args"][0], name in datagrams
        if option == "PathMtuSocketOption" and udp and event["name"] == "socketOption" and "TypeOfServiceOption" in values:
            # Setting the one makes Linux forget what it knew of the other.
            event["ret"] = event["ret"] if early.get(name, {}).get("TypeOfServiceOption") else None
        if option not in _LIMITS or not _has(option, udp):
            continue
        bare = view.states[i] in _WITHOUT_DESCRIPTOR
        if event["name"] == "setSocketOption":
            value = _fitting(option, event["args"][1])
            if value is not None:
                values[option] = value
                early.setdefault(name, {})[option] = bare
            continue
        if option in values:
            if option in _BUFFERS:
                if bare:
                    event["ret"] = values[option] if isinstance(event["ret"], int) or "record" not in _step(view, i) else ">0"
                elif early.get(name, {}).get(option) and isinstance(event["ret"], int):
                    event["ret"] = 2 * values[option]    # as Linux counts
            elif option == "TypeOfServiceOption" and not udp and not bare:
                event["ret"] = values[option] & _TCP_SERVICE
            else:
                event["ret"] = values[option]
        elif bare:
            event["ret"] = None
        elif option == "TypeOfServiceOption" and (event["ret"] is None or _was_refused(view, i, option)):
            event["ret"] = 0


def _step(view: View, index: int) -> Dict[str, Any]:
    return view.scenario["steps"][view.events[index]["step"]]


def _was_refused(view: View, index: int, option: str) -> bool:
    """Whether a value of that option was set that does not fit."""
    event = view.events[index]
    return any(e["obj"] == event["obj"] and e["ev"] == "call" and e["name"] == "setSocketOption" and e["args"][0] == option
               and _fitting(option, e["args"][1]) is None for e in view.events[:index])
