"""Impedance and its inputs: the Decimal reading and a float path proven equal to it (betfair spec, section 5.4).

The plain reading (`decimal_inputs`) works in 28-digit Decimals and ends in `round(float(x), 8)`. It costs some 200 µs a
snapshot. The quick reading (`exact_inputs`) gives the same bits for about a tenth, or refuses.

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

    odds, norm  |t|, |w| <= 1e11. Ours: at most 4 float roundings, 4.5e-5. float(): 1.2e-5. Decimal: below 1e-14.
                Together below _NEAR = 1e-4.
    impedance   e's of both sides: 1e-13. Decimal: every intermediate is <= 4e10 and a dozen roundings of 5e-28 give
                2e-16, that is 2e-8 units. float(): half an ulp of the result, <= |k| * 2**-53. Together below
                1e-6 + |k| * 1.2e-16. (Where |i| reaches 2**53 this exceeds a half, and the row is refused.)

Then k / 1e8, one correctly rounded division of exact floats, is the float nearest to that decimal, as from round().
A k of 0 is refused, for the plain reading knows -0.0. A stake is N / 100: two decimals, far above its ulp, so round()
leaves it alone. Refused rows take the Decimal path.
"""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from math import isfinite
from typing import Any

from processors.betfair.coercion import ZERO, to_decimal

# Adding and taking away 1.5 * 2**52 rounds a float below 2**51 to an integer, without a call.
INTEGER = 6755399441055744.0
_NEAR = 0.5 - 1e-4
_NEAR_IMPEDANCE = 0.5 - 1e-6
_ULP = 1.2e-16
_MAX_STAKE = 4e9
_MAX_PRICE = 1e5
_MAX_TOTAL = 1e12

_ONE = Decimal(1)
_EPSILON = Decimal("1e-9")
_DIGITS, _DEPTH = 8, 4

Level = tuple[Any, Any]
"""Price and size as the payload gives them."""

Sums = tuple[float, float, float, float]
"""One runner in hundredths: back N and V, lay N and V."""

Inputs = tuple[float, float, float, float, float, float]
"""Of one runner: impedance, norm, back stake, back odds, lay stake, lay odds."""

_NO_TOTAL = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def exact_inputs(asked: Sequence[Sums], extras: Iterable[Sums] = ()) -> list[Inputs] | None:
    """The inputs of the runners `asked`; `extras` are the book's other runners. None when a rounding is in doubt."""
    back = lay = 0.0
    for back_n, _, lay_n, _ in asked:
        back += back_n
        lay += lay_n
    for back_n, back_v, lay_n, lay_v in extras:
        if not (back_n <= _MAX_STAKE and back_v <= _MAX_PRICE * back_n):
            return None
        if not (lay_n <= _MAX_STAKE and lay_v <= _MAX_PRICE * lay_n):
            return None
        back += back_n
        lay += lay_n
    total = back + lay
    if total == 0.0:
        return [_NO_TOTAL for _ in asked]
    if total > _MAX_TOTAL:
        return None
    balance = 100.0 * (lay - back)
    found: list[Inputs] = []
    for back_n, back_v, lay_n, lay_v in asked:
        back_odds = lay_odds = excess = 0.0
        if back_n:
            if not (back_n <= _MAX_STAKE and back_v <= _MAX_PRICE * back_n):
                return None
            units = back_v * 1e13 / (back_n * 1e7 + 1.0)
            whole = units + INTEGER - INTEGER
            if not -_NEAR < units - whole < _NEAR:
                return None
            back_odds = whole / 1e8
            excess = units * -1e-9
        if lay_n:
            if not (lay_n <= _MAX_STAKE and lay_v <= _MAX_PRICE * lay_n):
                return None
            units = lay_v * 1e13 / (lay_n * 1e7 + 1.0)
            whole = units + INTEGER - INTEGER
            if not -_NEAR < units - whole < _NEAR:
                return None
            lay_odds = whole / 1e8
            excess += units * 1e-9
        main = 1e4 * (back_v - lay_v + balance)
        step = excess + INTEGER - INTEGER
        whole = main + step
        near = _NEAR_IMPEDANCE - abs(whole) * _ULP
        units = (main + excess) * 100.0 / total
        normed = units + INTEGER - INTEGER
        if not -near < excess - step < near or not -_NEAR < units - normed < _NEAR or whole == 0.0 or normed == 0.0:
            return None
        found.append((whole / 1e8, normed / 1e8, back_n / 100.0, back_odds, lay_n / 100.0, lay_odds))
    return found


def sums_in_hundredths(levels: Iterable[Level]) -> tuple[float, float] | None:
    """N and V over the valid levels of one side; None when a price or size isn't a number of whole hundredths."""
    stake = volume = 0.0
    for price, size in levels:
        if type(price) not in (float, int) or type(size) not in (float, int):
            return None
        if not (price > 1 and size > 0):
            continue
        if price > _MAX_PRICE or size > _MAX_STAKE:
            return None
        price_n = price * 100.0 + INTEGER - INTEGER
        size_n = size * 100.0 + INTEGER - INTEGER
        if price_n / 100.0 != price or size_n / 100.0 != size:
            return None
        stake += size_n
        volume += price_n * size_n
    return stake, volume


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
