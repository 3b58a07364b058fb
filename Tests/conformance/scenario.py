"""Plays a scenario through a face and records what happens."""
from __future__ import annotations

import json
import time
from typing import Any, Callable, Dict, List, Optional, Set

import peers
import vocabulary
from differences import LeftOut
from face import Face, FaceError, Notice, Outcome
from names import PORT_GETTERS, Destroyed, Names, Target
from record import Record
from vocabulary import Port

_COMPARISONS: Dict[str, Callable[[Any, Any], bool]] = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "==": lambda a, b: a == b, "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b,
    "!=": lambda a, b: a != b}
_INVALID_HANDLE = vocabulary.ERRORS["InvalidHandleError"]


class Player(Names):
    """One run of one scenario."""

    def __init__(self, scenario: Dict[str, Any], face: Face, record: Record, dropped: Set[str], left_out: LeftOut):
        super().__init__(face, record, dropped)
        self.scenario, self.left_out = scenario, left_out
        self.handlers: Dict[Any, List[Dict[str, Any]]] = {}
        self.has_datagrams = any(s.get("new") == "UdpSocket" or s.get("type") == "UdpSocket" for s in scenario["steps"])
        self.context = ["loop"]
        self.deleting = ""
        self.awaited: Optional[Callable[[], bool]] = None    # what an `until` waits for
        self.reached: Optional[int] = None                   # and how long the record was when it came
        self.depth = 0                                       # of signals inside the handlers of signals
        self.began = 0.0    # when the wait that is under way began
        self.taking = False    # connections have been asked for, whose handles the next step may need
        face.listener = self.notice

    # -- signals ------------------------------------------------------------------------------------------------------------------------
    def notice(self, notice: Notice) -> None:
        """Records a signal, then plays the steps that wait for it."""
        name = self.names.get(notice.handle)
        if name is None or name in self.dropped:
            return
        kind = self.targets[name].kind if name in self.targets else "socket"
        if notice.name not in vocabulary.SIGNALS[kind]:
            return
        fields: Dict[str, Any] = {}
        if notice.name == "stateChanged":
            fields["args"] = [vocabulary.STATES[notice.value] + "State"]
        elif notice.name in ("errorOccurred", "acceptError"):
            fields["args"] = [vocabulary.error_name(notice.error, kind)]
        elif notice.name == "bytesWritten":
            fields["args"] = [notice.value]
        elif notice.name == "proxyAuthenticationRequired":
            fields["args"] = [vocabulary.printed_proxy(notice.proxy), {"realm": notice.message, "user": ""}]
        if kind in ("socket", "local"):
            if self.deleting == name:
                fields["state"] = "<destroyed>"
            else:
                fields["state"] = vocabulary.STATES[notice.state] + "State"
                fields["open"] = notice.is_open
                if notice.name == "errorOccurred":
                    fields["errorString"] = notice.message
        self.record.add(name, "signal", name=notice.name, **fields, **{"in": self.context[-1]})
        key = (name, notice.name)
        self.counts[key] = self.counts.get(key, 0) + 1
        self.depth += 1
        for handler in list(self.handlers.get(key, [])):
            if handler.get("once"):
                self.handlers[key].remove(handler)
            if "authenticate" in handler:
                self.face.request(vocabulary.METHODS["socket"]["authenticateProxy"], notice.handle, handler["authenticate"], lambda outcome: None)
            self.steps(handler.get("do", []), "%s.%s" % key)
        self.depth -= 1
        if self.awaited is not None and self.reached is None and not self.depth and self.awaited():
            self.reached = len(self.record.events)

    # -- the loop -----------------------------------------------------------------------------------------------------------------------
    def pump(self, milliseconds: float, condition: Optional[Callable[[], bool]] = None) -> bool:
        """Runs the event loop; peers call it while they wait."""
        self.face.settle()
        if condition and condition():
            return True
        self.context.append("loop")
        try:
            return self.face.run(milliseconds, condition)
        finally:
            self.context.pop()

    # -- steps --------------------------------------------------------------------------------------------------------------------------
    def steps(self, many: List[Dict[str, Any]], nested: Optional[str] = None) -> None:
        for index, step in enumerate(many):
            if nested is None:
                self.record.step = index
            if self.concerns_dropped(step):
                continue
            try:
                self.one(step, nested)
            except Destroyed:
                subject = str(step.get("call", step.get("get", "-"))).split(".")[0]
                self.record.add(subject, "raised", what="RuntimeError", step_text=json.dumps(step)[:80])

    def concerns_dropped(self, step: Dict[str, Any]) -> bool:
        for word in ("call", "get", "check", "until", "untilValue", "on", "delete", "snapshot"):
            subject = step.get(word)
            if isinstance(subject, str) and subject.split(".")[0] in self.dropped:
                return True
        return step.get("as") in self.dropped

    def one(self, step: Dict[str, Any], nested: Optional[str]) -> None:
        where = {"within": nested} if nested else {}
        if not {"get", "snapshot"} & set(step):
            self.early.clear()
        if self.taking and not step.get("call", "").endswith(".nextPendingConnection"):
            self.taking = False
            self.face.settle()
        for word in ("new", "call", "get", "check", "snapshot", "until", "untilValue", "delete"):
            if word in step:
                getattr(self, "step_" + word)(step, where)
                return
        if "pump" in step:
            self.pump(step["pump"])
        elif "sys" in step:
            if self.left_out("sys", step["sys"], []):
                return
            arguments = [self.resolve(a) for a in step.get("args", [])]
            self.face.settle()
            value = self.face.sys(step["sys"], arguments)
            if value is not None:
                self.record.add("sys", "sys", name=step["sys"], value=value)
        elif "on" in step:
            name, signal = step["on"].split(".")
            self.handlers.setdefault((name, signal), []).append(step)
            if "authenticate" in step:
                self.face.watch_questions(self.target(name).handle)
        elif "applicationProxy" in step:
            self.face.ask(vocabulary.APPLICATION_PROXY, 0, {"proxy": vocabulary.argument("proxy", self.resolve(step["applicationProxy"]))})

    def step_new(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name, new = step["as"], step["new"]
        if new in peers.PEERS:
            options = {k: self.deep(v) for k, v in step.items() if k not in ("new", "as")}
            self.face.settle()
            self.add(name, Target("peer", peer=peers.PEERS[new](self.pump, **options)))
            if new != "RawFd":    # whose port it is depends on who is given it
                self.learn_ports()
            return
        kind, noun = vocabulary.kind_and_noun(step)
        outcome = self.face.ask(vocabulary.CREATE[noun], 0)
        if outcome.error is not None:
            raise FaceError("%s.create failed: error %d" % (noun, outcome.error))
        self.add(name, Target(kind, outcome.value))
        if "incomingConnection" in step:
            self.face.watch_incoming(outcome.value, lambda descriptor: self.incoming(name, step["incomingConnection"], descriptor))

    def incoming(self, name: str, steps: List[Dict[str, Any]], descriptor: int) -> None:
        """A server hands over a descriptor: the steps that stand for its incomingConnection."""
        self.saved["descriptor"] = descriptor
        self.record.add(name, "virtual", name="incomingConnection", args=["<fd>"])
        self.steps(steps, name + ".incomingConnection")

    def step_call(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name, method = step["call"].split(".")
        raw = step.get("args", [])
        target = self.target(name)
        if target.peer is not None:
            return self.call_peer(step, target, method, raw, where)
        if self.left_out(target.kind, method, raw):
            return
        op = vocabulary.operation(target.kind, method, raw)
        if op is None:
            raise ValueError("unknown method %s" % step["call"])
        if method in ("listen", "close", "setSocketDescriptor"):
            self.server_ports.pop(name, None)
        resolved = [self.resolve(a) for a in raw]
        if raw and str(raw[0]).endswith(".fd"):
            self.face.hand_over(resolved[0], self.target(raw[0][1:].split(".")[0]).peer)
        if method in ("connectToServer", "open") and (not raw or raw[0] in vocabulary.OPEN_MODE):
            resolved.insert(0, self.getter(name + ".serverName"))
        values = vocabulary.arguments(op, method, [a.handle if isinstance(a, Target) else a for a in resolved])
        if method in ("close", "abort", "disconnectFromHost") and self.has_datagrams:
            self.learn_ports()    # a raw peer may be asked later who had sent a datagram
        step_number = self.record.step
        accepted: Optional[Target] = None
        if op.result == "handle":
            accepted = Target(vocabulary.ACCEPTED_KIND[target.kind], waiting=True)
            if "as" in step and self.targets.get(step["as"]) is None:
                self.targets[step["as"]] = accepted
        self.context.append(step["call"])
        start = time.monotonic()

        def done(outcome: Outcome) -> None:
            elapsed = (time.monotonic() - (self.began or start)) * 1000
            if outcome.error == _INVALID_HANDLE and op.result != "nothing":
                self.record.add(name, "raised", what="RuntimeError", step_text=json.dumps(step)[:80])
                return
            if accepted is not None:
                value = self.took(step, accepted, outcome)
            else:
                value = vocabulary.printed(op.result, target.kind, outcome.value, outcome.error, bool(raw))
                if "as" in step and value is not None:
                    self.saved[step["as"]] = outcome.value if op.result == "descriptor" else value.number if isinstance(value, Port) else value
            entry = self.record.add(name, "call", name=method, **({"args": raw} if raw else {}), ret=self.recorded(step, value))
            entry["step"] = step_number
            if "elapsed" in step:
                entry["elapsedOk"] = step["elapsed"][0] <= elapsed <= step["elapsed"][1]
            entry.update(where)
        try:
            if op.name.startswith(("socket.waitFor", "server.waitFor")):
                self.wait(op, target, values, done)
            else:
                self.face.request(op, target.handle, values, done)
                self.taking = self.taking or accepted is not None
        finally:
            self.context.pop()

    def wait(self, op: vocabulary.Operation, target: Target, values: Dict[str, Any], done: Callable[[Outcome], None]) -> None:
        """A wait, answered before anything else is done.  Where the loop runs on after it, the getters that follow are asked for with it:
        what they say counts if the wait was over at once."""
        over: List[bool] = []

        def reached(outcome: Outcome) -> None:
            self.began = time.monotonic()

        def answered(outcome: Outcome) -> None:
            over.append(True)
            done(outcome)
            self.began = 0.0
        if self.face.ahead:
            # Requests before the wait may take their time: it begins when they are answered.
            self.face.request(vocabulary.METHODS[target.kind]["errorString"], target.handle, {}, reached)
        self.face.request(op, target.handle, values, answered)
        for name, method in self.getters_ahead() if self.face.ahead else []:
            other = self.target(name)
            getter = vocabulary.operation(other.kind, method, []) if other.peer is None else None
            if getter is not None and self.face.provides(getter.name) and not self.left_out(other.kind, method, []):
                def known(outcome: Outcome, key: Any = (name, method)) -> None:
                    if over:
                        self.early[key] = outcome, len(self.record.events)
                self.face.request(getter, other.handle, {}, known)
        self.face.settle()

    def getters_ahead(self) -> List[Any]:
        """What the steps right behind this one ask for, as (object, getter)."""
        out: List[Any] = []
        for step in self.scenario["steps"][self.record.step + 1:]:
            if set(step) == {"get"}:
                out += [tuple(text.split(".")) for text in (step["get"] if isinstance(step["get"], list) else [step["get"]])]
            elif set(step) == {"snapshot"} and isinstance(step["snapshot"], str):
                out += [(step["snapshot"], m) for m in vocabulary.SNAPSHOTS[self.target(step["snapshot"]).kind]]
            else:
                break
        return [pair for pair in out if pair[0] in self.targets and pair[0] not in self.dropped]

    def took(self, step: Dict[str, Any], accepted: Target, outcome: Outcome) -> Optional[str]:
        """The accepted socket came (or none did): it gets its name, and its recording begins."""
        handle = outcome.value or 0
        known = self.names.get(handle) if handle else None
        if "as" in step and self.targets.get(step["as"]) is accepted and not handle:
            del self.targets[step["as"]]
        if not handle:
            return None
        accepted.handle, accepted.waiting = handle, False
        if known is not None:
            return "<object:%s>" % known
        if "as" not in step:
            return "<object>"
        self.add(step["as"], accepted)
        return "<object:%s>" % step["as"]

    def call_peer(self, step: Dict[str, Any], target: Target, method: str, raw: List[Any], where: Dict[str, str]) -> None:
        name = step["call"].split(".")[0]
        arguments = [self.resolve(a) for a in raw]
        self.face.settle()
        start = time.monotonic()
        try:
            value = getattr(target.peer, method)(*arguments)
        except OSError:
            value = None    # there is nobody whom it could do that to
        elapsed = (time.monotonic() - start) * 1000
        if "as" in step and value is not None:
            if type(value).__module__ == "peers":
                self.add(step["as"], Target("peer", peer=value))
                self.learn_ports()
            else:
                self.saved[step["as"]] = value
        entry = self.record.add(name, "call", name=method, **({"args": raw} if raw else {}), ret=self.recorded(step, self.shown(value, method)))
        if "elapsed" in step:
            entry["elapsedOk"] = step["elapsed"][0] <= elapsed <= step["elapsed"][1]
        entry.update(where)

    @staticmethod
    def recorded(step: Dict[str, Any], value: Any) -> Any:
        mode = step.get("record")
        if mode == "none":
            return "<ignored>"
        if mode == "first":
            return value[0]
        if mode == "sign":
            value = value.number if isinstance(value, Port) else value
            return None if value is None else ">0" if value > 0 else "0" if value == 0 else "<0"
        return value

    def step_get(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        wanted = step["get"] if isinstance(step["get"], list) else [step["get"]]
        number = self.record.step
        for text in wanted:
            name, method = text.split(".")
            if name in self.dropped or self.left_out(self.target(name).kind, method, []):
                continue

            def deliver(value: Any, name: str = name, method: str = method) -> None:
                self.record.add(name, "get", name=method, value=self.recorded(step, value), **where)["step"] = number
            self.fetch(name, method, [self.resolve(a) for a in step.get("args", [])], deliver)
            if method in PORT_GETTERS:
                self.learn_ports()

    def step_check(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name, method = step["check"].split(".")
        value = self.getter(step["check"], [self.resolve(a) for a in step.get("args", [])])
        ok = _COMPARISONS[step["op"]](value, self.face.own_number(self.resolve(step["value"])))
        self.record.add(name, "check", name=method, op=step["op"], against=step["value"], ok=ok, **where)

    def step_snapshot(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        number = self.record.step
        for name in step["snapshot"] if isinstance(step["snapshot"], list) else [step["snapshot"]]:
            if name in self.dropped:
                continue
            values: Dict[str, Any] = {}
            methods = vocabulary.SNAPSHOTS[self.target(name).kind]
            for method in methods:
                def deliver(value: Any, name: str = name, method: str = method, values: Dict[str, Any] = values,
                            last: bool = method == methods[-1]) -> None:
                    values[method] = value
                    if last:
                        self.record.add(name, "snapshot", values=values, **where)["step"] = number
                self.fetch(name, method, [], deliver)
        self.learn_ports()

    def step_until(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name, signal = step["until"].split(".")
        wanted = step.get("count", 1)
        self.target(name)
        self.face.settle()
        start = time.monotonic()
        outer = self.awaited, self.reached
        self.awaited, self.reached = lambda: self.counts.get((name, signal), 0) >= wanted, None
        ok = self.pump(step.get("ms", 2000), self.awaited)
        place, (self.awaited, self.reached) = self.reached, outer
        elapsed = (time.monotonic() - start) * 1000
        more: Dict[str, Any] = {"count": wanted} if wanted != 1 else {}
        if "elapsed" in step:
            more["elapsedOk"] = step["elapsed"][0] <= elapsed <= step["elapsed"][1]
        self.record.add(name, "until", name=signal, **more, ok=ok, **where)
        if place is not None:
            # The step ends at the signal; what the same turn of the loop brought after it belongs to what follows.
            self.record.events.insert(place, self.record.events.pop())
        self.learn_ports()

    def step_untilValue(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name, method = step["untilValue"].split(".")
        if "is" in step:
            wanted = self.resolve(step["is"])
            ok = self.pump(step.get("ms", 2000), lambda: self.getter(step["untilValue"]) == wanted)
        else:
            wanted = self.resolve(step["atLeast"])
            ok = self.pump(step.get("ms", 2000), lambda: self.getter(step["untilValue"]) >= wanted)
        self.record.add(name, "until", name=method, **{k: step[k] for k in ("is", "atLeast") if k in step}, ok=ok, **where)
        self.learn_ports()

    def step_delete(self, step: Dict[str, Any], where: Dict[str, str]) -> None:
        name = step["delete"]
        target = self.target(name)
        if target.peer is None:
            def begun(outcome: Outcome) -> None:
                self.deleting = name
            self.learn_ports()
            self.context.append(name + ".delete")
            try:
                # What comes after this answer comes from the destruction.
                self.face.request(vocabulary.METHODS[target.kind]["errorString"], target.handle, {}, begun)
                self.face.ask(vocabulary.DESTROY, target.handle)
            finally:
                self.deleting = ""
                self.context.pop()
        del self.targets[name]
        self.record.add(name, "deleted")

    def play(self) -> None:
        """Plays all steps, and gives what is still under way a moment."""
        self.steps(self.scenario["steps"])
        self.record.step += 1
        self.pump(30)
        self.learn_ports()
        self.face.settle()

    def close(self) -> None:
        for target in self.targets.values():
            if isinstance(target.peer, peers.ProxyProcess):
                target.peer.close()
            if isinstance(target.peer, peers.InProcess):
                target.peer.stop()
