"""Take back what a run, or one partition's capture, has written, and what was derived from it: for any domain.

What units have inserted goes in one transaction, which also says so; what a run has merged goes in batches behind it.
Stopped between any two of them, the same call goes on.
"""

from collections.abc import Iterator

from psycopg import Connection

from schemas.capture import CaptureState
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.table import Table
from sinks import planner
from sinks.policies import policy_of
from sinks.policy import Scope, Taken
from sinks.steps import run_steps
from store import captures, lineage


def scope(connection: Connection, domain: Domain, capture_id: str, *, of_run: bool) -> Scope:
    """What a rollback takes back. Failed when another run has units among it and isn't done, or is being promoted."""
    run = capture_id if of_run else None
    found = lineage.written(connection, domain, **{"run" if of_run else "capture": capture_id})
    for other in sorted({one.run for one in found} - {capture_id}):
        capture = captures.find(connection, other)
        if capture is not None and capture.state is CaptureState.PROMOTING:
            raise Failed(
                f"{other} writes or reads what {capture_id} holds, and is being promoted",
                mend=f"`rederive captures promote {other}` or `rederive captures rollback {other}` first",
            )
        if capture is not None and capture.state is CaptureState.RUNNING:
            raise Failed(
                f"{other} writes or reads what {capture_id} holds, and is not complete",
                mend=f"`rederive captures resume {other}` or `rederive captures cancel {other}` first",
            )
    return Scope(domain, frozenset(found), run)


def preview(connection: Connection, domain: Domain, capture_id: str, *, of_run: bool) -> dict[str, Taken]:
    """What a rollback would do, by table that it may change; reads only."""
    planner.as_shipped(connection)
    going = scope(connection, domain, capture_id, of_run=of_run)
    return {table.name: policy_of(table).preview(connection, table, going) for table in _concerned(domain, going)}


def remaining(connection: Connection, domain: Domain, capture_id: str) -> dict[str, int]:
    """By table, the entries that a rollback of a run which has begun has still to take out; reads only."""
    left = {table.name: policy_of(table).remaining(connection, table, capture_id) for table in domain.tables}
    return {name: count for name, count in left.items() if count}


def roll_back(connection: Connection, domain: Domain, capture_id: str, *, of_run: bool) -> Iterator[tuple[str, Taken]]:
    """Take it back; yields (table, what was done) as it goes.

    Sinks, and the run of the capture, wait at its row meanwhile and find it going; nothing is planned on what goes. In
    the end the domain's steps run again: what they derived from whole tables must not outlive the rows.
    """
    with connection.transaction():
        captures.hold(connection, domain.name, alone=True)
        if of_run:
            before = [state for state in CaptureState if state is not CaptureState.ROLLED_BACK]
            captures.set_state(connection, capture_id, CaptureState.ROLLING_BACK, *before)
        going = scope(connection, domain, capture_id, of_run=of_run)
        # Other way round than they were written, for foreign keys between them.
        tables = tuple(reversed(_concerned(domain, going)))
        done = {table.name: policy_of(table).take_out_units(connection, table, going) for table in tables}
        lineage.remove(connection, going.units)
        if not of_run:
            # Nothing would say afterwards that they are still to be run.
            run_steps(connection, domain)
    yield from ((name, taken) for name, taken in done.items() if taken != Taken())
    if of_run:
        for table in tables:
            for taken in policy_of(table).take_out_run(connection, table, capture_id):
                yield table.name, taken
        run_steps(connection, domain)
        captures.set_state(connection, capture_id, CaptureState.ROLLED_BACK, CaptureState.ROLLING_BACK)


def _concerned(domain: Domain, going: Scope) -> list[Table]:
    return [table for table in domain.tables if policy_of(table).concerns(table, going)]
