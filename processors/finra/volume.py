"""Stages AGGREGATE and VENUE_SHARE: what follows from a tier's normalised rows of a week (finra spec, section 6.2–6.7).

Each function takes frames of normalised rows (finra_normalize.VOLUME_SCHEMA), a row per symbol and mpid, and
returns a frame in key order. Sums beyond 64 bits are a ValueError.
"""

import polars as pl

from processors.finra.exact import check_sum, quotient, wide

SUMMARY_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "total_volume": pl.Int64(),
    "total_trades": pl.Int64(),
    "venue_count": pl.Int64(),
    "avg_trade_size": pl.Float64(),
}
"""The columns of a summary that later stages read."""

# v2 weighs shares 0.7 and trades 0.3: tenths keep the weights whole.
_SHARES_TENTHS, _TRADES_TENTHS = 7, 3


def summarize(rows: pl.DataFrame) -> pl.DataFrame:
    """Symbol summaries."""
    found = (
        _checked(rows)
        .group_by("symbol")
        .agg(
            pl.col("total_shares").sum().alias("total_volume"),
            pl.col("total_trades").sum(),
            pl.col("mpid").n_unique().cast(pl.Int64).alias("venue_count"),
            pl.col("source_last_update_date").max(),
        )
        .sort("symbol")
    )
    return found.with_columns(quotient(found["total_volume"], found["total_trades"], None).alias("avg_trade_size"))


def venue_shares(rows: pl.DataFrame, version: str) -> pl.DataFrame:
    """Venues' shares of the tier and their ranks, by the formula of a version; ValueError when it has none."""
    found = (
        _checked(rows)
        .group_by("mpid")
        .agg(
            pl.col("total_shares").sum().alias("total_volume"),
            pl.col("total_trades").sum(),
            pl.col("symbol").n_unique().cast(pl.Int64).alias("symbol_count"),
        )
    )
    if version == "v1":
        weights, ranked_by = found["total_volume"], "total_volume"
    elif version == "v2":
        tenths = _SHARES_TENTHS * wide("total_volume") + _TRADES_TENTHS * wide("total_trades")
        weights, ranked_by = found.select(tenths.alias("weight"))["weight"], "market_share_pct"
    else:
        raise ValueError(f"venue_share {version} has no formula")
    whole = pl.Series([int(weights.cast(pl.Int128).sum())], dtype=pl.Int128).new_from_index(0, found.height)
    return (
        found.with_columns(quotient(weights, whole, 0.0).alias("market_share_pct"))
        .sort(ranked_by, "mpid", descending=[True, False])
        .with_row_index("rank", offset=1)
        .with_columns(pl.col("rank").cast(pl.Int64))
        .sort("mpid")
    )


def symbol_venue_shares(rows: pl.DataFrame) -> pl.DataFrame:
    """Venues' shares of each symbol."""
    found = (
        _checked(rows)
        .sort("symbol", "mpid")
        .select(
            "symbol",
            "mpid",
            "venue_name",
            pl.col("total_shares").alias("venue_volume"),
            pl.col("total_shares").sum().over("symbol").alias("total_symbol_volume"),
        )
    )
    return found.with_columns(quotient(found["venue_volume"], found["total_symbol_volume"], 0.0).alias("venue_share"))


def concentrations(rows: pl.DataFrame) -> pl.DataFrame:
    """Each symbol's Herfindahl-Hirschman index, from 0 to 1: the sum of squared volumes by the squared sum."""
    found = (
        _checked(rows)
        .group_by("symbol")
        .agg(
            (wide("total_shares") * wide("total_shares")).sum().alias("squares"),
            pl.len().cast(pl.Int64).alias("venue_count"),
            pl.col("total_shares").sum().alias("total_symbol_volume"),
        )
        .sort("symbol")
    )
    square = found.select(wide("total_symbol_volume") * wide("total_symbol_volume"))["total_symbol_volume"]
    return found.with_columns(quotient(found["squares"], square, 0.0).alias("hhi")).drop("squares")


def tier_shares(summaries: pl.DataFrame) -> pl.DataFrame:
    """Tiers' shares of each symbol's volume of a week, from `tier`, `symbol` and `total_volume` of all tiers.

    ValueError when a tier has a symbol twice.
    """
    if summaries.select("tier", "symbol").is_duplicated().any():
        raise ValueError("a tier has two summaries of one symbol")
    check_sum(summaries["total_volume"], "the volumes of the week's tiers")
    found = summaries.sort("tier", "symbol").select(
        "tier",
        "symbol",
        pl.col("total_volume").alias("tier_volume"),
        pl.col("total_volume").sum().over("symbol").alias("total_symbol_volume_all_tiers"),
    )
    shares = quotient(found["tier_volume"], found["total_symbol_volume_all_tiers"], 0.0)
    return found.with_columns(shares.alias("tier_volume_share"))


def _checked(rows: pl.DataFrame) -> pl.DataFrame:
    check_sum(rows["total_shares"], "the shares of the tier")
    check_sum(rows["total_trades"], "the trades of the tier")
    return rows
