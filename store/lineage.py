"""Which units wrote which partition captures, and what was derived from these: one lineage for all domains."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from store.rows import rows, value, values

_OF_RUN = "u.capture_id = %(run)s"
_OF_CAPTURE = "u.writes @> ARRAY[%(capture)s]"
_DERIVED = "u.reads && %(captures)s"


@dataclass(frozen=True, slots=True)
class Written:
    """What one unit of a run wrote: rows of its stage's tables under the partition captures `writes`."""

    run: str
    unit: int
    stage: str
    writes: frozenset[str]


def _written(*, writes: Iterable[str], **others: Any) -> Written:  # noqa: ANN401 - the table's columns
    return Written(writes=frozenset(writes), **others)


def written(connection: Connection, *, run: str | None = None, capture: str | None = None) -> set[Written]:
    """The units of a run, or those that wrote one capture, and all that derived from what they wrote, however far.

    Units that were removed, or never had an effect, don't count.
    """
    if run is not None:
        found = set(_units(connection, _OF_RUN, {"run": run}))
    else:
        found = set(_units(connection, _OF_CAPTURE, {"capture": capture}))
    fresh = found
    while fresh:
        captures = sorted({capture for one in fresh for capture in one.writes})
        fresh = set(_units(connection, _DERIVED, {"captures": captures})) - found
        found = found | fresh
    return found


def _units(connection: Connection, where: str, parameters: dict[str, object]) -> list[Written]:
    return rows(
        connection,
        _written,
        f"""SELECT u.capture_id AS run, u.unit, u.stage, u.writes
            FROM rederive.units u WHERE {where} AND u.state IN ('applied', 'sent', 'planned')""",
        parameters,
    )


def run_of(connection: Connection, capture: str) -> str | None:
    """The run whose unit was the first to write a partition's capture, whatever has become of it."""
    run = value(
        connection,
        "SELECT capture_id FROM rederive.units WHERE writes @> ARRAY[%s] ORDER BY capture_id, unit LIMIT 1",
        [capture],
    )
    return None if run is None else str(run)


def captures(connection: Connection) -> list[str]:
    """All partition captures that units were planned to write."""
    return values(connection, "SELECT DISTINCT unnest(writes) FROM rederive.units")


def is_known(connection: Connection, captures: Collection[str]) -> bool:
    """Whether any unit, whatever has become of it, was planned to write one of these captures."""
    return bool(value(connection, "SELECT EXISTS (SELECT FROM rederive.units WHERE writes && %s)", [sorted(captures)]))


def taken_back(connection: Connection, captures: Collection[str]) -> int:
    """How many of these captures units have written whose rows were taken out, and none whose rows are there."""
    return int(
        value(
            connection,
            """SELECT count(*) FROM unnest(%s::text[]) AS i(input)
               WHERE EXISTS (SELECT FROM rederive.units WHERE writes @> ARRAY[input] AND state = 'removed')
                 AND NOT EXISTS (SELECT FROM rederive.units WHERE writes @> ARRAY[input] AND state = 'applied')""",
            [sorted(captures)],
        )
    )


def orphans(connection: Connection, table: str, capture: str, captures: str) -> int:
    """How many rows of a table are of a capture, which that column names, that no unit that counts has written.

    `captures` is a table with the same column, in which all captures of the rows stand.
    """
    return int(
        value(
            connection,
            f"""SELECT count(*) FROM {table} WHERE {capture} IN (
                    SELECT {capture} FROM (SELECT DISTINCT {capture} FROM {captures}) c WHERE NOT EXISTS (
                        SELECT FROM rederive.units u WHERE u.state <> 'removed'
                            AND (u.writes @> ARRAY[c.{capture}] OR u.capture_id = c.{capture})))""",
        )
    )


def remove(connection: Connection, units: Iterable[Written]) -> None:
    """Note that what the units wrote was taken out."""
    pairs = [(one.run, one.unit) for one in units]
    connection.execute(
        """UPDATE rederive.units u SET state = 'removed'
           FROM unnest(%s::text[], %s::int4[]) AS r(run, unit) WHERE u.capture_id = r.run AND u.unit = r.unit""",
        [[run for run, _ in pairs], [unit for _, unit in pairs]],
    )
