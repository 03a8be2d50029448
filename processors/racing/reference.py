"""Masters and horse details to rows (racing spec, sections 1.2 and 5)."""

from typing import Any

from processors.racing.fields import Field, Reader, boolean, same
from processors.racing.races import Gathered, Line
from processors.racing.rules import day, identifier, name_region
from schemas.payload import shown
from schemas.racing.tables import OBSERVED, REGIONS

COURSE = Reader(Field("id", "id", identifier), Field("name", "course"), *same("region_code", "region"))
REGION = Reader(*same("region_code", "region"))
BOOKMAKER = Reader(Field("code", "code", identifier), *same("name", "type"))
HORSE = Reader(
    *(Field(name, name, identifier) for name in ("id", "sire_id", "dam_id", "damsire_id")),
    Field("name", "name"),
    Field("dob", "dob", day),
    *same("sex", "sex_code", "colour", "colour_code", "breeder"),
    Field("region", "name", name_region),
    *same("sire", "dam", "damsire"),
    *(Field(f"{parent}_region", parent, name_region) for parent in ("sire", "dam", "damsire")),
)
_HORSE_IDS, _HORSE_VALUES = 4, HORSE.columns.index("sire")
_HORSE_NEEDS = HORSE.pick("id", "name", "breeder", "region")
_HORSE_PARENTS = [HORSE.pick(f"{parent}_id", parent, f"{parent}_region") for parent in ("sire", "dam", "damsire")]

COLUMNS: dict[str, tuple[str, ...]] = {
    "ra_mst_bookmakers": ("code", "name", "type", "is_active", OBSERVED),
    "ra_mst_regions": ("code", "name", OBSERVED),
    "ra_mst_horses": (*HORSE.columns[:_HORSE_VALUES], OBSERVED),
}
"""The columns of what only reference answers give."""


def add_masters(gathered: Gathered, line: Line) -> None:
    """Gather courses, regions or bookmakers; ValueError when the answer is none of them."""
    payload = {"regions": line.payload} if isinstance(line.payload, list) else line.payload
    if payload is None:
        return
    found = False
    for name, add in (("courses", _add_course), ("regions", _add_region), ("bookmakers", _add_bookmaker)):
        if not isinstance(payload, dict) or not isinstance(entries := payload.get(name), list):
            continue
        found = True
        for entry in entries:
            problems: list[str] = []
            if type(entry) is not dict:
                gathered.error((None,), f"an entry of {name} is {shown(entry)}, not an object")
            else:
                key = add(gathered, line, entry, problems)
                gathered.errors((key,), problems)
    if not found:
        raise ValueError("the payload is no answer of masters: a list of regions, or a list courses or bookmakers")


def _add_course(gathered: Gathered, line: Line, given: dict[str, Any], problems: list[str]) -> str | None:
    identifier, name, code, region = COURSE.read(given, line.careful, problems)
    return _add(gathered, "ra_mst_courses", [identifier, name, code and code.lower(), region, line.observed], problems)


def _add_region(gathered: Gathered, line: Line, given: dict[str, Any], problems: list[str]) -> str | None:
    code, name = REGION.read(given, line.careful, problems)
    code = code and str(code).lower()
    if code is not None and code not in REGIONS:
        return code
    return _add(gathered, "ra_mst_regions", [code, name, line.observed], problems)


def _add_bookmaker(gathered: Gathered, line: Line, given: dict[str, Any], problems: list[str]) -> str | None:
    code, name, type_ = BOOKMAKER.read(given, line.careful, problems)
    row = [code, name, type_, boolean(given, "is_active", problems), line.observed]
    return _add(gathered, "ra_mst_bookmakers", row, problems)


def _add(gathered: Gathered, table: str, row: list[Any], problems: list[str]) -> str | None:
    key: str | None = row[0]
    name = row[1]
    if key is None or name is None:
        # An id that is junk has been reported already.
        if not problems:
            problems.append(f"an entry for {table} lacks its id or its name")
    else:
        gathered.put[table](row)
    return key


def add_horse(gathered: Gathered, line: Line) -> None:
    """Gather one horse's detail; ValueError when the answer is no object."""
    given = line.payload
    if given is None:
        return
    if not isinstance(given, dict):
        raise ValueError("the payload is no answer of horse: that is an object")
    problems: list[str] = []
    values = HORSE.read(given, line.careful, problems)
    horse_id, name, breeder, region = _HORSE_NEEDS(values)
    if horse_id is None or name is None:
        gathered.errors((horse_id,), problems or ["the horse lacks its id or its name"])
        return
    sire, dam, damsire = (parent(values) for parent in _HORSE_PARENTS)
    parents = gathered.masters.parents(horse_id, sire, dam, damsire, breeder, region, line.observed)
    gathered.put["ra_mst_horses"]([horse_id, *parents, *values[_HORSE_IDS:_HORSE_VALUES], line.observed])
    gathered.errors((horse_id,), problems)
