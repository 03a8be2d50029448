"""Betfair live: snapshots are found as they are committed to market_book_snapshots, and go to betfair.log."""

import logging
import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from psycopg import Connection

from producers.arrivals import Arrivals
from producers.betfair.snapshots import KIND, read_snapshots, snapshot_line, weigh
from producers.live import Arriving, Live
from producers.sender import Sender
from producers.source import Services
from producers.topics import partitions_of
from schemas.domain import Domain
from schemas.lane import Lane, LaneName
from schemas.unit import TARGET_UNIT_BYTES, TARGET_UNIT_ROWS, Unit
from schemas.wire import RawHeaders, oversize
from store import cursors
from store import live as stored

log = logging.getLogger(__name__)

SNAPSHOTS = Arrivals("market_book_snapshots", "snapshot_id")
CURSOR = "betfair.market_book_snapshots"

LACKING = "no_metadata"
"""Why a snapshot is skipped that is taken up once its market is known."""

_LOOK_SECONDS, _LEAST_SECONDS = 0.025, 0.002
_PAGE_ROWS = 2_000
_SAVE_SECONDS = 5.0
_LACKING_SECONDS, _LACKING_SHARE = 1.0, 20.0
_DELIVERY_SECONDS = 30.0


class LiveSnapshots(Live):
    """New snapshots, found within 25 ms of their commit; those whose market gets its roles later, then."""

    def __init__(self, domain: Domain, services: Services, arriving: Arriving) -> None:
        super().__init__(domain, services, arriving)
        lane = Lane(domain.name, LaneName.LOG, services.prefix)
        partitions = partitions_of(services.kafka, lane.raw)
        self._sender = Sender(services.kafka, lane.raw, partitions, lane.codec, at_once=True)
        self._sent = 0
        self._position = self._begin()
        SNAPSHOTS.ready(self.connection)
        self._saved = self._look_for_lacking_at = time.monotonic()
        self._looked = _now_ms()

    def _begin(self) -> cursors.Position:
        known, from_now = cursors.load(self.connection, CURSOR), self.arriving.from_now
        if known is not None and (from_now is None or known.reached >= from_now):
            SNAPSHOTS.check(self.connection, known)
            return known
        begun = SNAPSHOTS.now(self.connection)
        cursors.save(self.connection, CURSOR, begun)
        log.info(
            "live begins with what is committed to %s from now on; `rederive gaps betfair` says what was stored before "
            "and isn't derived",
            SNAPSHOTS.table,
        )
        return begun

    def step(self) -> float:
        """Deliver what has been committed since the last look."""
        looked, began = _now_ms(), time.monotonic()
        found = SNAPSHOTS.after(self.connection, self._position, _PAGE_ROWS)
        if found.keys:
            self._deliver(found.keys, self._looked)
            cursors.save(self.connection, CURSOR, found.after)
            self._saved = time.monotonic()
        elif time.monotonic() - self._saved > _SAVE_SECONDS:
            cursors.save(self.connection, CURSOR, found.after)
            self._saved = time.monotonic()
        self._position = found.after
        if found.more:
            return 0.0
        self._looked = looked
        if time.monotonic() > self._look_for_lacking_at:
            started = time.monotonic()
            self._take_up_lacking()
            # Where many lack their market for good, looking for them takes no more than a twentieth of the time.
            self._look_for_lacking_at = time.monotonic() + max(
                _LACKING_SECONDS, _LACKING_SHARE * (time.monotonic() - started)
            )
        return max(_LEAST_SECONDS, _LOOK_SECONDS - (time.monotonic() - began))

    def _take_up_lacking(self) -> None:
        """Deliver the snapshots that were skipped for want of their market's roles and have them now."""
        ready = stored.skipped(self.connection, self.domain.name, LACKING, _PAGE_ROWS, _HAS_ROLES)
        if ready:
            log.info("%d snapshots whose market is known now are taken up", len(ready))
            self._deliver([key for key, _ in ready], None)
            stored.taken_up(self.connection, [place for _, place in ready])

    def _deliver(self, keys: Sequence[int], looked: int | None) -> None:
        """Send snapshots and wait until they stand on the log. Failed or Away when they don't."""
        self.arriving.sent(len(self._sender.deliver(self._units(keys, looked), _DELIVERY_SECONDS)))

    def _units(self, keys: Sequence[int], looked: int | None) -> Iterator[Unit]:
        for wanted in _slices(weigh(self.connection, keys)):
            for value, ids in values(wanted, read_snapshots(self.connection, wanted)):
                headers = RawHeaders(KIND, rows=len(ids), key_range=f"{ids[0]}..{ids[-1]}", looked=looked)
                yield Unit(headers, str(ids[0]).encode(), value, partition=self._sent)
                self._sent += 1

    def close(self) -> None:
        """Leave the broker; what isn't delivered is found again."""
        self._sender.drop()


def values(ids: Sequence[int], rows: Sequence[Sequence[Any]]) -> Iterator[tuple[bytes, Sequence[int]]]:
    """Values of records, each with the ids of its snapshots: one of all, or one of each where that would be too large.

    `rows` are those of `ids` that are still there. One that is too large by itself says so instead of its payload.
    """
    lines = [snapshot_line(row) for row in rows]
    value = b"\n".join(lines)
    if oversize(value) is None:
        yield value, ids
        return
    for row, line in zip(rows, lines, strict=True):
        id_, why = row[0], oversize(line)
        yield (line if why is None else orjson.dumps({"snapshot_id": id_, "refused": why})), [id_]


def _slices(weighed: Sequence[tuple[int, int]]) -> Iterator[list[int]]:
    """Ids in slices of a unit's rows and bytes."""
    ids: list[int] = []
    size = 0
    for id_, weight in weighed:
        if ids and (len(ids) == TARGET_UNIT_ROWS or size + weight > TARGET_UNIT_BYTES):
            yield ids
            ids, size = [], 0
        ids.append(id_)
        size += weight
    if ids:
        yield ids


def to_take_up(connection: Connection, domain: Domain) -> list[int]:
    """The snapshots that were skipped for want of their market's roles, have them now, and are about to be taken up."""
    return [key for key, _ in stored.skipped(connection, domain.name, LACKING, _MOST_LACKING, _HAS_ROLES)]


_MOST_LACKING = 1_000_000
_HAS_ROLES = """SELECT s.snapshot_id FROM market_book_snapshots s JOIN market_event_metadata m USING (market_id)
    WHERE s.snapshot_id = (p.key ->> 0)::int8
      AND num_nulls(m.home_selection_id, m.away_selection_id, m.draw_selection_id) = 0"""


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
