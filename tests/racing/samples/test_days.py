"""What the made-up racing days promise to whoever tests and shows with them."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest

from samples.racing.days import racing_day
from samples.racing.programme import exact_distance, rounded_distance
from samples.racing.world import detail, horse, horse_name

Answer = dict[str, Any]
TODAY = date(2026, 6, 1)
DAYS = [date(2024, 3, 25) + timedelta(days=number) for number in range(35)]
BUSY, SUMMER, WINTER = date(2024, 3, 30), date(2024, 5, 18), date(2024, 1, 12)


class Weeks:
    """Five weeks of cards and results."""

    def __init__(self) -> None:
        days = [racing_day(when) for when in DAYS]
        self.results_by_day = [day.results(TODAY) for day in days]
        self.cards: list[Answer] = [card for day in days for card in day.cards(TODAY)]
        self.results: list[Answer] = [result for day in self.results_by_day for result in day]

    @property
    def entries(self) -> Iterator[Answer]:
        return (runner for card in self.cards for runner in card["runners"])

    @property
    def ran(self) -> Iterator[Answer]:
        return (runner for result in self.results for runner in result["runners"])


@pytest.fixture(scope="module")
def weeks() -> Weeks:
    return Weeks()


def _places(result: Answer) -> list[str]:
    return [runner["position"] for runner in result["runners"] if runner["position"].isdigit()]


def test_days_have_the_volume_of_real_ones(weeks: Weeks) -> None:
    assert 26 <= len(weeks.results) / len(DAYS) <= 34
    sizes = [len(card["runners"]) for card in weeks.cards]
    assert (min(sizes), max(sizes)) == (2, 26)
    assert 9 <= sum(len(result["runners"]) for result in weeks.results) / len(weeks.results) <= 10.5
    assert max(len(day) for day in weeks.results_by_day) > 50, "results must page"


def test_people_and_horses_come_again(weeks: Weeks) -> None:
    seen = {kind: {runner[f"{kind}_id"] for runner in weeks.ran} for kind in ("jockey", "trainer", "owner", "horse")}
    assert len(seen["jockey"]) == 150
    assert 250 <= len(seen["trainer"]) <= 300
    assert 1_500 <= len(seen["owner"]) <= 5_000
    runs = Counter(runner["horse_id"] for runner in weeks.ran)
    assert sum(count > 1 for count in runs.values()) > len(runs) / 10
    for kind in ("horse", "jockey", "trainer", "owner", "sire", "dam", "damsire"):
        names = {(runner[f"{kind}_id"], runner[kind]) for runner in weeks.ran}
        assert len(names) == len({identifier for identifier, _ in names}), f"a {kind} has two names"


def test_a_horse_runs_once_a_day(weeks: Weeks) -> None:
    for day in weeks.results_by_day:
        horses = [runner["horse_id"] for result in day for runner in result["runners"]]
        assert len(horses) == len(set(horses))


def test_a_day_is_always_the_same() -> None:
    """On every machine and Python: what was fetched today must be what is fetched tomorrow."""
    answers = [*racing_day(SUMMER).cards(TODAY), *racing_day(SUMMER).results(TODAY)]
    assert orjson.dumps(answers) == orjson.dumps([*racing_day(SUMMER).cards(TODAY), *racing_day(SUMMER).results(TODAY)])
    assert hashlib.sha256(orjson.dumps(answers)).hexdigest()[:16] == "02c4da3ce1fe9ce5"


def test_days_before_2015_are_refused() -> None:
    with pytest.raises(ValueError, match="2014-12-31"):
        racing_day(date(2014, 12, 31))


def test_card_and_result_are_of_one_race(weeks: Weeks) -> None:
    cards = {card["race_id"]: card for card in weeks.cards}
    assert len(cards) == len(weeks.cards)
    abandoned = {race_id for race_id, card in cards.items() if card["is_abandoned"]}
    assert abandoned
    assert cards.keys() - abandoned == {result["race_id"] for result in weeks.results}
    alike = ("date", "course", "course_id", "region", "off_dt", "race_name", "type", "pattern", "age_band")
    spelt = {"off": "off_time", "class": "race_class", "sex_rest": "sex_restriction", "dist": "distance_round"}
    for result in weeks.results:
        card = cards[result["race_id"]]
        assert {name: result[name] for name in alike} == {name: card[name] for name in alike}
        assert {name: result[name] for name in spelt} == {name: card[other] for name, other in spelt.items()}
        entered = {runner["horse_id"]: runner for runner in card["runners"]}
        out = [runner for runner in card["runners"] if runner["number"] == "NR"]
        assert {runner["horse_id"] for runner in result["runners"]} == entered.keys() - {r["horse_id"] for r in out}
        assert re.findall(r"(?:^|, )(.+?) \([^)]+\)", result["non_runners"]) == [runner["horse"] for runner in out]
        for runner in result["runners"]:
            _agree(entered[runner["horse_id"]], runner)


def _agree(entry: Answer, runner: Answer) -> None:
    for name in ("number", "age", "headgear", "silk_url", "trainer_id", "owner_id", "sire_id", "dam_id", "damsire_id"):
        assert entry[name] == runner[name], name
    for name in ("horse", "sire", "dam"):
        region = entry["region" if name == "horse" else f"{name}_region"]
        assert runner[name] == f"{entry[name]} ({region})"
    assert entry["damsire"] == runner["damsire"]
    assert entry["draw"] == (runner["draw"] or "0")
    assert (entry["lbs"], entry["sex_code"]) == (runner["weight_lbs"], runner["sex"])
    assert entry["ofr"].replace("-", "–") == runner["or"]
    if entry["jockey"]:
        claim = runner["jockey_claim_lbs"]
        assert entry["jockey"] == runner["jockey"] + (f"({claim})" if claim != "0" else "")
        assert entry["jockey_id"] == runner["jockey_id"]


def test_finishes_make_sense(weeks: Weeks) -> None:
    for result in weeks.results:
        places = [int(place) for place in _places(result)]
        assert places == sorted(places)
        for ahead, behind in pairwise(places):
            assert behind in (ahead, ahead + 1, ahead + 2)
        assert not places or places[0] == 1
        for runner in result["runners"]:
            finished = runner["position"].isdigit()
            assert (runner["time"] != "-") == (runner["btn"] != "-") == (runner["ovr_btn"] != "-") == finished
            if not finished:
                assert (runner["prize"], runner["rpr"], runner["tsr"]) == ("", "–", "–")


def test_marks_of_favourites(weeks: Weeks) -> None:
    for card in weeks.results:
        marks = Counter(runner["sp"][-1] for runner in card["runners"] if runner["sp"][-1] in "FJC")
        # Favourites that did not run leave the others without a mark.
        assert marks["F"] <= 1
        assert marks["J"] <= 2


CARD = """race_id course course_id date off_time off_dt race_name distance_round distance distance_f region pattern
sex_restriction race_class type age_band rating_band prize field_size going_detailed rail_movements stalls weather going
surface jumps big_race is_abandoned tip verdict betting_forecast runners"""
ENTRY = """horse_id horse dob age sex sex_code colour region breeder dam dam_id dam_region sire sire_id sire_region
damsire damsire_id damsire_region trainer trainer_id trainer_location trainer_14_days owner owner_id prev_trainers
prev_owners comment spotlight quotes stable_tour medical number draw headgear headgear_run wind_surgery wind_surgery_run
past_results_flags lbs ofr rpr ts jockey jockey_id silk_url last_run form trainer_rtf odds"""
RESULT = """race_id date region course course_id off off_dt race_name type pattern rating_band age_band sex_rest dist
dist_y dist_m dist_f going surface jumps winning_time_detail comments non_runners tote_win tote_pl tote_ex tote_csf
tote_tricast tote_trifecta class runners"""
RUNNER = """horse_id horse sp sp_dec number position draw btn ovr_btn age sex weight weight_lbs headgear time rpr tsr
prize jockey jockey_claim_lbs jockey_id trainer trainer_id owner owner_id sire sire_id dam dam_id damsire damsire_id
comment silk_url or"""


def test_fields_are_those_of_the_api(weeks: Weeks) -> None:
    """Racing spec, section 13: the keys of its samples; a card's runner may lack two of them."""
    assert {frozenset(card) for card in weeks.cards} == {frozenset(CARD.split())}
    assert {frozenset(result) for result in weeks.results} == {frozenset(RESULT.split())}
    assert {frozenset(runner) for runner in weeks.ran} == {frozenset(RUNNER.split())}
    entry = frozenset(ENTRY.split())
    assert {frozenset(runner) for runner in weeks.entries} == {entry, entry - {"medical", "trainer_rtf"}}


