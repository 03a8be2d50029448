"""A restated week replaces the week: views, as-of functions and stage inputs take its newest capture, whole."""

from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from producers.finra.picks import Captured
from producers.finra.stored import captures_of
from rederive import captures
from samples.finra.files import HEADER
from schemas.finra.partition import window
from schemas.finra.tables import FINRA, ROLLING, SNAPSHOT, SYMBOL_SUMMARY, VENUE_SHARE
from schemas.finra.versions import PREFIX
from tests.finra import naive
from tests.finra.runs import FIRST, Walk, asked, done, weeks

pytestmark = pytest.mark.services

TABLES = [table.name for table in FINRA.tables if table.name.startswith(PREFIX)]
SYMBOLS, VENUES = ("AABB", "BRK.B", "FNMA"), ("CDEL", "NITE", "OTCN")

Rows = dict[tuple[str, str], int]
"""Shares by symbol and venue."""


def put(folder: Path, week: date, rows: Rows) -> None:
    folder.mkdir(exist_ok=True)
    published = week + timedelta(days=3)
    lines = [f"OTC|{symbol}|n|v|{mpid}|{shares}|{shares}|{published}" for (symbol, mpid), shares in rows.items()]
    (folder / f"week_{week}_otc.psv").write_text("\n".join([HEADER, *lines]) + "\n")


def everything(shares: int) -> Rows:
    return {(symbol, mpid): shares + n for n, symbol in enumerate(SYMBOLS) for mpid in VENUES}


def shown(connection: psycopg.Connection, of: str = "_latest") -> dict[str, list[tuple[Any, ...]]]:
    """What is shown of each table; `of` ends a view's name, or a function's with its argument."""
    return {name: sorted(connection.execute(f"SELECT t::text FROM {name}{of} t").fetchall()) for name in TABLES}


def symbols(connection: psycopg.Connection, name: str, week: date, of: str = "_latest") -> set[str]:
    rows = connection.execute(f"SELECT symbol FROM {name}{of} WHERE week_ending = %s", [week]).fetchall()
    return {symbol for (symbol,) in rows}


def take_back(connection: psycopg.Connection, walk: Walk) -> None:
    assert list(captures.rollback(connection, walk.run))


