"""Coverage: how many rows a derived table has of each day, and in how many of them a column is NULL."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import Request
from psycopg import Connection, sql

from rederive import domains
from rederive.http.cache import Cache
from rederive.http.routing import BaseModel, Day, Key, Query, Reading, Router, Text, Unknown, cache_of
from rederive.named_rows import table_of
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.table import Table
from sinks.policies import policy_of
from store.counts import version_of

router = Router(prefix="/api/domains/{domain}/coverage", tags=["coverage"])

FRESH_SECONDS, STALE_SECONDS = 2.0, 600.0

Span = Literal["day", "week", "month"]


class SpanCoverage(BaseModel):
    """The rows of a day, or of a week (from its Monday) or month, None without one; NULLs by `columns` of them."""

    start: date | None
    rows: int
    nulls: list[int]


class Coverage(BaseModel):
    """Of a table, as it was at `taken_at`, the newest days first.

    `rows` and `nulls` are of the whole range that was asked for. `next` is what to say as `before` for what follows.
    """

    domain: str
    table: str
    taken_at: datetime
    by: Span
    columns: list[str]
    rows: int
    nulls: list[int]
    spans: list[SpanCoverage]
    next: date | None


class TableCoverage(BaseModel):
    """A table in short: its rows, of how many days, and the share of its values that is NULL, 0..1."""

    table: str
    taken_at: datetime
    rows: int
    first: date | None
    last: date | None
    days: int
    null_share: float | None


@dataclass(frozen=True, slots=True)
class _Counted:
    """Rows and NULLs by day, days descending, what is of no day last."""

    taken_at: datetime
    columns: tuple[str, ...]
    days: list[tuple[date | None, int, list[int]]]


@router.get("")
def coverage(
    request: Request,
    domain: Key,
    reads: Reading,
    table: Annotated[Text | None, Query(description="Which table. Default: the domain's first.")] = None,
    column: Annotated[list[Text] | None, Query(description="Only these derived columns.")] = None,
    from_: Annotated[Day | None, Query(alias="from", description="First UTC day.")] = None,
    to: Annotated[Day | None, Query(description="Last UTC day, included.")] = None,
    by: Annotated[Span, Query(description="What is counted together.")] = "day",
    before: Annotated[Day | None, Query(description="Only days, weeks, months that begin before this one.")] = None,
    limit: Annotated[int, Query(ge=1, le=4000, description="At most so many days, weeks, months.")] = 366,
) -> Coverage:
    """Rows and NULLs by day, the newest first. Of a table that keeps captures side by side, of the newest ones' rows.

    Counting reads the table once. While it isn't written to, the counts stay; when it is, they may be some minutes
    old, as `taken_at` says, while they are counted again.
    """
    of = _known(domain)
    wanted = table_of(of, table, "") if table else of.tables[0]
    chosen = _chosen(wanted, column)
    found = _counted(request, reads, of, wanted)
    picked = [
        (day, rows, [nulls[place] for place in chosen])
        for day, rows, nulls in found.days
        if (day is not None and (not from_ or day >= from_) and (not to or day <= to)) or not (day or from_ or to)
    ]
    spans = [one for one in _spans(picked, by) if before is None or (one.start is not None and one.start < before)]
    return Coverage(
        domain=domain,
        table=wanted.name,
        taken_at=found.taken_at,
        by=by,
        columns=[found.columns[place] for place in chosen],
        rows=sum(rows for _, rows, _ in picked),
        nulls=_summed((nulls for *_, nulls in picked), len(chosen)),
        spans=spans[:limit],
        next=spans[limit - 1].start if len(spans) > limit else None,
    )


@router.get("/tables")
def tables(request: Request, domain: Key, reads: Reading) -> list[TableCoverage]:
    """Every table of a domain in short."""
    of = _known(domain)
    return [_short(table.name, _counted(request, reads, of, table)) for table in of.tables]


def found(
    request: Request, domain: str, reads: Reading, *, table: str | None = None, by: Span = "day"
) -> Coverage | None:
    """A table as it was before any capture; None for one whose rows are all of captures."""
    of = _known(domain)
    wanted = table_of(of, table, "") if table else of.tables[0]
    source = policy_of(wanted).as_found(wanted)
    if source is None:
        return None
    counted = _counted(request, reads, of, wanted, source)
    columns = range(len(counted.columns))
    return Coverage(
        domain=domain,
        table=wanted.name,
        taken_at=counted.taken_at,
        by=by,
        columns=list(counted.columns),
        rows=sum(rows for _, rows, _ in counted.days),
        nulls=_summed((nulls for *_, nulls in counted.days), len(columns)),
        spans=list(_spans([(day, rows, list(nulls)) for day, rows, nulls in counted.days], by)),
        next=None,
    )


def _known(name: str) -> Domain:
    if name not in domains.names():
        raise Unknown(f"there is no domain {name}", why=f"known are {', '.join(domains.names())}")
    return domains.find(name)


def _chosen(table: Table, asked: Sequence[str] | None) -> list[int]:
    """The places of the columns that are asked for. UsageError for one that there isn't."""
    names = [column.name for column in table.values]
    if odd := [name for name in asked or () if name not in names]:
        raise UsageError(f"{table.name} has no derived column {odd[0]}", mend=f"say some of {', '.join(names)}")
    return [place for place, name in enumerate(names) if not asked or name in asked]


