"""Betfair's stored snapshots as a source: `market_book_snapshots` with the roles of `market_event_metadata`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import Connection

from producers.betfair.computed import found_nothing, gather
from producers.source import Page, Refusal, Request, Services, Source, Split
from schemas.betfair.tables import METRICS_TABLE, readable
from schemas.domain import Domain
from schemas.errors import Failed
from schemas.plan import Locator, Plan, PlannedUnit
from schemas.table import Table
from schemas.unit import TARGET_UNIT_BYTES, TARGET_UNIT_ROWS, Unit
from schemas.wire import oversize
from schemas.words import counted, verb
from store.units import Known

KIND = "betfair.snapshots"
PAGE_ROWS = 20_000
# Postgres compresses wide rows; what is stored small may be this many times larger as text.
_COMPRESSED_FROM, _COMPRESSION = 1_800, 4

_Place = tuple[datetime, int]


class Snapshots(Locator):
    """Snapshots by their ids, in the plan's order."""

    ids: tuple[int, ...]


class SnapshotTable(Source[Snapshots]):
    """Snapshots in (snapshot_at, snapshot_id) order, in pages; payloads pass through as bytes, never parsed."""

    locator = Snapshots

    def __init__(self, domain: Domain, services: Services) -> None:
        super().__init__(domain, services)
        self._proven = False

    def pages(self, request: Request) -> Iterator[Page[Snapshots]]:
        """The rows to recompute now, in units of at most 512 rows and about 1 MiB."""
        self._check_markets(request.keys)
        self._proven = not request.all_rows and gather(self.connection, request.columns)
        number = 0
        for places in self._picked(request):
            units: list[PlannedUnit[Snapshots]] = []
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
            version = self.domain.derivation_version
            notes.append(
                f"{left_out:,} left out: version {version} has computed them from these payloads, what is NULL is NULL "
                "again (--all-rows takes them)"
            )
        if not found:
            notes.append("nothing to do" if left_out or beyond else self._why_nothing(request))
        return tuple(notes)

    def _count_beyond(self, request: Request) -> tuple[int, int | None]:
        """How many snapshots would be picked if their time could be read, and the first of them."""
        row = self.connection.execute(
            f"""SELECT count(*), min(s.snapshot_id)
                FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                WHERE NOT ({readable("s")}) AND {_picks(request)}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _count_left_out(self, request: Request) -> int:
        row = self.connection.execute(
            f"""SELECT count(*) FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                WHERE {_where(request)} AND {found_nothing(request.columns)}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def _why_nothing(self, request: Request) -> str:
        row = self.connection.execute(
            f"""SELECT count(*), min(snapshot_at), max(snapshot_at),
                       (SELECT count(*) FROM market_book_snapshots s
                        WHERE {_where(replace(request, all_rows=True))})
                FROM market_book_snapshots s WHERE {readable("s")}""",
            _parameters(request),
        ).fetchone()
        assert row is not None
        stored, first, last, inside = row
        if inside:
            lacking = f"{verb(inside, 'has', 'have')} a value in every column in scope"
            return f"nothing to do: all {counted(inside, 'snapshot')} of the range {lacking}"
        if not stored:
            return "nothing to do: market_book_snapshots is empty"
        return f"nothing to do: no snapshot in the range; the {stored:,} stored are of {_utc(first)} to {_utc(last)}"

    def _check_markets(self, markets: tuple[str, ...]) -> None:
        known = {
            row[0]
            for row in self.connection.execute(
                "SELECT market_id FROM market_event_metadata WHERE market_id = ANY(%s)", [list(markets)]
            )
        }
        if missing := [market for market in markets if market not in known]:
            newest = self.connection.execute(
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
        unproven = f" AND NOT {found_nothing(request.columns)}" if self._proven else ""
        # One query for all pages: asked for page by page, the planner may sort the rest of the table each time.
        with self.connection.cursor(name="rederive_picked", withhold=True) as picked:
            picked.execute(
                f"""SELECT s.snapshot_at, s.snapshot_id, pg_column_size(s.raw_payload)
                    FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
                    WHERE {_where(request)}{unproven}
                    ORDER BY s.snapshot_at, s.snapshot_id LIMIT %(limit)s""",
                {**_parameters(request), "limit": request.limit},
            )
            while page := picked.fetchmany(PAGE_ROWS):
                yield [((at, key), _weight(stored or 0)) for at, key, stored in page]

    def _count_nulls(self, request: Request, units: list[PlannedUnit[Snapshots]]) -> dict[str, int]:
        counts = ", ".join(f"count(*) - count(d.{name})" for name in request.columns)
        row = self.connection.execute(
            f"""SELECT {counts} FROM unnest(%s::int8[]) AS picked(snapshot_id)
                LEFT JOIN market_derived_metrics d USING (snapshot_id)""",
            [[key for unit in units for key in unit.locator.ids]],
        ).fetchone()
        assert row is not None
        return dict(zip(request.columns, row, strict=True))

    def stale(self, plan: Plan[Snapshots]) -> str | None:
        """Picked rows that are gone, or that have been filled meanwhile where rows were picked by what is NULL."""
        complete = " AND ".join(f"d.{name} IS NOT NULL" for name in plan.columns)
        gone = filled = 0
        for unit in plan.units:
            row = self.connection.execute(
                f"""SELECT count(*) FILTER (WHERE s.snapshot_id IS NULL), count(*) FILTER (WHERE {complete})
                    FROM unnest(%s::int8[]) AS picked(snapshot_id)
                    LEFT JOIN market_book_snapshots s USING (snapshot_id)
                    LEFT JOIN market_derived_metrics d USING (snapshot_id)""",
                [list(unit.locator.ids)],
            ).fetchone()
            assert row is not None
            gone += row[0]
            filled += 0 if plan.request["all_rows"] else row[1]
        if gone:
            return f"{gone:,} of its {counted(plan.found, 'snapshot')} {verb(gone, 'is', 'are')} gone"
        if filled:
            return f"{filled:,} of its {counted(plan.found, 'row')} {verb(filled, 'has', 'have')} been filled since"
        return None

    def holding(self, units: Sequence[Known], table: Table, key: Mapping[str, Any], observed: str) -> Sequence[Known]:  # noqa: ARG002
        """Those that were planned to read the snapshot."""
        return [unit for unit in units if key["snapshot_id"] in unit.locator["ids"]]

    def read(self, capture_id: str, columns: tuple[str, ...], unit: PlannedUnit[Snapshots]) -> Unit | Refusal | Split:
        """The unit's snapshots as JSON Lines, in the plan's order."""
        ids = unit.locator.ids
        rows = read_snapshots(self.connection, ids)
        value = b"\n".join(snapshot_line(row) for row in rows)
        observed = _utc(rows[0][1]) if rows else ""
        made = self.record(capture_id, columns, unit, value, kind=KIND, key=str(ids[0]).encode(), observed=observed)
        if isinstance(made, Unit):
            return made
        if len(ids) == 1:
            return Refusal(unit, f"snapshot {ids[0]}: {oversize(value)}")
        middle = len(ids) // 2
        parts = [
            unit.model_copy(update={"locator": Snapshots(ids=half), "rows": len(half)})
            for half in (ids[:middle], ids[middle:])
        ]
        return Split(unit, "too large for one record", parts)


def read_snapshots(connection: Connection, ids: Sequence[int]) -> list[tuple[Any, ...]]:
    """Snapshots as `snapshot_line` takes them, in the order of their ids; a time that can't be read is None."""
    return connection.execute(
        f"""SELECT s.snapshot_id, CASE WHEN {readable("s")} THEN s.snapshot_at END, s.market_id,
                   convert_to(s.raw_payload::text, 'UTF8'),
                   m.home_selection_id, m.away_selection_id, m.draw_selection_id
            FROM unnest(%s::int8[]) WITH ORDINALITY AS picked(snapshot_id, place)
            JOIN market_book_snapshots s USING (snapshot_id)
            LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
            ORDER BY place""",
        [list(ids)],
        prepare=True,
        # A payload as text would be decoded here only to be encoded again.
        binary=True,
    ).fetchall()


def weigh(connection: Connection, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Snapshots that are there, in the order of their ids, each with about how many bytes its payload's text has."""
    found = connection.execute(
        """SELECT s.snapshot_id, pg_column_size(s.raw_payload)
           FROM unnest(%s::int8[]) WITH ORDINALITY AS picked(snapshot_id, place)
           JOIN market_book_snapshots s USING (snapshot_id) ORDER BY place""",
        [list(ids)],
        prepare=True,
    )
    return [(key, _weight(stored or 0)) for key, stored in found]


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


def _unit(number: int, places: list[_Place]) -> PlannedUnit[Snapshots]:
    (first_at, first), (last_at, last) = places[0], places[-1]
    return PlannedUnit(
        unit=number,
        key_range=f"{_utc(first_at)}/{first}..{_utc(last_at)}/{last}",
        locator=Snapshots(ids=tuple(key for _, key in places)),
        rows=len(places),
    )


def snapshot_line(row: Sequence[Any]) -> bytes:
    """A snapshot with its market's roles as a line of a unit: id, time, market, payload's text, home, away, draw."""
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
