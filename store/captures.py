"""The table of captures: every run, minted once, and where it stands."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from psycopg import Connection
from psycopg.types.json import Jsonb

from schemas.capture import Capture, CaptureState
from schemas.lane import Lane, LaneName
from schemas.live import LIVE
from schemas.plan import PlanHead, PlannedUnit
from schemas.table import Mode
from store import origins, units
from store.rows import row, rows, value, values

UNFINISHED = (CaptureState.RUNNING, CaptureState.PROMOTING, CaptureState.ROLLING_BACK)
"""States in which there is something left to do."""

_COLUMNS = """capture_id, number, domain, source, mode, dry_run, derivation_version, columns, state, topic_ids, request,
    becomes, clear, promoted_at"""
# Of what was taken back as a whole, the counts say what it had done; else they are of what is there.
_COUNTS = """(SELECT count(*) AS units, count(*) FILTER (WHERE state IN ('applied', 'dead', 'removed')) AS units_done,
        count(*) FILTER (WHERE state = 'dead') AS units_dead,
        count(*) FILTER (WHERE state = 'removed') AS units_removed,
        coalesce(sum(rows) FILTER (WHERE there), 0)::int8 AS rows,
        coalesce(sum(updated) FILTER (WHERE there), 0)::int8 AS updated,
        coalesce(sum(unchanged) FILTER (WHERE there), 0)::int8 AS unchanged,
        coalesce(sum(skipped) FILTER (WHERE there), 0)::int8 AS skipped,
        coalesce(sum(errors) FILTER (WHERE there), 0)::int8 AS errors
    FROM rederive.units n, LATERAL (
        SELECT n.state <> 'removed' OR c.state IN ('rolling-back', 'rolled-back') AS there) t
    WHERE n.capture_id = c.capture_id)"""


class Draft(Protocol):
    """A plan on its way into a capture: iterate over its pages, then take the final `head` and the `digest`."""

    head: PlanHead

    @property
    def digest(self) -> str:
        """The digest of what has passed."""

    def __iter__(self) -> Iterator[Sequence[PlannedUnit[Any]]]: ...


@dataclass(frozen=True, slots=True)
class Listed:
    """A capture with its counts. Times are aware; rows count source rows.

    Units that were taken back count as done and, unless the whole capture was, count no rows.
    """

    capture_id: str
    domain: str
    state: str
    mode: str
    dry_run: bool
    created_at: datetime
    finished_at: datetime | None
    who: str
    reason: str
    units: int
    units_done: int
    units_dead: int
    units_removed: int
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int


def hold(connection: Connection, domain: str, *, alone: bool = False) -> None:
    """Until the transaction ends, what units of the domain are planned on isn't taken back.

    Whoever plans units holds it, from before it looks at what is stored until its units are there. A rollback that
    takes back what was derived, too, holds it `alone`: of what it has found out nothing changes until it is done.
    """
    shared = "" if alone else "_shared"
    connection.execute(f"SELECT pg_advisory_xact_lock{shared}(hashtext('rederive.planning'), hashtext(%s))", [domain])


def mint(
    connection: Connection,
    draft: Draft,
    *,
    who: str,
    reason: str,
    dry_run: bool,
    becomes: Mode = Mode.SUPERSEDE,
    clear: Sequence[str] = (),
    ready: Callable[[Sequence[LaneName]], object] = lambda _: None,
) -> tuple[Capture, PlanHead]:
    """Make a capture and freeze its plan, page by page: all of it is there, or nothing.

    A shadow's mode will be `becomes`. In the columns `clear` what is computed as NULL counts as said.

    `ready` is told the lanes of its units at the end; when it raises, there is no capture.
    """
    head = draft.head
    with connection.transaction():
        hold(connection, head.domain)
        capture = row(
            connection,
            _capture,
            f"""WITH minted AS (SELECT nextval('rederive.capture_number') AS number)
                INSERT INTO rederive.captures (capture_id, number, domain, source, mode, dry_run, derivation_version,
                    columns, request, digest, reason, who, becomes, clear, state)
                SELECT %(domain)s || '-' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') || '-' || number, number,
                       %(domain)s, %(source)s, %(mode)s, %(dry_run)s, %(version)s, %(columns)s, %(request)s,
                       '', %(reason)s, %(who)s, %(becomes)s, %(clear)s, 'running' FROM minted
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
                "becomes": becomes.value if head.mode is Mode.SHADOW else None,
                "clear": list(clear) or None,
            },
        )
        assert capture is not None
        for page in draft:
            units.add(connection, capture.capture_id, page)
        connection.execute(
            "UPDATE rederive.captures SET digest = %s WHERE capture_id = %s", [draft.digest, capture.capture_id]
        )
        ready(list(units.lanes(connection, capture.capture_id)))
    return capture, draft.head