def test_numbers_are_sent_as_text(weeks: Weeks) -> None:
    def check(value: object, key: str) -> None:
        if isinstance(value, dict):
            for name, part in value.items():
                check(part, name)
        elif isinstance(value, list):
            for part in value:
                check(part, key)
        elif key in {"big_race", "is_abandoned"}:
            assert isinstance(value, bool)
        elif key in {"comment", "spotlight"}:
            assert value is None or isinstance(value, str)
        else:
            assert isinstance(value, str), key

    for answer in (*weeks.cards[:100], *weeks.results[:100]):
        check(answer, "race")


FORMATS = {
    "off_time": r"(1[0-2]|[1-9]):[0-5]\d",
    "off_dt": r"2024-0\d-\d\dT(1[1-9]|2[01]):[0-5]\d:00\+0[01]:00",
    "distance": r"(\dm)?(\d?½?f)?(\d{1,3}y)?",
    "distance_round": r"(\dm)?(\d?½?f)?",
    "distance_f": r"\d+\.[05]",
    "prize": r"([£€]\d{1,3}(,\d{3})*)?",
    "race_class": r"(Class [1-7])?",
    "race_id": r"rac_\d+",
    "course_id": r"crs_\d+",
}
ENTRY_FORMATS = {
    "number": r"\d+|NR",
    "jockey": r"(\D+(\([357]\))?)?",
    "ofr": r"\d+|-",
    "last_run": r"(\d+|\d+ \(\d+F\)|\(\d+F\))?",
    "form": r"[0-9PF/-]*",
    "dob": r"20\d\d-0[2-5]-\d\d",
}
RUNNER_FORMATS = {
    "position": r"\d+|PU|F|UR|U|BD|RO|REF|RR|SU|CO|DSQ|LFT|VO|VOI|DIED",
    "btn": r"0|\d*(\.\d+)?|-",
    "time": r"\d:\d?\d\.\d\d|-",
    "sp": r"(\d+/\d+|Evens)[FJC]?",
    "sp_dec": r"\d+\.\d\d",
    "weight": r"\d\d?-\d\d?",
    "prize": r"(\d+(\.\d\d)?)?",
    "or": r"\d+|–",
}


