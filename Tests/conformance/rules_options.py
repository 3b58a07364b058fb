"""Rules about socket options: what is set is kept, and what does not fit is refused."""
from __future__ import annotations

from typing import Any, Dict

from differences import View, rule

# Options whose value is read back as it was set.
_PLAIN = {"LowDelayOption": (0, 1), "KeepAliveOption": (0, 1), "TypeOfServiceOption": (0, 255)}


@rule("options-are-kept")
def options_are_kept(view: View) -> None:
    """An option is kept whenever it is set, and holds for every connection after; one that does not fit is refused; TypeOfService works on IPv6."""
    kept: Dict[str, Dict[str, Any]] = {}
    for i, event in enumerate(view.events):
        if view.kinds.get(event["obj"]) != "socket" or event["ev"] != "call" or event["name"] not in ("socketOption", "setSocketOption"):
            continue
        values, option = kept.setdefault(event["obj"], {}), event["args"][0]
        if option not in _PLAIN:
            continue
        if event["name"] == "setSocketOption":
            least, most = _PLAIN[option]
            value = event["args"][1]
            if isinstance(value, int) and least <= value <= most:
                values[option] = int(value)
            elif option == "TypeOfServiceOption":
                values.setdefault(option, 0)
        elif option in values:
            event["ret"] = values[option]
        elif option == "TypeOfServiceOption" and event["ret"] is None and view.states[i] in ("ConnectedState", "ConnectingState"):
            event["ret"] = 0
