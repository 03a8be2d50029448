"""A market book read from a payload of any shape: levels, runners, roles, skips (betfair spec, sections 1, 4, 5.6)."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from processors.betfair.coercion import Json, to_float
from processors.betfair.impedance import Level
from schemas.betfair.tables import IMPEDANCE_DEPTH, ROLES
from schemas.payload import read_json

_NOTHING: Level = (0, 0)


class Skipped(Exception):  # noqa: N818 -- a skip is an answer, no error
    """The snapshot can't give a row, and that is no fault: `reason` is a word of section 5.6."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner with a usable id: at most four levels a side as the payload gives them, and both best prices."""

    id: Hashable
    back: list[Level]
    lay: list[Level]
    best_back: float
    best_lay: float


@dataclass(frozen=True, slots=True)
class Book:
    """A payload's runners in its order, duplicates included, the ids of home, away, draw, and the traded volume."""

    runners: list[Runner]
    roles: tuple[Hashable, Hashable, Hashable]
    total_volume: float


def read_book(raw_payload: Json, selection_ids: Json) -> Book:
    """The book of a snapshot.

    `raw_payload` is the payload's JSON value, or its text as JSON; `selection_ids` maps role to selection id.
    Raises Skipped, checked in the order metadata, payload, runners, role; ValueError for what can't be read.
    """
    roles = _role_ids(selection_ids)
    payload = _parsed(raw_payload) if isinstance(raw_payload, str) else raw_payload
    if payload is None or payload == {}:
        raise Skipped("no_payload")
    if not isinstance(payload, dict):
        raise ValueError(f"the payload is {_kind(payload)}, not an object")
    entries = payload.get("runners")
    if not isinstance(entries, list) or len(entries) < len(ROLES):
        raise Skipped("insufficient_runners")
    named = [(identifier, entry) for entry in entries if (identifier := usable_id(entry)) is not None]
    # One id for two roles leaves a role without a runner.
    if len(set(roles)) < len(ROLES) or not {identifier for identifier, _ in named}.issuperset(roles):
        raise Skipped("missing_role")
    runners = [_runner(identifier, entry) for identifier, entry in named]
    return Book(runners, roles, total_volume(payload, entries))


def _parsed(text: str) -> Json:
    try:
        return read_json(text)
    except ValueError as error:
        raise ValueError(f"raw_payload is text: {error}") from None


def total_volume(payload: dict[str, Any], entries: Sequence[Any]) -> float:
    """Matched volume of the market, or the fold over every entry of `runners` (section 5.2)."""
    stated = payload.get("totalMatched")
    if stated is not None:
        return to_float(stated)
    total = 0.0
    for entry in entries:
        if isinstance(entry, dict):
            total += to_float(entry.get("totalMatched") or entry.get("total_matched"))
    return total


def _role_ids(selection_ids: Json) -> tuple[Hashable, Hashable, Hashable]:
    if selection_ids is None:
        raise Skipped("no_metadata")
    if not isinstance(selection_ids, dict):
        raise ValueError(f"selection_ids is {_kind(selection_ids)}, not an object")
    home, away, draw = (selection_ids.get(role) for role in ROLES)
    if home is None or away is None or draw is None:
        raise Skipped("no_metadata")
    for role, identifier in zip(ROLES, (home, away, draw), strict=True):
        if not isinstance(identifier, Hashable):
            raise ValueError(f"the selection id of {role} is {_kind(identifier)}")
    return home, away, draw


def usable_id(entry: Json) -> Hashable | None:
    """None when the entry has no usable id: missing, falsy, or nothing that can be compared as an id."""
    if not isinstance(entry, dict):
        return None
    identifier = entry.get("selectionId") or entry.get("selection_id")
    return identifier if identifier and isinstance(identifier, Hashable) else None


def _runner(identifier: Hashable, entry: dict[str, Any]) -> Runner:
    ex = entry.get("ex") or {}
    if not isinstance(ex, dict):
        raise ValueError(f"ex of selection {identifier!r} is {_kind(ex)}, not an object")
    back, lay = _ladder(ex, "availableToBack", identifier), _ladder(ex, "availableToLay", identifier)
    return Runner(
        identifier,
        [_level(level) for level in back[:IMPEDANCE_DEPTH]],
        [_level(level) for level in lay[:IMPEDANCE_DEPTH]],
        _best_price(back),
        _best_price(lay),
    )


def _ladder(ex: dict[str, Any], name: str, identifier: Hashable) -> list[Any]:
    ladder = ex.get(name) or []
    if not isinstance(ladder, list):
        raise ValueError(f"{name} of selection {identifier!r} is {_kind(ladder)}, not a list")
    return ladder


def _level(level: Json) -> Level:
    if isinstance(level, list):
        return (level[0], level[1]) if len(level) > 1 else _NOTHING
    if isinstance(level, dict):
        return level.get("price") or level.get("Price"), level.get("size") or level.get("Size")
    return _NOTHING


def _best_price(ladder: list[Any]) -> float:
    """Price of level 0 as it is, even of a list of one item; 0.0 without a level (section 5.5)."""
    if not ladder:
        return 0.0
    best = ladder[0]
    if isinstance(best, list) and len(best) == 1:
        return to_float(best[0])
    return to_float(_level(best)[0])


def _kind(value: Json) -> str:
    """What a person calls a JSON value of that type."""
    if isinstance(value, bool):
        return "true or false"
    kinds = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return kinds.get(type(value), "null")
