"""Rules for the face of JSON-RPC alone: the sidecar's loop runs on between two requests, as the loop of a program in C does not."""
from __future__ import annotations

from typing import Any, Dict, List, Optional

from differences import Event, View, is_call, rule
from rules_order import made_signal, set_values, values_of
from rules_waits import signals_of

_BROKEN = ("RemoteHostClosedError", "PeerClosedError")
_READS = ("read", "readAll", "readLine", "skip", "getChar")


@rule("rpc-unread-is-announced-at-once")
def rpc_unread_is_announced_at_once(view: View) -> None:
    """readyRead for what came before a connection was taken comes before the answer to the next request."""
    if view.face != "rpc":
        return
    taken = [e["ret"][8:-1] for e in view.events
             if is_call(e, "nextPendingConnection") and isinstance(e["ret"], str) and e["ret"] != "<object>"]
    view.events[:] = [e for e in view.events if not e.get("_announces")]
    for name in taken:
        index = next(i for i, e in enumerate(view.events) if is_call(e, "nextPendingConnection") and e["ret"] == "<object:%s>" % name)
        following = view.later(index, name)
        for j in following:
            event = view.events[j]
            unread = values_of(event).get("bytesAvailable") or event["ev"] == "until" and event["name"] == "bytesAvailable" and event["ok"] \
                or event["ev"] == "call" and event["name"] in _READS and event["ret"] not in (None, 0, -1, {"utf8": ""})
            if event["ev"] == "signal" or unread:
                break
        else:
            continue
        if unread:
            view.events.insert(following[0], made_signal({"obj": name, "step": view.events[index]["step"]}, "readyRead",
                                                         values_of(view.events[following[0]]).get("state", view.states[following[0]]), True, "loop"))
        view.refresh()


@rule("rpc-waits-know-what-they-missed")
def rpc_waits_know_what_they_missed(view: View) -> None:
    """A wait answers true at once for what has happened since the last wait or read, while no wait was there to see it."""
    if view.face != "rpc":
        return
    arrived: Dict[str, bool] = {}
    written: Dict[str, bool] = {}
    gone: Dict[str, bool] = {}
    error: Dict[str, Any] = {}
    i = 0
    while i < len(view.events):
        event = view.events[i]
        name = event["obj"]
        waiting = event["ev"] == "signal" and ".waitFor" in event["in"]
        if event["ev"] == "signal" and event["name"] == "errorOccurred":
            error[name] = event["args"][0]
        for signal, flags in (("readyRead", arrived), ("bytesWritten", written), ("disconnected", gone)):
            if view.is_signal(i, signal) and not waiting:
                flags[name] = True
        if event["ev"] == "call":
            if event["name"] in ("connectToHost", "connectToServer"):
                written[name] = gone[name] = arrived[name] = False
            flags = {"waitForReadyRead": arrived, "waitForBytesWritten": written, "waitForDisconnected": gone}.get(event["name"], {})
            if flags.get(name) and event["ret"] in (True, False):
                flags[name] = False
                if event["ret"] is False:
                    raised = signals_of(view, i)
                    if [view.events[j]["name"] for j in raised] in ([], ["errorOccurred"]):
                        event["ret"] = True
                        for j in reversed(raised):
                            del view.events[j]
                            i -= 1
                            _without_timeout(view, i, name)
                        limits = view.scenario["steps"][event["step"]].get("elapsed")
                        if limits and limits[0] > 0:
                            event["elapsedOk"] = False
                        view.refresh()
            elif event["name"] in _READS:
                arrived[name] = False
        i += 1


def _without_timeout(view: View, index: int, name: str) -> None:
    """Getters no longer say that a wait timed out."""
    for j in view.later(index, name):
        event = view.events[j]
        if event["ev"] == "signal" and event["name"] == "errorOccurred" or event["ev"] == "call" and event["name"].startswith("waitFor"):
            break
        if values_of(event).get("error") == "SocketTimeoutError" or "errorString" in values_of(event):
            set_values(event, {"error": "NoError", "errorString": ""})


