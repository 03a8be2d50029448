"""Quality checks of a batch: what core_quality says of it, PASS too (finra spec, sections 1.4, 6.8 and 9)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

import polars as pl

from processors.finra.rolling import missing_weeks
from schemas.finra.partition import WINDOW_WEEKS
from schemas.finra.tables import HISTORY_WINDOW, PARTIAL_COVERAGE, REJECT_ALERT, SHARE_TOLERANCE
from schemas.finra.units import RollingFacts
from schemas.words import counted, verb

Status = Literal["PASS", "WARN", "FAIL"]
Category = Literal["INTEGRITY", "COMPLETENESS", "BUSINESS_RULE"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check and its result; `actual` and `expected` are for people, `details` for programs."""

    name: str
    category: Category
    status: Status
    message: str
    actual: str
    expected: str
    details: dict[str, Any] = field(default_factory=dict)


def week_mismatch(count: int, week_ending: date) -> Check:
    """Rows whose own week is another one than their batch's."""
    return Check(
        "week_mismatch",
        "BUSINESS_RULE",
        "WARN" if count else "PASS",
        f"{counted(count, 'row')} {verb(count, 'says', 'say')} another week than {week_ending}",
        str(count),
        "0",
    )


def record_count_balance(read: int, normalized: int, rejected: int) -> Check:
    """Whether every row read is either normalised or rejected."""
    balanced = read == normalized + rejected
    return Check(
        "record_count_balance",
        "INTEGRITY",
        "PASS" if balanced else "WARN",
        f"{counted(read, 'row')} read, {normalized:,} normalised, {rejected:,} rejected",
        str(normalized + rejected),
        str(read),
    )


def reject_rate(read: int, rejected: int) -> Check:
    """Whether so many rows are rejected that somebody should look."""
    rate = rejected / read if read else 0.0
    return Check(
        "reject_rate",
        "BUSINESS_RULE",
        "WARN" if rate > REJECT_ALERT else "PASS",
        f"{rejected:,} of {counted(read, 'row')} {verb(rejected, 'is', 'are')} rejected",
        f"{rate:.4f}",
        f"at most {REJECT_ALERT}",
    )


def stage_input(rows: int) -> Check:
    """Whether the stages behind normalisation have any row to work on."""
    message = f"{rows:,} valid rows" if rows else "no valid row: there is nothing to aggregate"
    return Check("stage_input", "COMPLETENESS", "PASS" if rows else "FAIL", message, str(rows), "at least 1")


def market_shares(shares: pl.DataFrame, version: str) -> list[Check]:
    """Whether a tier's venue shares add up to 1, lie within 0 and 1, and are ranked 1 to N."""
    details = {"calc_version": version}
    total = math.fsum(shares["market_share_pct"])
    adds_up = abs(total - 1) <= SHARE_TOLERANCE
    ranks = shares["rank"].sort().to_list()
    ranked = ranks == list(range(1, len(ranks) + 1))
    outside = _outside(shares["market_share_pct"])
    return [
        Check(
            "market_share_sum",
            "INTEGRITY",
            "PASS" if adds_up else "FAIL",
            f"the shares of {shares.height:,} venues add up to {total!r}",
            repr(total),
            f"1 within {SHARE_TOLERANCE}",
            details,
        ),
        Check(
            "market_share_rank",
            "INTEGRITY",
            "PASS" if ranked else "FAIL",
            "the ranks are without gaps" if ranked else "the ranks have gaps or ties",
            f"{ranks[0]}..{ranks[-1]}" if ranks else "",
            f"1..{len(ranks)}",
            details,
        ),
        _bounds("market_share_bounds", outside, details),
    ]


def concentration_bounds(concentrations: pl.DataFrame) -> Check:
    """Whether every index of concentration lies within 0 and 1."""
    return _bounds("hhi_bounds", _outside(concentrations["hhi"]), {})


def tier_share_sum(shares: pl.DataFrame, tiers: Sequence[str]) -> Check:
    """Whether the tiers' shares of each symbol with any volume add up to 1."""
    sums = (
        shares.filter(pl.col("total_symbol_volume_all_tiers") > 0)
        .group_by("symbol")
        .agg(pl.col("tier_volume_share").sum().alias("sum"))
    )
    wrong = sums.filter((pl.col("sum") - 1).abs() > SHARE_TOLERANCE).height
    return Check(
        "tier_share_sum",
        "INTEGRITY",
        "FAIL" if wrong else "PASS",
        f"the shares of {', '.join(tiers)} add up to 1 for all but {wrong:,} of {sums.height:,} symbols",
        str(wrong),
        "0",
        {"tiers": list(tiers)},
    )


def history_window(facts: RollingFacts, week_ending: date) -> Check:
    """Whether all weeks of the window have summaries of the tier."""
    missing = [week.isoformat() for week in missing_weeks(facts, week_ending)]
    message = f"no summaries of {', '.join(missing)}" if missing else f"all {WINDOW_WEEKS} weeks have summaries"
    return Check(
        HISTORY_WINDOW,
        "COMPLETENESS",
        "FAIL" if missing else "PASS",
        message,
        str(WINDOW_WEEKS - len(missing)),
        str(WINDOW_WEEKS),
        {"missing_weeks": missing},
    )


def partial_coverage(facts: RollingFacts) -> Check:
    """Whether all symbols have a summary in every week of the window."""
    count = facts.symbols - facts.complete
    return Check(
        PARTIAL_COVERAGE,
        "COMPLETENESS",
        "WARN" if count else "PASS",
        f"{count:,} of {facts.symbols:,} symbols lack a week and have no rolling figures",
        str(count),
        "0",
        {"count": count, "symbols": list(facts.partial)},
    )


def deprecated_version(warnings: Sequence[str]) -> Check:
    """That versions are written which should no longer be used."""
    return Check("deprecated_version", "BUSINESS_RULE", "WARN", "; ".join(warnings), str(len(warnings)), "0")


def _outside(shares: pl.Series) -> int:
    return int((~shares.is_between(0, 1)).sum())


def _bounds(name: str, outside: int, details: dict[str, Any]) -> Check:
    message = f"{outside:,} values are below 0 or above 1" if outside else "all values are within 0 and 1"
    return Check(name, "INTEGRITY", "FAIL" if outside else "PASS", message, str(outside), "0", details)
