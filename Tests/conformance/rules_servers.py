"""Rules about servers: waiting for connections, pausing, limits, and the files of local servers."""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Set

from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values, values_of

_SERVERS = ("server", "localserver")


@rule("wait-for-pending-connection")
def wait_for_pending_connection(view: View) -> None:
    """waitForNewConnection returns at once when a connection waits already to be taken; past its time its error is SocketTimeoutError."""
    pending: Dict[str, int] = {}
    answered: Dict[str, bool] = {}
    for event in view.events:
        name = event["obj"]
        if view.kinds.get(name) not in _SERVERS:
            continue
        if event["ev"] == "signal" and event["name"] == "newConnection":
            pending[name] = pending.get(name, 0) + 1
        elif is_call(event, "nextPendingConnection") and event["ret"] is not None:
            pending[name] = pending.get(name, 0) - 1
        elif is_call(event, "close"):
            pending[name] = 0
        elif is_call(event, "waitForNewConnection"):
            answered[name] = False
            if pending.get(name, 0) > 0 and event["ret"] in ([False, True], [True, True]):
                event["ret"], answered[name] = [True, False], True
                if "elapsedOk" in event:
                    event["elapsedOk"] = True
        elif event["ev"] == "get" and event["name"] == "serverError" and event["value"] == "TemporaryError":
            # The reference reports that there was nothing to accept, and goes on doing so.
            event["value"] = "NoError" if answered.get(name) else "SocketTimeoutError"
        elif answered.get(name):
            set_values(event, {"serverError": "NoError", "errorString": ""})


@rule("unread-is-announced")
def unread_is_announced(view: View) -> None:
    """What came before a connection was taken raises readyRead once it is: in the next turn of the loop, unless it has been read by then."""
    taken = {e["ret"][8:-1]: i for i, e in enumerate(view.events)
             if is_call(e, "nextPendingConnection") and isinstance(e["ret"], str) and e["ret"] != "<object>"}
    steps = view.scenario["steps"]
    for name, index in taken.items():
        following = view.later(index, name)
        unread = False
        here = len(view.events)
        for j in following:
            event = view.events[j]
            if event["ev"] == "signal" or is_call(event, "read", "readAll", "readLine", "skip", "abort", "close"):
                here = j
                break
            unread = unread or bool(values_of(event).get("bytesAvailable"))
        last = view.events[here]["step"] if here < len(view.events) else len(steps)
        ran = [n for n in range(view.events[index]["step"] + 1, last + 1) if n == len(steps) or {"pump", "until", "untilValue"} & set(steps[n])]
        if not unread or not ran or here < len(view.events) and view.is_signal(here, "readyRead"):
            continue
        before = next((j for j in following if view.events[j]["step"] >= ran[0]), len(view.events))
        state = values_of(view.events[following[0]]).get("state", view.states[following[0]])
        view.events.insert(before, {**made_signal({"obj": name, "step": ran[0]}, "readyRead", state, True, "loop"), "_announces": True})
        for event in view.events[before:]:
            if event["obj"] == name and event["ev"] == "until" and event["name"] == "readyRead" and event["step"] == ran[0]:
                event["ok"] = True
        view.refresh()


@rule("pause-acts-at-once")
def pause_acts_at_once(view: View) -> None:
    """pauseAccepting inside newConnection stops the running batch: the rest is accepted after resumeAccepting."""
    for i, event in enumerate(view.events):
        if event["ev"] != "call" or event["name"] != "pauseAccepting" or event.get("within") != event["obj"] + ".newConnection":
            continue
        later = view.later(i, event["obj"])
        resumed = next((j for j in later if is_call(view.events[j], "resumeAccepting")), None)
        end = resumed if resumed is not None else len(view.events)
        moved = [j for j in later if j < end and view.events[j]["ev"] == "signal" and view.events[j]["in"] == "loop"]
        signals = [view.events[j] for j in moved]
        for j in reversed(moved):
            del view.events[j]
        if resumed is not None:
            place = end - len(moved) + 1
            view.events[place:place] = signals
        return


@rule("numbers-are-checked")
def numbers_are_checked(view: View) -> None:
    """A maximum of pending connections below 1 and a size below 0 are refused, and change nothing."""
    refused = {"setMaxPendingConnections": ("maxPendingConnections", 1), "setListenBacklogSize": ("listenBacklogSize", 1),
               "setReadBufferSize": ("readBufferSize", 0)}
    kept: Dict[str, Any] = {}
    current: Dict[Any, int] = {}
    for event in view.events:
        if event["ev"] == "call" and event["name"] in refused:
            getter, least = refused[event["name"]]
            key = (event["obj"], getter)
            default = {"maxPendingConnections": 30, "listenBacklogSize": 50, "readBufferSize": 0}[getter]
            if event["args"][0] < least:
                kept[event["obj"]] = {getter: current.get(key, default)}
            else:
                current[key] = event["args"][0]
                kept.pop(event["obj"], None)
        elif event["obj"] in kept:
            set_values(event, kept[event["obj"]])


def _path(view: View, text: str) -> str:
    return text if "/" in text else "${tmp}/" + text


@rule("local-server-files")
def local_server_files(view: View) -> None:
    """listen replaces the file of a dead server; removeServer spares a live one."""
    steps = view.scenario["steps"]
    if any("AbstractNamespace" in str(s.get("args")) for s in steps):
        return    # those names have no files
    raw: Dict[str, str] = {s["as"]: s["path"] for s in steps if s.get("new") == "RawUnixListener"}
    dead: Set[str] = set()
    alive: Dict[str, Optional[str]] = {}    # server -> path
    replaced: Dict[str, str] = {}           # server that listens here and did not there -> its error
    for event in view.events:
        name, kind = event["obj"], view.kinds.get(event["obj"])
        if event["ev"] == "call" and name in raw and event["name"] == "close":
            dead.add(raw[name])
        if event["ev"] == "deleted":
            alive.pop(name, None)
        if event["ev"] == "sys" and event["name"] == "exists":
            path = steps[event["step"]]["args"][0]
            if path in alive.values():
                event["value"] = True
        if kind != "localserver" or event["ev"] not in ("call", "get", "snapshot"):
            continue
        if is_call(event, "listen"):
            path = _path(view, event["args"][0])
            if alive.get(name):
                if event["ret"]:
                    event["ret"], replaced[name] = False, "OperationError"
            elif event["ret"] or path in dead:
                if not event["ret"]:
                    event["ret"], replaced[name] = True, "NoError"
                dead.discard(path)
                alive[name] = path
        elif is_call(event, "removeServer"):
            path = _path(view, event["args"][0])
            if path in alive.values():
                event["ret"] = False
            dead.discard(path)
        elif is_call(event, "close"):
            alive[name] = None
            replaced.pop(name, None)
        elif name in replaced:
            set_values(event, {"isListening": True, "serverError": replaced[name], "errorString": "" if replaced[name] == "NoError" else "some text"})
