"""The 52 figures of a unit's snapshots, as array expressions over their ladders (betfair spec, section 5)."""

import numpy as np
import numpy.typing as npt

from processors.betfair.hundredths import BACK, LAY, Array, exact_inputs
from processors.betfair.ladders import Ladders
from schemas.betfair.tables import PER_ROLE

_ONE, _OTHER = [1, 0, 0], [2, 2, 1]
"""For each role the other two, in the order of the sums."""


def metrics(ladders: Ladders) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Figures of shape (52, snapshot), in the order of schemas.betfair.METRICS, NaN for NULL; and where they are sure.

    A sure snapshot's figures have the bits of the general reading; elsewhere they are any numbers.
    """
    with np.errstate(all="ignore"):
        return _metrics(ladders)


def _metrics(ladders: Ladders) -> tuple[Array, npt.NDArray[np.bool_]]:
    valid = (ladders.price > 1.0) & (ladders.size > 0.0)
    price, size = np.where(valid, ladders.price, 1.0), np.where(valid, ladders.size, 0.0)
    shown_price, shown_size = np.where(valid, price, np.nan), np.where(valid, size, np.nan)

    # Plain folds: the order of float sums is part of the formula.
    back_size = size[:, BACK]
    back_win = back_size * (price[:, BACK] - 1.0)
    win = back_win[0] + back_win[1] + back_win[2]
    backed = back_size[0] + back_size[1] + back_size[2]
    inputs = exact_inputs(price, size)
    best_back, best_lay = ladders.price[0]
    figures = {
        "risk": win - (win[_ONE] + win[_OTHER]),
        "impedance": inputs.impedance,
        "impedance_norm": inputs.norm,
        "book_risk_l3": win - (backed[_ONE] + backed[_OTHER]),
        "back_stake": inputs.stake[BACK],
        "back_odds": inputs.odds[BACK],
        "lay_stake": inputs.stake[LAY],
        "lay_odds": inputs.odds[LAY],
        "best_back": best_back,
        "best_lay": best_lay,
        "spread": best_lay - best_back,
        "best_back_size_l1": shown_size[0, BACK],
        "best_lay_size_l1": shown_size[0, LAY],
        "back_odds_l2": shown_price[1, BACK],
        "back_size_l2": shown_size[1, BACK],
        "back_odds_l3": shown_price[2, BACK],
        "back_size_l3": shown_size[2, BACK],
    }
    by_role = np.stack([figures[name] for name in PER_ROLE], axis=1)
    sure = inputs.sure & np.isfinite(figures["spread"]).all(0) & np.isfinite(ladders.total_volume)
    return np.concatenate((*by_role, [ladders.total_volume])), sure
