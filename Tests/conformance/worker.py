"""Runs one scenario in a process of its own: reads a job from stdin, writes the trace to the descriptor named in it.

A job is {"scenario": {...}, "face": "c" or "rpc", "library": path, "sidecar": path, "left_out": [...], "out": descriptor}.  The answer is
{"trace": {...}} or {"skipped": reason} or {"failed": text}.
"""
from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import traceback
from typing import Any, Dict

from differences import LeftOut
from face import Face, FaceError
from record import Record
from scenario import Player
from survey import survey


def make_face(job: Dict[str, Any]) -> Face:
    if job["face"] == "c":
        from face_c import CFace
        return CFace(job["library"])
    from face_rpc import RPCFace
    return RPCFace(job["sidecar"])


def run(job: Dict[str, Any]) -> Dict[str, Any]:
    scenario, left_out = job["scenario"], LeftOut.from_list(job["left_out"])
    folder = tempfile.mkdtemp(prefix="cf")
    os.chmod(folder, 0o755)    # a scenario may go on as another user
    os.environ["TMPDIR"] = folder
    face = make_face(job)
    try:
        needs = survey(scenario, face.provides, face.handlers, left_out)
        reason = needs.reason or face.prepare(scenario)
        if reason:
            return {"skipped": reason}
        record = Record(folder, "cf%d" % os.getpid())
        player = Player(scenario, face, record, needs.dropped, left_out)
        try:
            player.play()
        finally:
            try:
                os.seteuid(0)
            except OSError:
                pass
            player.close()
        return {"trace": record.trace(scenario["name"], "bytesWritten" in scenario.get("loose", ())), "dropped": sorted(needs.dropped)}
    finally:
        face.close()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    job = json.load(sys.stdin)
    try:
        answer = run(job)
    except FaceError as error:
        answer = {"failed": str(error)}
    except Exception:
        answer = {"failed": traceback.format_exc()}
    with os.fdopen(job["out"], "w") as out:
        json.dump(answer, out)
    sys.stdout.flush()
    os._exit(0)    # threads of peers may still be waiting for connections


if __name__ == "__main__":
    main()
