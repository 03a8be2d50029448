"""Which fields of an answer each value was read from, and that they suffice."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from typing import Any

import pytest

from processors.racing.explain import trace
from processors.racing.process import process
from samples.racing.days import racing_day
from schemas.provenance import Traced, Wanted
from schemas.racing.tables import CARD, RACING, REFERENCE, RESULT
from tests.racing.lines import FLAT, KETTLE, SAILING, answer, card_line, line, one_race, result_line
from tests.tracing import again, wanted_of

TODAY = date(2026, 6, 1)
DAY = racing_day(date(2024, 5, 18))


def _check(unit: bytes, most: int = 2) -> set[tuple[str, str]]:
    """Every column of the unit's rows comes from the inputs listed, and from nothing else; which columns there were."""
    seen = set()
    for block in process(unit, ()).tables:
        for wanted, value in wanted_of(RACING, block, most):
            found = trace(unit, wanted)
            assert found is not None, wanted
            assert again(RACING, map(asdict, found.inputs), wanted) == value, (wanted, found.inputs)
            if value is not None:
                seen.add((wanted.table, wanted.column))
    return seen


def _units() -> Iterable[bytes]:
    yield card_line()
    yield result_line()
    yield line("masters", answer("courses"), day=None)
    yield line("masters", answer("regions"), day=None)
    yield line("masters", {"bookmakers": [{"code": "bet365", "name": "Bet365", "type": "online", "is_active": True}]})
    yield line("horse", answer("horse"), day=None)
    # What the answers documented leave empty.
    of_card = ("going_detailed", "rail_movements", "stalls", "weather")
    runner = {"past_results_flags": ["C", "D"], "wind_surgery": "1st", "wind_surgery_run": "2"}
    yield line("racecards", one_race("racecards", race=dict.fromkeys(of_card, "Said"), runner=runner))
    of_result = ("comments", "pattern", "sex_rest", "tote_tricast", "tote_trifecta")
    yield line("results", one_race("results", race=dict.fromkeys(of_result, "Said")))


def test_every_column_of_the_answers_documented_comes_from_the_fields_listed() -> None:
    seen = {column for unit in _units() for column in _check(unit)}
    columns = {(table.name, column.name) for table in RACING.tables for column in table.columns}
    assert {f"{table}.{column}" for table, column in columns - seen} == set()


def test_so_does_every_column_of_a_day_of_the_sample() -> None:
    _check(line("racecards", {"racecards": DAY.cards(TODAY)[:6]}))
    _check(line("results", {"results": DAY.results(TODAY)[:6]}))


def _traced(unit: bytes, table: str, key: dict[str, Any], column: str, source: int) -> Traced:
    found = trace(unit, Wanted(table, key, column, source))
    assert found is not None
    return found


def _used(found: Traced) -> dict[str, Any]:
    return {one.path.rpartition(".")[2]: one.value for one in found.inputs if one.used}


def test_a_field_is_named_by_its_path_in_the_answer() -> None:
    found = _traced(card_line(), "ra_runners", {"race_id": FLAT, "horse_id": KETTLE}, "weight_lbs", CARD)
    assert [one.path for one in found.inputs if one.path.endswith(".lbs")] == ["payload.racecards[0].runners[0].lbs"]


def test_nobody_rides_a_runner_that_does_not_run() -> None:
    found = _traced(card_line(), "ra_runners", {"race_id": FLAT, "horse_id": SAILING}, "jockey_name", CARD)
    assert _used(found)["number"] == "NR"


def test_of_two_clocks_the_one_with_an_offset_counts() -> None:
    found = _traced(result_line(), "ra_races", {"id": FLAT}, "off_time", RESULT)
    unused = {one.path.rpartition(".")[2]: one.note for one in found.inputs if not one.used}
    assert "off_dt" in _used(found)
    assert unused["off"] == "off_dt comes before it"


def test_what_an_answer_does_not_say_is_a_null_with_its_reason() -> None:
    unit = line("racecards", one_race("racecards", runner={"dob": "2024-02-30", "form": "-", "spotlight": None}))
    key = {"race_id": FLAT, "horse_id": KETTLE}
    assert _traced(unit, "ra_runners", key, "dob", CARD).reason == "dob is '2024-02-30', not a date"
    notes = {column: _traced(unit, "ra_runners", key, column, CARD).inputs[-1] for column in ("form", "spotlight")}
    assert (notes["form"].used, notes["form"].note) == (True, "it says nothing")
    assert (notes["spotlight"].used, notes["spotlight"].note) == (False, "the payload doesn't say it")


@pytest.mark.parametrize("source", [CARD, RESULT, REFERENCE])
def test_a_unit_of_another_source_gives_nothing(source: int) -> None:
    units = {CARD: card_line(), RESULT: result_line(), REFERENCE: line("horse", answer("horse"), day=None)}
    for other, unit in units.items():
        found = trace(unit, Wanted("ra_runners", {"race_id": FLAT, "horse_id": KETTLE}, "rpr", source))
        assert (found is not None) == (other == source != REFERENCE)
