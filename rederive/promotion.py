"""Promotion: what a capture has kept in shadow is served, unless a gate refuses what that would change."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from psycopg import Connection

from rederive import captures as ledger
from rederive import domains
from rederive.database import session_beside
from schemas.capture import Capture, CaptureState
from schemas.errors import Failed
from schemas.table import Mode
from schemas.words import counted, verb
from sinks.policies import policy_of, prepare
from sinks.policy import NEWEST, Promoted, Writer
from sinks.steps import run_steps
from store import captures as stored
from store import sessions

CREW = 2
"""Batches of a promotion that are under way at a time: a server that is idle otherwise has a processor for each."""


@dataclass(frozen=True, slots=True)
class Gates:
    """What a promotion may change: at most a share of the rows that it has, and columns."""

    max_changed: float | None = None
    only_columns: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.max_changed is not None or bool(self.only_columns)

    def refusals(self, expected: Mapping[str, Promoted]) -> list[str]:
        """Which of them don't let a promotion pass that would do this, by table; each with its numbers."""
        whole = sum(expected.values(), Promoted())
        found = []
        if self.max_changed is not None and whole.changed > self.max_changed * whole.rows:
            found.append(
                f"--max-changed {100 * self.max_changed:g}%: {whole.changed:,} of {counted(whole.rows, 'row')} would "
                f"change, {100 * whole.changed / whole.rows:.2f}%"
            )
        if self.only_columns:
            others = {name: count for name, count in whole.columns.items() if name not in self.only_columns}
            if others:
                said = ", ".join(f"{name} in {counted(count, 'row')}" for name, count in others.items())
                found.append(f"--only-columns {','.join(self.only_columns)}: {said} would change, too")
        return found


def nothing_to_promote(connection: Connection, capture_id: str) -> str:
    """Why a promotion of the capture does nothing, because it is done; empty when there is something to do.

    Failed when it isn't a shadow, or isn't complete.
    """
    capture = ledger.find(connection, capture_id)
    if capture.state is CaptureState.PROMOTING:
        return ""
    if capture.dry_run:
        raise Failed(f"{capture_id} can't be promoted", why="it is a dry run: it has kept no row")
    if capture.state in (CaptureState.ROLLING_BACK, CaptureState.ROLLED_BACK):
        mend = ledger.way_on(capture_id, capture.state)
        raise Failed(f"{capture_id} can't be promoted", why=f"it is {capture.state}", mend=mend)
    if capture.becomes is None:
        why = f"its mode is {capture.mode}: its rows are served as it writes them"
        mend = "only what was replayed with --mode shadow is promoted"
        raise Failed(f"{capture_id} can't be promoted", why=why, mend=mend)
    if not capture.promotable:
        return f"{capture_id} is promoted already, there is nothing more to do"
    if capture.state is not CaptureState.COMPLETE:
        mend = f"`rederive captures resume {capture_id}` goes on with it"
        raise Failed(f"{capture_id} can't be promoted", why=f"it is {capture.state}, not complete", mend=mend)
    return ""


def clearable(connection: Connection, capture_id: str) -> tuple[str, ...]:
    """The columns that a promotion may clear: those in the capture's scope."""
    capture = ledger.find(connection, capture_id)
    return domains.of_capture(capture.domain).in_scope(capture.columns)


def preview(connection: Connection, capture_id: str, clear: Sequence[str] = ()) -> dict[str, Promoted]:
    """Per table what promoting the capture would do now, or what is left of it; reads only."""
    capture = ledger.find(connection, capture_id)
    under_way = capture.state is CaptureState.PROMOTING
    writer = _writer(capture) if under_way else _writer(capture, NEWEST, clear)
    tables = domains.of_capture(capture.domain).tables
    return {table.name: policy_of(table).promotion(connection, table, writer) for table in tables}


def promote(connection: Connection, capture_id: str, clear: Sequence[str] = ()) -> Iterator[tuple[str, Promoted]]:
    """Serve what the capture has kept; yields (table, what was done) as it goes. Stopped midway, the same words go on.

    The capture gets a new number, as if it had been replayed now. One that is on its way keeps its own, and clears
    what it was told to then.
    """
    found = ledger.find(connection, capture_id)
    domain = domains.of_capture(found.domain)
    prepare(connection, domain)
    with sessions.rollback_alone(connection, capture_id):
        if nothing_to_promote(connection, capture_id):
            return
        with connection.transaction():
            # What is taken back meanwhile is taken back before, or not at all.
            stored.hold(connection, domain.name)
            capture = stored.begin_promotion(connection, capture_id, clear) or ledger.find(connection, capture_id)
        with ExitStack() as held:
            crew = [held.enter_context(session_beside(connection)) for _ in range(CREW)]
            # In the order of the domain: rows refer to those of tables before theirs.
            for table in domain.tables:
                for done in policy_of(table).promote(connection, table, _writer(capture), crew):
                    yield table.name, done
        run_steps(connection, domain)
        stored.set_state(connection, capture_id, CaptureState.COMPLETE, CaptureState.PROMOTING)


def again(capture_id: str) -> str:
    """The command that goes on with a promotion."""
    return f"rederive captures promote {capture_id} --yes"


def words(done: Promoted) -> str:
    """What was done to a table, for people."""
    gone = f", {done.gone:,} {verb(done.gone, 'has', 'have')} lost what they refer to" if done.gone else ""
    return f"{counted(done.rows, 'row')} promoted, {done.changed:,} changed{gone}"


def _writer(capture: Capture, number: int | None = None, clear: Sequence[str] | None = None) -> Writer:
    return Writer(
        capture.capture_id,
        number or capture.number,
        capture.becomes or Mode.SUPERSEDE,
        capture.derivation_version,
        clear=capture.clear if clear is None else tuple(clear),
    )
