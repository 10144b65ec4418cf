"""The embedded D1 and Cloudflare's own engine give the same answers, those that stand in the record."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from answers import CASES, RECORD, answers, held
from conftest import AnyD1

from sandbox.cloudflare import CloudflareD1

RECORDED: dict[str, list[Any]] = json.loads(RECORD.read_text("utf-8"))
NAMES = [pytest.param(name, id=name) for name in CASES]


@pytest.fixture
def engine(wrangler: Callable[[], CloudflareD1]) -> Iterator[CloudflareD1]:
    """Provide an empty database on Cloudflare's own engine."""
    with wrangler() as d1:
        yield d1


def test_the_record_is_of_these_cases() -> None:
    """Every case has its answers in the record, one for each body, and the record has nothing else."""
    assert {name: len(found) for name, found in RECORDED.items()} == {
        name: len(bodies) for name, bodies in CASES.items()
    }


@pytest.mark.parametrize("name", NAMES)
def test_cloudflares_engine_answers_as_recorded(engine: CloudflareD1, name: str) -> None:
    """A wrangler that answers otherwise than the recorded one is noticed; `make record` shows where."""
    assert answers(engine, CASES[name]) == RECORDED[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_embedded_d1_answers_as_cloudflares(d1: AnyD1, name: str) -> None:
    """Status, code, message, columns, rows and figures are those of Cloudflare's engine."""
    given, recorded = answers(d1, CASES[name]), RECORDED[name]
    assert [held(*pair) for pair in zip(CASES[name], given, strict=True)] == [
        held(*pair) for pair in zip(CASES[name], recorded, strict=True)
    ]
