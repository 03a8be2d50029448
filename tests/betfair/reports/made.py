"""Made rows of the three Betfair tables."""

import copy
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

HOME, AWAY, DRAW = 11, 22, 33
START = datetime(2026, 2, 8, 12, tzinfo=UTC)

# Worked example E1 of the betfair spec, section 12.
PAYLOAD: dict[str, Any] = {
    "totalMatched": 10432.7,
    "runners": [
        {
            "selectionId": HOME,
            "ex": {
                "availableToBack": [[1.9, 200], [1.89, 150], [1.88, 80]],
                "availableToLay": [[1.91, 120], [1.92, 60]],
            },
        },
        {"selectionId": AWAY, "ex": {"availableToBack": [[4.4, 50], [4.3, 70]], "availableToLay": [[4.5, 40]]}},
        {
            "selectionId": DRAW,
            "ex": {
                "availableToBack": [[3.6, 60], [3.55, 90], [3.5, 30], [3.45, 500]],
                "availableToLay": [[3.65, 45]],
            },
        },
    ],
}


def payload() -> dict[str, Any]:
    """A copy to change."""
    return copy.deepcopy(PAYLOAD)


def market(
    connection: psycopg.Connection,
    market_id: str,
    *,
    name: str | None = None,
    kickoff: datetime | None = None,
    ids: tuple[int | None, int | None, int | None] = (HOME, AWAY, DRAW),
) -> None:
    connection.execute(
        "INSERT INTO market_event_metadata (market_id, event_name, event_open_date, home_selection_id,"
        " away_selection_id, draw_selection_id) VALUES (%s, %s, %s, %s, %s, %s)",
        (market_id, name, kickoff, *ids),
    )


def snapshot(
    connection: psycopg.Connection, snapshot_id: int, market_id: str, at: datetime, raw: object = PAYLOAD
) -> None:
    connection.execute(
        "INSERT INTO market_book_snapshots (snapshot_id, snapshot_at, market_id, raw_payload) VALUES (%s, %s, %s, %s)",
        (snapshot_id, at, market_id, Jsonb(raw, dumps=orjson.dumps)),
    )


def derived(connection: psycopg.Connection, snapshot_id: int, values: Mapping[str, float | None] | None = None) -> None:
    """The derived row of a stored snapshot; columns not named are NULL."""
    names = list(values or {})
    connection.execute(
        sql.SQL(
            "INSERT INTO market_derived_metrics (snapshot_id, snapshot_at, market_id{columns})"
            " SELECT snapshot_id, snapshot_at, market_id{values} FROM market_book_snapshots WHERE snapshot_id = {key}"
        ).format(
            columns=sql.SQL("").join(sql.SQL(", {}").format(sql.Identifier(name)) for name in names),
            values=sql.SQL("").join(sql.SQL(", {}").format((values or {})[name]) for name in names),
            key=snapshot_id,
        )
    )


def many(connection: psycopg.Connection, rows: int, null: int, columns: Sequence[str]) -> None:
    """`rows` snapshots of one market, a minute apart, ids from 1, with derived rows.

    All of `columns` are NULL in the newest `null` of them and 1.0 in the others; every other column is NULL.
    """
    market(connection, "1.1")
    connection.execute(
        "INSERT INTO market_book_snapshots (snapshot_id, snapshot_at, market_id, raw_payload)"
        " SELECT n, %s + n * interval '1 minute', '1.1', %s FROM generate_series(1, %s) n",
        (START, Jsonb(PAYLOAD, dumps=orjson.dumps), rows),
    )
    value = sql.SQL("CASE WHEN snapshot_id <= {} THEN 1.0 END").format(rows - null)
    connection.execute(
        sql.SQL(
            "INSERT INTO market_derived_metrics (snapshot_id, snapshot_at, market_id, {columns})"
            " SELECT snapshot_id, snapshot_at, market_id, {values} FROM market_book_snapshots"
        ).format(
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            values=sql.SQL(", ").join([value] * len(columns)),
        )
    )
    connection.execute("ANALYZE")
