"""Throughput and memory over bucket size, as a picture: python -m bench.plot PICTURE < FIGURES.

A program by itself, run in the environment that has matplotlib. The same figures give the same bytes.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.tables import Point

ROOT = Path(__file__).resolve().parents[1]
PYTHON = ROOT / ".venv" / "bench" / "bin" / "python"


def is_installed() -> bool:
    return PYTHON.exists()


def draw(points: Sequence[Point], most_memory: float, picture: Path) -> None:
    """Draw the points, and the memory that there may be at most, into an SVG file."""
    figures = json.dumps({"points": points, "most_memory": most_memory})
    command = [str(PYTHON), "-m", "bench.plot", str(picture)]
    subprocess.run(command, cwd=ROOT, input=figures, text=True, check=True)


def _draw(points: Sequence[Point], most_memory: float, picture: str) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - this process alone runs where it is installed
    from matplotlib.figure import Figure  # noqa: PLC0415

    # Texts stay texts, ids depend on nothing, and no date is written: small, and the same bytes each time.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "b2d1", "font.size": 10})
    sizes = [point.objects for point in points]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    rate, memory = figure.subplots(1, 2)
    rate.plot(sizes, [point.objects_a_second for point in points], marker="o", color="tab:blue")
    rate.set_title("objects a second")
    memory.plot(sizes, [point.peak_memory for point in points], marker="o", color="tab:blue")
    memory.axhline(most_memory, color="tab:red", linestyle="--", linewidth=1)
    memory.annotate("at most", (sizes[0], most_memory), (0, 4), textcoords="offset points", color="tab:red")
    memory.set_title("peak memory, MB")
    rate.set_ylim(bottom=0)
    memory.set_ylim(0, 1.2 * most_memory)
    for axes in (rate, memory):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("objects in the bucket, nothing new")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.grid(alpha=0.3)
    figure.savefig(picture, format="svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    read = json.load(sys.stdin)
    _draw([Point(*each) for each in read["points"]], read["most_memory"], sys.argv[1])
