"""Whole numbers that stay exact, and their quotients as the doubles nearest to them (finra spec, section 6)."""

import polars as pl

LARGEST = 2**63 - 1
"""The largest count that a column of 64 bits holds."""

# Up to here every integer is a double, so that one division of doubles rounds once.
_EXACT = 2**53


def quotient(numerator: pl.Series, denominator: pl.Series, when_zero: float | None) -> pl.Series:
    """Numerators by denominators as float64, each the nearest there is; `when_zero` where the denominator is 0."""
    if max(_greatest(numerator), _greatest(denominator)) <= _EXACT:
        divided = numerator.cast(pl.Float64) / denominator.cast(pl.Float64)
        return divided.to_frame("q").select(
            pl.when(denominator != 0).then("q").otherwise(pl.lit(when_zero, pl.Float64)).alias("q")
        )["q"]
    pairs = zip(numerator.to_list(), denominator.to_list(), strict=True)
    return pl.Series("q", [above / below if below else when_zero for above, below in pairs], pl.Float64)


def check_sum(counts: pl.Series, what: str) -> int:
    """The sum of counts that aren't negative; ValueError when it, and so perhaps a part of it, leaves 64 bits."""
    total = int(counts.cast(pl.Int128).sum())
    if total > LARGEST:
        raise ValueError(f"{what} add up to {total:,}, more than 64 bits hold")
    return total


def wide(name: str) -> pl.Expr:
    """A column of counts with room for products."""
    return pl.col(name).cast(pl.Int128)


def _greatest(numbers: pl.Series) -> int:
    if numbers.is_empty():
        return 0
    least, greatest = numbers.min(), numbers.max()
    assert isinstance(least, int)
    assert isinstance(greatest, int)
    return max(-least, greatest)
