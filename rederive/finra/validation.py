"""The checks that need the store, after every run: each a row of core_quality, PASS too (finra spec, section 9)."""

from collections import defaultdict
from collections.abc import Iterator

from psycopg import Connection
from psycopg.types.json import Jsonb

from processors.finra.checks import Check, Status
from rederive.finra.checked import RUN, Found, Store
from rederive.finra.completeness import missing_weeks, row_counts
from rederive.finra.determinism import compare, pairs
from rederive.finra.written import Run, find_run, stored_units
from schemas.finra import tables
from schemas.finra.tables import CORE_DOMAIN, SHARE_TOLERANCE
from schemas.finra.versions import PREFIX, Stage
from schemas.words import counted, verb

VOLUME_SWING = 0.50
"""By how much a tier's volume may change from one week to the next."""

VENUE_DROP = 0.20
"""How many of a tier's venues may be gone a week later."""


def validate(connection: Connection, run_capture_id: str) -> list[Check]:
    """Check what a run has stored and write each result to core_quality; said again, the same rows are written.

    A dry run is not checked. Failed when there is no such run.
    """
    run = find_run(connection, run_capture_id)
    if run.dry_run:
        return []
    with connection.transaction():
        store = Store(connection, run)
        found = [
            *missing_weeks(store),
            *row_counts(store),
            *_shares(store),
            *_same_twice(store),
            *_balance(store),
            *_week_on_week(store),
        ]
        _write(connection, run, found)
    return [each.check for each in found]


def _write(connection: Connection, run: Run, found: list[Found]) -> None:
    values = ("category", "status", "message", "actual_value", "expected_value", "details_json")
    with connection.cursor() as cursor:
        cursor.executemany(
            f"""INSERT INTO core_quality (capture_id, domain, partition_key, check_name, execution_id,
                    {", ".join(values)})
                VALUES ({", ".join(["%s"] * (5 + len(values)))})
                ON CONFLICT (capture_id, domain, partition_key, check_name)
                DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in values)}""",
            [
                (
                    each.capture_id, CORE_DOMAIN, each.partition_key, each.check.name, run.capture_id,
                    each.check.category, each.check.status, each.check.message, each.check.actual,
                    each.check.expected, Jsonb(each.check.details),
                )
                for each in found
            ],
        )  # fmt: skip


def _shares(store: Store) -> Iterator[Found]:
    """Three checks a capture of venue shares: their sum, their ranks, their bounds."""
    for capture, version, sum_, venues, ranked, outside in store.rows(
        f"""SELECT r.capture_id, s.* FROM {RUN} CROSS JOIN LATERAL (
                SELECT calc_version, coalesce(sum(market_share_pct), 0), count(*),
                       count(DISTINCT rank) = count(*) AND min(rank) = 1 AND max(rank) = count(*),
                       count(*) FILTER (WHERE market_share_pct NOT BETWEEN 0 AND 1
                                        OR total_volume < 0 OR total_trades < 0)
                FROM {tables.VENUE_SHARE.name} v
                WHERE (v.week_ending, v.tier, v.capture_id) = (r.week_ending, r.tier, r.capture_id) GROUP BY 1) s"""
    ):
        details = {"calc_version": version}
        adds_up = abs(sum_ - 1) <= SHARE_TOLERANCE
        for check in (
            Check("stored_share_sum", "INTEGRITY", _failed(not adds_up),
                  f"the stored shares of {venues:,} venues add up to {sum_!r}",
                  repr(sum_), f"1 within {SHARE_TOLERANCE}", details),
            Check("stored_share_ranks", "INTEGRITY", _failed(not ranked),
                  "the stored ranks are without gaps" if ranked else "the stored ranks have gaps or ties",
                  str(ranked).lower(), f"1..{venues}", details),
            Check("stored_share_bounds", "INTEGRITY", _failed(bool(outside)),
                  f"{outside:,} stored rows have a share outside 0 to 1, or a negative count",
                  str(outside), "0", details),
        ):  # fmt: skip
            yield store.found(capture, check)


def _failed(wrong: bool) -> Status:
    return "FAIL" if wrong else "PASS"


