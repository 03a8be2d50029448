"""The table of units: what each capture's plan holds, where each unit stands, what it read and wrote."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from psycopg import Connection
from pydantic import BaseModel

from schemas.capture import Progress, UnitState
from schemas.lane import LaneName
from schemas.plan import PlannedUnit
from schemas.table import Mode
from schemas.unit import Delivered
from store.rows import cause, row, rows, value, values

L = TypeVar("L", bound=BaseModel)


def add(connection: Connection, capture_id: str, units: Iterable[PlannedUnit[Any]]) -> None:
    """Add planned units under their own numbers."""
    columns = "capture_id, unit, key_range, locator, rows, lane, stage, reads, writes"
    with connection.cursor() as cursor, cursor.copy(f"COPY rederive.units ({columns}) FROM STDIN") as copy:
        for unit in units:
            copy.write_row(
                (
                    capture_id, unit.unit, unit.key_range, _text(unit.locator), unit.rows or 0, unit.lane, unit.stage,
                    list(unit.reads), list(unit.writes),
                )
            )  # fmt: skip


def append(connection: Connection, capture_id: str, units: Sequence[PlannedUnit[Any]]) -> None:
    """Add units to a capture, numbered after those it has. The caller knows that it runs (`holds_running`)."""
    with connection.transaction():
        first = _next(connection, capture_id)
        add(connection, capture_id, [unit.model_copy(update={"unit": first + at}) for at, unit in enumerate(units)])


def _next(connection: Connection, capture_id: str) -> int:
    return int(
        value(connection, "SELECT coalesce(max(unit) + 1, 0) FROM rederive.units WHERE capture_id = %s", [capture_id])
    )


def _text(locator: BaseModel) -> str:
    return locator.model_dump_json(exclude_defaults=True)


def planned(
    connection: Connection, capture_id: str, after: int, limit: int, located: Callable[[Any], L]
) -> list[PlannedUnit[L]]:
    """The next units to send, in order, of those numbered above `after`; `located` reads their locators."""
    found = rows(
        connection,
        _Planned,
        """SELECT unit, key_range, locator, rows, lane, stage, reads, writes FROM rederive.units
           WHERE capture_id = %s AND state = 'planned' AND unit > %s ORDER BY unit LIMIT %s""",
        [capture_id, after, limit],
    )
    return [one.unit_of(located) for one in found]


@dataclass(frozen=True, slots=True)
class _Planned:
    unit: int
    key_range: str
    locator: Any
    rows: int
    lane: str
    stage: str
    reads: list[str]
    writes: list[str]

    def unit_of(self, located: Callable[[Any], L]) -> PlannedUnit[L]:
        return PlannedUnit(
            unit=self.unit,
            key_range=self.key_range,
            locator=located(self.locator),
            rows=self.rows or None,
            lane=LaneName(self.lane),
            stage=self.stage,
            reads=tuple(self.reads),
            writes=tuple(self.writes),
        )


def lanes(connection: Connection, capture_id: str) -> dict[LaneName, int]:
    """The lanes on which units of the capture are without an outcome, each with how many."""
    found = connection.execute(
        """SELECT lane, count(*) FROM rederive.units WHERE capture_id = %s AND state IN ('planned', 'sent')
           GROUP BY lane ORDER BY lane""",
        [capture_id],
    )
    return {LaneName(lane): count for lane, count in found}


def progress(connection: Connection, capture_id: str) -> Progress:
    """The capture's counts so far. What was taken back needs no outcome any more, and counts no rows."""
    found = row(
        connection,
        Progress,
        """SELECT count(*) AS units, count(*) FILTER (WHERE state IN ('applied', 'dead', 'removed')) AS units_done,
                  count(*) FILTER (WHERE state = 'dead') AS units_dead,
                  count(*) FILTER (WHERE state = 'planned') AS units_waiting,
                  count(*) FILTER (WHERE state = 'removed') AS units_removed,
                  coalesce(sum(rows) FILTER (WHERE state <> 'removed'), 0)::int8 AS rows,
                  coalesce(sum(updated) FILTER (WHERE state <> 'removed'), 0)::int8 AS updated,
                  coalesce(sum(unchanged) FILTER (WHERE state <> 'removed'), 0)::int8 AS unchanged,
                  coalesce(sum(skipped) FILTER (WHERE state <> 'removed'), 0)::int8 AS skipped,
                  coalesce(sum(errors) FILTER (WHERE state <> 'removed'), 0)::int8 AS errors,
                  CASE WHEN (SELECT %(insert)s IN (mode, coalesce(becomes, mode))
                             FROM rederive.captures WHERE capture_id = %(id)s)
                       THEN coalesce(sum(rows) FILTER (WHERE state IN ('applied', 'dead')), 0)::int8 END AS read
           FROM rederive.units WHERE capture_id = %(id)s""",
        {"id": capture_id, "insert": Mode.INSERT},
    )
    assert found is not None
    return found


