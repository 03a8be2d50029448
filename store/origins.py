"""The table of origins: which raw records of a capture have been applied, and which were given up, as offset ranges."""

from collections import defaultdict
from collections.abc import Iterable

from psycopg import Connection
from psycopg.types.multirange import Int8Multirange
from psycopg.types.range import Int8Range

from schemas.lane import LaneName
from schemas.unit import Origin
from store.rows import value, values

Place = tuple[str, int]

_LOCK = """
    WITH asked AS (SELECT %s AS capture_id, topic, partition
                   FROM unnest(%s::text[], %s::int4[]) AS a(topic, partition)),
    made AS (INSERT INTO rederive.origins (capture_id, topic, partition)
             SELECT * FROM asked ORDER BY topic COLLATE "C", partition ON CONFLICT DO NOTHING
             RETURNING topic, partition, applied),
    there AS (SELECT o.topic, o.partition, o.applied
              FROM rederive.origins o JOIN asked USING (capture_id, topic, partition)
              ORDER BY topic COLLATE "C", partition FOR NO KEY UPDATE OF o)
    SELECT * FROM made UNION ALL SELECT * FROM there"""
"""One row for each place that is there, and for each that isn't and is made."""


def ranges(offsets: Iterable[int]) -> Int8Multirange:
    """Offsets as the fewest half-open ranges."""
    found: list[list[int]] = []
    for offset in sorted(set(offsets)):
        if found and found[-1][1] == offset:
            found[-1][1] = offset + 1
        else:
            found.append([offset, offset + 1])
    return Int8Multirange([Int8Range(low, high) for low, high in found])


def _columns(places: Iterable[Place]) -> tuple[list[str], list[int]]:
    """Topics and partitions."""
    given = list(places)
    return [topic for topic, _ in given], [partition for _, partition in given]


def lock(connection: Connection, capture_id: str, origins: Iterable[Origin]) -> set[Origin]:
    """Lock what is noted of the capture in these origins' partitions; return those of the origins already applied."""
    asked: dict[Place, list[Origin]] = defaultdict(list)
    for origin in origins:
        asked[origin.topic, origin.partition].append(origin)
    applied: set[Origin] = set()
    missing = set(asked)
    while missing:
        # In one order: two sinks never wait for each other. What another one has made meanwhile is seen the next time.
        found = connection.execute(_LOCK, [capture_id, *_columns(sorted(missing))], prepare=True)
        for topic, partition, known in found.fetchall():
            missing.discard((topic, partition))
            here = asked[topic, partition]
            applied.update(origin for origin in here if any(origin.offset in range_ for range_ in known))
    return applied


def add(connection: Connection, capture_id: str, applied: Iterable[Origin], dead: Iterable[Origin]) -> None:
    """Note origins; they are locked. Dead ones that were applied later leave the dead; applied is final."""
    found: dict[Place, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for which, origins in enumerate((applied, dead)):
        for origin in origins:
            found[origin.topic, origin.partition][which].append(origin.offset)
    if found:
        done, lost = (list(map(ranges, each)) for each in zip(*found.values(), strict=True))
        connection.execute(
            """UPDATE rederive.origins o
               SET applied = o.applied + v.done, dead = (o.dead + v.lost) - (o.applied + v.done)
               FROM unnest(%s::text[], %s::int4[], %s::int8multirange[], %s::int8multirange[])
                   AS v(topic, partition, done, lost)
               WHERE (o.capture_id, o.topic, o.partition) = (%s, v.topic, v.partition)""",
            [*_columns(found), done, lost, capture_id],
            prepare=True,
        )


def applied(connection: Connection, capture_id: str) -> list[tuple[str, int, int, int]]:
    """What a capture has applied: ranges of offsets, each as topic, partition, the first, one past the last."""
    return connection.execute(
        """SELECT topic, partition, lower(r), upper(r) FROM rederive.origins, unnest(applied) AS r
           WHERE capture_id = %s ORDER BY topic, partition, lower(r)""",
        [capture_id],
    ).fetchall()


def holes(connection: Connection, topic: str, partition: int, low: int, high: int) -> list[tuple[int, int]]:
    """Offset ranges of [low, high) that no capture has noted: units that were lost."""
    found = value(
        connection,
        """SELECT int8multirange(int8range(%s, %s)) - coalesce(range_agg(noted), '{}')
           FROM (SELECT unnest(applied + dead) AS noted FROM rederive.origins
                 WHERE topic = %s AND partition = %s) n""",
        [low, high, topic, partition],
    )
    return [(hole.lower, hole.upper) for hole in found]


def tops(connection: Connection, topic: str) -> dict[int, int]:
    """By partition of a topic, one past the last offset that any capture has noted; empty where none has."""
    found = connection.execute(
        """SELECT partition, max(greatest(upper(applied), upper(dead))) FROM rederive.origins
           WHERE topic = %s AND NOT (isempty(applied) AND isempty(dead)) GROUP BY partition""",
        [topic],
    )
    return dict(found.fetchall())


def read_again(connection: Connection, domain: str, log: LaneName, partition: int) -> list[int]:
    """The offsets of a partition of a domain's log that units of replays have read, and have an outcome.

    Not of replays that nobody is served by: in shadow, or taken back.
    """
    return values(
        connection,
        # Of a record of which only some payloads were asked for, the others are as they were.
        """SELECT DISTINCT generate_series(
               coalesce(u.locator ->> 'offset', u.locator ->> 'first')::int8,
               coalesce((u.locator ->> 'offset')::int8, (u.locator ->> 'last')::int8 - 1))
           FROM rederive.captures c JOIN rederive.units u USING (capture_id)
           WHERE c.domain = %s AND NOT c.dry_run AND u.state IN ('applied', 'dead', 'removed')
             AND c.mode <> 'shadow' AND c.state NOT IN ('rolling-back', 'rolled-back')
             AND u.locator ?| ARRAY['offset', 'first'] AND NOT u.locator ?| ARRAY['start', 'end']
             AND coalesce(u.locator ->> 'log', %s) = %s AND (u.locator ->> 'partition')::int4 = %s""",
        [domain, LaneName.LOG, log, partition],
    )


def forget(connection: Connection, capture_id: str, topic: str) -> None:
    """Drop what is noted of a capture on a topic that is no longer the same."""
    connection.execute("DELETE FROM rederive.origins WHERE (capture_id, topic) = (%s, %s)", [capture_id, topic])
