"""What commands print: data on stdout, as a table on request of a person and as JSON on request of a program."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rederive.cli.plain import plain


class Terminal(Console):
    """A console whose reader may go away: that is for the program to end on, as with any other writer.

    What it prints may be stored text, which others wrote: it is shown as `plain` text.
    """

    def print(self, *objects: Any, **options: Any) -> None:  # noqa: ANN401 - as the console's own
        """Print; what only a terminal would obey is escaped in text and whole `Text`s."""
        super().print(*map(_harmless, objects), **options)

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, where the default would end with exit 1."""
        raise BrokenPipeError


def _harmless(value: object) -> object:
    if isinstance(value, Text):
        return value if value.spans else Text(plain(value.plain), style=value.style)
    return plain(value) if isinstance(value, str) else value


@dataclass(slots=True)
class Kept:
    """What a command would have printed: its JSON documents, its tables as (title, headings, rows)."""

    documents: list[object] = field(default_factory=list)
    tables: list[tuple[str, Sequence[str], list[Sequence[Any]]]] = field(default_factory=list)


_kept: ContextVar[Kept | None] = ContextVar("kept", default=None)


@contextmanager
def keeping() -> Iterator[Kept]:
    """Within the block JSON and tables are kept in place of being printed."""
    kept = Kept()
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


stdout = Terminal(highlight=False, soft_wrap=True)
stderr = Terminal(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: object) -> None:
    """One JSON document on one line of stdout; datetimes as ISO 8601 text."""
    if (kept := _kept.get()) is not None:
        kept.documents.append(value)
        return
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE, default=str))
    sys.stdout.buffer.flush()


def confirmed(question: str) -> bool:
    """Ask a person on the terminal; the end of input is a no."""
    from rich.prompt import Confirm

    try:
        return Confirm.ask(question, console=stderr, default=False)
    except EOFError:
        return False


def made_table(
    headings: Sequence[str], rows: Iterable[Sequence[Any]], *, left: Sequence[int] = (0,), folded: bool = False
) -> Table:
    """A table as `print_table` prints it; with `folded` a cell that a terminal has no room for takes several lines."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index in left else "right", no_wrap=not folded, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else plain(str(cell))) for cell in row))
    return table


def print_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[Any]], *, left: Sequence[int] = (0,)
) -> None:
    """A table on stdout; columns named in `left` are set left, others right. None shows as an empty cell.

    No cell is shortened, however narrow the terminal: a line longer than it wraps there.
    """
    if (kept := _kept.get()) is not None:
        kept.tables.append((title, headings, list(rows)))
        return
    stdout.print(title, style="bold", markup=False)
    table = made_table(headings, rows, left=left)
    # A cell cut to the width of a terminal, or to 80 where there is none, is data lost.
    needed = stdout.measure(table, options=stdout.options.update(max_width=100_000)).maximum
    Terminal(highlight=False, width=max(stdout.width, needed)).print(table, crop=False)
