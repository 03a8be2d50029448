"""What others write to the log is derived live: by the page's own client, beside the table, and before it."""

import re
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from rederive.settings import Settings
from samples.betfair.sample import snapshot_line
from samples.betfair.synthetic import Synthetic
from samples.finra.files import FinraFiles
from schemas.lane import Lane, LaneName
from schemas.wire import decode_failure
from tests.betfair.replay.log import read
from tests.finra.runs import FIRST, write
from tests.finra.test_log import send as send_files
from tests.live.ingesting import check_rows, derived, insert, markets, stream
from tests.live.test_following import SECONDS, begun, end, stop
from tests.pages import fenced, statements
from tests.program import ROOT, environment, last_object, rederive
from tests.wait import until

pytestmark = pytest.mark.services

PAGE = ROOT / "docs/records.md"


def send(settings: Settings, lines: Sequence[bytes]) -> None:
    """Send snapshots to the log by the client that the page shows, as it stands there."""
    topic = Lane("betfair", LaneName.LOG, settings.topic_prefix).raw
    done = subprocess.run(
        [sys.executable, "-c", fenced(PAGE, "python", "Producer("), topic], input=b"\n".join(lines),
        env=environment(settings), capture_output=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()


def lines_of(snapshots: Sequence[Mapping[str, Any]]) -> list[bytes]:
    known = {market["market_id"]: market for market in Synthetic().metadata()}
    return [snapshot_line(snapshot, known[snapshot["market_id"]]) for snapshot in snapshots]


def counts(connection: psycopg.Connection) -> dict[str, int]:
    """What live has counted."""
    row = connection.execute(
        """SELECT coalesce(sum(rows), 0)::int, coalesce(sum(updated), 0)::int, coalesce(sum(unchanged), 0)::int,
                  coalesce(sum(skipped), 0)::int, coalesce(sum(errors), 0)::int
           FROM rederive.units JOIN rederive.captures USING (capture_id) WHERE source = 'live'"""
    ).fetchone()
    assert row is not None
    return dict(zip(("read", "updated", "unchanged", "skipped", "errors"), row, strict=True))


def test_the_page_s_example_is_derived_when_both_have_it(
    settings: Settings, connection: psycopg.Connection, migrated: str
) -> None:
    example = orjson.dumps(orjson.loads(fenced(PAGE, "json", "900001")))
    live = begun(settings, migrated)
    try:
        for statement in statements(PAGE, "## Writing to the log from outside", "INSERT"):
            connection.execute(statement)
        until(lambda: counts(connection)["read"] == 1, SECONDS, "the stored snapshot is not taken")
        # Of the stored payload nothing can be made, of the record's all: the page says which one is computed.
        assert counts(connection)["skipped"] == 1
        send(settings, [example, example])
        until(lambda: counts(connection)["read"] == 3, SECONDS, "the records are not taken")
        assert counts(connection) == {"read": 3, "updated": 1, "unchanged": 1, "skipped": 1, "errors": 0}
        assert connection.execute("SELECT snapshot_id FROM market_derived_metrics").fetchall() == [(900001,)]
        said = rederive(settings, "captures", "show", "latest:betfair").stdout
        assert re.search(r"asked for +what arrives on \d{4}-\d\d-\d\d\n", said), said
        assert re.search(r"rows +3 read\n", said), said
        assert "1 updated, 1 unchanged, 1 skipped, 0 errors" in said
        stop(live)
    finally:
        end(live)


def test_the_same_snapshots_by_the_table_and_by_the_log_at_once_are_one_row_each(
    settings: Settings, connection: psycopg.Connection, migrated: str
) -> None:
    markets(connection)
    snapshots = list(islice(stream(), 150))
    live = begun(settings, migrated)
    try:
        sending = threading.Thread(target=send, args=(settings, lines_of(snapshots)))
        sending.start()
        for snapshot in snapshots:
            insert(connection, snapshot)
        sending.join()
        until(lambda: counts(connection)["read"] == 300, SECONDS, "not everything is counted")
        said = counts(connection)
        assert said["updated"] == 150
        assert said["unchanged"] + said["skipped"] == 150
        assert said["errors"] == 0
        check_rows(connection)
        # What is stored already is neither written again nor called gone.
        send(settings, lines_of(snapshots))
        until(lambda: counts(connection)["read"] == 450, SECONDS, "what was sent again is not counted")
        assert counts(connection) == {**said, "read": 450, "unchanged": said["unchanged"] + 150}
        check_rows(connection)
        stop(live)
    finally:
        end(live)


def test_a_record_whose_snapshot_is_not_stored_yet_is_gone_until_the_table_has_it(
    settings: Settings, connection: psycopg.Connection, migrated: str
) -> None:
    markets(connection)
    early, never = islice(stream(), 2)
    live = begun(settings, migrated)
    try:
        with psycopg.connect(migrated) as ingester:
            insert(ingester, early)
            send(settings, lines_of([early, never]))
            until(lambda: counts(connection)["skipped"] == 2, SECONDS, "the records are not skipped")
            assert derived(connection) == 0
        until(lambda: derived(connection) == 1, SECONDS, "the snapshot is not taken when it is committed")
        until(lambda: counts(connection)["updated"] == 1, SECONDS, "it is not counted")
        assert counts(connection) == {"read": 3, "updated": 1, "unchanged": 0, "skipped": 2, "errors": 0}
        found = connection.execute("SELECT key, reason FROM rederive.problems ORDER BY key").fetchall()
        assert found == [([early["snapshot_id"]], "gone"), ([never["snapshot_id"]], "gone")]
        check_rows(connection)
        stop(live)
    finally:
        end(live)


def test_finra_refuses_what_no_run_has_asked_for(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    file = FinraFiles(symbols=8, rows=24).file(FIRST, "OTC", 0)
    sent = {"file_name": file.name, "captured_at": "2020-01-01T00:00:00+00:00", "content": file.content.decode()}
    send_files(settings, [orjson.dumps(sent)])
    write(tmp_path / "weekly", [FIRST], ("ATS",))
    # The run brings workers to the log, and these meet the record.
    done = rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"), "--json", "--reason", "contract")
    assert last_object(done.stdout)["errors"] == 0
    lane = Lane("finra", LaneName.LOG, settings.topic_prefix)
    (letter,) = read(settings, lane.dlq)
    said = decode_failure(letter.headers())  # type: ignore[arg-type]
    assert said.stage == "sink"
    assert said.reason == "it came without a capture: what finra computes is kept by the run that asked for it"
    tiers = "SELECT DISTINCT tier FROM finra_otc_transparency_raw ORDER BY tier"
    assert connection.execute(tiers).fetchall() == [("ATS",)]
    rederive(settings, "replay-topic", "finra")
    assert connection.execute(tiers).fetchall() == [("ATS",), ("OTC",)]
