"""The market a report is about, found by its id."""

import difflib
from dataclasses import dataclass
from datetime import datetime

import psycopg

from schemas.errors import Failed

_NEAR_POOL = 5_000
_NEAR = 5


@dataclass(frozen=True, slots=True)
class Market:
    """A market: its id, event name and kickoff (`event_open_date`); the last two may be unknown."""

    market_id: str
    event_name: str | None
    kickoff: datetime | None

    def __str__(self) -> str:
        return f"{self.event_name} ({self.market_id})" if self.event_name else self.market_id


def find_market(connection: psycopg.Connection, market_id: str) -> Market:
    """The market of that id; Failed with near matches when no metadata has it."""
    row = connection.execute(
        "SELECT market_id, event_name, event_open_date FROM market_event_metadata WHERE market_id = %s", (market_id,)
    ).fetchone()
    if row is not None:
        return Market(*row)
    what = f"market {market_id!r} is unknown"
    if near := _near(connection, market_id):
        raise Failed(what, why="no stored market has this id", mend="near it: " + _listed(near))
    if newest := _newest(connection):
        raise Failed(what, why="no stored market has this id", mend="those seen last: " + _listed(newest))
    raise Failed(what, why="no market is stored", mend="store markets first: market_event_metadata is empty")


def kickoff_of(market: Market) -> datetime:
    """The market's kickoff; Failed when it isn't known."""
    if market.kickoff is None:
        raise Failed(
            f"market {market} has no kickoff",
            why="its event_open_date is NULL",
            mend="fill market_event_metadata.event_open_date of this market",
        )
    return market.kickoff


def no_snapshot(connection: psycopg.Connection, market: Market) -> Failed:
    """The message for a market that has none, with one that has."""
    row = connection.execute(
        "SELECT market_id FROM market_book_snapshots ORDER BY snapshot_at DESC, snapshot_id DESC LIMIT 1"
    ).fetchone()
    return Failed(
        f"market {market} has no snapshot",
        why="market_book_snapshots has nothing of it",
        mend=f"the newest snapshot is of {row[0]}" if row else "store snapshots first: there is none of any market",
    )


def _listed(markets: list[Market]) -> str:
    return ", ".join(str(market) for market in markets)


def _newest(connection: psycopg.Connection) -> list[Market]:
    rows = connection.execute(
        "SELECT market_id, event_name, event_open_date FROM market_event_metadata"
        " ORDER BY last_seen_at DESC, market_id LIMIT %s",
        (_NEAR,),
    )
    return [Market(*row) for row in rows]


def _near(connection: psycopg.Connection, words: str) -> list[Market]:
    """Markets whose event is named like `words`, then those whose id looks like it, of those seen last."""
    rows = connection.execute(
        """
        SELECT market_id, event_name, event_open_date, strpos(lower(event_name), lower(%(words)s)) > 0
        FROM market_event_metadata
        ORDER BY strpos(lower(event_name), lower(%(words)s)) > 0 DESC NULLS LAST, last_seen_at DESC, market_id
        LIMIT %(pool)s
        """,
        {"words": words, "pool": _NEAR_POOL},
    ).fetchall()
    named = [Market(*row[:3]) for row in rows if words and row[3]]
    by_id = {row[0]: Market(*row[:3]) for row in rows}
    alike = [by_id[found] for found in difflib.get_close_matches(words, by_id, n=_NEAR, cutoff=0.75)]
    return list(dict.fromkeys(named + alike))[:_NEAR]


def newest_kickoff(connection: psycopg.Connection) -> datetime | None:
    """When the last stored event that has a derived row kicks off; None where there is none."""
    row = connection.execute(
        """SELECT e.event_open_date FROM market_event_metadata e
           WHERE e.event_open_date IS NOT NULL
             AND EXISTS (SELECT FROM market_derived_metrics d WHERE d.market_id = e.market_id)
           ORDER BY e.event_open_date DESC LIMIT 1"""
    ).fetchone()
    return None if row is None else row[0]
