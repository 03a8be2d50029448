"""How far numbers are apart: as decimals say it, however many are counted at once."""

import math
from collections import Counter
from decimal import Decimal, localcontext

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from sinks.distances import Distances, Pairs, Sketch, Tolerance

FLOATS = st.one_of(
    st.floats(width=64, allow_nan=False, allow_infinity=False),
    st.integers(-1000, 1000).map(lambda whole: whole / 100),
    st.sampled_from(
        [0.0, 1.0, 1.0000000000000002, 0.1, 0.30000000000000004, 0.3, 1e308, -1e308, 5e-324, 999.9999999999999]
    ),
)
PAIRS = st.lists(st.tuples(FLOATS, FLOATS).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=20)


def texts(numbers: list[float]) -> pa.Array:
    return pa.array([repr(number) for number in numbers], pa.string())


def added(pairs: list[tuple[float, float]], pieces: int = 1) -> Distances:
    """Pairs counted in so many pieces; the key of each is its place."""
    found = Distances()
    for start in range(0, len(pairs), size := -(-len(pairs) // pieces)):
        part = pairs[start : start + size]
        one, other = (texts([pair[side] for pair in part]) for side in (0, 1))
        found.add(Pairs(one, other), lambda at, start=start: (str(start + at),))  # type: ignore[misc]
    return found


@given(pairs=PAIRS, pieces=st.integers(1, 4))
def test_all_is_as_decimals_say(pairs: list[tuple[float, float]], pieces: int) -> None:
    found = added(pairs, pieces)
    with localcontext() as context:
        context.prec = 700
        apart = [Decimal(repr(one)) - Decimal(repr(other)) for one, other in pairs]
        sizes = [max(abs(Decimal(repr(one))), abs(Decimal(repr(other)))) for one, other in pairs]
        assert found.spread == Counter((int(math.copysign(1, one)), one.adjusted()) for one in apart)
        far = [abs(one) for one in apart]
        place = far.index(max(far))
        assert found.largest("absolute") == (float(far[place]), (str(place),))
        context.prec = 40
        shares = [one / size for one, size in zip(far, sizes, strict=True)]
        # Shares that are one double are as large as each other.
        largest = found.largest("relative")
        assert largest is not None
        assert largest.difference == float(max(shares)) == float(shares[int(largest.key[0])])


@given(
    pairs=PAIRS, absolute=st.sampled_from(["0", "0.1", "1e-16", "3"]), relative=st.sampled_from(["0", "0.5", "1e-15"])
)
def test_what_is_within_a_tolerance_is_as_decimals_say(
    pairs: list[tuple[float, float]], absolute: str, relative: str
) -> None:
    tolerance = Tolerance(Decimal(absolute), Decimal(relative))
    found = Pairs(*(texts([pair[side] for pair in pairs]) for side in (0, 1))).within(tolerance)
    with localcontext() as context:
        context.prec = 700
        for within, pair in zip(found.tolist(), pairs, strict=True):
            one, other = (Decimal(repr(number)) for number in pair)
            limit = max(tolerance.absolute, tolerance.relative * max(abs(one), abs(other)))
            assert within == (abs(one - other) <= limit), pair


def test_what_is_no_number_or_endless_is_counted_apart() -> None:
    found = added(
        [(math.nan, 1.0), (1.0, math.nan), (math.inf, 1.0), (1.0, math.inf), (-math.inf, math.inf), (2.0, 1.0)]
    )
    assert found.spread == {(0, None): 2, (1, None): 1, (-1, None): 2, (1, 0): 1}
    assert found.largest("absolute") == (math.inf, ("2",))
    assert found.largest("relative") == (0.5, ("5",))


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=60))
def test_quantiles_are_within_a_hundredth(numbers: list[float]) -> None:
    sketch = Sketch()
    for half in np.array_split(np.array(numbers), 2):
        sketch.add(half)
    ordered = sorted(numbers)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        exact = ordered[int(share * (len(ordered) - 1))]
        assert math.isclose(sketch.quantiles()[name], exact, rel_tol=0.0101), name
