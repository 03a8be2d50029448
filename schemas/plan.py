"""The plan: what a replay will read again, frozen before anything is sent."""

import hashlib
from typing import Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.errors import UsageError
from schemas.lane import LaneName
from schemas.table import Mode


class PlannedUnit(BaseModel):
    """One unit of a plan.

    `picked` is what its source needs to read the same rows again: `{"ids": […]}` of a table, `{"partition", "offset"}`
    of a log, `{"fetch", "date", "regions"}` of an API, `{"stage", "week", "captures", "inputs", …}` of a stage that
    writes captures of its own. `rows` is the number of source rows, None where only reading tells. `lane` is where it
    is sent.
    """

    model_config = ConfigDict(frozen=True)

    unit: int
    key_range: str
    picked: dict[str, Any]
    rows: int | None
    lane: LaneName = LaneName.REPLAY


class PlanHead(BaseModel):
    """What a plan says of itself without its units.

    `found` counts source rows (a log's: records; an API's: answers). `nulls` counts, per column in scope, the NULLs
    among the rows found. `notes` are sentences that a person should read before applying.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    domain: str
    source: Literal["table", "log", "api", "files"]
    mode: Mode
    derivation_version: int
    columns: tuple[str, ...]
    request: dict[str, Any]
    found: int = 0
    unit_count: int = 0
    nulls: dict[str, int] = {}
    notes: tuple[str, ...] = ()


class Plan(PlanHead):
    """A replay that could start now. `digest` covers everything else."""

    units: tuple[PlannedUnit, ...]
    digest: str = ""

    @property
    def head(self) -> PlanHead:
        """The plan without its units."""
        return PlanHead(**self.model_dump(exclude={"units", "digest"}))

    def computed_digest(self) -> str:
        """The digest that the plan should have."""
        digest = Digest()
        for unit in self.units:
            digest.add(unit)
        return digest.of(self.head)

    def sealed(self) -> Self:
        """The same plan with its digest."""
        return self.model_copy(update={"digest": self.computed_digest()})


class Digest:
    """SHA-256 over a plan's units, as they come, and its head."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, unit: PlannedUnit) -> None:
        """Take the next unit in."""
        self._hash.update(
            orjson.dumps([unit.unit, unit.key_range, unit.picked, unit.rows, unit.lane], option=orjson.OPT_SORT_KEYS)
        )

    def of(self, head: PlanHead) -> str:
        """The digest of the units so far under this head."""
        whole = self._hash.copy()
        whole.update(orjson.dumps(head.model_dump(mode="json"), option=orjson.OPT_SORT_KEYS))
        return whole.hexdigest()


FORMAT = 1
"""The format of plans that this program writes and reads."""

_MAKE_ONE = "`rederive plan betfair > plan.json` makes one"


def read_plan(text: str, name: str) -> Plan:
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
        return Plan.model_validate_json(text)
    except ValidationError as error:
        raise UsageError(f"{name} is no plan", why=_wrong(error), mend=_MAKE_ONE) from None


def _wrong(error: ValidationError) -> str:
    """What a plan lacks, else the first field that can't be, by its path."""
    missing = [_path(one["loc"]) for one in error.errors() if one["type"] == "missing"]
    if missing:
        return f"it lacks {', '.join(missing)}"
    first = error.errors()[0]
    return f"its field {_path(first['loc'])}: {first['msg']}"


def _path(where: tuple[int | str, ...]) -> str:
    return ".".join(map(str, where))
