"""Runs without a fault, before any with one: they must make the requests that the steps name."""

import json
import re
from typing import NamedTuple

from drill import verdict
from drill.bucket import NEW_ROWS, OBJECTS
from drill.runs import run
from drill.scene import Scene
from drill.steps import STEPS, Server, Start, steps


class Unrehearsed(Exception):
    """The drill does not fit b2d1, or b2d1 fails without a fault; the text says how."""


class Rehearsal(NamedTuple):
    """What was measured: the new rows that are in after 0, 1 and 2 rounds, and the bucket's inventory."""

    after_rounds: dict[Start, list[int]]
    inventory: bytes


def rehearse(scene: Scene) -> Rehearsal:
    """Run without a fault from each start; raise Unrehearsed when that is not the run to drill."""
    after_rounds: dict[Start, list[int]] = {}
    for start, new in NEW_ROWS.items():
        scene.reset(start)
        done = run(scene.env)
        complaints = []
        for server, front in scene.fronts.items():
            kinds, named = [_kind(server, text) for text in front.requests], steps(server, start)
            if kinds != [step.pattern for step in named]:
                complaints.append(f"the requests to {server} are {kinds}")
        inserted = sum(map(_rows_inserted, scene.fronts["D1"].requests))
        after_rounds[start] = [0, len(new) - inserted, len(new)]
        complaints += verdict.of_a_clean_run(scene, start, done, len(new))
        inventory = scene.snapshot()
        if [media["key"] for media in json.loads(inventory)["objects"]] != [key for key, _ in OBJECTS]:
            complaints.append("the snapshot is not the bucket's inventory")
        if complaints:
            raise Unrehearsed("\n".join([f"a run without a fault, table {start}:", *complaints]))
    return Rehearsal(after_rounds, inventory)


def _kind(server: Server, text: str) -> str:
    """Tell the one pattern that is found in a request."""
    found = {step.pattern for step in STEPS if step.server == server and re.search(step.pattern, text)}
    return found.pop() if len(found) == 1 else text[:300]


def _rows_inserted(request: str) -> int:
    """Count the rows in a request, if it inserts them directly."""
    (insert,) = (step for step in STEPS if step.name == "insert")
    if not re.search(insert.pattern, request):
        return 0
    return len(json.loads(json.loads(request.partition("\n")[2])["params"][0]))
