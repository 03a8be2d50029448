"""Take rows keyed by their capture out: those of one capture, and those that were derived from them.

What a unit wrote and read is in its `picked`: `stage`, `captures`, `inputs` (docs/merging.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Mode

_OF_RUN = "u.capture_id = %(run)s"
_OF_CAPTURE = "u.picked -> 'captures' ? %(capture)s"
_DERIVED = "u.picked -> 'inputs' ?| %(captures)s"


@dataclass(frozen=True, slots=True)
class Written:
    """What one unit of a run wrote: rows of its stage's tables under `captures`."""

    run: str
    unit: int
    stage: str
    captures: frozenset[str]


def written(connection: Connection, *, run: str | None = None, capture: str | None = None) -> set[Written]:
    """The units of a run, or those that wrote one capture, and all that derived from what they wrote, however far."""
    if run is not None:
        found = set(_units(connection, _OF_RUN, {"run": run}))
    else:
        found = set(_units(connection, _OF_CAPTURE, {"capture": capture}))
    fresh = found
    while fresh:
        captures = sorted({capture for one in fresh for capture in one.captures})
        fresh = set(_units(connection, _DERIVED, {"captures": captures})) - found
        found = found | fresh
    return found


def _units(connection: Connection, where: str, parameters: dict[str, object]) -> Iterable[Written]:
    rows = connection.execute(
        f"""SELECT u.capture_id, u.unit, u.picked ->> 'stage',
                   ARRAY(SELECT jsonb_array_elements_text(u.picked -> 'captures'))
            FROM rederive.units u WHERE {where} AND u.state IN ('applied', 'sent', 'planned')""",
        parameters,
    )
    return [Written(run, unit, stage, frozenset(captures)) for run, unit, stage, captures in rows]


def _targets(domain: Domain, units: Iterable[Written]) -> dict[str, list[str]]:
    """Captures to take out, by table, in the order in which tables are to be emptied."""
    found: dict[str, set[str]] = {}
    for one in units:
        for table in domain.stages.get(one.stage, ()):
            found.setdefault(table, set()).update(one.captures)
    names = [table.name for table in reversed(domain.tables) if table.policy is Mode.INSERT and not table.audit]
    return {name: sorted(found[name]) for name in names if name in found}


def preview(connection: Connection, domain: Domain, units: Iterable[Written]) -> dict[str, int]:
    """Rows that a removal would delete, by table."""
    counts = {}
    for table, captures in _targets(domain, units).items():
        row = connection.execute(f"SELECT count(*) FROM {table} WHERE capture_id = ANY(%s)", [captures]).fetchone()
        assert row is not None
        counts[table] = int(row[0])
    return counts


def remove(connection: Connection, domain: Domain, units: Iterable[Written]) -> dict[str, int]:
    """Delete the rows, in the caller's transaction; the number deleted by table. The units count as removed."""
    units = list(units)
    deleted = {
        table: connection.execute(f"DELETE FROM {table} WHERE capture_id = ANY(%s)", [captures]).rowcount
        for table, captures in _targets(domain, units).items()
    }
    connection.execute(
        """UPDATE rederive.units u SET state = 'removed'
           FROM unnest(%s::text[], %s::int4[]) AS r(run, unit) WHERE u.capture_id = r.run AND u.unit = r.unit""",
        [[one.run for one in units], [one.unit for one in units]],
    )
    return deleted