def _counted(request: Request, reads: Reading, domain: Domain, table: Table, source: str = "") -> _Counted:
    """The counts of a table, or of `source`, SQL for FROM with the same columns."""
    kept: Cache[_Counted] = cache_of(request, "coverage", FRESH_SECONDS, STALE_SECONDS)
    with reads.connection("the coverage") as connection:
        looked_at = [] if table.shows else [table.name]
        looked_at += [table.captures] if table.partition else []
        version = tuple(version_of(connection, name) for name in looked_at)

    def count() -> _Counted:
        with reads.connection("the coverage") as connection, connection.transaction():
            connection.execute("SET LOCAL statement_timeout = '120s'")
            return _count(connection, table, source)

    return kept.get((domain.name, table.name, source), count, version)


def _count(connection: Connection, table: Table, source: str) -> _Counted:
    names = tuple(column.name for column in table.values)
    dated = table.dated
    day = sql.SQL("NULL")
    if dated is not None:
        utc = "({} AT TIME ZONE 'UTC')::date::text" if dated.type == "timestamptz" else "{}::text"
        day = sql.SQL(utc).format(sql.Identifier(dated.name))  # type: ignore[assignment]
    # count(column) skips NULLs by itself, which costs half of what a filter does.
    counts = sql.SQL("").join(sql.SQL(", count({})").format(sql.Identifier(name)) for name in names)
    stored = f"{table.name}_latest" if table.partition else table.name
    query = sql.SQL("SELECT now(), {day}, count(*){counts} FROM {table} GROUP BY 2").format(
        day=day, counts=counts, table=sql.SQL(source) if source else sql.Identifier(stored)
    )
    counted = connection.execute(query).fetchall()
    found = [(_day(text), rows, [rows - one for one in filled]) for _, text, rows, *filled in counted]
    found.sort(key=lambda one: one[0] or date.min, reverse=True)
    return _Counted(counted[0][0] if counted else datetime.now(UTC), names, found)


def _day(text: str | None) -> date | None:
    """None for what Python has no date for: Postgres goes on before the year 1 and behind 9999."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        return None


def _spans(days: Iterable[tuple[date | None, int, list[int]]], by: Span) -> Iterator[SpanCoverage]:
    """Days, which descend, in weeks or months."""
    last: SpanCoverage | None = None
    for day, rows, nulls in days:
        start = _start(day, by)
        if last is not None and last.start == start:
            last.rows += rows
            last.nulls = [one + other for one, other in zip(last.nulls, nulls, strict=True)]
            continue
        if last is not None:
            yield last
        last = SpanCoverage.model_construct(start=start, rows=rows, nulls=nulls)
    if last is not None:
        yield last


def _start(day: date | None, by: Span) -> date | None:
    if day is None or by == "day":
        return day
    return day - timedelta(days=day.weekday()) if by == "week" and day.toordinal() > 7 else day.replace(day=1)


def _summed(nulls: Iterable[list[int]], width: int) -> list[int]:
    total = [0] * width
    for one in nulls:
        total = [before + more for before, more in zip(total, one, strict=True)]
    return total


def _short(name: str, found: _Counted) -> TableCoverage:
    days = [day for day, *_ in found.days if day is not None]
    rows = sum(rows for _, rows, _ in found.days)
    nulls = sum(sum(one) for *_, one in found.days)
    values = rows * len(found.columns)
    return TableCoverage(
        table=name,
        taken_at=found.taken_at,
        rows=rows,
        first=days[-1] if days else None,
        last=days[0] if days else None,
        days=len(days),
        null_share=nulls / values if values else None,
    )
