"""What a person sees of a run's progress, on a terminal."""

import io

from rich.console import Console

from rederive.progress import counts, shown
from schemas.capture import Progress

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
