"""Random payloads for the processor: everyday books, and books made to break it."""

import json
from random import Random
from typing import Any

from schemas.betfair.tables import TICKS

IDS = {"home": 11, "away": 22, "draw": 33}
ODD_TEXTS = ("2.5", " 2.5 ", "1.2e2", "nan", "inf", "-inf", "abc", "", "1_0", "1e400", "0x10", "３.5")
ODD_NUMBERS = (
    *(0, 1, 2, 3, -1, 1.0, 0.0, -0.0, 1e-9, 1e-320, 0.001, 1.005, 1.01, 2.675, 1e6, 1e15, 1e22, 1e100, 1e300),
    *(2**53 + 1, 2**63, 2**64, 2**64 + 1, -(2**63) - 1, 10**25 + 1, 10**400),
    *(1.0000000000000002, 0.1 + 0.2, 4.35, 1e16, 123456789.12, 40000000.0, 40000000.01, 1000.0, 1000.01),
)
ODD_VALUES: tuple[Any, ...] = (*ODD_TEXTS, *ODD_NUMBERS, None, True, False, [], {}, [1], float("nan"), float("inf"))


def everyday(random: Random) -> list[list[float]]:
    depth = random.choice((0, 1, 2, 3, 3, 4, 10, 10, 10))
    at = random.randrange(len(TICKS) - 10)
    largest = random.choice((100, 10_000, 1_000_000))
    return [[price, random.randint(1, largest) / 100] for price in TICKS[at : at + depth]]


def near_tie(random: Random) -> list[list[float]]:
    """One price, so the odds are that price but for the 1e-9: halves of the last decimal come from round stakes."""
    price = random.choice((5.0, 15.0, 2.5, 7.5, 1.01, 1.05, 25.0, 50.0, 1000.0, random.choice(TICKS)))
    if random.random() < 0.5:
        return [[price, random.choice((0.01, 0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 4.0, 20 * price, 10 * price))]]
    size = random.choice((0.01, 0.5, 1.0, 100.0, 12345.67, 999999.99, 9999999.99, 10000000.0))
    return [[price, size] for _ in range(random.randint(1, 4))]


def large(random: Random) -> list[list[float]]:
    depth = random.randint(1, 5)
    return [[random.choice(TICKS[-40:]), random.randint(10**7, 10**11) / 100] for _ in range(depth)]


def fractions(random: Random) -> list[list[Any]]:
    """Prices off the tick ladder, sizes of more than two decimals, integers."""
    return [
        [
            random.choice((round(random.uniform(0.9, 30), random.randint(0, 6)), random.randint(0, 12))),
            random.choice((round(random.uniform(0, 500), random.randint(0, 6)), random.randint(0, 500))),
        ]
        for _ in range(random.randint(0, 6))
    ]


def odd(random: Random) -> list[Any]:
    def value() -> Any:
        if random.random() < 0.6:
            return random.choice((*TICKS[::40], 3.55, 120.5))
        return random.choice(ODD_VALUES)

    def level() -> Any:
        shape = random.random()
        if shape < 0.5:
            return [value(), value()]
        if shape < 0.65:
            return {"price": value(), "size": value()}
        if shape < 0.75:
            return {"Price": value(), "Size": value(), "price": random.choice((None, 0, 2.2))}
        if shape < 0.85:
            return [value(), value(), value()]
        return random.choice((None, [], [value()], "ab", 3, True, {}, {"price": 2.0}))

    return [level() for _ in range(random.randint(0, 6))]


LADDERS = (everyday, everyday, near_tie, large, fractions, odd)


def runner(random: Random, identifier: Any, kinds: tuple[Any, ...]) -> dict[str, Any]:
    entry: dict[str, Any] = {random.choice(("selectionId",) * 9 + ("selection_id",)): identifier}
    ex: dict[str, Any] = {}
    for side in ("availableToBack", "availableToLay"):
        if random.random() < 0.95:
            ex[side] = random.choice(kinds)(random) if random.random() < 0.93 else random.choice((None, []))
    if random.random() < 0.98:
        entry["ex"] = ex
    if random.random() < 0.3:
        entry[random.choice(("totalMatched", "total_matched"))] = random.choice((1.5, 7, "3.25", 0, None, *ODD_VALUES))
    return entry


def payload(random: Random) -> dict[str, Any]:
    """A payload for the roles of IDS; some have duplicates, extra runners, entries without an id."""
    kinds = (random.choice(LADDERS),) if random.random() < 0.6 else LADDERS
    entries: list[Any] = [runner(random, identifier, kinds) for identifier in IDS.values()]
    random.shuffle(entries)
    while random.random() < 0.2:
        identifier = random.choice((11, 22.0, 33, 44, 5, "11", "x", True, 0, None, "", [1], 1e30, 2**70, -4))
        entries.insert(random.randrange(len(entries) + 1), runner(random, identifier, kinds))
    if random.random() < 0.03:
        nothings: tuple[Any, ...] = (None, 3, "text", [])
        entries.append(random.choice(nothings))
    if random.random() < 0.03:
        del entries[0]
    made: dict[str, Any] = {"marketId": "1.1", "runners": entries}
    if random.random() < 0.7:
        made["totalMatched"] = random.choice((1234.56, 0, 0.0, 12, None, *ODD_VALUES))
    return made


def line(raw_payload: Any, ids: Any = IDS, snapshot_id: Any = 7) -> bytes:
    """An input line, by the standard library's writer: it writes NaN and integers of any size."""
    at = "2026-02-06T12:00:21.828413+00:00"
    row = {"snapshot_id": snapshot_id, "snapshot_at": at, "market_id": "1.253420693"}
    return json.dumps(row | {"raw_payload": raw_payload, "selection_ids": ids}).encode()
