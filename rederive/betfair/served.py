"""What several of Betfair's paths read: whether a market is known, the newest payload, the usual window of time."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import orjson
from psycopg import Connection
from psycopg.rows import dict_row
from pydantic import PlainSerializer

from rederive.http.routing import BaseModel, Response, Unknown

DAY = timedelta(hours=24)
PREVIEW_BYTES = 50 * 1024
"""A payload that is larger is shown as the beginning of its text."""

_BEGINNING = datetime.min.replace(tzinfo=UTC)


Time = Annotated[datetime, PlainSerializer(datetime.isoformat, return_type=str, when_used="json")]
"""A time in an answer, with its offset in digits: 2026-02-14T17:51:58.466790+00:00."""


class Triplet(BaseModel):
    """A figure of each of the three roles."""

    home: float | None
    away: float | None
    draw: float | None


class Raw(BaseModel):
    """A payload as it is stored; as text of its first 50 KiB when it is larger, `truncated` then."""

    snapshot_id: int
    snapshot_at: Time
    market_id: str
    raw_payload: Any
    truncated: bool
    raw_payload_size_bytes: int


def window(from_ts: datetime | None, to_ts: datetime | None, back: timedelta = DAY) -> tuple[datetime, datetime]:
    """From and to, both included; by default what lies `back` from now."""
    now = datetime.now(UTC)
    return from_ts or now - back, to_ts or now


def earlier(moment: datetime, by: timedelta) -> datetime:
    """So much earlier, as far as there are years."""
    return moment - by if moment - _BEGINNING > by else _BEGINNING


def check_market(connection: Connection, market_id: str) -> None:
    """Unknown when no metadata has a market of that id."""
    if connection.execute("SELECT FROM market_event_metadata WHERE market_id = %s", [market_id]).fetchone() is None:
        raise Unknown(f"market {market_id} is unknown", why="market_event_metadata has no row of it")


def raw(connection: Connection, condition: str, parameter: str | int) -> Response | None:
    """The payload of the newest snapshot that a condition (SQL) names, as JSON that is as it is stored."""
    with connection.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(
            f"""SELECT snapshot_id, snapshot_at, market_id, octet_length(raw_payload::text) AS size,
                       left(raw_payload::text, {PREVIEW_BYTES}) AS preview
                FROM market_book_snapshots WHERE {condition} ORDER BY snapshot_at DESC, snapshot_id DESC LIMIT 1""",
            [parameter],
        ).fetchone()
    if found is None:
        return None
    size, preview = found.pop("size"), found.pop("preview").encode()
    truncated = size > PREVIEW_BYTES
    payload = preview[:PREVIEW_BYTES].decode("utf-8", "ignore") if truncated else orjson.Fragment(preview)
    content = {**found, "raw_payload": payload, "truncated": truncated, "raw_payload_size_bytes": size}
    return Response(orjson.dumps(content), media_type="application/json")
