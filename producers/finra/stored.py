"""What FINRA's tables hold: which captures of which partitions, and the rows that a unit reads of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from psycopg import Connection

from producers.finra.locators import StageWork
from producers.finra.picks import Captured, Partition
from schemas.finra.partition import TIERS, WINDOW_WEEKS, partition_of, window
from schemas.finra.tables import CORE_DOMAIN, LISTED_SYMBOLS, RAW, ROLLING, SYMBOL_SUMMARY, VENUE_VOLUME
from schemas.finra.units import RawUnit, RollingFacts, RollingUnit, SnapshotUnit, TierCapture, TierSplitUnit, VolumeUnit
from schemas.finra.versions import CALCS
from schemas.plan import PlannedUnit
from schemas.table import Table
from store import lineage, units

_CURRENT = {calc.table: f" AND calc_version = '{calc.current}'" for calc in CALCS.values()}
_SUMMARIES = f"{SYMBOL_SUMMARY.everywhere} s WHERE calc_version = '{CALCS['symbol_summary'].current}'"
_ROLLED = f"{ROLLING.everywhere} r WHERE calc_version = '{CALCS['rolling_6w'].current}' AND is_complete"
_SUMMARY_NAMES, _ROLLING_NAMES = SnapshotUnit.ROWS[:5], ("symbol", *SnapshotUnit.ROWS[5:])
_PARTITION = "week_ending = %(week)s AND tier = %(tier)s"


class GoneError(Exception):
    """Rows that a unit was planned to read are no longer there."""


def captures_of(
    connection: Connection,
    table: Table,
    weeks: Iterable[date],
    tiers: Iterable[str] = TIERS,
    as_of: datetime | None = None,
    run: str | None = None,
) -> dict[Partition, list[Captured]]:
    """Per partition the captures that a table has rows of, newest first; those that are later than `as_of` left out.

    Of a calculation's table the rows of the current version count. What a `run` has in shadow is there for itself.
    """
    within = "week_ending = ANY(%(weeks)s) AND tier = ANY(%(tiers)s) AND captured_at <= %(as_of)s"
    within += _CURRENT.get(table.name, "")
    rows = connection.execute(
        f"""SELECT week_ending, tier, capture_id, max(captured_at) FROM (
                SELECT week_ending, tier, capture_id, captured_at FROM {table.captures} WHERE {within}
                UNION ALL
                SELECT week_ending, tier, capture_id, captured_at FROM {table.shadow.name}
                WHERE capture_id = ANY(%(own)s) AND {within}) c
            GROUP BY 1, 2, 3 ORDER BY 1, 2, 4 DESC, 3 DESC""",
        {
            "weeks": list(weeks),
            "tiers": list(tiers),
            "as_of": as_of or "infinity",
            "own": [] if run is None else lineage.captures_of_run(connection, run),
        },
    )
    found: dict[Partition, list[Captured]] = {}
    for week, tier, capture_id, captured_at in rows:
        found.setdefault((week, tier), []).append(Captured(capture_id, captured_at))
    return found


def bounds(connection: Connection) -> tuple[date, date] | None:
    """The first and last week that there are rows of; None when there are none."""
    first, last = [], []
    for table in (RAW, VENUE_VOLUME, SYMBOL_SUMMARY):
        row = connection.execute(f"SELECT min(week_ending), max(week_ending) FROM {table.name}").fetchone()
        if row is not None and row[0] is not None:
            first.append(row[0])
            last.append(row[1])
    return (min(first), max(last)) if first else None


def symbols(connection: Connection) -> dict[Partition, int]:
    """How many symbols each partition had when it was last aggregated."""
    rows = connection.execute(
        "SELECT partition_key, row_count FROM core_manifest WHERE domain = %s AND stage = 'AGGREGATED'", [CORE_DOMAIN]
    )
    named = ((json.loads(key), count) for key, count in rows)
    return {(date.fromisoformat(key["week_ending"]), key["tier"]): count for key, count in named}


def captures_of_run(connection: Connection, capture_id: str) -> dict[str, Partition]:
    """The partitions' captures that an id stands for: itself, or those of a run."""
    written = [one for unit in units.of_capture(connection, capture_id) for one in unit.writes]
    found = {}
    for one in (capture_id, *written):
        try:
            found[one] = partition_of(one)
        except ValueError:
            continue
    return found


Staged = PlannedUnit[StageWork]


def payload(connection: Connection, run: str, unit: Staged) -> bytes:
    """The value of a unit of stored rows; GoneError when they are no longer there."""
    work = unit.locator
    head: dict[str, Any] = {
        "captured_at": work.captured_at,
        "execution_id": run,
        "batch_id": f"{work.week:%Y-%m}",
        "versions": work.versions,
        "week_ending": work.week,
    }
    if unit.stage == "tier_split":
        return _tier_split(connection, unit, head)
    head |= {"tier": work.tier, "capture_id": unit.writes[0]}
    match unit.stage:
        case "raw":
            return _raw(connection, unit, head)
        case "venue_volume":
            return _volumes(connection, unit, head)
        case "rolling":
            return _rolling(connection, unit, head)
    return _snapshot(connection, unit, head)


def _raw(connection: Connection, unit: Staged, head: dict[str, Any]) -> bytes:
    rows, source_file = _found(
        connection,
        f"""SELECT {_lines(RawUnit.ROWS, "line_number")}, min(source_file) FROM {RAW.everywhere} r
            WHERE {_PARTITION} AND capture_id = %(input)s""",
        {**_of(unit), "input": unit.reads[0]},
    )
    raw = RawUnit.model_validate(
        {
            **head,
            **_working(unit, RawUnit.CAN),
            "input_capture_id": unit.reads[0],
            "source_file": source_file,
            "reject_zero_volume": unit.locator.reject_zero_volume,
        }
    )
    return raw.pack([rows])


