"""Betfair's stored snapshots as a source: `market_book_snapshots` with the roles of `market_event_metadata`."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import Connection

from producers.betfair_computed import found_nothing, gather
from producers.source import Page, Refusal, Request, Source
from schemas.betfair import BETFAIR, METRICS_TABLE, readable
from schemas.errors import Failed
from schemas.plan import Plan, PlanHead, PlannedUnit
from schemas.unit import ENVELOPE_BYTES, MAX_RECORD_BYTES, TARGET_UNIT_BYTES, TARGET_UNIT_ROWS, Unit, UnitHeaders

KIND = "betfair.snapshots"
PAGE_ROWS = 20_000
# Postgres compresses wide rows; what is stored small may be this many times larger as text.
_COMPRESSED_FROM, _COMPRESSION = 1_800, 4

# The first half is for the index on snapshot_at, which the row comparison can't use.
_AFTER = " AND s.snapshot_at >= %(after_at)s AND (s.snapshot_at, s.snapshot_id) > (%(after_at)s, %(after_id)s)"

_Place = tuple[datetime, int]


class SnapshotTable(Source):
    """Snapshots in (snapshot_at, snapshot_id) order, in keyset pages; payloads pass through as text, never parsed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._proven = False

    def head(self, request: Request) -> PlanHead:
        """The plan's head before anything is found."""
        return PlanHead(
            domain=BETFAIR.name,
            source="table",
            mode=request.mode,
            derivation_version=BETFAIR.derivation_version,
            columns=request.columns,
            request=request.describe(),
        )

    def pages(self, request: Request) -> Iterator[Page]:
        """The rows to recompute now, in units of at most 128 rows and about 256 KiB."""
        self._check_markets(request.keys)
        self._proven = not request.all_rows and gather(self._connection, request.columns)
        number = 0
        for places in self._picked(request):
            units: list[PlannedUnit] = []
            slice_: list[_Place] = []
            size = 0
            for place, weight in places:
                if slice_ and (len(slice_) == TARGET_UNIT_ROWS or size + weight > TARGET_UNIT_BYTES):
                    units.append(_unit(number + len(units), slice_))
                    slice_, size = [], 0
                slice_.append(place)
                size += weight
            units.append(_unit(number + len(units), slice_))
            number += len(units)
            yield Page(units, self._count_nulls(request, units))

    def notes(self, request: Request, found: int) -> tuple[str, ...]:
        """What is left out, and why there is nothing to do, if so."""
        left_out = self._count_left_out(request) if self._proven else 0
        notes = []
        beyond, first = self._count_beyond(request)
        if beyond:
            notes.append(
                f"{beyond:,} left out: snapshot_at is outside the years 1 to 9999, the first is snapshot {first}"
            )
        if left_out:
            notes.append(
                f"{left_out:,} left out: version {BETFAIR.derivation_version} has computed them from these payloads, "
                "what is NULL is NULL again (--all-rows takes them)"
            )
        if not found:
            notes.append("nothing to do" if left_out or beyond else self._why_nothing(request))
        return tuple(notes)

    def _count_beyond(self, request: Request) -> tuple[int, int | None]:
        """How many snapshots would be picked if their time could be read, and the first of them."""
        row = self._connection.execute(
            f"""SELECT count(*), min(s.snapshot_id)
                FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                WHERE NOT ({readable("s")}) AND {_picks(request)}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _count_left_out(self, request: Request) -> int:
        row = self._connection.execute(
            f"""SELECT count(*) FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                WHERE {_where(request)} AND {found_nothing(request.columns)}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _why_nothing(self, request: Request) -> str:
        row = self._connection.execute(
            f"""SELECT count(*), min(snapshot_at), max(snapshot_at),
                       (SELECT count(*) FROM market_book_snapshots s
                        WHERE {_where(replace(request, all_rows=True))})
                FROM market_book_snapshots s WHERE {readable("s")}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        stored, first, last, inside = row
        if inside:
            return f"nothing to do: all {inside:,} snapshots of the range have a value in every column in scope"
        if not stored:
            return "nothing to do: market_book_snapshots is empty"
        return f"nothing to do: no snapshot in the range; the {stored:,} stored are of {_utc(first)} to {_utc(last)}"

    def _check_markets(self, markets: tuple[str, ...]) -> None:
        known = {
            row[0]
            for row in self._connection.execute(
                "SELECT market_id FROM market_event_metadata WHERE market_id = ANY(%s)", [list(markets)]
            )
        }
        if missing := [market for market in markets if market not in known]:
            newest = self._connection.execute(
                "SELECT market_id, event_name FROM market_event_metadata ORDER BY last_seen_at DESC, market_id LIMIT 3"
            ).fetchall()
            named = ", ".join(f"{market} ({event})" if event else market for market, event in newest)
            raise Failed(
                f"unknown market {', '.join(missing)}",
                why="market_event_metadata has no such market_id",
                mend=f"those seen last are {named}" if named else "store markets first: market_event_metadata is empty",
            )

    def _picked(self, request: Request) -> Iterator[list[tuple[_Place, int]]]:
        """Pages of (place, size in bytes, about) in (snapshot_at, snapshot_id) order."""
        after: _Place | None = None
        unproven = f" AND NOT {found_nothing(request.columns)}" if self._proven else ""
        total = 0
        while True:
            wanted = PAGE_ROWS if request.limit is None else min(PAGE_ROWS, request.limit - total)
            if wanted <= 0:
                return
            page = self._connection.execute(
                f"""SELECT s.snapshot_at, s.snapshot_id, pg_column_size(s.raw_payload)
                    FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                    WHERE {_where(request)}{unproven}{_AFTER if after else ""}
                    ORDER BY s.snapshot_at, s.snapshot_id LIMIT %(wanted)s""",
                {
                    **_parameters(request),
                    "after_at": after[0] if after else None,
                    "after_id": after[1] if after else None,
                    "wanted": wanted,
                },
            ).fetchall()
            if page:
                yield [((at, key), _weight(stored or 0)) for at, key, stored in page]
            total += len(page)
            if len(page) < wanted:
                return
            after = (page[-1][0], page[-1][1])

    def _count_nulls(self, request: Request, units: list[PlannedUnit]) -> dict[str, int]:
        counts = ", ".join(f"count(*) - count(d.{name})" for name in request.columns)
        row = self._connection.execute(
            f"""SELECT {counts} FROM unnest(%s::int8[]) AS picked(snapshot_id)
                LEFT JOIN market_derived_metrics d USING (snapshot_id)""",
            [[key for unit in units for key in unit.picked["ids"]]],
        ).fetchone()
        assert row is not None
        return dict(zip(request.columns, row, strict=True))

    def stale(self, plan: Plan) -> str | None:
        """Picked rows that are gone, or that have been filled meanwhile where rows were picked by what is NULL."""
        complete = " AND ".join(f"d.{name} IS NOT NULL" for name in plan.columns)
        gone = filled = 0
        for unit in plan.units:
            row = self._connection.execute(
                f"""SELECT count(*) FILTER (WHERE s.snapshot_id IS NULL), count(*) FILTER (WHERE {complete})
                    FROM unnest(%s::int8[]) AS picked(snapshot_id)
                    LEFT JOIN market_book_snapshots s USING (snapshot_id)
                    LEFT JOIN market_derived_metrics d USING (snapshot_id)""",
                [unit.picked["ids"]],
            ).fetchone()
            assert row is not None
            gone += row[0]
            filled += 0 if plan.request["all_rows"] else row[1]
        if gone:
            return f"{gone:,} of its {plan.found:,} snapshots are gone"
        if filled:
            return f"{filled:,} of its {plan.found:,} rows have been filled since"
        return None

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit) -> Unit | Refusal:
        """The unit's snapshots as JSON Lines, in the plan's order."""
        ids = unit.picked["ids"]
        rows = self._connection.execute(
            """SELECT s.snapshot_id, s.snapshot_at, s.market_id, s.raw_payload::text,
                      m.home_selection_id, m.away_selection_id, m.draw_selection_id
               FROM unnest(%s::int8[]) WITH ORDINALITY AS picked(snapshot_id, place)
               JOIN market_book_snapshots s USING (snapshot_id)
               LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
               ORDER BY place""",
            [ids],
            prepare=True,
        ).fetchall()
        value = b"\n".join(_line(row) for row in rows)
        if len(value) + ENVELOPE_BYTES > MAX_RECORD_BYTES:
            if len(ids) > 1:
                middle = len(ids) // 2
                return Refusal(unit, "too large for one record", (ids[:middle], ids[middle:]))
            return Refusal(
                unit,
                f"snapshot {ids[0]}: its payload of {len(value):,} bytes is over the limit of "
                f"{MAX_RECORD_BYTES - ENVELOPE_BYTES:,} bytes a record",
            )
        headers = UnitHeaders(
            kind=KIND,
            capture=capture_id,
            unit=unit.unit,
            columns=columns,
            rows=unit.rows,
            key_range=unit.key_range,
            observed=_utc(rows[0][1]) if rows else "",
        )
        return Unit(headers, str(ids[0]).encode(), value)


def _where(request: Request) -> str:
    return f"{readable('s')} AND {_picks(request)}"


def _picks(request: Request) -> str:
    parts = ["true"]
    if request.start:
        parts.append("s.snapshot_at >= %(start)s")
    if request.end:
        parts.append("s.snapshot_at < %(end)s")
    if request.keys:
        parts.append("s.market_id = ANY(%(markets)s)")
    if not request.all_rows:
        names = ", ".join(f"d.{name}" for name in request.columns)
        parts.append(f"(d.{METRICS_TABLE.key[0].name} IS NULL OR num_nulls({names}) > 0)")
    return " AND ".join(parts)


def _parameters(request: Request) -> dict[str, Any]:
    return {"start": request.start, "end": request.end, "markets": list(request.keys)}


def _weight(stored: int) -> int:
    return stored * _COMPRESSION if stored >= _COMPRESSED_FROM else stored


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()


def _unit(number: int, places: list[_Place]) -> PlannedUnit:
    (first_at, first), (last_at, last) = places[0], places[-1]
    return PlannedUnit(
        unit=number,
        key_range=f"{_utc(first_at)}/{first}..{_utc(last_at)}/{last}",
        picked={"ids": [key for _, key in places]},
        rows=len(places),
    )


def _line(row: tuple[Any, ...]) -> bytes:
    snapshot_id, at, market_id, payload, home, away, draw = row
    return orjson.dumps(
        {
            "snapshot_id": snapshot_id,
            "snapshot_at": at,
            "market_id": market_id,
            "selection_ids": {"home": home, "away": away, "draw": draw},
            "raw_payload": None if payload is None else orjson.Fragment(payload),
        }
    )
