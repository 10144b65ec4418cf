"""Measure, print and keep the figures: python -m bench [--quick] [--only NAME].

With --quick little is listed and written, to see that all contenders bring the same and that whole runs ask
and write no more than they may. The document is always that of one whole measurement: --quick and --only
print, and keep nothing.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import listing, machine, parallel, pipe, plot, readers, start, whole_runs
from bench.databases import Databases
from bench.sizes import FULL, QUICK, Sizes
from bench.tables import Progress, Section

RESULTS = Path(__file__).with_name("RESULTS.md")
PICTURE = Path(__file__).with_name("RESULTS.svg")
SECTIONS: dict[str, Callable[[Sizes, Databases, Progress], Section]] = {
    "cpu": listing.section,
    "parallel": parallel.section,
    "runs": whole_runs.section,
    "pipe": pipe.section,
    "readers": readers.section,
    "start": start.section,
}
# What can be wrong otherwise than by being slow.
COUNTED = ("cpu", "parallel", "runs")


def main() -> int:
    """Return the exit code: 1 when something brought, asked or wrote what it should not."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure what b2d1 costs.")
    parser.add_argument("--quick", action="store_true", help="look only at what is counted, not at the time")
    parser.add_argument("--only", choices=SECTIONS, help="measure one thing, and keep no figures")
    arguments = parser.parse_args()
    sizes = QUICK if arguments.quick else FULL
    names = [arguments.only] if arguments.only else COUNTED if arguments.quick else SECTIONS
    print(machine.description(), flush=True)
    sections = []
    with Databases(_show_progress) as databases:
        for name in names:
            sections.append(SECTIONS[name](sizes, databases, _show_progress))
            print(f"\n{sections[-1]}", end="", flush=True)
    if faults := [fault for section in sections for fault in section.faults]:
        print("\n".join(faults), file=sys.stderr)
        return 1
    if len(sections) == len(SECTIONS):
        keep(sections)
    return 0


def keep(sections: list[Section]) -> None:
    """Write the document, and the picture where there is what draws it."""
    described = machine.description().replace("\n", "\n    ")
    parts = [f"# What b2d1 costs\n\nMade by `make bench`, on\n\n    {described}\n"]
    for section in sections:
        parts.append(str(section))
        if section.points:
            parts.append(_picture(section))
    RESULTS.write_text("\n".join(parts), encoding="utf-8")


def _picture(section: Section) -> str:
    PICTURE.unlink(missing_ok=True)
    if not plot.is_installed():
        return "(Not drawn: matplotlib is not installed.)\n"
    plot.draw(section.points, whole_runs.MEMORY["nothing new"], PICTURE)
    return f"![Throughput and peak memory over bucket size]({PICTURE.name})\n"


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{text:<78}\r", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
