"""Rules about single values: what is valid, what is an error, and when it is over."""
from __future__ import annotations

from typing import Dict, List

from datagram_model import datagram_sockets
from differences import View, is_call, rule
from rules_order import made_signal, set_values, values_of

_LIVE = ("ConnectedState", "ClosingState", "BoundState")


@rule("failed-bind-leaves-no-descriptor")
def failed_bind_leaves_no_descriptor(view: View) -> None:
    """Neither a failed bind nor a failed listen leaves a descriptor behind."""
    listening: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        kind = view.kinds.get(event["obj"])
        if is_call(event, "listen", "setSocketDescriptor"):
            listening[event["obj"]] = event["ret"] or listening.get(event["obj"], False)
        dead = view.states[i] == "UnconnectedState" if kind in ("socket", "local") else not listening.get(event["obj"], False)
        if kind not in (None, "peer") and dead and values_of(event).get("socketDescriptor") == "<fd>":
            set_values(event, {"socketDescriptor": -1})


@rule("failed-connect-leaves-no-address")
def failed_connect_leaves_no_address(view: View) -> None:
    """After a failed connect of a bound socket its address and port are those of a socket that has none."""
    bound: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if is_call(event, "bind"):
            bound[name] = event["ret"] is True
        if not bound.get(name):
            continue
        if view.states[i] == "UnconnectedState" or values_of(event).get("state") == "UnconnectedState":
            later = [j for j in range(i) if view.events[j]["obj"] == name and view.is_signal(j, "stateChanged")]
            if later and view.states[later[-1]] in ("ConnectingState", "HostLookupState"):
                set_values(event, {"localAddress": "", "localPort": 0})


@rule("is-valid")
def is_valid(view: View) -> None:
    """isValid is true while there is a live descriptor, and only then."""
    virtual: Dict[str, bool] = {}    # a state that was only set
    for i, event in enumerate(view.events):
        if is_call(event, "setSocketState", "connectToHost", "bind", "setSocketDescriptor"):
            virtual[event["obj"]] = event["name"] == "setSocketState"
        if view.kinds.get(event["obj"]) not in ("socket", "local") or event["ev"] not in ("get", "snapshot"):
            continue
        state = event["values"].get("state", view.states[i]) if event["ev"] == "snapshot" else view.states[i]
        set_values(event, {"isValid": state in _LIVE and not virtual.get(event["obj"], False)})


@rule("error-is-cleared")
def error_is_cleared(view: View) -> None:
    """error is NoError again after a success of the same kind of call: a wait after a time-out, a bind, a listen, a connect."""
    group: Dict[str, str] = {}    # what the object's error came from
    cleared: Dict[str, bool] = {}
    for event in view.events:
        name = event["obj"]
        if event["ev"] == "signal" and event["name"] == "errorOccurred":
            cleared[name] = False
            group[name] = "wait" if event["args"] == ["SocketTimeoutError"] else event["in"].split(".")[-1]
        elif event["ev"] == "signal" and event["name"] == "stateChanged" and event["args"] == ["ConnectedState"]:
            cleared[name] = group.get(name) in ("connectToHost", "connectToServer")
        elif event["ev"] == "signal" and event["name"] == "stateChanged" and event["args"] == ["BoundState"] \
                and event["in"] == name + ".writeDatagram":
            cleared[name] = group.get(name) in ("bind", "connectToHost", "loop")
        elif event["ev"] == "call":
            if event["name"] == "listen":
                if event["ret"]:
                    cleared[name] = group.get(name) == "listen" or cleared.get(name, False)
                else:
                    group[name], cleared[name] = "listen", False
            elif event["name"] == "waitForNewConnection" and event["ret"] == [False, True]:
                group[name], cleared[name] = "wait", False
            elif event["name"].startswith("waitFor") and event["ret"] in (True, [True, False]) and group.get(name) == "wait":
                cleared[name] = True
            elif event["name"] == "bind" and event["ret"] and group.get(name) in ("bind", "connectToHost", "loop"):
                cleared[name] = True
        elif cleared.get(name):
            set_values(event, {"error": "NoError", "serverError": "NoError", "errorString": ""})


