"""What people do with captures: look at them, cancel, take up again, roll back."""

import difflib
import getpass
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any

from psycopg import Connection

from producers.source import Source
from rederive import domains
from schemas.capture import Capture, CaptureState
from schemas.domain import Domain
from schemas.errors import Failed, UsageError
from schemas.live import LIVE
from sinks import rollback as rollback_of
from sinks.policies import prepare
from sinks.policy import Taken
from store import captures as stored
from store import lineage, problems, sessions, units

_RUN = "rederive replay "
"""What the name of a run's connection begins with; the capture's id follows."""

_UNTIL = " until "
"""What stands behind the id while a run pauses; when it goes on follows, in seconds."""

_LONGEST_NAME = 63

_FREE_SECONDS = 5.0


def way_on(capture_id: str, state: str) -> str:
    """What to do with a capture that isn't running, where its run was to go on."""
    if state == CaptureState.CANCELLED:
        return f"`rederive captures resume {capture_id}` goes on with it"
    if state == CaptureState.ROLLING_BACK:
        return f"finish it: `{rollback_again(capture_id)}`"
    if state == CaptureState.PROMOTING:
        return f"finish it: `rederive captures promote {capture_id} --yes`"
    return "start a new replay over the same range"


def rollback_again(capture_id: str) -> str:
    """The command that goes on with a rollback."""
    return f"rederive captures rollback {capture_id} --yes"


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
    capture = stored.find(connection, capture_id)
    if capture is None:
        raise _unknown(connection, capture_id)
    return capture


def latest_of(word: str) -> str | None:
    """The domain of `latest:DOMAIN`, empty for `latest`, None for any other word. UsageError when DOMAIN is missing."""
    name, colon, domain = word.partition(":")
    if name != LATEST:
        return None
    if colon and not domain:
        known = ", ".join(domains.names())
        raise UsageError(f"{word} names no domain", why=f"known are {known}", mend="name one, or leave the : out")
    return domain


def named(connection: Connection, word: str) -> str:
    """The id of the run, or of the partition's capture, that a person's word names.

    The word is an id, or `latest`, or `latest:DOMAIN`. Failed with near ones when there is none.
    """
    domain = latest_of(word)
    if domain is not None:
        if newest := stored.listed(connection, limit=1, domain=domains.known(domain) if domain else None):
            return newest[0].capture_id
        raise Failed(f"there is no {word} capture", why=f"no capture{f' of {domain}' if domain else ''} has been made")
    if stored.find(connection, word) is None and lineage.run_of(connection, word) is None:
        raise _unknown(connection, word)
    return word


def _unknown(connection: Connection, capture_id: str) -> Failed:
    """The message for an id that nothing has, with those that are near it, else the newest."""
    # A run's id holds no colon, the id of a partition's capture does.
    ids = lineage.captures(connection) if ":" in capture_id else stored.ids(connection)
    near = difflib.get_close_matches(capture_id, ids, _NEAR, 0.8)
    why = "none has been made yet"
    if near or ids:
        newest = [one.capture_id for one in stored.listed(connection, limit=_NEAR)]
        why = f"near it are {', '.join(near)}" if near else f"the newest are {', '.join(newest)}"
    return Failed(f"there is no capture {capture_id or repr('')}", why=why, mend="`rederive captures list` shows all")


def run_name(capture_id: str, until: datetime | None = None) -> str:
    """The name of the connection that runs a capture, which `at_work` reads; `until` says that it pauses."""
    name = f"{_RUN}{capture_id}"
    pausing = name if until is None else f"{name}{_UNTIL}{until.timestamp():.0f}"
    # The server would cut it, and somebody else's time be read.
    return pausing if len(pausing.encode()) <= _LONGEST_NAME else name


def at_work(connection: Connection, *, anywhere: bool = False) -> dict[str, str]:
    """The captures that processes run now, in this database or with `anywhere` in all of the server.

    By id, each with since when and from where, as the server sees it.
    """
    return sessions.running_by(connection, _RUN, _UNTIL, anywhere=anywhere)


def said(connection: Connection, captures: Mapping[str, str]) -> list[str]:
    """A sentence per capture that is running or being rolled back, of these and their states: how it goes on."""
    working = at_work(connection)
    return [
        _said(connection, capture, state, working.get(capture))
        for capture, state in captures.items()
        if state in stored.UNFINISHED
    ]


def _said(connection: Connection, capture: str, state: str, run: str | None) -> str:
    if state == CaptureState.ROLLING_BACK:
        if sessions.is_rolled_back_now(connection, capture):
            return f"{capture} is being rolled back by another process"
        return f"{capture} is half rolled back; `{rollback_again(capture)}` goes on with it"
    if state == CaptureState.PROMOTING:
        if sessions.is_rolled_back_now(connection, capture):
            return f"{capture} is being promoted by another process"
        return f"{capture} is half promoted; `rederive captures promote {capture} --yes` goes on with it"
    found = stored.find(connection, capture)
    if found is not None and found.source == LIVE:
        return f"{capture} takes what arrives; `rederive live {found.domain}` keeps it going"
    if run is not None:
        return f"{capture} is being run by another process ({run}); watch it with `rederive captures show {capture}`"
    return f"{capture} is unfinished; `rederive captures resume {capture}` goes on with it"


