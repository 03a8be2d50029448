"""The straight path: the 52 values of a well-formed payload, without the general reading's questions.

It takes what nearly every payload is: three runners, one a role, levels of [price, size] with prices on Betfair's tick
ladder and sizes of whole pence. Anything else is refused and read generally; what is accepted has the same bits
(tests/betfair/test_exactness.py holds them against each other). Every level counts here, so no validity question
is left: ticks are above 1 and sizes must be above 0.
"""

from math import inf

from processors.betfair.book import total_volume
from processors.betfair.coercion import Json
from processors.betfair.impedance import INTEGER, exact_inputs
from schemas.betfair.tables import DEPTH_LIMIT, TICKS

# Hundredths of each price; a price off the ladder is a KeyError, which refuses the payload.
_HUNDREDTHS = {price: float(round(price * 100)) for price in TICKS}

_Lay = tuple[float, float, float, float | None]
"""Of a lay ladder: N and V in hundredths (processors.impedance), best price, its size."""

_Shown = float | None
_Back = tuple[float, float, float, float, float, _Shown, _Shown, _Shown, _Shown, _Shown]
"""Of a back ladder: N, V, W and S of section 5.3, best price, its size, price and size of levels 1 and 2."""

_NO_LAY: _Lay = (0.0, 0.0, 0.0, None)
_NO_BACK: _Back = (0.0, 0.0, 0.0, 0.0, 0.0, None, None, None, None, None)


def straight_values(payload: Json, selection_ids: Json) -> list[float | None] | None:
    """The values in the order of schemas.betfair.METRICS, or None when the payload isn't of the common shape.

    `payload` as orjson reads it: numbers that it reads differently from the standard library never pass here.
    """
    try:
        return _values(payload, selection_ids)
    except (TypeError, KeyError, ValueError, AttributeError, IndexError, OverflowError):
        return None


def _values(payload: Json, selection_ids: Json) -> list[float | None] | None:
    entries = payload["runners"]
    first, second, third = entries
    home_id, away_id, draw_id = selection_ids["home"], selection_ids["away"], selection_ids["draw"]
    ids = first["selectionId"], second["selectionId"], third["selectionId"]
    # Only plain integers: orjson makes floats of those beyond 64 bit. 0 means that `selection_id` counts instead.
    for identifier in (home_id, away_id, draw_id, *ids):
        if type(identifier) is not int or identifier == 0:
            return None
    by_id = dict(zip(ids, entries, strict=True))
    home, away, draw = by_id.pop(home_id)["ex"], by_id.pop(away_id)["ex"], by_id.pop(draw_id)["ex"]

    (
        home_n,
        home_v,
        home_win,
        home_size,
        home_back,
        home_back_l1,
        home_odds_l2,
        home_size_l2,
        home_odds_l3,
        home_size_l3,
    ) = _back(home.get("availableToBack"))
    (
        away_n,
        away_v,
        away_win,
        away_size,
        away_back,
        away_back_l1,
        away_odds_l2,
        away_size_l2,
        away_odds_l3,
        away_size_l3,
    ) = _back(away.get("availableToBack"))
    (
        draw_n,
        draw_v,
        draw_win,
        draw_size,
        draw_back,
        draw_back_l1,
        draw_odds_l2,
        draw_size_l2,
        draw_odds_l3,
        draw_size_l3,
    ) = _back(draw.get("availableToBack"))
    home_lay_n, home_lay_v, home_lay, home_lay_l1 = _lay(home.get("availableToLay"))
    away_lay_n, away_lay_v, away_lay, away_lay_l1 = _lay(away.get("availableToLay"))
    draw_lay_n, draw_lay_v, draw_lay, draw_lay_l1 = _lay(draw.get("availableToLay"))
    inputs = exact_inputs(
        (
            (home_n, home_v, home_lay_n, home_lay_v),
            (away_n, away_v, away_lay_n, away_lay_v),
            (draw_n, draw_v, draw_lay_n, draw_lay_v),
        )
    )
    if inputs is None:
        return None
    (
        (home_impedance, home_norm, home_back_stake, home_back_odds, home_lay_stake, home_lay_odds),
        (away_impedance, away_norm, away_back_stake, away_back_odds, away_lay_stake, away_lay_odds),
        (draw_impedance, draw_norm, draw_back_stake, draw_back_odds, draw_lay_stake, draw_lay_odds),
    ) = inputs
    stated = payload.get("totalMatched")
    volume = stated if type(stated) is float else total_volume(payload, entries)
    if volume == inf:
        return None
    return [
        home_win - (away_win + draw_win),
        home_impedance,
        home_norm,
        home_win - (away_size + draw_size),
        home_back_stake,
        home_back_odds,
        home_lay_stake,
        home_lay_odds,
        home_back,
        home_lay,
        home_lay - home_back,
        home_back_l1,
        home_lay_l1,
        home_odds_l2,
        home_size_l2,
        home_odds_l3,
        home_size_l3,
        away_win - (home_win + draw_win),
        away_impedance,
        away_norm,
        away_win - (home_size + draw_size),
        away_back_stake,
        away_back_odds,
        away_lay_stake,
        away_lay_odds,
        away_back,
        away_lay,
        away_lay - away_back,
        away_back_l1,
        away_lay_l1,
        away_odds_l2,
        away_size_l2,
        away_odds_l3,
        away_size_l3,
        draw_win - (home_win + away_win),
        draw_impedance,
        draw_norm,
        draw_win - (home_size + away_size),
        draw_back_stake,
        draw_back_odds,
        draw_lay_stake,
        draw_lay_odds,
        draw_back,
        draw_lay,
        draw_lay - draw_back,
        draw_back_l1,
        draw_lay_l1,
        draw_odds_l2,
        draw_size_l2,
        draw_odds_l3,
        draw_size_l3,
        volume,
    ]


