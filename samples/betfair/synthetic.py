"""Made-up full-depth betfair data: as many market books as wanted, the same ones for the same seed."""

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from schemas.betfair.tables import DEPTH_LIMIT, TICKS

LEVELS = 10
_DRAW_ID = 58805
_FIRST_KICKOFF = datetime(2026, 3, 6, 12, 0, tzinfo=UTC)
_HOURS_AHEAD = 6
_ROUND = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class _Market:
    number: int
    market_id: str
    ids: tuple[int, int, int]
    chances: tuple[float, float, float]
    kickoff: datetime
    mapped: bool


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A seeded world of match-odds markets; dicts of the same shape as the rows of samples/betfair.

    Shares are of 0..1: `removed_ladders` of ladders that are empty, `few_runners` of snapshots with two runners only,
    `missing_metadata` of markets whose metadata row has no selection ids. Without them every book has both
    ladders of three runners, ten levels each.
    """

    seed: int = 1
    markets: int = 105
    removed_ladders: float = 0.0
    few_runners: float = 0.0
    missing_metadata: float = 0.0

    def metadata(self) -> Iterator[dict[str, Any]]:
        """One market_event_metadata row a market."""
        for market in self._markets():
            home, away = f"Home {market.number}", f"Away {market.number}"
            ids = market.ids if market.mapped else (None, None, None)
            yield {
                "market_id": market.market_id,
                "event_id": str(35_000_000 + market.number),
                "event_name": f"{home} v {away}",
                "event_open_date": market.kickoff.isoformat(),
                "market_name": "Match Odds",
                "home_selection_id": ids[0],
                "away_selection_id": ids[1],
                "draw_selection_id": ids[2],
                "home_runner_name": home,
                "away_runner_name": away,
                "draw_runner_name": "The Draw",
            }

    def snapshots(self, count: int) -> Iterator[dict[str, Any]]:
        """`count` market_book_snapshots rows in rounds of one a market, a minute between rounds; ids from 1."""
        markets = list(self._markets())
        random = Random(f"{self.seed}/snapshots")
        start = _FIRST_KICKOFF - timedelta(hours=_HOURS_AHEAD)
        for number in range(count):
            turn, place = divmod(number, len(markets))
            market = markets[place]
            # Markets of one round differ by some milliseconds, as a poller's answers do.
            at = start + turn * _ROUND + timedelta(milliseconds=37 * place)
            yield self._snapshot(random, market, number + 1, at)

    def _markets(self) -> Iterator[_Market]:
        random = Random(f"{self.seed}/markets")
        for number in range(self.markets):
            home, draw = random.uniform(0.1, 0.65), random.uniform(0.18, 0.3)
            yield _Market(
                number,
                f"1.{253_000_000 + 1_000 * number + random.randrange(1_000)}",
                (1_000_000 + 2 * number, 1_000_001 + 2 * number, _DRAW_ID),
                (home, max(1.0 - home - draw, 0.05), draw),
                _FIRST_KICKOFF + timedelta(minutes=15 * random.randrange(96)),
                random.random() >= self.missing_metadata,
            )

    def _snapshot(self, random: Random, market: _Market, snapshot_id: int, at: datetime) -> dict[str, Any]:
        inplay = at >= market.kickoff
        matched = random.randrange(10_000, 100_000_000) / 100
        runners = [
            {
                "selectionId": identifier,
                "handicap": 0.0,
                "status": "ACTIVE",
                "ex": self._ladders(random, chance),
            }
            for identifier, chance in zip(market.ids, market.chances, strict=True)
        ]
        if random.random() < self.few_runners:
            del runners[-1]
        return {
            "snapshot_id": snapshot_id,
            "snapshot_at": at.isoformat(),
            "market_id": market.market_id,
            "total_matched": matched,
            "inplay": inplay,
            "status": "OPEN",
            "depth_limit": DEPTH_LIMIT,
            "raw_payload": {
                "marketId": market.market_id,
                "status": "OPEN",
                "inplay": inplay,
                "numberOfRunners": len(runners),
                "totalMatched": matched,
                "runners": runners,
            },
        }

    def _ladders(self, random: Random, chance: float) -> dict[str, list[list[float]]]:
        """Ten levels either side of a price that wanders about the fair one; a gap of one to three ticks between."""
        fair = bisect_left(TICKS, random.uniform(0.9, 1.1) / chance)
        best = min(max(fair, LEVELS), len(TICKS) - LEVELS - 3)
        lay = best + random.randrange(1, 4)
        back_prices = TICKS[best - LEVELS + 1 : best + 1][::-1]
        return {
            "availableToBack": self._ladder(random, back_prices),
            "availableToLay": self._ladder(random, TICKS[lay : lay + LEVELS]),
            "tradedVolume": [],
        }

    def _ladder(self, random: Random, prices: tuple[float, ...]) -> list[list[float]]:
        if random.random() < self.removed_ladders:
            return []
        uniform = random.random
        # Most offers are small, some are large: the product of two uniform numbers.
        return [[price, int(200.0 + 250_000.0 * uniform() * uniform()) / 100] for price in prices]
