"""The producer's side of captures: minting them with their plan, and the states of units on their way out."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import orjson
from psycopg import Connection, Cursor
from psycopg.types.json import Jsonb

from producers.sender import Delivered
from producers.source import Planning, Refusal
from producers.topics import Watermarks
from schemas.capture import Capture, CaptureState, Progress
from schemas.lane import Lane, LaneName
from schemas.plan import PlanHead, PlannedUnit
from schemas.table import Mode

_COLUMNS = "capture_id, number, domain, source, mode, dry_run, derivation_version, columns, state, topic_ids"


def hold(connection: Connection, domain: str, *, alone: bool = False) -> None:
    """Until the transaction ends, what units of the domain are planned on isn't taken back.

    Whoever plans units holds it, from before it looks at what is stored until its units are there. A rollback that
    takes back what was derived, too, holds it `alone`: of what it has found out nothing changes until it is done.
    """
    shared = "" if alone else "_shared"
    connection.execute(f"SELECT pg_advisory_xact_lock{shared}(hashtext('rederive.planning'), hashtext(%s))", [domain])


def mint(
    connection: Connection,
    planning: Planning,
    *,
    who: str,
    reason: str,
    dry_run: bool,
    ready: Callable[[Sequence[LaneName]], object] = lambda _: None,
) -> tuple[Capture, PlanHead]:
    """Make a capture and freeze its plan, page by page: all of it is there, or nothing.

    `ready` is told the lanes of its units at the end; when it raises, there is no capture.
    """
    head = planning.head
    with connection.transaction(), connection.cursor() as cursor:
        hold(connection, head.domain)
        row = cursor.execute(
            f"""WITH minted AS (SELECT nextval('rederive.capture_number') AS number)
                INSERT INTO rederive.captures (capture_id, number, domain, source, mode, dry_run, derivation_version,
                    columns, request, digest, reason, who, state)
                SELECT %(domain)s || '-' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') || '-' || number, number,
                       %(domain)s, %(source)s, %(mode)s, %(dry_run)s, %(version)s, %(columns)s, %(request)s,
                       '', %(reason)s, %(who)s, 'running' FROM minted
                RETURNING {_COLUMNS}""",
            {
                "domain": head.domain,
                "source": head.source,
                "mode": head.mode.value,
                "dry_run": dry_run,
                "version": head.derivation_version,
                "columns": list(head.columns),
                "request": Jsonb(head.request),
                "reason": reason,
                "who": who,
            },
        ).fetchone()
        assert row is not None
        capture = _capture(row)
        for units in planning:
            _add(cursor, capture.capture_id, units)
        cursor.execute(
            "UPDATE rederive.captures SET digest = %s WHERE capture_id = %s", [planning.digest, capture.capture_id]
        )
        ready(list(lanes(connection, capture.capture_id)))
    return capture, planning.head


def _add(cursor: Cursor, capture_id: str, units: Sequence[PlannedUnit]) -> None:
    with cursor.copy("COPY rederive.units (capture_id, unit, key_range, picked, rows, lane) FROM STDIN") as copy:
        for unit in units:
            picked = orjson.dumps(unit.picked).decode()
            copy.write_row((capture_id, unit.unit, unit.key_range, picked, unit.rows or 0, unit.lane))


def holds_running(connection: Connection, capture: Capture) -> bool:
    """Whether the capture is running; if so it stays that, and what its next units read stays, for the transaction."""
    hold(connection, capture.domain)
    row = connection.execute(
        "SELECT state FROM rederive.captures WHERE capture_id = %s FOR SHARE", [capture.capture_id]
    ).fetchone()
    return row is not None and row[0] == CaptureState.RUNNING


def append(connection: Connection, capture_id: str, units: Sequence[PlannedUnit]) -> None:
    """Add units to a capture, numbered after those it has. The caller knows that it runs (`holds_running`)."""
    with connection.transaction(), connection.cursor() as cursor:
        row = cursor.execute(
            "SELECT coalesce(max(unit) + 1, 0) FROM rederive.units WHERE capture_id = %s", [capture_id]
        ).fetchone()
        assert row is not None
        numbered = [unit.model_copy(update={"unit": row[0] + at}) for at, unit in enumerate(units)]
        _add(cursor, capture_id, numbered)


def replan(connection: Connection, capture_id: str, units: Iterable[PlannedUnit]) -> None:
    """Give dead units of a capture, by their numbers, another plan. They stay dead until they are tried again."""
    for unit in units:
        connection.execute(
            """UPDATE rederive.units SET key_range = %s, picked = %s, rows = %s, lane = %s
               WHERE capture_id = %s AND unit = %s AND state = 'dead'""",
            [unit.key_range, Jsonb(unit.picked), unit.rows or 0, unit.lane, capture_id, unit.unit],
        )


def lanes(connection: Connection, capture_id: str) -> dict[LaneName, int]:
    """The lanes on which units of the capture are without an outcome, each with how many."""
    rows = connection.execute(
        """SELECT lane, count(*) FROM rederive.units WHERE capture_id = %s AND state IN ('planned', 'sent')
           GROUP BY lane ORDER BY lane""",
        [capture_id],
    )
    return {LaneName(lane): count for lane, count in rows}


def find(connection: Connection, capture_id: str) -> Capture | None:
    """The capture of that id, or None."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM rederive.captures WHERE capture_id = %s", [capture_id]).fetchone()
    return None if row is None else _capture(row)


