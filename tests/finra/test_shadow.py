"""Weeks in shadow: computed through all stages of their own rows, seen by nobody, served when they are promoted."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import cast

import psycopg
import pytest

from rederive import captures, promotion
from rederive.comparison import Comparison
from schemas.errors import Failed, UsageError
from schemas.finra.tables import FINRA, RAW, ROLLING, VENUE_VOLUME
from schemas.table import Mode
from sinks.policies import prepare
from tests.finra.runs import asked, plan, weeks, write
from tests.finra.test_rollback import Merged
from tests.finra.test_runs import by_run, everything

pytestmark = pytest.mark.services

WEEKS = weeks(6)


@pytest.fixture
def folder(connection: psycopg.Connection, tmp_path: Path) -> Path:
    prepare(connection, FINRA)
    write(tmp_path / "weekly", WEEKS)
    return tmp_path / "weekly"


def in_shadow(connection: psycopg.Connection, folder: Path, *, force: bool = False) -> Merged:
    walk = Merged(connection, replace(asked(folder, force=force), mode=Mode.SHADOW))
    walk.finish()
    return walk


def promoted(connection: psycopg.Connection, run: str) -> dict[str, int]:
    done: dict[str, int] = {}
    for table, what in promotion.promote(connection, run):
        done[table] = done.get(table, 0) + what.rows
    return done


def kept(connection: psycopg.Connection) -> dict[str, int]:
    """Rows in shadow, by table, of those that have any."""
    counts = {
        table.name: connection.execute(f"SELECT count(*) FROM {table.shadow.name}".encode()).fetchone()
        for table in FINRA.tables
        if table.policy is Mode.INSERT
    }
    return {name: row[0] for name, row in counts.items() if row and row[0]}


def test_all_stages_are_computed_and_nobody_sees_them_until_they_are_promoted(
    connection: psycopg.Connection, folder: Path
) -> None:
    nothing = everything(connection)
    walk = in_shadow(connection, folder)
    assert {unit.stage for unit in walk.units()} == {"file", "tier_split", "rolling", "snapshot"}
    assert kept(connection)[ROLLING.name] > 0
    assert everything(connection) == nothing
    # Nor does a plan: for others these weeks have never been there.
    assert len(plan(connection, asked(folder)).units) == len(WEEKS)

    done = promoted(connection, walk.run)

    assert kept(connection) == {}
    assert done[VENUE_VOLUME.name] > 0
    shown = dict(by_run(connection, walk.run))
    assert not plan(connection, asked(folder)).units
    for _ in captures.rollback(connection, walk.run):
        pass
    ordinary = Merged(connection, asked(folder)).finish()
    assert dict(by_run(connection, ordinary.run)) == shown


def test_a_promotion_that_dies_is_said_again(connection: psycopg.Connection, folder: Path) -> None:
    walk = in_shadow(connection, folder)
    with closing(cast("Generator[object]", promotion.promote(connection, walk.run))) as one_by_one:
        for _ in range(3):
            next(one_by_one)
    assert kept(connection)
    assert captures.find(connection, walk.run).state == "promoting"
    served = connection.execute(f"SELECT capture_id FROM {RAW.name} LIMIT 1".encode()).fetchone()
    assert served is not None
    with pytest.raises(Failed, match="is being promoted"):
        list(captures.rollback(connection, served[0]))

    promoted(connection, walk.run)

    assert kept(connection) == {}
    assert captures.find(connection, walk.run).state == "complete"
    assert not promoted(connection, walk.run)


def test_a_shadow_is_taken_back(connection: psycopg.Connection, folder: Path) -> None:
    nothing = everything(connection)
    walk = in_shadow(connection, folder)
    taken = dict(captures.rollback(connection, walk.run))
    assert taken[VENUE_VOLUME.name].entries > 0
    assert not any(one.deleted for one in taken.values())
    assert not {name for name in kept(connection) if not FINRA.table(name).audit}
    assert everything(connection) == nothing


def test_a_preview_says_what_would_be_shown_with_another_value(
    connection: psycopg.Connection, folder: Path, tmp_path: Path
) -> None:
    walk = Merged(connection, asked(folder))
    walk.finish()
    same = in_shadow(connection, folder, force=True)
    expected = promotion.preview(connection, same.run)[VENUE_VOLUME.name]
    assert expected.rows > 0
    assert not expected.changed

    write(tmp_path / "restated", WEEKS[:1], edition=1)
    other = in_shadow(connection, tmp_path / "restated")
    compared = {one.table: one for one in Comparison.of(connection, other.run).run(connection)}[VENUE_VOLUME.name]
    expected = promotion.preview(connection, other.run)[VENUE_VOLUME.name]
    assert expected.changed == compared.differing + compared.only_one + compared.only_other
    assert expected.columns["total_shares"] == compared.columns["total_shares"].rows + compared.only_one
    assert 0 < expected.columns["total_shares"] <= expected.changed <= expected.rows

    # Behind a newer capture of the week nothing of it would be seen.
    write(tmp_path / "again", WEEKS[:1], edition=2)
    newer = Merged(connection, asked(tmp_path / "again"))
    newer.finish()
    assert not promotion.preview(connection, other.run)[VENUE_VOLUME.name].changed
    # It has changed what stands between it and what was shown before.
    changed = {one.table: one for one in Comparison.changes(connection, newer.run).run(connection)}[VENUE_VOLUME.name]
    against = {one.table: one for one in Comparison.of(connection, newer.run, walk.run).run(connection)}
    assert 0 < changed.differing == against[VENUE_VOLUME.name].differing
    assert changed.only_one == against[VENUE_VOLUME.name].only_one


def test_a_table_that_shows_another_ones_rows_is_not_compared_twice(
    connection: psycopg.Connection, folder: Path
) -> None:
    run = in_shadow(connection, folder).run
    shown = next(table for table in FINRA.tables if table.shows)
    assert shown.name not in {one.table for one in Comparison.of(connection, run).run(connection)}
    with pytest.raises(UsageError, match=f"{shown.name} has no rows of its own") as refused:
        Comparison.of(connection, run, tables=[shown.name])
    assert f"--table {VENUE_VOLUME.name}" in str(refused.value)
