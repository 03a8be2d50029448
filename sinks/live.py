"""Which live capture takes the records of a day: the first that runs, made by whoever meets it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg import Connection

from schemas.capture import Capture, CaptureState
from schemas.domain import Domain
from schemas.live import LiveDay
from schemas.table import Mode
from store import captures, live, origins

if TYPE_CHECKING:
    from sinks.apply import Result


def inserts(domain: Domain) -> str | None:
    """Why the domain's records must belong to a run; None when they need not."""
    if any(table.policy is Mode.INSERT for table in domain.tables):
        return f"it came without a capture: what {domain.name} computes is kept by the run that asked for it"
    return None


def on_day(
    connection: Connection, domain: Domain, day: LiveDay, results: "Sequence[Result]"
) -> "tuple[Capture, Sequence[Result]]":
    """The day's capture that takes results, held until the transaction ends, and those that none before has applied.

    It runs, unless nothing is left for it to take.
    """
    while True:
        capture = captures.held(connection, day.capture_id)
        if capture is None:
            live.begin(connection, day, domain.tables[0].policy)
            continue
        if capture.state is CaptureState.RUNNING:
            return capture, results
        known = origins.lock(connection, day.capture_id, [origin for result in results for origin in result.origins])
        results = [result for result in results if known.isdisjoint(result.origins)]
        if not results:
            return capture, results
        day = day.next_turn()