def mark_sent(connection: Connection, capture_id: str, delivered: Sequence[Delivered]) -> None:
    """Note where delivered units stand; a unit that the sink was faster with keeps its outcome."""
    if delivered:
        numbers, partitions, offsets = zip(*delivered, strict=True)
        connection.execute(
            """UPDATE rederive.units u SET state = 'sent', partition = v.partition, record_offset = v.record_offset
               FROM unnest(%s::int4[], %s::int4[], %s::int8[]) AS v(unit, partition, record_offset)
               WHERE u.capture_id = %s AND u.unit = v.unit AND u.state = 'planned'""",
            [list(numbers), list(partitions), list(offsets), capture_id],
        )


def give_up(connection: Connection, capture_id: str, unit: int, reason: str) -> None:
    """Make a planned unit dead that can't be sent."""
    connection.execute(
        """UPDATE rederive.units SET state = 'dead', failure = %s, errors = greatest(rows, 1)
           WHERE capture_id = %s AND unit = %s AND state = 'planned'""",
        [reason, capture_id, unit],
    )


def split(connection: Connection, capture_id: str, unit: PlannedUnit[Any], parts: Sequence[PlannedUnit[Any]]) -> None:
    """Plan parts in a unit's place: the first keeps its number, the others come last."""
    first, *others = parts
    with connection.transaction():
        connection.execute(
            "UPDATE rederive.units SET locator = %s, rows = %s WHERE capture_id = %s AND unit = %s",
            [_text(first.locator), first.rows or 0, capture_id, unit.unit],
        )
        append(connection, capture_id, others)


def plan_lost(connection: Connection, capture_id: str, lane: LaneName, kept: Mapping[int, tuple[int, int]]) -> int:
    """Plan again what was sent to a lane and stands outside the offsets [low, high) kept by partition; how many."""
    return connection.execute(
        """UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND lane = %s AND state = 'sent'
             AND NOT EXISTS (SELECT FROM unnest(%s::int4[], %s::int8[], %s::int8[]) AS k(partition, low, high)
                             WHERE k.partition = units.partition AND record_offset >= low AND record_offset < high)""",
        [capture_id, lane, list(kept), [low for low, _ in kept.values()], [high for _, high in kept.values()]],
    ).rowcount


def plan_sent(connection: Connection, capture_id: str) -> int:
    """Plan again what has been sent and has no outcome; return how many units."""
    return connection.execute(
        "UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND state = 'sent'", [capture_id]
    ).rowcount


def replan(connection: Connection, capture_id: str, again: Iterable[PlannedUnit[Any]]) -> None:
    """Give dead units of a capture, by their numbers, another plan. They stay dead until they are tried again."""
    for unit in again:
        connection.execute(
            """UPDATE rederive.units SET key_range = %s, locator = %s, rows = %s, lane = %s, stage = %s, reads = %s,
                   writes = %s
               WHERE capture_id = %s AND unit = %s AND state = 'dead'""",
            [
                unit.key_range, _text(unit.locator), unit.rows or 0, unit.lane, unit.stage, list(unit.reads),
                list(unit.writes), capture_id, unit.unit,
            ],
        )  # fmt: skip


