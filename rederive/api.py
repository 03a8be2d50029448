"""Replays from Python: the same as the commands, with a typed report in place of text."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from producers.source import Request, end_of, start_of
from rederive import domains
from rederive.comparison import Comparison
from rederive.replayer import Replayer, Report
from rederive.settings import Settings
from schemas.capture import Progress
from schemas.domain import LOG
from schemas.errors import UsageError
from schemas.plan import Plan
from schemas.table import Mode
from sinks.comparing import Compared
from sinks.distances import Tolerance
from store import units

if TYPE_CHECKING:
    import polars

KnownUnit = units.Known
"""A unit of a capture as it stands: what it reads and writes, its state, its counts."""

units_of = units.of_capture
"""The units of a capture, in order."""

Moment = date | datetime
"""A UTC day, or an aware time."""


def _silent(_: Progress) -> None:
    pass


def replay(
    domain: str,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    source: str | None = None,
    dry_run: bool = False,
    reason: str = "",
    workers: int | None = None,
    sinks: int | None = None,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] = _silent,
    **words: Any,  # noqa: ANN401 - they are Request's fields
) -> Report:
    """Replay a range of a domain, and wait for it.

    `start` and `end` are both included where they are days; a time at the end is not. `source` is the domain's first
    unless said. Further words are those of `rederive.Request` (`keys`, `columns`, `mode`, `all_rows`, `limit`,
    `kinds`, `refetch`, `only_missing`, `options`). `progress` is told the counts a few times a second. Settings are
    read from the environment unless given. UsageError for words that mean nothing, Failed when the work can't be done;
    rows that could not be computed are in the report.
    """
    replayer = Replayer.of(settings or Settings())
    asked = _request(domain, start, end, words)
    capture, _ = replayer.mint(asked, source or first_source(domain), dry_run=dry_run, reason=reason)
    return replayer.run(capture, progress, workers, sinks)


def replay_topic(
    domain: str,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    mode: Mode | None = None,
    **words: Any,  # noqa: ANN401 - they are those of `replay`
) -> Report:
    """Replay what a domain's log holds of a range of send times, after a bug fix.

    Stored values are superseded unless `mode` says other. Of a Request's fields a log knows, besides those of `replay`,
    `logs`, `partitions`, `begins`, `dated`, `rate` and `apart`.
    """
    chosen = mode or (Mode.INSERT if domains.find(domain).inserts else Mode.SUPERSEDE)
    return replay(domain, start=since, end=until, source=LOG, mode=chosen, **words)


def plan(
    domain: str,
    *,
    start: Moment | None = None,
    end: Moment | None = None,
    source: str | None = None,
    settings: Settings | None = None,
    **words: Any,  # noqa: ANN401 - they are Request's fields
) -> Plan[Any]:
    """What `replay` with the same words would do now; `apply` does just that."""
    return Replayer.of(settings or Settings()).plan(_request(domain, start, end, words), source or first_source(domain))


def apply(
    plan: Plan[Any],
    *,
    dry_run: bool = False,
    reason: str = "",
    workers: int | None = None,
    sinks: int | None = None,
    settings: Settings | None = None,
    progress: Callable[[Progress], None] = _silent,
) -> Report:
    """Run just what a plan says. Failed when it no longer fits what is stored."""
    replayer = Replayer.of(settings or Settings())
    replayer.check(plan)
    capture, _ = replayer.mint(plan, dry_run=dry_run, reason=reason)
    return replayer.run(capture, progress, workers, sinks)


def compare(
    capture: str,
    other: str | None = None,
    *,
    tables: Sequence[str] = (),
    columns: Sequence[str] = (),
    tolerance: Tolerance | None = None,
    examples: int = 5,
    settings: Settings | None = None,
) -> list[Compared]:
    """What a capture says that another one doesn't, or without one what isn't served; a value a table. Reads only.

    Ids are as in `captures compare`, `latest` too; `columns` are scopes or names. `examples` are at most so many rows
    that differ, a table. UsageError when they can't be compared, Failed for an id that no capture has.
    """
    with Replayer.of(settings or Settings()).connected("comparison") as connection:
        return list(Comparison.of(connection, capture, other, tables, columns, tolerance).run(connection, examples))


def read(
    domain: str,
    table: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    start: Moment | None = None,
    end: Moment | None = None,
    capture: str | None = None,
    limit: int | None = None,
    settings: Settings | None = None,
) -> "polars.DataFrame":
    """Rows of a domain's table as a polars frame, by key: as they are served, or as a `capture` has computed them.

    The table is the domain's first unless said, and may be named by its end (`runners` for `ra_runners`). `columns` are
    names and scopes; the key is always there. `start` and `end` are as `replay` has them, of the column that says of
    which day a row is. `capture` is a run's id, a partition's, or `latest:DOMAIN`; one in shadow can be read, too.
    numeric comes as Decimal, exactly, and as text where it has more than 38 digits; what is nested as JSON text. All
    rows are held in memory. UsageError for words that mean nothing, Failed when nothing can be read.
    """
    from rederive.database import opened
    from rederive.named_rows import table_of
    from rederive.reading import read as read_rows

    found = domains.find(domain)
    chosen = found.tables[0] if table is None else table_of(found, table, "")
    first, last = _moment(start, start_of), _moment(end, end_of)
    with opened("the reading", settings) as connection:
        return read_rows(connection, found, chosen, columns, first, last, capture, limit)


def first_source(domain: str) -> str:
    """The name of the source that a replay of the domain reads."""
    return next(iter(domains.find(domain).sources), LOG)


def _request(domain: str, start: Moment | None, end: Moment | None, words: Mapping[str, Any]) -> Request:
    found = domains.find(domain)
    usual: dict[str, Any] = {"mode": found.tables[0].policy, "columns": found.scopes["all"], **found.defaults}
    said = {**usual, **words}
    if options := {**usual.get("options", {}), **words.get("options", {})}:
        said["options"] = options
    said = {name: tuple(value) if _is_list(value) else value for name, value in said.items()}
    first, last = _moment(start, start_of), _moment(end, end_of)
    if first is not None and last is not None and first >= last:
        raise UsageError(f"start {start} is after the end", why=f"end is {end}")
    try:
        return Request(domain=domain, start=first, end=last, **said)
    except TypeError as error:
        raise UsageError("a replay can't be asked for so", why=str(error)) from None


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | tuple)


def _moment(said: Moment | None, of_day: Callable[[date], datetime]) -> datetime | None:
    """A day as `of_day` has it; a time is itself."""
    if said is None:
        return None
    if isinstance(said, datetime):
        if said.tzinfo is None:
            raise UsageError(f"{said} has no time zone", mend="give an aware time, or a UTC day")
        return said
    return of_day(said)
