"""What the project wants to be different from the recorded traces.

DIFFERENCES.md holds every difference with its reason.  Most are rules: functions that turn a recorded trace into the wanted one (rules_*.py);
the rest are single scenarios, whose wanted trace stands in expected/.  This file reads the document and applies both.
"""
from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import vocabulary
from compare import Objects
from record import objects_of

Event = Dict[str, Any]


def digest(scenario: Dict[str, Any]) -> str:
    """Tells apart scenarios of the same name."""
    return hashlib.sha256(json.dumps(scenario["steps"], sort_keys=True).encode()).hexdigest()[:16]


class LeftOut:
    """The calls that the project leaves out: by name, or by name and first argument ("readLine(0)")."""

    def __init__(self, table: Dict[str, str]):
        self.table = table

    @classmethod
    def from_list(cls, rows: List[List[str]]) -> "LeftOut":
        return cls({name: how for name, how in rows})

    def to_list(self) -> List[List[str]]:
        return [[name, how] for name, how in self.table.items()]

    def __call__(self, kind: str, method: str, arguments: List[Any]) -> Optional[str]:
        """"event": only that call is left out; "scenario": nothing after it can be compared; None: it is not left out."""
        if kind == "peer":
            return None
        names = [method, "%s.%s" % (kind, method)]
        if arguments:
            first = arguments[0]
            word = first["proxy"]["type"] if isinstance(first, dict) and "proxy" in first else json.dumps(first)
            names += ["%s(%s)" % (name, word) for name in list(names)]
        return next((self.table[name] for name in names if name in self.table), None)


def kinds_of(scenario: Dict[str, Any]) -> Dict[str, str]:
    """The kind of every object that a scenario names: socket, local, server, localserver or peer."""
    kinds: Dict[str, str] = {}

    def look(steps: List[Event]) -> None:
        for step in steps:
            if "new" in step:
                kinds[step["as"]] = vocabulary.KINDS[step["new"]][0] if step["new"] in vocabulary.KINDS else "peer"
                look(step.get("incomingConnection", []))
            elif "call" in step and "as" in step:
                kinds[step["as"]] = vocabulary.ACCEPTED_KIND.get(kinds.get(step["call"].split(".")[0], ""), "peer")
            look(step.get("do", []))
    look(scenario["steps"])
    return kinds


def is_call(event: Event, *names: str) -> bool:
    """Whether an event is a call of one of these methods."""
    return event["ev"] == "call" and event["name"] in names


@dataclass
class View:
    """A recorded trace on its way to the wanted one."""
    events: List[Event]
    scenario: Dict[str, Any]
    kinds: Dict[str, str]
    face: str
    states: List[str] = field(default_factory=list)    # of the event's object, just before each event
    replayed: List[str] = field(default_factory=list)    # datagram sockets whose events were worked out anew
    alternatives: List[List[Event]] = field(default_factory=list)    # other wanted outcomes that a rule has found

    def refresh(self) -> None:
        """Works out the state of each event's object just before it."""
        now: Dict[str, str] = {}
        self.states = []
        for event in self.events:
            name = event["obj"]
            if name not in now:
                now[name] = "UnconnectedState" if self.made_new(name) else "ConnectedState"
            self.states.append(now[name])
            if event["ev"] == "signal" and event["name"] == "stateChanged":
                now[name] = event["args"][0]
            elif event["ev"] == "snapshot" and "state" in event["values"]:
                now[name] = event["values"]["state"]
            elif event["ev"] == "get" and event["name"] == "state":
                now[name] = event["value"]

    def made_new(self, name: str) -> bool:
        """Whether a scenario makes the object (others are accepted connections)."""
        return any(s.get("new") and s.get("as") == name for s in self.all_steps())

    def all_steps(self) -> List[Event]:
        out: List[Event] = []

        def look(steps: List[Event]) -> None:
            for step in steps:
                out.append(step)
                look(step.get("do", []))
                look(step.get("incomingConnection", []))
        look(self.scenario["steps"])
        return out

    def is_signal(self, index: int, name: str, *arguments: Any) -> bool:
        event = self.events[index]
        return event["ev"] == "signal" and event["name"] == name and (not arguments or event.get("args") == list(arguments))

    def later(self, index: int, obj: str) -> List[int]:
        """The indices of the object's events after that one."""
        return [i for i in range(index + 1, len(self.events)) if self.events[i]["obj"] == obj]

    def handler_end(self, index: int) -> int:
        """The index behind a signal and the steps that ran inside it."""
        event = self.events[index]
        inside = "%s.%s" % (event["obj"], event["name"])
        end = index + 1
        for i in range(index + 1, len(self.events)):
            if self.events[i].get("within") == inside and self.events[i]["step"] == event["step"]:
                end = i + 1
            elif self.is_signal(i, event["name"]) and self.events[i]["obj"] == event["obj"]:
                break
        return end


Rule = Callable[[View], None]
RULES: Dict[str, Rule] = {}


def rule(name: str) -> Callable[[Rule], Rule]:
    """Registers a rule.  Rules are applied in the order of their registration; the first sees the trace as it was recorded."""
    def register(function: Rule) -> Rule:
        RULES[name] = function
        return function
    return register


