"""The table of dead letters: which were sent again, which were dropped; and how their units and captures stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from psycopg import Connection

from schemas.capture import UnitState
from schemas.unit import Origin
from store.captures import hold
from store.rows import rows, value

SENDING, REQUEUED, DROPPED = "sending", "requeued", "dropped"


@dataclass(frozen=True, slots=True)
class Noted:
    """What somebody has done with a letter. While it is `sending` the offset is the first that it may have."""

    partition: int
    record_offset: int
    state: str
    sent_topic: str | None
    sent_partition: int | None
    sent_offset: int | None
    reason: str
    at: datetime
    who: str


def noted(connection: Connection, topic_id: str) -> dict[tuple[int, int], Noted]:
    """What is noted of the letters of a DLQ, by partition and offset."""
    found = rows(
        connection,
        Noted,
        """SELECT partition, record_offset, state, sent_topic, sent_partition, sent_offset, reason, at, who
           FROM rederive.dead_letters WHERE topic_id = %s""",
        [topic_id],
    )
    return {(one.partition, one.record_offset): one for one in found}


def lock(connection: Connection, domain: str) -> bool:
    """Take the right to send a domain's letters again or drop them, for this session; False when another one has it."""
    return bool(
        value(connection, "SELECT pg_try_advisory_lock(hashtext('rederive.dead_letters'), hashtext(%s))", [domain])
    )


def unlock(connection: Connection, domain: str) -> None:
    """Give it back: a session that ends gives it back a moment later than its process seems to be gone."""
    connection.execute("SELECT pg_advisory_unlock(hashtext('rederive.dead_letters'), hashtext(%s))", [domain])


@dataclass(frozen=True, slots=True)
class Sending:
    """A letter that is about to be sent again, or has been, to `sent`. `reopened` is the capture that it counts in."""

    place: Origin
    attempt: int
    capture_id: str | None
    unit: int | None
    reopened: str | None
    sent: Origin


def begin(connection: Connection, topic_id: str, domain: str, who: str, sendings: Sequence[Sending]) -> None:
    """Note that letters are about to be sent; their captures run again, their units wait for an outcome."""
    with connection.transaction():
        hold(connection, domain)
        connection.execute(
            """UPDATE rederive.captures SET state = 'running', finished_at = NULL
               WHERE capture_id = ANY(%s) AND state = 'complete'""",
            [sorted({one.reopened for one in sendings if one.reopened})],
        )
        # A unit whose place isn't known is sent anew by a run, should this process die now.
        connection.execute(
            """UPDATE rederive.units u SET state = 'sent', partition = NULL, record_offset = NULL, failure = NULL,
                   errors = 0
               FROM jsonb_to_recordset(%s::jsonb) AS v(capture_id text, unit int)
               WHERE (u.capture_id, u.unit) = (v.capture_id, v.unit) AND u.state = 'dead'""",
            [_json(sendings)],
        )
        _note(connection, topic_id, domain, who, SENDING, sendings)


def settle(connection: Connection, topic_id: str, domain: str, who: str, sent: Sequence[Sending]) -> None:
    """Note where letters stand that have been sent again. A unit that the sink was faster with keeps its outcome."""
    with connection.transaction():
        connection.execute(
            """UPDATE rederive.units u SET partition = v.sent_partition, record_offset = v.sent_offset
               FROM jsonb_to_recordset(%s::jsonb)
                   AS v(capture_id text, unit int, sent_partition int, sent_offset int8)
               WHERE (u.capture_id, u.unit) = (v.capture_id, v.unit) AND u.state = 'sent' AND u.partition IS NULL""",
            [_json(sent)],
        )
        _note(connection, topic_id, domain, who, REQUEUED, sent)


