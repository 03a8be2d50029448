"""Which units wrote which partition captures, and what was derived from these: one lineage for all domains."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from schemas.domain import Domain, load
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
    reads: tuple[str, ...]
    writes: frozenset[str]


def _written(*, reads: Iterable[str], writes: Iterable[str], **others: Any) -> Written:  # noqa: ANN401 - the table's columns
    return Written(reads=tuple(reads), writes=frozenset(writes), **others)


def written(
    connection: Connection, domain: Domain, *, run: str | None = None, capture: str | None = None
) -> set[Written]:
    """The units of a run, or those that wrote one capture, and all that derived from what they wrote, however far.

    A unit derives from another if it reads rows of one of its captures in a table that the other one writes: a capture
    holds what several stages have computed, of different inputs. Units that were removed, or never had an effect, don't
    count.
    """
    found = set(units_of(connection, run) if run is not None else writers(connection, capture or ""))
    rows_read = _rows_read(domain)
    fresh = found
    while fresh:
        going = {(table, each) for one in fresh for table in _tables(domain, one.stage) for each in one.writes}
        reading = _units(connection, _DERIVED, {"captures": sorted({capture for _, capture in going})})
        fresh = {one for one in reading if not going.isdisjoint(rows_read(one))} - found
        found = found | fresh
    return found


def units_of(connection: Connection, run: str) -> list[Written]:
    """The units of a run."""
    return _units(connection, _OF_RUN, {"run": run})


def writers(connection: Connection, capture: str) -> list[Written]:
    """The units that wrote a partition's capture."""
    return _units(connection, _OF_CAPTURE, {"capture": capture})


def _tables(domain: Domain, stage: str) -> Iterable[str]:
    """The tables that a stage writes; all where the domain doesn't say."""
    return domain.stages.get(stage) or [table.name for table in domain.tables]


def _rows_read(domain: Domain) -> Callable[[Written], Iterable[tuple[str, str]]]:
    """What gives the tables of which a unit has read rows, each with the capture of these."""
    everywhere = [table.name for table in domain.tables]

    def anywhere(_: str, reads: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return dict.fromkeys(everywhere, reads)

    reads = load(domain.reads) if domain.reads else anywhere
    return lambda unit: ((table, capture) for table, read in reads(unit.stage, unit.reads).items() for capture in read)


def _units(connection: Connection, where: str, parameters: dict[str, object]) -> list[Written]:
    return rows(
        connection,
        _written,
        f"""SELECT u.capture_id AS run, u.unit, u.stage, u.reads, u.writes
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


def captures_of_run(connection: Connection, run: str) -> list[str]:
    """What rows of a run that hold their capture may be keyed by: the captures that its units write, and itself."""
    return values(
        connection,
        """SELECT DISTINCT unnest(writes) AS id FROM rederive.units WHERE capture_id = %(run)s
           UNION SELECT %(run)s ORDER BY id""",
        {"run": run},
    )


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


def unwritten(connection: Connection, captures: Sequence[str]) -> set[str]:
    """Those of the captures, as rows name them, that no unit that counts has written."""
    return set(
        values(
            connection,
            """SELECT c.id FROM unnest(%s::text[]) AS c(id) WHERE NOT EXISTS (
                   SELECT FROM rederive.units u WHERE u.writes @> ARRAY[c.id] AND u.state <> 'removed')
               AND NOT EXISTS (SELECT FROM rederive.units u WHERE u.capture_id = c.id AND u.state <> 'removed')""",
            [list(captures)],
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
