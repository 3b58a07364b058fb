"""Rules about descriptors that are handed in: what they are is checked, and what is refused changes nothing."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from datagram_model import datagram_sockets, owner
from differences import Event, View, is_call, rule
from rules_order import CLOSED, made_signal, set_values
from rules_waits import error_stays, signals_of

_SERVERS = ("server", "localserver")
# Which raw descriptors fit which class; those that are not connected.
_FITTING = {"TcpSocket": ("tcpConnected", "tcpBound", "tcpFresh"), "UdpSocket": ("udpBound", "udpFresh"), "LocalSocket": ("unixPair",),
            "TcpServer": ("tcpListening",), "LocalServer": ("unixListening",)}
_UNCONNECTED = ("tcpBound", "tcpFresh", "udpBound", "udpFresh")
_ACCEPTED_STATES = ("ConnectedState", "UnconnectedState", "BoundState")
_UNSUPPORTED, _OPERATION = "UnsupportedSocketOperationError", "OperationError"
# What a socket that never had anything says.
_NEW = {**CLOSED, "state": "UnconnectedState", "isValid": False, "localAddress": "", "localPort": 0, "peerAddress": "", "peerPort": 0,
        "bytesToWrite": 0, "socketDescriptor": -1}
# What its calls give.
_NOTHING = {"write": -1, "read": None, "readAll": {"utf8": ""}, "readLine": {"utf8": ""}, "peek": None, "skip": -1, "flush": False,
            "getChar": [False, {"hex": "00"}]}


@dataclass
class Holders:
    """Who holds which raw descriptor."""
    kinds: Dict[str, str]
    classes: Dict[str, str]
    holder: Dict[str, str] = field(default_factory=dict)
    closed: List[str] = field(default_factory=list)
    accepted: List[str] = field(default_factory=list)    # sockets that a server accepted

    @classmethod
    def of(cls, view: View) -> "Holders":
        steps = [s for s in view.all_steps() if "new" in s]
        return cls({s["as"]: s["kind"] for s in steps if s["new"] == "RawFd"},
                   {s["as"]: s.get("type", s["new"]) for s in steps if s["new"] != "RawFd"},
                   accepted=[name for name, kind in view.kinds.items() if kind in ("socket", "local") and not view.made_new(name)])

    def released(self, name: str) -> None:
        """That object is unconnected: what it held is closed."""
        for source in [s for s, n in self.holder.items() if n == name]:
            del self.holder[source]
            self.closed.append(source)

    def objection(self, name: str, arguments: List[Any]) -> Tuple[bool, Optional[str]]:
        """Whether an object refuses a descriptor, and the error it tells then (None: it tells none)."""
        source = str(arguments[0]).strip("$").split(".")[0]
        state = arguments[1] if len(arguments) > 1 else "ConnectedState"
        fits = _FITTING.get(self.classes.get(name, ""), ())
        if state not in _ACCEPTED_STATES:
            return True, None
        if isinstance(arguments[0], int):
            return True, _UNSUPPORTED
        if source in self.classes:
            self.holder.setdefault(source, source)
        elif source in self.accepted:
            self.holder.setdefault(source, source)
        elif source not in self.kinds:
            return False, None
        elif source in self.closed or self.kinds[source] not in fits:
            return True, _UNSUPPORTED
        elif state == "ConnectedState" and self.kinds[source] in _UNCONNECTED:
            return True, _UNSUPPORTED
        if source in self.holder:
            return True, _UNSUPPORTED if self.holder[source] == name else _OPERATION
        return False, None


@rule("bound-descriptor-stays-bound")
def bound_descriptor_stays_bound(view: View) -> None:
    """A TCP descriptor that is bound and not connected is no broken connection: it stays Bound, takes no data and announces none."""
    sockets = datagram_sockets(view)
    kept: Dict[str, bool] = {}
    for i, event in enumerate(view.events):
        name = event["obj"]
        if view.kinds.get(name) != "socket" or name in sockets:
            continue
        if kept.get(name) and event["ev"] == "signal" and event["in"] == "loop":
            if event["name"] in ("stateChanged", "readChannelFinished"):
                event["_gone"] = True
                continue
            kept[name] = False
        elif kept.get(name):
            set_values(event, {"state": "BoundState", "error": "NoError", "errorString": ""})
        if view.is_signal(i, "errorOccurred", "NetworkError") and event["in"] == "loop" and view.states[i] == "BoundState":
            event["_gone"] = True
            kept[name] = True
        elif is_call(event, "write") and view.states[i] == "BoundState" and event["ret"] is not None:
            event["ret"] = -1
        elif view.is_signal(i, "readyRead") and event["state"] == "UnconnectedState" and name in _handed(view):
            event["_gone"] = True
    view.events[:] = [e for e in view.events if not e.get("_gone")]
    view.refresh()


def _handed(view: View) -> List[str]:
    """The objects that are given descriptors."""
    return [e["obj"] for e in view.events if is_call(e, "setSocketDescriptor")]


@rule("unbuffered-descriptor")
def unbuffered_descriptor(view: View) -> None:
    """A descriptor that is handed in with Unbuffered is unbuffered: nothing is queued that the system takes."""
    unbuffered: Dict[str, bool] = {}
    for event in view.events:
        if is_call(event, "setSocketDescriptor") and event["ret"]:
            unbuffered[event["obj"]] = "Unbuffered" in str(event["args"][2:])
        elif unbuffered.get(event["obj"]):
            set_values(event, {"bytesToWrite": 0})


@rule("descriptors-are-checked")
def descriptors_are_checked(view: View) -> None:
    """Objects take only descriptors that are theirs to take; a refusal is told, and changes nothing."""
    holders = Holders.of(view)
    refused: Dict[str, Optional[str]] = {}    # those that have nothing, though the reference took the descriptor; their error
    opened: Dict[str, bool] = {}
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        kind = view.kinds.get(name)
        if kind in _SERVERS:
            _server(view, i, holders, refused)
        elif is_call(event, "sendTo") and owner(event["args"][2]) in refused:
            event["ret"] = None
        elif kind in ("socket", "local"):
            i = _socket(view, i, holders, refused, opened)
        i += 1
    view.events[:] = [e for e in view.events if not e.get("_gone")]
    view.refresh()


def _server(view: View, index: int, holders: Holders, refused: Dict[str, Optional[str]]) -> None:
    event, name = view.events[index], view.events[index]["obj"]
    if is_call(event, "setSocketDescriptor") or is_call(event, "listen") and str((event.get("args") or [""])[0]).endswith(".fd"):
        refuses, error = holders.objection(name, event["args"][:1] + ["UnconnectedState"])
        listening = any(is_call(e, "listen", "setSocketDescriptor") and e["ret"] and e["obj"] == name for e in view.events[:index]) \
            and not any(is_call(e, "close") and e["obj"] == name for e in view.events[:index])
        if listening:
            refuses, error = True, _OPERATION
        if refuses:
            event["ret"], refused[name] = False, error
            if listening:
                _keeps(view, index, name, error)
                refused.pop(name)
        else:
            holders.holder[str(event["args"][0]).strip("$").split(".")[0]] = name
    elif is_call(event, "listen", "close"):
        refused.pop(name, None)
        if event["name"] == "close":
            holders.released(name)
    elif refused.get(name):
        set_values(event, {"isListening": False, "serverError": refused[name], "errorString": "some text", "socketDescriptor": -1,
                           "serverPort": 0, "serverAddress": "", "serverName": "", "fullServerName": "", "hasPendingConnections": False})
        if is_call(event, "waitForNewConnection"):
            event["ret"] = [False, False]
        if event["ev"] == "signal":
            event["_gone"] = True


def _keeps(view: View, index: int, name: str, error: Optional[str], text: str = "some text") -> None:
    """The server goes on as it is; only its error is a new one."""
    for i in view.later(index, name):
        if is_call(view.events[i], "close", "listen", "setSocketDescriptor"):
            return
        set_values(view.events[i], {"serverError": error, "errorString": text})


def _socket(view: View, index: int, holders: Holders, refused: Dict[str, Optional[str]], opened: Dict[str, bool]) -> int:
    event, name = view.events[index], view.events[index]["obj"]
    if is_call(event, "setSocketDescriptor"):
        return _set_descriptor(view, index, holders, refused, opened)
    if is_call(event, "connectToHost", "connectToServer", "bind") and name in refused:
        # What it does from here on is its own again.
        first = (signals_of(view, index) or [index])[0]
        for i in range(first, index):
            view.events[i].pop("_gone", None)
        del refused[name]
    elif name in refused:
        if event["ev"] == "signal":
            context = event["in"].split(".")[-1]
            if context not in ("connectToHost", "connectToServer", "bind", "setSocketDescriptor"):
                event["_gone"] = True
        elif event["ev"] == "call" and event["name"] in _NOTHING:
            event["ret"] = _NOTHING[event["name"]]
        elif event["ev"] == "call" and event["name"].startswith("waitFor"):
            event["ret"] = False
            if "elapsedOk" in event:
                event["elapsedOk"] = next((s["elapsed"][0] == 0 for s in view.scenario["steps"][event["step"]:event["step"] + 1]), True)
        elif event["ev"] == "until":
            event["ok"] = False
        error = refused[name]
        set_values(event, {**_NEW, "error": error or "NoError", "errorString": "some text" if error else ""})
        return index
    if event["ev"] == "signal" and "open" in event and event["in"] != name + ".setSocketDescriptor":
        opened[name] = event["open"]
    if view.is_signal(index, "stateChanged", "UnconnectedState") and event["in"] != name + ".setSocketDescriptor":
        holders.released(name)
    return index


def _peer_notices_nothing(view: View, index: int) -> None:
    """The connection goes on: the object at its other end, if it is known, has no end to tell of."""
    ended = {e["obj"] for i, e in enumerate(view.events) if i > index and view.kinds.get(e["obj"]) in ("socket", "local")
             and not view.made_new(e["obj"]) and view.is_signal(i, "errorOccurred")}
    if len(ended) != 1:
        return
    for i in view.later(index, ended.pop()):
        event = view.events[i]
        if event["ev"] == "signal" and event["in"] == "loop":
            event["_gone"] = True
        elif event["ev"] == "until":
            event["ok"] = False


def _set_descriptor(view: View, index: int, holders: Holders, refused: Dict[str, Optional[str]], opened: Dict[str, bool]) -> int:
    event, name = view.events[index], view.events[index]["obj"]
    arguments = event["args"]
    raised = signals_of(view, index)
    refuses, error = holders.objection(name, arguments)
    if not refuses:
        holders.released(name)
        holders.holder[str(arguments[0]).strip("$").split(".")[0]] = name
        refused.pop(name, None)
        opened[name] = True
        # Nothing changes from Unconnected to Unconnected.
        if arguments[1:2] == ["UnconnectedState"]:
            for i in raised:
                if view.is_signal(i, "stateChanged", "UnconnectedState") and view.states[i] == "UnconnectedState":
                    view.events[i]["_gone"] = True
        return index
    if event["ret"] and opened.get(name) and name not in refused:
        _peer_notices_nothing(view, index)
    state = "UnconnectedState" if name in refused else view.states[raised[0]] if raised else view.states[index]
    was_new = state == "UnconnectedState" and not opened.get(name)
    for i in raised:
        view.events[i]["_gone"] = True
    event["ret"] = False
    if error is not None:
        view.events.insert(index, made_signal(event, "errorOccurred", state, opened.get(name, False) and name not in refused,
                                              name + ".setSocketDescriptor", error))
        view.refresh()
        index += 1
    if was_new or name in refused:
        refused[name] = error or refused.get(name)
    else:
        for i in view.later(index, name):
            later = view.events[i]
            if later["ev"] == "signal" and later["name"] in ("stateChanged", "errorOccurred") or is_call(later, "setSocketDescriptor"):
                break
            set_values(later, {"state": state, **({"error": error, "errorString": "some text"} if error else {})})
    return index


@rule("rpc-descriptors-come-along")
def rpc_descriptors_come_along(view: View) -> None:
    """Over JSON-RPC a number without a descriptor is a wrong argument, and one that was handed over stands for nothing any more."""
    if view.face != "rpc":
        return
    kinds = Holders.of(view).kinds
    handed: List[str] = []
    i = 0
    while i < len(view.events):
        event, name = view.events[i], view.events[i]["obj"]
        i += 1
        if not is_call(event, "setSocketDescriptor") or view.kinds.get(name) in (None, "peer"):
            continue
        source = str(event["args"][0]).strip("$").split(".")[0]
        if event["ret"]:
            handed.append(source)
            continue
        alone = isinstance(event["args"][0], int) or kinds.get(source) in ("closed", None) or source in handed
        told = [j for j in signals_of(view, i - 1) if view.is_signal(j, "errorOccurred")]
        if alone:
            for j in reversed(told):
                error_stays(view, j)
                del view.events[j]
                i -= 1
            if view.kinds[name] in _SERVERS:
                _keeps(view, i - 1, name, "NoError", "")
            view.refresh()