@rule("rpc-end-is-noticed-at-once")
def rpc_end_is_noticed_at_once(view: View) -> None:
    """The end of a connection that a program meets in its next wait or call may be told before the answer to the request before that; of one
    that was not taken yet it is not told at all."""
    if view.face != "rpc":
        return
    for i, event in enumerate(view.events):
        if not (view.is_signal(i, "errorOccurred") and event["args"][0] in _BROKEN):
            continue
        block = [i]
        for j in view.later(i, event["obj"]):
            if view.events[j]["ev"] != "signal" or view.events[j]["name"] not in ("stateChanged", "readChannelFinished", "disconnected"):
                break
            block.append(j)
        before = [j for j in range(i) if view.events[j]["obj"] == event["obj"]]
        earlier = _told_earlier(view, event, block, before)
        if earlier is not None:
            view.alternatives.append(earlier)
        untold = _not_told(view, event, block)
        if untold is not None:
            view.alternatives.append(untold)


def _told_earlier(view: View, event: Event, block: List[int], before: List[int]) -> Optional[List[Event]]:
    """The end right behind the call or wait before the one in which the reference meets it; what is asked and tried in between fits it."""
    calls = [j for j in before if is_call(view.events[j], "flush", "waitForConnected", "waitForReadyRead", "waitForBytesWritten")]
    if not calls or event["in"] == "loop" or any(view.events[j]["ev"] == "signal" for j in before if j > calls[-1]):
        return None
    events = [dict(e, values=dict(e["values"])) if e["ev"] == "snapshot" else dict(e) for e in view.events]
    moved = [dict(events[j], **{"in": "loop"}) for j in block]
    for j in before:
        if j > calls[-1]:
            set_values(events[j], {"state": "UnconnectedState", "error": event["args"][0], "errorString": "some text", "isValid": False,
                                   "socketDescriptor": -1, "bytesToWrite": 0})
            if is_call(events[j], "write"):
                events[j]["ret"] = -1
    kept = [e for j, e in enumerate(events) if j not in block]
    place = calls[-1] + 1
    return kept[:place] + moved + kept[place:]


def _not_told(view: View, event: Event, block: List[int]) -> Optional[List[Event]]:
    """An accepted connection that had ended before it was taken: it comes Unconnected, with its data."""
    name = event["obj"]
    if view.made_new(name):
        return None
    mine = [j for j in range(len(view.events)) if view.events[j]["obj"] == name and j < block[0]]
    if any(view.events[j]["ev"] == "call" for j in mine):
        return None
    events = [dict(e) for e in view.events]
    for j in mine:
        if events[j]["ev"] == "signal":
            events[j]["state"] = "UnconnectedState"
    for e in events[block[0]:]:
        if e["obj"] == name and e["ev"] == "until" and e["name"] in ("disconnected", "errorOccurred"):
            e["ok"] = False
    return [e for j, e in enumerate(events) if j not in block]


@rule("rpc-others-do-not-rest")
def rpc_others_do_not_rest(view: View) -> None:
    """While one socket waits, the sidecar accepts for its servers, which rest in a program that waits."""
    if view.face != "rpc":
        return
    for i, event in enumerate(view.events):
        if not view.is_signal(i, "newConnection") or event["in"] != "loop":
            continue
        name = event["obj"]
        first = i - 1 if i and view.is_signal(i - 1, "pendingConnectionAvailable") and view.events[i - 1]["obj"] == name else i
        before = [j for j in range(first) if view.events[j]["obj"] == name]
        asked = [j for j in before if values_of(view.events[j]).get("hasPendingConnections") is False]
        waits = [j for j in range(first) if is_call(view.events[j], "waitForConnected") and view.events[j]["ret"] is True]
        if not waits or not asked or asked[-1] < waits[-1]:
            return
        events = [dict(e, values=dict(e["values"])) if e["ev"] == "snapshot" else dict(e) for e in view.events]
        for j in asked:
            if j > waits[-1]:
                set_values(events[j], {"hasPendingConnections": True})
        pair = events[first:i + 1]
        view.alternatives.append(events[:waits[-1]] + pair + events[waits[-1]:first] + events[i + 1:])
        return
