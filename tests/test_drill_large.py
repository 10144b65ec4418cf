"""A large load, killed five times: whole rounds only, and the next run completes it."""

import pytest

from drill import large

pytestmark = pytest.mark.slow

# Two chunks of about 4,600 rows make a round.
OBJECTS, ROWS_PER_PUBLISH = 60_000, "10000"


def test_a_load_that_is_killed_five_times_is_whole_in_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """After each kill there are whole rounds in the table and nothing else, and the last run completes it."""
    exit_code = large.drill(OBJECTS, ROWS_PER_PUBLISH=ROWS_PER_PUBLISH)

    *killed, completed, again, verdict = capsys.readouterr().out.splitlines()
    rows = [int(line.split(": ")[1].split()[0].replace(",", "")) for line in killed]
    assert (exit_code, verdict) == (0, "whole rounds only, and all rows in")
    assert rows[0] == 0 < rows[1] < rows[2] < rows[3] < rows[4] < OBJECTS
    due = OBJECTS - rows[4]
    wanted = f"not killed: {{'new': {due}, 'inserted': {due}, 'missing_after': 0, 'confirmed': True}}"
    assert completed.startswith(wanted)
    assert again.startswith("not killed: {'new': 0, 'inserted': 0,")


def test_a_run_that_was_not_killed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A load too small for a second round fails the drill, which says what did not happen."""
    assert large.drill(12_000) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"{title}: the run was not killed" for title, *_ in large.KILLS[3:]
    ]
