"""Notes: which raw records of a capture have been applied, and which were given up, as compact offset ranges."""

from collections import defaultdict
from collections.abc import Iterable

from psycopg import Connection
from psycopg.types.multirange import Int8Multirange
from psycopg.types.range import Int8Range

from schemas.unit import Origin

Place = tuple[str, int]


def ranges(offsets: Iterable[int]) -> Int8Multirange:
    """Offsets as the fewest half-open ranges."""
    found: list[list[int]] = []
    for offset in sorted(set(offsets)):
        if found and found[-1][1] == offset:
            found[-1][1] = offset + 1
        else:
            found.append([offset, offset + 1])
    return Int8Multirange([Int8Range(low, high) for low, high in found])


def lock(connection: Connection, capture_id: str, origins: Iterable[Origin]) -> set[Origin]:
    """Lock the capture's notes of these origins' partitions; return those of the origins already applied."""
    asked: dict[Place, list[Origin]] = defaultdict(list)
    for origin in origins:
        asked[origin.topic, origin.partition].append(origin)
    applied: set[Origin] = set()
    for (topic, partition), here in sorted(asked.items()):
        connection.execute(
            "INSERT INTO rederive.notes (capture_id, topic, partition) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            [capture_id, topic, partition],
        )
        row = connection.execute(
            "SELECT applied FROM rederive.notes WHERE (capture_id, topic, partition) = (%s, %s, %s) FOR NO KEY UPDATE",
            [capture_id, topic, partition],
        ).fetchone()
        assert row is not None
        applied.update(origin for origin in here if any(origin.offset in known for known in row[0]))
    return applied


def add(connection: Connection, capture_id: str, applied: Iterable[Origin], dead: Iterable[Origin]) -> None:
    """Note origins in the locked notes. Dead ones that were applied later leave the dead; applied is final."""
    found: dict[Place, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for which, origins in enumerate((applied, dead)):
        for origin in origins:
            found[origin.topic, origin.partition][which].append(origin.offset)
    for (topic, partition), (done, lost) in sorted(found.items()):
        connection.execute(
            """UPDATE rederive.notes
               SET applied = applied + %(done)s, dead = (dead + %(lost)s) - (applied + %(done)s)
               WHERE (capture_id, topic, partition) = (%(capture)s, %(topic)s, %(partition)s)""",
            {
                "done": ranges(done),
                "lost": ranges(lost),
                "capture": capture_id,
                "topic": topic,
                "partition": partition,
            },
        )


def holes(connection: Connection, topic: str, partition: int, low: int, high: int) -> list[tuple[int, int]]:
    """Offset ranges of [low, high) that no capture's notes cover: units that were lost."""
    row = connection.execute(
        """SELECT int8multirange(int8range(%s, %s)) - coalesce(range_agg(noted), '{}')
           FROM (SELECT unnest(applied + dead) AS noted FROM rederive.notes
                 WHERE topic = %s AND partition = %s) n""",
        [low, high, topic, partition],
    ).fetchone()
    assert row is not None
    return [(hole.lower, hole.upper) for hole in row[0]]
