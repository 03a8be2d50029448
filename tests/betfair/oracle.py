"""The betfair formulas once more, as plainly as the spec says them: slow, naive, nothing shared with the processor.

Input is a payload as the standard library's json reads it.
"""

import json
import math
from decimal import ROUND_HALF_UP, Context, Decimal, localcontext
from typing import Any

ROLES = ("home", "away", "draw")


def f(x: Any) -> float:
    if x is None:
        return 0.0
    try:
        y = float(x)
    except Exception:
        return 0.0
    return y if math.isfinite(y) else 0.0


def d(x: Any) -> Decimal:
    if x is None:
        return Decimal(0)
    try:
        y = Decimal(str(x))
    except Exception:
        return Decimal(0)
    return y if y.is_finite() else Decimal(0)


def fold(numbers: list[float]) -> float:
    total = 0.0
    for number in numbers:
        total = total + number
    return total


def usable_id(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return None
    found = entry.get("selectionId")
    if not found:
        found = entry.get("selection_id")
    if not found or isinstance(found, list | dict):
        return None
    return found


def levels(entry: dict[str, Any], side: str) -> list[Any]:
    return (entry.get("ex") or {}).get(side) or []


def price_size(level: Any) -> tuple[Any, Any]:
    if isinstance(level, list) and len(level) >= 2:
        return level[0], level[1]
    if isinstance(level, dict):
        return level.get("price") or level.get("Price"), level.get("size") or level.get("Size")
    return 0, 0


def valid_floats(ladder: list[Any], depth: int) -> list[tuple[float, float]]:
    pairs = [(f(price), f(size)) for price, size in map(price_size, ladder[:depth])]
    return [(price, size) for price, size in pairs if price > 1 and size > 0]


def valid_decimals(ladder: list[Any], depth: int) -> list[tuple[Decimal, Decimal]]:
    pairs = [(d(price), d(size)) for price, size in map(price_size, ladder[:depth])]
    return [(price, size) for price, size in pairs if price > 1 and size > 0]


def liability(entry: dict[str, Any]) -> float:
    return fold([size * (price - 1.0) for price, size in valid_floats(levels(entry, "availableToBack"), 3)])


def backed(entry: dict[str, Any]) -> float:
    return fold([size for _, size in valid_floats(levels(entry, "availableToBack"), 3)])


def out(x: Decimal) -> float:
    y = float(x)
    return round(y, 8) if math.isfinite(y) else 0.0


def plain_sum(numbers: list[Decimal]) -> Decimal:
    total = Decimal(0)
    for number in numbers:
        total = total + number
    return total


def impedance(first: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, float]]:
    with localcontext(Context(prec=28, rounding=ROUND_HALF_UP)):
        order = sorted(first, key=str)
        bs: dict[Any, Decimal] = {}
        bo: dict[Any, Decimal] = {}
        ls: dict[Any, Decimal] = {}
        lo: dict[Any, Decimal] = {}
        for i in order:
            for side, stake, odds in (("availableToBack", bs, bo), ("availableToLay", ls, lo)):
                valid = valid_decimals(levels(first[i], side), 4)
                stake[i] = plain_sum([size for _, size in valid])
                odds[i] = Decimal(0)
                if stake[i] > 0:
                    odds[i] = plain_sum([p * s for p, s in valid]) / (stake[i] + Decimal("0.000000001"))
        total = plain_sum([bs[i] for i in order]) + plain_sum([ls[i] for i in order])
        found = {}
        for j in order:
            own = (lo[j] - 1) * ls[j] - (bo[j] - 1) * bs[j]
            others = plain_sum([bs[i] - ls[i] for i in order if i is not j])
            value = -(own + others) if total > 0 else Decimal(0)
            found[j] = {
                "impedance": out(value),
                "impedance_norm": out(value / total) if total > 0 else 0.0,
                "back_stake": out(bs[j]),
                "back_odds": out(bo[j]),
                "lay_stake": out(ls[j]),
                "lay_odds": out(lo[j]),
            }
        return found


def best(ladder: list[Any]) -> float:
    if not ladder:
        return 0.0
    if isinstance(ladder[0], list) and len(ladder[0]) == 1:
        return f(ladder[0][0])
    return f(price_size(ladder[0])[0])


def level_at(ladder: list[Any], place: int) -> tuple[float | None, float | None]:
    if place >= len(ladder):
        return None, None
    price, size = price_size(ladder[place])
    if f(price) > 1 and f(size) > 0:
        return f(price), f(size)
    return None, None


def total_volume(payload: dict[str, Any]) -> float:
    if payload.get("totalMatched") is not None:
        return f(payload["totalMatched"])
    entries = [entry for entry in payload["runners"] if isinstance(entry, dict)]
    return fold([f(entry.get("totalMatched") or entry.get("total_matched")) for entry in entries])


def metrics(payload: Any, ids: dict[str, Any] | None) -> str | dict[str, float | None]:
    """The 52 figures by name, or the reason of a skip."""
    if ids is None or any(ids.get(role) is None for role in ROLES):
        return "no_metadata"
    if isinstance(payload, str):
        payload = json.loads(payload)
    if payload is None or payload == {}:
        return "no_payload"
    entries = payload.get("runners")
    if not isinstance(entries, list) or len(entries) < 3:
        return "insufficient_runners"
    role_of = {ids["home"]: "home", ids["away"]: "away", ids["draw"]: "draw"}
    first: dict[Any, dict[str, Any]] = {}
    last: dict[str, dict[str, Any]] = {}
    for entry in entries:
        found = usable_id(entry)
        if found is None:
            continue
        if found not in first:
            first[found] = entry
        if found in role_of:
            last[role_of[found]] = entry
    if set(last) != set(ROLES):
        return "missing_role"
    imp = impedance(first)
    result: dict[str, float | None] = {}
    for role in ROLES:
        one, two = (other for other in ROLES if other != role)
        entry = last[role]
        back, lay = levels(entry, "availableToBack"), levels(entry, "availableToLay")
        result[f"{role}_risk"] = liability(entry) - (liability(last[one]) + liability(last[two]))
        result[f"{role}_book_risk_l3"] = liability(entry) - (backed(last[one]) + backed(last[two]))
        result |= {f"{role}_{name}": value for name, value in imp[ids[role]].items()}
        result[f"{role}_best_back"], result[f"{role}_best_lay"] = best(back), best(lay)
        result[f"{role}_spread"] = best(lay) - best(back)
        result[f"{role}_best_back_size_l1"] = level_at(back, 0)[1]
        result[f"{role}_best_lay_size_l1"] = level_at(lay, 0)[1]
        result[f"{role}_back_odds_l2"], result[f"{role}_back_size_l2"] = level_at(back, 1)
        result[f"{role}_back_odds_l3"], result[f"{role}_back_size_l3"] = level_at(back, 2)
    result["total_volume"] = total_volume(payload)
    return {name: None if value is not None and not math.isfinite(value) else value for name, value in result.items()}
