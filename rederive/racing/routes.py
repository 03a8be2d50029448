"""Racing's paths of the HTTP API: race days, cards and results, one race, one horse."""

from datetime import date
from typing import Annotated, Any

from psycopg import Connection
from pydantic import create_model

from rederive.http.routing import BaseModel, Day, Key, Limit, Query, Reading, Router, Text, Unknown
from rederive.http.rows import many, maybe, model_of, select
from schemas.racing.tables import HORSES, PEDIGREE, RACES, RUNNERS

router = Router(prefix="/api/racing")

Runner = model_of("Runner", RUNNERS)
Race = model_of("Race", RACES)
Horse = model_of("Horse", HORSES)
Pedigree = model_of("Pedigree", PEDIGREE)
RaceWhole = create_model(
    "RaceWhole",
    __base__=Race,
    __doc__="A race with its runners, those that were placed first.",
    runners=(many(Runner), ...),
)
DayWhole = create_model(
    "DayWhole",
    __doc__="A race day: its races in the order of their off times.",
    day=(date, ...),
    races=(many(RaceWhole), ...),
)
_OF_RACE = ("date", "course_name", "region", "race_name", "off_time", "distance", "going", "field_size", "race_class")
Run = create_model(
    "Run",
    __base__=Runner,
    __doc__="A run of a horse, with its race.",
    **{name: Race.model_fields[name].annotation for name in _OF_RACE},  # type: ignore[call-overload]
)
HorseWhole = create_model(
    "HorseWhole",
    __doc__="A horse, its pedigree, its runs, the newest first. `next` is what to say as `before`, None at the end.",
    horse=(maybe(Horse), ...),
    pedigree=(maybe(Pedigree), ...),
    runs=(many(Run), ...),
    next=(str | None, ...),
)


class DayShort(BaseModel):
    """A race day in figures."""

    day: date
    races: int
    with_result: int
    abandoned: int
    runners: int


class Days(BaseModel):
    """Race days, the newest first; `next` is what to say as `before` for those that follow, None at the end."""

    days: list[DayShort]
    next: date | None


Region = Annotated[Text | None, Query(description="gb or ire. Default: all.")]


@router.get("/days")
def days(
    reads: Reading,
    region: Region = None,
    before: Annotated[Day | None, Query(description="Only days before this one.")] = None,
    limit: Limit = 31,
) -> Days:
    """Race days that are stored, the newest first."""
    with reads.connection("the race days") as connection:
        found = connection.execute(
            f"""WITH d AS (
                    SELECT date, count(*) AS races, count(*) FILTER (WHERE has_result) AS with_result,
                           count(*) FILTER (WHERE is_abandoned) AS abandoned, array_agg(id) AS ids
                    FROM {RACES.name}
                    WHERE date IS NOT NULL AND date < coalesce(%(before)s::date, 'infinity')
                      AND (%(region)s::text IS NULL OR region = %(region)s)
                    GROUP BY date ORDER BY date DESC LIMIT %(limit)s)
                SELECT date, races, with_result, abandoned,
                       (SELECT count(*) FROM {RUNNERS.name} r WHERE r.race_id = ANY(d.ids))
                FROM d ORDER BY date DESC""",
            {"region": region, "before": before, "limit": limit + 1},
        ).fetchall()
    listed = [
        DayShort(day=day, races=races, with_result=results, abandoned=abandoned, runners=runners)
        for day, races, results, abandoned, runners in found[:limit]
    ]
    return Days(days=listed, next=listed[-1].day if len(found) > limit else None)


@router.get("/days/{day}", response_model=DayWhole)
def one_day(day: Day, reads: Reading, region: Region = None) -> dict[str, Any]:
    """The card of a day, and its results where they are known."""
    condition = "date = %(day)s AND (%(region)s::text IS NULL OR region = %(region)s)"
    with reads.connection("the race day") as connection:
        return {"day": day, "races": _races(connection, condition, {"day": day, "region": region})}


@router.get("/races/{race_id}", response_model=RaceWhole)
def one_race(race_id: Key, reads: Reading) -> dict[str, Any]:
    """A race with its runners."""
    with reads.connection("the race") as connection:
        found = _races(connection, "id = %(id)s", {"id": race_id})
    if not found:
        raise Unknown(f"there is no race {race_id}", why=f"{RACES.name} has no row of it")
    return found[0]


@router.get("/horses/{horse_id}", response_model=HorseWhole)
def one_horse(
    horse_id: Key,
    reads: Reading,
    before: Annotated[Text | None, Query(description="Only runs before that in this race, by its id.")] = None,
    limit: Limit = 100,
) -> dict[str, Any]:
    """A horse with its pedigree and its runs."""
    names = ", ".join([*(f"u.{name}" for name in Runner.model_fields), *(f"r.{name}" for name in _OF_RACE)])
    with reads.connection("the horse") as connection:
        horses = select(connection, HORSES.name, Horse, "id = %(id)s", {"id": horse_id}, order=("id",))
        pedigrees = select(connection, PEDIGREE.name, Pedigree, "horse_id = %(id)s", {"id": horse_id}, order=("1",))
        cursor = connection.execute(
            f"""SELECT {names} FROM {RUNNERS.name} u JOIN {RACES.name} r ON r.id = u.race_id
                WHERE u.horse_id = %(id)s AND (%(before)s::text IS NULL OR (coalesce(r.date, '-infinity'), r.id) <
                    (SELECT coalesce(date, '-infinity'), id FROM {RACES.name} WHERE id = %(before)s))
                ORDER BY coalesce(r.date, '-infinity') DESC, r.id DESC LIMIT %(limit)s""",
            {"id": horse_id, "before": before, "limit": limit + 1},
        )
        columns = [one.name for one in cursor.description or ()]
        runs = [dict(zip(columns, row, strict=True)) for row in cursor]
    if not horses and not pedigrees and not runs:
        raise Unknown(f"there is no horse {horse_id}", why="no table has a row of it")
    return {
        "horse": horses[0] if horses else None,
        "pedigree": pedigrees[0] if pedigrees else None,
        "runs": runs[:limit],
        "next": runs[limit - 1]["race_id"] if len(runs) > limit else None,
    }


def _races(connection: Connection, condition: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """Races that fit a condition (SQL), each with its runners."""
    races = select(connection, RACES.name, Race, condition, parameters, order=("off_dt", "off_time", "id"))
    runners = select(
        connection,
        RUNNERS.name,
        Runner,
        "race_id = ANY(%(ids)s)",
        {"ids": [race["id"] for race in races]},
        order=("position", "is_scratched IS TRUE", "length(number)", "number", "horse_id"),
    )
    by_race: dict[str, list[dict[str, Any]]] = {}
    for runner in runners:
        by_race.setdefault(runner["race_id"], []).append(runner)
    return [{**race, "runners": by_race.get(race["id"], [])} for race in races]
