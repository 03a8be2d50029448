"""FINRA's reports as tables for a person."""

import json
import textwrap
from collections.abc import Sequence

from rederive.cli.output import print_table, stdout
from rederive.finra.quality import CheckRow, Quality
from rederive.finra.rejects import Reason
from rederive.finra.versions import Comparison
from rederive.finra.week import Week, WeekCapture
from rederive.reports.figures import clock, count
from schemas.capture import CaptureState

_WIDTH = 100
"""Sentences are wrapped to it; no line of a report is longer than 120."""

_WHOLE = 1_000
"""From here on figures are shown without decimals."""


def show_comparison(found: Comparison) -> None:
    """Rows and inputs of both versions, keys of one alone, and each column's differences."""
    first, second = found.versions
    print_table(
        f"{found.calc}: {first} and {second}, by the capture they were computed from",
        ["", "in both", f"{first} only", f"{second} only"],
        [("captures", *map(count, found.inputs)), ("rows", *map(count, found.rows))],
    )
    if not found.rows[0]:
        return
    stdout.print()
    print_table(
        f"Columns of the {count(found.rows[0])} rows in both",
        ["column", "rows that differ", "by at most", f"relative to {first}"],
        [(one.column, count(one.rows), _figure(one.absolute), _figure(one.relative)) for one in found.differences],
    )
    for version, keys in ((first, found.only_first), (second, found.only_second)):
        if keys:
            stdout.print()
            print_table(
                f"{version} only, the first rows of captures that both have",
                ["key", "computed from"],
                [(", ".join(map(str, key[:-1])), key[-1]) for key in keys],
                left=(0, 1),
            )


def _figure(value: float | None) -> str:
    if value is None:
        return ""
    return count(value) if isinstance(value, int) else f"{value:.6g}"


def _taken_back(state: str | None) -> str:
    return f", which is {state}" if state in (CaptureState.ROLLING_BACK, CaptureState.ROLLED_BACK) else ""


def show_quality(found: Quality) -> None:
    """Checks by status, the latest failures, a run's health."""
    if not found.checks:
        stdout.print("no check has been made of this yet")
        return
    print_table(
        "Checks, the latest of each partition",
        ["check", "pass", "warn", "fail"],
        [(one.check_name, count(one.passed), count(one.warned), count(one.failed)) for one in found.checks],
    )
    stdout.print()
    if found.failures:
        _checks("The latest failures", found.failures)
    else:
        stdout.print("no check has failed")
    if found.run:
        stdout.print()
        print_table(
            f"Health of {found.run}" + _taken_back(found.run_state),
            ["", "value", "", "healthy is"],
            [
                (
                    one.name,
                    _figure(one.value) if one.value < _WHOLE else count(round(one.value)),
                    one.health,
                    one.healthy,
                )
                for one in found.figures
            ],
            left=(0, 2, 3),
        )


def _checks(title: str, rows: Sequence[CheckRow]) -> None:
    """Two lines a check: which and of what, then what it says."""
    stdout.print(title, style="bold", markup=False)
    for row in rows:
        made = clock(row.created_at)
        stdout.print(f"{row.status:6}{row.check_name:26}{row.capture_id}  {made}", markup=False)
        partition = " ".join(map(str, json.loads(row.partition_key).values()))
        _sentence(f"{partition}: {row.message}" if partition else row.message)


def _sentence(text: str) -> None:
    """Indented, wrapped between words."""
    for line in textwrap.wrap(text, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_long_words=False):
        stdout.print(line, markup=False)


def show_rejects(found: Sequence[Reason]) -> None:
    """Reasons, then the examples of each."""
    if not found:
        stdout.print("no row is rejected")
        return
    print_table(
        "Rejected rows",
        ["reason", "stage", "rows", "meaning"],
        [(one.code, one.stage, count(one.rows), one.meaning) for one in found],
        left=(0, 1, 3),
    )
    examples = [(one.code, row.source, row.line_number, row.text, row.capture_id)
                for one in found for row in one.examples]  # fmt: skip
    if examples:
        stdout.print()
        print_table("Examples", ["reason", "file", "line", "text", "capture"], examples, left=(0, 1, 3, 4))


def show_week(found: Week) -> None:
    """Captures, stages, shares, venues, checks."""
    if not found.captures:
        stdout.print(f"nothing is stored of the week that ends on {found.week_ending}")
        return
    stdout.print(f"Captures of the week that ends on {found.week_ending}", style="bold", markup=False)
    for one in found.captures:
        stdout.print(one.capture_id, markup=False)
        for said in _facts(one):
            _sentence(said)
    stdout.print()
    print_table(
        "Stages reached",
        ["tier", "stage", "rows", "capture", "updated (UTC)"],
        [(one.tier, one.stage, count(one.row_count), one.capture_id, clock(one.updated_at)) for one in found.stages],
        left=(0, 1, 3, 4),
    )
    stdout.print()
    print_table(
        "Venue shares",
        ["tier", "capture", "version", "venues", "sum of shares"],
        [(one.tier, one.capture_id, one.calc_version, count(one.venues), repr(one.sum)) for one in found.shares],
        left=(0, 1, 2),
    )
    stdout.print()
    print_table(
        "Top venues, of the newest capture",
        ["tier", "rank", "mpid", "volume", "trades", "symbols", "share"],
        [
            (
                one.tier, one.rank, one.mpid, count(one.total_volume), count(one.total_trades),
                count(one.symbol_count), f"{one.market_share_pct:.6f}",
            )
            for one in found.venues
        ],
        left=(0, 2),
    )  # fmt: skip
    stdout.print()
    _checks("Checks, the latest of each", found.checks)


def _facts(one: WeekCapture) -> list[str]:
    """What is said of a capture below its id."""
    by = f" by {one.run}" if one.run else ""
    read = f", computed from {one.input_capture_id}" if one.input_capture_id else ""
    latest = "all of them" if one.latest == one.stages else ", ".join(one.latest) or "none"
    return [
        f"captured {clock(one.captured_at)} UTC{by}, {count(one.rows)} rows{read}",
        f"stages: {', '.join(one.stages)}",
        f"latest of: {latest}",
    ]
