"""Stage INGEST: a file's text to raw rows and what could not be read (finra spec, sections 1.2 and 1.3)."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import polars as pl

from schemas.finra.file import BLANKS, SEPARATOR, Header, read_header
from schemas.finra.partition import no_date, parse_date, week_of_publication

RAW_SCHEMA: dict[str, pl.DataType] = {
    "line_number": pl.Int64(),
    "symbol": pl.String(),
    "mpid": pl.String(),
    "issue_name": pl.String(),
    "venue_name": pl.String(),
    "tier_description": pl.String(),
    "total_shares": pl.Int64(),
    "total_trades": pl.Int64(),
    "source_last_update_date": pl.Date(),
    "record_hash": pl.String(),
}
"""The columns of a frame of raw rows."""

_COUNT = r"^[+-]?[0-9]+$"
_NUL = "\0"
_FIELDS = (
    "tier_description",
    "symbol",
    "issue_name",
    "venue_name",
    "mpid",
    "total_shares",
    "total_trades",
    "last_update",
    "week_ending",
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A row that can't be read: its line, what is wrong, its text, and symbol and mpid as far as it says them."""

    line_number: int
    detail: str
    text: str
    symbol: str
    mpid: str


@dataclass(frozen=True, slots=True)
class Parsed:
    """A file's rows in their order.

    `rows` has the columns of RAW_SCHEMA, and besides `text`, the line, and `own_week`, the week that the row says
    itself. `read` counts rows and failures.
    """

    rows: pl.DataFrame
    failures: list[Failure]

    @property
    def read(self) -> int:
        """How many rows the file has."""
        return self.rows.height + len(self.failures)


def parse(content: str) -> Parsed:
    """A file's text as rows; ValueError when its header says that it is no such file, or it has no rows."""
    header = read_header(content)
    split = _split(content, header)
    if split.is_empty():
        raise ValueError("it has a header and no rows")
    read = _read(split)
    good = read["good"]
    rows = read.filter(good)
    return Parsed(
        rows.select(
            "line_number",
            "symbol",
            "mpid",
            _name("issue_name"),
            _name("venue_name"),
            "tier_description",
            pl.col("shares").alias("total_shares"),
            pl.col("trades").alias("total_trades"),
            "source_last_update_date",
            record_hashes(rows, "own_week", "shares", "trades").alias("record_hash"),
            "text",
            "own_week",
        ),
        [_failure(row) for row in read.filter(~good).iter_rows(named=True)],
    )


def record_hashes(rows: pl.DataFrame, week: str, shares: str, trades: str) -> pl.Series:
    """Each row's record hash, of the week in the column named (section 1.3)."""
    joined = rows.select(
        pl.concat_str(
            [pl.col(week).dt.to_string("%Y-%m-%d"), "tier_description", "symbol", "mpid", shares, trades],
            separator=SEPARATOR,
        ).alias("record_hash")
    )["record_hash"]
    sha256 = hashlib.sha256
    return pl.Series("record_hash", [sha256(text.encode()).hexdigest()[:32] for text in joined], pl.String)


def _split(content: str, header: Header) -> pl.DataFrame:
    """The lines behind the header that aren't blank: line_number, text, and a text per field, empty where missing."""
    lines = pl.DataFrame({"text": content.split("\n")}, schema={"text": pl.String})
    places = header.columns
    found = (
        lines.with_row_index("line_number", offset=1)
        .slice(header.line_number)
        .with_columns(pl.col("line_number").cast(pl.Int64), pl.col("text").str.strip_suffix("\r"))
        .filter(pl.col("text").str.strip_chars(BLANKS) != "")
        .with_columns(pl.col("text").str.split_exact(SEPARATOR, max(places.values())).alias("fields"))
    )
    fields = [
        pl.col("fields").struct.field(f"field_{places[name]}").fill_null("").alias(name)
        if name in places
        else pl.lit("").alias(name)
        for name in _FIELDS
    ]
    return found.select("line_number", "text", *fields)