def test_texts_are_written_as_the_api_writes_them(weeks: Weeks) -> None:
    for answers, formats in (
        (weeks.cards, FORMATS),
        (weeks.entries, ENTRY_FORMATS),
        (weeks.ran, RUNNER_FORMATS),
    ):
        for answer in answers:
            for name, pattern in formats.items():
                assert re.fullmatch(pattern, answer[name]), f"{name} is {answer[name]!r}"


Holds = Callable[[Answer], bool]
CARD_CASES: dict[str, Holds] = {
    "abandoned": lambda card: card["is_abandoned"],
    "an Irish race without class": lambda card: card["region"] == "IRE" and card["race_class"] == "",
    "prize in euros": lambda card: card["prize"].startswith("€"),
    "an Irish prize in pounds": lambda card: card["region"] == "IRE" and card["prize"].startswith("£"),
    "no prize": lambda card: card["prize"] == "",
    "half a furlong": lambda card: "½" in card["distance"],
    "yards": lambda card: card["distance"].endswith("y"),
    "a wrong field size": lambda card: int(card["field_size"]) != len(card["runners"]),
    "quotes in the name": lambda card: '"' in card["race_name"],
    "an all-weather course": lambda card: card["course"].endswith(" (AW)"),
    "an evening": lambda card: "T19:" in card["off_dt"] and card["off_time"].startswith("7:"),
}
ENTRY_CASES: dict[str, Holds] = {
    "non-runner": lambda runner: runner["number"] == "NR" and runner["jockey"] == "NON-RUNNER",
    "non-runner with a claim": lambda runner: re.fullmatch(r"NON-RUNNER\([357]\)", runner["jockey"]) is not None,
    "a non-runner's odds": lambda runner: any(price["decimal"] == "-" for price in runner["odds"]),
    "no jockey yet": lambda runner: (runner["jockey"], runner["jockey_id"]) == ("", ""),
    "claim": lambda runner: re.fullmatch(r"[^(]+\(3\)", runner["jockey"]) is not None,
    "a jockey beyond ASCII": lambda runner: not runner["jockey"].isascii(),
    "ø": lambda runner: "ø" in runner["trainer"],
    "é": lambda runner: "é" in runner["horse"],
    "apostrophe": lambda runner: "'" in runner["horse"],
    "en dash": lambda runner: "–" in (runner["spotlight"] or ""),
    "no rating": lambda runner: runner["ofr"] == "-",
    "no owner": lambda runner: runner["owner"] == "" and runner["owner_id"] == "",
    "null": lambda runner: runner["spotlight"] is None,
    "empty comment": lambda runner: runner["comment"] == "",
    "no location": lambda runner: runner["trainer_location"] == "",
    "last run of two codes": lambda runner: re.fullmatch(r"\d+ \(\d+F\)", runner["last_run"]) is not None,
    "last run of another code": lambda runner: runner["last_run"].startswith("("),
    "trainer before": lambda runner: len(runner["prev_trainers"]) == 1,
    "owner before": lambda runner: len(runner["prev_owners"]) == 1,
    "flags": lambda runner: "CD" in runner["past_results_flags"],
    "a quote": lambda runner: len(runner["quotes"]) == 1,
    "prices that moved": lambda runner: any(price["history"] for price in runner["odds"]),
}
RUNNER_CASES: dict[str, Holds] = {
    **{code: lambda runner, code=code: runner["position"] == code for code in ("PU", "F", "UR", "BD", "RO", "DSQ")},  # type: ignore[misc]
    "no rating": lambda runner: runner["or"] == "–",
    "favourite": lambda runner: runner["sp"].endswith("F"),
    "joint favourite": lambda runner: runner["sp"].endswith("J"),
    "no draw": lambda runner: runner["draw"] == "",
    "seconds without padding": lambda runner: re.fullmatch(r"\d:\d\.\d\d", runner["time"]) is not None,
    "whole prize": lambda runner: runner["prize"].isdigit(),
    "less than a length": lambda runner: runner["btn"] == ".5",
    "no comment": lambda runner: runner["comment"] == "",
}


