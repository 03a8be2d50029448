"""What a unit counts when its rows are inserted: rows that were read, rows that are new."""

from datetime import timedelta

import psycopg
import pytest

from processors.finra.process import outcome_of
from schemas.finra.partition import capture_id
from schemas.finra.tables import FINRA, VENUE_SHARE, VENUE_VOLUME
from schemas.finra.units import VolumeUnit
from schemas.unit import Origin
from sinks.apply import Result, apply
from store import units
from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content

pytestmark = pytest.mark.services


def test_new_rows_are_counted_as_they_are_and_none_is_unchanged(connection: psycopg.Connection) -> None:
    read = Run.made(connection).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    run = Run.made(connection)
    connection.execute("UPDATE rederive.captures SET state = 'running' WHERE capture_id = %s", [run.capture_id])
    connection.execute(
        "INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows) VALUES (%s, 0, '', '{}', 5)",
        [run.capture_id],
    )
    at = AT + timedelta(days=7)
    unit = VolumeUnit(
        week_ending=WEEK, tier="OTC", captured_at=at, execution_id=run.capture_id, input_capture_id=read,
        capture_id=capture_id("OTC", WEEK, at), calc=("venue_share",),
    )  # fmt: skip
    rows = connection.execute(
        f"SELECT {', '.join(VolumeUnit.ROWS)} FROM {VENUE_VOLUME.name} WHERE capture_id = %s ORDER BY symbol, mpid",
        [read],
    ).fetchall()
    outcome = outcome_of(unit, [[each.isoformat() if hasattr(each, "isoformat") else each for each in r] for r in rows])
    apply(connection, FINRA, run.capture_id, [Result(Origin("t", 0, 0), run.capture_id, 0, outcome)])

    stored = connection.execute(
        f"SELECT count(*) FROM {VENUE_SHARE.name} WHERE capture_id = %s", [unit.capture_id]
    ).fetchone()
    progress = units.progress(connection, run.capture_id)
    assert (progress.updated,) == stored == (4,)
    assert (progress.processed, progress.rows, progress.unchanged, progress.skipped) == (5, 5, 0, 0)
