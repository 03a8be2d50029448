"""Every stage against its plain reference: the same rows, the same doubles."""

from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.finra.process import process
from samples.finra import sample as finra_sample
from samples.finra.files import HEADER, FinraFiles
from schemas.finra.partition import window
from schemas.finra.units import RollingFacts, RollingUnit, TierCapture, TierSplitUnit
from schemas.outcome import Outcome
from tests.finra import naive
from tests.finra.texts import AT, WEEK, file_outcome, picked, table
from tests.sizes import usual

RAW = (
    "line_number",
    "symbol",
    "mpid",
    "issue_name",
    "venue_name",
    "tier_description",
    "total_shares",
    "total_trades",
    "source_last_update_date",
    "record_hash",
)


def same(outcome: Outcome, name: str, expected: list[dict[str, Any]]) -> None:
    columns = list(expected[0]) if expected else []
    assert [{column: row[column] for column in columns} for row in table(outcome, name)] == expected


def agree(content: str, **more: Any) -> Outcome:
    """Stages 1 to 4 of a file, each table as the reference has it."""
    outcome = file_outcome(content, **more)
    raw, failed = naive.ingest(content)
    volumes, rejected = naive.normalize(raw, more.get("reject_zero_volume", True))
    same(outcome, "raw", raw)
    same(outcome, "venue_volume", volumes)
    rejects = table(outcome, "core_rejects")
    assert picked([row for row in rejects if row["stage"] == "INGEST"], "line_number", "reason_code") == [
        (row["line_number"], "PARSE_ERROR") for row in failed
    ]
    normalize = [row for row in rejects if row["stage"] == "NORMALIZE"]
    assert picked(normalize, "line_number", "reason_code") == picked(rejected, "line_number", "reason_code")
    for row, expected in zip(normalize, rejected, strict=True):
        assert expected["detail"] in (row["reason_detail"], None)
    assert outcome.read == len(raw) + len(failed) == len(volumes) + len(outcome.skips)
    same(outcome, "symbol_summary", naive.summary(volumes))
    version = more.get("versions", {}).get("venue_share", "v1")
    same(outcome, "venue_share", naive.venue_share(volumes, version))
    same(outcome, "weekly_symbol_venue_share", naive.symbol_venue_share(volumes))
    same(outcome, "weekly_symbol_venue_concentration_hhi", naive.hhi(volumes))
    captures = {row["capture_id"] for row in table(outcome, "venue_volume")}
    assert {row["shown_capture_id"] for row in table(outcome, "weekly_symbol_venue_volume")} == captures
    return outcome


@pytest.mark.parametrize("name", finra_sample.NAMES)
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_real_files(name: str, version: str) -> None:
    outcome = agree(finra_sample.content(name), file_name=name, versions={"venue_share": version})
    assert outcome.skips == []


@pytest.mark.parametrize("dos", [False, True])
def test_a_made_up_file_with_every_fault(dos: bool) -> None:
    made = FinraFiles(symbols=60, rows=300, faults=0.3, dos=dos).file(WEEK, "ATS")
    outcome = agree(made.content.decode(), file_name=made.name)
    assert outcome.read == made.rows


SHORT = "WeekEnding|Tier|Symbol|MPID|TotalShares|TotalTrades"
COUNTS = st.one_of(
    st.integers(0, 5).map(str),
    st.integers(0, 10**9).map(str),
    # Beyond 2**53 a quotient of two doubles is no longer the one of the whole numbers.
    st.integers(2**53, 2**56).map(str),
    st.sampled_from(["", " ", "0", "-1", "+7", "007", "1,000", "12x", "3.5", "1e3", "٣", "1_0", str(2**63), "-0"]),
)
TIERS = st.sampled_from(["OTC", "otc other", " NMS Tier 1 ", "Tier 2", "EXCHANGE", "", "ATS", "some OTC thing", "XTRA"])
SYMBOLS = st.one_of(
    st.sampled_from(["AABB", "a$c me", "BRK.B", "BF-B", "ZM/WS", "", "$", "aabb ", "A" * 20, "A" * 21, "ß"]),
    st.text("AB", min_size=1, max_size=2),
)
MPIDS = st.sampled_from(["NITE", "nite", " CDEL", "OTCN", "", "M" * 20, "M" * 21, "ÄÖ"])
DATES = st.sampled_from(
    [
        *(["2025-12-29"] * 6),
        "2025-12-26",
        "20251229",
        " 2025-12-29 ",
        "2025-12-29T08:00:00Z",
        "2025-12-29x",
        "12/29/2025",
        "2025-02-30",
        "",
        "2025-1-02",
    ]
)
LONG_ROWS = st.tuples(
    TIERS, SYMBOLS, st.sampled_from(["", " n "]), st.sampled_from(["v", ""]), MPIDS, COUNTS, COUNTS, DATES
).map("|".join)
SHORT_ROWS = st.tuples(DATES, TIERS, SYMBOLS, MPIDS, COUNTS, COUNTS).map("|".join)
ODD_ROWS = st.sampled_from(["", "  ", "\t", "|", "Total rows: 3", "OTC|AABB", "||||||||||||", '"OTC"|"AABB"', "\x1c"])
ENDS = st.sampled_from(["\n", "\r\n"])


