"""From files to units to rows, and what becomes due of them, on a database and without Kafka."""

from collections.abc import Iterable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from processors.finra.line import compute
from producers.finra.locators import FileWork
from producers.source import Request, make_plan
from samples.finra.files import FinraFiles
from schemas.errors import UsageError
from schemas.finra.partition import BACKFILL_TIERS
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.tables import FINRA, QUALITY
from schemas.finra.versions import PREFIX
from schemas.plan import Plan
from tests.finra.runs import FIRST, Walk, asked, counted, done, opened, plan, weeks, write

pytestmark = pytest.mark.services

DERIVED = [table.name for table in FINRA.tables if table.name.startswith(PREFIX) and table.name != f"{PREFIX}raw"]
MIDDLE = FIRST + timedelta(weeks=5)


def latest(connection: psycopg.Connection, table: str) -> list[dict[str, Any]]:
    names = [c.name for c in (*FINRA.table(table).key, *FINRA.table(table).columns)]
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(f"SELECT {', '.join(names)} FROM {table}_latest").fetchall()


def computed(files: Iterable[tuple[str, bytes]]) -> dict[str, list[dict[str, Any]]]:
    """What the program computes of the files at once, without a store."""
    lines = (
        orjson.dumps(
            {"file_name": name, "captured_at": f"2026-01-01T00:00:{n % 60:02}+00:00", "content": text.decode()}
        )
        for n, (name, text) in enumerate(files)
    )
    rows: dict[str, list[dict[str, Any]]] = {}
    for one in compute(lines):
        if one.output:
            said = orjson.loads(one.output)
            rows.setdefault(said["table"], []).append({**said["key"], **said["row"]})
    return rows


def plain(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {name: value.isoformat() if isinstance(value, date) else value for name, value in row.items()} for row in rows
    ]


def test_a_year_of_four_tiers_is_a_unit_per_file_in_week_order(connection: psycopg.Connection, tmp_path: Path) -> None:
    year = weeks(52)
    write(tmp_path / "year", year, BACKFILL_TIERS)
    request = asked(tmp_path / "year", date(2025, 1, 1), date(2025, 12, 31))
    with closing(opened(connection, request)) as source:
        pages = [[str(unit.locator.week) for unit in page.units] for page in source.pages(request)]
        made = make_plan(source, request)
    assert [week for page in pages for week in page] == [str(week) for week in year for _ in BACKFILL_TIERS]
    assert [len(set(page)) for page in pages] == [5, 4, 4, 4, 5, 4, 4, 5, 4, 5, 4, 4]
    assert {"2025-01-31", "2025-05-30", "2025-08-29", "2025-10-31"} <= {week for page in pages for week in page}
    captures = [capture for unit in made.units for capture in unit.writes]
    assert len(set(captures)) == made.unit_count == 208
    assert made.notes == ()


