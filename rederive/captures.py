"""What people do with captures: look at them, cancel, take up again, roll back."""

import difflib
import getpass
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from producers import ledger
from producers.source import Source
from rederive.finra import rollback as finra_rollback
from schemas.capture import Capture, CaptureState
from schemas.errors import Failed, UsageError
from schemas.finra import FINRA
from schemas.finra_partition import DOMAIN_NAME
from schemas.registry import DOMAINS
from schemas.table import Domain
from sinks.rollback import Taken, preview, roll_back
from sinks.steps import run_steps

_RUN = "rederive replay "
"""What the name of a run's connection begins with; the capture's id follows."""

_FREE_SECONDS = 5.0

START_ANEW = "start a new replay over the same range"
"""What to do where a capture can't be gone on with."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A capture with its counts, as `captures list` shows it. Times are aware; rows count source rows."""

    capture_id: str
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
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int


def who() -> str:
    """Who runs this, for the record."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


LATEST = "latest"
"""The newest capture; `latest:DOMAIN` is the newest of a domain."""

_NEAR = 3


def find(connection: Connection, capture_id: str) -> Capture:
    """The capture; Failed with near ones when there is none of that id."""
    capture = ledger.find(connection, capture_id)
    if capture is None:
        raise _unknown(connection, capture_id)
    return capture


def named(connection: Connection, word: str) -> str:
    """The id of the run, or of the partition's capture, that a person's word names.

    The word is an id, or `latest`, or `latest:DOMAIN`. Failed with near ones when there is none.
    """
    name, _, domain = word.partition(":")
    if name == LATEST:
        if domain and domain not in DOMAINS:
            raise UsageError(f"there is no domain {domain!r}", why=f"there are {', '.join(DOMAINS)}")
        if newest := listed(connection, limit=1, domain=domain or None):
            return newest[0].capture_id
        raise Failed(f"there is no {word} capture", why=f"no capture{f' of {domain}' if domain else ''} has been made")
    if not _exists(connection, word):
        raise _unknown(connection, word)
    return word


def _exists(connection: Connection, capture_id: str) -> bool:
    if not is_partition(capture_id):
        return ledger.find(connection, capture_id) is not None
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM rederive.units WHERE picked -> 'captures' ? %s)", [capture_id]
    ).fetchone()
    return row is not None and bool(row[0])


def _unknown(connection: Connection, capture_id: str) -> Failed:
    """The message for an id that nothing has, with those that are near it, else the newest."""
    if is_partition(capture_id):
        rows = connection.execute(
            """SELECT DISTINCT one FROM rederive.units, jsonb_array_elements_text(picked -> 'captures') one
               WHERE jsonb_typeof(picked -> 'captures') = 'array'"""
        )
        mend = "`rederive report week` lists the captures of a week"
    else:
        rows = connection.execute("SELECT capture_id FROM rederive.captures ORDER BY number DESC")
        mend = "`rederive captures list` shows all"
    ids = [row[0] for row in rows]
    near = difflib.get_close_matches(capture_id, ids, _NEAR, 0.8)
    why = "none has been made yet"
    if near or ids:
        newest = [one.capture_id for one in listed(connection, limit=_NEAR)]
        why = f"near it are {', '.join(near)}" if near else f"the newest are {', '.join(newest)}"
    return Failed(f"there is no capture {capture_id or repr('')}", why=why, mend=mend)


def listed(
    connection: Connection,
    *,
    limit: int,
    capture_id: str | None = None,
    state: CaptureState | None = None,
    domain: str | None = None,
    since: datetime | None = None,
) -> list[Listed]:
    """The newest captures first, of those that are asked for; `since` is aware, and when they were made."""
    rows = connection.execute(
        """SELECT c.capture_id, c.state, c.mode, c.dry_run, c.created_at, c.finished_at, c.who, c.reason, u.*
           FROM rederive.captures c CROSS JOIN LATERAL (
               SELECT count(*), count(*) FILTER (WHERE state IN ('applied', 'dead', 'removed')),
                      count(*) FILTER (WHERE state = 'dead'), coalesce(sum(rows), 0)::int8,
                      coalesce(sum(updated), 0)::int8, coalesce(sum(unchanged), 0)::int8,
                      coalesce(sum(skipped), 0)::int8, coalesce(sum(errors), 0)::int8
               FROM rederive.units WHERE capture_id = c.capture_id) u
           WHERE (%(id)s::text IS NULL OR c.capture_id = %(id)s) AND (%(state)s::text IS NULL OR c.state = %(state)s)
             AND (%(domain)s::text IS NULL OR c.domain = %(domain)s)
             AND (%(since)s::timestamptz IS NULL OR c.created_at >= %(since)s)
           ORDER BY c.number DESC LIMIT %(limit)s""",
        {"id": capture_id, "state": state, "domain": domain, "since": since, "limit": limit},
    )
    return [Listed(*row) for row in rows]


def unfinished(connection: Connection, domain: str) -> list[str]:
    """Ids of the domain's running captures, newest first."""
    rows = connection.execute(
        "SELECT capture_id FROM rederive.captures WHERE domain = %s AND state = 'running' ORDER BY number DESC",
        [domain],
    )
    return [row[0] for row in rows]


