"""The worked examples of the betfair spec (section 12) and the acceptance figures of Book Risk L3 (section 5.3)."""

from copy import deepcopy
from typing import Any

import pytest

from processors.betfair.general import derive
from schemas.betfair.tables import METRICS
from tests.betfair.books import line

ROLES = ("home", "away", "draw")
TOTALS = (6000.0, 2500.25, 1900.5)


def runner(identifier: int, back: list[list[float]], lay: list[list[float]]) -> dict[str, Any]:
    return {"selectionId": identifier, "ex": {"availableToBack": back, "availableToLay": lay}}


E1: dict[str, Any] = {
    "totalMatched": 10432.7,
    "runners": [
        runner(11, [[1.9, 200], [1.89, 150], [1.88, 80]], [[1.91, 120], [1.92, 60]]),
        runner(22, [[4.4, 50], [4.3, 70]], [[4.5, 40]]),
        runner(33, [[3.6, 60], [3.55, 90], [3.5, 30], [3.45, 500]], [[3.65, 45]]),
    ],
}


def figures(payload: dict[str, Any]) -> dict[str, float | None]:
    derived = derive(line(payload))
    assert (derived.skip, derived.error) == (None, None)
    return dict(zip(METRICS, derived.values, strict=True))


def of_roles(found: dict[str, float | None], name: str) -> tuple[float | None, ...]:
    return tuple(found[f"{role}_{name}"] for role in ROLES)


def without_total(payload: dict[str, Any]) -> dict[str, Any]:
    made = deepcopy(payload)
    del made["totalMatched"]
    for entry, total in zip(made["runners"], TOTALS, strict=True):
        entry["totalMatched"] = total
    return made


def test_e1_a_common_book() -> None:
    found = figures(E1)
    assert found["total_volume"] == 10432.7
    assert of_roles(found, "risk") == (-477.6000000000001, -443.39999999999986, -324.39999999999986)
    assert of_roles(found, "book_risk_l3") == (83.89999999999992, -209.0, -89.5)
    assert of_roles(found, "impedance") == (-495.5, -624.0, 1236.25)
    assert of_roles(found, "impedance_norm") == (-0.33143813, -0.4173913, 0.82692308)
    assert of_roles(found, "back_stake") == (430.0, 120.0, 680.0)
    assert of_roles(found, "back_odds") == (1.8927907, 4.34166667, 3.47867647)
    assert of_roles(found, "lay_stake") == (180.0, 40.0, 45.0)
    assert of_roles(found, "lay_odds") == (1.91333333, 4.5, 3.65)
    assert of_roles(found, "best_back_size_l1") == (200.0, 50.0, 60.0)
    assert of_roles(found, "best_lay_size_l1") == (120.0, 40.0, 45.0)
    assert of_roles(found, "best_back") == (1.9, 4.4, 3.6)
    assert of_roles(found, "best_lay") == (1.91, 4.5, 3.65)
    assert of_roles(found, "spread") == (1.91 - 1.9, 4.5 - 4.4, 3.65 - 3.6)
    assert of_roles(found, "back_odds_l2") == (1.89, 4.3, 3.55)
    assert of_roles(found, "back_size_l2") == (150.0, 70.0, 90.0)
    assert of_roles(found, "back_odds_l3") == (1.88, None, 3.5)
    assert of_roles(found, "back_size_l3") == (80.0, None, 30.0)


def test_e2_tiny_stakes_and_runner_totals() -> None:
    runners = [
        runner(11, [], [[1.91, 0.02]]),
        runner(22, [[4.4, 0.03]], []),
        runner(33, [[3.6, 0.05]], []),
    ]
    found = figures(without_total({"totalMatched": None, "runners": runners}))
    assert found["total_volume"] == 10400.75
    assert of_roles(found, "risk") == (-0.232, -0.027999999999999997, 0.027999999999999997)
    assert of_roles(found, "book_risk_l3") == (-0.08, 0.052000000000000005, 0.1)
    assert of_roles(found, "back_odds") == (0.0, 4.39999985, 3.59999993)
    assert found["home_lay_odds"] == 1.9099999
    assert of_roles(found, "impedance") == (-0.0982, 0.072, 0.12)
    assert of_roles(found, "impedance_norm") == (-0.98199998, 0.71999996, 1.19999996)
    assert found["home_best_back_size_l1"] is None
    assert found["home_back_stake"] == 0.0
    assert found["away_best_lay_size_l1"] is None


def test_e3_invalid_levels_use_up_their_places() -> None:
    payload = deepcopy(E1)
    payload["runners"][0]["ex"]["availableToBack"] = [[1.0, 500], [1.9, 0], [0.8, 10], [1.87, 60]]
    found = figures(payload)
    assert of_roles(found, "risk") == (-861.5, -59.5, 59.5)
    assert of_roles(found, "book_risk_l3") == (-300.0, 221.0, 340.5)
    assert (found["home_back_stake"], found["home_back_odds"], found["home_impedance"]) == (60.0, 1.87, -827.2)
    for name in ("best_back_size_l1", "back_odds_l2", "back_size_l2", "back_odds_l3", "back_size_l3"):
        assert found[f"home_{name}"] is None
    assert found["home_best_back"] == 1.0


def test_e4_duplicates_and_extra_runners() -> None:
    payload = without_total(E1)
    payload["runners"] += [
        runner(11, [[2.2, 7]], []) | {"totalMatched": 5.0},
        runner(44, [[20, 40]], [[21, 10]]) | {"totalMatched": 80.0},
    ]
    found = figures(payload)
    assert found["home_best_back_size_l1"] == 7.0
    assert found["home_book_risk_l3"] == -291.6
    assert found["home_back_stake"] == 430.0
    assert found["total_volume"] == 10485.75
    assert of_roles(found, "impedance") == (-525.5, -654.0, 1206.25)
    assert of_roles(found, "impedance_norm") == (-0.34012945, -0.42330097, 0.78074434)


def test_acceptance_figures_of_book_risk() -> None:
    payload = {
        "runners": [
            runner(11, [[2.96, 321], [2.98, 103], [3.00, 583]], []),
            runner(22, [[2.32, 813], [2.34, 1105], [2.36, 153]], []),
            runner(33, [[3.85, 138], [3.90, 82], [3.95, 21]], []),
        ]
    }
    assert of_roles(figures(payload), "book_risk_l3") == pytest.approx((-312.90, 1513.94, -2384.95), abs=0.005)


def test_the_epsilon_of_the_odds_shows() -> None:
    payload = {"runners": [runner(11, [[2.0, 0.01]], []), runner(22, [], []), runner(33, [], [])]}
    assert figures(payload)["home_back_odds"] == 1.9999998