def test_all_stages_are_what_is_computed_of_the_files_without_a_store(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    """The store's facts, windows and joins are those of the pure core, which knows nothing of SQL."""
    tiers = ("OTC", "ATS")
    world = write(tmp_path / "files", weeks(8), tiers)
    walk = done(connection, asked(tmp_path / "files"))
    assert counted(walk) == {"file": 16, "tier_split": 8, "rolling": 16, "snapshot": 16}
    expected = computed((file.name, file.content) for file in world.files(weeks(8), tiers))
    for table in DERIVED:
        rows = plain(latest(connection, table))
        if table.endswith("research_snapshot"):
            # Computed at once, a week without a whole window has none.
            rows = [row for row in rows if row["week_ending"] >= str(weeks(6)[-1])]
        assert rows, table
        assert rows_equal_deterministic(rows, expected[table]), table
    runs = connection.execute(f"SELECT DISTINCT execution_id, batch_id FROM {PREFIX}symbol_summary").fetchall()
    assert sorted(runs) == [(walk.run, "2025-01"), (walk.run, "2025-02")]
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        checks = cursor.execute("SELECT * FROM core_quality WHERE check_name = 'partial_coverage'").fetchall()
    wanted = [row for row in expected[QUALITY.name] if row["check_name"] == "partial_coverage"]
    assert {(row["partition_key"], row["message"]) for row in checks} == {
        (row["partition_key"], row["message"]) for row in wanted
    }


def test_restating_a_week_in_the_middle_renews_just_what_reads_it(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    tiers = ("OTC", "ATS")
    world = write(tmp_path / "files", weeks(12), tiers)
    before = done(connection, asked(tmp_path / "files"))
    write(tmp_path / "files", [MIDDLE], ["OTC"], edition=1)
    walk = done(connection, asked(tmp_path / "files"))
    later = [str(MIDDLE + timedelta(weeks=n)) for n in range(6)]
    assert walk.ranges() == [
        f"{MIDDLE}/OTC/file/finra_otc_weekly_otc_20250210.csv",
        f"{MIDDLE}/all/tier_split",
        *(f"{week}/OTC/rolling" for week in later),
        *(f"{week}/OTC/snapshot" for week in later),
    ]
    assert "passed over: 23 files with the content of the latest capture" in walk.head.notes[0]
    units = walk.units()
    mine = units[0].writes[0]
    split = units[1]
    assert dict(zip(split.locator.tiers, split.writes, strict=True))["OTC"] == mine
    assert {capture.split(":")[2] for unit in units for capture in unit.writes} == set(later)
    old = {capture for unit in before.units() for capture in unit.writes}
    assert not old & {capture for unit in units for capture in unit.writes}
    # Each rolling unit reads the restated week as it is now, and the other five as they were.
    for rolling in units[2:8]:
        assert mine in rolling.reads
        assert len(old & set(rolling.reads)) == len(rolling.reads) - 1
    files = [world.file(week, tier, int((week, tier) == (MIDDLE, "OTC"))) for week in weeks(12) for tier in tiers]
    expected = computed((file.name, file.content) for file in files)
    table = f"{PREFIX}symbol_rolling_6w"
    assert rows_equal_deterministic(plain(latest(connection, table)), expected[table])


def interrupted(connection: psycopg.Connection, source: Path, at: int) -> Walk:
    """A run that dies, and is taken up again, after so many of its steps."""
    walk, step = Walk(connection, asked(source)), 0
    while True:
        for unit in walk.units("planned"):
            if (step := step + 1) == at:
                walk.source = opened(connection, asked(source))
            walk.answer(unit)
        if (step := step + 1) == at and walk.more(pages=1):
            # Of what has become due, only a part was noted.
            walk.source = opened(connection, asked(source))
            continue
        if not walk.more():
            return walk


@pytest.mark.parametrize("at", [2, 15, 16, 20, 42, 43, 50])
def test_a_crash_at_any_step_leaves_nothing_undone(connection: psycopg.Connection, tmp_path: Path, at: int) -> None:
    write(tmp_path / "files", weeks(7), ("OTC", "ATS"))
    walk = interrupted(connection, tmp_path / "files", at)
    assert counted(walk) == {"file": 14, "tier_split": 7, "rolling": 14, "snapshot": 14}
    assert len(set(walk.ranges())) == len(walk.ranges())
    again = done(connection, asked(None, FIRST, weeks(7)[-1]))
    assert again.ranges() == []


def test_what_was_left_by_a_run_that_nobody_resumed_is_done_by_the_next(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "files", weeks(7))
    left = Walk(connection, asked(tmp_path / "files"))
    for unit in left.units():
        left.answer(unit)
    walk = done(connection, asked(tmp_path / "files"))
    assert counted(walk) == {"tier_split": 7, "rolling": 7, "snapshot": 7}


def test_the_same_content_is_passed_over_and_forced_content_is_captured_again(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "files", weeks(6))
    first = done(connection, asked(tmp_path / "files"))
    assert done(connection, asked(tmp_path / "files")).ranges() == []
    before = {table: plain(latest(connection, table)) for table in DERIVED}
    forced = done(connection, asked(tmp_path / "files", force=True))
    assert forced.ranges() == first.ranges()
    for table in DERIVED:
        now = plain(latest(connection, table))
        assert rows_equal_deterministic(before[table], now), table
        assert not rows_equal_deterministic(before[table], now, ignore_capture=False), table


def test_two_files_of_a_partition_are_refused_until_the_newest_is_asked_for(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    """A folder that keeps a week's publications side by side restates the week, one capture a run."""
    world = write(tmp_path / "files", [FIRST], ("OTC", "ATS"))
    old = done(connection, asked(tmp_path / "files"))
    restated, name = world.file(FIRST, "OTC", edition=1), "finra_otc_weekly_otc_20250109.csv"
    (tmp_path / "files" / name).write_bytes(restated.content)
    with pytest.raises(UsageError, match=f"OTC {FIRST}: finra_otc_weekly_otc_20250106.csv and {name}"):
        plan(connection, asked(tmp_path / "files"))
    # Other tiers have nothing to do with it.
    assert done(connection, asked(tmp_path / "files", tiers=["ATS"])).ranges() == []

    walk = done(connection, asked(tmp_path / "files", take_newest=True))
    assert [Path(unit.locator.path).name for unit in walk.units() if isinstance(unit.locator, FileWork)] == [name]
    assert f"not taken: finra_otc_weekly_otc_20250106.csv: {name} is the newer one of OTC {FIRST}" in walk.head.notes
    shown = {row["capture_id"] for row in latest(connection, f"{PREFIX}symbol_summary") if row["tier"] == "OTC"}
    assert shown == set(walk.units()[0].writes)
    assert not shown & {capture for unit in old.units() for capture in unit.writes}
    assert done(connection, asked(tmp_path / "files", take_newest=True)).ranges() == []


def test_a_file_of_block_trades_beside_one_of_all_is_no_second_file_of_its_week(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    world = FinraFiles(symbols=8, rows=24)
    (tmp_path / "finra_otc_weekly_otc_20250106.csv").write_bytes(world.file(FIRST, "OTC").content)
    (tmp_path / f"week_{FIRST}_otc_blocks.psv").write_bytes(world.file(FIRST, "OTC_BLOCKS").content)
    walk = done(connection, asked(tmp_path))
    files = [unit.locator.tier for unit in walk.units() if unit.stage == "file"]
    assert sorted(files) == ["OTC", "OTC_BLOCKS"]
    assert {row["tier"] for row in latest(connection, f"{PREFIX}venue_share")} == {"OTC", "OTC_BLOCKS"}


def stages(walk: Walk) -> list[tuple[str, str, list[str]]]:
    return [(unit.stage, unit.locator.tier, list(unit.locator.work)) for unit in walk.units()]


def test_one_calculation_in_another_version_is_one_stage(connection: psycopg.Connection, tmp_path: Path) -> None:
    write(tmp_path / "files", weeks(2), ("OTC", "ATS"))
    done(connection, asked(tmp_path / "files"))
    request = asked(None, FIRST, FIRST, calc=["venue_share"], calc_version="v2")
    walk = done(connection, request)
    assert stages(walk) == [("venue_volume", "ATS", ["venue_share"]), ("venue_volume", "OTC", ["venue_share"])]
    versions = connection.execute(
        f"SELECT calc_version, count(DISTINCT capture_id) FROM {PREFIX}venue_share WHERE week_ending = %s GROUP BY 1",
        [FIRST],
    ).fetchall()
    assert sorted(versions) == [("v1", 2), ("v2", 2)]
    assert done(connection, request).ranges() == []
    assert done(connection, asked(None, FIRST, FIRST, calc=["venue_share"])).ranges() == []


@pytest.mark.parametrize(
    ("calc", "forced"),
    [
        (["compute_rolling"], {"rolling": 7}),
        (["research_snapshot"], {"snapshot": 7}),
        (["weekly_symbol_tier_volume_share"], {"tier_split": 7}),
        (["rolling_6w", "research_snapshot"], {"rolling": 7, "snapshot": 7}),
        (["normalize_week"], {"raw": 7}),
        (["aggregate_week"], {"venue_volume": 7, "tier_split": 7}),
    ],
)
def test_only_what_is_named_is_done(
    connection: psycopg.Connection, tmp_path: Path, calc: list[str], forced: dict[str, int]
) -> None:
    write(tmp_path / "files", weeks(7))
    done(connection, asked(tmp_path / "files"))
    assert counted(done(connection, asked(None, FIRST, weeks(7)[-1], calc=calc))) == {}
    assert counted(done(connection, asked(None, FIRST, weeks(7)[-1], calc=calc, force=True))) == forced


def test_stages_that_were_left_out_are_due_when_everything_is_wanted(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "files", weeks(2))
    assert counted(done(connection, asked(tmp_path / "files", calc=["ingest_week"]))) == {"file": 2}
    lacking = done(connection, asked(None, FIRST, weeks(2)[-1], calc=["venue_share"]))
    assert lacking.ranges() == []
    assert any("2 partitions without normalised rows" in note for note in lacking.head.notes)
    walk = done(connection, asked(tmp_path / "files"))
    assert counted(walk) == {"raw": 2, "tier_split": 2, "rolling": 2, "snapshot": 2}


def test_rows_of_zero_volume_are_another_way_to_normalise(connection: psycopg.Connection, tmp_path: Path) -> None:
    write(tmp_path / "files", [FIRST])
    file = next((tmp_path / "files").iterdir())
    file.write_text(file.read_text() + "OTC|ZERO|n|v|NITE|0|0|2025-01-06\n")
    done(connection, asked(tmp_path / "files"))
    walk = done(connection, asked(None, FIRST, FIRST, reject_zero_volume=False))
    assert walk.units()[0].stage == "raw"
    assert "ZERO" in {row["symbol"] for row in latest(connection, f"{PREFIX}symbol_summary")}


def test_an_input_capture_is_read_in_place_of_the_latest(connection: psycopg.Connection, tmp_path: Path) -> None:
    write(tmp_path / "files", weeks(2))
    old = done(connection, asked(tmp_path / "files"))
    before = plain(latest(connection, f"{PREFIX}venue_share"))
    write(tmp_path / "files", weeks(2), edition=1)
    done(connection, asked(tmp_path / "files"))
    capture = old.units()[0].writes[0]
    one = done(connection, asked(None, input_capture=capture, calc=["venue_share"], force=True))
    assert [unit.reads for unit in one.units()] == [(capture,)]
    run = done(connection, asked(None, input_capture=old.run, force=True))
    assert counted(run) == {"raw": 2, "tier_split": 2, "rolling": 2, "snapshot": 2}
    assert rows_equal_deterministic(plain(latest(connection, f"{PREFIX}venue_share")), before)
    inputs = {row["input_capture_id"] for row in latest(connection, f"{PREFIX}venue_volume")}
    assert inputs == {unit.writes[0] for unit in old.units()[:2]}


def test_a_dead_file_that_is_taken_up_again_renews_what_was_computed_without_it(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "files", weeks(7))
    walk = Walk(connection, asked(tmp_path / "files"))
    connection.execute("UPDATE rederive.units SET state = 'dead' WHERE capture_id = %s AND unit = 6", [walk.run])
    walk.finish()
    assert counted(walk) == {"file": 7, "tier_split": 6, "rolling": 6, "snapshot": 6}
    connection.execute("UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND unit = 6", [walk.run])
    connection.execute("UPDATE rederive.captures SET state = 'running' WHERE capture_id = %s", [walk.run])
    walk.finish()
    assert counted(walk) == {"file": 7, "tier_split": 7, "rolling": 7, "snapshot": 7}


def test_a_middle_week_taken_up_late_gives_the_stages_after_it_captures_of_their_own(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    world = write(tmp_path / "files", weeks(7))
    walk = Walk(connection, asked(tmp_path / "files"))
    connection.execute("UPDATE rederive.units SET state = 'dead' WHERE capture_id = %s AND unit = 3", [walk.run])
    walk.finish()
    assert latest(connection, f"{PREFIX}symbol_rolling_6w") == []
    connection.execute("UPDATE rederive.units SET state = 'planned' WHERE capture_id = %s AND unit = 3", [walk.run])
    connection.execute("UPDATE rederive.captures SET state = 'running' WHERE capture_id = %s", [walk.run])
    walk.finish()
    written = [(unit.stage, capture) for unit in walk.units() for capture in unit.writes]
    assert len(set(written)) == len(written)
    expected = computed((file.name, file.content) for file in world.files(weeks(7), ["OTC"]))
    for table in (f"{PREFIX}symbol_rolling_6w", f"{PREFIX}research_snapshot"):
        rows = [row for row in plain(latest(connection, table)) if row["week_ending"] >= str(weeks(6)[-1])]
        assert rows_equal_deterministic(rows, expected[table]), table


def test_a_window_with_a_gap_is_asked_for_again_when_the_gap_is_filled(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    write(tmp_path / "files", [week for week in weeks(7) if week != MIDDLE])
    done(connection, asked(tmp_path / "files"))
    assert latest(connection, f"{PREFIX}symbol_rolling_6w") == []
    write(tmp_path / "files", [MIDDLE])
    walk = done(connection, asked(tmp_path / "files"))
    assert [unit for unit in walk.ranges() if "rolling" in unit] == [
        f"{week}/OTC/rolling" for week in (MIDDLE, weeks(7)[-1])
    ]
    assert latest(connection, f"{PREFIX}symbol_rolling_6w")


def why_stale(connection: psycopg.Connection, made: Plan[Any], request: Request) -> str | None:
    with closing(opened(connection, request)) as source:
        return source.stale(made)


def test_a_plan_is_stale_when_files_or_captures_have_changed(connection: psycopg.Connection, tmp_path: Path) -> None:
    world = write(tmp_path / "files", weeks(2))
    request = asked(tmp_path / "files")
    made = plan(connection, request)
    assert why_stale(connection, made, request) is None
    file = tmp_path / "files" / world.file(FIRST, "OTC").name
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    assert why_stale(connection, made, request) == f"{file.name} has changed"
    file.unlink()
    assert why_stale(connection, made, request) == f"{file.name}: it can't be read: No such file or directory"
    file.write_bytes(content)
    done(connection, request)
    assert why_stale(connection, made, request) == "2 partitions have been captured since, first 2025-01-03/OTC"
    stored = asked(None, FIRST, weeks(2)[-1], force=True)
    again = plan(connection, stored)
    assert why_stale(connection, again, stored) is None
    connection.execute("UPDATE rederive.units SET state = 'removed'")
    assert why_stale(connection, again, stored) == "2 of the captures it reads have been rolled back"