def at_work(connection: Connection, *, anywhere: bool = False) -> dict[str, str]:
    """The captures that processes run now, in this database or with `anywhere` in all of the server.

    By id, each with since when and from where, as the server sees it.
    """
    rows = connection.execute(
        """SELECT substr(application_name, length(%(run)s) + 1),
                  concat_ws(', ', to_char(min(backend_start) AT TIME ZONE 'UTC', '"since "YYYY-MM-DD HH24:MI:SS" UTC"'),
                            'from ' || host(min(client_addr)))
           FROM pg_stat_activity
           WHERE starts_with(application_name, %(run)s) AND (%(anywhere)s OR datname = current_database())
           GROUP BY 1 ORDER BY 1""",
        {"run": _RUN, "anywhere": anywhere},
    )
    return dict(rows.fetchall())


def said_unfinished(connection: Connection, domain: str) -> list[str]:
    """A sentence per running capture of the domain: whether it is at work, or to be gone on with; newest first."""
    working = at_work(connection)
    return [
        f"{capture} is being run by another process ({working[capture]}); watch it with `rederive captures show "
        f"{capture}`"
        if capture in working
        else f"{capture} is unfinished; `rederive captures resume {capture}` goes on with it"
        for capture in unfinished(connection, domain)
    ]


def check_free(connection: Connection, capture_id: str) -> None:
    """Failed when another process runs the capture; one that has just gone is waited for."""
    find(connection, capture_id)
    deadline = time.monotonic() + _FREE_SECONDS
    while (working := at_work(connection).get(capture_id)) is not None:
        if time.monotonic() > deadline:
            raise Failed(
                f"{capture_id} is being run by another process",
                why=working,
                mend=f"watch it with `rederive captures show {capture_id}`",
            )
        time.sleep(0.1)


def shown(connection: Connection, capture_id: str) -> dict[str, Any]:
    """Everything about one capture: what was asked, counts, problems by reason with examples, dead units."""
    capture = find(connection, capture_id)
    (counts,) = listed(connection, limit=1, capture_id=capture_id)
    request = connection.execute(
        "SELECT request, digest FROM rederive.captures WHERE capture_id = %s", [capture_id]
    ).fetchone()
    assert request is not None
    return {
        **asdict(counts),
        "number": capture.number,
        "domain": capture.domain,
        "source": capture.source,
        "derivation_version": capture.derivation_version,
        "columns": capture.columns,
        "request": request[0],
        "digest": request[1],
        "problems": problems(connection, capture_id),
        "dead": [
            {"unit": unit, "range": key_range, "failure": failure}
            for unit, key_range, failure in connection.execute(
                """SELECT unit, key_range, failure FROM rederive.units
                   WHERE capture_id = %s AND state = 'dead' ORDER BY unit LIMIT 20""",
                [capture_id],
            )
        ],
    }


# What differs between records that have one cause: numbers, and what is quoted.
_CAUSE = r"""regexp_replace({}, '\d+(\.\d+)?|''[^'']*''|"[^"]*"', '#', 'g')"""


def problems(connection: Connection, capture_id: str) -> list[dict[str, Any]]:
    """Skips and errors by reason and cause, each with its count, its first five rows and the message of the first."""
    rows = connection.execute(
        f"""SELECT reason, count(*), (array_agg(key ORDER BY unit, ordinal))[1:5],
                   (array_agg(message ORDER BY unit, ordinal))[1]
            FROM rederive.problems WHERE capture_id = %s
            GROUP BY reason, {_CAUSE.format("message")} ORDER BY count(*) DESC, reason, 4""",
        [capture_id],
    )
    return [{"reason": reason, "count": count, "keys": keys, "message": text} for reason, count, keys, text in rows]


def dead_units(connection: Connection, capture_id: str) -> list[tuple[int, int, str, str]]:
    """Dead units by cause: (units, rows, the first one's range, its reason)."""
    rows = connection.execute(
        f"""SELECT count(*), sum(errors)::int8, (array_agg(key_range ORDER BY unit))[1],
                   (array_agg(coalesce(failure, 'unknown') ORDER BY unit))[1]
            FROM rederive.units WHERE capture_id = %s AND state = 'dead'
            GROUP BY {_CAUSE.format("failure")} ORDER BY count(*) DESC, 3""",
        [capture_id],
    )
    return [(units, errors, first, reason) for units, errors, first, reason in rows]