def _capture(row: tuple[object, ...]) -> Capture:
    capture_id, number, domain, source, mode, dry_run, version, columns, state, topic_ids = row
    return Capture(
        capture_id=str(capture_id),
        number=int(str(number)),
        domain=str(domain),
        source=str(source),
        mode=Mode(str(mode)),
        dry_run=bool(dry_run),
        derivation_version=int(str(version)),
        columns=tuple(columns),  # type: ignore[arg-type]
        state=CaptureState(str(state)),
        topic_ids=topic_ids,  # type: ignore[arg-type]
    )


def progress(connection: Connection, capture_id: str) -> Progress:
    """The capture's counts so far. What was taken back needs no outcome any more."""
    row = connection.execute(
        """SELECT count(*), count(*) FILTER (WHERE state IN ('applied', 'dead', 'removed')),
                  count(*) FILTER (WHERE state = 'dead'), count(*) FILTER (WHERE state = 'planned'),
                  coalesce(sum(rows), 0)::int8,
                  coalesce(sum(updated), 0)::int8, coalesce(sum(unchanged), 0)::int8, coalesce(sum(skipped), 0)::int8,
                  coalesce(sum(errors), 0)::int8,
                  CASE WHEN (SELECT mode FROM rederive.captures WHERE capture_id = %(id)s) = %(insert)s
                       THEN coalesce(sum(rows) FILTER (WHERE state IN ('applied', 'dead')), 0)::int8 END
           FROM rederive.units WHERE capture_id = %(id)s""",
        {"id": capture_id, "insert": Mode.INSERT},
    ).fetchone()
    assert row is not None
    return Progress(*row)


def note_memory(connection: Connection, capture_id: str, memory: Mapping[str, Mapping[str, int]]) -> None:
    """Keep what the run's processes took of memory, in bytes by role."""
    connection.execute("UPDATE rederive.captures SET memory = %s WHERE capture_id = %s", [Jsonb(memory), capture_id])


def planned(connection: Connection, capture_id: str, after: int, limit: int) -> list[PlannedUnit]:
    """The next units to send, in order, of those numbered above `after`."""
    rows = connection.execute(
        """SELECT unit, key_range, picked, rows, lane FROM rederive.units
           WHERE capture_id = %s AND state = 'planned' AND unit > %s ORDER BY unit LIMIT %s""",
        [capture_id, after, limit],
    )
    return [PlannedUnit(unit=u, key_range=r, picked=p, rows=n or None, lane=lane) for u, r, p, n, lane in rows]


def mark_sent(connection: Connection, capture_id: str, delivered: Sequence[Delivered]) -> None:
    """Note where delivered units stand; a unit that the sink was faster with keeps its outcome."""
    if delivered:
        units, partitions, offsets = zip(*delivered, strict=True)
        connection.execute(
            """UPDATE rederive.units u SET state = 'sent', partition = v.partition, record_offset = v.record_offset
               FROM unnest(%s::int4[], %s::int4[], %s::int8[]) AS v(unit, partition, record_offset)
               WHERE u.capture_id = %s AND u.unit = v.unit AND u.state = 'planned'""",
            [list(units), list(partitions), list(offsets), capture_id],
        )