def _note(
    connection: Connection, topic_id: str, domain: str, who: str, state: str, sendings: Sequence[Sending]
) -> None:
    connection.execute(
        """INSERT INTO rederive.dead_letters AS d (topic_id, partition, record_offset, domain, state, attempt,
               capture_id, sent_topic, sent_partition, sent_offset, who)
           SELECT %(topic)s, v.partition, v.record_offset, %(domain)s, %(state)s, v.attempt, v.capture_id, v.sent_topic,
                  v.sent_partition, v.sent_offset, %(who)s
           FROM jsonb_to_recordset(%(all)s::jsonb) AS v(partition int, record_offset int8, attempt int, capture_id text,
               sent_topic text, sent_partition int, sent_offset int8)
           ON CONFLICT (topic_id, partition, record_offset) DO UPDATE SET state = excluded.state, at = now(),
               sent_topic = excluded.sent_topic, sent_partition = excluded.sent_partition,
               sent_offset = excluded.sent_offset, who = excluded.who, reason = ''""",
        {"topic": topic_id, "domain": domain, "state": state, "who": who, "all": _json(sendings)},
    )


def _json(sendings: Sequence[Sending]) -> str:
    return orjson.dumps(
        [
            {
                "partition": one.place.partition,
                "record_offset": one.place.offset,
                "attempt": one.attempt,
                "capture_id": one.capture_id,
                "unit": one.unit,
                "sent_topic": one.sent.topic,
                "sent_partition": one.sent.partition,
                "sent_offset": one.sent.offset,
            }
            for one in sendings
        ]
    ).decode()


@dataclass(frozen=True, slots=True)
class Dropping:
    """A letter that nobody wants to be sent again."""

    place: Origin
    attempt: int
    capture_id: str | None


def drop(
    connection: Connection, topic_id: str, domain: str, who: str, reason: str, letters: Sequence[Dropping]
) -> None:
    """Note that letters are given up, and why. Their units stay dead."""
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            """INSERT INTO rederive.dead_letters (topic_id, partition, record_offset, domain, state, attempt,
                   capture_id, reason, who)
               VALUES (%s, %s, %s, %s, 'dropped', %s, %s, %s, %s)
               ON CONFLICT (topic_id, partition, record_offset)
               DO UPDATE SET state = 'dropped', reason = excluded.reason, at = now(), who = excluded.who""",
            [
                (topic_id, one.place.partition, one.place.offset, domain, one.attempt, one.capture_id, reason, who)
                for one in letters
            ],
        )


@dataclass(frozen=True, slots=True)
class UnitNow:
    """How a letter's unit stands; `placed` says that it is known where its record stands."""

    state: UnitState
    placed: bool


def units_now(connection: Connection, asked: Sequence[tuple[str, int]]) -> dict[tuple[str, int], UnitNow]:
    """How units stand, by capture and number; those that are gone are left out."""
    if not asked:
        return {}
    captures, numbers = (list(part) for part in zip(*asked, strict=True))
    found = connection.execute(
        """SELECT u.capture_id, u.unit, u.state, u.partition IS NOT NULL FROM rederive.units u
           JOIN unnest(%s::text[], %s::int4[]) AS v(capture_id, unit) USING (capture_id, unit)""",
        [captures, numbers],
    )
    return {(capture, unit): UnitNow(UnitState(state), placed) for capture, unit, state, placed in found}


def applied(connection: Connection, asked: Sequence[Origin]) -> set[Origin]:
    """Those of raw records that any capture has applied."""
    if not asked:
        return set()
    places = [(one.topic, one.partition, one.offset) for one in asked]
    topics, partitions, offsets = (list(part) for part in zip(*places, strict=True))
    found = connection.execute(
        """SELECT DISTINCT v.topic, v.partition, v.record_offset
           FROM unnest(%s::text[], %s::int4[], %s::int8[]) AS v(topic, partition, record_offset)
           JOIN rederive.origins o ON (o.topic, o.partition) = (v.topic, v.partition)
               AND o.applied @> v.record_offset
           JOIN rederive.captures c ON c.capture_id = o.capture_id AND NOT c.dry_run""",
        [topics, partitions, offsets],
    )
    return {Origin(*one) for one in found}
