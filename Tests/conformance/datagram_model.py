"""What a datagram socket tells and answers, worked out from what was sent to it.

Where the reference mixes datagrams up, or loses or invents one, its trace says nothing of what comes after.  This plays the socket
through such a trace: what has arrived, what was announced, what is left of the first datagram.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set

import vocabulary
from differences import Event, View, is_call
from rules_order import made_signal, set_values

STREAM_READS = ("read", "readAll", "readLine", "peek", "skip", "getChar", "ungetChar")
_ASKING = ("hasPendingDatagrams", "pendingDatagramSize", "bytesAvailable")
_SENDING = ("write", "writeDatagram", "putChar")
_ENDING = ("close", "abort", "disconnectFromHost")
# Calls of peers during which the loop runs.
_WAITING = ("recvFrom", "recv", "recvUntilEof", "accept", "drain")


def datagram_sockets(view: View) -> Set[str]:
    """The names of a scenario's datagram sockets."""
    return {s["as"] for s in view.all_steps() if s.get("new") == "UdpSocket" or s.get("type") == "UdpSocket"}


def owner(argument: Any) -> str:
    """Whose port an argument is: "r" of "$r.port"."""
    match = re.fullmatch(r"\$(\w+)\.(port|localPort)", str(argument))
    return match.group(1) if match else ""


def has_handlers(view: View, name: str) -> bool:
    """Whether steps run inside the signals that this deals with."""
    return any(str(s.get("on", "")) in (name + ".readyRead", name + ".errorOccurred") for s in view.all_steps())


def sent_data(event: Event) -> bytes:
    """The bytes of a sending call."""
    value = event["args"][0]
    return vocabulary.payload(value["datagram"]["data"] if isinstance(value, dict) and "datagram" in value else value)


def receiver(view: View, index: int, peers: Dict[str, str]) -> str:
    """To whom a call sends a datagram; "" when it sends none.  peers: to whom sockets are connected."""
    event = view.events[index]
    if not is_call(event, "sendTo", *_SENDING) or not event.get("args"):
        return ""
    if event["name"] in ("write", "putChar"):
        return peers.get(event["obj"], "")
    first = event["args"][0]
    if isinstance(first, dict) and "datagram" in first:
        return owner(first["datagram"].get("port")) or peers.get(event["obj"], "")
    return owner(event["args"][2]) if len(event["args"]) > 2 else ""


def says_error(view: View, index: int, name: str, code: str) -> None:
    """From that event on an object's error is this one, until another is raised or an attempt clears it."""
    for i in view.later(index, name):
        event = view.events[i]
        if event["ev"] == "signal" and event["name"] in ("errorOccurred", "stateChanged"):
            if event["name"] == "errorOccurred" or event["args"][0] in ("HostLookupState", "BoundState", "ConnectedState"):
                return
        if is_call(event, "bind", "setSocketDescriptor") and event["ret"]:
            return
        set_values(event, {"error": code, "errorString": "some text"})


def insert_error(view: View, index: int, code: str, state: str, is_open: bool, context: str) -> None:
    """Raises an error just before an event of the same object."""
    view.events.insert(index, made_signal(view.events[index], "errorOccurred", state, is_open, context, code))
    view.refresh()
    says_error(view, index + 1, view.events[index]["obj"], code)


@dataclass
class Datagram:
    data: bytes
    sender: str
    started: bool = False    # some of it was read as a stream


