"""How far numbers of two sides are apart, column by column, in constant memory.

Numbers come as Postgres writes them, as text. They are subtracted as doubles, all of a piece at once; where what is
asked for hangs on less than these are sure of (a power of ten, the largest, a tolerance), the decimals are: a
difference of doubles may be off by more than itself, or overflow.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

NUMBERS = ("float4", "float8", "numeric", "int2", "int4", "int8")
QUANTILES = (0.5, 0.9, 0.99)

# Enough for every digit of two doubles; a share is cut to what a double holds anyway.
_EXACT = Context(prec=200_000, Emax=999_999, Emin=-999_999, traps=[])
_SHARE = Context(prec=40, Emax=999_999, Emin=-999_999, traps=[])

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Tolerance(NamedTuple):
    """Numbers that are at most so far apart, or by at most such a share of the larger one, count as equal."""

    absolute: Decimal = Decimal(0)
    relative: Decimal = Decimal(0)


class Largest(NamedTuple):
    """The largest difference of a column, and the row that has it, its key as text."""

    difference: float
    key: tuple[str, ...]


class Sketch:
    """Quantiles of positive numbers to within 1 %: counts by buckets of which each ends 2 % above the one before.

    Source: Masson, Rim and Lee, DDSketch, VLDB 2019.
    """

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._log = math.log(1.02)

    def add(self, numbers: Doubles) -> None:
        """Take in numbers; those that are none, or endless, or 0, are left out."""
        kept = numbers[np.isfinite(numbers) & (numbers > 0)]
        buckets, counts = np.unique(np.ceil(np.log(kept) / self._log).astype(np.int64), return_counts=True)
        self._counts.update(dict(zip(buckets.tolist(), counts.tolist(), strict=True)))

    def quantiles(self) -> dict[str, float]:
        """By their names, such as p50; none where there is no number."""
        whole, found, seen = self._counts.total(), dict[str, float](), 0
        wanted = [(f"p{100 * share:g}", share * (whole - 1)) for share in QUANTILES]
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            while wanted and seen > wanted[0][1]:
                found[wanted.pop(0)[0]] = 2 * math.exp(bucket * self._log) / 2.02
        return found


class Pairs:
    """Numbers of rows that both sides have, and that differ: what doubles know of how far they are apart."""

    def __init__(self, one: pa.Array, other: pa.Array) -> None:
        self._texts = (one, other)
        self.one, self.other = (np.asarray(pc.cast(side, pa.float64())) for side in (one, other))
        with np.errstate(all="ignore"):
            self.apart = self.one - self.other
            self.size = np.maximum(np.abs(self.one), np.abs(self.other))
            self.off = 2 * np.spacing(self.size) + np.spacing(np.abs(self.apart))
            self.share = np.abs(self.apart) / self.size
            self.share_off = self.off / self.size + 4 * np.spacing(self.share)
        # What is held against nothing is all of it.
        whole = (self.one == 0) | (self.other == 0)
        self.share_off[whole & (self.share == 1)] = 0
        self.odd: Flags = ~np.isfinite(self.off)

    def exact(self, which: Flags) -> Iterator[tuple[int, Decimal, Decimal]]:
        """Of some pairs: the place, the difference, the larger one's size, as decimals; NaN counts as the larger."""
        places = np.flatnonzero(which)
        one, other = (side.take(pa.array(places)).to_pylist() for side in self._texts)
        for at, here, there in zip(places.tolist(), map(Decimal, one), map(Decimal, other), strict=True):
            size, less = here.copy_abs(), there.copy_abs()
            if not here.is_nan() and (there.is_nan() or less > size):
                size = less
            yield at, _EXACT.subtract(here, there), size

    def within(self, tolerance: Tolerance) -> Flags:
        """Which pairs are no further apart than that."""
        absolute, relative = (float(one) for one in tolerance)
        with np.errstate(all="ignore"):
            far, limit = np.abs(self.apart), relative * self.size
            slack = self.off + np.spacing(absolute)
            found: Flags = (far + slack < absolute) | (self.share + self.share_off < relative * (1 - 1e-15))
            sure = found | ((far - slack > absolute) & (far - self.off > limit * (1 + 1e-15)))
        for at, apart, size in self.exact(~sure | self.odd):
            far_exact = apart.copy_abs()
            found[at] = apart.is_finite() and (
                far_exact <= tolerance.absolute or far_exact <= _EXACT.multiply(tolerance.relative, size)
            )
        return found


@dataclass(slots=True)
class Distances:
    """How far the numbers of a column are apart, of all pieces that were added.

    `spread` counts rows by the sign of one less the other and the power of ten of its size, such as (-1, -3) for one
    that is lower by 0.001 to 0.01; None where that is no number.
    """

    spread: Counter[tuple[int, int | None]] = field(default_factory=Counter)
    sizes: Sketch = field(default_factory=Sketch)
    shares: Sketch = field(default_factory=Sketch)
    _farthest: dict[str, tuple[Decimal, tuple[str, ...]]] = field(default_factory=dict)

    def add(self, pairs: Pairs, key: Callable[[int], tuple[str, ...]]) -> None:
        """Take in pairs that differ, in the order of their keys; `key` gives that of one, as text."""
        far = np.abs(pairs.apart)
        with np.errstate(all="ignore"):
            low = np.floor(np.log10(far - pairs.off) - 1e-12)
            high = np.floor(np.log10(far + pairs.off) + 1e-12)
        sure = (low == high) & (far > pairs.off) & ~pairs.odd
        signs = np.sign(pairs.apart[sure]).astype(np.int64)
        kinds, counts = np.unique(np.column_stack([signs, low[sure].astype(np.int64)]), axis=0, return_counts=True)
        for (sign, power), count in zip(kinds.tolist(), counts.tolist(), strict=True):
            self.spread[sign, power] += count
        for _, apart, _ in pairs.exact(~sure):
            if apart.is_nan():
                self.spread[0, None] += 1
            else:
                sign = (apart > 0) - (apart < 0)
                self.spread[sign, apart.adjusted() if apart.is_finite() and sign else None] += 1
        self.sizes.add(far)
        self.shares.add(pairs.share)
        self._farther("absolute", pairs, far, pairs.off, key)
        self._farther("relative", pairs, pairs.share, pairs.share_off, key)

    def _farther(
        self, what: str, pairs: Pairs, sizes: Doubles, off: Doubles, key: Callable[[int], tuple[str, ...]]
    ) -> None:
        """Find what is larger than the largest so far: by doubles what may be, by decimals what is."""
        known = what in self._farthest
        least = float(self._farthest[what][0]) if known else -1.0
        finite = ~pairs.odd
        if finite.any():
            least = max(least, float(np.max((sizes - off)[finite])))
        with np.errstate(all="ignore"):
            reach = sizes + off
        may = reach >= least * (1 - 1e-15) if off.any() else reach >= least
        if known:
            # One that is sure to be as large, and no larger, comes later.
            may &= ~((off == 0) & (sizes == float(self._farthest[what][0])))
        for at, apart, size in pairs.exact(may | pairs.odd):
            found = apart.copy_abs()
            if what == "relative":
                if not size.is_finite() or not size:
                    continue
                found = _SHARE.divide(found, size)
            if not found.is_nan() and (what not in self._farthest or found > self._farthest[what][0]):
                self._farthest[what] = found, key(at)

    def largest(self, what: str) -> Largest | None:
        """The largest difference, "absolute" or "relative" to the larger of both; None where no numbers differ.

        Of several that are as large it is that of the first key.
        """
        if what not in self._farthest:
            return None
        found, key = self._farthest[what]
        return Largest(float(found), key)