@pytest.mark.parametrize("case", CARD_CASES)
def test_it_happens_to_a_card(weeks: Weeks, case: str) -> None:
    assert any(map(CARD_CASES[case], weeks.cards))


@pytest.mark.parametrize("case", ENTRY_CASES)
def test_it_happens_on_a_card(weeks: Weeks, case: str) -> None:
    assert any(map(ENTRY_CASES[case], weeks.entries))


@pytest.mark.parametrize("case", RUNNER_CASES)
def test_it_happens_in_a_race(weeks: Weeks, case: str) -> None:
    assert any(map(RUNNER_CASES[case], weeks.ran))


def test_dead_heats(weeks: Weeks) -> None:
    heats = [result for result in weeks.results if len(set(_places(result))) < len(_places(result))]
    assert heats
    for result in heats:
        (place,) = [place for place, count in Counter(_places(result)).items() if count > 1]
        first, second = [runner for runner in result["runners"] if runner["position"] == place]
        assert (first["time"], first["prize"], first["ovr_btn"]) == (second["time"], second["prize"], second["ovr_btn"])


def test_margins_are_words_in_the_oldest_results_only(weeks: Weeks) -> None:
    words = {"nse", "shd", "hd"}
    old = {runner["btn"] for race in racing_day(date(2015, 5, 16)).results(TODAY) for runner in race["runners"]}
    assert old & words
    assert not {runner["btn"] for runner in weeks.ran} & words


