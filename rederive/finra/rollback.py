"""Roll back FINRA's rows: those of a run or of one partition's capture, with what was derived from them."""

from collections import defaultdict
from collections.abc import Iterator

from psycopg import Connection

from producers import ledger
from schemas.capture import CaptureState
from schemas.errors import Failed
from schemas.finra.tables import FINRA, MANIFEST, manifest_keys
from sinks.removal import Written, preview, remove, written
from sinks.rollback import roll_back


def scope(connection: Connection, capture_id: str) -> set[Written]:
    """The units behind a run's id or a partition capture's, and all that derived from them.

    Failed when nothing wrote such a capture, or when a run that derives from it is still running.
    """
    of_partition = ":" in capture_id
    found = written(connection, capture=capture_id) if of_partition else written(connection, run=capture_id)
    if of_partition and not found:
        raise Failed(
            f"there is no capture {capture_id}",
            why="no unit that still counts has written it",
            mend="`rederive report week` lists the captures of a week",
        )
    for run in sorted({one.run for one in found} - {capture_id}):
        capture = ledger.find(connection, run)
        if capture is not None and capture.state is CaptureState.RUNNING:
            raise Failed(
                f"{run} derives from {capture_id} and is not complete",
                mend=f"`rederive captures resume {run}` or `rederive captures cancel {run}` first",
            )
    return found


def expected(connection: Connection, units: set[Written]) -> dict[str, dict[str, int]]:
    """What a rollback would do, by table; reads only."""
    counts = preview(connection, FINRA, units)
    return {name: {"entries": rows, "changed": 0, "deleted": rows} for name, rows in counts.items()}


def roll_back_units(connection: Connection, units: set[Written]) -> Iterator[tuple[str, int]]:
    """Take the rows out in one transaction, then set the manifest back; yields (table, rows)."""
    noted: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for one in units:
        noted[one.run].update(manifest_keys(one.stage, one.captures))
    with connection.transaction():
        yield from remove(connection, FINRA, units).items()
    for run, keys in sorted(noted.items()):
        for count in roll_back(connection, MANIFEST, run, sorted(keys)):
            yield MANIFEST.name, count
