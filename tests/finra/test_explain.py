"""Which rows of a file, or of what is stored, each value was computed from, and that they suffice."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import orjson
import pytest

from processors.finra.explain import trace
from processors.finra.process import process
from samples.finra import sample
from samples.finra.files import FinraFiles
from schemas.finra import tables
from schemas.finra.file import decode_file
from schemas.finra.partition import capture_id, window
from schemas.finra.tables import FINRA
from schemas.finra.units import FileUnit
from schemas.provenance import Traced, Wanted
from schemas.table import SHOWN
from tests.finra.texts import AT, NAME, WEEK, content, unit
from tests.tracing import again, wanted_of

CAPTURE = capture_id("OTC", WEEK, AT)
HEAD = {"captured_at": AT.isoformat(), "week_ending": WEEK.isoformat(), "tier": "OTC", "capture_id": CAPTURE}


def _check(value: bytes, most: int = 2) -> set[tuple[str, str]]:
    """Every column of the unit's rows comes from the inputs listed, and from nothing else; which columns there were."""
    seen = set()
    for block in process(value, ()).tables:
        shows = FINRA.table(block.table).shows
        for wanted, stored in wanted_of(FINRA, block, most):
            if shows and (wanted.column in shows.columns or wanted.column == SHOWN):
                continue
            found = trace(value, wanted)
            assert found is not None, wanted
            assert again(FINRA, map(asdict, found.inputs), wanted) == stored, (wanted, found.inputs[:20])
            if stored is not None:
                seen.add((wanted.table, wanted.column))
    return seen


def _made(tier: str = "OTC") -> bytes:
    made = FinraFiles(symbols=12, rows=40, faults=0.3).file(WEEK, tier)
    return FileUnit(captured_at=AT, file_name=made.name, content=decode_file(made.content)).encode()


def _value(kind: str, rows: list[list[Any]], **more: Any) -> bytes:
    head = {"kind": kind, **HEAD, **more}
    return b"\n".join(map(orjson.dumps, [head, *rows]))


def _rows_of(value: bytes, table: str, names: tuple[str, ...]) -> list[list[Any]]:
    (block,) = (one for one in process(value, ()).tables if one.table == table)
    places = [block.columns.index(name) if name in block.columns else None for name in names]
    return [[None if at is None else row[at] for at in places] for row in block.rows()]


def _stored() -> Iterator[bytes]:
    """A unit of each kind that reads stored rows."""
    from schemas.finra.units import RawUnit, VolumeUnit

    raw = _rows_of(_made(), tables.RAW.name, RawUnit.ROWS)
    yield _value("raw", raw, source_file=NAME, input_capture_id=CAPTURE)
    volumes = _rows_of(_made(), tables.VENUE_VOLUME.name, VolumeUnit.ROWS)
    yield _value("venue_volume", volumes, input_capture_id=CAPTURE)
    summaries = _rows_of(_made(), tables.SYMBOL_SUMMARY.name, ("symbol", "total_volume"))
    tiers = {"OTC": {"capture_id": CAPTURE}, "ATS": {"capture_id": capture_id("ATS", WEEK, AT)}}
    split = {
        "kind": "tier_split",
        "captured_at": HEAD["captured_at"],
        "week_ending": HEAD["week_ending"],
        "tiers": tiers,
    }
    rows = [[tier, *each] for tier in tiers for each in summaries]
    yield b"\n".join(map(orjson.dumps, [split, *rows]))
    weeks = [["AABB", week.isoformat(), 100 + n, n] for n, week in enumerate(window(WEEK), start=1)]
    facts = {"weeks": [week.isoformat() for week in window(WEEK)], "symbols": 2, "complete": 1, "partial": ["FNMA"],
             "input_min_capture_id": CAPTURE, "input_max_capture_id": CAPTURE, "input_min_captured_at": AT.isoformat(),
             "input_max_captured_at": AT.isoformat()}  # fmt: skip
    yield _value("rolling", [*weeks, ["FNMA", WEEK.isoformat(), 5, 1]], facts=facts)
    snapshots: list[list[Any]] = [["AABB", 10, 2, 1, 5.0, 1.5, 2.5, 1, 2, "UP", 7.0], ["FNMA", 4, 0, 2, *[None] * 7]]
    yield _value("snapshot", snapshots, input_capture_id=CAPTURE)


def test_every_column_of_every_stage_comes_from_the_rows_listed() -> None:
    seen = _check(_made()) | {column for value in _stored() for column in _check(value)}
    columns = {(table.name, column.name) for table in FINRA.tables for column in table.columns}
    shown = tables.SYMBOL_VENUE_VOLUME
    assert shown.shows is not None
    columns -= {(shown.name, name) for name in shown.shows.columns}
    runs = {"execution_id", "batch_id"}
    assert {column for column in columns - seen if column[1] not in runs} <= {
        (table.name, "input_capture_id") for table in FINRA.tables
    }


def test_every_column_of_the_real_sample_comes_from_the_rows_listed() -> None:
    name = sample.NAMES[0]
    _check(FileUnit(captured_at=AT, file_name=name, content=sample.content(name)).encode(), most=1)


def _traced(value: bytes, table: str, column: str, **key: Any) -> Traced:
    found = trace(value, Wanted(table, {"week_ending": str(WEEK), "tier": "OTC", "capture_id": CAPTURE, **key}, column))
    assert found is not None
    return found


def test_a_share_names_the_rows_that_it_adds_up_and_those_that_were_rejected() -> None:
    text = content([("AABB", "NITE", 60, 2), ("AABB", "OTCN", 40, 1), ("AABB", "NITE", 10, 1), ("FNMA", "NITE", 9, 1)])
    found = _traced(
        unit(text).encode(), tables.SYMBOL_VENUE_SHARE.name, "venue_share", symbol="AABB", mpid="NITE",
    )  # fmt: skip
    rows = {one.path: (one.used, one.note) for one in found.inputs if one.path.startswith("content[")}
    assert rows == {
        "content[0]": (True, "the header"),
        "content[1]": (True, ""),
        "content[2]": (True, ""),
        "content[3]": (False, "DUPLICATE_KEY: line 2 is kept"),
    }


@pytest.mark.parametrize("table", [tables.ROLLING.name, tables.RAW.name])
def test_a_unit_of_another_capture_gives_nothing(table: str) -> None:
    other = capture_id("OTC", WEEK, AT + timedelta(days=1))
    key = {"week_ending": str(WEEK), "tier": "OTC", "capture_id": other, "symbol": "AABB", "line_number": 2}
    assert trace(unit(content([("AABB", "NITE", 6, 2)])).encode(), Wanted(table, key, "capture_id")) is None
