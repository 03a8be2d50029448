"""Progress of a run for a person: a bar on a terminal, lines every few seconds elsewhere."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from rederive.run import Listener
from schemas import capture
from schemas.words import counted, verb

log = logging.getLogger(__name__)

LINE_SECONDS = 3.0


def counts(progress: capture.Progress) -> str:
    """`500/7881 processed, 500 updated, 0 skipped, 0 errors`, with what was unchanged where there is any."""
    total = max(progress.rows, progress.processed)
    # Of what is fetched or stands on a log nobody knows the rows before.
    known = progress.rows > progress.processed or progress.complete
    units = "" if known else f"{progress.units_done}/{progress.units} units, "
    done = "processed" if progress.read is None else "rows read"
    gone = progress.units_removed
    taken_back = f"; {gone} of {counted(progress.units, 'unit')} {verb(gone, 'was', 'were')} taken back" if gone else ""
    return f"{units}{progress.processed}/{total} {done}, {_outcomes(progress)}{taken_back}"


def _outcomes(progress: capture.Progress) -> str:
    if progress.read is not None:
        return f"{progress.updated} new rows, {progress.skipped} rejected, {progress.errors} errors"
    unchanged = f", {progress.unchanged} unchanged" if progress.unchanged else ""
    return f"{progress.updated} updated{unchanged}, {progress.skipped} skipped, {progress.errors} errors"


@contextmanager
def shown(console: Console, batch_size: int) -> Iterator[Listener]:
    """A listener that shows progress on stderr; lines come at most every 3 s and every `batch_size` rows."""
    if console.is_terminal:
        with _bar(console) as listener:
            yield listener
        return
    last_line, last_rows = time.monotonic(), 0

    def line(progress: capture.Progress) -> None:
        nonlocal last_line, last_rows
        due = time.monotonic() - last_line >= LINE_SECONDS and progress.processed - last_rows >= batch_size
        if due and not progress.complete:
            log.info("Progress: %s", counts(progress))
            last_line, last_rows = time.monotonic(), progress.processed

    yield line


@contextmanager
def _bar(console: Console) -> Iterator[Listener]:
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[counts]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console) as bar:
        task = bar.add_task("replay", total=None, counts="")

        def update(progress: capture.Progress) -> None:
            bar.update(
                task,
                total=max(progress.units, 1),
                completed=progress.units_done,
                counts=f"units, {_outcomes(progress)}",
            )

        yield update
