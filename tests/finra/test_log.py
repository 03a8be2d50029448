"""Files through Kafka: kept on the log, derived, and derived again from the log."""

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import orjson
import psycopg
import pytest

from producers.finra.log import FinraLog
from producers.sender import Sender
from producers.source import Request, Services
from producers.topics import ensure_topics, partitions_of
from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.tables import FINRA
from schemas.finra.versions import PREFIX
from schemas.lane import Lane, LaneName
from schemas.table import Mode
from schemas.unit import Unit
from schemas.wire import RawHeaders
from tests import another
from tests.another import Version, newer
from tests.finra.runs import FIRST, Walk, counted, weeks, write
from tests.program import last_object, rederive

pytestmark = pytest.mark.services

REPLAY = Request(domain=FINRA.name, mode=Mode.INSERT, columns=())


def send(settings: Settings, values: list[bytes]) -> None:
    """To the log, one after the other, in turn to its partitions."""
    lane, kafka = Lane(FINRA.name, LaneName.LOG, settings.topic_prefix), settings.kafka_config()
    ensure_topics(kafka, lane, 2)
    sender = Sender(kafka, lane.raw, sorted(partitions_of(kafka, lane.raw)))
    for number, value in enumerate(values):
        sender.send(Unit(RawHeaders(FINRA.name, unit=number), None, value))
        sender.flush(10)


def line(world: FinraFiles, edition: int, **more: object) -> bytes:
    file = world.file(FIRST, "OTC", edition)
    said = {"file_name": file.name, "captured_at": "2020-01-01T00:00:00+00:00", "content": file.content.decode()}
    return orjson.dumps({**said, **more})


def test_files_of_one_partition_get_captures_in_the_order_in_which_they_were_sent(
    settings: Settings, connection: psycopg.Connection
) -> None:
    world = FinraFiles(symbols=8, rows=24)
    send(settings, [line(world, 1), line(world, 2, calc=["ingest_week"]), b"junk", line(world, 0)])
    services = Services(connection, lambda: connection, settings.kafka_config(), settings.topic_prefix)
    with closing(FinraLog(FINRA, services)) as source:
        walk = Walk(connection, REPLAY, source)
        files = walk.units()
        walk.finish()
    assert counted(walk) == {"file": 4, "tier_split": 1, "rolling": 1, "snapshot": 1}
    good = [unit for unit in files if unit.writes]
    by_offset = sorted(good, key=lambda unit: (unit.locator.offset, unit.locator.partition))
    assert [unit.locator.captured_at for unit in by_offset] == sorted(unit.locator.captured_at for unit in good)
    assert all(unit.locator.captured_at.year >= 2025 for unit in good)
    # What a run had asked of a file is not what this one asks.
    assert connection.execute(f"SELECT count(DISTINCT capture_id) FROM {PREFIX}symbol_summary").fetchone() == (3,)
    ((reason,),) = connection.execute("SELECT failure FROM rederive.units WHERE state = 'dead'").fetchall()
    assert "the unit can't be read: not JSON" in reason
    last = connection.execute(f"SELECT DISTINCT capture_id FROM {PREFIX}symbol_summary_latest").fetchall()
    assert last == [(by_offset[-1].writes[0],)]


def everything(connection: psycopg.Connection, table: str) -> list[dict[str, object]]:
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table}_latest").fetchall()


