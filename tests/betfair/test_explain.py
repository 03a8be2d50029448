"""Which levels of a snapshot each figure was computed from, and that they suffice."""

from dataclasses import asdict
from itertools import islice
from random import Random

import orjson

from processors.betfair.explain import trace
from processors.betfair.process import process
from samples.betfair import sample
from schemas.betfair.tables import BETFAIR, METRICS
from schemas.provenance import Input, Traced, Wanted
from tests.betfair.books import line, payload
from tests.sizes import usual
from tests.tracing import again, wanted_of


def _traced(unit: bytes, snapshot_id: int, column: str) -> Traced:
    found = trace(unit, Wanted("market_derived_metrics", {"snapshot_id": snapshot_id}, column))
    assert found is not None
    return found


def _check(unit: bytes, most: int = 2) -> int:
    """Every column of the unit's rows comes from the inputs listed, and from nothing else; how many there were."""
    count = 0
    for block in process(unit, ()).tables:
        for wanted, value in wanted_of(BETFAIR, block, most):
            found = _traced(unit, wanted.key["snapshot_id"], wanted.column)
            got = again(BETFAIR, map(asdict, found.inputs), wanted)
            assert got == value, (wanted, found.inputs)
            count += 1
    return count


def _sample_unit(count: int) -> bytes:
    markets = {market["market_id"]: market for market in sample.metadata()}
    lines = (sample.snapshot_line(one, markets.get(one["market_id"])) for one in sample.snapshots())
    return b"\n".join(islice(lines, count))


def test_every_figure_of_the_real_sample_comes_from_the_levels_listed() -> None:
    assert _check(_sample_unit(usual(300, 2_392)), most=usual(6, 40)) >= 6 * len(METRICS)


def test_so_does_every_figure_of_odd_books() -> None:
    random = Random(1)
    assert sum(_check(line(payload(random), snapshot_id=number)) for number in range(1, usual(40, 2_000))) > 1_500


def test_levels_that_do_not_count_say_why() -> None:
    runners = [
        {"selectionId": 11, "ex": {"availableToBack": [[1.9, 200], [1.0, 5], [1.88, 80], [1.87, 9]]}},
        {"selectionId": 22, "ex": {"availableToBack": [[4.4, 50]]}},
        {"selectionId": 33, "ex": {}},
    ]
    unit = _unit(runners)
    levels = {
        one.path.removeprefix("raw_payload."): (one.value, one.used, one.note)
        for one in _traced(unit, 1, "home_risk").inputs
        if "availableToBack" in one.path
    }
    back = "runners[0].ex.availableToBack"
    assert levels[f"{back}[0]"] == ([1.9, 200], True, "")
    assert levels[f"{back}[1]"][1:] == (False, "no valid level: its price must be above 1 and its size above 0")
    assert levels[f"{back}[3]"][1:] == (False, "it stands behind the levels that count")
    assert levels["runners[2].ex.availableToBack[0]"] == (None, False, "the payload has no such level")


def test_a_null_says_that_the_level_is_missing() -> None:
    unit = _unit([{"selectionId": each, "ex": {"availableToBack": [[2.0, 1]]}} for each in (11, 22, 33)])
    found = _traced(unit, 1, "away_back_size_l3")
    path = "raw_payload.runners[1].ex.availableToBack[2]"
    assert Input(path, None, False, "the payload has no such level") in found.inputs


def test_a_snapshot_that_is_skipped_says_for_which_reason() -> None:
    found = _traced(_unit([{"selectionId": 11}]), 1, "home_risk")
    assert found.reason == "skipped: insufficient_runners: its raw_payload has fewer than three runners"
    assert found.inputs[-1].note == "its raw_payload has fewer than three runners"
    assert process(found.record, ()).skips[0].reason == "insufficient_runners"


def test_a_unit_without_the_snapshot_gives_nothing() -> None:
    assert trace(_unit([]), Wanted("market_derived_metrics", {"snapshot_id": 2}, "home_risk")) is None


def _unit(runners: list[dict[str, object]]) -> bytes:
    return orjson.dumps(
        {
            "snapshot_id": 1,
            "snapshot_at": "2026-03-01T12:00:00+00:00",
            "market_id": "1.100",
            "selection_ids": {"home": 11, "away": 22, "draw": 33},
            "raw_payload": {"runners": runners},
        }
    )
