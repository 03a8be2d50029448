"""Reports as tables for a person."""

from collections.abc import Mapping, Sequence

from rich.text import Text

from rederive.betfair.checkpoints import Checkpoints
from rederive.betfair.columns import headings
from rederive.betfair.comparison import NullComparison
from rederive.betfair.continuity import Continuity
from rederive.betfair.ladders import LadderAvailability
from rederive.betfair.nulls import NullAudit
from rederive.betfair.spot import SpotRow
from rederive.cli.figures import NONE, amount, clock, count, distance, percent, span
from rederive.cli.output import print_table, stdout

_SHOWN = 5


def show_null_audit(audit: NullAudit) -> None:
    """The audit: the columns, then what is stored, then a sample of rows with a NULL."""
    titles = ["Column", "NULL count", "Total rows", "% NULL", "NULL, last 7 days"]
    rows: list[list[str]] = [
        [found.column, count(found.nulls), count(audit.rows), found.percent or NONE, count(found.recent_nulls)]
        for found in audit.columns
    ]
    if audit.fillable is not None:
        titles.append("Fillable")
        for row, found in zip(rows, audit.columns, strict=True):
            row.append(count(found.fillable))
    print_table("NULL audit of market_derived_metrics", titles, rows)
    stored = audit.inventory
    _lines(
        ("rows", f"{count(audit.rows)}, of them {count(audit.rows_with_null)} with a NULL above"),
        ("rows, last 7 days", f"{count(audit.recent_rows)} since {clock(audit.recent_since)}"),
        ("snapshots", f"{count(stored.snapshots)}, {clock(stored.oldest) or NONE} to {clock(stored.newest) or NONE}"),
        ("snapshots without a derived row", count(stored.without_row)),
        ("with raw_payload", _of(stored.with_payload, stored.snapshots)),
        ("has runners", _of(stored.with_runners, stored.snapshots)),
        ("first runner has availableToBack", _of(stored.first_runner_with_back, stored.snapshots)),
        ("tier A, order books present", _of(stored.tier_a, stored.snapshots)),
        ("tier B, payload without ladders", _of(stored.tier_b, stored.snapshots)),
        ("tier C, no payload: stays NULL", _of(stored.tier_c, stored.snapshots)),
    )
    if audit.sample:
        newest = audit.sample[:_SHOWN]
        runners = sum(row.has_runners for row in audit.sample)
        backs = sum(row.first_runner_has_back for row in audit.sample)
        _lines(
            (f"sample snapshot_ids ({len(newest)})", ", ".join(str(row.snapshot_id) for row in newest)),
            ("sample market_ids", ", ".join(dict.fromkeys(row.market_id for row in newest))),
            (f"of the newest {len(audit.sample)}", f"{runners} have runners, {backs} a first runner's availableToBack"),
        )
    if audit.fillable is not None:
        fill = audit.fillable
        _lines(
            ("rows that payloads would fill", _of(fill.rows, fill.examined - fill.without_row)),
            ("snapshots that would get a row", _of(fill.new_rows, fill.without_row)),
            ("can't be derived", _reasons(fill.skipped, fill.errors)),
        )


def show_null_comparison(comparison: NullComparison) -> None:
    """NULL counts before and after."""
    rows = [
        [
            found.column,
            count(found.before),
            count(found.after),
            found.change,
            found.before_percent or "",
            found.after_percent or "",
        ]
        for found in comparison.columns
    ]
    rows.append(
        ["Total rows", count(comparison.before_rows), count(comparison.after_rows), comparison.rows_change, "", ""]
    )
    print_table(
        f"NULL counts, {clock(comparison.before_at)} and {clock(comparison.after_at)}",
        ["Column", "Before", "After", "Change", "% before", "% after"],
        rows,
    )


