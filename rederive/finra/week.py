"""One week of FINRA's: its captures, how far its tiers are, shares, quality (finra spec, sections 3 to 5)."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg import Connection, sql

from rederive.finra.partitions import Partitions
from rederive.finra.quality import CheckRow, check_rows
from schemas.finra import tables
from schemas.finra.tables import MANIFEST
from schemas.finra.versions import CALCS, Stage

TOP_VENUES = 10

_STAGE_OF = {
    tables.RAW.name: Stage.INGEST,
    tables.VENUE_VOLUME.name: Stage.NORMALIZE,
    tables.SNAPSHOT.name: Stage.SNAPSHOT,
    **{calc.table: calc.stage for calc in CALCS.values() if calc.stage},
}


@dataclass(frozen=True, slots=True)
class WeekCapture:
    """A capture of the week: what it holds, and the stages whose latest rows, by the current versions, are its own."""

    capture_id: str
    tier: str
    run: str | None
    captured_at: datetime
    input_capture_id: str | None
    rows: int
    stages: list[str]
    latest: list[str]


@dataclass(frozen=True, slots=True)
class StageReached:
    """A row of the manifest."""

    tier: str
    stage: str
    stage_rank: int
    row_count: int
    capture_id: str | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Shares:
    """The venue shares of a capture, by version."""

    tier: str
    capture_id: str
    calc_version: str
    venues: int
    sum: float


@dataclass(frozen=True, slots=True)
class Venue:
    """A venue of a tier's latest capture of venue shares, by the current version."""

    tier: str
    rank: int
    mpid: str
    total_volume: int
    total_trades: int
    symbol_count: int
    market_share_pct: float


@dataclass(frozen=True, slots=True)
class Week:
    """What is stored of a week."""

    week_ending: date
    captures: list[WeekCapture]
    stages: list[StageReached]
    shares: list[Shares]
    venues: list[Venue]
    checks: list[CheckRow]


def week(connection: Connection, day: date, tier: str | None) -> Week:
    """What is stored of the week that ends on `day`, of one tier or all."""
    asked = Partitions(day, tier)
    return Week(
        day,
        captures(connection, asked),
        _stages(connection, asked),
        _shares(connection, asked),
        _venues(connection, asked),
        _latest_checks(connection, asked),
    )


def captures(connection: Connection, asked: Partitions) -> list[WeekCapture]:
    """The captures that hold rows of what is asked for, by tier, the newest first."""
    held: dict[str, dict[str, int]] = defaultdict(dict)
    facts: dict[str, tuple[Any, ...]] = {}
    newest: dict[tuple[str, str], str] = {}
    for stored, tier, capture, *said, rows, current in connection.execute(
        sql.SQL(" UNION ALL ").join(_rows_of(table, asked) for table in _STAGE_OF)
        + sql.SQL(" ORDER BY captured_at, capture_id")
    ):
        held[capture][stored] = rows
        facts[capture] = (tier, *said)
        if current:
            newest[tier, stored] = capture
    found = []
    for capture, by_table in held.items():
        tier, run, captured_at, read = facts[capture]
        latest = {name for name in by_table if newest.get((tier, name)) == capture}
        found.append(
            WeekCapture(
                capture, tier, run, captured_at, read, sum(by_table.values()), _in_order(by_table), _in_order(latest)
            )
        )
    found.sort(key=lambda one: (one.captured_at, one.capture_id), reverse=True)
    return sorted(found, key=lambda one: one.tier)


def _rows_of(table: str, asked: Partitions) -> sql.Composed:
    """A table's rows by capture, and those of them that its `_latest` view may show."""
    calc = next((calc for calc in CALCS.values() if calc.table == table), None)
    current = sql.SQL("calc_version = {}").format(calc.current) if calc else sql.SQL("TRUE")
    return sql.SQL(
        """SELECT {name} AS stored, tier, capture_id, max(execution_id) AS run, max(captured_at) AS captured_at,
                  max(input_capture_id) AS input, count(*) AS rows, count(*) FILTER (WHERE {current}) AS current
           FROM {table} WHERE {where} GROUP BY tier, capture_id"""
    ).format(name=table, table=sql.Identifier(table), current=current, where=asked.of_rows())


def _in_order(names: Iterable[str]) -> list[str]:
    stages = {_STAGE_OF[name] for name in names}
    return [stage.value for stage in Stage if stage in stages]


def _stages(connection: Connection, asked: Partitions) -> list[StageReached]:
    where, parameters = asked.of_core()
    rows = connection.execute(
        f"""SELECT partition_key::jsonb ->> 'tier', stage, stage_rank, row_count, metrics_json ->> 'capture_id',
                   updated_at
            FROM {MANIFEST.name} WHERE {where} ORDER BY 1, stage_rank""",
        parameters,
    )
    return [StageReached(*row) for row in rows]


def _shares(connection: Connection, asked: Partitions) -> list[Shares]:
    rows = connection.execute(
        sql.SQL(
            """SELECT tier, capture_id, calc_version, count(*), sum(market_share_pct) FROM {table} WHERE {where}
               GROUP BY 1, 2, 3 ORDER BY tier, max(captured_at) DESC, calc_version"""
        ).format(table=sql.Identifier(tables.VENUE_SHARE.name), where=asked.of_rows())
    )
    return [Shares(*row) for row in rows]


def _venues(connection: Connection, asked: Partitions) -> list[Venue]:
    rows = connection.execute(
        sql.SQL(
            """SELECT tier, rank, mpid, total_volume, total_trades, symbol_count, market_share_pct
               FROM {newest} WHERE {where} AND rank <= {top} ORDER BY tier, rank"""
        ).format(
            newest=sql.Identifier(f"{tables.VENUE_SHARE.name}_latest"),
            where=asked.of_rows(),
            top=TOP_VENUES,
        )
    )
    return [Venue(*row) for row in rows]


def _latest_checks(connection: Connection, asked: Partitions) -> list[CheckRow]:
    """The latest result of each check of each partition."""
    found: dict[tuple[str, str], CheckRow] = {}
    for row in check_rows(connection, asked):
        found.setdefault((row.partition_key, row.check_name), row)
    return sorted(found.values(), key=lambda row: (row.partition_key, row.check_name))


@dataclass(frozen=True, slots=True)
class Concentrated:
    """A week and tier in a few figures: `hhi` is the sum of the squares of its venues' shares, 0..1."""

    week_ending: date
    tier: str
    venues: int
    volume: int
    hhi: float


def concentrated(connection: Connection, first: date, last: date) -> list[Concentrated]:
    """The weeks that end from `first` to `last`, by the newest captures' venue shares."""
    rows = connection.execute(
        sql.SQL(
            """SELECT week_ending, tier, count(*), sum(total_volume)::int8, sum(market_share_pct ^ 2)::float8
               FROM {newest} WHERE week_ending BETWEEN {first} AND {last} GROUP BY 1, 2 ORDER BY 1, 2"""
        ).format(newest=sql.Identifier(f"{tables.VENUE_SHARE.name}_latest"), first=first, last=last)
    )
    return [Concentrated(*row) for row in rows]