def _read(split: pl.DataFrame) -> pl.DataFrame:
    """The fields read; `good` says of which rows all could be."""
    trimmed = split.with_columns(
        pl.col("symbol", "mpid").str.strip_chars(BLANKS).str.to_uppercase(),
        pl.col("total_shares", "total_trades", "week_ending").str.strip_chars(BLANKS),
    )
    dates = trimmed.with_columns(
        _mapped(trimmed["last_update"], parse_date, pl.Date()).alias("source_last_update_date"),
        _mapped(trimmed["week_ending"], parse_date, pl.Date()).alias("said_week"),
    )
    update = dates["source_last_update_date"]
    return dates.with_columns(
        pl.when(pl.col("week_ending") != "")
        .then("said_week")
        .otherwise(_mapped(update, week_of_publication, pl.Date()))
        .alias("own_week"),
        _count("total_shares").alias("shares"),
        _count("total_trades").alias("trades"),
    ).with_columns(
        (
            pl.col("own_week").is_not_null()
            & pl.col("shares").is_not_null()
            & pl.col("trades").is_not_null()
            & ~pl.col("text").str.contains(_NUL, literal=True)
        ).alias("good")
    )


def _count(name: str) -> pl.Expr:
    """A count; null where the text is none, or doesn't fit into 64 bits."""
    return (
        pl.when(pl.col(name) == "")
        .then(0)
        .when(pl.col(name).str.contains(_COUNT))
        .then(pl.col(name).cast(pl.Int64, strict=False))
    )


def _name(column: str) -> pl.Expr:
    """A name, trimmed; null where it says nothing."""
    trimmed = pl.col(column).str.strip_chars(BLANKS)
    return pl.when(trimmed != "").then(trimmed).alias(column)


def _mapped(values: pl.Series, function: Callable[..., date | None], to: pl.DataType) -> pl.Series:
    """A function of each value, called once for each different one: a file has few dates."""
    different = values.drop_nulls().unique()
    results = pl.Series([function(value) for value in different], dtype=to)
    return values.replace_strict(different, results, default=None, return_dtype=to)


def _failure(row: dict[str, object]) -> Failure:
    line_number, text, symbol, mpid = row["line_number"], row["text"], row["symbol"], row["mpid"]
    assert isinstance(line_number, int)
    shown = str(text).replace(_NUL, "\N{REPLACEMENT CHARACTER}")
    return Failure(line_number, "; ".join(_faults(row)), shown, _plain(symbol), _plain(mpid))


def _plain(value: object) -> str:
    return str(value).replace(_NUL, "\N{REPLACEMENT CHARACTER}")


def _faults(row: dict[str, object]) -> list[str]:
    """What can't be read of a row, in words."""
    faults = []
    if _NUL in str(row["text"]):
        faults.append("it holds a NUL character")
    if row["own_week"] is None:
        name = "weekEnding" if row["week_ending"] else "lastUpdateDate"
        faults.append(_date_fault(name, str(row["week_ending"] or row["last_update"])))
    for name, column, read in (
        ("totalWeeklyShareQuantity", "total_shares", "shares"),
        ("totalWeeklyTradeCount", "total_trades", "trades"),
    ):
        if row[read] is None:
            text = str(row[column])
            whole = re.fullmatch(_COUNT, text)
            faults.append(f"{name} {_shown(text)} " + ("doesn't fit into 64 bits" if whole else "is no whole number"))
    return faults


def _date_fault(name: str, text: str) -> str:
    if not text.strip(BLANKS):
        return "lastUpdateDate (or weekEnding) is empty"
    return f"{name} {_shown(text)} {'has no week before it' if parse_date(text) else no_date(text)}"


def _shown(value: object) -> str:
    text = _plain(value)
    return repr(text if len(text) <= 40 else f"{text[:40]}…")
