"""What the racing tables should hold, and what they do."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import psycopg

from samples.racing.api import StandIn
from schemas.racing.tables import RACING

TODAY = date(2026, 11, 1)
"""The day that the stand-in believes to be: all days of the tests are over."""


def served(api: StandIn, days: Iterable[date]) -> tuple[set[str], set[tuple[str, str]]]:
    """Races, and (race, horse) pairs, that the stand-in's cards and results of these days hold."""
    races: set[str] = set()
    runners: set[tuple[str, str]] = set()
    for day in days:
        made = api.day(day)
        for race in (*made.cards(TODAY), *made.results(TODAY)):
            races.add(race["race_id"])
            runners.update((race["race_id"], runner["horse_id"]) for runner in race["runners"])
    return races, runners


def stored(connection: psycopg.Connection) -> tuple[set[str], set[tuple[str, str]]]:
    """Races and runners in the tables."""
    races = {row[0] for row in connection.execute("SELECT id FROM ra_races")}
    runners = {(row[0], row[1]) for row in connection.execute("SELECT race_id, horse_id FROM ra_runners")}
    return races, runners


def everything(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """All merged columns of all thirteen tables, with the horse links, in key order."""
    found = {}
    for table in RACING.tables:
        names = [column.name for column in (*table.key, *table.columns)]
        if table.name in ("ra_mst_sires", "ra_mst_dams", "ra_mst_damsires"):
            names.append("horse_id")
        keys = ", ".join(column.name for column in table.key)
        found[table.name] = connection.execute(
            f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {keys}"
        ).fetchall()
    return found
