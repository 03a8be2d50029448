"""Answers to rows: sections 4, 5 and 13.7 of the racing spec."""

from typing import Any

import pytest

from processors.racing.process import process
from schemas.racing.tables import CARD, RACING, REFERENCE, REGIONS, RESULT
from tests.racing.lines import (
    ASPHODEL,
    EVENING,
    FLAT,
    HURDLE,
    KETTLE,
    LADDER,
    MORNING,
    PAJARO,
    SAILING,
    TWICE,
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


@pytest.mark.parametrize("lines", [(card_line(), result_line()), (result_line(), card_line())])
def test_a_card_and_its_result_give_the_rows_of_the_spec(lines: tuple[bytes, bytes]) -> None:
    found = folded(*lines)
    races, runners = found["ra_races"], found["ra_runners"]
    expect(
        races[(FLAT,)],
        distance="1m53y",
        distance_round="1m",
        distance_f="8",
        distance_m=1658,
        off_time="13:44:00",
        off_dt="2024-05-18T13:44:00+01:00",
        prize=4187.0,
        field_size=2,
        has_result=True,
        winning_time="1:45.10",
        non_runners="Plain Sailing (unsuitable ground)",
        race_class="Class 5",
        tip="Copper Kettle",
        is_big_race=False,
    )
    expect(
        races[(HURDLE,)],
        prize=9500.0,
        off_time="17:20:00",
        is_abandoned=False,
        field_size=3,
        race_class=None,
        jumps="9 hurdles",
    )
    expect(
        runners[FLAT, KETTLE],
        horse_name="Copper Kettle (IRE)",
        position=2,
        position_str="2",
        distance_beaten="0.75L",
        overall_beaten_distance=0.75,
        starting_price="9/4F",
        starting_price_decimal=3.25,
        prize_won=1056.8,
        jockey_name="Ned Orr",
        jockey_claim_lbs=3,
        sex="gelding",
        form="2131",
        weight_st_lbs="9-7",
        result_updated_at=EVENING,
        is_scratched=False,
    )
    expect(
        runners[FLAT, SAILING],
        is_scratched=True,
        number="NR",
        jockey_id=None,
        jockey_name=None,
        jockey_claim_lbs=None,
        position=None,
        position_str=None,
        result_updated_at=None,
    )
    expect(
        runners[HURDLE, LADDER],
        position=None,
        position_str="PU",
        jockey_id="jky_26000066",
        jockey_name="M. Lally",
        distance_beaten=None,
        result_updated_at=EVENING,
        odds=None,
    )
    expect(runners[HURDLE, TWICE], owner_id=None, owner_name=None)
    assert (len(races), len(runners)) == (2, 6)
    assert {key for (key,) in found["ra_mst_jockeys"]} == {f"jky_260000{n}" for n in (61, 62, 64, 65, 66)}
    counts = {"horses": 6, "trainers": 4, "owners": 5, "sires": 3, "dams": 6, "damsires": 3, "courses": 2}
    assert {name: len(found[f"ra_mst_{name}"]) for name in counts} == counts
    assert len(found["ra_horse_pedigree"]) == 6


def expect(found: dict[str, Any], **values: Any) -> None:
    assert {name: found[name] for name in values} == values


def test_a_card_alone() -> None:
    outcome = process(card_line(), ())
    expect_fit(outcome)
    assert (outcome.skips, outcome.errors) == ([], [])
    race, _ = rows(outcome, "ra_races")
    expect(race, distance="1m53y", distance_round="1m", distance_f="8.0", distance_m=1657, has_result=False)
    expect(race, field_size=3, is_abandoned=False, is_big_race=False, observed=MORNING)
    kettle, pajaro, *_ = rows(outcome, "ra_runners")
    expect(kettle, jockey_name="Ned Orr", jockey_claim_lbs=3, weight_lbs=133, ofr=72, ts=60, dob="2019-03-02")
    expect(kettle, past_results_flags=None, is_scratched=False, observed=MORNING)
    assert [entry["bookmaker"] for entry in kettle["odds"]] == ["Bet365", "William Hill"]
    expect(pajaro, ofr=None, ts=None, rpr=77, trainer_rtf=None, last_run="128 (9F)", headgear_run="1")


def test_a_result_alone_builds_races_runners_and_masters() -> None:
    outcome = process(result_line(), ())
    expect_fit(outcome)
    race, _ = rows(outcome, "ra_races")
    expect(race, distance="1m", distance_round="1m", distance_f="8", distance_m=1658, has_result=True, field_size=2)
    # Not there: not false.
    assert not {"prize", "is_big_race", "is_abandoned", "going_detailed", "tip"} & set(race)
    pajaro, kettle, *_ = rows(outcome, "ra_runners")
    expect(pajaro, sex="C", sex_code="C", position=1, distance_beaten="0", overall_beaten_distance=0.0, ofr=None)
    expect(kettle, ofr=72, ts=66, rpr=80, weight_lbs=133)
    (horse,) = [each for each in rows(outcome, "ra_mst_horses") if each["id"] == PAJARO]
    expect(horse, name="Señor Pájaro (FR)", sex="C", sex_code="C", age=4, region="fr", sire_id="sir_21000012")
    sires = {each["id"]: each for each in rows(outcome, "ra_mst_sires")}
    expect(sires["sir_21000013"], name="Stormy Quay (IRE)", region="ire")
    (pedigree,) = [each for each in rows(outcome, "ra_horse_pedigree") if each["horse_id"] == PAJARO]
    expect(pedigree, dam="Petite Île (FR)", damsire="Sud Express", breeder=None, region="fr")


def test_each_table_says_when_it_was_observed() -> None:
    for lines, fetched in ((card_line(), MORNING), (result_line(), EVENING)):
        for block in process(lines, ()).tables:
            seen = {each[block.columns.index("observed")] for each in block.rows()}
            # A master is as old as its race: a backfill must not overwrite what is known since.
            assert seen == {fetched if block.table in ("ra_races", "ra_runners") else "2024-05-18T00:00:00+00:00"}


@pytest.mark.parametrize(
    ("date", "asked", "observed"),
    [
        ("2024-05-17", "2024-05-18", "2024-05-17T00:00:00+00:00"),
        ("", "2024-05-18", "2024-05-18T00:00:00+00:00"),
        ("2024-02-30", "2024-05-18", "2024-05-18T00:00:00+00:00"),
        ("", None, MORNING),
    ],
)
def test_without_a_date_a_master_is_as_old_as_the_day_asked_for(date: str, asked: str | None, observed: str) -> None:
    given = line("racecards", one_race("racecards", race={"date": date}), MORNING, asked)
    assert row(given, "ra_mst_trainers")["observed"] == observed


def test_fetch_times_are_told_in_utc() -> None:
    given = line("results", answer("results"), "2024-05-18T21:00:00.5+01:00")
    found = rows(process(given, ()), "ra_runners")[0]
    assert found["observed"] == found["result_updated_at"] == "2024-05-18T20:00:00.500000+00:00"


@pytest.mark.parametrize(
    ("race", "off_time"),
    [
        ({"off_dt": "2024-01-18T00:05:00+00:00", "off_time": "12:05"}, "00:05:00"),
        ({"off_dt": "", "off_time": "1:44"}, "13:44:00"),
        ({"off_dt": None, "off_time": "11:30"}, "11:30:00"),
        ({"off_dt": "", "off_time": ""}, None),
    ],
)
def test_the_time_of_day_is_the_course_clock(race: dict[str, Any], off_time: str | None) -> None:
    assert row(line("racecards", one_race("racecards", race=race)), "ra_races")["off_time"] == off_time


def test_courses_are_known_from_races_with_their_regions_name() -> None:
    for code, expected in (("GB", "gb"), ("UK", "gb"), ("IRE", "ire"), ("FR", "fr"), ("", None)):
        course = row(line("racecards", one_race("racecards", race={"region": code})), "ra_mst_courses")
        expect(course, id="crs_51001", name="Millrace (AW)", region_code=expected)
        assert course["region"] == REGIONS.get(expected or "")


def test_a_course_without_name_has_no_row_and_the_race_keeps_its_id() -> None:
    outcome = process(line("racecards", one_race("racecards", race={"course": ""})), ())
    assert rows(outcome, "ra_mst_courses") == []
    assert rows(outcome, "ra_races")[0]["course_id"] == "crs_51001"


@pytest.mark.parametrize("name", ["jockey", "trainer", "owner", "sire", "dam", "damsire"])
@pytest.mark.parametrize("answered", ["racecards", "results"])
def test_an_entity_needs_its_name(name: str, answered: str) -> None:
    outcome = process(line(answered, one_race(answered, runner={name: ""})), ())
    expect_fit(outcome)
    assert rows(outcome, f"ra_mst_{name}s") == []
    assert rows(outcome, "ra_runners")[0][f"{name}_id"] is None


def test_a_horse_without_name_has_its_row_all_the_same() -> None:
    outcome = process(line("racecards", one_race("racecards", runner={"horse": "-"})), ())
    expect_fit(outcome)
    assert rows(outcome, "ra_mst_horses")[0]["name"] is None


def test_a_pedigree_needs_a_parent() -> None:
    outcome = process(line("racecards", one_race("racecards", runner={"sire_id": "", "dam": "", "damsire_id": ""})), ())
    expect_fit(outcome)
    assert rows(outcome, "ra_horse_pedigree") == []


@pytest.mark.parametrize("jockey", ["NON-RUNNER", "NON-RUNNER(5)", "Luke Scott(3)"])
def test_a_non_runner_has_no_jockey(jockey: str) -> None:
    given = line("racecards", one_race("racecards", runner={"number": "NR", "jockey": jockey}))
    assert rows(process(given, ()), "ra_mst_jockeys") == []
    expect(
        row(given, "ra_runners"),
        is_scratched=True,
        jockey_id=None,
        jockey_name=None,
        jockey_claim_lbs=None,
        number="NR",
    )


def test_both_horses_of_a_dead_heat_have_won_and_the_first_tells_the_time() -> None:
    given = answer("results")
    runners = given["results"][0]["runners"]
    runners[1]["position"] = "1"
    race, _ = rows(process(line("results", given), ()), "ra_races")
    assert race["winning_time"] == "1:45.10"
    runners[0]["position"] = "DSQ"
    race, _ = rows(process(line("results", given), ()), "ra_races")
    assert race["winning_time"] == "1:45.25"


def test_the_field_is_who_ran_none_where_the_list_is_empty_unknown_without_a_list() -> None:
    given = one_race("results")
    given["results"][0]["runners"] *= 2
    given["results"][0]["runners"].append({"horse": "Who"})
    assert rows(process(line("results", given), ()), "ra_races")[0]["field_size"] == 1
    for kind in ("racecards", "results"):
        for runners, size in (([], 0), ([{"horse": "Who"}], 0), (None, None), ("junk", None)):
            assert row(line(kind, one_race(kind, race={"runners": runners})), "ra_races")["field_size"] == size


def test_flags_and_odds_are_kept_as_they_are() -> None:
    found = row(line("racecards", one_race("racecards", runner={"past_results_flags": ["C", "BF"]})), "ra_runners")
    assert found["past_results_flags"] == ["C", "BF"]
    assert found["odds"] == answer("racecards")["racecards"][0]["runners"][0]["odds"]


def test_digits_may_come_as_numbers() -> None:
    texts = one_race("results", race={"dist_m": "1658", "dist_f": "8f"}, runner={"sp_dec": "4.5", "prize": "2251.44"})
    sent = {
        "number": 2,
        "position": 1,
        "age": 4,
        "weight_lbs": 129,
        "or": 70,
        "rpr": 84,
        "tsr": 70,
        "draw": 1,
        "btn": 0,
    }
    plain = one_race(
        "results", race={"dist_m": 1658, "dist_f": "8f"}, runner={**sent, "sp_dec": 4.5, "prize": 2251.44, "ovr_btn": 0}
    )
    texts["results"][0]["runners"][0]["or"] = "70"
    outcome = process(line("results", plain), ())
    assert outcome.errors == []
    assert outcome == process(line("results", texts), ())


def test_masters() -> None:
    bookmakers = [{"code": "bet365", "name": "Bet365", "type": "online", "is_active": True}]
    payloads = [answer("courses"), answer("regions"), {"bookmakers": bookmakers}]
    outcome = process(b"\n".join(line("masters", payload, MORNING, None) for payload in payloads), ())
    expect_fit(outcome)
    assert {block.source for block in outcome.tables} == {REFERENCE}
    assert [each["region"] for each in rows(outcome, "ra_mst_courses")] == ["Great Britain", "Ireland"]
    # The API names every region there is; these are the ones that are kept.
    assert {each["code"]: each["name"] for each in rows(outcome, "ra_mst_regions")} == REGIONS
    assert rows(outcome, "ra_mst_bookmakers") == [{**bookmakers[0], "observed": MORNING}]
    assert process(line("masters", {"regions": answer("regions")}), ()).read == 2


def test_a_horses_detail() -> None:
    outcome = process(line("horse", answer("horse"), EVENING, None), ())
    expect_fit(outcome)
    (horse,), (pedigree,) = rows(outcome, "ra_mst_horses"), rows(outcome, "ra_horse_pedigree")
    expect(horse, id=KETTLE, name="Copper Kettle (IRE)", colour_code="B", breeder="Glenmore Stud", region="ire")
    expect(horse, sex="gelding", sex_code="G", dob="2019-03-02", sire_id="sir_21000011", observed=EVENING)
    expect(pedigree, sire="Harvest Bell (GB)", damsire="Old Rampart (IRE)", breeder="Glenmore Stud", region="ire")
    expect(rows(outcome, "ra_mst_damsires")[0], name="Old Rampart (IRE)", region="ire")


@pytest.mark.parametrize("kind", ["racecards", "results", "masters", "horse"])
def test_no_data_is_no_rows(kind: str) -> None:
    assert (process(line(kind, None), ()).read, process(b"", ()).read) == (0, 0)


def test_a_race_and_a_runner_without_id_are_skips() -> None:
    for name in ("racecards", "results"):
        given = answer(name)
        given[name][0]["race_id"] = ""
        given[name][1]["runners"][0] = without(given[name][1]["runners"][0], "horse_id")
        outcome = process(line(name, given), ())
        expect_fit(outcome)
        assert [(skip.key, skip.reason) for skip in outcome.skips] == [
            ((None,), "race_without_id"),
            ((HURDLE, None), "runner_without_horse"),
        ]
        assert outcome.errors == []
        assert {each["race_id"] for each in rows(outcome, "ra_runners")} == {HURDLE}
        assert ASPHODEL not in {each["id"] for each in rows(outcome, "ra_mst_horses")}


def test_the_sources_give_columns_of_their_tables_only() -> None:
    for given, source in ((card_line(), CARD), (result_line(), RESULT)):
        for block in process(given, ()).tables:
            assert block.source == source
            table = RACING.table(block.table)
            known = {column.name for column in (*table.key, *table.columns)}
            assert set(block.columns) == known & set(block.columns) | {"observed"}


def test_single_columns_come_with_their_keys_and_nothing_else() -> None:
    (races,) = process(card_line(), ("prize",)).tables
    assert races.table == "ra_races"
    assert {"id", "prize"} <= set(races.columns)
    table = RACING.table("ra_races")
    assert not set(races.columns) & {column.name for column in table.values if column.name != "prize"}
