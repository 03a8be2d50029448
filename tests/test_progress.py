"""What a person sees of a run's progress, on a terminal."""

import io

from rich.console import Console

from rederive.progress import counts, shown
from schemas.capture import Progress
from schemas.words import counted, verb

HALF = Progress(
    units=4, units_done=2, units_dead=0, units_waiting=2, rows=512, updated=100, unchanged=150, skipped=6, errors=0
)


def test_the_bar_names_every_outcome_that_the_last_line_names() -> None:
    screen = io.StringIO()
    with shown(Console(file=screen, force_terminal=True, width=200), batch_size=500) as listener:
        listener(HALF)
    said = "100 updated, 150 unchanged, 6 skipped, 0 errors"
    assert said in screen.getvalue()
    assert counts(HALF) == f"256/512 processed, {said}"


def test_of_a_capture_that_inserts_what_is_read_and_what_is_new_are_two_counts() -> None:
    done = Progress(
        units=1, units_done=1, units_dead=0, units_waiting=0, rows=1429, updated=14, unchanged=0, skipped=0, errors=0,
        read=1429,
    )  # fmt: skip
    assert counts(done) == "1429/1429 rows read, 14 new rows, 0 rejected, 0 errors"
    assert done.processed == 1429


def test_one_is_not_said_in_the_plural() -> None:
    assert [counted(n, "dead unit") for n in (0, 1, 2)] == ["0 dead units", "1 dead unit", "2 dead units"]
    assert [verb(n, "is", "are") for n in (0, 1, 2)] == ["are", "is", "are"]
    assert counted(2000, "row") == "2,000 rows"
    assert [counted(n, "file and stage") for n in (1, 2)] == ["1 file and stage", "2 files and stages"]
