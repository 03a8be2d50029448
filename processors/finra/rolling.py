"""Stages ROLLING and SNAPSHOT: six weeks of summaries, a week beside its rolling figures (finra spec, section 6)."""

from collections.abc import Mapping
from datetime import date, datetime

import polars as pl

from processors.finra.exact import quotient, wide
from processors.finra.volume import SUMMARY_SCHEMA
from schemas.finra.partition import WINDOW_WEEKS, window
from schemas.finra.tables import LISTED_SYMBOLS, TREND_PERCENT
from schemas.finra.units import RollingFacts

WEEKS_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "week_ending": pl.Date(),
    "total_volume": pl.Int64(),
    "total_trades": pl.Int64(),
}
"""The columns of a frame of several weeks' summaries: a row per symbol and week."""

ROLLING_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "avg_volume": pl.Float64(),
    "avg_trades": pl.Float64(),
    "min_volume": pl.Int64(),
    "max_volume": pl.Int64(),
    "trend_direction": pl.String(),
    "trend_pct": pl.Float64(),
}
"""The columns of a frame of rolling rows."""

_SNAPSHOT_NAMES = {name: f"rolling_{name}" for name in ("avg_volume", "avg_trades", "min_volume", "max_volume")}


def facts_of(summaries: pl.DataFrame, week_ending: date, captured_at: Mapping[str, datetime]) -> RollingFacts:
    """What holds for all of a tier's latest summaries of a window; each row names its `capture_id`."""
    counts = summaries.group_by("symbol").agg(pl.len().alias("weeks")).sort("symbol")
    partial = counts.filter(pl.col("weeks") < WINDOW_WEEKS)["symbol"]
    captures = summaries["capture_id"].unique().to_list()
    moments = [captured_at[capture] for capture in captures]
    return RollingFacts(
        weeks=tuple(week for week in window(week_ending) if (summaries["week_ending"] == week).any()),
        symbols=counts.height,
        complete=counts.height - partial.len(),
        partial=tuple(partial.head(LISTED_SYMBOLS)),
        input_min_capture_id=min(captures, default=None),
        input_max_capture_id=max(captures, default=None),
        input_min_captured_at=min(moments, default=None),
        input_max_captured_at=max(moments, default=None),
    )


def missing_weeks(facts: RollingFacts, week_ending: date) -> list[date]:
    """The weeks of the window without any summary of the tier, oldest first."""
    return [week for week in window(week_ending) if week not in facts.weeks]


def rolling(weeks: pl.DataFrame, week_ending: date) -> pl.DataFrame:
    """Rolling figures of the symbols that all six weeks have, in key order; of others there is nothing.

    ValueError when a symbol has a week twice, or one outside the window.
    """
    if not weeks["week_ending"].is_in(window(week_ending)).all():
        raise ValueError(f"a summary's week is not among the {WINDOW_WEEKS} up to {week_ending}")
    if weeks.select("symbol", "week_ending").is_duplicated().any():
        raise ValueError("a symbol has two summaries of one week")
    found = (
        weeks.sort("symbol", "week_ending")
        .group_by("symbol", maintain_order=True)
        .agg(
            wide("total_volume").sum().alias("volume"),
            wide("total_trades").sum().alias("trades"),
            pl.col("total_volume").min().alias("min_volume"),
            pl.col("total_volume").max().alias("max_volume"),
            pl.col("total_volume").first().alias("first"),
            pl.col("total_volume").last().alias("last"),
            pl.len().alias("weeks"),
        )
        .filter(pl.col("weeks") == WINDOW_WEEKS)
    )
    sixth = pl.Series([WINDOW_WEEKS], dtype=pl.Int64).new_from_index(0, found.height)
    grown = quotient(found["last"] - found["first"], found["first"], 0.0)
    return found.with_columns(
        quotient(found["volume"], sixth, None).alias("avg_volume"),
        quotient(found["trades"], sixth, None).alias("avg_trades"),
        (grown * 100).alias("trend_pct"),
    ).select(
        "symbol",
        "avg_volume",
        "avg_trades",
        "min_volume",
        "max_volume",
        pl.when(pl.col("trend_pct") > TREND_PERCENT)
        .then(pl.lit("UP"))
        .when(pl.col("trend_pct") < -TREND_PERCENT)
        .then(pl.lit("DOWN"))
        .otherwise(pl.lit("FLAT"))
        .alias("trend_direction"),
        "trend_pct",
    )


def join_rolling(summaries: pl.DataFrame, rolled: pl.DataFrame) -> pl.DataFrame:
    """A week's summaries, each with its rolling row or nulls, in key order."""
    return summaries.select(*SUMMARY_SCHEMA).join(rolled, on="symbol", how="left").sort("symbol")


def snapshot(joined: pl.DataFrame) -> pl.DataFrame:
    """Research snapshots of joined rows, in key order; ValueError when a symbol comes twice."""
    if joined["symbol"].is_duplicated().any():
        raise ValueError("a symbol has two summaries")
    return joined.sort("symbol").rename(_SNAPSHOT_NAMES)
