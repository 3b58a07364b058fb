"""Compares two traces object by object: order matters within an object, never between objects.

What is not compared: the wording of errors (only whether there is one), the user of a proxy, which C does not tell, and, over a face that
cannot know it, from which call a signal came.
"""
from __future__ import annotations

import difflib
import json
import re
from typing import Any, Dict, List
Objects = Dict[str, List[Dict[str, Any]]]
# What the reference says where there has been no error; the project says NoError, and nothing.
_SILENT_TEXTS = ("", "Unknown error")
_SILENT_ERROR = "UnknownSocketError"
_NAMELESS = "<port>"


def _worded(text: Any) -> str:
    return "" if text in _SILENT_TEXTS else "<text>"


def _without_user(value: Any) -> Any:
    """A proxy without its user, which C does not tell."""
    return {k: v for k, v in value.items() if k != "user"} if isinstance(value, dict) else value


def _without_error(events: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The reference's number for "no error yet" is also the one for an unknown error; it means the former until an object reports the latter."""
    unknown = False
    out = []
    for event in events:
        if event["ev"] == "signal" and event["name"] in ("errorOccurred", "acceptError"):
            unknown = event["args"] == [_SILENT_ERROR]
        elif not unknown:
            if event["ev"] == "get" and event["name"] in ("error", "serverError") and event["value"] == _SILENT_ERROR:
                event = {**event, "value": "NoError"}
            elif event["ev"] == "snapshot":
                values = {k: "NoError" if k in ("error", "serverError") and v == _SILENT_ERROR else v for k, v in event["values"].items()}
                event = {**event, "values": values}
        out.append(event)
    return out


def _until_at_signal(events: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Puts each `until` right behind the signal that ended it: what else the same turn of the loop raised may stand before or behind it."""
    out = list(events)
    for event in events:
        if event["ev"] != "until" or not event["ok"] or event["name"] in ("readyRead", "bytesWritten"):
            continue
        raised = [i for i, e in enumerate(out) if e["ev"] == "signal" and e["name"] == event["name"]]
        wanted = event.get("count", 1)
        here = next(i for i, e in enumerate(out) if e is event)
        if len(raised) < wanted or raised[wanted - 1] > here:
            continue
        first = raised[wanted - 1]
        place = first + 1
        # Steps inside its handlers, and the signals they raise, belong to it.
        while place < here and not (out[place]["ev"] == "signal" and out[place].get("in") == out[first].get("in")):
            place += 1
        if all(e["ev"] == "signal" for e in out[place:here]):
            del out[here]
            out.insert(place, event)
    return out


def prepared(objects: Objects, contexts: bool, reference: bool) -> Objects:
    """The part of a trace that is compared.  contexts: whether the face knows from which call a signal came."""
    out: Objects = {}
    for name, events in objects.items():
        kept = []
        for event in _until_at_signal(_without_error(events) if reference else events):
            # "raised" tells how the reference's Python binding refuses an argument.
            event = {k: v for k, v in event.items() if k != "raised" and (contexts or k != "in")}
            if event["ev"] == "get" and event["name"] == "proxy":
                event["value"] = _without_user(event["value"])
            if event["ev"] == "signal" and event["name"] == "proxyAuthenticationRequired":
                event["args"] = [_without_user(a) for a in event["args"]]
            if "errorString" in event:
                event["errorString"] = _worded(event["errorString"])
            if event["ev"] == "get" and event["name"] == "errorString":
                event["value"] = _worded(event["value"])
            if event["ev"] == "snapshot":
                event["values"] = {k: _worded(v) if k == "errorString" else v for k, v in event["values"].items()}
            kept.append(event)
        out[name] = kept
    return out


def _line(event: Dict[str, Any]) -> str:
    rest = {k: v for k, v in event.items() if k not in ("ev", "name")}
    return " ".join(str(event[k]) for k in ("ev", "name") if k in event) + " " + json.dumps(rest, sort_keys=True)


def _without_owners(line: str) -> str:
    return re.sub(r"<port:[\w.]+>", _NAMELESS, line)


def differences(wanted: Objects, got: Objects) -> List[str]:
    """The differences as lines of text; none when both say the same."""
    lines: List[str] = []
    for name in sorted(set(wanted) | set(got)):
        a = [_line(e) for e in wanted.get(name, [])]
        b = [_line(e) for e in got.get(name, [])]
        if len(a) == len(b):
            # A port that the reference's driver never learned the owner of may have one here.
            b = [x if _NAMELESS in x and _without_owners(x) == _without_owners(y) else y for x, y in zip(a, b)]
        if a != b:
            lines.append("object %s (- wanted, + got):" % name)
            lines += ["    " + d for d in difflib.unified_diff(a, b, lineterm="", n=2) if not d.startswith(("---", "+++"))]
    return lines
