"""Impedance and its inputs in whole hundredths, as arrays: proven equal to the Decimal reading (betfair spec, 5.4).

The plain reading (`impedance.py`) works in 28-digit Decimals and ends in `round(float(x), 8)`. It costs some 80 µs a
snapshot. `exact_inputs` gives the same bits for less than a hundredth of it, or says that it is in doubt.

For one side of a runner let N = sum of sizes * 100 and V = sum of prices * sizes * 10,000,
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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_NEAR = 0.5 - 1e-9
_ROUNDINGS = 6e-16
_NEAR_IMPEDANCE = 0.5 - 1e-6
_ULP = 1.2e-16
_MAX_STAKE = 4e9
_MAX_PRICE = 1e5

BACK, LAY = range(2)
"""Places on an axis of sides."""

Array = npt.NDArray[np.float64]


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
