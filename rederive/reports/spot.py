"""The newest derived rows, to look at with one's own eyes (betfair spec, section 7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from rederive.reports.columns import listed, select
from schemas.betfair import readable

COLUMNS = (*select("best_back_size_l1"), *select("back_stake"))


@dataclass(frozen=True, slots=True)
class SpotRow:
    """A derived row: its key and the values asked for."""

    snapshot_id: int
    snapshot_at: datetime
    market_id: str
    values: Mapping[str, float | None]


def spot_check(connection: psycopg.Connection, columns: Sequence[str] = COLUMNS, *, limit: int = 5) -> list[SpotRow]:
    """The newest `limit` rows by `snapshot_at`, then id."""
    query = sql.SQL("""
        SELECT d.snapshot_id, d.snapshot_at, d.market_id, {values} FROM market_derived_metrics d
        WHERE {dated} ORDER BY d.snapshot_at DESC, d.snapshot_id DESC LIMIT %s
    """).format(values=listed(columns, "d"), dated=sql.SQL(readable("d")))
    return [
        SpotRow(row[0], row[1], row[2], dict(zip(columns, row[3:], strict=True)))
        for row in connection.execute(query, (limit,))
    ]
