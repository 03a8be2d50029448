"""A file that is no plan is told what it is, which of its fields is wrong, and how a plan is made."""

import json
from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.plan import Plan, PlannedUnit, read_plan
from schemas.table import Mode

PLAN = Plan(
    domain="betfair",
    source="table",
    mode=Mode.FILL,
    derivation_version=1,
    columns=("home_risk",),
    request={},
    units=(PlannedUnit(unit=0, key_range="a..b", picked={"ids": [1]}, rows=1),),
).sealed()
WHOLE = PLAN.model_dump_json()


def _without(*names: str) -> str:
    return json.dumps({name: value for name, value in json.loads(WHOLE).items() if name not in names})


def _with(**values: Any) -> str:
    return json.dumps({**json.loads(WHOLE), **values})


def test_a_plan_is_read_as_it_was_written() -> None:
    assert read_plan(WHOLE, "plan.json") == PLAN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", ["plan.json is no plan", "it lacks domain, source, mode, derivation_version, columns, request, units"]),
        (_without("units"), ["it lacks units"]),
        (_with(units=[{"unit": 0}]), ["it lacks units.0.key_range, units.0.picked, units.0.rows"]),
        (_with(mode="shadow"), ["its field mode: ", "'fill', 'supersede'"]),
        ("[]", ["a plan is one JSON object, this is a list"]),
        ("null", ["this is null"]),
        ("", ["it is empty"]),
        ("betfair", ["it is no JSON", "line 1"]),
        (WHOLE[:-1], ["it ends in the middle", "line 1"]),
        (WHOLE[: len(WHOLE) // 2], ["it ends in the middle", "line 1"]),
        (WHOLE[: WHOLE.index("home_risk") + 4], ["it ends in the middle", "line 1"]),
    ],
)
def test_what_is_no_plan_is_told_why(text: str, said: list[str]) -> None:
    with pytest.raises(UsageError) as refused:
        read_plan(text, "plan.json")
    for part in [*said, "plan.json", "`rederive plan betfair > plan.json` makes one"]:
        assert part in str(refused.value)


def test_a_plan_of_a_newer_format_is_named_as_such() -> None:
    with pytest.raises(UsageError) as refused:
        read_plan(_with(format=2, unheard_of={}), "plan.json")
    assert "plan.json is a plan of format 2" in str(refused.value)
    assert "reads format 1" in str(refused.value)