def _capture(
    *,
    mode: str,
    state: str,
    columns: Sequence[str],
    becomes: str | None,
    clear: Sequence[str] | None,
    **others: Any,  # noqa: ANN401 - the table's columns
) -> Capture:
    return Capture(
        mode=Mode(mode),
        state=CaptureState(state),
        columns=tuple(columns),
        becomes=Mode(becomes) if becomes else None,
        clear=tuple(clear or ()),
        **others,
    )


def are_there(connection: Connection) -> bool:
    """Whether a migration has made the table."""
    return value(connection, "SELECT to_regclass('rederive.captures')") is not None


def find(connection: Connection, capture_id: str) -> Capture | None:
    """The capture of that id, or None."""
    return row(connection, _capture, f"SELECT {_COLUMNS} FROM rederive.captures WHERE capture_id = %s", [capture_id])


def held(connection: Connection, capture_id: str) -> Capture | None:
    """The capture, which keeps its state until the transaction ends."""
    return row(
        connection, _capture, f"SELECT {_COLUMNS} FROM rederive.captures WHERE capture_id = %s FOR SHARE", [capture_id]
    )


def holds_running(connection: Connection, capture: Capture) -> bool:
    """Whether the capture is running; if so it stays that, and what its next units read stays, for the transaction."""
    hold(connection, capture.domain)
    found = held(connection, capture.capture_id)
    return found is not None and found.state is CaptureState.RUNNING


def listed(
    connection: Connection,
    *,
    limit: int,
    capture_id: str | None = None,
    states: Sequence[CaptureState] = (),
    domain: str | None = None,
    since: datetime | None = None,
    dry_run: bool | None = None,
    before: str | None = None,
) -> list[Listed]:
    """The newest captures first, of those that are asked for; `since` is aware, and when they were made.

    With `before`, a capture's id, only those that were made before it.
    """
    return rows(
        connection,
        Listed,
        f"""SELECT c.capture_id, c.domain, c.state, c.mode, c.dry_run, c.created_at, c.finished_at, c.who, c.reason, u.*
            FROM rederive.captures c CROSS JOIN LATERAL {_COUNTS} u
            WHERE (%(id)s::text IS NULL OR c.capture_id = %(id)s)
              AND (%(states)s::text[] IS NULL OR c.state = ANY(%(states)s))
              AND (%(domain)s::text IS NULL OR c.domain = %(domain)s)
              AND (%(since)s::timestamptz IS NULL OR c.created_at >= %(since)s)
              AND (%(dry_run)s::bool IS NULL OR c.dry_run = %(dry_run)s)
              AND (%(before)s::text IS NULL
                   OR c.number < (SELECT number FROM rederive.captures WHERE capture_id = %(before)s))
            ORDER BY c.number DESC LIMIT %(limit)s""",
        {
            "id": capture_id,
            "states": list(states) or None,
            "domain": domain,
            "since": since,
            "dry_run": dry_run,
            "before": before,
            "limit": limit,
        },
    )


def is_newest(connection: Connection, number: int) -> bool:
    """Whether no capture has a higher number."""
    return not value(connection, "SELECT EXISTS (SELECT FROM rederive.captures WHERE number > %s)", [number])


