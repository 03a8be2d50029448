"""A live day is proven: each record and each row that had arrived has an outcome, waits, or is named."""

from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from tests.live.ingesting import derived, insert, markets, stream
from tests.live.test_following import SECONDS, begun, end, stop
from tests.test_verify import verify
from tests.wait import until

pytestmark = pytest.mark.services

SNAPSHOTS = 40


def test_a_live_day_is_covered(settings: Settings, connection: psycopg.Connection, migrated: str) -> None:
    markets(connection)
    topic = Lane("betfair", LaneName.LOG, settings.topic_prefix).raw
    today = datetime.now(UTC)
    snapshots = stream()

    def ingest(count: int) -> list[int]:
        """Write snapshots of today; their ids."""
        taken: list[dict[str, Any]] = [{**next(snapshots), "snapshot_at": today} for _ in range(count)]
        with connection.transaction():
            for one in taken:
                insert(connection, one)
        return [one["snapshot_id"] for one in taken]

    def wrong(*words: str) -> dict[str, dict[str, Any]]:
        return {name: check for name, check in verify(settings, *words, code=1).items() if not check["ok"]}

    live = begun(settings, migrated)
    try:
        for _ in range(4):
            ids = ingest(SNAPSHOTS // 4)
        until(lambda: derived(connection) == SNAPSHOTS, SECONDS, "the snapshots are not derived")
        (day,) = connection.execute("SELECT capture_id FROM rederive.captures").fetchall()
        covered = verify(settings, day[0])
        assert covered["records of the log"]["apart"] == []
        assert covered["rows that had arrived"]["apart"] == []
        assert covered["market_derived_metrics"]["looked_at"] == f"{SNAPSHOTS} rows"
        verify(settings)

        # What is committed and not found yet waits. A transaction that has a number and isn't over holds nothing else.
        with psycopg.connect(migrated) as late:
            insert(late, {**next(snapshots), "snapshot_at": today})
            verify(settings, day[0])
        until(lambda: derived(connection) == SNAPSHOTS + 1, SECONDS, "the late one is not derived")
        verify(settings, day[0])
        stop(live)

        connection.execute("DELETE FROM market_derived_metrics WHERE snapshot_id = %s", [ids[0]])
        (check,) = wrong(day[0]).values()
        assert (check["name"], check["wrong"]) == ("betfair: rows that had arrived", 1)
        assert f"--from {today.date()} --to {today.date()} --only missing --fill" in check["mends"][0]

        # Nobody is at work any more: what would wait is missing.
        ingest(2)
        assert wrong(day[0])["rows that had arrived"]["wrong"] == 3

        partition, first = connection.execute(
            "SELECT partition, lower(applied) FROM rederive.origins WHERE topic = %s ORDER BY partition", [topic]
        ).fetchall()[0]
        connection.execute(
            """UPDATE rederive.origins SET applied = applied - int8multirange(int8range(%s, %s))
               WHERE (topic, partition) = (%s, %s)""",
            [first, first + 1, topic, partition],
        )
        hole = wrong(day[0])["records of the log"]
        assert [fault["records"] for fault in hole["faults"]] == [f"{topic}[{partition}]@{first}"]
        assert "--only hole --fill" in hole["mends"][0]

        # Given up, and nobody says why.
        connection.execute(
            """UPDATE rederive.origins SET dead = int8multirange(int8range(%s, %s))
               WHERE (topic, partition) = (%s, %s)""",
            [first, first + 1, topic, partition],
        )
        found = wrong()
        assert "records of the log" not in found
        assert [fault["record"] for fault in found["problems"]["faults"]] == [f"{topic}[{partition}]@{first}"]
    finally:
        end(live)


def test_what_live_has_yet_to_find_waits(settings: Settings, connection: psycopg.Connection, migrated: str) -> None:
    """As long as somebody is at work; the cursor says how far it was."""
    markets(connection)
    live = begun(settings, migrated)
    try:
        snapshots = stream()
        today = datetime.now(UTC)
        insert(connection, {**next(snapshots), "snapshot_at": today})
        until(lambda: derived(connection) == 1, SECONDS, "the snapshot is not derived")
        stop(live)
        insert(connection, {**next(snapshots), "snapshot_at": today})
        (day,) = connection.execute("SELECT capture_id FROM rederive.captures").fetchall()
        verify(settings, day[0], code=1)
        # A producer that has spoken just now and looks the next moment.
        connection.execute(
            """INSERT INTO rederive.producers (domain, machine, pid, backend, spoke_at, moved_at)
               VALUES ('betfair', 'tests', 0, 0, now() + interval '1 hour', now() + interval '1 hour')"""
        )
        (note,) = verify(settings, day[0])["rows that had arrived"]["apart"]
        assert note == f"{today.date()}: 1 row waiting: live has yet to find what is new"
        connection.execute("UPDATE rederive.cursors SET since = pg_current_snapshot()")
        verify(settings, day[0], code=1)
    finally:
        end(live)
