"""Whether a run has stored what was asked for, and as many rows as before (finra spec, section 9)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from psycopg import Connection

from processors.finra.checks import Check
from rederive.finra.checked import RUN, Found, Store
from rederive.finra.written import Run
from schemas.finra import tables
from schemas.finra.partition import TIERS, fridays
from schemas.finra.versions import PREFIX
from schemas.table import Table

ROWS_CHANGE = 0.20
"""By how much the rows of a capture may differ from those of the one before."""

_PUBLISHED_AFTER = timedelta(days=3)
_MICROSECOND = timedelta(microseconds=1)
# The weekly_* tables have as many rows as one of these: their unit writes both in one transaction.
_COUNTED = (
    tables.RAW,
    tables.VENUE_VOLUME,
    tables.SYMBOL_SUMMARY,
    tables.VENUE_SHARE,
    tables.TIER_VOLUME_SHARE,
    tables.ROLLING,
    tables.SNAPSHOT,
)


def missing_weeks(store: Store) -> Iterator[Found]:
    """One check a tier: the weeks of the run's range that the store has nothing of."""
    run = store.run
    weeks = _range(run)
    if not weeks:
        return
    held = weeks_held(store.connection, weeks, run.request.get("keys") or TIERS)
    for tier in run.request.get("keys") or sorted(held):
        missing = [week.isoformat() for week in weeks if week not in held[tier]]
        yield Found(
            run.capture_id,
            f'{{"tier": "{tier}"}}',
            Check(
                "missing_week",
                "COMPLETENESS",
                "FAIL" if missing else "PASS",
                f"nothing is stored of {', '.join(missing)}" if missing else f"all {len(weeks)} weeks are stored",
                str(len(weeks) - len(missing)),
                str(len(weeks)),
                {"missing_weeks": missing, "from": weeks[0].isoformat(), "to": weeks[-1].isoformat()},
            ),
        )


def weeks_held(connection: Connection, weeks: Sequence[date], tiers: Sequence[str]) -> dict[str, set[date]]:
    """By tier, of which of the weeks any row is stored."""
    held: dict[str, set[date]] = defaultdict(set)
    for tier, week in connection.execute(
        f"""SELECT t.tier, w.week FROM unnest(%s::date[]) w(week) CROSS JOIN unnest(%s::text[]) t(tier)
            WHERE {
            " OR ".join(
                f"EXISTS (SELECT FROM {table.name} s WHERE (s.week_ending, s.tier) = (w.week, t.tier))"
                for table in (tables.SYMBOL_SUMMARY, tables.VENUE_VOLUME, tables.RAW)
            )
        }""",
        [list(weeks), list(tiers)],
    ):
        held[tier].add(week)
    return held


def published(first: date, last: date, asked_on: date) -> list[date]:
    """The weeks that end from a day to another and should have been published by the day one asks."""
    return fridays(first, min(last, asked_on - _PUBLISHED_AFTER))


def _range(run: Run) -> list[date]:
    """The Fridays that the run was asked for, of those published by then; an open end is where its units end."""
    said = {name: run.request.get(name) for name in ("start", "end")}
    first = _moment(said["start"]).date() if said["start"] else min(run.weeks, default=None)
    last = (_moment(said["end"]) - _MICROSECOND).date() if said["end"] else max(run.weeks, default=None)
    if first is None or last is None:
        return []
    return published(first, last, run.asked_on)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def row_counts(store: Store) -> Iterator[Found]:
    """One check a capture: its rows in each table beside those of the partition's capture before."""
    counts: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for table in _COUNTED:
        for capture, version, rows, before, rows_before in store.rows(_counts(table)):
            name = table.name.removeprefix(PREFIX) + (f" {version}" if version else "")
            counts[capture][name] = {"rows": rows, "before": rows_before, "capture_before": before}
    for capture, by_table in counts.items():
        changed = {
            name: one["rows"] / one["before"] - 1
            for name, one in by_table.items()
            if one["before"] and abs(one["rows"] / one["before"] - 1) > ROWS_CHANGE
        }
        first = all(one["capture_before"] is None for one in by_table.values())
        told = "; ".join(
            f"{name} {by_table[name]['before']:,} rows before, {by_table[name]['rows']:,} now" for name in changed
        )
        most = max((abs(change) for change in changed.values()), default=0.0)
        alike = "the first capture" if first else "about as many rows as the capture before"
        yield store.found(
            capture,
            Check(
                "row_count_change",
                "COMPLETENESS",
                "WARN" if changed else "PASS",
                told or alike,
                f"{most:.4f}",
                f"at most {ROWS_CHANGE}",
                {"tables": by_table},
            ),
        )


def _counts(table: Table) -> str:
    versioned = "calc_version" in table.partition
    version, same = ("calc_version", "AND s.calc_version = n.version") if versioned else ("''", "")
    return f"""SELECT r.capture_id, n.version, n.rows, b.capture_id, b.rows FROM {RUN}
        JOIN LATERAL (SELECT {version} AS version, captured_at, rows FROM {table.captures} c
            WHERE (c.week_ending, c.tier, c.capture_id) = (r.week_ending, r.tier, r.capture_id)) n ON true
        LEFT JOIN LATERAL (SELECT s.capture_id, s.rows FROM {table.captures} s
            WHERE (s.week_ending, s.tier) = (r.week_ending, r.tier) AND s.captured_at < n.captured_at {same}
            ORDER BY s.captured_at DESC LIMIT 1) b ON true"""