def show_ladders(found: LadderAvailability) -> None:
    """Ladder lengths per role and side, then a sample with the sizes extracted."""
    depths = sorted({length for side in found.sides for length, _ in side.lengths})
    print_table(
        f"Raw ladders of the newest {count(found.examined)} of {count(found.incomplete)} snapshots with NULLs",
        ["Role", "Side", *(f"{depth} levels" for depth in depths), "no runner", "with L1", "without L1"],
        [
            [
                side.role,
                side.side,
                *(count(dict(side.lengths).get(depth, 0)) for depth in depths),
                count(side.no_runner),
                count(side.with_l1),
                count(side.without_l1),
            ]
            for side in found.sides
        ],
        left=(0, 1),
    )
    _lines(("can't be derived", _reasons(found.skipped, found.errors)))
    if found.sample:
        print_table(
            "Sample: length of the back ladders, size of level 1",
            ["snapshot_id", "snapshot_at", "market_id", "lengths H/A/D", "H", "A", "D"],
            [
                [
                    str(row.snapshot_id),
                    clock(row.snapshot_at),
                    row.market_id,
                    "/".join(NONE if length is None else str(length) for length in row.back_lengths.values()),
                    *(amount(size, "best_back_size_l1") for size in row.back_l1.values()),
                ]
                for row in found.sample
            ],
            left=(0, 1, 2),
        )


def show_checkpoints(found: Checkpoints) -> None:
    """The five checkpoints."""
    print_table(
        f"{found.market}, kickoff {clock(found.market.kickoff)} UTC",
        ["Time point", "snapshot_at", *headings(found.columns), "from target"],
        [
            [
                point.name,
                clock(point.snapshot_at),
                *(amount(value, column) for column, value in point.values.items()),
                distance(point.distance_seconds),
            ]
            for point in found.points
        ],
        left=(0, 1),
    )


def show_spot_check(rows: Sequence[SpotRow], columns: Sequence[str]) -> None:
    """The newest rows, values as stored."""
    print_table(
        "Newest rows of market_derived_metrics",
        ["snapshot_at", "snapshot_id", "market_id", *columns],
        [
            [
                clock(row.snapshot_at),
                str(row.snapshot_id),
                row.market_id,
                *("" if value is None else repr(value) for value in row.values.values()),
            ]
            for row in rows
        ],
        left=(0, 1, 2),
    )


def show_continuity(found: Continuity) -> None:
    """Intervals, gaps, completeness."""
    times = found.intervals
    kickoff = f"kickoff {clock(found.market.kickoff)} UTC" if found.market.kickoff else "kickoff unknown"
    stdout.print(Text(f"{found.market}, {kickoff}", style="bold"))
    _lines(
        ("snapshots", f"{count(times.snapshots)}, {clock(times.first)} to {clock(times.last)}"),
        (
            "interval in seconds",
            NONE if times.mean is None else f"mean {times.mean:,.1f}, {times.shortest:,.1f} to {times.longest:,.1f}",
        ),
        ("gaps over 15 min", count(len(found.gaps))),
    )
    if found.gaps:
        print_table(
            "Gaps",
            ["Start", "End", "Duration", "Period"],
            [[clock(gap.start), clock(gap.end), span(gap.seconds), gap.period or NONE] for gap in found.gaps],
            left=(0, 1, 3),
        )
    lacking = found.completeness
    _lines(
        ("derived rows", count(lacking.rows)),
        ("snapshots without a derived row", count(lacking.without_row)),
        ("rows with a NULL book risk", _of(lacking.null_book_risk, lacking.rows)),
        ("rows missing home L2", _of(lacking.missing_home_l2, lacking.rows)),
        ("rows missing home L3", _of(lacking.missing_home_l3, lacking.rows)),
        ("rows with NULL total_volume", _of(lacking.null_total_volume, lacking.rows)),
    )
    if found.window is not None:
        window = found.window
        _lines(
            ("six hours to kickoff", f"{count(window.snapshots)} snapshots"),
            ("of them in the last hour", count(window.last_hour)),
            ("of them with full book risk", count(window.full_book_risk)),
            ("of them with home L1 > 0", count(window.home_l1)),
        )


def _of(part: int, total: int) -> str:
    share = percent(part, total)
    return count(part) if share is None else f"{count(part)} ({share})"


def _reasons(skipped: Mapping[str, int], errors: int) -> str:
    """Skips by reason and errors: "6 skipped (missing_role 2, no_metadata 4), 0 errors"."""
    total = sum(skipped.values())
    text = f"{count(total)} skipped"
    if total:
        text += f" ({', '.join(f'{reason} {count(number)}' for reason, number in sorted(skipped.items()))})"
    return f"{text}, {count(errors)} errors"


def _lines(*facts: tuple[str, str]) -> None:
    width = max(34, *(len(name) + 2 for name, _ in facts))
    for name, text in facts:
        stdout.print(Text(f"{name:<{width}}{text}"))
