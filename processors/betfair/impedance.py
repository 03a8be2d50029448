"""Impedance and its inputs by the plain reading: 28-digit Decimals, then `round(float(x), 8)` (betfair spec, 5.4)."""

from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from math import isfinite
from typing import Any

from processors.betfair.coercion import ZERO, to_decimal

_ONE = Decimal(1)
_EPSILON = Decimal("1e-9")
_DIGITS, _DEPTH = 8, 4

Level = tuple[Any, Any]
"""Price and size as the payload gives them."""

Inputs = tuple[float, float, float, float, float, float]
"""Of one runner: impedance, norm, back stake, back odds, lay stake, lay odds."""


def decimal_inputs(book: Sequence[tuple[Sequence[Level], Sequence[Level]]]) -> list[Inputs]:
    """The inputs of every runner of the book, each given as its back and lay levels.

    The order of the book is the order of the sums; it matters only to sums of more than 28 digits.
    decimal.Overflow where figures leave Decimal's own range.
    """
    with localcontext(Context(prec=28, rounding=ROUND_HALF_UP)):
        sides = [(*_side(back), *_side(lay)) for back, lay in book]
        total = sum((side[0] for side in sides), ZERO) + sum((side[2] for side in sides), ZERO)
        found: list[Inputs] = []
        for index, (back_stake, back_odds, lay_stake, lay_odds) in enumerate(sides):
            impedance = norm = ZERO
            if total > 0:
                own = (lay_odds - _ONE) * lay_stake - (back_odds - _ONE) * back_stake
                others = sum((side[0] - side[2] for at, side in enumerate(sides) if at != index), ZERO)
                impedance = -(own + others)
                norm = impedance / total
            found.append(
                (
                    _rounded(impedance),
                    _rounded(norm),
                    _rounded(back_stake),
                    _rounded(back_odds),
                    _rounded(lay_stake),
                    _rounded(lay_odds),
                )
            )
        return found


def valid_levels(levels: Sequence[Level]) -> list[tuple[Decimal, Decimal]]:
    """The levels that count, as Decimals."""
    pairs = [(to_decimal(price), to_decimal(size)) for price, size in levels]
    return [(price, size) for price, size in pairs if price > 1 and size > 0]


def _side(levels: Sequence[Level]) -> tuple[Decimal, Decimal]:
    """Stake and odds of one side."""
    valid = valid_levels(levels[:_DEPTH])
    stake = sum((size for _, size in valid), ZERO)
    if not stake > 0:
        return stake, ZERO
    return stake, sum((price * size for price, size in valid), ZERO) / (stake + _EPSILON)


def _rounded(number: Decimal) -> float:
    value = float(number)
    return round(value, _DIGITS) if isfinite(value) else 0.0
