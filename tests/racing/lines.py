"""Lines of raw racing records for tests, and what becomes of them."""

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from processors.racing.line import compute
from processors.racing.process import process
from schemas.derived import decode_outcome, encode_outcome
from schemas.outcome import Outcome
from schemas.racing.tables import CARD, OBSERVED, RACING, REFERENCE, RESULT
from schemas.table import Table

MORNING, EVENING, NEXT_DAY = (f"2024-05-{at}:00:00+00:00" for at in ("18T09", "18T20", "19T06"))
KETTLE, PAJARO, SAILING, ASPHODEL, LADDER, TWICE = (f"hrs_3100010{n}" for n in range(1, 7))
FLAT, HURDLE = "rac_41000001", "rac_41000002"

_ANSWERS = Path(__file__).parent / "answers"

Folded = dict[str, dict[tuple[str, ...], dict[str, Any]]]


def answer(name: str) -> Any:
    """An answer of the racing spec, section 13: racecards, results, courses, regions or horse."""
    return json.loads((_ANSWERS / f"{name}.json").read_text())


def line(kind: str, payload: object, observed: str = MORNING, day: str | None = "2024-05-18") -> bytes:
    return json.dumps({"kind": kind, "date": day, "observed": observed, "payload": payload}).encode()


def card_line(observed: str = MORNING) -> bytes:
    return line("racecards", answer("racecards"), observed)


def result_line(observed: str = EVENING) -> bytes:
    return line("results", answer("results"), observed)


def one_race(name: str, *, race: dict[str, Any] | None = None, runner: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer's first race with its first runner only, with these fields changed."""
    whole = answer(name)
    first = whole[name][0]
    first["runners"] = [first["runners"][0] | (runner or {})]
    return {**whole, name: [first | (race or {})]}


def without(given: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: deepcopy(value) for name, value in given.items() if name not in names}


def rows(outcome: Outcome, table: str) -> list[dict[str, Any]]:
    """All rows of a table in an outcome, by column."""
    return [
        dict(zip(block.columns, row, strict=True))
        for block in outcome.tables
        if block.table == table
        for row in block.rows()
    ]


def row(lines: bytes, table: str) -> dict[str, Any]:
    """The only row of a table."""
    (found,) = rows(process(lines, ()), table)
    return found


def folded(*lines: bytes) -> Folded:
    """Table, key and row of what `rederive compute racing` puts out; no line may have an error."""
    found: Folded = {}
    for computed in compute(lines):
        assert computed.error is None, computed
        if computed.output is not None:
            said = json.loads(computed.output)
            found.setdefault(said["table"], {})[tuple(said["key"].values())] = said["row"]
    return found


def expect_fit(outcome: Outcome) -> None:
    """What a sink relies on: known columns, one row a key and source, values of their types, no dangling id."""
    assert outcome.dead is None
    count = 0
    seen = set()
    for block in outcome.tables:
        given = block.rows()
        table = RACING.table(block.table)
        assert block.source in (CARD, RESULT, REFERENCE)
        assert (block.table, block.source) not in seen
        seen.add((block.table, block.source))
        assert len(set(block.columns)) == len(block.columns)
        keys = [tuple(each[block.columns.index(column.name)] for column in table.key) for each in given]
        assert len(set(keys)) == len(keys) > 0
        for each in given:
            _expect_row(table, dict(zip(block.columns, each, strict=True)))
        count += len(block)
    assert outcome.read == count + len(outcome.skips) + len(outcome.errors)
    _expect_masters(outcome)
    assert decode_outcome(encode_outcome(outcome)).tables == outcome.tables


def _expect_row(table: Table, found: dict[str, Any]) -> None:
    types = {column.name: column.type for column in (*table.key, *table.columns)}
    assert _moment(found.pop(OBSERVED))
    for name, value in found.items():
        assert value is not None or name not in {column.name for column in table.key}
        assert value is None or _fits(value, types[name]), (table.name, name, value)


def _fits(value: Any, type_: str) -> bool:
    if type_.startswith(("varchar", "text")):
        limit = int(type_[8:-1]) if type_.startswith("varchar(") else len(value)
        return type(value) is str and "" != value == value.strip() and "\0" not in value and len(value) <= limit
    if type_.startswith("numeric"):
        return type(value) is float and abs(value) < (1e8 if type_ == "numeric(10,2)" else float("inf"))
    fits: dict[str, Callable[[], bool]] = {
        "integer": lambda: type(value) is int and -(2**31) <= value < 2**31,
        "boolean": lambda: type(value) is bool,
        "date": lambda: date.fromisoformat(value).isoformat() == value,
        "time": lambda: time.fromisoformat(value).isoformat() == value,
        "timestamptz": lambda: _moment(value),
        "jsonb": lambda: type(value) is list and value != [] and "\0" not in json.dumps(value, allow_nan=False),
    }
    return fits[type_]()


def _moment(value: str) -> bool:
    return datetime.fromisoformat(value).utcoffset() is not None


def _expect_masters(outcome: Outcome) -> None:
    """Every id that a row refers to has a row from the same unit."""
    known = {
        column: {each["id"] for each in rows(outcome, table)}
        for column, table in (
            ("race_id", "ra_races"),
            *((f"{name}_id", f"ra_mst_{name}s") for name in ("horse", "jockey", "trainer", "owner")),
            *((f"{name}_id", f"ra_mst_{name}s") for name in ("sire", "dam", "damsire")),
        )
    }
    for table in ("ra_runners", "ra_mst_horses", "ra_horse_pedigree"):
        for each in rows(outcome, table):
            for column, ids in known.items():
                assert each.get(column) is None or each[column] in ids, (table, column, each)
