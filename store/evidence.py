"""What the engine's own tables say against each other: counts, problems, origins. Reads only, a capture at a time."""

from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import Connection

from schemas.capture import CaptureState
from schemas.lane import LaneName
from schemas.live import LIVE
from schemas.table import Mode
from store.rows import row, rows

# In shadow, too.
_INSERTS = f"'{Mode.INSERT.value}' IN (c.mode, coalesce(c.becomes, c.mode))"


@dataclass(frozen=True, slots=True)
class Looked:
    """A capture whose evidence is looked at."""

    capture_id: str
    domain: str
    live: bool
    state: CaptureState
    dry_run: bool
    inserts: bool


def _looked(*, source: str, state: str, **others: str | bool) -> Looked:
    return Looked(live=source == LIVE, state=CaptureState(state), **others)  # type: ignore[arg-type]


def captures(connection: Connection, capture_id: str | None = None) -> list[Looked]:
    """All captures, oldest first, or one."""
    return rows(
        connection,
        _looked,
        f"""SELECT capture_id, domain, source, state, dry_run, {_INSERTS} AS inserts FROM rederive.captures c
           WHERE %(id)s::text IS NULL OR capture_id = %(id)s ORDER BY number""",
        {"id": capture_id},
    )


@dataclass(frozen=True, slots=True)
class Standing:
    """How many units of a capture stand how. `unexplained` are dead without a reason."""

    units: int
    open: int
    cancelled: int
    dead: int
    unexplained: int


def standing(connection: Connection, capture_id: str) -> Standing:
    """The capture's units."""
    found = row(
        connection,
        Standing,
        """SELECT count(*) AS units, count(*) FILTER (WHERE state IN ('planned', 'sent')) AS open,
                  count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
                  count(*) FILTER (WHERE state = 'dead') AS dead,
                  count(*) FILTER (WHERE state = 'dead' AND coalesce(failure, '') = '') AS unexplained
           FROM rederive.units WHERE capture_id = %s""",
        [capture_id],
    )
    assert found is not None
    return found


@dataclass(frozen=True, slots=True)
class Counted:
    """A unit's counts, and how many problems it has."""

    unit: int
    key_range: str
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int
    problems: int = 0


_COUNTS = "u.unit, u.key_range, u.rows, u.updated, u.unchanged, u.skipped, u.errors"


def miscounted(connection: Connection, capture_id: str) -> list[Counted]:
    """The units whose rows aren't those updated, unchanged, skipped and errors together; of dead ones all are errors.

    Of a capture that inserts, whose rows are as many as its formulas make of what is read, only dead ones can be.
    """
    return rows(
        connection,
        Counted,
        f"""SELECT {_COUNTS} FROM rederive.units u JOIN rederive.captures c USING (capture_id)
            WHERE capture_id = %s AND CASE u.state
                WHEN 'applied' THEN NOT {_INSERTS} AND u.rows <> u.updated + u.unchanged + u.skipped + u.errors
                WHEN 'dead' THEN u.errors < greatest(u.rows, 1) OR u.updated + u.unchanged + u.skipped > 0
                ELSE false END
            ORDER BY u.unit""",
        [capture_id],
    )


def misexplained(connection: Connection, capture_id: str) -> list[Counted]:
    """The applied units that have more or fewer problems than rows skipped and errors.

    Of a live partition's dead record all rows are errors, and one problem says so.
    """
    return rows(
        connection,
        Counted,
        f"""SELECT {_COUNTS}, coalesce(p.n, 0) AS problems
            FROM rederive.units u LEFT JOIN (
                SELECT unit, count(*) AS n, count(*) FILTER (WHERE reason = 'dead') AS dead
                FROM rederive.problems WHERE capture_id = %(id)s GROUP BY unit) p USING (unit)
            WHERE u.capture_id = %(id)s AND u.state = 'applied'
              AND CASE WHEN coalesce(p.dead, 0) = 0 THEN coalesce(p.n, 0) <> u.skipped + u.errors
                       ELSE p.n > u.skipped + u.errors OR p.n - p.dead < u.skipped END
            ORDER BY u.unit""",
        {"id": capture_id},
    )


@dataclass(frozen=True, slots=True)
class Stood:
    """Where a unit stands on a topic."""

    unit: int
    lane: str
    partition: int
    record_offset: int


