"""Gaps of racing: race days that are missing, have failed or were fetched too early, rows of older versions."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime

from producers.gap import EARLY, FAILED, MISSING, OUTDATED, Fill, Gap, Looking, again, said_columns
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
from sinks.merge.outdated import Old, old
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
    missing = [day for day in days if _is_gap(day) and not looking.nothing_else]
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
    columns: dict[tuple[date, Kind] | None, set[str]] = defaultdict(set)
    references, horses = 0, list[str]()
    for table in RACING.tables:
        found = old(looking.services.connection, RACING, table)
        if found is None:
            continue
        for day, source, key, *flags in looking.services.connection.execute(_days_of(table, found), found.parameters):
            place = None if source == REFERENCE else (day, _KIND_OF.get(source, "results"))
            columns[place].update(found.columns(flags) or (column.name for column in table.values))
            if place is not None:
                rows[place] += 1
                continue
            references += 1
            if table is HORSES:
                horses.append(key)
    for place, count in sorted(rows.items()):
        day, kind = place
        mode, wanted = again(request, _in_order(columns[place]))
        if place in settled and wanted:
            anew = replace(
                request, start=start_of(day), end=end_of(day), kinds=(kind,), mode=mode, columns=_all(wanted)
            )
            yield Gap(kind=OUTDATED, day=day, part=kind, count=count, why=_of(wanted), fill=Fill(API, anew))
    mode, wanted = again(request, _in_order(columns[None]))
    if references and wanted:
        places = tuple(Stretch(one.log, one.partition, one.offset, one.offset + 1) for one in index.references(horses))
        anew = replace(looking.request, start=None, end=None, keys=(), kinds=(), places=places, mode=mode)
        fill = Fill(LOG, replace(anew, columns=_all(wanted)))
        yield Gap(
            kind=OUTDATED,
            part="masters and horse details",
            count=references,
            why=_of(wanted),
            fill=fill if places else None,
            mend="" if places else "rederive replay racing --only-masters",
        )


def _in_order(columns: Collection[str]) -> tuple[str, ...]:
    return tuple(name for name in RACING.in_scope(()) if name in columns)


def _all(columns: Sequence[str]) -> tuple[str, ...]:
    """The columns to compute: none where no version says which it changed, and so all are outdated."""
    return tuple(columns) if RACING.changes else ()


def _of(columns: Sequence[str]) -> str:
    return said_columns(_all(columns), len(RACING.in_scope(())))


def _days_of(table: Table, found: Old) -> str:
    """Race days, sources, keys and parts of outdated rows. Of masters the observation is the race date already."""
    key, flags = table.key[0].name, ", ".join(f"k.{flag}" for flag in found.flags)
    race = {RACES.name: "id", RUNNERS.name: "race_id"}.get(table.name)
    if race is None:
        return f"SELECT (k.observed AT TIME ZONE 'UTC')::date, k.source, k.{key}, {flags} FROM ({found.keys}) k"
    return f"""SELECT r.date, k.source, k.{key}, {flags} FROM ({found.keys}) k
        JOIN {RACES.name} r ON r.id = k.{race} WHERE r.date IS NOT NULL"""