def check_runnable(connection: Connection, capture_id: str) -> None:
    """Failed when its domain isn't installed or another process runs it; one that has just gone is waited for."""
    domains.of_capture(find(connection, capture_id).domain)
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
    """Everything about one capture: what was asked, counts, problems by reason with examples, dead units.

    `to_take_out` are the entries by table that a rollback on its way has still to take out.
    """
    capture = find(connection, capture_id)
    half = capture.state is CaptureState.ROLLING_BACK
    (counts,) = stored.listed(connection, limit=1, capture_id=capture_id)
    return {
        **asdict(counts),
        "number": capture.number,
        "source": capture.source,
        "derivation_version": capture.derivation_version,
        "promoted_at": capture.promoted_at,
        "clear": list(capture.clear),
        "columns": list(capture.columns),
        "request": capture.request,
        "digest": stored.digest(connection, capture_id),
        "to_take_out": rollback_of.remaining(connection, domains.of_capture(capture.domain), capture_id)
        if half
        else {},
        "way_on": said(connection, {capture_id: capture.state}),
        "problems": [asdict(reason) for reason in problems.by_reason(connection, capture_id)],
        "dead": [asdict(unit) for unit in units.dead(connection, capture_id, limit=20)],
    }


def said_key(value: object) -> str:
    """A row's key as a person reads it: its parts, comma-separated."""
    return ",".join(str(part) for part in value) if isinstance(value, list) else str(value)


def cancel(connection: Connection, capture_id: str) -> int:
    """End a running capture: what is merged stays, the rest is not done. Return the units given up."""
    check_planned(find(connection, capture_id), "cancelled")
    given_up = stored.cancel(connection, capture_id)
    if given_up is None:
        raise Failed(f"{capture_id} is not running", mend=f"see `rederive captures show {capture_id}`")
    return given_up


def reopen(connection: Connection, capture_id: str, *, dead: Source[Any] | None = None) -> Capture:
    """Make a capture runnable again: cancelled units planned, and with `dead`, its source, the dead ones too.

    What the source plans anew of them is frozen with it. Failed when the capture has been rolled back.
    """
    capture = find(connection, capture_id)
    check_planned(capture, "resumed" if dead is None else "retried")
    stored.reopen(
        connection,
        capture,
        dead=dead is not None,
        again=(lambda: dead.planned_again(connection, capture)) if dead else None,
    )
    capture = find(connection, capture_id)
    if capture.state in (CaptureState.PROMOTING, CaptureState.ROLLING_BACK, CaptureState.ROLLED_BACK):
        raise Failed(f"{capture_id} is {capture.state}", mend=way_on(capture_id, capture.state))
    return capture


def check_planned(capture: Capture, what: str) -> None:
    """Failed for a live capture: it has no plan that could be ended, or gone on with."""
    if capture.source == LIVE:
        raise Failed(
            f"{capture.capture_id} can't be {what}",
            why="it is live: it takes what arrives on its day, without a plan",
            mend=f"`rederive live {capture.domain}` goes on with it; what was skipped or is dead is tried again by "
            f"`rederive replay-topic {capture.domain}`",
        )


def nothing_to_take_back(connection: Connection, capture_id: str) -> str:
    """Why a rollback of this run's or partition's capture does nothing; empty when it may do something.

    Failed when there is no such capture.
    """
    if is_partition(connection, capture_id):
        gone = not lineage.writers(connection, capture_id)
    else:
        capture = find(connection, capture_id)
        if capture.dry_run:
            return f"{capture_id} is a dry run: it has written no row, there is nothing to take back"
        gone = capture.state is CaptureState.ROLLED_BACK
    return f"{capture_id} is rolled back already, there is nothing more to take back" if gone else ""


def rollback_preview(connection: Connection, capture_id: str) -> dict[str, dict[str, int]]:
    """Per table what a rollback would do; reads only. Takes the id of a run, or of a partition's capture."""
    domain, of_run = _domain_of(connection, capture_id)
    taken = rollback_of.preview(connection, domain, capture_id, of_run=of_run)
    return {table: one.counts() for table, one in taken.items()}


def rollback(connection: Connection, capture_id: str) -> Iterator[tuple[str, Taken]]:
    """Take the capture back; yields (table, what was done) as it goes. Stopped midway, the same words go on.

    Another session's rollback of it is waited for, and may leave nothing to do.
    """
    domain, of_run = _domain_of(connection, capture_id)
    prepare(connection, domain)
    with rolling_back(connection, capture_id) as nothing:
        if not nothing:
            yield from rollback_of.roll_back(connection, domain, capture_id, of_run=of_run)


@contextmanager
def rolling_back(connection: Connection, capture_id: str) -> Iterator[str]:
    """Wait until nobody else rolls the capture back, and keep it so; gives what `nothing_to_take_back` says then."""
    with sessions.rollback_alone(connection, capture_id):
        yield nothing_to_take_back(connection, capture_id)


def _domain_of(connection: Connection, capture_id: str) -> tuple[Domain, bool]:
    """The domain of a capture, and whether the id is a run's or that of a partition's capture, which a run wrote."""
    run = None if stored.find(connection, capture_id) else lineage.run_of(connection, capture_id)
    return domains.of_capture(find(connection, run or capture_id).domain), run is None


def is_partition(connection: Connection, capture_id: str) -> bool:
    """Whether the id is that of a partition's capture, not of a run."""
    return stored.find(connection, capture_id) is None and lineage.run_of(connection, capture_id) is not None
