"""A file that is no plan is told what it is, which of its fields is wrong, and how a plan is made."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from producers.betfair.snapshots import Snapshots
from producers.finra.locators import FileWork, StageWork, Unusable
from rederive.plans import read_plan
from rederive.replayer import Replayer
from rederive.settings import Settings
from schemas.errors import Failed, UsageError
from schemas.lane import LaneName
from schemas.plan import Plan, PlannedUnit
from schemas.table import Mode

PLAN: Plan[Snapshots] = Plan(
    domain="betfair",
    source="table",
    mode=Mode.FILL,
    derivation_version=1,
    columns=("home_risk",),
    request={},
    units=(PlannedUnit(unit=0, key_range="a..b", locator=Snapshots(ids=(1,)), rows=1),),
).sealed()
WHOLE = PLAN.model_dump_json()


def _without(*names: str) -> str:
    return json.dumps({name: value for name, value in json.loads(WHOLE).items() if name not in names})


def _with(**values: Any) -> str:
    return json.dumps({**json.loads(WHOLE), **values})


def _units(**values: Any) -> str:
    return _with(units=[{**json.loads(WHOLE)["units"][0], **values}])


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"columns": ("home_risk", "nope")}, "betfair has no column nope"),
        ({"mode": Mode.INSERT}, "rows of betfair aren't written by insert"),
    ],
)
def test_a_plan_sealed_by_hand_is_one_of_its_domain(changed: dict[str, Any], why: str) -> None:
    with pytest.raises(Failed, match="can't be applied") as refused:
        Replayer(Settings(), "").check(PLAN.model_copy(update=changed).sealed())
    assert refused.value.why == why


def test_a_plan_is_read_as_it_was_written() -> None:
    assert read_plan(WHOLE, "plan.json") == PLAN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", ["plan.json is no plan", "it lacks domain, source, mode, derivation_version, columns, request, units"]),
        (_without("units"), ["it lacks units"]),
        (_with(units=[{"unit": 0}]), ["it lacks units.0.key_range, units.0.locator"]),
        (_with(mode="replace"), ["its field mode: ", "'fill', 'supersede'"]),
        (_units(unit=-1), ["its field units.0.unit: ", "greater than or equal to 0"]),
        (_units(unit=2**31), ["its field units.0.unit: ", "less than"]),
        (_units(rows=-7), ["its field units.0.rows: ", "greater than or equal to 0"]),
        (_with(units=[*json.loads(WHOLE)["units"]] * 2), ["unit 0 is there 2 times"]),
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
        read_plan(_with(format=3, unheard_of={}), "plan.json")
    assert "plan.json is a plan of format 3" in str(refused.value)
    assert "reads format 2" in str(refused.value)


def test_a_plan_whose_format_was_altered_is_refused() -> None:
    plan = read_plan(_with(format=1), "plan.json")
    with pytest.raises(Failed, match="the plan can't be applied"):
        Replayer(Settings(), "").check(plan)


_AT = datetime(2024, 1, 20, 12, 0, 0, 5, tzinfo=UTC)

# As the program before wrote them, digests included.
_BETFAIR_1 = {
    "format": 1,
    "domain": "betfair",
    "source": "table",
    "mode": "fill",
    "derivation_version": 1,
    "columns": ["home_risk"],
    "request": {"start": None, "end": None, "keys": [], "all_rows": False, "limit": None},
    "found": 3,
    "unit_count": 2,
    "nulls": {"home_risk": 3},
    "notes": [],
    "units": [
        {"unit": 0, "key_range": "1.1/1..1.1/2", "picked": {"ids": [1, 2]}, "rows": 2, "lane": "replay"},
        {"unit": 1, "key_range": "1.1/3", "picked": {"ids": [3]}, "rows": 1, "lane": "replay"},
    ],
    "digest": "cbdaabbadf1352a37842502e816314806a845acbfb36be005b337f879a888b12",
}
_FINRA_1 = {
    "format": 1,
    "domain": "finra",
    "source": "files",
    "mode": "insert",
    "derivation_version": 1,
    "columns": [],
    "request": {"start": None, "end": None, "keys": [], "kinds": [], "force": False},
    "found": 7,
    "unit_count": 3,
    "nulls": {},
    "notes": ["1 file can't be used"],
    "units": [
        {
            "unit": 0,
            "key_range": "2024-01-12/T1/file/a.psv",
            "picked": {
                "stage": "file",
                "week": "2024-01-12",
                "tier": "T1",
                "captures": ["T1:1"],
                "inputs": [],
                "captured_at": "2024-01-20T12:00:00.000005+00:00",
                "work": ["symbol_summary"],
                "versions": {"symbol_summary": "1.0.0"},
                "reject_zero_volume": True,
                "path": "/weekly/a.psv",
                "sha256": "ab",
                "found": 7,
            },
            "rows": None,
            "lane": "log",
        },
        {
            "unit": 1,
            "key_range": "2024-01-12/all/tier_split",
            "picked": {
                "stage": "tier_split",
                "week": "2024-01-12",
                "tiers": ["T1", "T2"],
                "minted": ["2024-01-20T12:00:00.000005+00:00", "2024-01-20T12:00:00.000006+00:00"],
                "captures": ["T1:2", "T2:2"],
                "inputs": ["T1:1"],
                "captured_at": "2024-01-20T12:00:00.000006+00:00",
                "work": ["tier_split"],
                "versions": {},
                "reject_zero_volume": True,
            },
            "rows": None,
            "lane": "replay",
        },
        {
            "unit": 2,
            "key_range": "file/b.psv",
            "picked": {"stage": "file", "refused": "b.psv: it is empty", "captures": [], "inputs": []},
            "rows": None,
            "lane": "replay",
        },
    ],
    "digest": "bc5d029a94303c39c4cf478dbc6af32991aae2ebeff5f0701f7dbc61a91c6104",
}
_FINRA_UNITS = (
    PlannedUnit(
        unit=0,
        key_range="2024-01-12/T1/file/a.psv",
        locator=FileWork(
            week=date(2024, 1, 12),
            tiers=("T1",),
            minted=(_AT,),
            work=("symbol_summary",),
            versions={"symbol_summary": "1.0.0"},
            found=7,
            path="/weekly/a.psv",
            sha256="ab",
        ),
        lane=LaneName.LOG,
        stage="file",
        writes=("T1:1",),
    ),
    PlannedUnit(
        unit=1,
        key_range="2024-01-12/all/tier_split",
        locator=StageWork(
            week=date(2024, 1, 12),
            tiers=("T1", "T2"),
            minted=(_AT, _AT.replace(microsecond=6)),
            work=("tier_split",),
        ),
        stage="tier_split",
        reads=("T1:1",),
        writes=("T1:2", "T2:2"),
    ),
    PlannedUnit(unit=2, key_range="file/b.psv", locator=Unusable(refused="b.psv: it is empty"), stage="file"),
)
_BETFAIR_UNITS = (
    PlannedUnit(unit=0, key_range="1.1/1..1.1/2", locator=Snapshots(ids=(1, 2)), rows=2),
    PlannedUnit(unit=1, key_range="1.1/3", locator=Snapshots(ids=(3,)), rows=1),
)
_CHECK = Replayer(Settings(), "").check


@pytest.mark.parametrize(
    ("written", "units"), [(_BETFAIR_1, _BETFAIR_UNITS), (_FINRA_1, _FINRA_UNITS)], ids=["betfair", "finra"]
)
def test_a_plan_of_the_format_before_is_converted(written: dict[str, Any], units: tuple[PlannedUnit[Any], ...]) -> None:
    plan = read_plan(json.dumps(written), "plan.json")
    assert plan.units == units
    kept = {name: written[name] for name in written.keys() - {"format", "units", "digest"}}
    assert json.loads(plan.model_dump_json(include=set(kept))) == kept
    _CHECK(plan)
    assert read_plan(plan.model_dump_json(), "plan.json") == plan, "it is a plan of this format now"


@pytest.mark.parametrize("written", [_BETFAIR_1, _FINRA_1], ids=["betfair", "finra"])
def test_a_plan_of_the_format_before_that_was_altered_is_refused(written: dict[str, Any]) -> None:
    head, digest = {**written, "found": 4}, {**written, "digest": "0" * 64}
    units = {**written, "units": [{**one, "key_range": "another"} for one in written["units"]]}
    (first, *others) = written["units"]
    picked = {**written, "units": [{**first, "picked": {**first["picked"], **_other(first["picked"])}}, *others]}
    for altered in (head, digest, units, picked, {**written, "units": written["units"][1:]}):
        with pytest.raises(Failed, match="its digest doesn't fit: it was altered"):
            _CHECK(read_plan(json.dumps(altered), "plan.json"))


def _other(picked: dict[str, Any]) -> dict[str, Any]:
    return {"ids": [1]} if "ids" in picked else {"sha256": "cd"}
