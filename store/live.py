"""What live captures have in the engine's tables: a row of units per partition of a log, in which its records count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import orjson
from psycopg import Connection

from schemas.lane import LaneName
from schemas.live import LIVE, LiveDay
from schemas.outcome import RowProblem
from schemas.table import Mode
from schemas.unit import Origin
from store.rows import value, values

_LANES = tuple(LaneName)
_MOST_PARTITIONS = 100_000


DEAD = "dead"
"""The reason of the problem that a dead record is."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A live record's outcome in counts. `problems` are its skips and errors, and why it is dead, if it is.

    `first` is the place under which a record that is dead, or is sent again after it died, may have been counted.
    """

    origin: Origin
    read: int
    updated: int
    unchanged: int
    skipped: int
    errors: int
    problems: Sequence[RowProblem]
    first: Origin | None = None


def begin(connection: Connection, day: LiveDay, mode: Mode) -> None:
    """Make a day's live capture, unless there is one."""
    connection.execute(
        """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, dry_run, derivation_version,
               columns, request, digest, reason, who, state)
           SELECT %(id)s, nextval('rederive.capture_number'), %(domain)s, %(source)s, %(mode)s, false, %(version)s,
                  '{}', jsonb_build_object('day', %(day)s::text), '', 'live', 'live', 'running'
           ON CONFLICT DO NOTHING""",
        {
            "id": day.capture_id,
            "domain": day.domain,
            "source": LIVE,
            "mode": mode,
            "version": day.version,
            "day": day.day.isoformat(),
        },
    )


def count(connection: Connection, capture_id: str, counted: Sequence[Counted]) -> None:
    """Add records' outcomes to what their partitions have counted, and their problems to those that are there.

    What was counted of earlier attempts is taken out: a record is dead once, and no more when it isn't any more.
    """
    if not counted:
        return
    rows = [*_struck_out(connection, capture_id, [one.first for one in counted if one.first])]
    rows += [
        {
            "unit": unit_of(one.origin),
            "lane": _lane_of(one.origin),
            "place": f"{one.origin.topic}[{one.origin.partition}]",
            "partition": one.origin.partition,
            "record_offset": one.origin.offset,
            "read": one.read,
            "updated": one.updated,
            "unchanged": one.unchanged,
            "skipped": one.skipped,
            "errors": one.errors,
        }
        for one in counted
    ]
    # A row is locked in the order of its partition: two sinks never wait for each other.
    connection.execute(
        """INSERT INTO rederive.units AS u (capture_id, unit, key_range, locator, rows, lane, state, partition,
               record_offset, updated, unchanged, skipped, errors)
           SELECT %s, unit, place, '{}', sum(read), lane, 'applied', partition, max(record_offset), sum(updated),
                  sum(unchanged), sum(skipped), sum(errors)
           FROM jsonb_to_recordset(%s::jsonb) AS v(unit int, place text, lane text, partition int, record_offset int8,
               read int, updated int, unchanged int, skipped int, errors int)
           GROUP BY unit, place, lane, partition ORDER BY unit
           ON CONFLICT (capture_id, unit) DO UPDATE SET rows = u.rows + excluded.rows,
               record_offset = greatest(u.record_offset, excluded.record_offset),
               updated = u.updated + excluded.updated, unchanged = u.unchanged + excluded.unchanged,
               skipped = u.skipped + excluded.skipped, errors = u.errors + excluded.errors""",
        [capture_id, orjson.dumps(rows).decode()],
        prepare=True,
    )
    _add_problems(connection, capture_id, counted)


def _struck_out(connection: Connection, capture_id: str, firsts: Sequence[Origin]) -> list[dict[str, object]]:
    """Strike out that records are dead; what is to be taken from their partitions' counts."""
    if not firsts:
        return []
    gone = connection.execute(
        """DELETE FROM rederive.problems WHERE capture_id = %s AND reason = %s AND key ->> 0 = ANY(%s)
           RETURNING key ->> 0, rows""",
        [capture_id, DEAD, [str(first) for first in firsts]],
    )
    places = {str(first): first for first in firsts}
    return [
        {
            "unit": unit_of(places[text]),
            "lane": _lane_of(places[text]),
            "place": f"{places[text].topic}[{places[text].partition}]",
            "partition": places[text].partition,
            "record_offset": places[text].offset,
            "read": -rows,
            "updated": 0,
            "unchanged": 0,
            "skipped": 0,
            "errors": -rows,
        }
        for text, rows in gone
    ]


