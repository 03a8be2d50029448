"""Junk in a field costs the field, never the race."""

import json
import re
from copy import deepcopy
from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.racing.process import Unit, process
from samples.racing.days import racing_day
from schemas.derived import encode_outcome
from schemas.outcome import Outcome
from schemas.racing.tables import OBSERVED, RACING
from tests.racing.lines import (
    FLAT,
    HURDLE,
    KETTLE,
    answer,
    card_line,
    expect_fit,
    line,
    one_race,
    result_line,
    rows,
)
from tests.sizes import usual

DEEP: Any = json.loads("[" * 300 + "]" * 300)

RUNNER_JUNK: list[tuple[str, str, Any, str]] = [
    ("racecards", "horse", ["x"], "horse is a list, not a text"),
    ("racecards", "trainer_location", {"x": 1}, "trainer_location is an object, not a text"),
    ("racecards", "owner", 5, "owner is 5, not a text"),
    ("racecards", "sire", True, "sire is true, not a text"),
    ("racecards", "number", True, "number is true, not a text"),
    ("racecards", "age", float("inf"), "age is inf, out of range"),
    ("racecards", "age", float("nan"), "age is nan, out of range"),
    ("racecards", "age", 10**400, "age is a huge integer, out of range"),
    ("racecards", "ofr", 10**30, "ofr is"),
    ("racecards", "lbs", "2147483648", "lbs is '2147483648', not an integer of 32 bits"),
    ("racecards", "spotlight", "a\0b", r"spotlight is 'a\x00b', with characters that can't be stored"),
    ("racecards", "breeder", "\ud800", r"breeder is '\ud800', with characters that can't be stored"),
    ("racecards", "dob", "2024-02-30", "dob is '2024-02-30', not a date"),
    ("racecards", "jockey_id", "j" * 51, "longer than 50 characters"),
    ("racecards", "sire_region", "s" * 11, "longer than 10 characters"),
    ("racecards", "past_results_flags", "C", "past_results_flags is 'C', not a list of texts"),
    ("racecards", "past_results_flags", [1], "past_results_flags is a list, not a list of texts"),
    ("racecards", "past_results_flags", ["\0"], "past_results_flags is a list that can't be stored"),
    ("racecards", "odds", "7/2", "odds is '7/2', not a list of objects"),
    ("racecards", "odds", ["7/2"], "odds is a list, not a list of objects"),
    ("racecards", "odds", 0, "odds is 0, not a list of objects"),
    ("racecards", "odds", [{"decimal": float("inf")}], "odds is a list that can't be stored"),
    ("racecards", "odds", [{"bookmaker": "\ud800"}], "odds is a list that can't be stored"),
    ("racecards", "odds", [{"\0": "x"}], "odds is a list that can't be stored"),
    ("racecards", "odds", [{"history": DEEP}], "odds is a list that can't be stored"),
    ("results", "btn", "twenty-one lengths and more", "btn is"),
    ("results", "sp", "a hundred to one or so", "longer than 20 characters"),
    ("results", "prize", "123456789.00", "prize is"),
    ("results", "sp_dec", "1e400", "sp_dec is '1e400', not a finite number"),
]


@pytest.mark.parametrize(("name", "field", "value", "said"), RUNNER_JUNK)
def test_junk_in_a_runners_field_costs_this_field(name: str, field: str, value: Any, said: str) -> None:
    outcome = process(line(name, one_race(name, runner={field: value})), ())
    (problem,) = outcome.errors
    assert (len(problem.key), problem.key[0], problem.reason) == (2, FLAT, "error")
    assert said in problem.text
    expect_fit(outcome)
    # Everything else is as it is without the field; ids of parents and people hang on their names.
    without = process(line(name, one_race(name, runner={field: None})), ())
    assert without.errors == []
    assert outcome.tables == without.tables


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("date", "2024-13-01", "date is '2024-13-01', not a date"),
        ("off_dt", "2024-05-18T13:44:00", "off_dt is '2024-05-18T13:44:00', without an offset"),
        ("off_dt", 1716036240, "off_dt is 1716036240, not a text"),
        ("race_name", [], "race_name is a list, not a text"),
        ("prize", "£" + "9" * 400, "prize is"),
        ("big_race", "maybe", "big_race is 'maybe', not a boolean"),
        ("is_abandoned", 1, "is_abandoned is 1, not a boolean"),
        ("course_id", "c" * 51, "longer than 50 characters"),
    ],
)
def test_junk_in_a_races_field_costs_this_field(field: str, value: Any, said: str) -> None:
    outcome = process(line("racecards", one_race("racecards", race={field: value})), ())
    (problem,) = outcome.errors
    assert problem.key == (FLAT,)
    assert said in problem.text
    expect_fit(outcome)
    assert outcome.tables == process(line("racecards", one_race("racecards", race={field: None})), ()).tables


