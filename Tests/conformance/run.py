#!/usr/bin/env python3
"""Replays recorded scenarios through libsluice or through the sidecar, and compares what happens with the recorded traces.

One line a scenario: same, differs on purpose (and by which entries of DIFFERENCES.md), differs, or skipped (and why); then the counts.
Exit status: 0 when nothing differs that is not in DIFFERENCES.md, 1 when something does, 2 when the call makes no sense.
"""
from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from compare import differences, prepared
from differences import Differences, digest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# A scenario of 60 s and more is marked slow; the others are over in a few seconds, their own waits included.
SLOW_LIMIT, LIMIT = 150, 60


@dataclass
class Verdict:
    """What came of one scenario."""
    name: str
    outcome: str    # "same", "differs on purpose", "differs", "skipped"
    why: str = ""
    lines: List[str] = field(default_factory=list)
    trace: Optional[Dict[str, Any]] = None


def play(scenario: Dict[str, Any], options: argparse.Namespace, differences_: Differences) -> Dict[str, Any]:
    """Runs a scenario in a process of its own and returns its answer."""
    read_end, write_end = os.pipe()
    job = {"scenario": scenario, "face": options.face, "library": options.library, "sidecar": options.sidecar,
           "left_out": differences_.left_out.to_list(), "out": write_end}
    worker = subprocess.Popen([sys.executable, str(HERE / "worker.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, pass_fds=[write_end], start_new_session=True)
    os.close(write_end)
    limit = SLOW_LIMIT if scenario.get("slow") else LIMIT
    with concurrent.futures.ThreadPoolExecutor(1) as reader, os.fdopen(read_end) as answers:
        answer = reader.submit(answers.read)
        try:
            _, errors = worker.communicate(json.dumps(job).encode(), timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            _, errors = worker.communicate()
            return {"failed": "not over after %d s\n%s" % (limit, errors.decode(errors="replace"))}
        finally:
            try:
                os.killpg(worker.pid, signal.SIGKILL)    # what a scenario left behind
            except ProcessLookupError:
                pass
        text = answer.result()
    if not text:
        return {"failed": "ended with status %s\n%s" % (worker.returncode, errors.decode(errors="replace"))}
    out = json.loads(text)
    out["stderr"] = errors.decode(errors="replace")
    return out


def load_trace(path: Path) -> Optional[Dict[str, Any]]:
    return json.loads(path.read_text()) if path.exists() else None


def judge(scenario: Dict[str, Any], answer: Dict[str, Any], traces: Path, options: argparse.Namespace, rules: Differences) -> Verdict:
    """Compares a run with what is wanted."""
    name, contexts = scenario["name"], options.face == "c"
    if "skipped" in answer:
        return Verdict(name, "skipped", answer["skipped"])
    if "failed" in answer:
        return Verdict(name, "differs", "the run failed", answer["failed"].splitlines())
    trace = answer["trace"]
    dropped = set(answer["dropped"])
    got = prepared({k: v for k, v in trace["objects"].items() if k not in dropped}, contexts, False)
    wanted = rules.wanted(scenario, options.face, load_trace(traces / (name + ".json")),
                          load_trace(traces.parent / (traces.name + "-alt") / (name + ".json")))
    if not wanted:
        if scenario.get("oracle") not in ("crashes", "hangs") or options.expect:
            return Verdict(name, "differs" if options.expect else "skipped", "there is no trace of it", trace=trace)
        late = [str(e) for e in trace["timeline"] if e.get("elapsedOk") is False]
        return Verdict(name, "differs" if late else "differs on purpose", "the reference " + scenario["oracle"], late, trace)
    closest: Optional[Tuple[List[str], List[str]]] = None
    for objects, applied in wanted:
        kept = rules.without_left_out({k: v for k, v in objects.items() if k not in dropped}, scenario)
        lines = differences(prepared(kept, contexts, True), got)
        if answer["stderr"]:
            lines.append("printed: " + answer["stderr"])
        if not lines:
            return Verdict(name, "differs on purpose" if applied else "same", ", ".join(applied), trace=trace)
        if closest is None or len(lines) < len(closest[0]):
            closest = lines, applied
    assert closest is not None
    return Verdict(name, "differs", "beside " + ", ".join(closest[1]) if closest[1] else "", closest[0], trace)


def attempt(scenario: Dict[str, Any], options: argparse.Namespace, rules: Differences) -> Verdict:
    """Plays and judges a scenario."""
    verdict = judge(scenario, play(scenario, options, rules), Path(options.traces), options, rules)
    if options.expect and verdict.trace is not None and verdict.outcome == "differs":
        rules.expect(scenario, options.face, prepared(verdict.trace["objects"], options.face == "c", False))
    if options.record_dir and verdict.trace is not None:
        Path(options.record_dir, scenario["name"] + ".json").write_text(
            json.dumps({**verdict.trace, "scenario": digest(scenario)}, indent=1) + "\n")
    return verdict


def unavailable(options: argparse.Namespace) -> Optional[str]:
    """Why the face cannot be used at all, if so; its path is settled on the way."""
    if options.face == "c":
        path = options.library or os.environ.get("SLUICE_LIBRARY") or str(ROOT / ".build" / "release" / "libsluice.so")
        options.library = path
    else:
        path = options.sidecar or os.environ.get("SLUICED") or str(ROOT / ".build" / "release" / "sluiced")
        options.sidecar = path
    return None if os.path.isfile(path) else "%s is not there: build it, or name another" % path


def parse(arguments: List[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", default=str(HERE / "scenarios"), help="folder of scenarios")
    parser.add_argument("--traces", default=str(HERE / "traces"), help="folder of recorded traces; NAME-alt beside it holds second outcomes")
    parser.add_argument("--face", choices=["rpc", "c"], default="rpc", help="through the sidecar, or in this process through libsluice")
    parser.add_argument("--area", help="only scenarios of these areas, joined by commas")
    parser.add_argument("--library", help="path of libsluice.so (else $SLUICE_LIBRARY, else .build/release)")
    parser.add_argument("--sidecar", help="path of sluiced (else $SLUICED, else .build/release)")
    parser.add_argument("--jobs", type=int, default=2, help="scenarios at a time")
    parser.add_argument("--verbose", action="store_true", help="print the differences")
    parser.add_argument("--record-dir", help="write our traces into this folder")
    parser.add_argument("--expect", action="store_true", help="add what happens to expected/ (of the scenarios listed one by one)")
    parser.add_argument("--without-slow", action="store_true", help="leave out scenarios that take a minute and more")
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these scenarios")
    options = parser.parse_args(arguments)
    return options


def main(arguments: List[str]) -> int:
    options = parse(arguments)
    folder = Path(options.scenarios)
    if not folder.is_dir():
        print("no such folder: %s" % folder, file=sys.stderr)
        return 2
    trouble = unavailable(options)
    if trouble:
        print(trouble, file=sys.stderr)
        return 2
    rules = Differences.load(HERE / "DIFFERENCES.md", HERE / "expected")
    if options.record_dir:
        os.makedirs(options.record_dir, exist_ok=True)
    scenarios = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    missing = set(options.names) - {s["name"] for s in scenarios}
    if missing:
        print("no such scenario: %s" % ", ".join(sorted(missing)), file=sys.stderr)
        return 2
    areas = options.area.split(",") if options.area else None
    scenarios = [s for s in scenarios if (not options.names or s["name"] in options.names) and (not areas or s.get("area") in areas)]
    verdicts = [Verdict(s["name"], "skipped", "slow") for s in scenarios if options.without_slow and s.get("slow")]
    for verdict in verdicts:
        print("%-45s skipped: %s" % (verdict.name, verdict.why))
    scenarios = [s for s in scenarios if not (options.without_slow and s.get("slow"))]
    # The slow ones first: they mostly sleep.
    scenarios.sort(key=lambda s: not s.get("slow"))
    with concurrent.futures.ThreadPoolExecutor(max(1, options.jobs)) as pool:
        for verdict in pool.map(lambda s: attempt(s, options, rules), scenarios):
            verdicts.append(verdict)
            text = verdict.outcome + {"differs on purpose": " (%s)", "skipped": ": %s", "differs": ": %s"}.get(verdict.outcome, "%s") % verdict.why
            print("%-45s %s" % (verdict.name, text.rstrip(": ")), flush=True)
            if options.verbose:
                for line in verdict.lines:
                    print("    " + line)
    counts = {o: sum(v.outcome == o for v in verdicts) for o in ("same", "differs on purpose", "differs", "skipped")}
    print("%d scenarios: %s" % (len(verdicts), ", ".join("%d %s" % (n, o) for o, n in counts.items())))
    passed = counts["same"] + counts["differs on purpose"]
    print("%d passed, %d failed, %d skipped" % (passed, counts["differs"], counts["skipped"]))
    return 1 if counts["differs"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
