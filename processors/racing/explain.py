"""Which fields of an answer a derived value was read from (racing spec, sections 1.2, 4 and 5). Pure.

A row is given by an object of the answer (a race, a runner, a master, a horse), or by several: they are folded as in
processors/racing/rows.py, the last that says something counts.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from functools import partial
from typing import Any

from processors.racing import card, reference, result
from processors.racing.fields import Reader, says_nothing
from processors.racing.process import process
from processors.racing.races import Line, race_day
from processors.racing.rules import JunkError, day, position
from processors.rebuilding import rebuilt
from schemas.payload import aware, read_json
from schemas.provenance import Input, Traced, Wanted
from schemas.racing.tables import CARD, RACING, REFERENCE, RESULT

_LISTS = {"racecards": (CARD, "racecards", card), "results": (RESULT, "results", result)}
_HEAD = ("kind", "date", "observed")
_PARENTS = ("sire", "dam", "damsire")
_PEOPLE = {"ra_mst_jockeys": "jockey", "ra_mst_trainers": "trainer", "ra_mst_owners": "owner"}
_PARENT_TABLES = {"ra_mst_sires": "sire", "ra_mst_dams": "dam", "ra_mst_damsires": "damsire"}
_MASTERS = {
    "ra_mst_courses": ("courses", "id", reference.COURSE),
    "ra_mst_regions": ("regions", "region_code", reference.REGION),
    "ra_mst_bookmakers": ("bookmakers", "code", reference.BOOKMAKER),
}

Named = tuple[str, ...]
"""Names of fields of one object."""


@dataclass(frozen=True, slots=True)
class _Giving:
    """An object of an answer that gives the row: what it says of the column, and what else must be there.

    `inputs` are those of the column, `needs` those without which there is no such row.
    """

    observed: str
    inputs: tuple[Input, ...]
    needs: tuple[Input, ...]

    @property
    def all(self) -> tuple[Input, ...]:
        """Each part once."""
        said = {one.path for one in self.needs}
        return (*self.needs, *(one for one in self.inputs if one.path not in said))


def trace(value: bytes, wanted: Wanted) -> Traced | None:
    """The inputs of one column of a row; None when no answer of the unit gives the row."""
    # Ids stand in answers as they do in keys, but for regions' codes.
    words = [str(part).encode() for part in wanted.key.values()]
    if wanted.table != "ra_mst_regions" and not all(word in value for word in words if word.isalnum()):
        return None
    found: list[_Giving] = []
    for number, text in enumerate(value.split(b"\n"), start=1):
        if text and not text.isspace():
            found += _of_line(read_json(text), number, wanted)
    found.sort(key=lambda one: one.observed)
    if not found or (wanted.observed is not None and found[-1].observed != wanted.observed):
        return None
    return _traced(found, wanted)


def _traced(found: Sequence[_Giving], wanted: Wanted) -> Traced:
    """The last that says something is used."""
    group = next((group for group in RACING.table(wanted.table).groups if wanted.column in group), (wanted.column,))
    made = [_made(one.all, wanted, group) for one in found]
    used = next((at for at in reversed(range(len(found))) if made[at][0]), len(found) - 1)
    others = [
        replace(each, used=False, note="another object of this answer counts")
        for at, one in enumerate(found)
        if at != used
        for each in one.inputs
        if each.path not in {mine.path for mine in found[used].all}
    ]
    return Traced((*found[used].all, *others), _record(found[used].all), made[used][1])


def _made(inputs: Sequence[Input], wanted: Wanted, group: Named) -> tuple[bool, str]:
    """Whether a row made of these says anything in a group of columns; what was wrong with them, in words."""
    outcome = process(_record(inputs), ())
    # What a list of an answer has before the object that counts is null in the record: no fault of the answer.
    wrong = "; ".join(one.text for one in outcome.errors if one.key and one.key[-1] is not None)
    for rows in outcome.tables:
        if (rows.table, rows.source) == (wanted.table, wanted.source):
            places = {name: at for at, name in enumerate(rows.columns)}
            for row in rows.rows():
                if all(row[places[name]] == part for name, part in wanted.key.items()):
                    return any(name in places and row[places[name]] is not None for name in group), wrong
    return False, wrong


def _record(inputs: Sequence[Input]) -> bytes:
    # As the standard library writes it: lone surrogates are payloads, too.
    return b"\n".join(json.dumps(line).encode() for line in rebuilt(inputs).values())


def _of_line(given: dict[str, Any], number: int, wanted: Wanted) -> Iterator[_Giving]:
    observed = _utc(given)
    line = Line(given["kind"], given.get("date"), observed, given["payload"], careful=False)
    head = tuple(Input(name, given[name], line=number, note=_OF_HEAD[name]) for name in _HEAD if name in given)
    if line.payload is None:
        return
    if line.kind in _LISTS and _LISTS[line.kind][0] == wanted.source:
        yield from _of_races(line, head, number, wanted)
    elif wanted.source == REFERENCE and line.kind == "masters" and wanted.table in _MASTERS:
        yield from _of_masters(line, head, number, wanted)
    elif wanted.source == REFERENCE and line.kind == "horse":
        yield from _of_horse(line, head, number, wanted)


_OF_HEAD = {"kind": "what the answer is", "date": "the day asked for", "observed": "when it was fetched"}


def _utc(given: dict[str, Any]) -> str:
    return aware(given["observed"]).astimezone(UTC).isoformat()


def _said(path: str, given: dict[str, Any], names: Sequence[str], number: int, note: str = "") -> tuple[Input, ...]:
    """Fields of an object as inputs."""
    found = []
    for name in dict.fromkeys(names):
        one = Input(f"{path}.{name}", given.get(name), note=note, line=number)
        if given.get(name) is None:
            one = replace(one, used=False, note="the payload doesn't say it")
        elif says_nothing(given[name]):
            one = replace(one, note="it says nothing")
        found.append(one)
    return tuple(found)


def _is(given: dict[str, Any], name: str, wanted: object) -> bool:
    value = given.get(name)
    return isinstance(value, str) and value.strip() == wanted


def _of_races(line: Line, head: tuple[Input, ...], number: int, wanted: Wanted) -> Iterator[_Giving]:
    _, listed, module = _LISTS[line.kind]
    races = line.payload.get(listed) if isinstance(line.payload, dict) else None
    before: list[Input] = []
    for at, race in enumerate(races if isinstance(races, list) else ()):
        if not isinstance(race, dict):
            continue
        path = f"payload.{listed}[{at}]"
        who = (*head, *_said(path, race, ["race_id", "date"], number, "which race it is"))
        runners = race.get("runners")
        entries = [
            (f"{path}.runners[{n}]", runner)
            for n, runner in enumerate(runners if isinstance(runners, list) else ())
            if isinstance(runner, dict)
        ]
        day_of_race = race_day(_day(race), line)
        if wanted.table == "ra_races" and _is(race, "race_id", wanted.key["id"]):
            inputs = _of_race(wanted.column, module.RACE, path, race, entries, number)
            if wanted.column == "field_size":
                before += inputs
                inputs = tuple(before)
            yield _Giving(line.observed, inputs, who)
        elif wanted.table == "ra_mst_courses" and _is(race, "course_id", wanted.key["id"]):
            inputs = _said(path, race, ["region"] if wanted.column.startswith("region") else ["course"], number)
            needs = _said(path, race, ["course_id", "course"], number, "which course it is")
            yield _Giving(day_of_race, inputs, who + needs)
        elif wanted.table == "ra_runners":
            if _is(race, "race_id", wanted.key["race_id"]):
                for where, runner in entries:
                    if _is(runner, "horse_id", wanted.key["horse_id"]):
                        needs = who + _said(where, runner, ["horse_id"], number, "which runner it is")
                        inputs = _of_runner(wanted.column, module.RUNNER, where, runner, line, number)
                        yield _Giving(line.observed, inputs, needs)
        else:
            for where, runner in entries:
                names = _of_master(wanted, module.RUNNER, runner, line.kind == "racecards")
                if names is not None:
                    own, needed = names
                    needs = who + _said(where, runner, ["horse_id", *needed], number, "which row it is")
                    yield _Giving(day_of_race, _said(where, runner, own, number), needs)


def _day(race: dict[str, Any]) -> str | None:
    date = race.get("date")
    try:
        return day(date.strip()) if isinstance(date, str) and not says_nothing(date) else None
    except JunkError:
        return None


def _of_race(
    column: str,
    reader: Reader,
    path: str,
    race: dict[str, Any],
    runners: Sequence[tuple[str, dict[str, Any]]],
    number: int,
) -> tuple[Input, ...]:
    said = partial(_said, path, race, number=number)
    match column:
        case "off_time":
            clocks = said([*reader.named("clock"), *reader.named("off_time")])
            first, *later = clocks
            if first.used and not says_nothing(first.value):
                note = "off_dt comes before it"
                later = [replace(one, used=False, note=note) for one in later if one.path != first.path]
            return (first, *later)
        case "field_size":
            if not runners:
                return said(["runners"])
            note = "runners are counted by their horses"
            return tuple(each for where, one in runners for each in _said(where, one, ["horse_id"], number, note))
        case "has_result":
            # The kind of the answer says it.
            return ()
        case "is_big_race":
            return said(["big_race"])
        case "is_abandoned":
            return said(["is_abandoned"])
        case "winning_time":
            return tuple(_winner(runners, number))
    return said(reader.named(column))


def _winner(runners: Sequence[tuple[str, dict[str, Any]]], number: int) -> Iterator[Input]:
    found = False
    for where, runner in runners:
        place = runner.get("position")
        if not found and place is not None and _won(str(place).strip()):
            found = True
            yield from _said(where, runner, ["horse_id", "position"], number, "the first that won")
            yield from _said(where, runner, ["time"], number, "its time")
        else:
            yield Input(f"{where}.position", place, used=False, note="not the one that won", line=number)


def _won(text: str) -> bool:
    try:
        return position(text) == 1
    except JunkError:
        return False


def _of_runner(
    column: str,
    reader: Reader,
    path: str,
    runner: dict[str, Any],
    line: Line,
    number: int,
) -> tuple[Input, ...]:
    is_card = line.kind == "racecards"
    if column == "is_scratched":
        # Who has a result has run.
        return _said(path, runner, ["number"], number, "NR says that it doesn't run") if is_card else ()
    if column == "result_updated_at":
        # When the answer was fetched says it.
        return ()
    names = _with_name(column) or reader.named(column) or (column,)
    inputs = _said(path, runner, names, number)
    if is_card and column in ("jockey_id", "jockey_name", "jockey_claim_lbs"):
        inputs += _said(path, runner, ["number"], number, "nobody rides a runner of number NR")
    return inputs


def _with_name(column: str) -> Named:
    """An entity needs an id and a name: the id stands only where there is both."""
    name = column.removesuffix("_id")
    return (column, name) if column != name and name in (*_PARENTS, *_PEOPLE.values()) else ()


def _of_master(wanted: Wanted, reader: Reader, given: dict[str, Any], is_card: bool) -> tuple[Named, Named] | None:
    """The fields of a column of what a runner, or a horse's detail, says of a master; and those that it needs.

    None when it says nothing of that one.
    """
    table, column = wanted.table, wanted.column
    if table in _PEOPLE:
        who = _PEOPLE[table]
        if not _is(given, f"{who}_id", wanted.key["id"]):
            return None
        scratched = ("number",) if is_card and who == "jockey" else ()
        return (reader.named(f"{who}_location") if column == "location" else (who,)), (f"{who}_id", who, *scratched)
    if table in _PARENT_TABLES:
        who = _PARENT_TABLES[table]
        if not _is(given, f"{who}_id", wanted.key["id"]):
            return None
        return (reader.named(f"{who}_region") if column == "region" else (who,)), (f"{who}_id", who)
    horse_id = "horse_id" if "horse_id" in reader.columns else "id"
    if table == "ra_mst_horses" and _is(given, horse_id, wanted.key["id"]):
        called = "horse_name" if column == "name" and horse_id == "horse_id" else column
        return _with_name(column) or reader.named(called), reader.named("name") if horse_id == "id" else ()
    if table == "ra_horse_pedigree" and _is(given, horse_id, wanted.key["horse_id"]):
        parents = tuple(name for who in _PARENTS for name in (f"{who}_id", who))
        return _with_name(column) or reader.named(column), (
            *parents,
            *(reader.named("name") if horse_id == "id" else ()),
        )
    return None


def _of_masters(line: Line, head: tuple[Input, ...], number: int, wanted: Wanted) -> Iterator[_Giving]:
    name, key, reader = _MASTERS[wanted.table]
    path = f"payload.{name}"
    entries = line.payload.get(name) if isinstance(line.payload, dict) else None
    if isinstance(line.payload, list) and name == "regions":
        path, entries = "payload", line.payload
    fold: Callable[[str], str] = str.lower if name == "regions" else str
    for at, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, dict):
            continue
        code = entry.get(key)
        if isinstance(code, str) and fold(code.strip()) == next(iter(wanted.key.values())):
            needs = [key, *reader.named("region" if name == "regions" else "name")]
            column = "region" if name == "regions" else wanted.column
            inputs = _said(f"{path}[{at}]", entry, reader.named(column) or (wanted.column,), number)
            yield _Giving(line.observed, inputs, head + _said(f"{path}[{at}]", entry, needs, number, "which row it is"))


def _of_horse(line: Line, head: tuple[Input, ...], number: int, wanted: Wanted) -> Iterator[_Giving]:
    given = line.payload
    names = _of_master(wanted, reference.HORSE, given, False) if isinstance(given, dict) else None
    if names is not None:
        own, needed = names
        needs = head + _said("payload", given, ["id", "name", *needed], number, "which row it is")
        yield _Giving(line.observed, _said("payload", given, own, number), needs)
