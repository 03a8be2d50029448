"""What `rederive compute racing` says is what the sinks make of the same answers."""

from datetime import datetime
from random import Random
from typing import Any

import psycopg
import pytest

from processors.racing.process import process
from schemas.racing.tables import RACING
from schemas.table import Mode, Table
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.merge.merging import prepare
from tests.racing.lines import EVENING, MORNING, NEXT_DAY, PAJARO, Folded, answer, folded, line
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services


def answers() -> list[bytes]:
    """Cards and results of three fetches, with what changes on such days; masters and a horse's detail."""
    poorer, amended = answer("racecards"), answer("results")
    for runner in poorer["racecards"][0]["runners"]:
        runner.update(spotlight="", odds=[], ofr="-", jockey="", past_results_flags=["C"])
    for runner in amended["results"][0]["runners"]:
        if runner["horse_id"] == PAJARO:
            runner.update(position="DSQ", prize="", comment="")
    return [
        *(line("racecards", answer("racecards"), observed) for observed in (MORNING, EVENING)),
        line("racecards", poorer, NEXT_DAY),
        line("results", answer("results"), MORNING),
        line("results", amended, EVENING),
        line("results", answer("results") | {"results": amended["results"][1:]}, NEXT_DAY),
        line("masters", answer("courses"), MORNING, None),
        line("masters", answer("regions"), MORNING, None),
        line("horse", answer("horse"), EVENING, None),
    ]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_compute_says_what_the_tables_hold(migrated: str, seed: int) -> None:
    random = Random(seed)
    lines = random.choices(answers(), k=7)
    with psycopg.connect(migrated, autocommit=True, options="-c TimeZone=UTC") as connection:
        prepare(connection, RACING.tables)
        capture = make_capture(connection, 1, Mode.SUPERSEDE, RACING.derivation_version)
        units = [Result(Origin("t", 0, n), capture, n, process(value, ())) for n, value in enumerate(lines)]
        while units:
            batch, units = units[: (size := random.randint(1, 3))], units[size:]
            assert not apply(connection, RACING, capture, batch).refused
        tables = {table.name: stored(connection, table) for table in RACING.tables}
    assert {name: rows for name, rows in tables.items() if rows} == as_stored(folded(*lines))


def stored(connection: psycopg.Connection, table: Table) -> dict[tuple[str, ...], dict[str, Any]]:
    found = [row for (row,) in connection.execute(f"SELECT to_jsonb(t) FROM {table.name} t")]
    return {tuple(row[column.name] for column in table.key): _comparable(table, row) for row in found}


def as_stored(rows: Folded) -> Folded:
    return {
        name: {key: _comparable(RACING.table(name), row) for key, row in found.items()} for name, found in rows.items()
    }


def _comparable(table: Table, row: dict[str, Any]) -> dict[str, Any]:
    """The merged columns; a moment is one whatever its offset."""
    return {
        column.name: datetime.fromisoformat(value)
        if column.type == "timestamptz" and (value := row[column.name]) is not None
        else row[column.name]
        for column in table.columns
    }