def _back(levels: list[list[float]] | None) -> _Back:
    """ValueError, KeyError or TypeError when a level isn't of the common shape."""
    if not levels:
        return _NO_BACK
    depth = len(levels)
    if depth < DEPTH_LIMIT:
        return _short_back(levels)
    (p0, s0), (p1, s1), (p2, s2) = levels[:3]
    price0, price1, price2 = _HUNDREDTHS[p0], _HUNDREDTHS[p1], _HUNDREDTHS[p2]
    size0 = s0 * 100.0 + INTEGER - INTEGER
    size1 = s1 * 100.0 + INTEGER - INTEGER
    size2 = s2 * 100.0 + INTEGER - INTEGER
    if (
        size0 / 100.0 != s0
        or size1 / 100.0 != s1
        or size2 / 100.0 != s2
        or not (size0 > 0.0 and size1 > 0.0 and size2 > 0.0)
        or s0 is True
        or s1 is True
        or s2 is True
    ):
        raise ValueError
    stake = size0 + size1 + size2
    volume = price0 * size0 + price1 * size1 + price2 * size2
    if depth > DEPTH_LIMIT:
        p3, s3 = levels[3]
        size3 = s3 * 100.0 + INTEGER - INTEGER
        if size3 / 100.0 != s3 or not size3 > 0.0 or s3 is True:
            raise ValueError
        stake += size3
        volume += _HUNDREDTHS[p3] * size3
    return (
        stake,
        volume,
        s0 * (p0 - 1.0) + s1 * (p1 - 1.0) + s2 * (p2 - 1.0),
        s0 + s1 + s2,
        price0 / 100.0,
        size0 / 100.0,
        price1 / 100.0,
        size1 / 100.0,
        price2 / 100.0,
        size2 / 100.0,
    )


def _short_back(levels: list[list[float]]) -> _Back:
    """A back ladder of one or two levels."""
    stake = volume = win = backed = 0.0
    shown: list[float | None] = []
    for price, size in levels:
        price_n, size_n = _level(price, size)
        stake += size_n
        volume += price_n * size_n
        win += size * (price - 1.0)
        backed += size
        shown += (price_n / 100.0, size_n / 100.0)
    best, best_size, *deeper = shown
    odds, size_at, *_ = *deeper, None, None
    return stake, volume, win, backed, best or 0.0, best_size, odds, size_at, None, None


def _lay(levels: list[list[float]] | None) -> _Lay:
    """ValueError, KeyError or TypeError when a level isn't of the common shape."""
    if not levels:
        return _NO_LAY
    if len(levels) > DEPTH_LIMIT:
        (p0, s0), (p1, s1), (p2, s2), (p3, s3) = levels[:4]
        price0 = _HUNDREDTHS[p0]
        size0 = s0 * 100.0 + INTEGER - INTEGER
        size1 = s1 * 100.0 + INTEGER - INTEGER
        size2 = s2 * 100.0 + INTEGER - INTEGER
        size3 = s3 * 100.0 + INTEGER - INTEGER
        if (
            size0 / 100.0 != s0
            or size1 / 100.0 != s1
            or size2 / 100.0 != s2
            or size3 / 100.0 != s3
            or not (size0 > 0.0 and size1 > 0.0 and size2 > 0.0 and size3 > 0.0)
            or s0 is True
            or s1 is True
            or s2 is True
            or s3 is True
        ):
            raise ValueError
        return (
            size0 + size1 + size2 + size3,
            price0 * size0 + _HUNDREDTHS[p1] * size1 + _HUNDREDTHS[p2] * size2 + _HUNDREDTHS[p3] * size3,
            price0 / 100.0,
            size0 / 100.0,
        )
    stake = volume = 0.0
    for price, size in levels:
        price_n, size_n = _level(price, size)
        stake += size_n
        volume += price_n * size_n
    best, best_size = levels[0]
    return stake, volume, float(best), float(best_size)


def _level(price: float, size: float) -> tuple[float, float]:
    """Price and size in hundredths."""
    size_n = size * 100.0 + INTEGER - INTEGER
    if size_n / 100.0 != size or not size_n > 0.0 or size is True:
        raise ValueError
    return _HUNDREDTHS[price], size_n
