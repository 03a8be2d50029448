"""How answers meet in one row: section 6 of the racing spec, and the traps of section 12."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.racing.process import process
from tests.racing.lines import (
    ASPHODEL,
    EVENING,
    FLAT,
    HURDLE,
    KETTLE,
    MORNING,
    NEXT_DAY,
    PAJARO,
    SAILING,
    answer,
    card_line,
    expect_fit,
    folded,
    line,
    one_race,
    result_line,
    row,
    rows,
    without,
)
from tests.sizes import usual

NIGHT = "2024-05-18T23:00:00+00:00"


def poorer_cards() -> dict[str, Any]:
    """The cards as they are late: no odds, no spotlight, `-` for ratings; and less."""
    whole = answer("racecards")
    for race in whole["racecards"]:
        race.update(prize="", tip=None, verdict="-", going="", big_race=None)
        race["runners"] = [
            without(runner, "dob", "trainer_location")
            | {"odds": [], "spotlight": None, "ofr": "-", "rpr": "–", "form": ""}
            for runner in race["runners"]
        ]
    return dict(whole)


def amended(runner: str, **changes: str) -> dict[str, Any]:
    """The results with changes to one runner."""
    whole = answer("results")
    for race in whole["results"]:
        for each in race["runners"]:
            if each["horse_id"] == runner:
                each.update(changes)
    return dict(whole)


@given(st.permutations(["card", "result", "card again", "result again", "masters", "horse"]))
@settings(deadline=None)
def test_the_order_of_the_lines_means_nothing(order: list[str]) -> None:
    lines = {
        "card": card_line(),
        "result": result_line(),
        "card again": line("racecards", poorer_cards(), NEXT_DAY),
        "result again": line("results", amended(KETTLE, position="1"), NEXT_DAY),
        "masters": line("masters", answer("courses"), MORNING),
        "horse": line("horse", answer("horse"), EVENING),
    }
    assert folded(*(lines[name] for name in order)) == folded(*lines.values())


def test_the_same_again_changes_nothing() -> None:
    once = folded(card_line(), result_line())
    assert folded(card_line(), result_line(), result_line(), card_line()) == once


@pytest.mark.parametrize("before", [[], [result_line()]])
def test_a_later_poorer_card_changes_nothing(before: list[bytes]) -> None:
    assert folded(*before, card_line(), line("racecards", poorer_cards(), NEXT_DAY)) == folded(*before, card_line())


def test_a_landed_result_stays_when_the_card_comes_again() -> None:
    found = folded(result_line(), card_line(NEXT_DAY))
    assert found["ra_races"][(FLAT,)]["has_result"] is True
    assert found["ra_races"][(FLAT,)]["field_size"] == 2
    assert found["ra_runners"][FLAT, KETTLE]["result_updated_at"] == EVENING
    assert found["ra_runners"][FLAT, KETTLE]["rpr"] == 80
    # What only cards have comes from the card, and what the result lacks is filled.
    assert found["ra_runners"][FLAT, KETTLE]["sex"] == "gelding"
    assert found["ra_races"][(FLAT,)]["distance"] == "1m53y"
    assert found["ra_runners"][HURDLE, ASPHODEL]["draw"] == "0"


def test_a_result_blanks_nothing_of_the_card() -> None:
    card, both = folded(card_line()), folded(card_line(), result_line())
    for column in ("spotlight", "dob", "colour", "form", "trainer_location", "past_results_flags", "odds", "last_run"):
        for key, before in card["ra_runners"].items():
            assert both["ra_runners"][key][column] == before[column]
    for column in ("prize", "tip", "verdict", "betting_forecast", "is_big_race", "is_abandoned"):
        for race, before in card["ra_races"].items():
            assert both["ra_races"][race][column] == before[column]
    for table in ("ra_mst_sires", "ra_mst_dams", "ra_mst_damsires", "ra_mst_horses", "ra_horse_pedigree"):
        for key, before in card[table].items():
            lost = {name for name, value in before.items() if value is not None and both[table][key][name] is None}
            assert not lost


def test_an_amended_result_replaces_and_an_earlier_one_takes_nothing_back() -> None:
    swapped = amended(KETTLE, position="1", prize="2251.44", btn="0")
    for lines in (
        [result_line(), line("results", swapped, NEXT_DAY)],
        [line("results", swapped, NEXT_DAY), result_line()],
    ):
        found = folded(*lines)["ra_runners"][FLAT, KETTLE]
        assert (found["position"], found["position_str"], found["prize_won"]) == (1, "1", 2251.44)
        assert found["distance_beaten"] == "0"
        assert found["result_updated_at"] == NEXT_DAY


def test_who_is_disqualified_later_has_no_position_and_no_prize() -> None:
    late = line("results", amended(PAJARO, position="DSQ", prize=""), NEXT_DAY)
    found = folded(late, result_line())["ra_runners"][FLAT, PAJARO]
    assert (found["position"], found["position_str"], found["prize_won"]) == (None, "DSQ", None)
    # Within an answer too.
    twice = answer("results")
    twice["results"][0]["runners"] += amended(PAJARO, position="DSQ", prize="")["results"][0]["runners"]
    (found,) = [each for each in rows(process(line("results", twice), ()), "ra_runners") if each["horse_id"] == PAJARO]
    assert (found["position"], found["position_str"], found["prize_won"]) == (None, "DSQ", None)
    assert found["starting_price"] == "3/1"


def test_an_old_races_trainer_does_not_overwrite_what_is_known_since() -> None:
    old = {"date": "2015-03-01", "race_id": "rac_1"}
    moved = {"trainer_location": "Lambourn, Berks", "colour": "gr"}
    late_fetch = line("racecards", one_race("racecards", race=old, runner=moved), NEXT_DAY, "2015-03-01")
    for lines in ((card_line(), late_fetch), (late_fetch, card_line())):
        found = folded(*lines)
        assert found["ra_mst_trainers"][("trn_24000041",)]["location"] == "Thirsk, N Yorks"
        assert found["ra_mst_horses"][(KETTLE,)]["colour"] == "b"


def test_names_with_their_country_are_kept_whichever_is_seen_last() -> None:
    later = {"date": "2024-06-01", "race_id": "rac_2"}
    found = folded(result_line(), line("racecards", one_race("racecards", race=later), NEXT_DAY))
    assert found["ra_mst_horses"][(KETTLE,)]["name"] == "Copper Kettle (IRE)"
    assert found["ra_mst_sires"][("sir_21000011",)]["name"] == "Harvest Bell (GB)"
    assert found["ra_horse_pedigree"][(KETTLE,)]["dam"] == "Tin Whistle (IRE)"
    detailed = folded(line("horse", answer("horse"), EVENING), card_line(NEXT_DAY), result_line(NEXT_DAY))
    assert detailed["ra_mst_damsires"][("dsi_23000031",)]["name"] == "Old Rampart (IRE)"
    assert detailed["ra_mst_horses"][(KETTLE,)]["colour_code"] == "B"


def test_jockeys_are_named_without_claim_and_never_non_runner() -> None:
    whole = answer("racecards")
    whole["racecards"][1]["runners"][0].update(jockey="Ned Orr(5)", jockey_id="jky_26000061")
    whole["racecards"][1]["runners"][1].update(jockey="NON-RUNNER(5)", jockey_id="jky_26000061")
    jockeys = folded(line("racecards", whole))["ra_mst_jockeys"]
    assert jockeys[("jky_26000061",)] == {"name": "Ned Orr"}
    assert ("jky_26000063",) not in jockeys


def test_duplicates_within_an_answer_are_one_row_of_the_last_values() -> None:
    whole = answer("racecards")
    first, second = whole["racecards"]
    first["runners"].append(
        first["runners"][0] | {"ofr": "75", "spotlight": "", "odds": [], "jockey": "", "form": None}
    )
    whole["racecards"].append({**deepcopy(second), "prize": "", "going": "Heavy", "runners": [first["runners"][1]]})
    outcome = process(line("racecards", whole), ())
    expect_fit(outcome)
    runners = {(each["race_id"], each["horse_id"]): each for each in rows(outcome, "ra_runners")}
    races = {each["id"]: each for each in rows(outcome, "ra_races")}
    assert (len(runners), len(races)) == (7, 2)
    twice = runners[FLAT, KETTLE]
    assert (twice["ofr"], twice["form"], twice["jockey_name"], len(twice["odds"])) == (75, "2131", "Ned Orr", 2)
    assert (races[HURDLE]["prize"], races[HURDLE]["going"], races[HURDLE]["field_size"]) == (9500.0, "Heavy", 4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_pages_of_a_unit_are_folded_by_when_they_were_fetched(order: tuple[int, int]) -> None:
    pages = [result_line(EVENING), line("results", amended(KETTLE, position="1", sp=""), NIGHT)]
    outcome = process(b"\n".join(pages[at] for at in order), ())
    expect_fit(outcome)
    (found,) = [each for each in rows(outcome, "ra_runners") if each["horse_id"] == KETTLE]
    assert (found["position"], found["starting_price"], found["observed"]) == (1, "9/4F", NIGHT)


@pytest.mark.parametrize(
    ("prize", "expected"), [("£4,193", 4193.0), ("€11,000", 11000.0), ("$5", 5.0), ("", None), ("tba", None)]
)
def test_no_prize_is_lost_for_its_currency(prize: str, expected: float | None) -> None:
    assert row(line("racecards", one_race("racecards", race={"prize": prize})), "ra_races")["prize"] == expected


def test_a_non_runner_stays_one_when_the_result_has_landed() -> None:
    found = folded(card_line(), result_line())["ra_runners"][FLAT, SAILING]
    assert (found["is_scratched"], found["position"], found["result_updated_at"]) == (True, None, None)


@settings(max_examples=usual(100, long=200), deadline=None)
@given(st.data())
def test_a_race_that_has_a_result_keeps_it_whatever_comes(data: st.DataObject) -> None:
    moments = st.sampled_from([MORNING, EVENING, NEXT_DAY])
    kinds = st.sampled_from(["racecards", "poorer", "results"])
    lines = [
        line("racecards", poorer_cards(), observed) if kind == "poorer" else line(kind, answer(kind), observed)
        for kind, observed in data.draw(st.lists(st.tuples(kinds, moments), max_size=6))
    ]
    before = folded(*lines)
    after = folded(*lines, result_line(data.draw(moments)), card_line(data.draw(moments)))
    assert all(race["has_result"] is True for race in after["ra_races"].values())
    for table, found in before.items():
        for key, earlier in found.items():
            # Nothing that was known is blanked.
            lost = {name for name, value in earlier.items() if value is not None and after[table][key][name] is None}
            assert not lost
