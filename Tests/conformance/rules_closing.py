"""Rules about the end of connections: nothing that was written or received vanishes."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

import vocabulary
from datagram_model import datagram_sockets
from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values

_BROKEN = ("RemoteHostClosedError", "PeerClosedError")
_STREAMS = ("socket", "local")


@rule("failed-write-keeps-received")
def failed_write_keeps_received(view: View) -> None:
    """A connection that breaks while it is written to ends as one that breaks while it is read: the device stays open, and what was received
    stays readable."""
    i = 0
    while i < len(view.events):
        event = view.events[i]
        i += 1
        if not (view.is_signal(i - 1, "errorOccurred") and event["args"][0] in _BROKEN):
            continue
        following = [j for j in view.later(i - 1, event["obj"]) if view.events[j]["ev"] == "signal" and view.events[j]["in"] == event["in"]]
        if len(following) < 2:
            continue
        first, second = following[0], following[1]
        if view.is_signal(first, "aboutToClose") and view.is_signal(second, "stateChanged", "UnconnectedState"):
            change = second
        elif view.is_signal(first, "stateChanged", "UnconnectedState") and view.states[first] == "ConnectedState":
            change = first    # a local socket: open as it should be, but without Closing
        else:
            continue
        held = _held(view, i - 1)
        for j in range(i, len(view.events)):
            part = view.events[j]
            if part["obj"] != event["obj"]:
                continue
            if is_call(part, "connectToHost", "connectToServer", "close", "abort"):
                break
            if part["ev"] == "signal" and "open" in part:
                part["open"] = True
            set_values(part, {"isOpen": True, "openMode": held["openMode"], "isReadable": True, "isWritable": True})
            _give_back(part, held)
        if view.is_signal(first, "aboutToClose"):
            if view.states[first] == "ConnectedState":
                view.events[first] = made_signal(event, "stateChanged", "ClosingState", True, event["in"], "ClosingState")
            else:
                del view.events[first]
        else:
            view.events.insert(change, made_signal(event, "stateChanged", "ClosingState", True, event["in"], "ClosingState"))
        view.refresh()


def _held(view: View, index: int) -> Dict[str, Any]:
    """What an object has received and not read before that moment, as far as the scenario tells: what its only peer sent, less its reads."""
    name = view.events[index]["obj"]
    raw = {e["obj"] for e in view.events if is_call(e, "send") and view.kinds.get(e["obj"]) == "peer"}
    own = {e["obj"] for e in view.events if view.kinds.get(e["obj"]) in _STREAMS and e["obj"] != name}
    held = b""
    if len(raw | own) == 1:
        for event in view.events[:index]:
            if event["ev"] == "call" and event["obj"] in raw | own and event["name"] in ("send", "write") and isinstance(event["ret"], int):
                held += vocabulary.payload(event["args"][0])[:max(0, event["ret"])]
            if event["obj"] == name and is_call(event, "read", "readAll", "readLine", "skip"):
                ret = event["ret"]
                held = held[ret if isinstance(ret, int) else len(vocabulary.payload(ret)) if ret and "utf8" in ret else 0:]
    return {"data": held, "openMode": "ReadWrite"}


def _give_back(event: Event, held: Dict[str, Any]) -> None:
    """Corrects getters and reads behind a failed write by what is held."""
    data: bytes = held["data"]
    line = b"\n" in data
    set_values(event, {"bytesAvailable": len(data), "atEnd": not data, "canReadLine": line})
    if is_call(event, "readAll"):
        event["ret"] = {"utf8": data.decode()}
        held["data"] = b""


@rule("half-close-sends-queued")
def half_close_sends_queued(view: View) -> None:
    """When the peer ends its side, what is queued is still sent: before the end is seen, or after it in ClosingState."""
    for name in [n for n, k in view.kinds.items() if k in _STREAMS]:
        lost = _lost(view, name)
        ended: Optional[int] = None
        error = -1
        for i, event in enumerate(view.events):
            if event["obj"] == name and view.is_signal(i, "stateChanged", "ClosingState"):
                previous = [j for j in range(i) if view.events[j]["obj"] == name and view.events[j]["ev"] == "signal"]
                if previous and view.is_signal(previous[-1], "errorOccurred") and view.events[previous[-1]]["args"][0] in _BROKEN:
                    ended, error = i, previous[-1]
        if not lost or ended is None or view.events[error]["in"].split(".")[-1] in ("flush", "write"):
            continue
        event = view.events[ended]
        closers = _closers(view)
        for part in view.events[ended:]:
            if part["obj"] in closers and is_call(part, "recvUntilEof") and isinstance(part["ret"], list):
                if "utf8" in part["ret"][0]:
                    part["ret"] = [{"utf8": part["ret"][0]["utf8"] + lost.decode()}, "eof"]
        early = list(view.events)
        if not any(is_call(e, "write") and e.get("within") == name + ".errorOccurred" for e in early):
            early.insert(error, made_signal(event, "bytesWritten", "ConnectedState", event["open"], event["in"], len(lost)))
            view.alternatives.append(early)
        for part in view.events[ended:]:
            if part["obj"] == name and is_call(part, "waitForBytesWritten") and event["in"] == name + ".waitForBytesWritten":
                part["ret"] = True    # it was waiting for just that
                break
        view.events.insert(view.handler_end(ended), made_signal(event, "bytesWritten", "ClosingState", event["open"], event["in"], len(lost)))
        view.refresh()


def _closers(view: View) -> List[str]:
    """The raw connections that end their side."""
    listeners = {s["as"] for s in view.all_steps() if str(s.get("new")).endswith(("Listener", "Full", "Udp"))}
    return sorted({e["obj"] for e in view.events if is_call(e, "shutdownWrite", "close") and view.kinds.get(e["obj"]) == "peer"} - listeners)


def _lost(view: View, name: str) -> bytes:
    """What the object wrote and never sent although the peer had only ended its own side; nothing when there is more to it than that."""
    if len(_closers(view)) != 1 or any(is_call(e, "rst", "abort") or e["ev"] == "deleted" for e in view.events):
        return b""
    if sum(1 for i in range(len(view.events)) if view.events[i]["obj"] == name and view.is_signal(i, "connected")) > 1:
        return b""
    written: List[bytes] = []
    sent = 0
    for event in view.events:
        if event["obj"] != name:
            continue
        if is_call(event, "write") and isinstance(event["ret"], int) and event["ret"] > 0:
            written.append(vocabulary.payload(event["args"][0]))
        elif event["ev"] == "signal" and event["name"] == "bytesWritten":
            sent += event["args"][0]
    return b"".join(written)[sent:]


@rule("bytes-written-adds-up")
def bytes_written_adds_up(view: View) -> None:
    """What a flush inside bytesWritten, or a write of an unbuffered socket, sends is announced: when the handler or the turn has ended."""
    i = 0
    while i < len(view.events):
        event = view.events[i]
        i += 1
        if event["ev"] != "call" or view.kinds.get(event["obj"]) not in ("socket", "local"):
            continue
        inside = "%s.bytesWritten" % event["obj"]
        if event["name"] == "flush" and event["ret"] is True and event.get("within") == inside:
            signal = max(j for j in range(i) if view.events[j]["obj"] == event["obj"] and view.is_signal(j, "bytesWritten"))
            end = view.handler_end(signal)
            amount = sum(e["ret"] for e in view.events[signal:end] if e["obj"] == event["obj"] and is_call(e, "write")
                         and e.get("within") == inside and e["ret"] > 0)
            first = view.events[signal]
            view.events.insert(end, made_signal(first, "bytesWritten", first["state"], first["open"], first["in"], amount))
            view.refresh()
        elif event["name"] == "write" and isinstance(event["ret"], int) and event["ret"] > 0 and _unbuffered(view, event["obj"]):
            # It is told in the next turn of the loop, or before anything else that the socket tells.
            later = [j for j in view.later(i - 1, event["obj"]) if view.events[j]["ev"] in ("signal", "until")]
            place = later[0] if later else len(view.events)
            context = view.events[place].get("in", "loop") if later else "loop"
            like = {**event, "step": event["step"] + 1}
            view.events.insert(place, made_signal(like, "bytesWritten", "ConnectedState", True, context, event["ret"]))
            view.refresh()


def _unbuffered(view: View, name: str) -> bool:
    return any(e["obj"] == name and is_call(e, "connectToHost") and "Unbuffered" in str(e["args"][2:3]) for e in view.events)


def _datagram_abort(view: View) -> None:
    """A datagram socket's attempt goes on inside the same call."""
    for name in datagram_sockets(view):
        ended = [e["step"] for e in view.events if e["obj"] == name and is_call(e, "abort")
                 and e.get("within") in (name + ".hostFound", name + ".stateChanged")]
        for i, event in enumerate(view.events):
            if event["obj"] == name and event["step"] in ended and event.get("in") == name + ".connectToHost" \
                    and (view.is_signal(i, "stateChanged", "ConnectedState") or view.is_signal(i, "connected")):
                event["_gone"] = True
                for j in view.later(i, name):
                    if view.is_signal(j, "stateChanged") and not view.events[j]["args"] == ["ConnectedState"]:
                        break
                    set_values(view.events[j], {"state": "UnconnectedState", "isValid": False, "socketDescriptor": -1, "localAddress": "",
                                                "localPort": 0, "peerAddress": "", "peerPort": 0})
    view.events[:] = [e for e in view.events if not e.get("_gone")]
    view.refresh()


