"""Medians of the best back offer over 15 minutes, and what follows from them (betfair spec, section 10).

Pure functions over ticks of the best back level (side B, level 0). Times are aware datetimes, sizes are in the
market's currency.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.betfair.tables import ROLES

BUCKET = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Tick:
    """The best back offer from a moment on."""

    time: datetime
    odds: float
    size: float


@dataclass(frozen=True, slots=True)
class Medians:
    """One role's bucket. The two medians are independent of each other; None when nothing is known."""

    back_odds: float | None
    back_size: float | None
    seconds_covered: float
    update_count: int


@dataclass(frozen=True, slots=True)
class ImpedanceIndex:
    """How far the sizes on offer are from the odds' own shares: half the sum of the roles' distances, 0..1.

    It shares only its name with the impedance of a snapshot.
    """

    index: float
    roles: Mapping[str, float]


def medians(ticks: Sequence[Tick], start: datetime, now: datetime) -> Medians:
    """Medians weighted by time over the bucket that begins at `start`, up to `now` when it hasn't ended.

    `ticks` are ascending by time. The newest tick up to `start` holds from there; without one the first update does.
    """
    end = min(start + BUCKET, now)
    before = [tick for tick in ticks if tick.time <= start]
    updates = [tick for tick in ticks if start < tick.time <= end]
    steps = [*before[-1:], *updates]
    if not steps:
        return Medians(None, None, 0.0, 0)
    begins = [start, *(tick.time for tick in (updates if before else updates[1:]))]
    weights = [(until - since).total_seconds() for since, until in zip(begins, [*begins[1:], end], strict=True)]
    offers = list(zip(steps, weights, strict=True))
    share = _weighted_median((1.0 / tick.odds, weight) for tick, weight in offers if tick.odds > 0)
    covered = 0.0
    for weight in weights:
        covered += weight
    return Medians(
        None if share is None else 1.0 / share,
        _weighted_median((tick.size, weight) for tick, weight in offers),
        covered,
        len(updates),
    )


def _weighted_median(values: Iterable[tuple[float, float]]) -> float | None:
    """The first value, ascending, at which the running weight reaches half of the total."""
    ascending = sorted(values)
    total = 0.0
    for _, weight in ascending:
        total += weight
    running = 0.0
    for value, weight in ascending:
        running += weight
        if running >= total / 2:
            return value
    return None


def book_risks(roles: Mapping[str, Medians]) -> dict[str, float] | None:
    """Per role what the book loses if it wins: size × (odds − 1) less the other two sizes; None if any is unknown."""
    known = _known(roles)
    if known is None:
        return None
    found = {}
    for role, (odds, size) in known.items():
        first, second = (known[other][1] for other in ROLES if other != role)
        found[role] = size * (odds - 1) - (first + second)
    return found


def impedance_index(roles: Mapping[str, Medians]) -> ImpedanceIndex | None:
    """The bucket's impedance index; None when a median is unknown, odds aren't positive, or nothing is on offer."""
    known = _known(roles)
    if known is None or any(odds <= 0 for odds, _ in known.values()):
        return None
    shares = total = 0.0
    for odds, size in known.values():
        shares += 1.0 / odds
        total += size
    if total <= 0:
        return None
    distances = {role: abs(size / total - 1.0 / odds / shares) for role, (odds, size) in known.items()}
    index = 0.0
    for role in ROLES:
        index += distances[role]
    return ImpedanceIndex(index / 2, distances)


def _known(roles: Mapping[str, Medians]) -> dict[str, tuple[float, float]] | None:
    """(odds, size) per role, in their order; None unless all six are known."""
    found = {}
    for role in ROLES:
        one = roles.get(role)
        if one is None or one.back_odds is None or one.back_size is None:
            return None
        found[role] = (one.back_odds, one.back_size)
    return found
