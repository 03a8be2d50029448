"""Counts over everything that the engine's tables hold: what metrics are made of."""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from store.rows import rows


@dataclass(frozen=True, slots=True)
class CapturesNow:
    """How many captures of a domain stand in a state; dry runs aside."""

    domain: str
    state: str
    count: int


@dataclass(frozen=True, slots=True)
class UnitsNow:
    """How many units of a domain stand in a state on a lane, and their rows by outcome; dry runs aside."""

    domain: str
    lane: str
    state: str
    count: int
    rows: int
    updated: int
    unchanged: int
    skipped: int
    errors: int


@dataclass(frozen=True, slots=True)
class LettersNow:
    """How many dead letters of a domain somebody has sent again or dropped."""

    domain: str
    state: str
    count: int


def of_captures(connection: Connection) -> list[CapturesNow]:
    """By domain and state."""
    return rows(
        connection,
        CapturesNow,
        """SELECT domain, state, count(*) FROM rederive.captures WHERE NOT dry_run
           GROUP BY domain, state ORDER BY domain, state""",
    )


def of_units(connection: Connection) -> list[UnitsNow]:
    """By domain, lane and state. Rows that were taken back count on: a counter of what was done doesn't go back.

    Rows in shadow count once they are promoted.
    """
    sums = ", ".join(
        f"coalesce(sum(u.{name}) FILTER (WHERE c.mode <> 'shadow'), 0)::int8 AS {name}"
        for name in ("rows", "updated", "unchanged", "skipped", "errors")
    )
    return rows(
        connection,
        UnitsNow,
        f"""SELECT c.domain, u.lane, u.state, count(*), {sums}
            FROM rederive.units u JOIN rederive.captures c USING (capture_id) WHERE NOT c.dry_run
            GROUP BY c.domain, u.lane, u.state ORDER BY c.domain, u.lane, u.state""",
    )


def of_letters(connection: Connection) -> list[LettersNow]:
    """By domain and state."""
    return rows(
        connection,
        LettersNow,
        """SELECT domain, state, count(*) FROM rederive.dead_letters GROUP BY domain, state ORDER BY domain, state""",
    )


def version_of(connection: Connection, table: str) -> tuple[Any, ...] | None:
    """What changes when somebody writes to a table: how many rows were written, and which file holds it.

    A writer's counts may come a second late. None when there is no such table.
    """
    found = connection.execute(
        """SELECT c.oid::int8, c.relfilenode::int8, s.n_tup_ins, s.n_tup_upd, s.n_tup_del
           FROM pg_class c LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = to_regclass(%s)""",
        [table],
    )
    return found.fetchone()
