"""Keys that are not indexed: glob patterns with the meaning of rclone's `--exclude`.

https://rclone.org/filtering/ describes them; `test_exclude.py` compares the two programs. A pattern matches
the end of a key, from the beginning of any of its folders or names on; with a slash before it, the whole key.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

MOST_BYTES = 4000


class Exclude(NamedTuple):
    """Patterns, and whether a key matches one of them; without patterns, none does."""

    patterns: tuple[str, ...] = ()
    expression: re.Pattern[str] | None = None

    def excludes(self, key: str) -> bool:
        """Return True if the key matches a pattern."""
        return self.expression is not None and self.expression.search(key) is not None


NOTHING = Exclude()


def exclude(text: str) -> Exclude:
    """Read patterns between commas; raise ValueError with what is wrong with them."""
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"is longer than {MOST_BYTES:,} bytes")
    patterns = tuple(pattern.strip(" ") for pattern in _split(text))
    if not all(patterns):
        raise ValueError("has an empty pattern: remove the comma too many")
    expressions = []
    for number, pattern in enumerate(patterns, 1):
        try:
            expressions.append(_expression(pattern))
        except ValueError as fault:
            raise ValueError(f"{fault} (pattern {number})") from None
    return Exclude(patterns, re.compile("|".join(expressions), re.DOTALL))


def _split(text: str) -> Iterable[str]:
    """Cut at the commas that are in no braces and behind no backslash."""
    depth, begin, escaped = 0, 0, False
    for place, character in enumerate(text):
        if escaped or character == "\\":
            escaped = not escaped
        elif character in "{}":
            depth += 1 if character == "{" else -1
        elif character == "," and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def _expression(pattern: str) -> str:
    if "{{" in pattern:
        raise ValueError("has a regular expression: only globs are understood")
    glob = pattern + "**" * pattern.endswith("/")
    parts = re.findall(r"\\.|\\\Z|\*+|\[[^\]]*\]|.", glob.removeprefix("/"), re.DOTALL)
    depth = 0
    made = []
    for part in parts:
        depth += {"{": 1, "}": -1}.get(part, 0)
        if depth < 0:
            raise ValueError("has a } too many")
        made.append(_part(part, in_braces=depth > 0))
    if depth:
        raise ValueError("has a { that is not closed")
    return ("\\A" if glob.startswith("/") else "(?:\\A|/)") + f"(?:{''.join(made)})\\Z"


def _part(part: str, *, in_braces: bool) -> str:
    if part in {"*", "**", "?"}:
        return {"*": "[^/]*", "**": ".*", "?": "[^/]"}[part]
    if part in {"{", "}"} or (part == "," and in_braces):
        return {"{": "(?:", "}": ")", ",": "|"}[part]
    if part.startswith("*"):
        raise ValueError("has more than two stars in a row")
    if part == "\\":
        raise ValueError("ends with a backslash")
    if part in {"[", "]"}:
        raise ValueError(f"has a {part} without its partner")
    if part.startswith("["):
        return _class(part)
    return re.escape(part[-1])


def _class(part: str) -> str:
    inside = part[1:-1]
    if not inside.strip("^") or "[" in inside:
        raise ValueError("has a class of characters that is not understood")
    try:
        re.compile(part)
    except re.error:
        raise ValueError("has a class of characters that is not understood") from None
    return re.sub(r"(?<=.)([&~|-])(?=\1)", r"\\\1", part)
