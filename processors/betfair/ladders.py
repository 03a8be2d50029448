"""The ladders of a unit's snapshots as arrays (betfair spec, sections 1 and 4)."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct, error

import numpy as np

from processors.betfair.book import Skipped, read_book, total_volume
from processors.betfair.coercion import Json
from processors.betfair.hundredths import Array
from processors.betfair.impedance import Level
from schemas.betfair.tables import IMPEDANCE_DEPTH, ROLES

_NUMBER = Struct("d")
_LADDER = 2 * IMPEDANCE_DEPTH * _NUMBER.size
_SNAPSHOT = len(ROLES) * 2 * _LADDER
_LEVEL = Struct("2d")
_ALL_LEVELS = Struct(f"{2 * IMPEDANCE_DEPTH}d")
_REFUSALS = (ValueError, TypeError, KeyError, AttributeError, IndexError, error)


class UnusualError(ValueError):
    """A payload of which an array of float64 can't say everything; the general reading can."""


@dataclass(frozen=True, slots=True)
class Ladders:
    """Prices and sizes of the first four levels as the payloads give them, in the order that they have there.

    Each is an array of shape (level, side, role, snapshot): (4, 2, 3, n). A level that isn't there is 0.0 at 0.0,
    which counts as much as nothing. `total_volume`, shape (n,), is that of section 5.2. Any number may be infinite.
    """

    price: Array
    size: Array
    total_volume: Array


class LadderCells:
    """Room for the ladders of a given number of snapshots, to be filled one by one."""

    def __init__(self, snapshots: int) -> None:
        self._cells = bytearray(snapshots * _SNAPSHOT)
        self._volumes = array("d", bytes(8 * snapshots))

    def ladders(self) -> Ladders:
        """What has been filled in; a snapshot that wasn't, or was refused, has any numbers."""
        cells = np.frombuffer(self._cells).reshape(-1, len(ROLES), 2, IMPEDANCE_DEPTH, 2)
        price, size = np.ascontiguousarray(cells.transpose(4, 3, 2, 1, 0))
        return Ladders(price, size, np.frombuffer(self._volumes))

    def fill(self, place: int, payload: Json, selection_ids: Json) -> None:
        """The ladders and volume of a snapshot as orjson reads it: three runners, each with a role of its own.

        UnusualError for everything else: what is to be skipped, is an error, has other runners, or has a number that
        isn't a JSON number. A number that orjson reads differently from the standard library never passes here.
        """
        try:
            volume = self._fill_pairs(place * _SNAPSHOT, payload, selection_ids)
        except _REFUSALS:
            volume = self._fill_any(place * _SNAPSHOT, payload, selection_ids)
        self._volumes[place] = volume

    def _fill_pairs(self, at: int, payload: Json, selection_ids: Json) -> float:
        """The quick way: levels are pairs, ids stand under `selectionId`. The total volume; any of _REFUSALS."""
        first, second, third = entries = payload["runners"]
        one, two, three = first["selectionId"], second["selectionId"], third["selectionId"]
        home, away, draw = selection_ids["home"], selection_ids["away"], selection_ids["draw"]
        # orjson makes floats of integers beyond 64 bit, so ids that are floats may be others than they look.
        if not type(one) is type(two) is type(three) is type(home) is type(away) is type(draw) is int:
            raise UnusualError
        # An id of 0 means that `selection_id` counts instead.
        books = {one: first["ex"], two: second["ex"], three: third["ex"], 0: None}
        cells, pack = self._cells, _ALL_LEVELS.pack_into
        for ex in (books.pop(home), books.pop(away), books.pop(draw)):
            for ladder in (ex["availableToBack"], ex["availableToLay"]):
                if len(ladder) >= IMPEDANCE_DEPTH:
                    # As _fill_levels does it, unrolled: this runs six times a snapshot.
                    p0, s0 = ladder[0]
                    p1, s1 = ladder[1]
                    p2, s2 = ladder[2]
                    p3, s3 = ladder[3]
                    if s0 is True or s1 is True or s2 is True or s3 is True:
                        raise UnusualError
                    pack(cells, at, p0, s0, p1, s1, p2, s2, p3, s3)
                elif ladder:
                    self._fill_levels(at, ladder)
                at += _LADDER
        stated = payload.get("totalMatched")
        return stated if type(stated) is float else total_volume(payload, entries)

    def _fill_any(self, at: int, payload: Json, selection_ids: Json) -> float:
        """The way for levels and ids of any shape. The total volume."""
        self._cells[at : at + _SNAPSHOT] = bytes(_SNAPSHOT)
        try:
            book = read_book(payload, selection_ids)
            if len(book.runners) != len(ROLES):
                raise UnusualError
            runners = {runner.id: runner for runner in book.runners}
            if not {int}.issuperset(map(type, (*runners, *book.roles))):
                raise UnusualError
            for role in book.roles:
                runner = runners[role]
                for levels, best in ((runner.back, runner.best_back), (runner.lay, runner.best_lay)):
                    self._fill_levels(at, levels)
                    # The best price of a level that is [price] alone counts, the level doesn't.
                    _NUMBER.pack_into(self._cells, at, best)
                    at += _LADDER
        except (*_REFUSALS, Skipped, OverflowError, RecursionError) as error:
            raise UnusualError from error
        return book.total_volume

    def _fill_levels(self, at: int, levels: Sequence[Level]) -> None:
        for price, size in levels:
            # To the float formulas it is 1, to the Decimal ones nothing.
            if size is True:
                raise UnusualError
            _LEVEL.pack_into(self._cells, at, price, size)
            at += _LEVEL.size