def said_key(value: object) -> str:
    """A row's key as a person reads it: its parts, comma-separated."""
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)


def cancel(connection: Connection, capture_id: str) -> int:
    """End a running capture: what is merged stays, the rest is not done. Return the units given up."""
    find(connection, capture_id)
    with connection.transaction():
        changed = connection.execute(
            "UPDATE rederive.captures SET state = 'cancelled', finished_at = now() "
            "WHERE capture_id = %s AND state = 'running'",
            [capture_id],
        ).rowcount
        if not changed:
            raise Failed(f"{capture_id} is not running", mend=f"see `rederive captures show {capture_id}`")
        return connection.execute(
            "UPDATE rederive.units SET state = 'cancelled' WHERE capture_id = %s AND state IN ('planned', 'sent')",
            [capture_id],
        ).rowcount


def reopen(connection: Connection, capture_id: str, *, dead: Source | None = None) -> Capture:
    """Make a capture runnable again: cancelled units planned, and with `dead`, its source, the dead ones too.

    What the source plans anew of them is frozen with it. Failed when the capture has been rolled back.
    """
    capture = find(connection, capture_id)
    states = ["cancelled", "dead"] if dead else ["cancelled"]
    with connection.transaction():
        ledger.hold(connection, capture.domain)
        changed = connection.execute(
            """UPDATE rederive.captures SET state = 'running', finished_at = NULL
               WHERE capture_id = %(id)s AND state NOT IN ('rolling-back', 'rolled-back')
                 AND (state = 'cancelled' OR EXISTS (SELECT FROM rederive.units
                      WHERE capture_id = %(id)s AND state = ANY(%(states)s || ARRAY['planned', 'sent'])))""",
            {"id": capture_id, "states": states},
        ).rowcount
        if changed and dead:
            ledger.replan(connection, capture_id, dead.planned_again(connection, capture))
        if changed:
            connection.execute(
                """UPDATE rederive.units SET state = 'planned', failure = NULL, errors = 0
                   WHERE capture_id = %s AND state = ANY(%s)""",
                [capture_id, states],
            )
    capture = find(connection, capture_id)
    if capture.state in (CaptureState.ROLLING_BACK, CaptureState.ROLLED_BACK):
        raise Failed(f"{capture_id} is {capture.state}", mend=START_ANEW)
    return capture


def nothing_to_take_back(connection: Connection, capture_id: str) -> str:
    """Why a rollback of this run's or partition's capture does nothing; empty when it may do something.

    Failed when there is no such capture.
    """
    if is_partition(capture_id):
        gone = finra_rollback.is_rolled_back(connection, capture_id)
    else:
        capture = find(connection, capture_id)
        if capture.dry_run:
            return f"{capture_id} is a dry run: it has written no row, there is nothing to take back"
        gone = capture.state is CaptureState.ROLLED_BACK
    return f"{capture_id} is rolled back already, there is nothing more to take back" if gone else ""


def rollback_preview(connection: Connection, capture_id: str) -> dict[str, dict[str, int]]:
    """Per table what a rollback would do; reads only. Takes the id of a run, or of a partition's capture."""
    domain = _domain_of(connection, capture_id)
    if domain.writes:
        return finra_rollback.expected(connection, capture_id)
    return {table.name: preview(connection, table, capture_id) for table in domain.tables}


def rollback(connection: Connection, capture_id: str) -> Iterator[tuple[str, Taken]]:
    """Take the capture back, batch by batch; yields (table, what was done). Stopped midway, the same words go on.

    In the end the domain's steps run again: what they derived from whole tables must not outlive the rows.
    """
    domain = _domain_of(connection, capture_id)
    if domain.writes:
        yield from finra_rollback.roll_back(connection, capture_id).items()
        return
    # The sinks hold the capture's row while they write: once this is committed, nothing of it is written any more.
    connection.execute(
        "UPDATE rederive.captures SET state = 'rolling-back' WHERE capture_id = %s AND state <> 'rolled-back'",
        [capture_id],
    )
    # Other way round than they were written, for foreign keys between them.
    for table in reversed(domain.tables):
        for taken in roll_back(connection, table, capture_id):
            yield table.name, taken
    run_steps(connection, domain)
    connection.execute(
        "UPDATE rederive.captures SET state = 'rolled-back', finished_at = coalesce(finished_at, now()) "
        "WHERE capture_id = %s AND state = 'rolling-back'",
        [capture_id],
    )


def _domain_of(connection: Connection, capture_id: str) -> Domain:
    """The domain of a run's id, or of a partition capture's."""
    return FINRA if is_partition(capture_id) else DOMAINS[find(connection, capture_id).domain]


def is_partition(capture_id: str) -> bool:
    """Whether the id is that of a partition's capture, not of a run."""
    return capture_id.startswith(f"{DOMAIN_NAME}:")