@pytest.mark.parametrize(
    ("when", "offset"),
    [
        (date(2024, 3, 30), "+00:00"),
        (date(2024, 3, 31), "+01:00"),
        (date(2024, 10, 26), "+01:00"),
        (date(2024, 10, 27), "+00:00"),
    ],
)
def test_starts_are_in_the_courses_time(when: date, offset: str) -> None:
    cards = racing_day(when).cards(TODAY)
    assert {card["off_dt"][-6:] for card in cards} == {offset}
    for card in cards:
        hour, minute = map(int, card["off_dt"][11:16].split(":"))
        assert card["off_time"] == f"{hour if hour <= 12 else hour - 12}:{minute:02}"


def test_digits_of_an_animal_are_shared(weeks: Weeks) -> None:
    for runner in list(weeks.entries)[:500]:
        assert runner["horse_id"] == f"hrs_{runner['horse_id'][4:]}"
        sire = int(runner["sire_id"].removeprefix("sir_"))
        dam = int(runner["dam_id"].removeprefix("dam_"))
        assert (horse_name(sire), horse_name(dam)) == (runner["sire"], runner["dam"])
        assert horse(sire).male
        assert not horse(dam).male
        assert runner["damsire_id"] == f"dsi_{horse(dam).sire}"


def test_a_horse_that_raced_is_a_sire_later() -> None:
    raced = {
        runner["horse_id"][4:]
        for number in range(0, 200, 5)
        for race in racing_day(date(2015, 5, 1) + timedelta(days=number)).results(TODAY)
        for runner in race["runners"]
    }
    sires = {
        runner["sire_id"][4:] for race in racing_day(date(2025, 7, 5)).results(TODAY) for runner in race["runners"]
    }
    assert raced & sires


def test_details_of_a_horse_fit_its_cards(weeks: Weeks) -> None:
    known = unknown = 0
    for runner in list(weeks.entries)[:500]:
        found = detail(int(runner["horse_id"][4:]))
        if found is None:
            unknown += 1
            continue
        known += 1
        same = ("dob", "colour", "breeder", "sire_id", "dam_id", "damsire_id")
        assert {name: found[name] for name in same} == {name: runner[name] for name in same}
        assert found["name"] == f"{runner['horse']} ({runner['region']})"
        assert "region" not in found
    assert known > 400
    assert unknown


def test_names_are_of_one_horse_each() -> None:
    names = {horse_name(number) for number in range(60_200_000, 60_300_000)}
    assert len(names) == 100_000


def test_no_racing_at_christmas() -> None:
    for day in (23, 24, 25):
        assert racing_day(date(2023, 12, day)).races == ()
    assert len(racing_day(date(2023, 12, 26)).races) > 50


def test_cards_begin_in_2023() -> None:
    assert racing_day(date(2023, 1, 22)).cards(TODAY) == []
    assert racing_day(date(2023, 1, 22)).results(TODAY)
    assert racing_day(date(2023, 1, 23)).cards(TODAY)


def test_old_cards_have_no_odds() -> None:
    runners = [runner for card in racing_day(date(2023, 2, 4)).cards(TODAY) for runner in card["runners"]]
    assert all(runner["odds"] == [] for runner in runners)


def test_days_that_are_not_over_have_no_results() -> None:
    day = racing_day(SUMMER)
    assert day.results(SUMMER) == []
    assert day.results(SUMMER + timedelta(days=1))


