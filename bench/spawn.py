"""Run a command from a small process, and note its time and memory: python -m bench.spawn NOTE COMMAND….

Linux counts as a program's peak of memory also what its parent held at the moment it was started: a large
parent would be measured in the place of what it starts.
"""

import json
import os
import sys
import time


def main(note: str, *command: str) -> int:
    """Write seconds and peak of resident memory (MB) to the note; return the command's exit code."""
    began = time.monotonic()
    _, status, usage = os.wait4(os.posix_spawnp(command[0], command, os.environ), 0)
    seconds = time.monotonic() - began
    # Linux counts in kilobytes, macOS in bytes.
    peak_memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1024)
    with open(note, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib alone is a tenth of this process
        json.dump([seconds, peak_memory], file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
