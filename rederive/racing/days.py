"""What is kept of a range of race days, and what is missing."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg

from producers.log import Place
from producers.racing.days import DAY_KINDS, last_day
from producers.racing.index import Day, RacingIndex
from producers.racing.locators import Ask
from producers.source import Request
from rederive.racing.chunks import CALL_SECONDS, monthly
from rederive.replayer import Replayer
from schemas.errors import Failed
from schemas.lane import LaneName
from schemas.plan import Plan
from schemas.racing.tables import RACING
from store import units


@dataclass(frozen=True, slots=True)
class Gap:
    """Days on end of one kind that should be kept and aren't, and why."""

    first: date
    last: date
    kind: str
    why: str

    @property
    def days(self) -> int:
        """How many days."""
        return (self.last - self.first).days + 1


def gaps(replayer: Replayer, request: Request) -> list[Gap]:
    """What `gaps racing` lists: by kind, then day."""
    with replayer.connected("list of gaps") as connection:
        failed = _failures(connection)
        found: list[Gap] = []
        for day in sorted(_days(replayer, connection, request), key=lambda day: (day.kind, day.day)):
            if day.settled:
                continue
            why = failed.get(f"{day.day}/{day.kind}") or ("fetched before the day was over" if day.kept else "missing")
            last = found[-1] if found else None
            if last and (last.kind, last.why) == (day.kind, why) and last.last == day.day - timedelta(days=1):
                found[-1] = Gap(last.first, day.day, day.kind, why)
            else:
                found.append(Gap(day.day, day.day, day.kind, why))
        return found


def status(replayer: Replayer, request: Request) -> dict[str, Any]:
    """What `--check-status` prints (racing spec, section 8); asks the API for nothing."""
    if request.start is None or request.end is None:
        raise Failed("there is no range to look at", mend="say --from")
    start, end = request.start.date(), last_day(request.end)
    chunks = list(monthly(start, end))
    with replayer.connected("status") as connection:
        days = list(_days(replayer, connection, request))
    open_months = {(day.day.year, day.day.month) for day in days if not day.settled}
    done = [chunk for chunk in chunks if (chunk.start.year, chunk.start.month) not in open_months]
    most: dict[date, tuple[int, int]] = {}
    for day in days:
        for _, answer in day.kept[-1:]:
            races, runners = most.get(day.day, (0, 0))
            most[day.day] = (max(races, answer.races), max(runners, answer.runners))
    fetched = [answer.fetched_at for day in days for _, answer in day.kept]
    calls = len(days)
    return {
        "start_date": start.isoformat(),
        "end_date": end.isoformat(),
        "days": (end - start).days + 1,
        "chunks": len(chunks),
        "calls": calls,
        "hours": round(calls * CALL_SECONDS / 3600, 1),
        "answers_kept": sum(day.settled for day in days),
        "answers_to_fetch": sum(not day.settled for day in days),
        "chunks_processed": len(done),
        "races": sum(races for races, _ in most.values()),
        "runners": sum(runners for _, runners in most.values()),
        "last_fetch": max(fetched).isoformat(timespec="seconds") if fetched else "none",
    }


def months(plan: Plan[Ask | Place]) -> list[tuple[str, int, int, int, int]]:
    """A plan by month: (month, racecards and results to ask for, other answers to ask for, records to read again)."""
    counts: dict[str, Counter[str]] = {}
    for unit in plan.units:
        kind = unit.locator.fetch if isinstance(unit.locator, Ask) else "again"
        month = unit.key_range[:7] if unit.key_range.endswith(DAY_KINDS) else "-"
        counts.setdefault(month, Counter())[kind if kind in (*DAY_KINDS, "again") else "other"] += 1
    return [(month, c["racecards"], c["results"], c["other"], c["again"]) for month, c in counts.items()]


def _days(replayer: Replayer, connection: psycopg.Connection, request: Request) -> list[Day]:
    assert request.start is not None
    assert request.end is not None
    index = RacingIndex(connection, replayer.settings.topic_prefix, replayer.settings.kafka_config(), dry=True)
    index.index()
    kinds = [kind for kind in DAY_KINDS if kind in request.kinds]
    return list(index.days(request.start.date(), last_day(request.end), kinds, request.keys))


def _failures(connection: psycopg.Connection) -> dict[str, str]:
    """Why each day failed last, by `2024-05-18/results`."""
    found = units.last_failures(connection, RACING.name, LaneName.LOG)
    return {key_range: f"failed: {_said(failure or 'unknown')}" for key_range, failure in found.items()}


def _said(failure: str) -> str:
    """What failed and why in one line; what to do about gaps is the command's own matter."""
    lines = [line.strip() for line in failure.splitlines()]
    return ": ".join(line.removeprefix("why: ") for line in lines if line and not line.startswith("do: "))
