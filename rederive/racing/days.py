"""What is kept of a range of race days."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg

from producers.places import Place
from producers.racing.days import DAY_KINDS, last_day
from producers.racing.index import Day, RacingIndex
from producers.racing.locators import Ask
from producers.source import Request
from rederive.racing.chunks import CALL_SECONDS, monthly
from rederive.racing.verify import FIRST_DAY
from rederive.replayer import Replayer
from schemas.errors import Failed, UsageError
from schemas.plan import Plan

_CARDS_AHEAD = timedelta(days=7)


def check_days(first: date, last: date) -> None:
    """UsageError for a range that there can be no race days of."""
    if first < FIRST_DAY:
        raise UsageError(f"--from {first} is before the first race day", mend=f"results reach back to {FIRST_DAY}")
    ahead = datetime.now(UTC).date() + _CARDS_AHEAD
    if last > ahead:
        why = f"race cards reach one week ahead, to {ahead}"
        raise UsageError(f"--to {last} is too far in the future", why=why, mend="leave --to out: the range ends today")


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