def refuse(connection: Connection, capture_id: str, refusal: Refusal) -> None:
    """Split a unit that is too large in two, or make one that can't be sent dead with its reason."""
    unit = refusal.unit
    with connection.transaction():
        if refusal.halves is None:
            connection.execute(
                """UPDATE rederive.units SET state = 'dead', failure = %s, errors = greatest(rows, 1)
                   WHERE capture_id = %s AND unit = %s AND state = 'planned'""",
                [refusal.reason, capture_id, unit.unit],
            )
            return
        first, second = refusal.halves
        connection.execute(
            """UPDATE rederive.units SET picked = %s, rows = %s WHERE capture_id = %s AND unit = %s""",
            [Jsonb({"ids": first}), len(first), capture_id, unit.unit],
        )
        connection.execute(
            """INSERT INTO rederive.units (capture_id, unit, key_range, picked, rows, lane)
               SELECT %(capture)s, max(unit) + 1, %(range)s, %(picked)s, %(rows)s, %(lane)s
               FROM rederive.units WHERE capture_id = %(capture)s""",
            {
                "capture": capture_id,
                "range": unit.key_range,
                "picked": Jsonb({"ids": second}),
                "rows": len(second),
                "lane": unit.lane,
            },
        )


def set_topic(connection: Connection, capture_id: str, lane: Lane, topic_id: str, kept: Watermarks) -> int:
    """Say which topic the capture's units of a lane stand on; return how many sent units must be sent again.

    `kept` holds, per partition of that topic, the offsets [low, high) that are still there. When the topic was made
    anew, old origins mean other records now: notes of the old topic are dropped, history makes repeats harmless.
    """
    with connection.transaction():
        # In the order in which sinks lock: the capture, its notes, its units.
        row = connection.execute(
            "SELECT topic_ids ->> %s FROM rederive.captures WHERE capture_id = %s FOR NO KEY UPDATE",
            [lane.name, capture_id],
        ).fetchone()
        if row is not None and row[0] not in (None, topic_id):
            connection.execute(
                "DELETE FROM rederive.notes WHERE (capture_id, topic) = (%s, %s)", [capture_id, lane.raw]
            )
            kept = {}
        lost = connection.execute(
            """UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND lane = %s AND state = 'sent'
                 AND NOT EXISTS (SELECT FROM unnest(%s::int4[], %s::int8[], %s::int8[]) AS k(partition, low, high)
                                 WHERE k.partition = units.partition
                                   AND record_offset >= low AND record_offset < high)""",
            [
                capture_id,
                lane.name,
                list(kept),
                [low for low, _ in kept.values()],
                [high for _, high in kept.values()],
            ],
        ).rowcount
        connection.execute(
            "UPDATE rederive.captures SET topic_ids = topic_ids || jsonb_build_object(%s::text, %s::text) "
            "WHERE capture_id = %s",
            [lane.name, topic_id, capture_id],
        )
    return lost


def send_again(connection: Connection, capture_id: str) -> int:
    """Plan again what has been sent and has no outcome; return how many units."""
    return connection.execute(
        "UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND state = 'sent'", [capture_id]
    ).rowcount


def finish(connection: Connection, capture_id: str) -> bool:
    """Complete a running capture of which every unit has an outcome; whether it is complete now.

    Before, what its units made due must have been added, and the domain's steps run.
    """
    connection.execute(
        """UPDATE rederive.captures c SET state = 'complete', finished_at = now()
           WHERE capture_id = %s AND state = 'running' AND NOT EXISTS (
               SELECT FROM rederive.units u
               WHERE u.capture_id = c.capture_id AND u.state NOT IN ('applied', 'dead', 'removed'))""",
        [capture_id],
    )
    row = connection.execute("SELECT state FROM rederive.captures WHERE capture_id = %s", [capture_id]).fetchone()
    return row is not None and row[0] == CaptureState.COMPLETE