def files(header: str, rows: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lines = st.lists(st.one_of(rows, rows, rows, ODD_ROWS), min_size=1, max_size=25).filter(
        lambda lines: any(line.strip() for line in lines)
    )
    return st.builds(
        lambda bom, lines, ends: bom + "".join(line + ends[n % len(ends)] for n, line in enumerate([header, *lines])),
        st.sampled_from(["", "\ufeff"]),
        lines,
        st.lists(ENDS, min_size=1, max_size=3),
    )


@settings(max_examples=usual(100, long=300), deadline=None)
@given(
    st.one_of(files(HEADER, LONG_ROWS), files(SHORT, SHORT_ROWS)),
    st.sampled_from(["v1", "v2"]),
    st.booleans(),
)
def test_any_file(content: str, version: str, reject_zero_volume: bool) -> None:
    agree(content, versions={"venue_share": version}, reject_zero_volume=reject_zero_volume)


VOLUMES = st.one_of(st.integers(0, 3), st.integers(0, 10**9), st.integers(2**53, 2**59))


@settings(max_examples=usual(100, long=200), deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["OTC", "ATS", "ATSB"]), st.text("ABC", min_size=1, max_size=2)), VOLUMES, max_size=12
    )
)
def test_any_tier_split(volumes: dict[tuple[str, str], int]) -> None:
    rows = [(tier, symbol, volume) for (tier, symbol), volume in volumes.items()]
    tiers = {tier: TierCapture() for tier in ("OTC", "ATS", "ATSB")}
    outcome = process(TierSplitUnit(captured_at=AT, week_ending=WEEK, tiers=tiers).encode(rows), ())
    found = table(outcome, "weekly_symbol_tier_volume_share")
    expected = naive.tier_split(rows)
    columns = list(expected[0]) if expected else []
    assert sorted(picked(found, *columns)) == picked(expected, *columns)


@settings(max_examples=usual(100, long=200), deadline=None)
@given(
    st.lists(
        st.tuples(
            st.text("ABC", min_size=1, max_size=2),
            st.sampled_from(window(WEEK)),
            st.one_of(VOLUMES, st.integers(95, 106)),
            st.integers(0, 1000),
        ),
        max_size=60,
        unique_by=lambda row: row[:2],
    ),
    st.sets(st.text("ABC", min_size=1, max_size=2), max_size=3),
)
def test_any_rolling_figures(rows: list[tuple[str, date, int, int]], whole: set[str]) -> None:
    known = {row[:2] for row in rows}
    rows += [
        (symbol, week, place * 7, place)
        for symbol in sorted(whole)
        for place, week in enumerate(window(WEEK))
        if (symbol, week) not in known
    ]
    unit = RollingUnit(captured_at=AT, week_ending=WEEK, tier="OTC", facts=RollingFacts(weeks=window(WEEK)))
    outcome = process(unit.encode([[s, w.isoformat(), v, t] for s, w, v, t in rows]), ())
    same(outcome, "symbol_rolling_6w", naive.rolling(list(window(WEEK)), rows))
    assert (
        outcome.read == len({row[0] for row in rows}) == len(table(outcome, "symbol_rolling_6w")) + len(outcome.skips)
    )