@rule("connect-arguments")
def connect_arguments(view: View) -> None:
    """An empty host is EmptyHostNameError and port 0 PortNumberOutOfRangeError, told as other failed connects are, without a try."""
    why: Dict[str, str] = {}
    drop: List[int] = []
    for i, event in enumerate(view.events):
        name = event["obj"]
        if view.kinds.get(name) != "socket":
            continue
        if is_call(event, "connectToHost"):
            arguments = event["args"]
            why.pop(name, None)
            if arguments[0] == "":
                why[name] = "EmptyHostNameError"
            elif arguments[1] == 0:
                why[name] = "PortNumberOutOfRangeError"
                if name in datagram_sockets(view):
                    _not_connected(view, i, why.pop(name))
                drop += [j for j in range(i) if view.events[j]["obj"] == name and view.events[j]["step"] == event["step"]
                         and (view.is_signal(j, "hostFound") or view.is_signal(j, "stateChanged", "ConnectingState"))]
        elif name in why:
            if event["ev"] == "signal" and event["name"] == "errorOccurred":
                event["args"] = [why[name]]
            if values_of(event).get("state") == "ConnectingState":
                set_values(event, {"state": "HostLookupState"})
            if values_of(event).get("error") in ("HostNotFoundError", "ConnectionRefusedError"):
                set_values(event, {"error": why[name]})
    for j in reversed(drop):
        del view.events[j]


def _not_connected(view: View, index: int, error: str) -> None:
    """A datagram socket that is not connected after all: it is told in the next turn of the loop, and stays as it is."""
    call = view.events[index]
    name = call["obj"]
    gone = [j for j in range(index) if view.events[j]["obj"] == name and view.events[j]["step"] == call["step"]
            and view.events[j]["ev"] == "signal" and not view.is_signal(j, "stateChanged", "HostLookupState")]
    for j in gone:
        view.events[j]["_gone"] = True
    steps = view.scenario["steps"]
    turn = next((n for n in range(call["step"] + 1, len(steps)) if {"pump", "until", "untilValue"} & set(steps[n])), len(steps))
    place = next((j for j in view.later(index, name) if view.events[j]["step"] >= turn), None)
    for j in view.later(index, name):
        if place is not None and j >= place:
            values = {"state": "UnconnectedState", "error": error, "errorString": "some text"}
        else:
            values = {"state": "HostLookupState"}
        set_values(view.events[j], {**values, "peerAddress": "", "peerPort": 0, "localAddress": "", "localPort": 0, "isValid": False,
                                    "socketDescriptor": -1})
    like = {"obj": name, "step": turn}
    place = len(view.events) if place is None else place
    view.events[place:place] = [made_signal(like, "stateChanged", "UnconnectedState", True, "loop", "UnconnectedState"),
                                made_signal(like, "errorOccurred", "UnconnectedState", True, "loop", error)]
    view.events[:] = [e for e in view.events if not e.get("_gone")]
    view.refresh()


@rule("refused-is-operation-error")
def refused_is_operation_error(view: View) -> None:
    """A bind on a bound or connected socket, a connect on a connected one, a listen on a listening server: OperationError, by signal or not."""
    refused: Dict[str, bool] = {}
    listening: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name, kind = event["obj"], view.kinds.get(event["obj"])
        if kind == "socket" and view.is_signal(i, "errorOccurred") and event["in"] == name + ".bind" and view.states[i] in _LIVE:
            event["args"], event["errorString"] = ["OperationError"], "refused"
            refused[name] = True
        elif view.is_signal(i, "errorOccurred"):
            refused[name] = kind == "local" and event["args"] == ["OperationError"]
        elif kind in ("server", "localserver") and is_call(event, "listen"):
            refused[name] = listening.get(name, False)
            listening[name] = listening.get(name, False) or bool(event["ret"])
        elif is_call(event, "close", "connectToHost", "waitForNewConnection") or view.is_signal(i, "connected"):
            refused[name] = False
            if event["name"] == "close":
                listening[name] = False
        elif refused.get(name):
            set_values(event, {"error": "OperationError", "serverError": "OperationError", "errorString": "refused"})


