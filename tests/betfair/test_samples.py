from collections import Counter
from itertools import islice, pairwise

from processors.betfair.general import derive
from samples.betfair import sample as betfair_sample
from samples.betfair.synthetic import LEVELS, Synthetic
from schemas.betfair.tables import TICKS


def test_ticks_are_betfair_s() -> None:
    assert len(TICKS) == 350
    assert (TICKS[0], TICKS[-1]) == (1.01, 1000.0)
    assert all(low < high for low, high in pairwise(TICKS))
    assert {1.99, 2.0, 2.02, 3.05, 4.1, 6.2, 10.5, 21.0, 32.0, 55.0, 110.0, 990.0} <= set(TICKS)
    assert not {2.01, 3.02, 4.05, 101.0} & set(TICKS)


def test_the_same_seed_is_the_same_world() -> None:
    one, two, other = Synthetic(seed=4), Synthetic(seed=4), Synthetic(seed=5)
    assert list(one.metadata()) == list(two.metadata())
    assert list(one.snapshots(300)) == list(two.snapshots(300))
    assert list(one.snapshots(300)) != list(other.snapshots(300))
    assert list(islice(one.snapshots(10**9), 5)) == list(one.snapshots(5))


def test_books_are_full_and_orderly() -> None:
    world = Synthetic()
    seen = set()
    for snapshot in world.snapshots(500):
        seen.add((snapshot["market_id"], snapshot["snapshot_at"]))
        for runner in snapshot["raw_payload"]["runners"]:
            back = [price for price, _ in runner["ex"]["availableToBack"]]
            lay = [price for price, _ in runner["ex"]["availableToLay"]]
            assert len(back) == len(lay) == LEVELS
            assert back == sorted(back, reverse=True)
            assert lay == sorted(lay)
            assert back[0] < lay[0]
            assert {*back, *lay} <= set(TICKS)
            sizes = [size for side in ("availableToBack", "availableToLay") for _, size in runner["ex"][side]]
            assert all(size >= 2 and size == round(size, 2) for size in sizes)
    assert len(seen) == 500
    assert len({market for market, _ in seen}) == 105


def test_rows_have_the_shape_of_the_real_ones() -> None:
    world = Synthetic()
    assert next(world.metadata()).keys() == next(betfair_sample.metadata()).keys()
    made, real = next(world.snapshots(1)), next(betfair_sample.snapshots())
    assert made.keys() == real.keys()
    assert made["raw_payload"].keys() == real["raw_payload"].keys()
    assert made["raw_payload"]["runners"][0].keys() == real["raw_payload"]["runners"][0].keys()


def test_holes_come_in_the_shares_asked_for() -> None:
    world = Synthetic(removed_ladders=0.3, few_runners=0.2, missing_metadata=0.25)
    markets = {market["market_id"]: market for market in world.metadata()}
    skips: Counter[str | None] = Counter()
    ladders: Counter[bool] = Counter()
    for snapshot in world.snapshots(2000):
        skips[derive(betfair_sample.snapshot_line(snapshot, markets[snapshot["market_id"]])).skip] += 1
        for runner in snapshot["raw_payload"]["runners"]:
            ladders.update(not ladder for name, ladder in runner["ex"].items() if name != "tradedVolume")
    assert 0.25 < ladders[True] / ladders.total() < 0.35
    assert 0.10 < skips["no_metadata"] / 2000 < 0.40
    assert 0.15 < skips["insufficient_runners"] / (2000 - skips["no_metadata"]) < 0.25
    assert skips.keys() == {None, "no_metadata", "insufficient_runners"}


def test_the_real_sample_is_complete() -> None:
    assert sum(1 for _ in betfair_sample.metadata()) == 105
    assert sum(1 for _ in betfair_sample.snapshots()) == 2392