def test_all_junk_of_a_row_is_one_error() -> None:
    outcome = process(line("racecards", one_race("racecards", runner={"age": [], "sex": 1, "jockey": {}})), ())
    (problem,) = outcome.errors
    assert set(problem.text.split("; ")) == {
        "age is a list, not a text",
        "sex is 1, not a text",
        "jockey is an object, not a text",
    }


@pytest.mark.parametrize("value", [41000001, "r" * 51, ["x"], "a\0b"])
def test_a_key_that_is_junk_is_an_error_and_the_others_are_written(value: Any) -> None:
    for name in ("racecards", "results"):
        whole = answer(name)
        whole[name][0]["race_id"] = value
        whole[name][1]["runners"][0]["horse_id"] = value
        outcome = process(line(name, whole), ())
        expect_fit(outcome)
        assert [problem.key for problem in outcome.errors] == [(None,), (HURDLE, None)]
        assert "runners are left out" in outcome.errors[0].text
        assert "the runner is left out" in outcome.errors[1].text
        assert len(rows(outcome, "ra_runners")) == 2


def test_what_is_no_race_and_no_runner_is_an_error() -> None:
    whole = answer("results")
    whole["results"][0]["runners"] = "none"
    whole["results"][1]["runners"][1] = ["x"]
    whole["results"] += [None, "race"]
    outcome = process(line("results", whole), ())
    expect_fit(outcome)
    assert [(problem.key, problem.text) for problem in outcome.errors] == [
        ((FLAT,), "runners is 'none', not a list"),
        ((HURDLE, None), "a runner is a list, not an object"),
        ((None,), "a race is null, not an object"),
        ((None,), "a race is 'race', not an object"),
    ]
    assert len(rows(outcome, "ra_runners")) == 2


def test_masters_that_are_junk() -> None:
    courses = [
        {"id": "crs_1"},
        {"course": "Nowhere"},
        "x",
        {"id": ["x"], "course": "Y"},
        {"id": "crs_2", "course": "Z"},
    ]
    outcome = process(line("masters", {"courses": courses}), ())
    expect_fit(outcome)
    assert [each["id"] for each in rows(outcome, "ra_mst_courses")] == ["crs_2"]
    assert [problem.key for problem in outcome.errors] == [("crs_1",), (None,), (None,), (None,)]
    assert all(problem.text for problem in outcome.errors)


