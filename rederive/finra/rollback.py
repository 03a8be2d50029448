"""Roll back FINRA's rows: those of a run or of one partition's capture, with what was derived from them."""

from collections import defaultdict

from psycopg import Connection

from producers import ledger
from schemas.capture import CaptureState
from schemas.errors import Failed
from schemas.finra import FINRA, MANIFEST, manifest_keys
from sinks.removal import Written, preview, remove, written
from sinks.rollback import Taken, roll_back_keys


def is_rolled_back(connection: Connection, capture_id: str) -> bool:
    """Whether all that has written a partition's capture was taken back; Failed when nothing ever has."""
    if written(connection, capture=capture_id):
        return False
    if not connection.execute(
        "SELECT FROM rederive.units WHERE picked -> 'captures' ? %s AND state = 'removed'", [capture_id]
    ).rowcount:
        raise Failed(
            f"there is no capture {capture_id or repr('')}",
            why="no unit that still counts has written it",
            mend="`rederive report week` lists the captures of a week",
        )
    return True


def expected(connection: Connection, capture_id: str) -> dict[str, dict[str, int]]:
    """What a rollback would do to the tables whose rows hold their capture; reads only."""
    counts = preview(connection, FINRA, _scope(connection, capture_id))
    return {name: Taken(entries=rows, deleted=rows).counts() for name, rows in counts.items()}


def roll_back(connection: Connection, capture_id: str) -> dict[str, Taken]:
    """Take out a run's rows or a partition capture's, with what was derived, in one transaction; by table.

    No unit is planned meanwhile: what is found out first stays all there is. Sinks and the run of the capture wait at
    its row, and find it rolled back.
    """
    with connection.transaction():
        ledger.hold(connection, FINRA.name, alone=True)
        connection.execute(
            "UPDATE rederive.captures SET state = 'rolling-back' WHERE capture_id = %s AND state <> 'rolled-back'",
            [capture_id],
        )
        units = _scope(connection, capture_id)
        noted: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for one in units:
            noted[one.run].update(manifest_keys(one.stage, one.captures))
        deleted = remove(connection, FINRA, units)
        done = {name: Taken(keys=rows, entries=rows, deleted=rows) for name, rows in deleted.items()}
        done[MANIFEST.name] = roll_back_keys(connection, MANIFEST, noted)
        connection.execute(
            "UPDATE rederive.captures SET state = 'rolled-back', finished_at = coalesce(finished_at, now()) "
            "WHERE capture_id = %s AND state = 'rolling-back'",
            [capture_id],
        )
    return done


def _scope(connection: Connection, capture_id: str) -> set[Written]:
    """The units behind a run's id or a partition capture's, and all that derived from them.

    Failed when another run has such units and is still running.
    """
    found = written(connection, capture=capture_id) if ":" in capture_id else written(connection, run=capture_id)
    for run in sorted({one.run for one in found} - {capture_id}):
        capture = ledger.find(connection, run)
        if capture is not None and capture.state is CaptureState.RUNNING:
            raise Failed(
                f"{run} writes or reads what {capture_id} holds, and is not complete",
                mend=f"`rederive captures resume {run}` or `rederive captures cancel {run}` first",
            )
    return found
