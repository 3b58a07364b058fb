"""Looks through a scenario before it is run: what it needs, and whether this face can give it."""
from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Set

import peers
import vocabulary

_ROOT_STEPS = ("isolateNetwork", "dropPrivileges")


@dataclass
class Needs:
    """What the survey found.  reason: why the scenario cannot be run at all; dropped: objects that are left out of it."""
    reason: Optional[str] = None
    dropped: Set[str] = field(default_factory=set)


def _mentions(value: Any, name: str) -> bool:
    text = json.dumps(value)
    return any(mark in text for mark in ('"$%s"' % name, '"$%s.' % name, "${%s}" % name, "${%s." % name))


def survey(scenario: Dict[str, Any], provides: Callable[[str], bool], handlers: bool,
           left_out: Callable[[str, str, List[Any]], Optional[str]]) -> Needs:
    """provides tells whether the face has an operation; handlers, whether it can run steps inside a signal; left_out, how the project
    treats a call it leaves out: "event" (only that call is left out), "scenario", or None for a call it has."""
    needs = Needs()
    kinds: Dict[str, str] = {}

    def fail(reason: str) -> None:
        needs.reason = needs.reason or reason

    def method(obj: str, name: str, arguments: List[Any], is_get: bool) -> None:
        kind = kinds.get(obj)
        if kind in (None, "peer") or obj in needs.dropped:
            return
        if left_out(kind, name, arguments) == "scenario":
            fail("%s is left out" % name)
        elif left_out(kind, name, arguments):
            return
        op = vocabulary.operation(kind, name, arguments)
        if op is None:
            fail("unknown method: %s.%s" % (kind, name))
        elif not provides(op.name) and not is_get:
            fail("not provided: %s" % op.name)

    def one(step: Dict[str, Any]) -> None:
        for name in sorted(needs.dropped):
            if _mentions(step, name):
                fail("not provided: %s, which %s needs" % (name, next(iter(step))))
        if "new" in step:
            new = step["new"]
            kinds[step["as"]] = "peer"
            if new in peers.PEERS:
                if step.get("engine") and not any(os.access(os.path.join(d, step["engine"]), os.X_OK) for d in os.get_exec_path()):
                    fail("%s is not installed" % step["engine"])
                return
            if new not in vocabulary.KINDS:
                return fail("unknown object: %s" % new)
            kind, noun = vocabulary.kind_and_noun(step)
            kinds[step["as"]] = kind
            if not provides(noun + ".create"):
                needs.dropped.add(step["as"])
            if "incomingConnection" in step:
                if not handlers:
                    fail("steps inside a handler: face c")
                elif not provides(vocabulary.INCOMING.name):
                    fail("not provided: %s" % vocabulary.INCOMING.name)
                steps(step["incomingConnection"])
        elif "call" in step:
            obj, name = step["call"].split(".")
            method(obj, name, step.get("args", []), False)
            if "as" in step:
                kinds[step["as"]] = vocabulary.ACCEPTED_KIND.get(kinds.get(obj, ""), "peer")
        elif "get" in step or "check" in step or "untilValue" in step:
            wanted = step.get("get") or step.get("check") or step["untilValue"]
            for text in wanted if isinstance(wanted, list) else [wanted]:
                obj, name = text.split(".")
                method(obj, name, step.get("args", []), "get" in step)
        elif "on" in step:
            if not handlers and (step.get("do") or "authenticate" not in step):
                fail("steps inside a handler: face c")
            if "authenticate" in step and not provides("socket.authenticateProxy"):
                fail("not provided: socket.authenticateProxy")
            steps(step.get("do", []))
        elif "sys" in step:
            if not hasattr(peers.Sys, step["sys"]):
                fail("unknown sys step: %s" % step["sys"])
            elif step["sys"] in _ROOT_STEPS and os.geteuid() != 0:
                fail("%s needs root" % step["sys"])
        elif "applicationProxy" in step:
            if not provides("proxy.setApplication"):
                fail("not provided: proxy.setApplication")
            elif left_out("-", "applicationProxy", [step["applicationProxy"]]):
                fail("applicationProxy is left out")
        elif not {"note", "snapshot", "until", "pump", "delete"} & set(step):
            fail("unknown step: %s" % ", ".join(sorted(step)))

    def steps(many: List[Dict[str, Any]]) -> None:
        for step in many:
            one(step)

    steps(scenario["steps"])
    if needs.dropped and all(k == "peer" or o in needs.dropped for o, k in kinds.items()):
        fail("not provided: %s" % ", ".join(sorted({s["new"] for s in scenario["steps"] if s.get("as") in needs.dropped and "new" in s})))
    return needs
