"""The NULL audit (betfair spec, section 8.1): what is missing in the derived table, and what could be derived."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from rederive.betfair.columns import any_null
from rederive.betfair.fillable import Fillable
from rederive.cli.figures import percent
from schemas.betfair.tables import METRICS, readable

RECENT = timedelta(days=7)
SAMPLE = 20


@dataclass(frozen=True, slots=True)
class ColumnNulls:
    """One column: how many of the derived rows hold NULL there, how many of the recent ones.

    `percent` is `nulls` of all rows as it is printed, None without rows. `fillable` is how many of `nulls` the stored
    payloads give a value for, None when that wasn't asked.
    """

    column: str
    nulls: int
    percent: str | None
    recent_nulls: int
    fillable: int | None = None


@dataclass(frozen=True, slots=True)
class Inventory:
    """What is stored of snapshots: counts, the oldest and newest `snapshot_at`, eligibility tiers.

    Tier A has order books (all can be recomputed), B a payload without ladders (no level to read), C no payload
    (NULL, or an empty object): there NULL stays. A + B + C = `snapshots`. `without_row` have no derived row.
    """

    snapshots: int
    oldest: datetime | None
    newest: datetime | None
    with_payload: int
    with_runners: int
    first_runner_with_back: int
    tier_a: int
    tier_b: int
    tier_c: int
    without_row: int


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A row with a NULL in the columns in question, and two flags of its payload."""

    snapshot_id: int
    snapshot_at: datetime
    market_id: str
    has_runners: bool
    first_runner_has_back: bool


@dataclass(frozen=True, slots=True)
class NullAudit:
    """The audit: per column counts over `rows` derived rows, `recent_rows` of them since `recent_since`.

    `rows_with_null` have a NULL in any of the columns; `sample` is the newest 20 of them.
    """

    taken_at: datetime
    rows: int
    rows_with_null: int
    recent_since: datetime
    recent_rows: int
    columns: tuple[ColumnNulls, ...]
    inventory: Inventory
    sample: tuple[SampleRow, ...]
    fillable: Fillable | None = None


def null_audit(
    connection: psycopg.Connection, columns: Sequence[str] = METRICS, *, now: datetime | None = None
) -> NullAudit:
    """Count NULLs of `columns`; the recent days are the 7 before `now`, by default the database's time.

    The derived table and the snapshots are read once each, whole; run it in one snapshot of the database (REPEATABLE
    READ) for counts that agree with each other.
    """
    if now is None:
        now = _now(connection)
    beginning = datetime.min.replace(tzinfo=UTC)
    since = now - RECENT if now - beginning > RECENT else beginning
    rows, recent_rows, rows_with_null, counts = _counts(connection, columns, since, now)
    return NullAudit(
        taken_at=now,
        rows=rows,
        rows_with_null=rows_with_null,
        recent_since=since,
        recent_rows=recent_rows,
        columns=tuple(
            ColumnNulls(column, nulls, percent(nulls, rows), recent)
            for column, (nulls, recent) in zip(columns, counts, strict=True)
        ),
        inventory=_inventory(connection),
        sample=_sample(connection, columns),
    )


def _now(connection: psycopg.Connection) -> datetime:
    found = connection.execute("SELECT now()").fetchone()
    assert found is not None
    moment: datetime = found[0]
    return moment


def _counts(
    connection: psycopg.Connection, columns: Sequence[str], since: datetime, until: datetime
) -> tuple[int, int, int, list[tuple[int, int]]]:
    """Rows, recent rows, rows with any NULL, and per column (NULLs, recent NULLs)."""
    recent = sql.SQL("FILTER (WHERE d.snapshot_at >= {} AND d.snapshot_at <= {})").format(since, until)
    # count(column) skips NULLs by itself, which costs half of what a filter does.
    filled = sql.SQL(", ").join(
        sql.SQL("count({column}), count({column}) {recent}").format(column=sql.Identifier("d", column), recent=recent)
        for column in columns
    )
    query = sql.SQL(
        "SELECT count(*), count(*) {recent}, count(*) FILTER (WHERE {any_null}), {filled} FROM market_derived_metrics d"
    ).format(recent=recent, any_null=any_null(columns, "d"), filled=filled)
    found = connection.execute(query).fetchone()
    assert found is not None
    rows, recent_rows, rows_with_null, *rest = found
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return rows, recent_rows, rows_with_null, [(rows - full, recent_rows - fresh) for full, fresh in pairs]


# `? (@ != null)` leaves out a ladder that is null, which lax paths would take for one level.
_INVENTORY = """
WITH judged AS (
    SELECT s.snapshot_at, DATED AS dated,
           d.snapshot_id IS NULL AS bare,
           s.raw_payload IS NOT NULL AND s.raw_payload NOT IN ('null', '{}') AS payload,
           coalesce(jsonb_typeof(s.raw_payload -> 'runners') = 'array', false) AS runners,
           coalesce((s.raw_payload #> '{runners,0,ex}') ? 'availableToBack', false) AS first_back,
           coalesce(jsonb_path_exists(s.raw_payload,
               '$.runners[*].ex.availableToBack[*] ? (@ != null)', silent => true), false)
           OR coalesce(jsonb_path_exists(s.raw_payload,
               '$.runners[*].ex.availableToLay[*] ? (@ != null)', silent => true), false) AS books
    FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
)
SELECT count(*) AS snapshots, min(snapshot_at) FILTER (WHERE dated) AS oldest,
       max(snapshot_at) FILTER (WHERE dated) AS newest,
       count(*) FILTER (WHERE payload) AS with_payload,
       count(*) FILTER (WHERE runners) AS with_runners,
       count(*) FILTER (WHERE first_back) AS first_runner_with_back,
       count(*) FILTER (WHERE payload AND books) AS tier_a,
       count(*) FILTER (WHERE payload AND NOT books) AS tier_b,
       count(*) FILTER (WHERE NOT payload) AS tier_c,
       count(*) FILTER (WHERE bare) AS without_row
FROM judged
""".replace("DATED", readable("s"))


def _inventory(connection: psycopg.Connection) -> Inventory:
    with connection.cursor(row_factory=class_row(Inventory)) as cursor:
        found = cursor.execute(_INVENTORY).fetchone()
        assert found is not None
        return found


def _sample(connection: psycopg.Connection, columns: Sequence[str]) -> tuple[SampleRow, ...]:
    query = sql.SQL("""
        SELECT d.snapshot_id, d.snapshot_at, d.market_id,
               coalesce(jsonb_typeof(s.raw_payload -> 'runners') = 'array', false) AS has_runners,
               coalesce((s.raw_payload #> '{{runners,0,ex}}') ? 'availableToBack', false) AS first_runner_has_back
        FROM (SELECT d.snapshot_id, d.snapshot_at, d.market_id FROM market_derived_metrics d
              WHERE {any_null} AND {dated}
              ORDER BY d.snapshot_at DESC, d.snapshot_id DESC LIMIT {limit}) d
        LEFT JOIN market_book_snapshots s USING (snapshot_id)
        ORDER BY d.snapshot_at DESC, d.snapshot_id DESC
    """).format(any_null=any_null(columns, "d"), dated=sql.SQL(readable("d")), limit=SAMPLE)
    with connection.cursor(row_factory=class_row(SampleRow)) as cursor:
        return tuple(cursor.execute(query))
