"""Results to rows (racing spec, sections 1.2, 4 and 5)."""

from typing import Any

from processors.racing.fields import Field, Reader, numbers, same
from processors.racing.races import Gathered, Line, race_day
from processors.racing.rules import (
    afternoon,
    clock,
    day,
    decimal,
    distance_beaten,
    furlongs,
    identifier,
    integer,
    moment,
    name_region,
    position,
    position_text,
    prize_won,
    rider,
    starting_price,
)
from schemas.racing.tables import OBSERVED

RACE = Reader(
    Field("id", "race_id", identifier),
    Field("course_id", "course_id", identifier),
    Field("course_name", "course"),
    Field("race_class", "class"),
    Field("sex_restriction", "sex_rest"),
    Field("distance", "dist"),
    Field("distance_round", "dist"),
    *same("region", "race_name", "type", "age_band", "surface", "going", "pattern", "rating_band", "jumps"),
    *same("winning_time_detail", "comments", "non_runners", "tote_win", "tote_pl", "tote_ex", "tote_csf"),
    *same("tote_tricast", "tote_trifecta"),
    Field("date", "date", day),
    Field("off_dt", "off_dt", moment),
    Field("distance_f", "dist_f", furlongs, digits=True),
    Field("distance_m", "dist_m", integer, digits=True),
    Field("clock", "off_dt", clock),
    Field("off_time", "off", afternoon),
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
    Field("sex", "sex"),
    Field("sex_code", "sex"),
    Field("weight_st_lbs", "weight"),
    Field("finishing_time", "time"),
    Field("number", "number", digits=True),
    Field("draw", "draw", digits=True),
    *same("headgear", "comment", "silk_url"),
    Field("jockey_name", "jockey", rider),
    Field("position", "position", position, digits=True),
    Field("position_str", "position", position_text, digits=True),
    Field("distance_beaten", "btn", distance_beaten, digits=True),
    Field("overall_beaten_distance", "ovr_btn", decimal, digits=True),
    Field("prize_won", "prize", prize_won, digits=True),
    Field("starting_price", "sp", starting_price),
    Field("starting_price_decimal", "sp_dec", decimal, digits=True),
    *numbers("age", "weight_lbs", "jockey_claim_lbs", "rpr"),
    Field("ofr", "or", integer, digits=True),
    Field("ts", "tsr", integer, digits=True),
    *same("sire", "dam", "damsire"),
    Field("region", "horse", name_region),
    *(Field(f"{parent}_region", parent, name_region) for parent in ("sire", "dam", "damsire")),
)
_RUNNER_IDS, _RUNNER_VALUES = 7, RUNNER.columns.index("sire")
_RUNNER_NEEDS = RUNNER.pick("horse_id", "position", "finishing_time")
_RUNNER_PEOPLE = RUNNER.pick("jockey_id", "jockey_name", "trainer_id", "trainer_name", "owner_id", "owner_name")
_RUNNER_PARENTS = [RUNNER.pick(f"{parent}_id", parent, f"{parent}_region") for parent in ("sire", "dam", "damsire")]
_RUNNER_HORSE = RUNNER.pick("horse_name", "age", "sex", "sex_code", "region")

COLUMNS: dict[str, tuple[str, ...]] = {
    "ra_races": (
        *RACE.columns[:_RACE_VALUES],
        *("off_time", "field_size", "has_result", "winning_time", OBSERVED),
    ),
    "ra_mst_horses": (
        *("id", "sire_id", "dam_id", "damsire_id", "name", "age", "sex", "sex_code", "region", OBSERVED),
    ),
    "ra_runners": (
        "race_id",
        *RUNNER.columns[:_RUNNER_VALUES],
        *("is_scratched", "result_updated_at", OBSERVED),
    ),
}
"""The columns of results where they differ from those of cards."""


def add_results(gathered: Gathered, line: Line) -> None:
    """Gather the rows of one answer; ValueError when it is none of results."""
    for race in gathered.races(line, "results"):
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
    won = False
    winning_time: str | None = None
    for runner in gathered.runners(race_id, given, problems):
        place, time = _add_runner(gathered, line, race_id, when, runner)
        if place == 1 and not won:
            won, winning_time = True, time
    gathered.put["ra_races"](
        [
            *values[:_RACE_VALUES],
            off_clock or afternoon_clock,
            gathered.field_size(race_id),
            True,
            winning_time,
            line.observed,
        ]
    )
    gathered.errors((race_id,), problems)


def _add_runner(
    gathered: Gathered, line: Line, race_id: str, when: str, given: dict[str, Any]
) -> tuple[int | None, str | None]:
    """Gather a runner; its position and time."""
    problems: list[str] = []
    values = RUNNER.read(given, line.careful, problems)
    horse_id, place, time = _RUNNER_NEEDS(values)
    if horse_id is None:
        gathered.without_horse(race_id, problems)
        return None, None
    masters = gathered.masters
    jockey_id, jockey, trainer_id, trainer, owner_id, owner = _RUNNER_PEOPLE(values)
    name, age, sex, sex_code, region = _RUNNER_HORSE(values)
    sire, dam, damsire = (parent(values) for parent in _RUNNER_PARENTS)
    parents = masters.parents(horse_id, sire, dam, damsire, None, region, when)
    gathered.put["ra_mst_horses"]([horse_id, *parents, name, age, sex, sex_code, region, when])
    gathered.put["ra_runners"](
        [
            race_id,
            horse_id,
            masters.jockey(jockey_id, jockey, when),
            masters.trainer(trainer_id, trainer, None, when),
            masters.owner(owner_id, owner, when),
            *parents,
            *values[_RUNNER_IDS:_RUNNER_VALUES],
            False,
            line.observed,
            line.observed,
        ]
    )
    gathered.errors((race_id, horse_id), problems)
    return place, time