@rule("no-descriptors-is-resource-error")
def no_descriptors_is_resource_error(view: View) -> None:
    """A process without descriptors left is told so, by every kind of object: SocketResourceError."""
    limited = [i for i, s in enumerate(view.scenario["steps"]) if s.get("sys") == "limitFds"]
    freed = [i for i, s in enumerate(view.scenario["steps"]) if s.get("sys") == "unlimitFds"]
    failed: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name, kind = event["obj"], view.kinds.get(event["obj"])
        inside = any(a < event["step"] for a in limited) and not any(b < event["step"] for b in freed)
        if not inside or kind not in ("local", "localserver"):
            continue
        if view.is_signal(i, "errorOccurred", "UnsupportedSocketOperationError"):
            event["args"] = ["SocketResourceError"]
            failed[name] = True
        elif is_call(event, "listen") and not event["ret"]:
            failed[name] = True
        elif failed.get(name):
            set_values(event, {"error": "SocketResourceError", "serverError": "SocketResourceError"})


@rule("misuse-is-told")
def misuse_is_told(view: View) -> None:
    """A call that the state does not allow is errorOccurred(OperationError), where the reference writes a warning to stderr."""
    told: Dict[str, bool] = {}
    i = 0
    while i < len(view.events):
        event = view.events[i]
        if is_call(event, "setServerName") and view.kinds.get(event["obj"]) == "local" \
                and view.states[i] != "UnconnectedState" and not told.get(event["obj"]):
            told[event["obj"]] = True
            view.events.insert(i, {"obj": event["obj"], "step": event["step"], "ev": "signal", "name": "errorOccurred",
                                   "args": ["OperationError"], "state": view.states[i], "open": True, "errorString": "refused",
                                   "in": event["obj"] + ".setServerName"})
            view.refresh()
            i += 1
        elif event["ev"] == "signal" and event["name"] == "errorOccurred":
            told[event["obj"]] = False
        elif told.get(event["obj"]):
            set_values(event, {"error": "OperationError", "errorString": "refused"})
        i += 1


@rule("refused-write-is-a-value")
def refused_write_is_a_value(view: View) -> None:
    """A write that is refused because the socket is not connected is told by its result; error keeps the last error."""
    last: Dict[str, str] = {}
    refused: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if view.kinds.get(name) not in ("socket", "local"):
            continue
        if event["ev"] == "signal" and event["name"] == "errorOccurred":
            last[name], refused[name] = event["args"][0], False
        elif is_call(event, "connectToHost", "connectToServer"):
            last.pop(name, None)
            refused[name] = False
        elif is_call(event, "write") and event["ret"] == -1 and view.states[i] in ("UnconnectedState", "HostLookupState", "ConnectingState"):
            refused[name] = True
        elif refused.get(name):
            if values_of(event).get("error", "UnknownSocketError") == "UnknownSocketError":
                set_values(event, {"error": last.get(name, "NoError"), "errorString": "some text" if name in last else ""})


_SETTERS = {"setPeerName": "peerName", "setPeerAddress": "peerAddress", "setPeerPort": "peerPort", "setLocalAddress": "localAddress",
            "setLocalPort": "localPort", "setSocketError": "error", "setErrorString": "errorString"}


@rule("setters-are-for-virtual-sockets")
def setters_are_for_virtual_sockets(view: View) -> None:
    """What a socket with a connection of its own shows is its own: nothing can be set over it."""
    real: Dict[str, Dict[str, object]] = {}
    untouched: Dict[str, Dict[str, object]] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if is_call(event, "setSocketState"):
            real.pop(name, None)
        elif is_call(event, "connectToHost"):
            host, port = event["args"][0], str(event["args"][1])
            label = port[1:].split(".")[0] if port.startswith("$") else None
            real[name] = {"peerName": host, "error": "NoError", "errorString": "", "localPort": "<port:%s>" % name,
                          "peerPort": "<port:%s>" % label if label else event["args"][1],
                          **({"peerAddress": host, "localAddress": host} if host in ("127.0.0.1", "::1") else {})}
            untouched[name] = {}
        elif view.is_signal(i, "stateChanged", "UnconnectedState"):
            real.pop(name, None)
        elif view.is_signal(i, "errorOccurred"):
            untouched.get(name, {}).pop("error", None)
            untouched.get(name, {}).pop("errorString", None)
        elif name in real and view.states[i] == "ConnectedState":
            if event["ev"] == "call" and event["name"] in _SETTERS:
                word = _SETTERS[event["name"]]
                if word in real[name]:
                    untouched[name][word] = real[name][word]
            else:
                set_values(event, dict(untouched[name]))
