"""The checklist of a plan: what whoever applies it should have looked at, with the figures that are known."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from rederive import captures, domains
from schemas.domain import load
from schemas.plan import Plan
from schemas.table import Mode
from schemas.words import counted, verb
from store import captures as stored

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Item:
    """One line: what it is about, what is known of it; `done` unless a person has still to see to it."""

    name: str
    text: str
    done: bool = True


def checklist(connection: Connection, plan: Plan[Any]) -> list[Item]:
    """The range, what of it, sources, versions, estimates from measured rates, and what is left to do before."""
    domain = domains.find(plan.domain)
    own = dict(load(domain.checklist)(plan)) if domain.checklist else {}
    generic = [
        Item("range", plan.span or "all that there is"),
        Item("only", _listed(plan.request.get("keys") or (), "all keys")),
        Item("source", _source(plan)),
        Item("versions", f"derivation version {plan.derivation_version}"),
        Item("columns", counted(len(plan.columns), "column") if plan.columns else "all"),
        Item("tables", _tables(plan)),
        Item("rows", _rows(plan)),
    ]
    known = [Item(one.name, own.pop(one.name, one.text)) for one in generic]
    further = [Item(name, text) for name, text in own.items()]
    return [*known, *further, _time(connection, plan), *_yours(connection, plan)]


def _source(plan: Plan[Any]) -> str:
    one, to = domains.find(plan.domain).counts.get(plan.source, ("record", "found"))
    units = counted(len(plan.units), "unit")
    return f"{plan.source}, {counted(plan.found, one)} {to}, in {units}"


def _tables(plan: Plan[Any]) -> str:
    names = [table.name for table in domains.find(plan.domain).tables]
    how = "kept, and served once it is promoted" if plan.mode is Mode.SHADOW else f"written by {plan.mode}"
    return f"{_listed(names, 'none')}: {how}"


def _known_rows(plan: Plan[Any]) -> int:
    return sum(unit.rows or 0 for unit in plan.units)


def _rows(plan: Plan[Any]) -> str:
    rows, unknown = _known_rows(plan), sum(unit.rows is None for unit in plan.units)
    columns = len(plan.columns) or sum(len(table.values) for table in domains.find(plan.domain).tables)
    text = f"{counted(rows, 'row')} × {counted(columns, 'column')} = up to {counted(rows * columns, 'value')}"
    if not unknown:
        return text
    unread = f"{counted(unknown, 'unit')} {verb(unknown, 'says', 'say')} only when read how many"
    return f"{text}; {unread}" if rows else unread


def _time(connection: Connection, plan: Plan[Any]) -> Item:
    """How long it may take, by what complete captures have done here; without any that isn't known."""
    measured, of = stored.rates(connection, plan.domain, plan.source), f"captures of {plan.domain} from {plan.source}"
    if not measured:
        measured, of = stored.rates(connection, plan.domain, None), f"captures of {plan.domain}, of other sources"
    if not measured:
        of = f"captures of {plan.domain}"
        return Item("time", f"unknown: there are no complete {of} here to measure by", done=False)
    by = f"by the last {measured.captures} {of}" if measured.captures > 1 else f"by the last of the {of}"
    amount, what, rate = (
        (_known_rows(plan), "rows", measured.rows)
        if measured.rows and all(unit.rows is not None for unit in plan.units)
        else (len(plan.units), "units", measured.units)
    )
    return Item("time", f"about {_lasting(amount / rate)}, at {rate:,.1f} {what}/s {by}")


def _lasting(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _yours(connection: Connection, plan: Plan[Any]) -> Iterator[Item]:
    """What a person has still to see to."""
    for note in plan.notes:
        yield Item("look at", note, done=False)
    others = captures.said(connection, stored.unfinished(connection, plan.domain))
    if others:
        for other in others:
            yield Item("beside it", other, done=False)
    else:
        yield Item("beside it", f"no other capture of {plan.domain} is unfinished")
    yield Item("off-peak", "`rederive apply --window 01:00-05:00` sends in these hours only (UTC)", done=False)
    if plan.mode is Mode.SHADOW:
        return
    readers = "tell whoever reads these tables that rows change"
    yield Item("readers", f"{readers}; `rederive captures rollback` takes the run back", done=False)


def _listed(names: Iterable[object], none: str) -> str:
    every = [str(name) for name in names]
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more if every else none
