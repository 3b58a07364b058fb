"""What the names in a scenario stand for: objects, peers, saved values; and how their values are got and shown."""
from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Set

import vocabulary
from face import Face, Outcome
from record import Record
from vocabulary import Port

PORT_GETTERS = ("localPort", "peerPort", "serverPort", "port")
_BYTES = {"utf8", "base64", "hex", "repeat"}


@dataclass
class Target:
    """Something a scenario has given a name: an object of ours (kind, handle) or a peer."""
    kind: str
    handle: int = 0
    peer: Any = None
    waiting: bool = False    # its handle has been asked for and has not come yet


class Destroyed(Exception):
    """A step named an object that is gone."""


class Names:
    """The objects, peers and values of one run."""

    def __init__(self, face: Face, record: Record, dropped: Set[str]):
        self.face, self.record, self.dropped = face, record, dropped
        self.targets: Dict[str, Target] = {}
        self.names: Dict[int, str] = {}    # handle -> name
        self.saved: Dict[str, Any] = {}
        self.counts: Dict[Any, int] = {}    # (name, signal) -> how often it was raised
        # Getters asked for together with the wait before them: outcome, and its place in the record.
        self.early: Dict[Any, Any] = {}
        self.server_ports: Dict[str, int] = {}

    def target(self, name: str) -> Target:
        """What a name stands for.  Raises Destroyed when it is gone."""
        target = self.targets.get(name)
        if target is not None and target.waiting:
            self.face.settle()
            target = self.targets.get(name)
        if target is None:
            raise Destroyed()
        return target

    def getter(self, text: str, arguments: Optional[List[Any]] = None) -> Any:
        """The value of "object.method" now, in its raw form; ports and descriptors are numbers."""
        name, method = text.split(".")
        target = self.target(name)
        if target.peer is not None:
            return getattr(target.peer, method)(*(arguments or []))
        op = vocabulary.operation(target.kind, method, arguments or [])
        if op is None:
            raise ValueError("unknown method %s" % text)
        outcome = self.face.ask(op, target.handle, vocabulary.arguments(op, method, arguments or []))
        if outcome.error is not None and op.result not in vocabulary.FAILURES_ARE_VALUES:
            return None
        value = vocabulary.printed(op.result, target.kind, outcome.value, outcome.error, bool(arguments))
        if op.result == "descriptor":
            return outcome.value
        return value.number if isinstance(value, Port) else value

    def resolve(self, value: Any) -> Any:
        """What an argument stands for: a getter's value, a saved value, an object, text with its gaps filled, bytes."""
        if isinstance(value, str):
            if value == "$tmp":
                return self.record.folder
            match = re.fullmatch(r"\$([A-Za-z_]\w*)\.(\w+)", value)
            if match:
                if match.group(2) != "serverPort":
                    return self.getter(value[1:])
                # Asked for once: it stays what it is while the server listens, and asking would have the loop run.
                if not self.server_ports.get(match.group(1)):
                    self.server_ports[match.group(1)] = self.getter(value[1:])
                return self.server_ports[match.group(1)]
            match = re.fullmatch(r"\$([A-Za-z_]\w*)", value)
            if match:
                name = match.group(1)
                if name not in self.saved:
                    self.face.settle()
                return self.saved[name] if name in self.saved else self.target(name)
            return re.sub(r"\$\{([^}]*)\}", self.filled, value)
        if isinstance(value, dict):
            if "proxy" in value:
                return {"proxy": {k: self.resolve(v) for k, v in value["proxy"].items()}}
            if "datagram" in value:
                return {"datagram": {k: self.resolve(v) for k, v in value["datagram"].items()}}
            if "addr" in value:
                return vocabulary.ADDRESSES.get(value["addr"], value["addr"])
            if set(value) & _BYTES:
                return self.resolve(value["utf8"]).encode() if "utf8" in value else vocabulary.payload(value)
        return value

    def filled(self, match: "re.Match[str]") -> str:
        word = match.group(1)
        return self.record.folder if word == "tmp" else self.record.unique if word == "uniq" else str(self.resolve("$" + word))

    def deep(self, value: Any) -> Any:
        """A value with all that stands in it resolved."""
        if isinstance(value, list):
            return [self.deep(v) for v in value]
        if isinstance(value, dict) and not set(value) & (_BYTES | {"addr"}):
            return {k: self.deep(v) for k, v in value.items()}
        return self.resolve(value)

    def shown(self, value: Any, method: str = "") -> Any:
        """A value on its way into the record: objects by name, ports marked."""
        if isinstance(value, Target) or type(value).__module__ == "peers":
            for name, target in self.targets.items():
                if target is value or target.peer is value:
                    return "<object:%s>" % name
            return "<object>"
        if isinstance(value, (list, tuple)):
            out = [self.shown(v) for v in value]
            if len(out) == 3 and isinstance(out[0], bytes) and isinstance(out[1], str) and isinstance(out[2], int):
                out[2] = Port(out[2])
            return out
        if method in PORT_GETTERS and isinstance(value, int):
            return Port(value)
        return value

    def learn_ports(self) -> None:
        """Finds out whose the ports are that may come up in the record."""
        known = set(self.record.ports.values())
        for name, target in list(self.targets.items()):
            if target.peer is not None:
                for extra, label in (("port", name), ("bindPort", name + ".bindPort"), ("udpPort", name + ".udpPort")):
                    if hasattr(target.peer, extra) and label not in known:
                        try:
                            self.record.learn_port(getattr(target.peer, extra)(), label)
                        except Exception:
                            continue    # a descriptor of a kind that has no port
            elif target.kind in ("socket", "server") and name not in self.dropped and not target.waiting:
                def learned(outcome: Outcome, name: str = name) -> None:
                    self.record.learn_port(outcome.value, name)
                word = "localPort" if target.kind == "socket" else "serverPort"
                self.face.request(vocabulary.METHODS[target.kind][word], target.handle, {}, learned)

    def add(self, name: str, target: Target) -> None:
        """Gives something a name, and begins to record what it tells."""
        for key in [k for k in self.counts if k[0] == name]:
            del self.counts[key]
        self.targets[name] = target
        if target.peer is None:
            self.names[target.handle] = name
            if not target.waiting:
                self.face.watch(target.handle)

    def fetch(self, name: str, method: str, arguments: List[Any], deliver: Callable[[Any], None]) -> None:
        """Gets a value in its printed form and hands it to deliver, now or when the face settles."""
        target = self.target(name)
        if target.peer is not None:
            self.face.settle()
            deliver(self.shown(getattr(target.peer, method)(*arguments), method))
            return
        op = vocabulary.operation(target.kind, method, arguments)
        if op is None:
            raise ValueError("unknown method %s.%s" % (name, method))
        if not self.face.provides(op.name):
            return

        def answered(outcome: Outcome) -> None:
            deliver(vocabulary.printed(op.result, target.kind, outcome.value, outcome.error, bool(arguments)))
        if (name, method) in self.early:
            outcome, place = self.early.pop((name, method))
            before = len(self.record.events)
            answered(outcome)
            if len(self.record.events) > before:
                self.record.events.insert(place, self.record.events.pop())
                self.early = {k: (o, p + (p >= place)) for k, (o, p) in self.early.items()}
        else:
            self.face.request(op, target.handle, vocabulary.arguments(op, method, arguments), answered)