def plan_again(connection: Connection, capture_id: str, *, dead: bool) -> None:
    """Plan cancelled units again, and with `dead` the dead ones."""
    connection.execute(
        """UPDATE rederive.units SET state = 'planned', failure = NULL, errors = 0
           WHERE capture_id = %s AND state = ANY(%s)""",
        [capture_id, ["cancelled", *(["dead"] if dead else [])]],
    )


def cancel(connection: Connection, capture_id: str) -> int:
    """Give up what has no outcome; return how many units."""
    return connection.execute(
        "UPDATE rederive.units SET state = 'cancelled' WHERE capture_id = %s AND state IN ('planned', 'sent')",
        [capture_id],
    ).rowcount


def applied_of(connection: Connection, capture_id: str, numbers: Sequence[int]) -> set[int]:
    """Which of these units have been applied."""
    if not numbers:
        return set()
    return set(
        values(
            connection,
            "SELECT unit FROM rederive.units WHERE capture_id = %s AND unit = ANY(%s) AND state = 'applied'",
            [capture_id, list(numbers)],
        )
    )


@dataclass(frozen=True, slots=True)
class Settled:
    """A unit's outcome in counts. `failure` says why it is dead; it is applied without one."""

    unit: int
    partition: int
    record_offset: int
    read: int
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    errors: int = 0
    failure: str | None = None


def settle(connection: Connection, capture_id: str, settled: Sequence[Settled]) -> None:
    """Write units' outcomes; applied is final.

    A dead unit's rows are all errors, however many of them could be read. Of a log's record nobody knew the rows.
    """
    connection.execute(
        """UPDATE rederive.units u SET state = CASE WHEN v.failure IS NULL THEN 'applied' ELSE 'dead' END,
               partition = v.partition, record_offset = v.record_offset, updated = v.updated, skipped = v.skipped,
               rows = CASE WHEN u.rows = 0 THEN v.read ELSE u.rows END,
               errors = CASE WHEN v.failure IS NOT NULL THEN greatest(u.rows, v.read, 1) ELSE v.errors END,
               unchanged = v.unchanged, failure = v.failure
           FROM jsonb_to_recordset(%s::jsonb) AS v(unit int, partition int, record_offset int8, read int,
               updated int, unchanged int, skipped int, errors int, failure text)
           WHERE u.capture_id = %s AND u.unit = v.unit AND u.state <> 'applied'""",
        [orjson.dumps(list(settled)).decode(), capture_id],
    )


@dataclass(frozen=True, slots=True)
class Dead:
    """A dead unit and why."""

    unit: int
    range: str
    failure: str


