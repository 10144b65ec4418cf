"""A text that may hold anything, as Markdown that shows it and does nothing else."""

import re
from collections.abc import Iterable


def code_block(lines: Iterable[str]) -> str:
    """Make lines a block of code: no Markdown, no HTML, and an @ notifies nobody.

    Its fence is longer than whatever in it could look like one.
    """
    text = "\n".join(lines)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"