def test_a_horse_without_id_does_not_cost_the_others() -> None:
    outcome = process(b"\n".join(line("horse", payload) for payload in ({"name": "X"}, answer("horse"))), ())
    expect_fit(outcome)
    assert [each["id"] for each in rows(outcome, "ra_mst_horses")] == [KETTLE]
    assert [problem.text for problem in outcome.errors] == ["the horse lacks its id or its name"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{oops", "line 1: not JSON"),
        (b"\xff", "line 1: not JSON"),
        (b"\n" + b"[" * 100_000, "line 2: nested too deeply to be read"),
        (b"[]", "not a JSON object"),
        (b'{"kind": "cards"}', "kind is 'cards', not one of racecards, results, masters, horse"),
        (b'{"observed": "2024-05-18T09:00:00Z", "payload": {}}', "there is no kind: one of racecards"),
        (b'{"kind": "horse", "payload": {}}', "there is no observed: when the answer was fetched"),
        (line("racecards", None, "2024-02-30T09:00:00Z"), "'2024-02-30T09:00:00Z', day is out of range for month"),
        (line("racecards", None, "10000-01-01T09:00:00Z"), "'10000-01-01T09:00:00Z', outside the years 1 to 9999"),
        (line("racecards", None, day="10000-01-01"), "date is '10000-01-01', outside the years 1 to 9999"),
        (b'{"kind": "horse", "observed": "2024-05-18T09:00:00Z"}', "no payload"),
        (line("racecards", None, "2024-05-18"), "observed is '2024-05-18', without an offset"),
        (line("racecards", None, "0001-01-01T00:00:00+14:00"), "observed is"),
        (line("racecards", None, day="2024-02-30"), "date is '2024-02-30', not a date"),
        (line("racecards", answer("results")), "an object with a list racecards"),
        (line("results", {"detail": "nothing here"}), "an object with a list results"),
        (line("results", []), "an object with a list results"),
        (line("masters", {"detail": "no"}), "the payload is no answer of masters"),
        (line("horse", [1]), "the payload is no answer of horse"),
        (card_line() + b"\n" + line("results", {}), "line 2: "),
    ],
)
def test_a_unit_of_which_nothing_can_be_made(value: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        process(value, ())


ODD_TEXTS = st.sampled_from(
    [
        *("", "-", "–", "N/A", " x ", "\0", "\ud800", "x" * 60, "NR", "NON-RUNNER(5)", "£1", "1e400", "nan", "1_0"),
        *("99999999999", "2024-02-30", "2024-05-18", "12:61", "9:00", "2024-05-18T13:44:00Z", "2m4½f", "Name (IRE)"),
        *("PU", "1", "½", "٣", "(3)", ")", "L", "f", "+", "rac_1", "hrs_1", "hrs_2", "sir_1"),
    ]
)
ODD_NUMBERS = st.integers() | st.floats() | st.sampled_from([10**400, -(10**25), 2**31, 2**63, 2**64])
JUNK = st.recursive(
    st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXTS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def test_the_careful_reading_gives_the_same_rows() -> None:
    today, found = date(2026, 1, 1), racing_day(date(2024, 5, 18))
    for kind, races in (("racecards", found.cards(today)), ("results", found.results(today))):
        outcome = process(line(kind, {kind: races}), ())
        expect_fit(outcome)
        assert outcome.errors == []
        # A NUL anywhere, and a number that only the standard library reads.
        for other in ("\0", 10**400):
            assert process(line(kind, {kind: races, "query": other}), ()) == outcome


def _fields(entries: list[dict[str, Any]]) -> list[str]:
    return sorted({name for entry in entries for name in entry})


@st.composite
def spoilt(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """An answer with junk anywhere, and runners and races that come twice."""
    whole: dict[str, Any] = deepcopy(answer(name))
    races: list[Any] = whole[name]
    race_fields, runner_fields = _fields(races), _fields(races[0]["runners"])
    for race in races:
        for runner in race["runners"]:
            runner.update(draw(st.dictionaries(st.sampled_from(runner_fields), JUNK, max_size=4)))
        race["runners"] += draw(st.lists(JUNK | st.sampled_from(race["runners"]), max_size=2))
        race.update(draw(st.dictionaries(st.sampled_from(race_fields), JUNK, max_size=2)))
    whole[name] += draw(st.lists(JUNK | st.sampled_from(races), max_size=2))
    return whole


@settings(max_examples=usual(100, long=300), deadline=None)
@given(st.data())
def test_whatever_an_answer_holds_its_rows_fit_their_columns(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["racecards", "results"]))
    whole = data.draw(spoilt(name))
    expect_fit(process(b"\n".join([line(name, whole), card_line(), result_line()]), ()))


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_arrays_hold_just_what_was_read_row_by_row(data: st.DataObject) -> None:
    names = data.draw(st.lists(st.sampled_from(["racecards", "results"]), max_size=2))
    lines = [line(name, data.draw(spoilt(name))) for name in names] + [card_line(), line("horse", answer("horse"))]
    unit = Unit()
    for each in lines:
        unit.add(each)
    for block, made in zip(unit.blocks(), process(b"\n".join(lines), ()).tables, strict=True):
        assert (made.table, made.columns, made.source) == (block.table, block.columns, block.source)
        types = {column.name: column.type for column in RACING.table(block.table).columns} | {OBSERVED: "timestamptz"}
        times = [types.get(name) == "timestamptz" for name in block.columns]
        said = [
            [_in_utc(value) if of_time and value else value for of_time, value in zip(times, row, strict=True)]
            for row in block.rows
        ]
        assert orjson.dumps(made.rows()) == orjson.dumps(said)


def _in_utc(text: str) -> str:
    return datetime.fromisoformat(text).astimezone(UTC).isoformat()


@settings(max_examples=usual(100, long=300), deadline=None)
@given(st.sampled_from(["racecards", "results", "masters", "horse", "x"]), JUNK, JUNK, JUNK)
def test_nothing_raises_but_value_errors(kind: str, payload: Any, observed: Any, day: Any) -> None:
    for said in ({"observed": observed, "date": day}, {"observed": "2024-05-18T09:00:00+00:00"}):
        for given_payload in (payload, {kind: payload}, {"courses": payload, "regions": payload}):
            value = json.dumps({"kind": kind, "payload": given_payload, **said}).encode()
            try:
                outcome = process(value, ())
            except ValueError as error:
                # The reason is sent on.
                encode_outcome(Outcome(dead=str(error)))
            else:
                expect_fit(outcome)


@settings(max_examples=usual(100, long=300), deadline=None)
@given(st.data())
def test_whatever_a_horse_or_masters_hold_their_rows_fit_their_columns(data: st.DataObject) -> None:
    horse = answer("horse")
    horse.update(data.draw(st.dictionaries(st.sampled_from(sorted(horse)), JUNK, max_size=4)))
    courses = answer("courses")
    courses["courses"][0].update(data.draw(st.dictionaries(st.sampled_from(["id", "course", "region"]), JUNK)))
    bookmaker = {"code": "x", "name": "X", "type": "online", "is_active": True}
    bookmaker.update(data.draw(st.dictionaries(st.sampled_from(sorted(bookmaker)), JUNK)))
    payloads = [("horse", horse), ("masters", courses), ("masters", {"bookmakers": [bookmaker]})]
    expect_fit(process(b"\n".join(line(*each) for each in payloads), ()))
