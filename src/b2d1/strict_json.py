"""JSON that has one meaning only: what another reader could read otherwise is refused."""

import json
from typing import Any


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")  # though Python would read NaN and Infinity


class TwiceError(ValueError):
    """An object has two values under one name: one reader takes the first, another the last."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise TwiceError("a name stands twice in one object")
    return found


_decoder = json.JSONDecoder(parse_constant=_refuse, object_pairs_hook=_once)
# Reads one value at a place in a text; returns it and where it ends. Raises ValueError, or RecursionError.
read_value = _decoder.raw_decode


def read_whole(data: str | bytes) -> Any:
    """Read a text, or bytes in UTF-8, that is one JSON value; ValueError for anything else."""
    try:
        return _decoder.decode(data if isinstance(data, str) else data.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
