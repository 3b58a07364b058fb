"""Rules about local sockets: they tell what happens in the order, and with the values, of TCP sockets."""
from __future__ import annotations

from typing import Any, Dict, List

from differences import Event, View, is_call, rule

CLOSED = {"isOpen": False, "openMode": "NotOpen", "isReadable": False, "isWritable": False, "bytesAvailable": 0, "canReadLine": False, "atEnd": True}


def set_values(event: Event, values: Dict[str, Any]) -> None:
    """Corrects what an event says of getters: a get, or those of a snapshot."""
    if event["ev"] == "get" and event["name"] in values:
        event["value"] = values[event["name"]]
    elif event["ev"] == "snapshot":
        for name in event["values"]:
            if name in values:
                event["values"][name] = values[name]


def values_of(event: Event) -> Dict[str, Any]:
    """What an event says of getters."""
    return event["values"] if event["ev"] == "snapshot" else {event["name"]: event["value"]} if event["ev"] == "get" else {}


def made_signal(like: Event, name: str, state: str, is_open: bool, context: str, *arguments: Any) -> Event:
    """A signal of the same object and step as another event."""
    out = {"obj": like["obj"], "step": like["step"], "ev": "signal", "name": name, "state": state, "open": is_open, "in": context}
    if name == "errorOccurred":
        out["errorString"] = "some text"
    return {**out, "args": list(arguments)} if arguments else out


@rule("local-connect-order")
def local_connect_order(view: View) -> None:
    """A failed connect of a local socket: aboutToClose if it was open, stateChanged(Unconnected), then errorOccurred."""
    for i, event in enumerate(view.events):
        if view.kinds.get(event["obj"]) != "local" or not view.is_signal(i, "errorOccurred") or event["state"] != "ConnectingState":
            continue
        following = [j for j in view.later(i, event["obj"]) if view.events[j]["ev"] == "signal"]
        closing = following[0] if following and view.is_signal(following[0], "aboutToClose") else None
        if closing is not None:
            following = following[1:]
        if not following or not view.is_signal(following[0], "stateChanged", "UnconnectedState"):
            continue    # refused while connecting: the attempt goes on
        told = view.events[i:closing if closing is not None else following[0]]
        first = i + len(told)
        end = view.handler_end(following[0])
        change = view.events[first:end]
        if closing is not None:
            change[0]["state"] = "ConnectingState"
        for part in told:
            if part["obj"] == event["obj"]:
                if "state" in part:
                    part["state"] = "UnconnectedState"
                if "open" in part:
                    part["open"] = False
                set_values(part, {"state": "UnconnectedState", "serverName": "", "fullServerName": ""})
        view.events[i:end] = change + told


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
    """abort and destruction of a local socket: aboutToClose first, while it is still open and named; then closed throughout."""
    names: Dict[str, Dict[str, Any]] = {}
    for i, event in enumerate(view.events):
        if view.kinds.get(event["obj"]) != "local":
            continue
        if is_call(event, "connectToServer") and event.get("args") and event["args"][0] not in ("ReadOnly", "ReadWrite"):
            given = event["args"][0].replace("${uniq}", "<uniq>").replace("${tmp}", "<tmp>")
            names[event["obj"]] = {"serverName": given, "fullServerName": given if "/" in given else "<tmp>/" + given}
        if not view.is_signal(i, "stateChanged", "UnconnectedState"):
            continue
        signals = _closing_signals(view, i)
        if not signals:
            continue
        last = signals[-1]
        end = view.handler_end(last)
        about = view.events[last:end]
        if about[0]["state"] != "<destroyed>":
            about[0]["state"] = view.states[i]
            for part in about:
                if part["obj"] == event["obj"]:
                    set_values(part, {"socketDescriptor": "<fd>", "state": view.states[i], **names.get(event["obj"], {})})
            for j in range(i, last):
                part = view.events[j]
                if part["obj"] == event["obj"]:
                    if "open" in part:
                        part["open"] = False
                    set_values(part, CLOSED)
        view.events[i:end] = about + view.events[i:last]
        view.refresh()


@rule("local-descriptor")
def local_descriptor(view: View) -> None:
    """A connected or closing local socket has its descriptor at every moment, in the handler of stateChanged too."""
    for i, event in enumerate(view.events):
        values = values_of(event)
        if view.kinds.get(event["obj"]) == "local" and values.get("state", view.states[i]) in ("ConnectedState", "ClosingState"):
            if values.get("socketDescriptor") == -1:
                set_values(event, {"socketDescriptor": "<fd>"})


@rule("local-disconnect-is-remembered")
def local_disconnect_is_remembered(view: View) -> None:
    """disconnectFromServer while connecting is remembered: connect, send, close."""
    wished: Dict[str, bool] = {}
    ended: Dict[str, bool] = {}
    i = 0
    while i < len(view.events):
        event = view.events[i]
        name = event["obj"]
        if view.kinds.get(name) == "local":
            if is_call(event, "disconnectFromServer") and view.states[i] == "ConnectingState":
                wished[name] = True
            elif is_call(event, "connectToServer", "abort", "close") or view.is_signal(i, "stateChanged", "UnconnectedState"):
                wished[name] = ended[name] = False
            elif wished.get(name) and view.is_signal(i, "connected"):
                place = view.handler_end(i)
                view.events[place:place] = [
                    made_signal(event, "stateChanged", "ClosingState", True, event["in"], "ClosingState"),
                    made_signal(event, "stateChanged", "UnconnectedState", True, event["in"], "UnconnectedState"),
                    made_signal(event, "readChannelFinished", "UnconnectedState", True, event["in"]),
                    made_signal(event, "disconnected", "UnconnectedState", True, event["in"])]
                wished[name], ended[name] = False, True
                i = place + 3
                view.refresh()
            elif ended.get(name):
                set_values(event, {"state": "UnconnectedState", "serverName": "", "fullServerName": "", "socketDescriptor": -1, "isValid": False})
        i += 1
