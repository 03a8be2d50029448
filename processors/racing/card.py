"""Racecards to rows (racing spec, sections 1.2, 4 and 5)."""

from typing import Any

from processors.racing.fields import Field, Reader, boolean, flags, numbers, objects, same
from processors.racing.races import Gathered, Line, race_day
from processors.racing.rules import (
    afternoon,
    claim,
    clock,
    day,
    furlongs,
    identifier,
    integer,
    metres,
    moment,
    money,
    region,
    rider,
)
from schemas.racing.tables import OBSERVED

RACE = Reader(
    Field("id", "race_id", identifier),
    Field("course_id", "course_id", identifier),
    Field("course_name", "course"),
    *same("region", "race_name", "type", "race_class", "age_band", "surface", "going", "going_detailed", "weather"),
    *same("rail_movements", "pattern", "sex_restriction", "rating_band", "stalls", "jumps", "distance"),
    *same("distance_round", "tip", "verdict", "betting_forecast"),
    Field("date", "date", day),
    Field("off_dt", "off_dt", moment),
    Field("distance_f", "distance_f", furlongs, digits=True),
    Field("distance_m", "distance", metres),
    Field("prize", "prize", money, digits=True),
    Field("clock", "off_dt", clock),
    Field("off_time", "off_time", afternoon),
)
_RACE_VALUES = -2
_RACE_NEEDS = RACE.pick("id", "course_id", "course_name", "region", "date", "clock", "off_time")

RUNNER = Reader(
    Field("horse_id", "horse_id", identifier),
    Field("jockey_id", "jockey_id", identifier),
    Field("trainer_id", "trainer_id", identifier),
    Field("owner_id", "owner_id", identifier),
    Field("sire_id", "sire_id", identifier),
    Field("dam_id", "dam_id", identifier),
    Field("damsire_id", "damsire_id", identifier),
    Field("horse_name", "horse"),
    Field("trainer_name", "trainer"),
    Field("owner_name", "owner"),
    *same("trainer_location", "sex", "sex_code", "colour", "headgear", "wind_surgery"),
    *(Field(name, name, digits=True) for name in ("number", "draw", "headgear_run", "wind_surgery_run")),
    *(Field(name, name, digits=True) for name in ("form", "last_run", "trainer_rtf")),
    *same("comment", "spotlight", "silk_url"),
    Field("dob", "dob", day),
    Field("weight_lbs", "lbs", integer, digits=True),
    *numbers("age", "ofr", "rpr", "ts"),
    Field("jockey_name", "jockey", rider),
    Field("jockey_claim_lbs", "jockey", claim),
    *same("sire", "dam", "damsire", "breeder"),
    *(Field(name, name, region) for name in ("region", "sire_region", "dam_region", "damsire_region")),
)
_RUNNER_IDS, _RUNNER_VALUES = 7, RUNNER.columns.index("jockey_name")
_RUNNER_NEEDS = RUNNER.pick("horse_id", "number", "jockey_id", "jockey_name", "jockey_claim_lbs")
_RUNNER_PEOPLE = RUNNER.pick("trainer_id", "trainer_name", "trainer_location", "owner_id", "owner_name")
_RUNNER_PARENTS = [RUNNER.pick(f"{parent}_id", parent, f"{parent}_region") for parent in ("sire", "dam", "damsire")]
_RUNNER_HORSE = RUNNER.pick("horse_name", "dob", "age", "sex", "sex_code", "colour", "breeder", "region")

COLUMNS: dict[str, tuple[str, ...]] = {
    "ra_races": (
        *RACE.columns[:_RACE_VALUES],
        *("off_time", "field_size", "has_result", "is_abandoned", "is_big_race", OBSERVED),
    ),
    "ra_mst_horses": (
        *("id", "sire_id", "dam_id", "damsire_id", "name", "dob", "age", "sex", "sex_code", "colour", "breeder"),
        *("region", OBSERVED),
    ),
    "ra_runners": (
        "race_id",
        *RUNNER.columns[:_RUNNER_VALUES],
        *("jockey_name", "jockey_claim_lbs", "is_scratched", "past_results_flags", "odds", OBSERVED),
    ),
}
"""The columns of cards where they differ from those of results."""


def add_cards(gathered: Gathered, line: Line) -> None:
    """Gather the rows of one answer; ValueError when it is none of racecards."""
    for race in gathered.races(line, "racecards"):
        _add_race(gathered, line, race)


def _add_race(gathered: Gathered, line: Line, given: dict[str, Any]) -> None:
    problems: list[str] = []
    values = RACE.read(given, line.careful, problems)
    race_id, course_id, course, region, date, off_clock, afternoon_clock = _RACE_NEEDS(values)
    if race_id is None:
        gathered.without_race(given, problems)
        return
    when = race_day(date, line)
    gathered.masters.course(course_id, course, region, when)
    for runner in gathered.runners(race_id, given, problems):
        _add_runner(gathered, line, race_id, when, runner)
    gathered.put["ra_races"](
        [
            *values[:_RACE_VALUES],
            off_clock or afternoon_clock,
            gathered.field_size(race_id),
            False,
            boolean(given, "is_abandoned", problems),
            boolean(given, "big_race", problems),
            line.observed,
        ]
    )
    gathered.errors((race_id,), problems)


def _add_runner(gathered: Gathered, line: Line, race_id: str, when: str, given: dict[str, Any]) -> None:
    problems: list[str] = []
    values = RUNNER.read(given, line.careful, problems)
    horse_id, number, jockey_id, jockey, claimed = _RUNNER_NEEDS(values)
    if horse_id is None:
        gathered.without_horse(race_id, problems)
        return
    masters = gathered.masters
    if scratched := number == "NR":
        # Nobody rides, whoever was to.
        jockey = claimed = None
    trainer_id, trainer, location, owner_id, owner = _RUNNER_PEOPLE(values)
    name, dob, age, sex, sex_code, colour, breeder, region = _RUNNER_HORSE(values)
    sire, dam, damsire = (parent(values) for parent in _RUNNER_PARENTS)
    parents = masters.parents(horse_id, sire, dam, damsire, breeder, region, when)
    gathered.put["ra_mst_horses"]([horse_id, *parents, name, dob, age, sex, sex_code, colour, breeder, region, when])
    gathered.put["ra_runners"](
        [
            race_id,
            horse_id,
            masters.jockey(jockey_id, jockey, when),
            masters.trainer(trainer_id, trainer, location, when),
            masters.owner(owner_id, owner, when),
            *parents,
            *values[_RUNNER_IDS:_RUNNER_VALUES],
            jockey,
            claimed,
            scratched,
            flags(given, "past_results_flags", line.careful, problems),
            objects(given, "odds", line.careful, problems),
            line.observed,
        ]
    )
    gathered.errors((race_id, horse_id), problems)
