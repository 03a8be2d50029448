"""Stage NORMALIZE: raw rows to one row per symbol and venue, and the rejected ones (finra spec, section 1.4)."""

from dataclasses import dataclass

import polars as pl

from processors.finra.exact import quotient
from schemas.finra.file import BLANKS
from schemas.finra.tables import DUPLICATE_KEY, MAX_NAME

VOLUME_SCHEMA: dict[str, pl.DataType] = {
    "symbol": pl.String(),
    "mpid": pl.String(),
    "venue_name": pl.String(),
    "total_shares": pl.Int64(),
    "total_trades": pl.Int64(),
    "source_last_update_date": pl.Date(),
}
"""The columns of a frame of normalised rows that later stages read."""

_NAMED_TIERS = {
    "nms_tier_1": "NMS_TIER_1",
    "nms tier 1": "NMS_TIER_1",
    "tier1": "NMS_TIER_1",
    "tier 1": "NMS_TIER_1",
    "nms_tier_2": "NMS_TIER_2",
    "nms tier 2": "NMS_TIER_2",
    "tier2": "NMS_TIER_2",
    "tier 2": "NMS_TIER_2",
    "otc": "OTC",
    "otc other": "OTC",
    "otc_blocks": "OTC_BLOCKS",
    "atsb": "ATSB",
    "ats": "ATS",
}
_NOT_IN_SYMBOL = r"[^A-Z0-9.\-/]"


@dataclass(frozen=True, slots=True)
class Normalized:
    """What became of raw rows: len(rows) + len(rejected) of them.

    `rows` are in key order and have the columns of VOLUME_SCHEMA, avg_trade_size and record_hash. `rejected` are raw
    rows in their order with reason_code and reason_detail.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame


def tier_of_description(text: str) -> str | None:
    """The tier that a row's tierDescription means; None when it isn't recognised."""
    plain = text.strip().lower()
    if plain in _NAMED_TIERS:
        return _NAMED_TIERS[plain]
    for number in ("1", "2"):
        if "tier" in plain and number in plain:
            return f"NMS_TIER_{number}"
    return "OTC" if "otc" in plain else None


def normalize(raw: pl.DataFrame, *, reject_zero_volume: bool = True) -> Normalized:
    """Raw rows (finra_parse.RAW_SCHEMA, and whatever other columns) tested, cleaned and freed of duplicates."""
    named = cleaned(raw)
    codes = _codes(named, reject_zero_volume)
    tested = named.with_columns(
        pl.coalesce(codes).alias("reason_code"),
        pl.concat_str(codes, separator=";", ignore_nulls=True).alias("reason_detail"),
    )
    valid = tested.filter(pl.col("reason_code").is_null()).sort(
        "clean", "mpid", "total_shares", "line_number", descending=[False, False, True, False]
    )
    first = (pl.struct("clean", "mpid") != pl.struct("clean", "mpid").shift()).fill_null(value=True)
    marked = valid.with_columns(first.alias("kept"), pl.lit(None, pl.Int64).alias("instead"))
    marked = marked.with_columns(
        pl.when("kept").then("line_number").forward_fill().alias("instead"),
    )
    kept, dropped = marked.filter("kept"), marked.filter(~pl.col("kept"))
    rows = kept.select(
        pl.col("clean").alias("symbol"),
        "mpid",
        "venue_name",
        "total_shares",
        "total_trades",
        "source_last_update_date",
        quotient(kept["total_shares"], kept["total_trades"], None).alias("avg_trade_size"),
        "record_hash",
    )
    duplicates = dropped.with_columns(
        pl.lit(DUPLICATE_KEY).alias("reason_code"),
        pl.format("{}: line {} is kept", pl.lit(DUPLICATE_KEY), "instead").alias("reason_detail"),
    )
    rejected = pl.concat([tested.filter(pl.col("reason_code").is_not_null()), duplicates.select(tested.columns)])
    return Normalized(rows, rejected.drop("clean").sort("line_number"))


def cleaned(raw: pl.DataFrame) -> pl.DataFrame:
    """Raw rows with the symbol that each is of, as `clean`, and its mpid as rows are keyed by it."""
    return raw.with_columns(
        pl.col("symbol").str.strip_chars(BLANKS).str.to_uppercase().str.replace_all(_NOT_IN_SYMBOL, "").alias("clean"),
        pl.col("mpid").str.strip_chars(BLANKS).str.to_uppercase(),
    )


def _codes(rows: pl.DataFrame, reject_zero_volume: bool) -> list[pl.Expr]:
    """Each test of section 1.4 in its order: its code where the row fails it, else null."""
    different = rows["tier_description"].unique()
    strange = [text for text in different if tier_of_description(text) is None]
    shares, trades = pl.col("total_shares"), pl.col("total_trades")
    tests = [
        ("INVALID_TIER", pl.col("tier_description").is_in(strange)),
        ("INVALID_SYMBOL", _bad_name("clean")),
        ("INVALID_MPID", _bad_name("mpid")),
        ("NEGATIVE_VOLUME", shares < 0),
        ("NEGATIVE_TRADES", trades < 0),
    ]
    if reject_zero_volume:
        tests.append(("ZERO_VOLUME", (shares == 0) & (trades == 0)))
    return [pl.when(fails).then(pl.lit(code)) for code, fails in tests]


def _bad_name(column: str) -> pl.Expr:
    return (pl.col(column) == "") | (pl.col(column).str.len_chars() > MAX_NAME)