def test_one_week_of_the_log_is_derived_in_shadow_and_a_table_s_new_formulas_from_what_is_stored(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first, second = weeks(2)
    write(tmp_path / "weekly", (first, second))
    rederive(settings, "replay", "finra", "--source", str(tmp_path / "weekly"))
    newest = f"SELECT week_ending, min(capture_id) FROM {PREFIX}symbol_summary_latest GROUP BY 1 ORDER BY 1"
    served = connection.execute(newest).fetchall()
    words = ("--mode", "shadow", "--from", str(second), "--to", str(second))
    shadow = last_object(rederive(settings, "replay-topic", "finra", *words, "--json").stdout)
    # A file, and what follows from it.
    assert (shadow["mode"], shadow["units"], shadow["dead_units"]) == ("shadow", 4, 0)
    assert connection.execute(newest).fetchall() == served
    rederive(settings, "captures", "promote", str(shadow["capture_id"]), "--yes")
    promoted = connection.execute(newest).fetchall()
    assert (promoted[0], promoted[1] == served[1]) == (served[0], False)

    # Of the queue, files are taken: what holds stored rows is made again by what follows from them.
    queue = rederive(settings, "replay-topic", "finra", "--topic", "replay", "--plan")
    assert [unit["stage"] for unit in orjson.loads(queue.stdout)["units"]] == ["file"]
    assert "hold stored rows: stages that follow from the files compute them again" in queue.stderr

    code = newer("schemas.finra.tables", "FINRA", {FINRA.derivation_version + 1: (f"{PREFIX}venue_share",)})
    Version(monkeypatch, tmp_path / "newer")(code)
    range_ = ("--from", str(first), "--to", str(second))
    plan = orjson.loads(another.rederive(settings, "plan", "finra", *range_, "--outdated").stdout)
    # Of each week what computes that table, and nothing else.
    work = [(unit["stage"], unit["locator"]["week"], unit["locator"]["work"]) for unit in plan["units"]]
    assert work == [("venue_volume", str(week), ["venue_share"]) for week in (first, second)]
    (tmp_path / "plan.json").write_text(orjson.dumps(plan).decode())
    another.rederive(settings, "apply", str(tmp_path / "plan.json"))
    left = another.rederive(settings, "gaps", "finra", *range_, "--outdated", "--only", "outdated").stdout
    assert left == "No gaps of finra\n"


def test_the_program_takes_a_folder_and_then_its_own_log(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    source = tmp_path / "weekly"
    write(source, weeks(7), ("OTC", "ATS"))
    (source / "empty_otc_20250106.csv").write_text("")
    plan = rederive(settings, "replay", "finra", "--source", str(source), "--dry-run", "--json", code=1)
    estimated = orjson.loads(plan.stdout)
    assert (estimated["captures"], estimated["refused"], len(estimated["weeks"])) == (14, 1, 7)
    assert connection.execute("SELECT count(*) FROM rederive.captures").fetchone() == (0,)

    done = last_object(rederive(settings, "replay", "finra", "--source", str(source), "--json", code=1).stdout)
    assert (done["units"], done["dead_units"]) == (14 + 1 + 7 + 14 + 14, 1)
    tables = [f"{PREFIX}{name}" for name in ("venue_share", "symbol_rolling_6w", "research_snapshot")]
    before = {table: everything(connection, table) for table in tables}
    assert all(before.values())

    (source / "empty_otc_20250106.csv").unlink()
    again = last_object(rederive(settings, "replay", "finra", "--source", str(source), "--json").stdout)
    assert again["units"] == 0

    replayed = last_object(rederive(settings, "replay-topic", "finra", "--json").stdout)
    assert (replayed["units"], replayed["dead_units"]) == (14 + 7 + 14 + 14, 0)
    for table in tables:
        assert rows_equal_deterministic(before[table], everything(connection, table)), table

    made = rederive(settings, "plan", "finra", "--from", str(FIRST), "--to", str(FIRST + timedelta(weeks=1)),
                    "--calc", "venue_share", "--calc-version", "v2")  # fmt: skip
    for said in (
        "[x] weeks",
        "2025-01-03 to 2025-01-10, 2 weeks",
        "[x] versions",
        "venue_share v2",
        "rows × calcs × versions: ",
    ):
        assert said in made.stderr
    (tmp_path / "plan.json").write_text(made.stdout)
    applied = last_object(rederive(settings, "apply", str(tmp_path / "plan.json"), "--json").stdout)
    assert (applied["units"], applied["errors"]) == (4, 0)
    refused = rederive(settings, "apply", str(tmp_path / "plan.json"), code=1)
    assert "it has been applied before" in refused.stderr