def test_the_further_ahead_the_less_is_on_a_card() -> None:
    day = racing_day(SUMMER)

    def runners(ahead: int) -> list[Answer]:
        return [runner for card in day.cards(SUMMER - timedelta(days=ahead)) for runner in card["runners"]]

    final, tomorrow, declared, entered = (runners(ahead) for ahead in (0, 1, 2, 3))
    assert any(runner["number"] == "NR" for runner in final)
    assert not any(runner["number"] == "NR" for runner in tomorrow)
    assert any(runner["odds"] for runner in tomorrow)
    assert not any(runner["odds"] for runner in declared)
    assert any(runner["jockey"] for runner in declared)
    assert not any(runner["jockey"] or runner["jockey_id"] or runner["spotlight"] for runner in entered)
    assert [runner["horse_id"] for runner in entered] == [runner["horse_id"] for runner in final]
    assert runners(7) == []
    assert len(day.cards(SUMMER - timedelta(days=7))) == len(day.races)
    assert day.cards(SUMMER - timedelta(days=8)) == []


def test_a_poorer_card_has_lost_odds_spotlight_and_ratings() -> None:
    day = racing_day(SUMMER)
    lost = ("odds", "spotlight", "ofr", "rpr", "ts", "comment")
    for card, poor in zip(day.cards(TODAY), day.poorer().cards(TODAY), strict=True):
        for runner, poorer in zip(card["runners"], poor["runners"], strict=True):
            assert [poorer[name] for name in lost] == [[], "", "-", "-", "-", None]
            kept = runner.keys() - lost
            assert {name: runner[name] for name in kept} == {name: poorer[name] for name in kept}
    assert day.poorer().results(TODAY) == day.results(TODAY)


def _changed(before: list[Answer], after: list[Answer]) -> tuple[Answer, Answer]:
    (pair,) = [(old, new) for old, new in zip(before, after, strict=True) if old != new]
    return pair


def test_an_amended_result_swaps_the_first_two() -> None:
    day = racing_day(SUMMER)
    before, after = _changed(day.results(TODAY), day.swapped().results(TODAY))
    (winner, second, *others), (first_now, second_now, *others_now) = before["runners"], after["runners"]
    assert (first_now["horse_id"], second_now["horse_id"]) == (second["horse_id"], winner["horse_id"])
    for name in ("position", "prize", "time", "btn"):
        assert (first_now[name], second_now[name]) == (winner[name], second[name])
    assert others == others_now
    assert day.swapped().cards(TODAY) == day.cards(TODAY)


def test_a_winner_is_disqualified() -> None:
    day = racing_day(SUMMER)
    before, after = _changed(day.results(TODAY), day.disqualified().results(TODAY))
    positions = {runner["horse_id"]: runner["position"] for runner in before["runners"]}
    for runner in after["runners"]:
        was = positions[runner["horse_id"]]
        if was == "1":
            assert (runner["position"], runner["prize"], runner["btn"], runner["time"]) == ("DSQ", "", "-", "-")
        else:
            assert runner["position"] == (str(int(was) - 1) if was.isdigit() else was)


def test_any_race_can_be_amended() -> None:
    day = racing_day(SUMMER)
    last = day.races[-1].id
    _, after = _changed(day.results(TODAY), day.disqualified(last).results(TODAY))
    assert after["race_id"] == last
    with pytest.raises(ValueError, match="rac_nowhere"):
        day.swapped("rac_nowhere")


@pytest.mark.parametrize(
    ("yards", "exact"),
    [(1320, "6f"), (1760, "1m"), (1813, "1m53y"), (3509, "1m7f209y"), (4400, "2m4f"), (1210, "5½f"), (3630, "2m½f")],
)
def test_distances(yards: int, exact: str) -> None:
    assert exact_distance(yards) == exact


@pytest.mark.parametrize(("halves", "text"), [(11, "5½f"), (20, "1m2f"), (33, "2m½f"), (32, "2m")])
def test_rounded_distances(halves: int, text: str) -> None:
    assert rounded_distance(halves) == text