def _volumes(connection: Connection, unit: Staged, head: dict[str, Any]) -> bytes:
    (rows,) = _found(
        connection,
        f"""SELECT {_lines(VolumeUnit.ROWS, "symbol, mpid")} FROM {VENUE_VOLUME.everywhere} v
            WHERE {_PARTITION} AND capture_id = %(input)s""",
        {**_of(unit), "input": unit.reads[0]},
    )
    work = _working(unit, VolumeUnit.CAN)
    return VolumeUnit.model_validate({**head, **work, "input_capture_id": unit.reads[0]}).pack([rows])


def _tier_split(connection: Connection, unit: Staged, head: dict[str, Any]) -> bytes:
    rows, captures = _found(
        connection,
        f"""SELECT {_lines(TierSplitUnit.ROWS, "tier, symbol")}, array_agg(DISTINCT capture_id) FROM {_SUMMARIES}
            AND week_ending = %(week)s AND tier = ANY(%(tiers)s) AND capture_id = ANY(%(inputs)s)""",
        {**_of(unit), "tiers": list(unit.locator.tiers), "inputs": list(unit.reads)},
    )
    _check(captures, unit.reads)
    named = zip(unit.locator.tiers, unit.writes, unit.locator.minted, unit.reads, strict=True)
    tiers = {
        tier: TierCapture.model_validate({"captured_at": at, "capture_id": capture, "input_capture_id": read})
        for tier, capture, at, read in named
    }
    return TierSplitUnit.model_validate({**head, "tiers": tiers}).pack([rows])


def _rolling(connection: Connection, unit: Staged, head: dict[str, Any]) -> bytes:
    rows, captures, *facts, partial = _found(
        connection,
        f"""WITH latest AS MATERIALIZED (
                SELECT week_ending, symbol, total_volume, total_trades, capture_id, captured_at
                FROM {_SUMMARIES} AND week_ending = ANY(%(weeks)s) AND tier = %(tier)s
                  AND capture_id = ANY(%(inputs)s)),
            counts AS MATERIALIZED (SELECT symbol, count(*) AS weeks FROM latest GROUP BY symbol)
            SELECT {_lines(RollingUnit.ROWS, "symbol, week_ending")}, array_agg(DISTINCT capture_id),
                   array_agg(DISTINCT week_ending::text ORDER BY week_ending::text),
                   (SELECT count(*) FROM counts),
                   (SELECT count(*) FROM counts WHERE weeks = {WINDOW_WEEKS}),
                   min(capture_id COLLATE "C"), max(capture_id COLLATE "C"), min(captured_at), max(captured_at),
                   ARRAY(SELECT symbol FROM counts WHERE weeks < {WINDOW_WEEKS} ORDER BY symbol COLLATE "C"
                         LIMIT {LISTED_SYMBOLS})
            FROM latest""",
        {**_of(unit), "weeks": list(window(unit.locator.week)), "inputs": list(unit.reads)},
    )
    _check(captures, unit.reads)
    names = (
        "weeks",
        "symbols",
        "complete",
        "input_min_capture_id",
        "input_max_capture_id",
        "input_min_captured_at",
        "input_max_captured_at",
    )
    said = RollingFacts.model_validate({**dict(zip(names, facts, strict=True)), "partial": partial})
    return RollingUnit.model_validate({**head, "facts": said}).pack([rows])


def _snapshot(connection: Connection, unit: Staged, head: dict[str, Any]) -> bytes:
    summaries, *rolled = unit.reads
    (rows,) = _found(
        connection,
        f"""SELECT {_lines(SnapshotUnit.ROWS, "symbol")}
            FROM (SELECT {", ".join(_SUMMARY_NAMES)} FROM {_SUMMARIES}
                  AND {_PARTITION} AND capture_id = %(input)s) s
            LEFT JOIN (SELECT {", ".join(_ROLLING_NAMES)} FROM {_ROLLED}
                       AND {_PARTITION} AND capture_id = ANY(%(rolled)s)) r USING (symbol)""",
        {**_of(unit), "input": summaries, "rolled": rolled},
    )
    return SnapshotUnit.model_validate({**head, "input_capture_id": summaries}).pack([rows])


def _lines(names: Sequence[str], order: str) -> str:
    """Rows as the JSON arrays of a unit's lines."""
    return f"""string_agg(json_build_array({", ".join(names)})::text, E'\\n' ORDER BY {order})"""


def _of(unit: Staged) -> dict[str, Any]:
    return {"week": unit.locator.week, "tier": unit.locator.tier}


def _working(unit: Staged, can: frozenset[str]) -> dict[str, Any]:
    """What is wanted of a unit that can do more than one thing."""
    return {} if set(unit.locator.work) == can else {"calc": unit.locator.work}


def _found(connection: Connection, sql: str, parameters: Mapping[str, Any]) -> list[Any]:
    """The one row of a statement whose first column holds the lines; GoneError when there are none."""
    row = connection.execute(sql, parameters).fetchone()
    if row is None or row[0] is None:
        raise GoneError(parameters.get("input") or ", ".join(parameters["inputs"]))
    return [row[0].encode(), *row[1:]]


def _check(found: Sequence[str], planned: Sequence[str]) -> None:
    if gone := set(planned) - set(found):
        raise GoneError(", ".join(sorted(gone)))
