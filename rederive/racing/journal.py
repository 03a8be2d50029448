"""The files that a backfill leaves: a checkpoint report after each chunk, a list of errors (racing spec, section 8).

Both are for people. What is done is known by the capture's units; nothing reads these files back but to append.
"""

import fcntl
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import psycopg

from producers.racing.days import DAY_KINDS, last_day
from rederive.logs import folder
from rederive.racing.chunks import Chunk, monthly
from schemas.capture import Capture, Progress, UnitState
from schemas.errors import RederiveError
from store import captures, units

log = logging.getLogger(__name__)

CHECKPOINT = "backfill_events_checkpoint.json"
ERRORS = "backfill_events_errors.json"
_LOOK_SECONDS = 2.0


@dataclass(slots=True)
class Journal:
    """Keeps the files of one capture's run; call it with the progress, `end` it however the run ends.

    A file that can't be written, or a database that doesn't answer, is a warning: a report ends no run.
    """

    home: Path
    connected: Callable[[], AbstractContextManager[psycopg.Connection]]
    capture_id: str
    _looked: float = 0.0
    _done: set[int] | None = None
    _told: set[int] = field(default_factory=set)
    _warned: str = ""

    def __call__(self, progress: Progress) -> None:
        """Look at most every 2 s; a chunk that has been finished since is written down."""
        if time.monotonic() - self._looked < _LOOK_SECONDS and not progress.complete:
            return
        self._looked = time.monotonic()
        with self._harmless():
            self.write(only_news=True)

    def end(self, error: BaseException | None) -> None:
        """Write the state that the run ends in, and what ended it."""
        with self._harmless():
            self.write(only_news=False)
        if isinstance(error, Exception):
            with self._harmless():
                self._append([{**_now(), "chunk": "", "error": str(error), "kind": "critical"}])

    @contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except (RederiveError, psycopg.Error, OSError) as error:
            if str(error) != self._warned:
                log.warning("the backfill's files are not up to date: %s", error)
            self._warned = str(error)

    def write(self, *, only_news: bool) -> None:
        """Write the checkpoint when a chunk has been finished since, or anyway; append units that have failed."""
        with self.connected() as connection:
            request = _request(connection, self.capture_id)
            chunks = list(monthly(*request)) if request else []
            failures = self._failures(connection, chunks)
            stats = _chunks(connection, self.capture_id, chunks) if request else []
        self._append(list(failures.values()))
        self._told |= set(failures)
        if request is None:
            return
        done = {chunk["chunk_number"] for chunk in stats if chunk["_done"]}
        if self._done is not None:
            for number in sorted(done - self._done):
                log.info("chunk %d of %d, %s: %s", number, len(chunks), chunks[number - 1], _summary(stats[number - 1]))
        if done != self._done or not only_news:
            self._write(CHECKPOINT, _report(request, chunks, stats, len(done)))
            self._done = done

    def _failures(self, connection: psycopg.Connection, chunks: list[Chunk]) -> dict[int, dict[str, Any]]:
        """Entries by unit, of those that aren't told yet."""
        found = {}
        for dead in units.dead(connection, self.capture_id, told=list(self._told)):
            day, _, source = dead.range.partition("/")
            chunk = next(
                (str(chunk) for chunk in chunks if chunk.start.isoformat() <= day <= chunk.end.isoformat()), ""
            )
            where = {"date": day if source in DAY_KINDS else "", "source": source or dead.range}
            found[dead.unit] = {**_now(), "chunk": chunk, "error": dead.failure, **where, "kind": "non-critical"}
        return found

    def _append(self, entries: list[dict[str, Any]]) -> None:
        """Add entries to the list of errors, but those that an earlier run of the capture has added."""
        if not entries:
            return
        with self._alone():
            try:
                known = orjson.loads((folder(self.home) / ERRORS).read_bytes())
            except (FileNotFoundError, ValueError):
                known = []
            known = known if isinstance(known, list) else [known]
            told = [_without_time(entry) for entry in known]
            fresh = [{**entry, "capture_id": self.capture_id} for entry in entries]
            self._write(ERRORS, known + [entry for entry in fresh if _without_time(entry) not in told])

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other run appends meanwhile."""
        place = os.open(folder(self.home), os.O_RDONLY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)

    def _write(self, name: str, value: object) -> None:
        # Runs may share the folder: each has a name of its own until the file is whole.
        fresh = folder(self.home) / f"{name}.{os.getpid()}.new"
        fresh.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2))
        fresh.replace(folder(self.home) / name)


@contextmanager
def journal(
    capture: Capture, home: Path, connected: Callable[[], AbstractContextManager[psycopg.Connection]]
) -> Iterator[Callable[[Progress], None]]:
    """What keeps the files of a run while it lasts; of one that asks nothing of the API there are none."""
    if capture.source != "api":
        yield lambda _: None
        return
    kept = Journal(home, connected, capture.capture_id)
    ended: BaseException | None = None
    try:
        yield kept
    except BaseException as error:
        ended = error
        raise
    finally:
        kept.end(ended)


def _without_time(entry: object) -> object:
    return {**entry, "timestamp": ""} if isinstance(entry, dict) else entry


def _now() -> dict[str, str]:
    return {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def _request(connection: psycopg.Connection, capture_id: str) -> tuple[date, date] | None:
    capture = captures.find(connection, capture_id)
    start, end = (capture.request.get(name) if capture else None for name in ("start", "end"))
    if start is None or end is None:
        return None
    return datetime.fromisoformat(start).date(), last_day(datetime.fromisoformat(end))


_Counts = dict[tuple[str, str], list[int]]
"""By month and kind."""


def _chunks(connection: psycopg.Connection, capture_id: str, chunks: list[Chunk]) -> list[dict[str, Any]]:
    days = [(unit, _DAY.fullmatch(unit.key_range)) for unit in units.of_capture(connection, capture_id)]
    of_days = [(unit, (found["month"], found["kind"])) for unit, found in days if found]
    counted: _Counts = {}
    for unit, place in of_days:
        done, dead = unit.state in (UnitState.APPLIED, UnitState.DEAD), unit.state is UnitState.DEAD
        figures = [1, int(done), int(dead), unit.updated, unit.unchanged, unit.skipped, unit.errors]
        counted[place] = [sum(pair) for pair in zip(counted.get(place, [0] * 7), figures, strict=True)]
    applied = [unit for unit, _ in of_days if unit.state is UnitState.APPLIED]
    kept = _kept(connection, applied)
    return [_chunk(chunk, counted, kept) for chunk in chunks]


_DAY = re.compile(r"(?P<month>[0-9-]{7})-[0-9]{2}/(?P<kind>[a-z]+)")


def _kept(connection: psycopg.Connection, applied: list[units.Known]) -> _Counts:
    """Races, runners, days and days with races of what the units have read: of a day its latest fetch."""
    places = [
        (unit.key_range, unit.locator.get("partition", unit.partition), unit.locator.get("offset", unit.record_offset))
        for unit in applied
    ]
    found = connection.execute(
        """SELECT month, kind, sum(races), sum(runners), count(*), count(*) FILTER (WHERE races > 0) FROM (
               SELECT DISTINCT ON (r.kind, r.date) left(u.key_range, 7) AS month, r.kind, r.races, r.runners
               FROM unnest(%s::text[], %s::int4[], %s::int8[]) AS u(key_range, partition, record_offset)
               JOIN rederive.racing_records r USING (partition, record_offset)
               WHERE r.kind = split_part(u.key_range, '/', 2) AND r.date::text = split_part(u.key_range, '/', 1)
               ORDER BY r.kind, r.date, r.fetched_at DESC) latest
           GROUP BY 1, 2""",
        [list(column) for column in zip(*places, strict=True)] or [[], [], []],
    )
    return {(month, kind): list(figures) for month, kind, *figures in found}


def _chunk(chunk: Chunk, counted: _Counts, kept: _Counts) -> dict[str, Any]:
    month = f"{chunk.start:%Y-%m}"
    found: dict[str, Any] = {
        "chunk_number": chunk.number,
        "start_date": chunk.start.isoformat(),
        "end_date": chunk.end.isoformat(),
        "_done": True,
    }
    for kind in DAY_KINDS:
        count, done, dead, updated, unchanged, skipped, errors = counted.get((month, kind), [0] * 7)
        races, runners, days, with_data = kept.get((month, kind), [0] * 4)
        found["_done"] &= count == done
        db_stats = {"updated": updated, "unchanged": unchanged, "skipped": skipped, "errors": errors}
        figures = (
            {"races_fetched": races, "runners_fetched": runners, "days_fetched": days, "days_with_data": with_data}
            if kind == "racecards"
            else {"runners_updated": runners, "races_fetched": races, "days_with_data": with_data}
        )
        found[kind] = {"success": count == done and not dead, "fetched": races, **figures, "db_stats": db_stats}
    return found


def _report(
    request: tuple[date, date], chunks: list[Chunk], stats: list[dict[str, Any]], processed: int
) -> dict[str, Any]:
    shown = [{name: value for name, value in chunk.items() if name != "_done"} for chunk in stats if chunk["_done"]]
    most = [max((chunk[kind]["fetched"], _runners(chunk[kind])) for kind in DAY_KINDS) for chunk in shown]
    return {
        **_now(),
        "stats": {
            "total_chunks": len(chunks),
            "chunks_processed": processed,
            "total_races": sum(races for races, _ in most),
            "total_runners": sum(runners for _, runners in most),
            "start_date": request[0].isoformat(),
            "end_date": request[1].isoformat(),
            "chunks": shown,
        },
    }


def _summary(chunk: dict[str, Any]) -> str:
    return ", ".join(
        f"{kind} {chunk[kind]['fetched']:,} races, {_runners(chunk[kind]):,} runners"
        + ("" if chunk[kind]["success"] else " (not all days)")
        for kind in DAY_KINDS
    )


def _runners(stats: dict[str, Any]) -> int:
    return int(stats.get("runners_fetched", stats.get("runners_updated", 0)))
