"""Plans that were written to files, read again."""

import hashlib
from typing import Any

import orjson
from pydantic import ValidationError

from producers.source import source_of
from rederive import domains
from schemas.errors import UsageError
from schemas.plan import FORMAT, Plan

_MAKE_ONE = "`rederive plan betfair > plan.json` makes one"


def read_plans(text: str, name: str) -> list[Plan[Any]]:
    """The plans that the text of the file `name` holds: one, however it is laid out, or several, each on a line.

    UsageError says why it holds none.
    """
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if len(lines) < 2 or not _is_document(lines[0][1]):
        return [read_plan(text, name)]
    return [read_plan(line, f"{name}, line {number},") for number, line in lines]


def _is_document(line: str) -> bool:
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def read_plan(text: str, name: str) -> Plan[Any]:
    """The plan that the text of the file `name` is. UsageError says why it is none."""
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        cut = text.strip() and error.pos >= len(text.rstrip()) - 1
        why = "it is empty" if not text.strip() else f"it is no JSON: {error.msg}, line {error.lineno}"
        if cut:
            why = f"it ends in the middle, at line {error.lineno}, column {error.colno}: a part of it is missing"
        raise UsageError(f"{name} is no plan", why=why, mend=_MAKE_ONE) from None
    if not isinstance(found, dict):
        kind = {list: "a list", str: "a text", type(None): "null"}.get(type(found), f"a {type(found).__name__}")
        raise UsageError(f"{name} is no plan", why=f"a plan is one JSON object, this is {kind}", mend=_MAKE_ONE)
    written = found.get("format", FORMAT)
    if isinstance(written, int) and written > FORMAT:
        raise UsageError(
            f"{name} is a plan of format {written}",
            why=f"a newer version wrote it: this one reads format {FORMAT}",
            mend="apply it with the version that made it, or make it again with this one",
        )
    try:
        plan: Plan[Any] = Plan.model_validate(_of_format_1(found) if written == 1 else found)
        source = source_of(domains.find(plan.domain), plan.source)
        units = [unit.model_copy(update={"locator": source.located(unit.locator)}) for unit in plan.units]
    except ValidationError as error:
        raise UsageError(f"{name} is no plan", why=_wrong(error), mend=_MAKE_ONE) from None
    plan = plan.model_copy(update={"units": tuple(units)})
    if written != 1:
        return plan
    # One that was altered has no digest: its own may fit a plan of this format, whose `format` was altered.
    return plan.sealed() if plan.digest == _digest_1(found) else plan.model_copy(update={"digest": ""})


def _of_format_1(found: dict[str, Any]) -> dict[str, Any]:
    """A plan of the format before this one, but for its digest."""
    units = found.get("units")
    return {**found, "format": FORMAT, "units": [_moved(unit) for unit in units] if isinstance(units, list) else units}


def _moved(unit: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """A unit whose `picked` held everything."""
    if not isinstance(unit, dict) or not isinstance(unit.get("picked"), dict):
        return unit
    picked = dict(unit["picked"])
    moved = {"stage": picked.pop("stage", ""), "reads": picked.pop("inputs", ()), "writes": picked.pop("captures", ())}
    return {**{name: value for name, value in unit.items() if name != "picked"}, "locator": picked, **moved}


def _digest_1(found: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for unit in found["units"]:
        fields = [unit.get(name) for name in ("unit", "key_range", "picked", "rows", "lane")]
        digest.update(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS))
    head = {name: value for name, value in found.items() if name not in ("units", "digest")}
    digest.update(orjson.dumps(head, option=orjson.OPT_SORT_KEYS))
    return digest.hexdigest()


def _wrong(error: ValidationError) -> str:
    """What a plan lacks, else the first field that can't be, by its path."""
    missing = [_path(one["loc"]) for one in error.errors() if one["type"] == "missing"]
    if missing:
        return f"it lacks {', '.join(missing)}"
    first = error.errors()[0]
    said = first["msg"].removeprefix("Value error, ")
    return f"its field {_path(first['loc'])}: {said}" if first["loc"] else said


def _path(where: tuple[int | str, ...]) -> str:
    return ".".join(map(str, where))
