"""The text of `rederive status`, once or again and again."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from rederive.pulse import LATENCY_SECONDS, LanePulse, seconds

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rederive.settings import Settings
    from rederive.status import Status

_WATCH_SECONDS = 2.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


@dataclass(frozen=True, slots=True)
class _Table:
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: Sequence[int] = (0,)


def show(found: "Status") -> None:
    """Print a status."""
    from rederive.cli.output import print_table, stdout

    for table in _tables(found):
        print_table(table.title, table.headings, table.rows, left=table.left)
    for line in _lines(found):
        stdout.print(line, markup=False)


def watch(settings: "Settings", *, json: bool) -> NoReturn:
    """Look again and again until interrupted: in place on a terminal, block by block or a line each elsewhere."""
    from rich.live import Live

    from rederive.cli.output import print_json, stdout
    from rederive.status import Watcher

    with closing(Watcher(settings)) as watcher:
        if not json and stdout.is_terminal:
            with Live(console=stdout, screen=True, auto_refresh=False) as live:
                for found in _looks(watcher):
                    live.update(_screen(found), refresh=True)
        for number, found in enumerate(_looks(watcher)):
            if json:
                print_json(found.describe())
            else:
                stdout.print(f"{_newline(number)}{found.at:%Y-%m-%d %H:%M:%S} UTC", markup=False)
                show(found)
    raise AssertionError("unreachable")


def _newline(number: int) -> str:
    return "\n" if number else ""


def _looks(watcher: Any) -> Iterator["Status"]:  # noqa: ANN401 - a Watcher, imported late
    while True:
        began = time.monotonic()
        yield watcher.look()
        time.sleep(max(0.1, _WATCH_SECONDS - (time.monotonic() - began)))


def _screen(found: "Status") -> "RenderableType":
    from rich.console import Group
    from rich.text import Text

    from rederive.cli.output import made_table
    from rederive.cli.plain import plain

    parts: list[RenderableType] = [Text(f"{found.at:%Y-%m-%d %H:%M:%S} UTC, every {_WATCH_SECONDS:.0f} s, Ctrl+C ends")]
    parts += [Text(plain(f"wrong: {trouble}"), style="bold") for trouble in found.troubles]
    for table in _tables(found):
        parts += [
            Text(table.title, style="bold"),
            made_table(table.headings, table.rows, left=table.left, folded=True),
        ]
    return Group(*parts)


def _tables(found: "Status") -> Iterator[_Table]:
    yield _Table("Services", ["service", "state", "where"], found.services, (0, 1, 2))
    yield _Table(
        "Unfinished captures",
        ["capture", "state", "units", "rows", "updated", "unchanged", "skipped", "errors"],
        [
            (c.capture_id, c.state, f"{c.units_done}/{c.units}", c.rows, c.updated, c.unchanged, c.skipped, c.errors)
            for c in found.captures or []
        ],
        (0, 1),
    )
    yield _Table(
        "Lanes",
        ["domain", "lane", "wait for agents", "for sinks", "oldest", "rows/s", "last progress"],
        [_lane(one, found.at) for one in found.lanes],
        (0, 1),
    )
    latencies = [(one.lane, stage, of) for one in found.lanes for stage, of in one.latencies.items()]
    if latencies:
        yield _Table(
            f"Latencies of the last {LATENCY_SECONDS / _MINUTE:.0f} minutes, in ms",
            ["domain", "lane", "stage", "rows", "p50", "p95", "p99"],
            [
                (lane.domain, lane.name, stage, f"{of.rows:,}", *(f"{ms:.0f}" for ms in (of.p50, of.p95, of.p99)))
                for lane, stage, of in latencies
            ],
            (0, 1, 2),
        )
    if found.figures is not None and (found.figures.producers or found.figures.reached):
        yield _Table("Producers", ["domain", "machine", "pid", "stands for", "got on", "has found all until"],
                     list(_producers(found)), (0, 1))  # fmt: skip
    yield _Table(
        "Members",
        ["group", "member", "partitions", "records behind"],
        [
            (
                seen.group,
                "nobody" if member is None else member,
                " ".join(str(place.partition) for place in places),
                sum(place.lag for place in places),
            )
            for one in found.lanes
            for seen in (one.agents, one.sinks)
            for member, places in sorted(seen.holders.items(), key=lambda item: item[0] or "")
        ],
        (0, 1, 2),
    )


def _lane(one: LanePulse, now: datetime) -> tuple[Any, ...]:
    return (
        one.lane.domain,
        one.lane.name,
        f"{one.agents.lag:,}",
        f"{one.sinks.lag:,}",
        "-" if one.oldest is None else said(seconds(one.oldest, now)),
        f"{one.rate:,.1f}",
        "" if one.progressed is None else f"{said(seconds(one.progressed, now))} ago",
    )


def _producers(found: "Status") -> Iterator[tuple[Any, ...]]:
    assert found.figures is not None
    reached = {one.domain: one for one in found.figures.reached}
    holders = {one.domain: one for one in found.figures.producers}
    for domain in sorted({*reached, *holders}):
        holder, cursor = holders.get(domain), reached.get(domain)
        until = "" if cursor is None else f"{cursor.moment:%Y-%m-%d %H:%M:%S} UTC"
        if holder is None:
            yield domain, "nobody", "", "", "", until
        else:
            standing = "" if holder.standing is None else said(holder.standing)
            yield domain, holder.machine, holder.pid, standing, f"{said(holder.still)} ago", until


def _lines(found: "Status") -> Iterator[str]:
    for trouble in found.troubles:
        yield f"wrong: {trouble}"
    yield from found.ways_on
    if not found.captures:
        yield (
            "no capture is running"
            if found.captures is not None
            else "whether a capture is running isn't known: Postgres is away"
        )


def said(seconds_: float) -> str:
    """A duration as a person reads it: `0.4 s`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds_ < _MINUTE:
        return f"{seconds_:.1f} s" if seconds_ < 10 else f"{seconds_:.0f} s"
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds_ >= unit:
            return f"{seconds_ / unit:.0f} {name}"
    raise AssertionError("unreachable")