def dead(connection: Connection, capture_id: str, limit: int | None = None, told: Sequence[int] = ()) -> list[Dead]:
    """The first dead units of a capture, but for those that are told already."""
    return rows(
        connection,
        Dead,
        """SELECT unit, key_range AS range, coalesce(failure, '') AS failure FROM rederive.units
           WHERE capture_id = %s AND state = 'dead' AND unit <> ALL(%s) ORDER BY unit LIMIT %s""",
        [capture_id, list(told), limit],
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A unit as it stands: what it reads, where its record is on its lane, its counts of rows, why it is dead."""

    unit: int
    state: str
    lane: str
    stage: str
    range: str
    partition: int | None
    record_offset: int | None
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int
    failure: str | None


def listed(connection: Connection, capture_id: str, *, state: UnitState | None, after: int, limit: int) -> list[Listed]:
    """The first units of a capture that are numbered above `after`, in order; only those in a state, if one is said."""
    return rows(
        connection,
        Listed,
        """SELECT unit, state, lane, stage, key_range AS range, partition, record_offset, rows, updated, unchanged,
                  skipped, errors, failure
           FROM rederive.units
           WHERE capture_id = %s AND unit > %s AND (%s::text IS NULL OR state = %s) ORDER BY unit LIMIT %s""",
        [capture_id, after, state, state, limit],
    )


@dataclass(frozen=True, slots=True)
class DeadCause:
    """Dead units that have one cause: how many, with how many rows, the first one's range and reason."""

    units: int
    rows: int
    range: str
    reason: str


def dead_by_cause(connection: Connection, capture_id: str) -> list[DeadCause]:
    """Dead units of a capture by cause, the most frequent first."""
    return rows(
        connection,
        DeadCause,
        f"""SELECT count(*) AS units, sum(errors)::int8 AS rows, (array_agg(key_range ORDER BY unit))[1] AS range,
                   (array_agg(coalesce(failure, 'unknown') ORDER BY unit))[1] AS reason
            FROM rederive.units WHERE capture_id = %s AND state = 'dead'
            GROUP BY {cause("failure")} ORDER BY count(*) DESC, 3""",
        [capture_id],
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A unit of a capture as it stands, its locator as it is stored, its place on its lane once it is sent."""

    capture_id: str
    unit: int
    key_range: str
    locator: Any
    stage: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    state: UnitState
    rows: int
    partition: int | None
    record_offset: int | None
    updated: int
    unchanged: int
    skipped: int
    errors: int
    lane: LaneName


def _known(
    *,
    state: str,
    lane: str,
    reads: Sequence[str],
    writes: Sequence[str],
    **others: Any,  # noqa: ANN401 - the table's columns
) -> Known:
    return Known(state=UnitState(state), lane=LaneName(lane), reads=tuple(reads), writes=tuple(writes), **others)


_OF_KNOWN = """capture_id, u.unit, u.key_range, u.locator, u.stage, u.reads, u.writes, u.state, u.rows, u.partition,
    u.record_offset, u.updated, u.unchanged, u.skipped, u.errors, u.lane"""


def of_capture(connection: Connection, capture_id: str) -> list[Known]:
    """The units of a capture, in order."""
    return rows(
        connection,
        _known,
        f"SELECT {_OF_KNOWN} FROM rederive.units u WHERE capture_id = %s ORDER BY unit",
        [capture_id],
    )


def applied_between(connection: Connection, domain: str, field: str, low: str, high: str) -> list[Known]:
    """The applied units of a domain with a locator's field (a text) from `low` to `high`; no dry runs, no shadows."""
    return rows(
        connection,
        _known,
        f"""SELECT {_OF_KNOWN} FROM rederive.captures c JOIN rederive.units u USING (capture_id)
            WHERE c.domain = %s AND NOT c.dry_run AND c.mode <> 'shadow' AND u.state = 'applied'
              AND u.locator ->> %s BETWEEN %s AND %s""",
        [domain, field, low, high],
    )


def planned_of(connection: Connection, domain: str, stage: str, fields: Mapping[str, Sequence[str]]) -> list[Known]:
    """The units of a domain's stage in whatever state, in the order of their plans; no dry runs, no shadows.

    Those of which any of these locators' fields has one of its texts.
    """
    return rows(
        connection,
        _known,
        f"""SELECT {_OF_KNOWN} FROM rederive.captures c JOIN rederive.units u USING (capture_id)
            WHERE c.domain = %s AND NOT c.dry_run AND c.mode <> 'shadow' AND u.stage = %s
              AND ({" OR ".join("u.locator ->> %s = ANY(%s)" for _ in fields)})
            ORDER BY c.number, u.unit""",
        [domain, stage, *(part for field, texts in fields.items() for part in (field, list(texts)))],
    )


def last_failures(connection: Connection, domain: str, lane: LaneName) -> dict[str, str]:
    """Why each range of a domain's lane was dead last, by its name; of those of which a unit is."""
    found = connection.execute(
        """SELECT DISTINCT ON (u.key_range) u.key_range, coalesce(u.failure, '')
           FROM rederive.units u JOIN rederive.captures c USING (capture_id)
           WHERE c.domain = %s AND u.state = 'dead' AND u.lane = %s ORDER BY u.key_range, c.number DESC""",
        [domain, lane],
    )
    return dict(found.fetchall())
