"""Dead units of files, tried again after the files were mended."""

from datetime import date, timedelta
from pathlib import Path

import orjson
import psycopg
import pytest

from producers.finra.folder import read
from producers.finra.history import History
from rederive import captures
from rederive.settings import Settings
from samples.finra.files import FinraFiles
from schemas.finra.versions import PREFIX
from store import units
from tests.finra.runs import FIRST, Walk, asked, plan, weeks, write
from tests.program import last_object, rederive

pytestmark = pytest.mark.services

SECOND, THIRD, FOURTH = weeks(4)[1:]
HEADER_ALONE = "it has a header and no rows"


def path_of(world: FinraFiles, folder: Path, week: date) -> Path:
    return folder / world.file(week, "OTC").name


def broken(path: Path) -> bytes:
    """Leave a file's header alone; what it was."""
    content = path.read_bytes()
    path.write_bytes(content.partition(b"\n")[0] + b"\n")
    return content


def retried(connection: psycopg.Connection, walk: Walk) -> Walk:
    assert captures.reopen(connection, walk.run, dead=walk.source).state == "running"
    return walk.finish()


def failures(connection: psycopg.Connection, run: str) -> list[str]:
    return [cause.reason for cause in units.dead_by_cause(connection, run)]


def raw_weeks(connection: psycopg.Connection) -> list[date]:
    found = connection.execute(f"SELECT DISTINCT week_ending FROM {PREFIX}raw ORDER BY 1").fetchall()
    return [row[0] for row in found]


def test_mended_files_are_read_as_they_are_now(connection: psycopg.Connection, tmp_path: Path) -> None:
    world = write(tmp_path / "files", weeks(3))
    unusable = path_of(world, tmp_path / "files", SECOND)
    content = broken(unusable)
    walk = Walk(connection, asked(tmp_path / "files"))
    write(tmp_path / "files", [THIRD], edition=1)
    walk.finish()
    changed, refused = sorted(failures(connection, walk.run))
    assert "has changed since it was planned" in changed
    assert HEADER_ALONE in refused

    assert captures.reopen(connection, walk.run).state == "complete", "without `retry` nothing of it is taken up"
    assert len(failures(connection, walk.run)) == 2

    unusable.write_bytes(content)
    numbers = [unit.unit for unit in walk.units("dead")]
    retried(connection, walk)
    assert failures(connection, walk.run) == []
    again = [unit for unit in walk.units("applied") if unit.unit in numbers]
    history = History.load(connection, FIRST, THIRD)
    for unit, week in zip(again, (SECOND, THIRD), strict=True):
        (capture,) = unit.writes
        stored = read(path_of(world, tmp_path / "files", week))
        assert history.sha256(capture) == stored.sha256
        rows = connection.execute(f"SELECT count(*) FROM {PREFIX}raw WHERE capture_id = %s", [capture]).fetchone()
        assert rows == (stored.rows,)
    assert raw_weeks(connection) == weeks(3)
    assert plan(connection, asked(tmp_path / "files")).unit_count == 0, "what was retried is passed over"


def test_what_is_still_unusable_stays_dead_with_its_new_reason(connection: psycopg.Connection, tmp_path: Path) -> None:
    world = write(tmp_path / "files", weeks(3))
    first, second = (path_of(world, tmp_path / "files", week) for week in (SECOND, THIRD))
    broken(first)
    broken(second)
    walk = Walk(connection, asked(tmp_path / "files")).finish()
    assert all(HEADER_ALONE in one for one in failures(connection, walk.run))
    first.write_bytes(b"")
    second.unlink()
    retried(connection, walk)
    assert sorted(failures(connection, walk.run)) == [
        f"{first.name}: it is empty",
        f"{second.name}: it can't be read: No such file or directory",
    ]
    assert raw_weeks(connection) == [FIRST]


def test_a_file_that_says_another_week_now(connection: psycopg.Connection, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    world = write(folder, [FIRST])
    for name, week in (("a_otc.csv", SECOND), ("b_otc.csv", THIRD), ("c_otc.csv", FOURTH)):
        (folder / name).write_bytes(world.file(week, "OTC").content)
    walk = Walk(connection, asked(folder, FIRST, FOURTH))
    # The first takes the week of another file of the run, the second one outside its range, the third a free one.
    for name, week in (("a_otc.csv", FIRST), ("b_otc.csv", FOURTH + timedelta(weeks=1)), ("c_otc.csv", THIRD)):
        (folder / name).write_bytes(world.file(week, "OTC").content)
    walk.finish()
    assert len(walk.units("dead")) == 3
    retried(connection, walk)
    other = path_of(world, folder, FIRST).name
    assert sorted(failures(connection, walk.run)) == [
        f"a_otc.csv: the run has {other} of its week and tier already; take it in a run of its own",
        f"b_otc.csv: it is of OTC {FOURTH + timedelta(weeks=1)} now, which the run was not asked for",
    ]
    assert raw_weeks(connection) == [FIRST, THIRD]


def test_retry_by_its_command(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    world = write(tmp_path / "files", weeks(2))
    unusable = path_of(world, tmp_path / "files", SECOND)
    content = broken(unusable)
    words = ("replay", "finra", "--source", str(tmp_path / "files"), "--workers", "1", "--json")
    run = str(last_object(rederive(settings, *words, code=1).stdout)["capture_id"])

    unusable.write_bytes(b"")
    still = last_object(rederive(settings, "captures", "retry", run, "--json", code=1).stdout)
    assert still["dead_units"] == 1
    (dead,) = orjson.loads(rederive(settings, "captures", "show", run, "--json").stdout)["dead"]
    assert dead["failure"] == f"{unusable.name}: it is empty"

    unusable.write_bytes(content)
    done = last_object(rederive(settings, "captures", "retry", run, "--json").stdout)
    assert (done["errors"], done["dead_units"]) == (0, 0)
    assert raw_weeks(connection) == weeks(2)