@dataclass
class Replay:
    """One datagram socket, played through the trace from its beginning."""
    view: View
    name: str
    queue: List[Datagram] = field(default_factory=list)
    announced: bool = False
    loaded: bool = False
    refusals: int = 0
    peers: Dict[str, str] = field(default_factory=dict)
    closed: Set[str] = field(default_factory=set)
    is_open: bool = False
    readable: bool = True

    def run(self) -> None:
        """Walks the trace step by step; where the loop runs, the socket tells what it has."""
        index, step = 0, -1
        while index < len(self.view.events):
            event = self.view.events[index]
            if event["step"] != step:
                for number in range(step + 1, event["step"] + 1):
                    index = self.enter(number, index)
                step = event["step"]
                continue
            index = self.one(index) + 1
        for number in range(step + 1, len(self.view.scenario["steps"]) + 1):
            self.enter(number, len(self.view.events))

    # -- the loop -----------------------------------------------------------------------------------------------------------------------
    def runs_loop(self, number: int) -> bool:
        if number >= len(self.view.scenario["steps"]):
            return True
        step = self.view.scenario["steps"][number]
        return bool({"pump", "until", "untilValue"} & set(step)) or str(step.get("call", "")).split(".")[-1] in _WAITING

    def enter(self, number: int, index: int) -> int:
        """A step begins: the signals of the loop in it are those that are due."""
        self.drop("readyRead", number)
        if not self.runs_loop(number):
            return index
        state = self.view.states[index] if index < len(self.view.events) and self.view.events[index]["obj"] == self.name else self.state_at(index)
        if self.refusals:
            self.refusals = 0
            self.put(number, index, "errorOccurred", state, "ConnectionRefusedError")
            index += 1
        if self.queue and not self.announced:
            self.announced = self.loaded = True
            self.put(number, index, "readyRead", state)
            index += 1
        return index

    def drop(self, signal: str, number: int) -> None:
        for i in range(len(self.view.events) - 1, -1, -1):
            event = self.view.events[i]
            if event["obj"] == self.name and event["step"] == number and self.view.is_signal(i, signal) and event["in"] != "gone":
                event["in"] = "gone"
                event["_gone"] = True

    def put(self, number: int, index: int, name: str, state: str, *arguments: Any) -> None:
        like = {"obj": self.name, "step": number}
        self.view.events.insert(index, {**made_signal(like, name, state, self.is_open, "loop", *arguments), "_made": True})
        self.view.refresh()
        if name == "errorOccurred":
            says_error(self.view, index, self.name, arguments[0])

    def state_at(self, index: int) -> str:
        before = [i for i in range(min(index, len(self.view.events))) if self.view.events[i]["obj"] == self.name
                  and self.view.is_signal(i, "stateChanged")]
        return self.view.events[before[-1]]["args"][0] if before else "UnconnectedState"

    # -- what happens -------------------------------------------------------------------------------------------------------------------
    def one(self, index: int) -> int:
        """An event of the trace; returns where it stands now."""
        view = self.view
        event = view.events[index]
        if event["ev"] == "call":
            if is_call(event, "connectToHost"):
                self.closed.discard(event["obj"])
                self.peers[event["obj"]] = owner(event["args"][1])
                if event["obj"] == self.name:
                    self.readable = "WriteOnly" not in event["args"][2:3]
            elif is_call(event, *_ENDING):
                self.closed.add(event["obj"])
                self.peers.pop(event["obj"], None)
            elif is_call(event, "bind") and event["ret"]:
                self.closed.discard(event["obj"])
            target = receiver(view, index, self.peers)
            sent = event["ret"] is not None and event["ret"] != -1 or event["obj"] == self.name and view.states[index] == "ConnectedState"
            if target == self.name and sent and self.takes(event["obj"]):
                self.queue.append(Datagram(sent_data(event), event["obj"]))
        if event["obj"] != self.name:
            return index
        if event["ev"] == "signal":
            if event["name"] in ("stateChanged", "readyRead") and "open" in event and not event.get("_gone"):
                self.is_open = event["open"]
            if event["name"] == "stateChanged" and event["args"][0] == "UnconnectedState":
                self.queue, self.announced, self.loaded, self.refusals = [], False, False, 0
            return index
        if event["ev"] == "until" and event["name"] in ("readyRead", "errorOccurred"):
            raised = [e for e in view.events[:index] if e["obj"] == self.name and e["ev"] == "signal" and e["name"] == event["name"]]
            event["ok"] = sum(not e.get("_gone") for e in raised) >= event.get("count", 1)
        if event["ev"] == "call":
            return self.call(index)
        if event["ev"] in ("get", "snapshot"):
            return self.getters(index)
        return index

    def takes(self, sender: str) -> bool:
        """A connected socket takes the datagrams of its peer alone."""
        return self.name not in self.closed and self.peers.get(self.name, sender) == sender

    def refuse(self, index: int, context: str) -> int:
        """Tells of an earlier datagram that reached nobody, before this event."""
        self.refusals = 0
        insert_error(self.view, index, "ConnectionRefusedError", self.view.states[index], self.is_open, context)
        self.view.events[index]["_made"] = True
        return index + 1

    def call(self, index: int) -> int:
        event, state = self.view.events[index], self.view.states[index]
        name, arguments = event["name"], event.get("args", [])
        context = "%s.%s" % (self.name, name)
        if name in _SENDING and state == "ConnectedState":
            return self.send(index, context)
        streams = name in STREAM_READS and state == "ConnectedState" and self.readable
        asks = name in _ASKING or name in ("readDatagram", "receiveDatagram") or streams
        failed = False
        if asks and self.refusals and not self.queue:
            index = self.refuse(index, context)
            failed = True
        if asks and self.queue:
            self.loaded = True
        if name in _ASKING or name in ("canReadLine", "atEnd"):
            event["ret"] = self.value(name)
        elif streams and self.is_open:
            event["ret"] = self.stream(name, arguments, event["ret"])
        elif name in ("readDatagram", "receiveDatagram"):
            return self.datagram(index, name, arguments, failed)
        elif name == "waitForReadyRead":
            return self.wait(index, context)
        return index

    def send(self, index: int, context: str) -> int:
        """A connected socket tells what became of earlier datagrams, and sends all the same."""
        event = self.view.events[index]
        size = len(sent_data(event))
        if self.refusals:
            if event["ret"] == -1:
                event["ret"] = size
                self.view.events.insert(index, {**made_signal(event, "bytesWritten", "ConnectedState", self.is_open, context, size), "_made": True})
                self.view.refresh()
                index = self.refuse(index, context) + 1
            else:
                first = next(i for i in range(index, -1, -1) if i == 0 or self.view.events[i - 1]["obj"] != self.name
                             or not self.view.is_signal(i - 1, "bytesWritten") or self.view.events[i - 1]["step"] != event["step"])
                self.refuse(first, context)
                index += 1
        if event["ret"] != -1 and receiver(self.view, index, self.peers) in self.closed:
            self.refusals += 1
        return index

    def wait(self, index: int, context: str) -> int:
        event, state = self.view.events[index], self.view.states[index]
        raised = [i for i in range(index) if self.view.events[i]["obj"] == self.name and self.view.events[i]["ev"] == "signal"
                  and self.view.events[i].get("in") == context and self.view.events[i]["step"] == event["step"]]
        if self.refusals and not self.queue:
            for i in raised:
                self.view.events[i]["_gone"] = True
            event["ret"] = False
            return self.refuse(index, context)
        if self.queue:
            for i in raised:
                self.view.events[i]["_gone"] = True
            event["ret"] = True
            if not self.announced:
                self.announced = self.loaded = True
                self.view.events.insert(index, {**made_signal(event, "readyRead", state, self.is_open, context), "_made": True})
                self.view.refresh()
                return index + 1
        return index

    def getters(self, index: int) -> int:
        event = self.view.events[index]
        names = [event["name"]] if event["ev"] == "get" else list(event["values"])
        if any(n in _ASKING for n in names) and self.state_at(index) in ("ConnectedState", "BoundState"):
            if self.refusals and not self.queue:
                index = self.refuse(index, "loop")
                event = self.view.events[index]
            self.loaded = self.loaded or bool(self.queue)
        set_values(event, {"state": self.state_at(index)})
        if self.state_at(index) in ("ConnectedState", "BoundState"):
            readable = self.state_at(index) == "ConnectedState" and self.readable
            set_values(event, {n: self.value(n) for n in _ASKING + (("canReadLine", "atEnd") if readable else ())})
        return index

    # -- values -------------------------------------------------------------------------------------------------------------------------
    def value(self, name: str) -> Any:
        front = self.queue[0].data if self.queue else None
        if name == "hasPendingDatagrams":
            return front is not None
        if name == "pendingDatagramSize":
            return -1 if front is None else len(front)
        if name == "bytesAvailable":
            return len(front or b"")
        if name == "canReadLine":
            return self.loaded and b"\n" in (front or b"")
        return not (self.loaded and front)

    def shown(self, data: bytes) -> Any:
        from record import Record
        return Record("/nowhere/", "\0nothing").data(data)

    def stream(self, name: str, arguments: List[Any], recorded: Any) -> Any:
        """Reads from the first datagram alone."""
        if name == "ungetChar":
            byte = vocabulary.argument("byte", arguments[0])
            if self.queue and self.queue[0].started:
                self.queue[0].data = bytes([byte]) + self.queue[0].data
            else:
                self.queue.insert(0, Datagram(bytes([byte]), "", True))
            self.loaded = True
            return recorded
        front = self.queue[0].data if self.queue else b""
        limit = len(front)
        if name in ("read", "peek", "skip"):
            limit = min(limit, arguments[0])
        elif name == "getChar":
            limit = min(limit, 1)
        elif name == "readLine":
            limit = front.index(b"\n") + 1 if b"\n" in front else limit
            if arguments:
                limit = min(limit, arguments[0] - 1)
        if name != "peek":
            self.consume(limit)
        if name == "skip":
            return limit
        if name == "getChar":
            return [limit > 0, self.shown(front[:1] if limit else b"\0")]
        return self.shown(front[:limit])

    def consume(self, count: int) -> None:
        if not self.queue or not count and self.queue[0].data:
            return
        self.queue[0].data, self.queue[0].started = self.queue[0].data[count:], True
        if not self.queue[0].data:
            del self.queue[0]
        self.announced = False

    def datagram(self, index: int, name: str, arguments: List[Any], failed: bool) -> int:
        """readDatagram and receiveDatagram."""
        event, state = self.view.events[index], self.view.states[index]
        context = "%s.%s" % (self.name, name)
        if self.queue:
            first = self.queue.pop(0)
            self.announced = False
            data = self.shown(first.data[:arguments[0]] if arguments and arguments[0] >= 0 else first.data)
            port = "<port:%s>" % first.sender
            if name == "readDatagram":
                same = isinstance(event["ret"], list) and event["ret"][0] is not None
                event["ret"] = [data] + (event["ret"][1:] if same else ["127.0.0.1", port])
            elif event["ret"]["valid"]:
                event["ret"]["data"] = data
            else:
                event["ret"] = {"valid": True, "data": data, "sender": "127.0.0.1", "senderPort": port, "destination": "127.0.0.1",
                                "destinationPort": "<port:%s>" % self.name, "hopLimit": 64, "interface": "lo"}
            return index
        if name == "receiveDatagram":
            event["ret"] = {"valid": False, "data": self.shown(b""), "sender": "", "senderPort": -1, "destination": "",
                            "destinationPort": -1, "hopLimit": -1, "interface": ""}
            return index
        told = [i for i in range(index) if self.view.events[i]["obj"] == self.name and self.view.is_signal(i, "errorOccurred")
                and self.view.events[i]["in"] == context and self.view.events[i]["step"] == event["step"] and not self.view.events[i].get("_made")]
        event["ret"] = [None, "", 0]
        if failed:
            for i in told:
                self.view.events[i]["_gone"] = True
            says_error(self.view, index, self.name, "ConnectionRefusedError")
        elif not told and state in ("BoundState", "ConnectedState"):
            insert_error(self.view, index, "TemporaryError", state, self.is_open, context)
            return index + 1
        return index


def replay(view: View, name: str) -> None:
    """Corrects what the trace says of that socket, once."""
    if name in view.replayed:
        return
    view.replayed.append(name)
    Replay(view, name).run()
    view.events[:] = [{k: v for k, v in e.items() if k != "_made"} for e in view.events if not e.get("_gone")]
    view.refresh()


def lost(view: View, index: int, name: Optional[str]) -> None:
    """A datagram that was not sent after all cannot be received by a raw peer."""
    if name is None:
        return
    data = sent_data(view.events[index])
    for i in view.later(index, name):
        event = view.events[i]
        if is_call(event, "recvFrom") and event["ret"] and event["ret"][0] == {"utf8": data.decode("latin1")}:
            del_from = [j for j in view.later(i, name) if is_call(view.events[j], "recvFrom")]
            values = [view.events[j]["ret"] for j in del_from] + [None]
            for j, value in zip([i] + del_from, values):
                view.events[j]["ret"] = value
            return