def ids(connection: Connection) -> list[str]:
    """The ids of all captures, newest first."""
    return values(connection, "SELECT capture_id FROM rederive.captures ORDER BY number DESC")


def note_memory(connection: Connection, capture_id: str, memory: Mapping[str, Mapping[str, int]]) -> None:
    """Keep what the run's processes took of memory, in bytes by role."""
    connection.execute("UPDATE rederive.captures SET memory = %s WHERE capture_id = %s", [Jsonb(memory), capture_id])


def memory(connection: Connection, capture_id: str) -> dict[str, dict[str, int]] | None:
    """What was kept by `note_memory`."""
    found: dict[str, dict[str, int]] | None = value(
        connection, "SELECT memory FROM rederive.captures WHERE capture_id = %s", [capture_id]
    )
    return found


def lasted(connection: Connection, capture_id: str) -> float:
    """Seconds since the capture was made, until it was finished."""
    return float(
        value(
            connection,
            """SELECT extract(epoch FROM coalesce(finished_at, now()) - created_at)
               FROM rederive.captures WHERE capture_id = %s""",
            [capture_id],
        )
    )


@dataclass(frozen=True, slots=True)
class Rates:
    """What complete captures have done a second, from their being made to their end: the median of each."""

    captures: int
    rows: float
    units: float


def rates(connection: Connection, domain: str, source: str | None, last: int = 10) -> Rates | None:
    """Of the last captures of a domain's source, None for any, that computed and wrote; None when there are none.

    Much smaller ones than the largest are left out: what a run takes to begin and end says nothing of its rate.
    """
    found = row(
        connection,
        Rates,
        f"""WITH last AS (
                SELECT u.rows, u.units,
                       greatest(extract(epoch FROM c.finished_at - c.created_at), 0.001)::float8 AS took
                FROM rederive.captures c CROSS JOIN LATERAL {_COUNTS} u
                WHERE (c.domain, c.state) = (%s, 'complete') AND coalesce(c.source = %s, c.source <> %s)
                  AND NOT c.dry_run AND c.finished_at IS NOT NULL AND u.units > 0
                ORDER BY c.number DESC LIMIT %s)
            SELECT count(*) AS captures, coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY rows / took), 0) AS rows,
                   coalesce(percentile_cont(0.5) WITHIN GROUP (ORDER BY units / took), 0) AS units
            FROM last WHERE units >= (SELECT max(units) FROM last) / 10.0""",
        [domain, source, LIVE, last],
    )
    return found if found is not None and found.captures else None


def unfinished(connection: Connection, domain: str) -> dict[str, str]:
    """The domain's captures that are running or rolled back now, newest first, each with its state; live ones aside."""
    found = connection.execute(
        """SELECT capture_id, state FROM rederive.captures
           WHERE domain = %s AND state = ANY(%s) AND NOT (source = %s AND state = 'running') ORDER BY number DESC""",
        [domain, list(UNFINISHED), LIVE],
    )
    return dict(found.fetchall())


def running(connection: Connection, domain: str, source: str) -> list[Capture]:
    """The domain's running captures of a source, but for dry runs, oldest first."""
    return rows(
        connection,
        _capture,
        f"""SELECT {_COLUMNS} FROM rederive.captures
            WHERE (domain, source, state) = (%s, %s, 'running') AND NOT dry_run ORDER BY number""",
        [domain, source],
    )


def most_requested(
    connection: Connection, domain: str, source: str, field: str, since: datetime | None = None
) -> int | None:
    """The greatest number that the requests of a domain's captures of a source say in a field; None for none.

    With `since` of those only that were made from that moment on.
    """
    found: int | None = value(
        connection,
        """SELECT max((request ->> %s)::int8) FROM rederive.captures
           WHERE (domain, source) = (%s, %s) AND NOT dry_run
             AND created_at >= coalesce(%s, '-infinity'::timestamptz)""",
        [field, domain, source, since],
    )
    return found


def digest(connection: Connection, capture_id: str) -> str:
    """The digest of the capture's plan."""
    return str(value(connection, "SELECT digest FROM rederive.captures WHERE capture_id = %s", [capture_id]))


