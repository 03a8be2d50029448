"""Which levels and figures of a snapshot a derived value was computed from (betfair spec, section 5). Pure."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from processors.betfair.book import Book, Runner, Skipped, read_book, usable_id
from processors.betfair.general import shown_level
from processors.betfair.impedance import valid_levels
from processors.betfair.snapshot import NotJsonError, read_line, readable_id, told
from processors.rebuilding import rebuilt
from schemas.betfair.tables import CALCULATION_VERSION, DEPTH_LIMIT, IMPEDANCE_DEPTH, METRICS, ROLES, SKIPS
from schemas.payload import read_json
from schemas.provenance import Input, Traced, Wanted

_SIDES = ("availableToBack", "availableToLay")
_BACK, _LAY = _SIDES
_IDENTITY = ("snapshot_id", "snapshot_at", "market_id")
_DECIDES = {"no_metadata": "selection_ids", "missing_role": "selection_ids", "no_payload": "raw_payload"}
_DECIDES |= {"insufficient_runners": "raw_payload"}
_ALL_RUNNERS = ("impedance", "impedance_norm")
_OWN_STAKES = {"back_stake": _BACK, "back_odds": _BACK, "lay_stake": _LAY, "lay_odds": _LAY}
_SHOWN = {
    "best_back_size_l1": (_BACK, 0),
    "best_lay_size_l1": (_LAY, 0),
    "back_odds_l2": (_BACK, 1),
    "back_size_l2": (_BACK, 1),
    "back_odds_l3": (_BACK, 2),
    "back_size_l3": (_BACK, 2),
}
_BEST = {"best_back": (_BACK,), "best_lay": (_LAY,), "spread": _SIDES}


def trace(value: bytes, wanted: Wanted) -> Traced | None:
    """The inputs of one column of a snapshot's row; None when no line of the unit is that snapshot."""
    key = wanted.key["snapshot_id"]
    for number, line in enumerate(value.split(b"\n"), start=1):
        # Most lines are other snapshots': they needn't be parsed.
        if str(key).encode() not in line:
            continue
        try:
            row = read_line(line)
        except NotJsonError:
            continue
        if readable_id(row) == key:
            inputs, reason = _traced(row, wanted.column)
            placed = tuple(Input(one.path, one.value, one.used, one.note, number) for one in inputs)
            # As the standard library writes it: NaN and integers of any size are payloads, too.
            record = b"\n".join(json.dumps(each).encode() for each in rebuilt(placed).values())
            return Traced(placed, record, reason)
    return None


def _traced(row: dict[str, Any], column: str) -> tuple[list[Input], str]:
    inputs = [Input(name, row[name], note="which snapshot it is") for name in _IDENTITY if name in row]
    try:
        book = read_book(row.get("raw_payload"), row.get("selection_ids"))
    except Skipped as skipped:
        why = SKIPS[skipped.reason]
        inputs += [
            Input(name, row.get(name), note=why if name == _DECIDES[skipped.reason] else "")
            for name in ("selection_ids", "raw_payload")
        ]
        return inputs, f"skipped: {skipped.reason}: {why}"
    except Exception as error:
        return [*inputs, Input("raw_payload", row.get("raw_payload"), note=told(error))], told(error)
    payload = row["raw_payload"]
    found = _Found(book, read_json(payload) if isinstance(payload, str) else payload)
    ids = row["selection_ids"]
    inputs += [Input(f"selection_ids.{role}", ids[role], note=f"which runner is {role}") for role in ROLES]
    inputs += found.roles()
    if column in METRICS:
        inputs += found.total() if column == "total_volume" else found.of_role(*_role_of(column))
    elif column == "calculation_version":
        inputs.append(Input("", CALCULATION_VERSION, used=False, note="a constant of the formulas, said with any risk"))
    elif column == "depth_limit":
        inputs.append(Input("", DEPTH_LIMIT, used=False, note="a constant of the formulas"))
    return inputs, ""


def _role_of(column: str) -> tuple[int, str]:
    role, _, name = column.partition("_")
    return ROLES.index(role), name


