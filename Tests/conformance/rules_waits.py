"""Rules about waits: every time-out is told once, and no wait undoes anything but the attempt it waits for."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import vocabulary
from datagram_model import datagram_sockets
from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values

WAITS = ("waitForConnected", "waitForReadyRead", "waitForBytesWritten", "waitForDisconnected")
TIMEOUT = "SocketTimeoutError"
CONNECT_LIMIT = 60_000    # milliseconds
_ENDING_CALLS = ("connectToHost", "connectToServer", "abort", "close", "bind", "disconnectFromHost", "disconnectFromServer")


def signals_of(view: View, call: int) -> List[int]:
    """The signals that were raised inside a call."""
    event = view.events[call]
    context = "%s.%s" % (event["obj"], event["name"])
    return [i for i in range(call) if view.events[i]["ev"] == "signal" and view.events[i]["obj"] == event["obj"]
            and view.events[i]["in"] == context and view.events[i]["step"] == event["step"]]


def stays(view: View, index: int, values: Dict[str, Any]) -> None:
    """Getters behind that index keep these values, until the object is told to do something that changes them."""
    name = view.events[index]["obj"]
    for j in view.later(index, name):
        event = view.events[j]
        if event["ev"] == "signal" and event["name"] == "stateChanged":
            break
        if event["ev"] == "deleted" or event["ev"] == "call" and event["name"] in _ENDING_CALLS:
            break
        set_values(event, values)


def error_stays(view: View, index: int) -> None:
    """An error that is not told after all: the one before it stays."""
    name = view.events[index]["obj"]
    before = [e["args"][0] for e in view.events[:index] if e["obj"] == name and e["ev"] == "signal" and e["name"] == "errorOccurred"]
    values = {"error": before[-1], "errorString": "some text"} if before else {"error": "NoError", "errorString": ""}
    for i in view.later(index, name):
        if view.is_signal(i, "errorOccurred"):
            return
        set_values(view.events[i], values)


@rule("wait-in-bound-state")
def wait_in_bound_state(view: View) -> None:
    """A wait of a bound socket that does not connect is false at once, and the socket stays bound. UDP can wait for datagrams."""
    sockets = datagram_sockets(view)
    i = 0
    while i < len(view.events):
        event = view.events[i]
        if event["ev"] == "call" and event["name"] in WAITS and view.kinds.get(event["obj"]) == "socket":
            raised = signals_of(view, i)
            if event["obj"] in sockets and event["name"] == "waitForReadyRead":
                i += 1
                continue
            if event["obj"] in sockets and event["name"] == "waitForDisconnected" and view.states[i] == "BoundState":
                for j in reversed(raised):
                    error_stays(view, j)
                    del view.events[j]
                    i -= 1
                if "elapsedOk" in event:
                    event["elapsedOk"] = view.scenario["steps"][event["step"]]["elapsed"][0] == 0
                view.refresh()
            elif raised and view.states[raised[0]] == "BoundState" and any(view.is_signal(j, "stateChanged", "UnconnectedState") for j in raised):
                event["ret"] = False
                for j in reversed(raised):
                    del view.events[j]
                i -= len(raised)
                stays(view, i, {"state": "BoundState", "error": "NoError", "errorString": "", "socketDescriptor": "<fd>", "isValid": True})
                view.refresh()
        i += 1


@rule("wait-timeout-is-told")
def wait_timeout_is_told(view: View) -> None:
    """A wait that ends at its limit while connecting emits errorOccurred(SocketTimeoutError).  Only waitForConnected ends the attempt."""
    connecting: Dict[str, str] = {}    # objects whose attempt goes on, unlike the reference's
    i = 0
    while i < len(view.events):
        event = view.events[i]
        name = event["obj"]
        i += 1
        if event["ev"] == "call" and event["name"] in _ENDING_CALLS:
            connecting.pop(name, None)
        if event["ev"] != "call" or event["name"] not in WAITS or event["ret"] is not False:
            continue
        call = i - 1
        raised = signals_of(view, call)
        context = "%s.%s" % (name, event["name"])
        given_up: Optional[int] = next((j for j in raised if view.is_signal(j, "stateChanged", "UnconnectedState")
                                        and view.states[j] in ("ConnectingState", "HostLookupState")), None)
        told = [j for j in raised if view.is_signal(j, "errorOccurred")]
        if given_up is not None and (not told or view.is_signal(told[0], "errorOccurred", "UnknownSocketError")):
            change, state = view.events[given_up], view.states[given_up]
            for j in reversed(told):
                del view.events[j]
                call -= 1
            if event["name"] == "waitForConnected":
                place = view.handler_end(given_up)
                view.events.insert(place, made_signal(event, "errorOccurred", "UnconnectedState", change["open"], context, TIMEOUT))
            else:
                view.events[given_up] = made_signal(event, "errorOccurred", state, change["open"], context, TIMEOUT)
                connecting[name] = state
                stays(view, call, {"state": state, "error": TIMEOUT, "errorString": "some text"})
        elif raised:
            continue
        elif connecting.get(name) and event["name"] in ("waitForReadyRead", "waitForDisconnected"):
            view.events.insert(call, made_signal(event, "errorOccurred", connecting[name], False, context, TIMEOUT))
        elif event["name"] == "waitForConnected" and (
                connecting.get(name) or view.kinds.get(name) == "local" and view.states[call] == "ConnectingState"):
            # Behind a full queue the reference neither gives up nor says why.
            view.events[call:call] = [made_signal(event, "stateChanged", "UnconnectedState", False, context, "UnconnectedState"),
                                      made_signal(event, "errorOccurred", "UnconnectedState", False, context, TIMEOUT)]
            connecting.pop(name, None)
            stays(view, call + 2, {"state": "UnconnectedState", "error": TIMEOUT, "errorString": "some text", "serverName": "", "fullServerName": ""})
        view.refresh()
        i = max(i, call + 1)


def _is_loop_step(step: Event, kinds: Dict[str, str]) -> bool:
    if {"pump", "until", "untilValue"} & set(step):
        return True
    name, _, method = str(step.get("call", "")).partition(".")
    return kinds.get(name) == "peer" and method in ("accept", "recv", "recvUntilEof", "recvFrom")


@rule("wait-in-closing-state")
def wait_in_closing_state(view: View) -> None:
    """waitForConnected of a closing socket is false at once; what is still to be sent is sent."""
    for i, event in enumerate(view.events):
        if event["ev"] != "call" or event["name"] != "waitForConnected" or event["ret"] is not False:
            continue
        raised = signals_of(view, i)
        if len(raised) != 1 or view.states[raised[0]] != "ClosingState" or not view.is_signal(raised[0], "stateChanged", "UnconnectedState"):
            continue
        _keep_closing(view, raised[0], i)
        return


def _keep_closing(view: View, change: int, call: int) -> None:
    """Undoes the jump to Unconnected, and has the socket send and disconnect in its next wait or in the next step that runs the loop."""
    name, is_open = view.events[change]["obj"], view.events[change]["open"]
    unsent = b"".join(vocabulary.payload(e["args"][0]) for e in view.events[:call] if e["obj"] == name and is_call(e, "write"))
    unsent = unsent[sum(e["args"][0] for e in view.events[:call] if e["obj"] == name and e["ev"] == "signal" and e["name"] == "bytesWritten"):]
    peers_step = view.events[call]["step"]
    del view.events[change]
    steps = view.scenario["steps"]
    ending = next((n for n in range(peers_step + 1, len(steps)) if _is_loop_step(steps[n], view.kinds)), len(steps))
    place, context = len(view.events), "loop"
    for j in range(call, len(view.events)):
        event = view.events[j]
        if event["obj"] == name and is_call(event, "waitForBytesWritten", "waitForDisconnected") and event["step"] < ending:
            place, context = j, "%s.%s" % (name, event["name"])
            event["ret"] = True
            break
        if event["step"] >= ending:
            place = j
            break
    before = {"state": "ClosingState", "bytesToWrite": len(unsent), "error": "NoError", "errorString": ""}
    after = {"state": "UnconnectedState", "bytesToWrite": 0, "error": "NoError", "errorString": ""}
    for j, event in enumerate(view.events):
        if j >= call - 1 and event["obj"] == name:
            set_values(event, before if j < place else after)
        if j >= place and is_call(event, "recvUntilEof") and isinstance(event["ret"], list) and "utf8" in event["ret"][0]:
            event["ret"] = [{"utf8": event["ret"][0]["utf8"] + unsent.decode()}, "eof"]
    like = {"obj": name, "step": ending}
    view.events[place:place] = [made_signal(like, "bytesWritten", "ClosingState", is_open, context, len(unsent)),
                                made_signal(like, "stateChanged", "UnconnectedState", is_open, context, "UnconnectedState"),
                                made_signal(like, "readChannelFinished", "UnconnectedState", is_open, context),
                                made_signal(like, "disconnected", "UnconnectedState", is_open, context)]


@rule("local-connect-limit")
def local_connect_limit(view: View) -> None:
    """A local socket gives up behind a full queue at its connect limit, as a TCP socket does."""
    for i, event in enumerate(view.events):
        steps = view.scenario["steps"]
        if event["ev"] != "until" or event["name"] != "errorOccurred" or event["ok"] or event["step"] >= len(steps):
            continue
        if view.kinds.get(event["obj"]) != "local" or view.states[i] != "ConnectingState" or steps[event["step"]].get("ms", 0) < CONNECT_LIMIT:
            continue
        event["ok"] = True
        stays(view, i, {"state": "UnconnectedState", "error": TIMEOUT, "errorString": "some text", "serverName": "", "fullServerName": ""})
        view.events[i:i] = [made_signal(event, "stateChanged", "UnconnectedState", False, "loop", "UnconnectedState"),
                            made_signal(event, "errorOccurred", "UnconnectedState", False, "loop", TIMEOUT)]
        return
