"""Gaps of racing: race days that are missing, have failed or were fetched too early, rows of older versions."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime

from producers.gap import EARLY, FAILED, MISSING, OUTDATED, Fill, Gap, Looking
from producers.racing.days import DAY_KINDS, last_day
from producers.racing.index import Day, RacingIndex
from producers.source import Request, Stretch, end_of, start_of
from rederive.racing.days import check_days
from rederive.racing.verify import FIRST_DAY
from schemas.domain import API, LOG
from schemas.errors import UsageError
from schemas.lane import LaneName
from schemas.racing.tables import CARD, HORSES, RACES, RACING, REFERENCE, RUNNERS, Kind
from schemas.table import Table
from sinks.merge.outdated import outdated_keys, parameters
from store import units

_KIND_OF: dict[int, Kind] = {CARD: "racecards"}


def gaps(looking: Looking) -> Iterator[Gap]:
    """By race day and kind of answer: what `replay racing` would ask for, and with `outdated` what to derive again.

    The range is the first day that is kept, else the first there is, to today unless it is said. Of a day that isn't
    over only nothing at all is a gap: what can be had of it today is settled tomorrow.
    """
    index = RacingIndex(
        looking.services.connection, looking.services.prefix, looking.services.kafka, dry=looking.services.dry
    )
    index.index()
    request = _in_range(looking.request, index)
    assert request.start is not None
    assert request.end is not None
    days = list(index.days(request.start.date(), last_day(request.end), _kinds(request), request.keys))
    missing = [day for day in days if _is_gap(day)]
    if missing:
        # One request for all: within its range just these are asked for.
        starts, ends = start_of(min(day.day for day in missing)), end_of(max(day.day for day in missing))
        fill = Fill(API, replace(request, start=starts, end=ends, only_missing=True))
        failed = units.last_failures(looking.services.connection, RACING.name, LaneName.LOG)
        yield from (_gap(day, failed.get(f"{day.day}/{day.kind}"), fill) for day in missing)
    if looking.outdated:
        yield from _outdated(looking, request, index, {(day.day, day.kind) for day in days if day.settled})


def _in_range(request: Request, index: RacingIndex) -> Request:
    today = end_of(datetime.now(UTC).date())
    start = request.start or start_of(max(FIRST_DAY, index.first_day() or FIRST_DAY))
    end = request.end or today
    check_days(start.date(), last_day(end))
    return replace(request, start=start, end=end, kinds=tuple(_kinds(request)))


def _kinds(request: Request) -> list[Kind]:
    if unknown := [kind for kind in request.kinds if kind not in DAY_KINDS]:
        raise UsageError(f"--kind {unknown[0]!r} is unknown", mend=f"say {' or '.join(DAY_KINDS)}")
    return [kind for kind in DAY_KINDS if kind in request.kinds or not request.kinds]


def _is_gap(day: Day) -> bool:
    return not (day.settled or (day.kept and day.day >= datetime.now(UTC).date()))


def _gap(day: Day, failure: str | None, fill: Fill) -> Gap:
    kind = FAILED if failure is not None else EARLY if day.kept else MISSING
    return Gap(
        kind=kind, day=day.day, part=day.kind, of="answer", why=_said(failure) if failure is not None else "", fill=fill
    )


def _said(failure: str) -> str:
    """What failed and why in one line; what to do about gaps is the command's own matter."""
    lines = [line.strip() for line in failure.splitlines()]
    return ": ".join(line.removeprefix("why: ") for line in lines if line and not line.startswith("do: ")) or "unknown"


def _outdated(
    looking: Looking, request: Request, index: RacingIndex, settled: Collection[tuple[date, Kind]]
) -> Iterator[Gap]:
    """Rows of older versions, by the race day whose answer is read again. A day that is missing is fetched anyway."""
    rows: Counter[tuple[date, Kind]] = Counter()
    references, horses = 0, list[str]()
    for table in RACING.tables:
        needed = parameters(looking.services.connection, RACING, table)
        if needed is None:
            return
        for day, source, key in looking.services.connection.execute(_days_of(table), needed):
            if source != REFERENCE:
                rows[day, _KIND_OF.get(source, "results")] += 1
                continue
            references += 1
            if table is HORSES:
                horses.append(key)
    for (day, kind), count in sorted(rows.items()):
        if (day, kind) in settled:
            again = replace(request, start=start_of(day), end=end_of(day), kinds=(kind,))
            yield Gap(kind=OUTDATED, day=day, part=kind, count=count, fill=Fill(API, again))
    if references:
        places = tuple(Stretch(one.log, one.partition, one.offset, one.offset + 1) for one in index.references(horses))
        fill = Fill(LOG, replace(looking.request, start=None, end=None, keys=(), kinds=(), places=places))
        yield Gap(kind=OUTDATED, part="masters and horse details", count=references, fill=fill if places else None,
                  mend="" if places else "rederive replay racing --only-masters")  # fmt: skip


def _days_of(table: Table) -> str:
    """Race days, sources and keys of outdated rows. Of masters the observation is the race date already."""
    key = table.key[0].name
    race = {RACES.name: "id", RUNNERS.name: "race_id"}.get(table.name)
    if race is None:
        return f"SELECT (observed AT TIME ZONE 'UTC')::date, source, {key} FROM ({outdated_keys(table)}) k"
    return f"""SELECT r.date, k.source, k.{key} FROM ({outdated_keys(table)}) k
        JOIN {RACES.name} r ON r.id = k.{race} WHERE r.date IS NOT NULL"""
