"""Whether what was computed twice of the same input came out the same (finra spec, sections 8 and 9).

Rows are compared in the database: as multisets, by count and sum of row hashes, without the columns that
schemas/finra/row_equality.py leaves out.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from psycopg import Connection, sql

from producers.finra.picks import Captured, StageUnit
from schemas.finra.partition import partition_of
from schemas.finra.row_equality import INPUT_PREFIX
from schemas.finra.tables import FINRA, RAW
from schemas.finra.versions import CALCS
from schemas.table import Table

# What these read are the rows of one capture, which may have been computed by the unit that stored them.
_OF_STORED = ("raw", "venue_volume")


@dataclass(frozen=True, slots=True)
class Pair:
    """A capture, and an earlier one in which the same stage had the same input."""

    stage: str
    capture: Captured
    earlier: Captured


def pairs(units: Iterable[StageUnit], stored: Iterable[StageUnit]) -> list[Pair]:
    """For each capture that `units` wrote the newest earlier one, of those `stored`, that must hold the same rows."""
    same_input, writers = defaultdict(list), defaultdict(list)
    for unit in stored:
        same_input[_input(unit)].append(unit)
        for capture in unit.captures:
            writers[capture.capture_id].append(unit)
    found = []
    for unit in units:
        candidates = list(same_input[_input(unit)])
        if unit.stage in _OF_STORED:
            candidates += [
                one
                for read in unit.inputs
                for one in writers[read]
                if one.tiers == unit.tiers and one.reject_zero_volume == unit.reject_zero_volume
            ]
        earlier = [one for one in candidates if _at(one) < _at(unit) and _common(one, unit)]
        if earlier:
            other = max(earlier, key=_at)
            found += [Pair(unit.stage, *both) for both in zip(unit.captures, other.captures, strict=True)]
    return found


def _input(unit: StageUnit) -> tuple[object, ...]:
    return unit.stage, unit.week, unit.tiers, unit.inputs, unit.sha256, unit.reject_zero_volume


def _at(unit: StageUnit) -> tuple[object, ...]:
    return tuple(capture.captured_at for capture in unit.captures)


def _common(one: StageUnit, other: StageUnit) -> bool:
    """Whether both computed something by the same version, or by the same stage that has none."""
    return bool(one.versions.items() & other.versions.items()) or bool((one.work & other.work) - CALCS.keys())


def compare(connection: Connection, wanted: Sequence[Pair]) -> dict[str, dict[str, bool]]:
    """By capture, of each table that both captures of a pair hold rows of, by the same version: whether they agree."""
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    by_table: dict[str, list[Pair]] = defaultdict(list)
    for pair in wanted:
        for table in FINRA.stages[pair.stage]:
            # Raw rows name their file, which may have another name by now.
            if table != RAW.name:
                by_table[table].append(pair)
    for table, of_table in by_table.items():
        weeks, tiers = zip(*(partition_of(pair.capture.capture_id) for pair in of_table), strict=True)
        rows = connection.execute(
            _statement(FINRA.table(table)),
            {
                "weeks": list(weeks),
                "tiers": list(tiers),
                "captures": [pair.capture.capture_id for pair in of_table],
                "earlier": [pair.earlier.capture_id for pair in of_table],
            },
        )
        for capture, same in rows:
            found[capture][table] = same
    return found


def _statement(table: Table) -> sql.Composed:
    names = [column.name for column in table.key if column.name != "capture_id"]
    names += [column.name for column in table.values if not column.name.startswith(INPUT_PREFIX)]
    version = sql.SQL("calc_version" if "calc_version" in names else "''")
    hashed = sql.SQL(
        """SELECT {version} AS version, count(*) AS rows, sum(hashtextextended(ROW({columns})::text, 0)) AS hashes
           FROM {table} WHERE (week_ending, tier, capture_id) = (p.week, p.tier, {capture}) GROUP BY 1"""
    )
    parts: Mapping[str, sql.Composable] = {
        "version": version,
        "columns": sql.SQL(", ").join(map(sql.Identifier, names)),
        "table": sql.Identifier(table.name),
    }
    return sql.SQL(
        """SELECT p.capture, bool_and((n.rows, n.hashes) = (e.rows, e.hashes))
           FROM unnest(%(captures)s::text[], %(earlier)s::text[], %(weeks)s::date[], %(tiers)s::text[])
               p(capture, earlier, week, tier)
           CROSS JOIN LATERAL ({new}) n JOIN LATERAL ({old}) e ON e.version = n.version
           GROUP BY p.capture"""
    ).format(
        new=hashed.format(capture=sql.SQL("p.capture"), **parts),
        old=hashed.format(capture=sql.SQL("p.earlier"), **parts),
    )
