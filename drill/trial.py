"""Trying a cell: a run with the fault and a look at what it left, a run without it and a look at that."""

import contextlib
import re
import traceback
from typing import NamedTuple

from werkzeug.wrappers import Response

from drill import verdict
from drill.bucket import NEW_ROWS
from drill.cell import Cell
from drill.expected import expected
from drill.rehearsal import Rehearsal
from drill.runs import Run, impatience, run, run_and_kill
from drill.scene import FORMER_SNAPSHOT, Scene
from drill.steps import Step, before
from sandbox.forwarder import FOR_EVER, Call, Deed, Forwarder

LOG_LINES = 15


class Result(NamedTuple):
    """How the run with the fault ended, and what was wrong with it or with what it left."""

    exit_code: int | None
    complaints: list[str]


def attempt(cell: Cell, scene: Scene, rehearsal: Rehearsal) -> Result:
    """Try a cell."""
    start, outcome = cell.step.start, expected(cell.step, cell.fault, always=cell.always)
    try:
        scene.reset(start)
        first, complaints = _run_with(cell, scene)
        complaints += _of_the_run(cell, first, scene, rehearsal)
        scene.behave()
        second = run(scene.env)
        left = len(NEW_ROWS[start]) - rehearsal.after_rounds[start][outcome.published]
        complaints += [f"next run: {each}" for each in verdict.of_a_clean_run(scene, start, second, left)]
    except Exception:  # noqa: BLE001 -- what has no name is a fault of its own
        return Result(None, [traceback.format_exc()])
    if complaints:
        complaints += [f"log: {line}" for line in first.log[-LOG_LINES:]]
    return Result(first.exit_code, complaints)


def _run_with(cell: Cell, scene: Scene) -> tuple[Run, list[str]]:
    """Run with the fault; complain when it was not met as often as it was to be."""
    step, fault, always = cell
    front, met = scene.fronts[step.server], list[str]()

    def noted(deed: Deed) -> Deed:
        def note_and_do(call: Call) -> Response:
            met.append(call.text)
            return deed(call)

        return note_and_do

    def while_asleep() -> None:
        if front.is_shut:  # so it was refused
            met.append("")
            if not always:
                front.open()

    if fault.kind == "refusal":
        _shut_before(step, front)
        done = run(scene.env, while_asleep)
    elif fault.kind == "kill":
        done = run_and_kill(
            scene.env,
            lambda kill: front.on(step.pattern, noted(kill), skip=step.skip),
            acts=fault.acts,
        )
    else:
        deed = noted(fault.deeds[step.server])
        front.on(step.pattern, deed, skip=step.skip, times=FOR_EVER if always else 1)
        with impatience() if fault.hangs else contextlib.nullcontext():
            done = run(scene.env)
    sent = sum(bool(re.search(step.pattern, text)) for text in front.requests) - step.skip
    spared = sent - len(met) if fault.kind == "deed" else 0
    if not met or (spared if always else len(met) > 1):
        return done, [f"{len(met)} of {sent} requests met the fault"]
    return done, []


def _shut_before(step: Step, front: Forwarder) -> None:
    """Let the connection for this step be refused."""

    def answer_and_shut(call: Call) -> Response:
        answer = call.pass_on()
        front.shut()
        return answer

    if one_before := before(step):
        front.on(one_before.pattern, answer_and_shut, skip=one_before.skip)
    else:
        front.shut()


def _of_the_run(cell: Cell, run: Run, scene: Scene, rehearsal: Rehearsal) -> list[str]:
    """Judge the run with the fault, and what it left."""
    outcome = expected(cell.step, cell.fault, always=cell.always)
    due = rehearsal.after_rounds[cell.step.start][outcome.published]
    complaints = verdict.of_rows(scene, cell.step.start, due)
    if run.exit_code != outcome.exit_code:
        complaints.append(f"the exit code is {run.exit_code}, not {outcome.exit_code}")
    if cell.fault.pause and not cell.always and max(run.pauses, default=0) < cell.fault.pause:
        complaints.append(f"the pauses were {run.pauses}, none of them {cell.fault.pause} s")
    former, new = FORMER_SNAPSHOT, rehearsal.inventory
    if (kept := scene.snapshot()) != (new if outcome.snapshot else former):
        said = {former: "the former one", new: "the new one"}.get(kept, "neither the former nor the new one")
        complaints.append(f"the snapshot is {said}")
    if report := run.report:
        if report.confirmed != outcome.confirmed:
            complaints.append(f"the report says confirmed {report.confirmed}")
        if report.inserted > due or (report.confirmed and report.inserted < due):
            complaints.append(f"the report says inserted {report.inserted:,}, and {due:,} are")
        if report.missing_after != 0:
            complaints.append(f"the report says missing_after {report.missing_after}")
        if cell.step.name != "clear":
            complaints += verdict.of_chunks(scene, run)
    return complaints