@dataclass(frozen=True, slots=True)
class _Found:
    """A book and the payload that it was read from."""

    book: Book
    payload: dict[str, Any]

    @property
    def entries(self) -> list[Any]:
        found: list[Any] = self.payload["runners"]
        return found

    def roles(self) -> Iterator[Input]:
        """The entries that stand for home, away and draw: without them there is no row."""
        for at, entry in enumerate(self.entries):
            if usable_id(entry) in self.book.roles:
                yield self._id(at, entry)

    @staticmethod
    def _id(at: int, entry: dict[str, Any]) -> Input:
        name = "selectionId" if entry.get("selectionId") else "selection_id"
        return Input(f"raw_payload.runners[{at}].{name}", entry[name], note="which runner it is")

    def total(self) -> Iterator[Input]:
        """The market's own figure, or its runners'."""
        stated = self.payload.get("totalMatched")
        path = "raw_payload.totalMatched"
        if stated is not None:
            yield Input(path, stated, note="the market's own figure")
        else:
            yield Input(path, None, used=False, note="the payload doesn't say it: its runners' figures are added up")
        for at, entry in enumerate(self.entries):
            if isinstance(entry, dict):
                name = "totalMatched" if entry.get("totalMatched") else "total_matched"
                if name in entry:
                    used, note = stated is None, "" if stated is None else "the market's own figure comes before it"
                    yield Input(f"raw_payload.runners[{at}].{name}", entry[name], used, note)

    def of_role(self, role: int, name: str) -> Iterator[Input]:
        """The levels of one of the role's 17 figures."""
        own = self.book.roles[role]
        if name in _ALL_RUNNERS:
            yield from self._inputs_of_all()
        elif name in _OWN_STAKES:
            yield from self._ladder(self._first(own), _OWN_STAKES[name], range(IMPEDANCE_DEPTH), exact=True)
        elif name in _BEST:
            for side in _BEST[name]:
                yield from self._best(self._last(own), side)
        elif name in _SHOWN:
            side, place = _SHOWN[name]
            yield from self._ladder(self._last(own), side, range(place, place + 1))
        else:
            # risk and book_risk_l3: what each role would win, and for the others what was backed.
            for identifier in self.book.roles:
                yield from self._ladder(self._last(identifier), _BACK, range(DEPTH_LIMIT))

    def _inputs_of_all(self) -> Iterator[Input]:
        first: set[Any] = set()
        for at, entry in enumerate(self.entries):
            identifier = usable_id(entry)
            if identifier is None:
                note = "it has no usable selection id"
                yield Input(f"raw_payload.runners[{at}]", entry, used=False, note=note)
            elif identifier in first:
                note = "its selection stands before it already"
                yield Input(f"raw_payload.runners[{at}]", entry, used=False, note=note)
            else:
                first.add(identifier)
                if identifier not in self.book.roles:
                    yield self._id(at, entry)
                for side in _SIDES:
                    yield from self._ladder(at, side, range(IMPEDANCE_DEPTH), exact=True)

    def _first(self, identifier: Any) -> int:  # noqa: ANN401 - an id is any JSON scalar
        return min(self._places(identifier))

    def _last(self, identifier: Any) -> int:  # noqa: ANN401 - as above
        return max(self._places(identifier))

    def _places(self, identifier: Any) -> list[int]:  # noqa: ANN401 - as above
        return [at for at, entry in enumerate(self.entries) if usable_id(entry) == identifier]

    def _runner(self, at: int) -> Runner:
        """The runner as it was read: runners stand in the order of the entries that have a usable id."""
        return self.book.runners[sum(usable_id(entry) is not None for entry in self.entries[:at])]

    def _levels(self, at: int, side: str) -> tuple[list[Any], str]:
        ladder = (self.entries[at].get("ex") or {}).get(side) or []
        return ladder, f"raw_payload.runners[{at}].ex.{side}"

    def _ladder(self, at: int, side: str, places: range, *, exact: bool = False) -> Iterator[Input]:
        """Levels of one side of a runner: those at the places are used where they are valid.

        With `exact` they are read as Decimals, not as floats.
        """
        ladder, path = self._levels(at, side)
        runner = self._runner(at)
        read: Sequence[Any] = runner.back if side == _BACK else runner.lay
        for place, level in enumerate(ladder):
            if place < places.start:
                continue
            if place >= places.stop:
                yield Input(f"{path}[{place}]", level, used=False, note="it stands behind the levels that count")
            elif not (valid_levels(read[place : place + 1]) if exact else shown_level(read, place)[0]):
                note = "no valid level: its price must be above 1 and its size above 0"
                yield Input(f"{path}[{place}]", level, used=False, note=note)
            else:
                yield Input(f"{path}[{place}]", level)
        for place in places:
            if place >= len(ladder):
                yield Input(f"{path}[{place}]", None, used=False, note="the payload has no such level")

    def _best(self, at: int, side: str) -> Iterator[Input]:
        """The first level, whatever it is."""
        ladder, path = self._levels(at, side)
        if ladder:
            yield Input(f"{path}[0]", ladder[0], note="the first level's price, valid or not")
        else:
            yield Input(f"{path}[0]", None, used=False, note="the payload has no level: the price is 0")
        for place, level in enumerate(ladder[1:], start=1):
            yield Input(f"{path}[{place}]", level, used=False, note="it stands behind the first")
