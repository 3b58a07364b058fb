"""Rules about waits: every time-out is told once, and no wait undoes anything but the attempt it waits for."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from differences import Event, View, rule
from rules_order import set_values

_WAITS = ("waitForConnected", "waitForReadyRead", "waitForBytesWritten", "waitForDisconnected")
TIMEOUT = "SocketTimeoutError"


def _error(event: Event, error: str, state: str, is_open: bool, context: str) -> Event:
    return {"obj": event["obj"], "step": event["step"], "ev": "signal", "name": "errorOccurred", "args": [error], "state": state,
            "open": is_open, "errorString": "timed out", "in": context}


def _signals_of(view: View, call: int) -> List[int]:
    """The signals that were raised inside a wait."""
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
        if event["ev"] in ("deleted",) or event["ev"] == "call" and event["name"] in ("connectToHost", "connectToServer", "abort", "close", "bind"):
            break
        set_values(event, values)


@rule("wait-in-bound-state")
def wait_in_bound_state(view: View) -> None:
    """waitForConnected of a bound socket is false at once, and the socket stays bound."""
    i = 0
    while i < len(view.events):
        event = view.events[i]
        if event["ev"] == "call" and event["name"] == "waitForConnected" and event["ret"] is False:
            raised = _signals_of(view, i)
            if len(raised) == 1 and view.states[raised[0]] == "BoundState" and view.is_signal(raised[0], "stateChanged", "UnconnectedState"):
                del view.events[raised[0]]
                stays(view, i - 1, {"state": "BoundState", "error": "NoError", "errorString": ""})
                view.refresh()
                continue
        i += 1


@rule("wait-timeout-is-told")
def wait_timeout_is_told(view: View) -> None:
    """A wait that ends at its limit while connecting emits errorOccurred(SocketTimeoutError).  Only waitForConnected ends the attempt."""
    i = 0
    while i < len(view.events):
        event = view.events[i]
        i += 1
        if event["ev"] != "call" or event["name"] not in _WAITS or event["ret"] is not False:
            continue
        call = i - 1
        raised = _signals_of(view, call)
        if any(view.is_signal(j, "errorOccurred") for j in raised):
            continue
        context = "%s.%s" % (event["obj"], event["name"])
        given_up: Optional[int] = next((j for j in raised if view.is_signal(j, "stateChanged", "UnconnectedState")
                                        and view.states[j] in ("ConnectingState", "HostLookupState")), None)
        if given_up is not None:
            change = view.events[given_up]
            if event["name"] == "waitForConnected":
                view.events.insert(view.handler_end(given_up), _error(event, TIMEOUT, "UnconnectedState", change["open"], context))
            else:
                view.events[given_up] = _error(event, TIMEOUT, view.states[given_up], change["open"], context)
                stays(view, call, {"state": view.states[given_up]})
            view.refresh()
        elif view.kinds.get(event["obj"]) == "local" and event["name"] == "waitForConnected" and view.states[call] == "ConnectingState":
            # Behind a full queue the reference neither gives up nor says why.
            new = {"obj": event["obj"], "step": event["step"], "ev": "signal", "name": "stateChanged", "args": ["UnconnectedState"],
                   "state": "UnconnectedState", "open": False, "in": context}
            view.events[call:call] = [new, _error(event, TIMEOUT, "UnconnectedState", False, context)]
            stays(view, call + 2, {"state": "UnconnectedState", "error": TIMEOUT, "errorString": "timed out", "serverName": "",
                                   "fullServerName": ""})
            view.refresh()


@rule("wait-for-pending-connection")
def wait_for_pending_connection(view: View) -> None:
    """waitForNewConnection returns at once when a connection waits already to be taken."""
    pending: Dict[str, int] = {}
    answered: Dict[str, bool] = {}
    for event in view.events:
        name = event["obj"]
        if view.kinds.get(name) not in ("server", "localserver"):
            continue
        if event["ev"] == "signal" and event["name"] == "newConnection":
            pending[name] = pending.get(name, 0) + 1
        elif event["ev"] == "call" and event["name"] == "nextPendingConnection" and event["ret"] is not None:
            pending[name] = pending.get(name, 0) - 1
        elif event["ev"] == "call" and event["name"] == "close":
            pending[name] = 0
        elif event["ev"] == "call" and event["name"] == "waitForNewConnection" and pending.get(name, 0) > 0 and event["ret"] in ([False, True], [True, True]):
            event["ret"] = [True, False]
            answered[name] = True
            if "elapsedOk" in event:
                event["elapsedOk"] = True
        elif answered.get(name):
            set_values(event, {"serverError": "NoError", "errorString": ""})
