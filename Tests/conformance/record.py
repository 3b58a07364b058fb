"""Keeps what happened in a run, and writes it down in the form of the traces.

Values are kept raw while the run goes on (bytes, Port) and put into their final form at the end, when it is known whose port is whose.
"""
from __future__ import annotations

import hashlib
import re
from typing import Any, Dict, List, Optional

from vocabulary import Port

TEXT_LIMIT = 400
HEX_LIMIT = 64
# Where a port stands in bytes: behind an address or a name of the proxy protocols.
_PORT_IN_BYTES = re.compile(r"(7f000001|0{31}1|00000000|\.invalid|6c6f63616c686f7374)([0-9a-f]{4})")


class Record:
    """The events of one run, in order, and what is needed to write them down: ports, the temporary folder, the unique name."""

    def __init__(self, folder: str, unique: str):
        self.folder, self.unique = folder, unique
        self.events: List[Dict[str, Any]] = []
        self.ports: Dict[int, str] = {}
        self.step = -1

    def add(self, obj: str, event: str, **fields: Any) -> Dict[str, Any]:
        entry = {"obj": obj, "step": self.step, "ev": event, **fields}
        self.events.append(entry)
        return entry

    def learn_port(self, number: Optional[int], owner: str) -> None:
        """The first object known to own a port gives it its name."""
        if number and number not in self.ports:
            self.ports[number] = owner

    def port(self, number: int) -> Any:
        if number in self.ports:
            return "<port:%s>" % self.ports[number]
        return number if number < 1024 else "<port>"

    def text(self, text: str) -> str:
        text = text.replace(self.folder, "<tmp>").replace(self.unique, "<uniq>")

        def named(match: "re.Match[str]") -> str:
            number = int(match.group(2))
            return match.group(1) + "<port:%s>" % self.ports[number] if number in self.ports else match.group(0)
        return re.sub(r"(:)(\d{2,5})\b", named, text)

    def data(self, data: bytes) -> Dict[str, Any]:
        if len(data) <= TEXT_LIMIT:
            try:
                text = data.decode("utf8")
            except UnicodeDecodeError:
                text = "\0"
            if all(32 <= ord(c) < 127 or c in "\r\n\t" for c in text):
                return {"utf8": self.text(text)}
        if len(data) <= HEX_LIMIT:
            def named(match: "re.Match[str]") -> str:
                number = int(match.group(2), 16)
                return match.group(1) + "<port:%s>" % self.ports[number] if number in self.ports else match.group(0)
            return {"hex": _PORT_IN_BYTES.sub(named, data.hex())}
        return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()[:16]}

    def value(self, value: Any) -> Any:
        """A raw value in its final form."""
        if isinstance(value, Port):
            return self.port(value.number)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, (bytes, bytearray)):
            return self.data(bytes(value))
        if isinstance(value, (tuple, list)):
            return [self.value(v) for v in value]
        if isinstance(value, dict):
            return {k: self.value(v) for k, v in value.items()}
        return value

    def trace(self, name: str, loose: bool) -> Dict[str, Any]:
        """The run as a trace.  With loose the amounts of bytesWritten are left out."""
        timeline = []
        for entry in self.events:
            done = dict(entry)
            for field in ("args", "ret", "value", "values", "what", "text"):
                # What a scenario says stands in the trace as it says it; only what came out of the run is rewritten.
                if field in done and not (field == "args" and done["ev"] == "call"):
                    done[field] = self.value(done[field])
            timeline.append(done)
        return {"name": name, "objects": objects_of(timeline, loose), "timeline": timeline}


def objects_of(timeline: List[Dict[str, Any]], loose: bool) -> Dict[str, List[Dict[str, Any]]]:
    """The timeline sorted by object, each object's events coalesced: the part of a trace that is compared."""
    objects: Dict[str, List[Dict[str, Any]]] = {}
    for entry in timeline:
        if entry["obj"] != "-":
            objects.setdefault(entry["obj"], []).append({k: v for k, v in entry.items() if k not in ("obj", "step")})
    out = {name: coalesce(events) for name, events in objects.items()}
    if loose:
        for events in out.values():
            for event in events:
                if event["ev"] == "signal" and event["name"] == "bytesWritten":
                    event["args"] = ["<some>"]
    return out


def coalesce(events: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Makes one bytesWritten and one readyRead of every run of them, so that a trace does not say how a transfer was cut up."""
    out: List[Dict[str, Any]] = []
    run: List[Dict[str, Any]] = []

    def finish() -> None:
        for name in ("bytesWritten", "readyRead"):
            group = [e for e in run if e["name"] == name]
            if not group:
                continue
            event = dict(group[-1])
            event["in"] = group[0]["in"] if len({e["in"] for e in group}) == 1 else "several"
            if name == "bytesWritten" and "<some>" not in [e["args"][0] for e in group]:
                event["args"] = [sum(e["args"][0] for e in group)]
            out.append(event)
        run.clear()

    for event in events:
        if event["ev"] == "signal" and event["name"] in ("readyRead", "bytesWritten"):
            run.append(event)
        else:
            finish()
            out.append(event)
    finish()
    return out
