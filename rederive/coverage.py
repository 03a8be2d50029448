"""Whether a live day is covered: each record of its log has an outcome, each row that had arrived a derived one.

What is on its way is told from what is missing by looking twice: what had been found when the first look began must
have an outcome before the second one.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date

from psycopg import Connection

from producers.gap import MISSING, Gap, Looking
from producers.records import Records
from producers.source import end_of, start_of
from rederive.checks import Check
from rederive.gaps import fill_command, usual_request
from rederive.holes import holes, on_their_way
from rederive.replayer import Replayer
from schemas.domain import TABLE, Domain, load
from schemas.lane import Lane
from schemas.live import LiveDay
from schemas.words import counted
from store import cursors, evidence, origins, producers
from store.cursors import Position
from store.evidence import Looked

_ARRIVE_SECONDS, _LOOK_SECONDS = 10.0, 0.25

Ahead = dict[tuple[str, int], tuple[int, int]]


def checks(replayer: Replayer, connection: Connection, domain: Domain, live: Sequence[Looked]) -> Iterator[Check]:
    """Those of live captures of a domain, by their days."""
    days = sorted({day.day for one in live if (day := LiveDay.read(one.capture_id, domain.name))})
    if not days:
        return
    request = usual_request(domain, start_of(days[0]), end_of(days[-1]))
    looking = Looking(domain, replayer.services(connection, dry=True), request)
    found = cursors.of_domain(connection, domain.name)
    ahead = on_their_way(looking)
    yield _log(looking, days, live, ahead)
    if domain.gaps and TABLE in domain.sources:
        yield _arrived(replayer, looking, days, found, ahead)


def _log(looking: Looking, days: Sequence[date], live: Sequence[Looked], ahead: Ahead) -> Check:
    """Records by the day of their Kafka timestamps: applied, dead, on their way, or nobody's."""
    domain, connection = looking.domain.name, looking.services.connection
    check = Check(f"{domain}: records of the log")
    applied = dead = waiting = 0
    dropped: dict[str, tuple[int, int]] = {}
    for lane in (Lane(domain, name, looking.services.prefix) for name in looking.domain.kept):
        with closing(Records(looking.services.kafka, lane.raw)) as records:
            for partition in records.partitions():
                low, high = records.watermarks(partition)
                first_ahead = ahead.get((lane.raw, partition), (high, high))[0]
                for day in days:
                    first, last = (
                        records.sent_at_or_after(partition, moment, high) for moment in (start_of(day), end_of(day))
                    )
                    done = evidence.noted(connection, lane.raw, partition, first, last)
                    applied, dead = applied + done[0], dead + done[1]
                    waiting += max(0, last - max(first, first_ahead))
                for one in live:
                    gone = evidence.dropped(connection, one.capture_id, lane.raw, partition, low)
                    had = dropped.get(one.capture_id, (0, 0))
                    dropped[one.capture_id] = (had[0] + gone[0], had[1] + gone[1])
    check.looked_at = f"{counted(applied + dead, 'record')} with an outcome, {dead:,} of them dead"
    for gap in holes(looking):
        if gap.day in days:
            mend = _fill(domain, gap)
            check.blame(mend, gap.count, day=str(gap.day), records=gap.part, why="nothing notes them")
    if waiting:
        check.apart.append(f"{counted(waiting, 'record')} waiting: agents and sinks have yet to come to them")
    for capture, (done_with, unknown) in dropped.items():
        if done_with:
            check.apart.append(f"{capture}: {counted(done_with, 'record')} with an outcome, dropped by retention since")
        if unknown:
            check.apart.append(f"{capture}: {counted(unknown, 'record')} that nothing notes, dropped by retention")
    return check


def _arrived(
    replayer: Replayer, looking: Looking, days: Sequence[date], found: dict[str, Position], ahead: Ahead
) -> Check:
    """Rows by the payload's own day that the domain's formulas give a derived row for, and there is none."""
    name = looking.domain.name
    check = Check(f"{name}: rows that had arrived", f"{days[0]} to {days[-1]}" if len(days) > 1 else str(days[0]))
    arrived = _let_arrive(looking.services.connection, ahead)
    at_work = (holder := producers.holder(looking.services.connection, name)) and (
        holder.silent < producers.STALE_SECONDS
    )
    with replayer.connected("verification") as writing:
        # What looks for gaps makes temporary tables.
        services = replayer.services(writing, dry=True)
        asked = replace(looking, services=services, cursors=found if at_work else {})
        gaps = [gap for gap in load(looking.domain.gaps)(asked) if gap.kind == MISSING and gap.day in days]
    for gap in gaps:
        missing = gap.count - gap.waiting
        if gap.waiting:
            check.apart.append(f"{gap.day}: {counted(gap.waiting, gap.of)} waiting: live has yet to find what is new")
        if missing and not arrived:
            check.apart.append(
                f"{gap.day}: {counted(missing, gap.of)} without a derived row may be among the records that wait"
            )
        elif missing:
            why = f"{counted(missing, gap.of)} without a derived row, though a payload is stored that gives one"
            check.blame(_fill(name, gap), missing, day=str(gap.day), why=why)
    return check


def _let_arrive(connection: Connection, ahead: Ahead) -> bool:
    """Wait until what was on its way has an outcome; whether it has."""
    deadline = time.monotonic() + _ARRIVE_SECONDS
    while True:
        tops = {topic: origins.tops(connection, topic) for topic, _ in ahead}
        if all(tops[topic].get(partition, 0) >= high for (topic, partition), (_, high) in ahead.items()):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)


def _fill(domain: str, gap: Gap) -> str:
    return fill_command(domain, gap.kind, ["--from", str(gap.day), "--to", str(gap.day)])
