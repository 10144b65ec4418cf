"""Build the function's package into a folder: python -m bundle [FOLDER].

Pure Python, so that one package serves both architectures; the same sources give the same bytes.
"""

import argparse
import sys
from pathlib import Path

from bundle import bytecode, contents, runtime

MOST_BYTES = 20_000_000
DEFAULT_FOLDER = Path("build/function")


def main() -> int:
    """Return the exit code: 1 when the package is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m bundle", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path, nargs="?", default=DEFAULT_FOLDER)
    folder: Path = parser.parse_args().folder
    try:
        contents.gather(folder)
    except OSError as failure:
        print(failure, file=sys.stderr)
        return 1
    compiler = bytecode.compile_all(folder)
    contents.settle(folder)
    size, digest = contents.size(folder), contents.digest(folder)
    compiled = f"bytecode by {compiler}" if compiler else f"no bytecode: no Python {runtime.VERSION} here"
    print(f"{folder}: {size / 1e6:.1f} MB, {compiled}, sha256 {digest}")
    if faults := contents.faults(folder):
        print("\n".join(faults), file=sys.stderr)
    if size > MOST_BYTES:
        print(f"the package has more than {MOST_BYTES:,} bytes", file=sys.stderr)
    return 1 if faults or size > MOST_BYTES else 0


if __name__ == "__main__":
    sys.exit(main())