class Differences:
    """DIFFERENCES.md, and what it refers to."""

    def __init__(self, left_out: LeftOut, rules: List[str], scenarios: Dict[str, str], expected: Path):
        self.left_out, self.rules, self.scenarios, self.expected = left_out, rules, scenarios, expected

    @classmethod
    def load(cls, document: Path, expected: Path) -> "Differences":
        """Reads the document: the table of calls left out, the headings of the rules, the table of single scenarios."""
        import rules_closing  # noqa: F401 - registers its rules
        import rules_datagrams  # noqa: F401
        import rules_descriptors  # noqa: F401
        import rules_options  # noqa: F401
        import rules_order  # noqa: F401
        import rules_proxies  # noqa: F401
        import rules_servers  # noqa: F401
        import rules_sidecar  # noqa: F401
        import rules_values  # noqa: F401
        import rules_waits  # noqa: F401
        left_out: Dict[str, str] = {}
        rules: List[str] = []
        scenarios: Dict[str, str] = {}
        section = ""
        for line in document.read_text().splitlines():
            if line.startswith("## "):
                section = line[3:].strip().lower()
            elif line.startswith("### ") and section.startswith("rules"):
                rules.append(line[4:].strip("` "))
            elif line.startswith("| `"):
                cells = [c.strip() for c in line.strip("|").split("|")]
                if section.startswith("calls"):
                    for name in re.findall(r"`([^`]+)`", cells[0]):
                        left_out[name] = cells[1]
                elif section.startswith("single"):
                    scenarios[cells[0].strip("`")] = cells[1]
        if sorted(rules) != sorted(RULES):
            raise ValueError("DIFFERENCES.md and the rules do not agree: %s" % sorted(set(rules) ^ set(RULES)))
        return cls(LeftOut(left_out), rules, scenarios, expected)

    def listed(self, scenario: Dict[str, Any], face: str) -> Optional[str]:
        """The name under which a single scenario is listed: NAME.face, or NAME for both faces."""
        names = ("%s.%s" % (scenario["name"], face), scenario["name"])
        return next((name for name in names if name in self.scenarios), None)

    def expect(self, scenario: Dict[str, Any], face: str, objects: Objects) -> None:
        """Adds an outcome to those wanted of a listed scenario."""
        name = self.listed(scenario, face)
        if name is None:
            return
        path = self.expected / (name + ".json")
        known = json.loads(path.read_text()) if path.exists() else {}
        outcomes = known["outcomes"] if known.get("scenario") == digest(scenario) else []
        if objects not in outcomes:
            path.write_text(json.dumps({"scenario": digest(scenario), "outcomes": outcomes + [objects]}, indent=1) + "\n")

    def wanted(self, scenario: Dict[str, Any], face: str, trace: Optional[Dict[str, Any]], other: Optional[Dict[str, Any]]) \
            -> List[Tuple[Objects, List[str]]]:
        """What a run may give, each with the names of the differences in it: one outcome, or more where the reference has more than one."""
        loose = "bytesWritten" in scenario.get("loose", ())
        name = self.listed(scenario, face)
        path = self.expected / ("%s.json" % name)
        if name is not None and path.exists():
            expected = json.loads(path.read_text())
            if expected.get("scenario") == digest(scenario):
                return [(objects, [self.scenarios[name]]) for objects in expected["outcomes"]]
        return [outcome for t in (trace, other) if t is not None for outcome in self.transformed(scenario, face, t, loose)]

    def transformed(self, scenario: Dict[str, Any], face: str, trace: Dict[str, Any], loose: bool) -> List[Tuple[Objects, List[str]]]:
        """The trace with all rules applied, and the names of those that changed it; more than one where a rule allows more than one."""
        timeline = [e for e in trace.get("timeline") or flattened(trace["objects"]) if e["obj"] != "-"]
        names = sorted(RULES, key=lambda name: name.startswith("rpc-"))    # they start from what is wanted of the library
        open_views: List[Tuple[List[Event], int, List[str]]] = [(timeline, 0, [])]
        out: List[Tuple[Objects, List[str]]] = []
        while open_views:
            events, first, applied = open_views.pop(0)
            view = View(copy.deepcopy(events), scenario, kinds_of(scenario), face)
            for number in range(first, len(names)):
                before = json.dumps(view.events)
                view.refresh()
                RULES[names[number]](view)
                changed = json.dumps(view.events) != before
                open_views += [(other, number + 1, applied + [names[number]]) for other in view.alternatives]
                view.alternatives = []
                if changed:
                    applied = applied + [names[number]]
            # What a rule notes down for a later one begins with an underscore.
            final = [{k: v for k, v in e.items() if not k.startswith("_")} for e in view.events]
            out.append((objects_of(final, loose) if applied else copy.deepcopy(trace["objects"]), applied))
        return out

    def without_left_out(self, objects: Objects, scenario: Dict[str, Any]) -> Objects:
        """The trace without the calls that the project leaves out."""
        kinds = kinds_of(scenario)
        kinds["sys"] = "sys"
        out = {name: [e for e in events if not (e["ev"] in ("call", "get", "sys") and
                                                self.left_out(kinds.get(name, "peer"), e["name"], e.get("args", [])) == "event")]
               for name, events in objects.items()}
        return {name: events for name, events in out.items() if events}


def flattened(objects: Objects) -> List[Event]:
    """A timeline of a trace that has none: the objects one after the other."""
    return [{"obj": name, "step": 0, **event} for name, events in objects.items() for event in events]
