"""What is missing of a domain, and the plans that close just this."""

import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from producers.gap import OUTDATED, Fill, Gap, Looking, again, said_columns
from producers.source import Request, end_of, is_within, start_of
from rederive.holes import holes
from rederive.replayer import Replayer
from schemas.domain import LOG, Domain, load
from schemas.plan import Plan
from schemas.table import Mode, Table
from sinks.policies import policy_of

_BEGINNING = datetime.min.replace(tzinfo=UTC)
_NO_RANGE: dict[str, Any] = {"start": None, "end": None, "keys": (), "places": ()}


def usual_request(
    domain: Domain,
    start: datetime | None,
    end: datetime | None,
    *,
    keys: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    options: Mapping[str, object] | None = None,
) -> Request:
    """What of a domain is looked at: all its columns, and its own defaults where nothing else is said."""
    usual = domain.defaults
    return Request(
        domain=domain.name,
        mode=domain.tables[0].policy,
        columns=domain.scopes["all"],
        start=start,
        end=end,
        keys=keys or tuple(usual.get("keys", ())),
        kinds=kinds,
        options={**usual.get("options", {}), **(options or {})},
    )


def fill_command(domain: str, kind: str, words: Sequence[str]) -> str:
    """The command that fills a kind of gap of what these words of `rederive gaps` ask for."""
    return f"{shlex.join(['rederive', 'gaps', domain, *words, '--only', kind, '--fill'])} | rederive apply -"


def gaps(
    replayer: Replayer, domain: Domain, request: Request, *, outdated: bool, only: Collection[str] = ()
) -> list[Gap]:
    """What is missing in the request's range, by day; with `outdated` also rows of older formulas.

    Of `only` these kinds, where any are said. Nothing is changed by looking. UsageError for words that mean nothing to
    the domain.
    """
    with replayer.connected("list of gaps") as connection:
        services = replayer.services(connection, dry=True)
        looking = Looking(domain, services, request, outdated, nothing_else=set(only) == {OUTDATED})
        found = list(load(domain.gaps)(looking) if domain.gaps else _of_any_domain(looking))
        found += [] if looking.nothing_else else holes(looking)
        found = [gap for gap in found if not only or gap.kind in only]
    return sorted(found, key=lambda gap: (gap.day is None, gap.day or 0, gap.kind, gap.part))


def _of_any_domain(looking: Looking) -> Iterator[Gap]:
    """What the engine knows of a domain that says nothing of gaps: rows of older versions."""
    if not looking.outdated:
        return
    for table in looking.domain.tables:
        for day, part, rows, columns in policy_of(table).outdated(looking.services.connection, looking.domain, table):
            mode, wanted = again(looking.request, columns)
            if columns and not wanted:
                continue
            if day is None or is_within(day, looking.request):
                fill = _again(looking, table, day, mode, wanted)
                yield Gap(
                    kind=OUTDATED,
                    day=day,
                    part=f"{table.name} {part}".strip(),
                    count=rows,
                    why=said_columns(columns, len(table.values)),
                    fill=fill,
                    mend="" if fill else f"rederive replay {looking.domain.name}",
                )


def _again(looking: Looking, table: Table, day: date | None, mode: Mode, columns: tuple[str, ...]) -> Fill | None:
    """The columns of the day's rows, or else of all, of the domain's first source.

    The day of a row is that of its payload where the table has it as a column; otherwise only the domain knows.
    """
    if table.policy is Mode.INSERT or not looking.domain.sources:
        return None
    start = end = None
    if day is not None and table.observed in [column.name for column in (*table.key, *table.columns)]:
        start, end = start_of(day), end_of(day)
    source = next(iter(looking.domain.sources))
    asked = replace(looking.request, start=start, end=end, mode=mode, all_rows=True)
    return Fill(source, replace(asked, columns=columns))


def plans(replayer: Replayer, found: Iterable[Gap]) -> Iterator[Plan[Any]]:
    """The plans that close these gaps, in the order in which they are to be applied: one fits after the others.

    A plan a source and kind of request, all its ranges in it. What computes rows anew comes behind what fills them, and
    what the log holds comes last: whatever the others have filled, their plans fit.
    """
    groups: dict[tuple[str, str], list[Request]] = {}
    for source, request in (gap.fill for gap in found if gap.fill):
        alike = repr(replace(request, **_NO_RANGE))
        groups.setdefault((source, alike), []).append(request)
    for (source, _), requests in sorted(groups.items(), key=lambda one: (one[0][0] == LOG, one[1][0].all_rows)):
        merged = _merged(requests)
        made = replayer.plan(merged[0], source, *merged[1:])
        if made.units:
            yield made


def _merged(requests: Sequence[Request]) -> list[Request]:
    """The same ranges in fewer requests: all places in one, and ranges of the same keys that touch."""
    if requests[0].places:
        return [replace(requests[0], places=tuple(place for one in requests for place in one.places))]
    merged: list[Request] = []
    for one in sorted(requests, key=lambda one: (one.keys, one.start or _BEGINNING)):
        last = merged[-1] if merged else None
        if last is None or last.keys != one.keys or (last.end and last.end < (one.start or _BEGINNING)):
            merged.append(one)
        elif last.end is not None:
            merged[-1] = replace(last, end=max(last.end, one.end) if one.end else None)
    return merged


def no_plan(domain: Domain, request: Request) -> Plan[Any]:
    """The plan of nothing: there is no gap that one closes."""
    return Plan(
        domain=domain.name,
        source=next(iter(domain.sources), LOG),
        mode=request.mode,
        derivation_version=domain.derivation_version,
        columns=request.columns,
        request=request.describe(),
        span=request.span,
        notes=("nothing to do",),
        units=(),
    ).sealed()