def _add_problems(connection: Connection, capture_id: str, counted: Sequence[Counted]) -> None:
    written = [
        {
            "unit": unit_of(one.origin),
            "at": at,
            "key": p.key,
            "reason": p.reason,
            "message": p.text.replace("\0", ""),
            "rows": one.errors if p.reason == DEAD else 1,
        }
        for one in counted
        for at, p in enumerate(one.problems)
    ]
    if written:
        connection.execute(
            """INSERT INTO rederive.problems (capture_id, unit, ordinal, key, reason, message, rows)
               SELECT %(capture)s, v.unit, row_number() OVER (PARTITION BY v.unit ORDER BY at) + (
                   SELECT coalesce(max(p.ordinal), -1) FROM rederive.problems p
                   WHERE p.capture_id = %(capture)s AND p.unit = v.unit), key, reason, message, rows
               FROM jsonb_to_recordset(%(problems)s::jsonb)
                   AS v(unit int, at int, key jsonb, reason text, message text, rows int)""",
            {"capture": capture_id, "problems": orjson.dumps(written).decode()},
        )


def unit_of(origin: Origin) -> int:
    """The number of the row in which a partition's records are counted."""
    return _LANES.index(_lane_of(origin)) * _MOST_PARTITIONS + origin.partition


def _lane_of(origin: Origin) -> LaneName:
    word = origin.topic.rpartition(".")[2]
    return next((name for name in LaneName if name == word), LaneName.LOG)


Place = tuple[str, int, int]
"""A problem's capture, unit and ordinal."""


def skipped(connection: Connection, domain: str, reason: str, limit: int, now: str) -> list[tuple[int, Place]]:
    """Rows that live captures have skipped for a reason that no longer holds: their keys, and where each is noted.

    `now` is a query, of a problem p, for what has come meanwhile.
    """
    found = connection.execute(
        f"""SELECT (p.key ->> 0)::int8, p.capture_id, p.unit, p.ordinal
            FROM rederive.problems p JOIN rederive.captures c USING (capture_id)
            WHERE c.domain = %s AND c.source = %s AND c.state IN ('running', 'complete') AND p.reason = %s
              AND EXISTS ({now})
            ORDER BY 2, 3, 4 LIMIT %s""",
        [domain, LIVE, reason, limit],
    )
    return [(key, (capture_id, unit, ordinal)) for key, capture_id, unit, ordinal in found]


def taken_up(connection: Connection, places: Sequence[Place]) -> None:
    """Strike out problems whose rows have been sent again: they are counted anew."""
    captures, units, ordinals = (list(part) for part in zip(*places, strict=True))
    with connection.transaction():
        # The sinks' order: what counts is locked first, then what it counted goes.
        connection.execute(
            """SELECT FROM rederive.units u
               WHERE (u.capture_id, u.unit) IN (SELECT * FROM unnest(%s::text[], %s::int4[]))
               ORDER BY u.capture_id, u.unit FOR NO KEY UPDATE""",
            [captures, units],
        )
        connection.execute(
            """WITH gone AS (
                   DELETE FROM rederive.problems p USING unnest(%s::text[], %s::int4[], %s::int4[])
                       AS v(capture_id, unit, ordinal)
                   WHERE (p.capture_id, p.unit, p.ordinal) = (v.capture_id, v.unit, v.ordinal)
                   RETURNING p.capture_id, p.unit)
               UPDATE rederive.units u SET skipped = u.skipped - v.n, rows = u.rows - v.n
               FROM (SELECT capture_id, unit, count(*) AS n FROM gone GROUP BY 1, 2) v
               WHERE (u.capture_id, u.unit) = (v.capture_id, v.unit)""",
            [captures, units, ordinals],
        )


def holding_dead(connection: Connection, day: LiveDay, first: Origin) -> str | None:
    """The turn of a day's capture in which a record is dead, None when it is in none."""
    found: str | None = value(
        connection,
        """SELECT o.capture_id FROM rederive.origins o JOIN rederive.captures c USING (capture_id)
           WHERE (o.capture_id = %(id)s OR o.capture_id LIKE %(turns)s) AND c.source = %(live)s
             AND (o.topic, o.partition) = (%(topic)s, %(partition)s) AND o.dead @> %(offset)s::int8
           ORDER BY c.number DESC LIMIT 1""",
        {
            "id": day.capture_id,
            "turns": f"{day.capture_id}-%",
            "live": LIVE,
            "topic": first.topic,
            "partition": first.partition,
            "offset": first.offset,
        },
    )
    return found


def running_before(connection: Connection, domain: str, day: date) -> list[str]:
    """The live captures of a domain that run though their day is over."""
    return values(
        connection,
        f"SELECT capture_id FROM rederive.captures WHERE {_RUNNING_BEFORE} ORDER BY number",
        [domain, LIVE, day.isoformat()],
    )


def complete_before(connection: Connection, domain: str, day: date) -> list[str]:
    """Complete those captures; which."""
    return values(
        connection,
        f"""UPDATE rederive.captures SET state = 'complete', finished_at = now() WHERE {_RUNNING_BEFORE}
            RETURNING capture_id""",
        [domain, LIVE, day.isoformat()],
    )


_RUNNING_BEFORE = "domain = %s AND source = %s AND state = 'running' AND request ->> 'day' < %s"