def set_state(connection: Connection, capture_id: str, state: CaptureState, *before: CaptureState) -> bool:
    """Move a capture that is in one of the states `before` to another one; whether it was."""
    return (
        connection.execute(
            """UPDATE rederive.captures SET state = %(state)s,
                   finished_at = CASE %(state)s WHEN 'running' THEN NULL
                                             WHEN 'rolling-back' THEN finished_at
                                             ELSE coalesce(finished_at, now()) END
               WHERE capture_id = %(id)s AND state = ANY(%(before)s)""",
            {"state": state, "id": capture_id, "before": list(before)},
        ).rowcount
        > 0
    )


def begin_promotion(connection: Connection, capture_id: str, clear: Sequence[str]) -> Capture | None:
    """Let a complete shadow be on its way: as what it becomes, newer than all captures that there are; None for others.

    Its rows follow. In the columns `clear` a NULL that it computed counts as said.
    """
    return row(
        connection,
        _capture,
        f"""UPDATE rederive.captures SET state = 'promoting', mode = becomes, promoted_at = now(), clear = %s,
                number = nextval('rederive.capture_number')
            WHERE capture_id = %s AND mode = 'shadow' AND state = 'complete' AND NOT dry_run RETURNING {_COLUMNS}""",
        [list(clear) or None, capture_id],
    )


def cancel(connection: Connection, capture_id: str) -> int | None:
    """End a running capture; the units given up, None when it isn't running."""
    with connection.transaction():
        if not set_state(connection, capture_id, CaptureState.CANCELLED, CaptureState.RUNNING):
            return None
        return units.cancel(connection, capture_id)


def reopen(
    connection: Connection,
    capture: Capture,
    *,
    dead: bool,
    again: Callable[[], Iterable[PlannedUnit[Any]]] | None = None,
) -> None:
    """Make a capture runnable again, unless it is being rolled back.

    Cancelled units are planned again, and with `dead` the dead ones too: those that `again` gives as it gives them.
    """
    open_states = ["cancelled", "planned", "sent", *(["dead"] if dead else [])]
    with connection.transaction():
        hold(connection, capture.domain)
        reopened = connection.execute(
            """UPDATE rederive.captures SET state = 'running', finished_at = NULL
               WHERE capture_id = %(id)s AND state NOT IN ('promoting', 'rolling-back', 'rolled-back')
                 AND (state = 'cancelled' OR EXISTS (SELECT FROM rederive.units
                      WHERE capture_id = %(id)s AND state = ANY(%(states)s)))""",
            {"id": capture.capture_id, "states": open_states},
        ).rowcount
        if reopened and again is not None:
            units.replan(connection, capture.capture_id, again())
        if reopened:
            units.plan_again(connection, capture.capture_id, dead=dead)


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
    found = find(connection, capture_id)
    return found is not None and found.state is CaptureState.COMPLETE


def set_topic(
    connection: Connection, capture_id: str, lane: Lane, topic_id: str, kept: Mapping[int, tuple[int, int]]
) -> int:
    """Say which topic the capture's units of a lane stand on; return how many sent units must be sent again.

    `kept` holds, per partition of that topic, the offsets [low, high) that are still there. When the topic was made
    anew, old origins mean other records now: those of the old topic are dropped, history makes repeats harmless.
    """
    with connection.transaction():
        # In the order in which sinks lock: the capture, its origins, its units.
        known = value(
            connection,
            "SELECT topic_ids ->> %s FROM rederive.captures WHERE capture_id = %s FOR NO KEY UPDATE",
            [lane.name, capture_id],
        )
        if known not in (None, topic_id):
            origins.forget(connection, capture_id, lane.raw)
            kept = {}
        lost = units.plan_lost(connection, capture_id, lane.name, kept)
        connection.execute(
            "UPDATE rederive.captures SET topic_ids = topic_ids || jsonb_build_object(%s::text, %s::text) "
            "WHERE capture_id = %s",
            [lane.name, topic_id, capture_id],
        )
    return lost
