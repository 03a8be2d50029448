"""Impedance and its inputs: the Decimal reading and an array form proven equal to it (betfair spec, section 5.4).

The plain reading (`decimal_inputs`) works in 28-digit Decimals and ends in `round(float(x), 8)`. It costs some 80 µs a
snapshot. The array form (`exact_inputs`) gives the same bits for less than a hundredth, or says that it is in doubt.

It works on hundredths. For one side of a runner let N = sum of sizes * 100 and V = sum of prices * sizes * 10,000,
both integers. A payload float x counts as n hundredths only when n / 100 == x: below 15 digits n/100 is then also the
shortest text of x, so it is the Decimal which the plain reading takes. With N <= 4e9 and V <= 1e5 * N (stake <= 4e7,
odds <= 1000) every product and sum of these is below 2**53, so floats hold them exactly. In units of the eighth
decimal, with B = 1e7 * N + 1 and i = 1e4 * (Vb - Vl + 100 * (sum of all Nl - sum of all Nb)):

    odds        t = V * 1e13 / B
    impedance   u = i + e(lay) - e(back), where e = t / 1e9 = 1e4 * V / B <= 100
    norm        w = 100 * u / (sum of all N)

These identities are exact; the term i collects everything but the 1e-9 of the odds' denominator. The plain reading
differs from them by its 28-digit roundings and by one float(); round() is then exact, it takes the decimal nearest to
that float. So both round to the same integer k of units unless a half lies within the sum of all errors:

    odds, norm  |t|, |w| <= 1e11. Ours: four float roundings, 2**-53 of t or w each, and 1e-11 from the e in w.
                float(): one more. Decimal: below 1e-14. Together below 1e-9 + |t| * 6e-16, the same with w.
    impedance   e's of both sides: 1e-13. Decimal: every intermediate is <= 4e10 and a dozen roundings of 5e-28 give
                2e-16, that is 2e-8 units. float(): half an ulp of the result, <= |k| * 2**-53. Together below
                1e-6 + |k| * 1.2e-16. (Where |i| reaches 2**53 this exceeds a half, and the row is in doubt.)

Then k / 1e8, one correctly rounded division of exact floats, is the float nearest to that decimal, as from round().
A k of 0 is in doubt, for the plain reading knows -0.0. A stake is N / 100: two decimals, far above its ulp, so round()
leaves it alone. Rows in doubt take the Decimal path.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.betfair.coercion import ZERO, to_decimal

_NEAR = 0.5 - 1e-9
_ROUNDINGS = 6e-16
_NEAR_IMPEDANCE = 0.5 - 1e-6
_ULP = 1.2e-16
_MAX_STAKE = 4e9
_MAX_PRICE = 1e5

_ONE = Decimal(1)
_EPSILON = Decimal("1e-9")
_DIGITS, _DEPTH = 8, 4

BACK, LAY = range(2)
"""Places on an axis of sides."""

Array = npt.NDArray[np.float64]

Level = tuple[Any, Any]
"""Price and size as the payload gives them."""

Inputs = tuple[float, float, float, float, float, float]
"""Of one runner: impedance, norm, back stake, back odds, lay stake, lay odds."""


@dataclass(frozen=True, slots=True)
class ExactInputs:
    """Impedance and its inputs of a unit's snapshots.

    `impedance` and `norm` have the shape (runner, snapshot), `stake` and `odds` (side, runner, snapshot). `sure`, shape
    (snapshot,), says where they are those of the plain reading; elsewhere they are any numbers.
    """

    impedance: Array
    norm: Array
    stake: Array
    odds: Array
    sure: npt.NDArray[np.bool_]


def exact_inputs(price: Array, size: Array) -> ExactInputs:
    """The inputs of all runners of each snapshot's book.

    `price` and `size` have the shape (level, side, runner, snapshot); a level of size 0.0 doesn't count.
    """
    price_n, size_n = np.rint(price * 100.0), np.rint(size * 100.0)
    hundredths = ((price_n / 100.0 == price) & (size_n / 100.0 == size)).all((0, 1, 2))
    n, v = size_n.sum(0), (price_n * size_n).sum(0)
    bounded = ((n <= _MAX_STAKE) & (v <= _MAX_PRICE * n)).all((0, 1))

    t = v * 1e13 / (n * 1e7 + 1.0)
    e = t[LAY] * 1e-9 - t[BACK] * 1e-9
    i = 1e4 * (v[BACK] - v[LAY] + 100.0 * (n[LAY] - n[BACK]).sum(0))
    total = n.sum((0, 1))
    w = (i + e) * 100.0 / np.maximum(total, 1.0)
    odds, impedance, norm = np.rint(t), i + np.rint(e), np.rint(w)

    near = (
        (np.abs(t - odds) < _NEAR - t * _ROUNDINGS).all((0, 1))
        & (np.abs(e - np.rint(e)) < _NEAR_IMPEDANCE - np.abs(impedance) * _ULP).all(0)
        & (np.abs(w - norm) < _NEAR - np.abs(w) * _ROUNDINGS).all(0)
    )
    signed = (total == 0.0) | ((impedance != 0.0) & (norm != 0.0)).all(0)
    return ExactInputs(impedance / 1e8, norm / 1e8, n / 100.0, odds / 1e8, hundredths & bounded & near & signed)


def decimal_inputs(book: Sequence[tuple[Sequence[Level], Sequence[Level]]]) -> list[Inputs]:
    """The inputs of every runner of the book, each given as its back and lay levels, by the plain reading.

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


def _side(levels: Sequence[Level]) -> tuple[Decimal, Decimal]:
    """Stake and odds of one side."""
    pairs = [(to_decimal(price), to_decimal(size)) for price, size in levels[:_DEPTH]]
    valid = [(price, size) for price, size in pairs if price > 1 and size > 0]
    stake = sum((size for _, size in valid), ZERO)
    if not stake > 0:
        return stake, ZERO
    return stake, sum((price * size for price, size in valid), ZERO) / (stake + _EPSILON)


def _rounded(number: Decimal) -> float:
    value = float(number)
    return round(value, _DIGITS) if isfinite(value) else 0.0