def unnoted(connection: Connection, capture_id: str, topics: Mapping[LaneName, str]) -> list[Stood]:
    """The units that have an outcome though no origin of theirs is noted, neither as applied nor as dead."""
    return rows(
        connection,
        Stood,
        """SELECT u.unit, u.lane, u.partition, u.record_offset
           FROM rederive.units u JOIN unnest(%(lanes)s::text[], %(topics)s::text[]) AS t(lane, topic) USING (lane)
           WHERE u.capture_id = %(id)s AND u.state IN ('applied', 'dead') AND u.record_offset IS NOT NULL
             AND NOT EXISTS (SELECT FROM rederive.origins o
                             WHERE (o.capture_id, o.topic, o.partition) = (u.capture_id, t.topic, u.partition)
                               AND o.applied + o.dead @> u.record_offset)
           ORDER BY u.unit""",
        {"id": capture_id, "lanes": list(topics), "topics": list(topics.values())},
    )


def unexplained(connection: Connection, capture_id: str) -> list[str]:
    """The dead records of a live capture of which no problem says why."""
    found = connection.execute(
        """SELECT d.place FROM (
               SELECT o.topic || '[' || o.partition || ']@' || n AS place, o.capture_id, o.topic, o.partition, n
               FROM rederive.origins o, unnest(o.dead) AS r(lost),
                    generate_series(lower(r.lost), upper(r.lost) - 1) AS n
               WHERE o.capture_id = %s) d
           WHERE NOT EXISTS (SELECT FROM rederive.problems p WHERE p.capture_id = d.capture_id
                             AND p.reason = 'dead' AND p.key = jsonb_build_array(d.place))
           ORDER BY d.topic, d.partition, d.n""",
        [capture_id],
    )
    return [place for (place,) in found]


def noted(connection: Connection, topic: str, partition: int, low: int, high: int) -> tuple[int, int]:
    """How many offsets of [low, high) any capture has applied, and how many others are dead."""
    found = connection.execute(
        """WITH n AS (SELECT coalesce(range_agg(a), '{}') AS applied FROM (
                          SELECT unnest(applied) AS a FROM rederive.origins
                          WHERE (topic, partition) = (%(topic)s, %(partition)s)) x),
                d AS (SELECT coalesce(range_agg(a), '{}') AS dead FROM (
                          SELECT unnest(dead) AS a FROM rederive.origins
                          WHERE (topic, partition) = (%(topic)s, %(partition)s)) x),
                span AS (SELECT int8multirange(int8range(%(low)s, %(high)s)) AS span)
           SELECT (SELECT coalesce(sum(upper(r) - lower(r)), 0)::int8 FROM unnest(applied * span) r),
                  (SELECT coalesce(sum(upper(r) - lower(r)), 0)::int8 FROM unnest((dead - applied) * span) r)
           FROM n, d, span""",
        {"topic": topic, "partition": partition, "low": low, "high": high},
    ).fetchone()
    assert found is not None
    return found[0], found[1]


def dropped(connection: Connection, capture_id: str, topic: str, partition: int, low: int) -> tuple[int, int]:
    """Of the records below `low`, which are gone: how many a capture has noted, and how many between them nobody."""
    found = connection.execute(
        """WITH o AS (SELECT (applied + dead) * int8multirange(int8range(NULL, %(low)s)) AS noted
                      FROM rederive.origins WHERE (capture_id, topic, partition) = (%(id)s, %(topic)s, %(partition)s)),
                others AS (SELECT coalesce(range_agg(n), '{}') AS noted FROM (
                               SELECT unnest(applied + dead) AS n FROM rederive.origins
                               WHERE (topic, partition) = (%(topic)s, %(partition)s)) x)
           SELECT coalesce((SELECT sum(upper(r) - lower(r)) FROM o, unnest(o.noted) r), 0)::int8,
                  coalesce((SELECT sum(upper(r) - lower(r)) FROM o, others,
                            unnest(int8multirange(range_merge(o.noted)) - others.noted) r), 0)::int8""",
        {"low": low, "id": capture_id, "topic": topic, "partition": partition},
    ).fetchone()
    assert found is not None
    return found[0], found[1]


@dataclass(frozen=True, slots=True)
class Writing:
    """An applied unit that counts rows as written under captures of partitions."""

    unit: int
    key_range: str
    stage: str
    updated: int
    writes: list[str]


def writing(connection: Connection, capture_id: str) -> list[Writing]:
    """Those units of a run that inserts."""
    return rows(
        connection,
        Writing,
        """SELECT unit, key_range, stage, updated, writes FROM rederive.units u
           WHERE capture_id = %s AND state = 'applied' AND updated > 0 AND writes <> '{}' ORDER BY unit""",
        [capture_id],
    )