def test_what_a_restatement_drops_is_gone_until_it_is_rolled_back(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    all_weeks = weeks(8)
    for week in all_weeks:
        put(tmp_path / "files", week, everything(100))
    done(connection, asked(tmp_path / "files"))
    before = shown(connection)
    ((moment,),) = connection.execute(f"SELECT max(captured_at) FROM {VENUE_SHARE.name}").fetchall()

    restated = all_weeks[2]
    put(tmp_path / "files", restated, {("AABB", "NITE"): 30, ("BRK.B", "NITE"): 10, ("BRK.B", "CDEL"): 60})
    walk = done(connection, asked(tmp_path / "files"))

    for name in TABLES:
        if name not in (VENUE_SHARE.name, ROLLING.name):
            assert symbols(connection, name, restated) == {"AABB", "BRK.B"}, name
    shares = f"SELECT mpid, market_share_pct FROM {VENUE_SHARE.name}_latest WHERE week_ending = %s ORDER BY rank"
    assert connection.execute(shares, [restated]).fetchall() == [("CDEL", 0.6), ("NITE", 0.4)]
    # Of the windows that the store holds, those of the sixth week and after, and all of them hold the week.
    for week in all_weeks[5:]:
        assert symbols(connection, ROLLING.name, week) == {"AABB", "BRK.B"}
        kept = connection.execute(
            f"SELECT symbol FROM {SNAPSHOT.name}_latest WHERE week_ending = %s AND rolling_avg_volume IS NULL", [week]
        ).fetchall()
        assert kept == [("FNMA",)]
    # One capture of each week is read.
    for unit in walk.units():
        read = [capture.split(":")[2] for capture in unit.reads]
        if unit.stage == "rolling":
            assert len(read) == len(set(read))
    assert shown(connection, f"_as_of('{moment}')") == before
    assert done(connection, asked(tmp_path / "files")).ranges() == []

    take_back(connection, walk)
    assert shown(connection) == before


def expected(files: dict[date, list[tuple[str, Rows]]]) -> dict[str, set[tuple[Any, ...]]]:
    """What the views show, plainly: of each week the last of its captures that is left, and nothing else."""
    last = {week: editions[-1][1] for week, editions in files.items()}
    shares, summaries = set(), set()
    volumes: list[tuple[str, date, int, int]] = []
    for week, rows in last.items():
        plain = [
            {"symbol": s, "mpid": m, "total_shares": n, "total_trades": n, "source_last_update_date": None}
            for (s, m), n in rows.items()
        ]
        shares |= {(week, row["mpid"], row["market_share_pct"], row["rank"]) for row in naive.venue_share(plain, "v1")}
        of_week = naive.summary(plain)
        summaries |= {(week, row["symbol"], row["total_volume"]) for row in of_week}
        volumes += [(row["symbol"], week, row["total_volume"], row["total_trades"]) for row in of_week]
    rolled = {
        (week, row["symbol"], row["avg_volume"])
        for week in last
        if all(each in last for each in window(week))
        for row in naive.rolling(list(window(week)), [row for row in volumes if row[1] in window(week)])
    }
    return {"shares": shares, "summaries": summaries, "rolling": rolled}


def stored(connection: psycopg.Connection) -> dict[str, set[tuple[Any, ...]]]:
    def rows(columns: str, name: str) -> set[tuple[Any, ...]]:
        return set(connection.execute(f"SELECT week_ending, {columns} FROM {name}_latest").fetchall())

    return {
        "shares": rows("mpid, market_share_pct, rank", VENUE_SHARE.name),
        "summaries": rows("symbol, total_volume", SYMBOL_SUMMARY.name),
        "rolling": rows("symbol, avg_volume", ROLLING.name),
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shares_add_up_to_one_after_any_restatements_and_rollbacks(
    connection: psycopg.Connection, tmp_path: Path, seed: int
) -> None:
    random, all_weeks = Random(seed), weeks(7)
    for week in all_weeks:
        put(tmp_path / "files", week, everything(50))
    done(connection, asked(tmp_path / "files"))
    files = {week: [("", everything(50))] for week in all_weeks}
    walks: dict[str, Walk] = {}
    for step in range(10):
        if walks and random.random() < 0.35:
            run = random.choice(sorted(walks))
            take_back(connection, walks.pop(run))
            files = {week: [one for one in editions if one[0] != run] for week, editions in files.items()}
            # What read another capture was taken back with it: the rest is computed of what is left.
            done(connection, asked(None, FIRST, all_weeks[-1]))
        else:
            week = random.choice(all_weeks)
            some = random.sample(sorted(everything(0)), random.randint(1, 8))
            # One symbol stays everywhere, so that every window has something to show.
            rows = {key: random.randint(1, 1_000) for key in [*some, ("AABB", "NITE")]}
            put(tmp_path / str(step), week, rows)
            walk = done(connection, asked(tmp_path / str(step), force=True))
            walks[walk.run] = walk
            files[week].append((walk.run, rows))
        assert stored(connection) == expected(files)
        sums = connection.execute(f"SELECT sum(market_share_pct) FROM {VENUE_SHARE.name}_latest GROUP BY week_ending")
        assert all(abs(total - 1) < 1e-12 for (total,) in sums)


def test_a_tie_goes_to_the_greatest_capture_id_and_another_version_does_not_count(
    connection: psycopg.Connection,
) -> None:
    at = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
    for capture, version, later in (("a", "v1", 0), ("b", "v1", 0), ("c", "v2", 1)):
        connection.execute(
            f"""INSERT INTO {VENUE_SHARE.name} (week_ending, tier, capture_id, mpid, calc_name, calc_version,
                    captured_at, market_share_pct) VALUES (%s, 'OTC', %s, %s, 'venue_share', %s, %s, 1)""",
            [FIRST, capture, f"V{capture}", version, at + timedelta(days=later)],
        )
    assert connection.execute(f"SELECT mpid FROM {VENUE_SHARE.name}_latest").fetchall() == [("Vb",)]
    found = captures_of(connection, VENUE_SHARE, [FIRST])
    assert found == {(FIRST, "OTC"): [Captured("b", at), Captured("a", at)]}
