"""Rules about the order of signals: local sockets behave as TCP sockets do."""
from __future__ import annotations

from typing import Any, Dict, List

from differences import View, rule

CLOSED = {"isOpen": False, "openMode": "NotOpen", "isReadable": False, "isWritable": False, "bytesAvailable": 0, "canReadLine": False, "atEnd": True}


def set_values(event: Dict[str, Any], values: Dict[str, Any]) -> None:
    """Corrects what an event says of getters: a get, or those of a snapshot."""
    if event["ev"] == "get" and event["name"] in values:
        event["value"] = values[event["name"]]
    elif event["ev"] == "snapshot":
        for name in event["values"]:
            if name in values:
                event["values"][name] = values[name]


@rule("local-connect-order")
def local_connect_order(view: View) -> None:
    """A failed connect of a local socket: stateChanged(Unconnected) first, then errorOccurred."""
    for i, event in enumerate(view.events):
        if view.kinds.get(event["obj"]) != "local" or not view.is_signal(i, "errorOccurred") or event["state"] != "ConnectingState":
            continue
        following = [j for j in view.later(i, event["obj"]) if view.events[j]["ev"] == "signal"]
        if not following or not view.is_signal(following[0], "stateChanged", "UnconnectedState"):
            continue    # refused while connecting: the attempt goes on
        changed = following[0]
        told = view.events[i:changed]
        change = view.events[changed:view.handler_end(changed)]
        for part in told:
            if part["obj"] == event["obj"]:
                if "state" in part:
                    part["state"] = "UnconnectedState"
                set_values(part, {"state": "UnconnectedState", "serverName": "", "fullServerName": ""})
        view.events[i:changed + len(change)] = change + told


def _closing_signals(view: View, index: int) -> List[int]:
    """The signals of one abort of a local socket, from stateChanged(Unconnected) to the aboutToClose that comes last, if it does."""
    first = view.events[index]
    out = [index]
    for j in view.later(index, first["obj"]):
        event = view.events[j]
        if event["ev"] != "signal":
            continue
        if event["in"] != first["in"] or event["name"] not in ("readChannelFinished", "disconnected", "aboutToClose"):
            break
        out.append(j)
        if event["name"] == "aboutToClose":
            return out
    return []


@rule("local-abort-order")
def local_abort_order(view: View) -> None:
    """abort and destruction of a local socket: aboutToClose first, while it is still open; then closed throughout."""
    for i, event in enumerate(view.events):
        if view.kinds.get(event["obj"]) != "local" or not view.is_signal(i, "stateChanged", "UnconnectedState"):
            continue
        signals = _closing_signals(view, i)
        if not signals:
            continue
        last = signals[-1]
        end = view.handler_end(last)
        about = view.events[last:end]
        if about[0]["state"] != "<destroyed>":
            about[0]["state"] = view.states[i]
            for j in range(i, last):
                part = view.events[j]
                if part["obj"] == event["obj"]:
                    if "open" in part:
                        part["open"] = False
                    set_values(part, CLOSED)
        view.events[i:end] = about + view.events[i:last]
        view.refresh()