@rule("abort-stops-everything")
def abort_stops_everything(view: View) -> None:
    """abort stops an attempt in any handler: nothing is connected afterwards, and no connection reaches the server."""
    view.events[:] = [e for i, e in enumerate(view.events) if not (view.is_signal(i, "connected") and e["state"] == "UnconnectedState")]
    _datagram_abort(view)
    for i, event in enumerate(view.events):
        inside = [event["obj"] + ".hostFound", event["obj"] + ".stateChanged"]
        if event["ev"] != "call" or event["name"] != "abort" or event.get("within") not in inside:
            continue
        connects = [e for e in view.events if is_call(e, "connectToHost")]
        if len(connects) != 1 or connects[0]["step"] != event["step"]:
            continue    # it cannot be told whose connection it is
        for name in ("pendingConnectionAvailable", "newConnection"):
            for j in range(i, len(view.events)):
                if view.is_signal(j, name):
                    del view.events[j]
                    break
        for part in view.events[i:]:
            if view.kinds.get(part["obj"]) == "server":
                set_values(part, {"hasPendingConnections": False})
        return


@rule("bound-close-is-no-disconnect")
def bound_close_is_no_disconnect(view: View) -> None:
    """Closing a socket that is only bound emits no disconnected: nothing was connected. TCP is not in ClosingState either; UDP is, as it
    may still have something to send."""
    sockets = datagram_sockets(view)
    i = 0
    while i < len(view.events):
        event = view.events[i]
        if view.kinds.get(event["obj"]) == "socket" and view.is_signal(i, "stateChanged", "ClosingState") and view.states[i] == "BoundState":
            later = [j for j in view.later(i, event["obj"]) if view.is_signal(j, "disconnected")]
            if later:
                del view.events[later[0]]
            if event["obj"] not in sockets:
                del view.events[i]
                view.refresh()
                continue
            view.refresh()
        i += 1