def _same_twice(store: Store) -> Iterator[Found]:
    """One check a capture: what an earlier capture computed of the same input, by the same version, is the same."""
    wanted = pairs(store.run.applied, stored_units(store.connection, store.run.weeks))
    earlier = defaultdict(set)
    for pair in wanted:
        earlier[pair.capture.capture_id].add(pair.earlier.capture_id)
    compared = compare(store.connection, wanted)
    for capture in store.run.partitions:
        by_table = {name.removeprefix(PREFIX): same for name, same in compared.get(capture, {}).items()}
        differ = sorted(name for name, same in by_table.items() if not same)
        before = ", ".join(sorted(earlier[capture]))
        message = f"{counted(len(by_table), 'table')} {verb(len(by_table), 'is', 'are')} the same as in {before}"
        if differ:
            message = f"{', '.join(differ)} {verb(len(differ), 'differs', 'differ')} from {before}, of the same input"
        yield store.found(
            capture,
            Check(
                "determinism",
                "INTEGRITY",
                _failed(bool(differ)),
                message if by_table else "computed for the first time",
                str(len(differ)),
                "0",
                {"captures": sorted(earlier[capture]), "tables": by_table},
            ),
        )


def _balance(store: Store) -> Iterator[Found]:
    """One check a normalised capture: its raw rows are normalised or rejected, duplicates too."""
    normalized = [unit for unit in store.run.applied if Stage.NORMALIZE in unit.work and unit.stage in ("file", "raw")]
    sources = {
        unit.captures[0].capture_id: next(iter(unit.inputs), unit.captures[0].capture_id)
        for unit in normalized
        if unit.stage == "raw" or Stage.INGEST in unit.work
    }
    if not sources:
        return
    partitions = [store.run.partitions[capture] for capture in sources]
    rows = store.connection.execute(
        f"""SELECT p.capture_id, p.source,
                   (SELECT count(*) FROM {tables.RAW.name} r
                    WHERE (r.week_ending, r.tier, r.capture_id) = (p.week, p.tier, p.source)),
                   (SELECT count(*) FROM {tables.VENUE_VOLUME.name} v
                    WHERE (v.week_ending, v.tier, v.capture_id) = (p.week, p.tier, p.capture_id)),
                   (SELECT count(*) FROM {tables.REJECTS.name} WHERE capture_id = p.capture_id AND stage = 'NORMALIZE')
            FROM unnest(%s::text[], %s::text[], %s::date[], %s::text[]) p(capture_id, source, week, tier)""",
        [list(sources), list(sources.values()), *map(list, zip(*partitions, strict=True))],
    )
    for capture, source, raw, kept, rejected in rows:
        yield store.found(
            capture,
            Check(
                "stored_count_balance",
                "INTEGRITY",
                "PASS" if raw == kept + rejected else "WARN",
                f"{raw:,} raw rows are stored, {kept:,} normalised, {rejected:,} rejected",
                str(kept + rejected),
                str(raw),
                {"raw_capture": source},
            ),
        )


def _week_on_week(store: Store) -> Iterator[Found]:
    """Two checks a capture of venue shares: volume and venues beside those of the week before."""
    of_capture = f"""SELECT sum(total_volume) AS volume, count(*) AS venues FROM {tables.VENUE_SHARE.name}
                     WHERE calc_version = %(version)s AND (week_ending, tier, capture_id) = """
    for capture, volume, venues, volume_before, venues_before in store.rows(
        f"""SELECT r.capture_id, n.volume, n.venues, b.volume, b.venues FROM {RUN}
            CROSS JOIN LATERAL ({of_capture} (r.week_ending, r.tier, r.capture_id)) n
            LEFT JOIN LATERAL (SELECT capture_id FROM {tables.VENUE_SHARE.captures} s
                WHERE (s.week_ending, s.tier) = (r.week_ending - 7, r.tier) AND s.calc_version = %(version)s
                ORDER BY s.captured_at DESC LIMIT 1) p ON true
            LEFT JOIN LATERAL ({of_capture} (r.week_ending - 7, r.tier, p.capture_id)) b ON true
            WHERE n.venues > 0"""
    ):
        swing = float(abs(volume - volume_before) / volume_before) if volume_before else 0.0
        drop = (venues_before - venues) / venues_before if venues_before else 0.0
        weeks = "the week before" if venues_before else "no week before is stored"
        for check in (
            Check("volume_swing", "BUSINESS_RULE", "WARN" if swing > VOLUME_SWING else "PASS",
                  f"volume {volume:,}, {weeks}" + (f" {volume_before:,}" if venues_before else ""),
                  f"{swing:.4f}", f"at most {VOLUME_SWING}"),
            Check("venue_count_drop", "BUSINESS_RULE", "WARN" if drop > VENUE_DROP else "PASS",
                  f"{venues:,} venues, {weeks}" + (f" {venues_before:,}" if venues_before else ""),
                  f"{drop:.4f}", f"at most {VENUE_DROP}"),
        ):  # fmt: skip
            yield store.found(capture, check)
