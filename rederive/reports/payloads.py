"""Stored payloads as the input lines of the domain, read in keyset pages (flat memory, no long transaction)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
import psycopg
from psycopg import sql

from rederive.reports.columns import any_null
from schemas.betfair import readable

PAGE = 500


@dataclass(frozen=True, slots=True)
class Stored:
    """A snapshot whose derived row lacks something: its input line, and which of the columns asked for are NULL.

    `has_row` is false where there is no derived row at all; then every flag of `nulls` is true.
    """

    snapshot_id: int
    line: bytes
    nulls: tuple[bool, ...]
    has_row: bool


def incomplete(connection: psycopg.Connection, columns: Sequence[str], *, page: int = PAGE) -> Iterator[list[Stored]]:
    """Pages of the snapshots with a NULL in any of `columns` or without a derived row, by ascending id.

    Each page is a statement of its own: on an autocommit connection nothing holds back vacuum, and rows that are
    filled meanwhile are left out. Memory is that of one page.
    """
    # Without a derived row all its columns are NULL here. The bound stands on both tables: a merge join carries
    # only equalities over, and would read the derived table from its beginning for each page.
    query = sql.SQL("""
        SELECT s.snapshot_id, s.snapshot_at, s.market_id, s.raw_payload::text, d.snapshot_id IS NOT NULL,
               ARRAY[{flags}], m.market_id IS NOT NULL, m.home_selection_id, m.away_selection_id, m.draw_selection_id
        FROM market_book_snapshots s
        LEFT JOIN market_derived_metrics d ON d.snapshot_id = s.snapshot_id AND d.snapshot_id > %(last)s
        LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
        WHERE s.snapshot_id > %(last)s AND {any_null} AND {dated}
        ORDER BY s.snapshot_id LIMIT %(page)s
    """).format(
        flags=sql.SQL(", ").join(sql.SQL("{} IS NULL").format(sql.Identifier("d", column)) for column in columns),
        any_null=any_null(columns, "d"),
        dated=sql.SQL(readable("s")),
    )
    last = -(2**63)
    while True:
        rows = connection.execute(query, {"last": last, "page": page}, prepare=False).fetchall()
        if rows:
            yield [
                Stored(key, input_line(key, at, market, payload, ids if known else None), tuple(nulls), has_row)
                for key, at, market, payload, has_row, nulls, known, *ids in rows
            ]
            last = rows[-1][0]
        if len(rows) < page:
            return


def input_line(
    snapshot_id: int,
    snapshot_at: datetime,
    market_id: str,
    payload: str | None,
    selections: Sequence[int | None] | None,
) -> bytes:
    """The input line of one snapshot (docs/records.md); `payload` is JSON text, taken over as it stands.

    `selections` are the ids of home, away and draw, None where the market has no metadata.
    """
    return orjson.dumps(
        {
            "snapshot_id": snapshot_id,
            "snapshot_at": snapshot_at,
            "market_id": market_id,
            "raw_payload": None if payload is None else orjson.Fragment(payload),
            "selection_ids": None
            if selections is None
            else dict(zip(("home", "away", "draw"), selections, strict=True)),
        }
    )
