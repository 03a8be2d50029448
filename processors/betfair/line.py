"""`rederive compute betfair`: each line validated by its model, computed, answered as one line."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from pydantic import ValidationError

from processors.betfair.general import derive
from processors.computed import Computed
from schemas.betfair.snapshot import Snapshot
from schemas.betfair.tables import METRICS
from schemas.payload import read_json, sendable, told


def compute(lines: Iterable[bytes]) -> Iterator[Computed]:
    """An answer for each line as it comes, blank ones apart; never raises."""
    for number, line in enumerate(lines, start=1):
        if not line.isspace():
            answer = compute_line(line)
            yield Computed(answer, number, orjson.loads(answer)["error"])


def compute_line(line: bytes) -> bytes:
    r"""A snapshot's JSON object to `{"snapshot_id","skip","error","metrics"}` as one JSON line, without newline.

    `metrics` has all 52 columns, or none when the snapshot was skipped or had an error. Never raises.
    """
    problem = _problem(line)
    if problem is not None:
        return _answer(_readable_id(line), None, problem, {})
    derived = derive(line)
    metrics = dict(zip(METRICS, derived.values, strict=True)) if derived.values else {}
    return _answer(derived.snapshot_id, derived.skip, derived.error, metrics)


def _problem(line: bytes) -> str | None:
    """Why the line is no snapshot, as a person would say it."""
    try:
        row = read_json(line)
        if not isinstance(row, dict):
            return "not a JSON object"
        Snapshot.model_validate(row)
    except ValidationError as error:
        # "snapshot_id: Input should be a valid integer", one a field.
        return sendable("; ".join(told(each["loc"], each["msg"], "line") for each in error.errors()))
    except ValueError as error:
        return str(error)
    return None


def _readable_id(line: bytes) -> int | None:
    """The snapshot's id where the line says a usable one, whatever else is wrong with it."""
    try:
        found = read_json(line)["snapshot_id"]
    except (ValueError, KeyError, TypeError):
        return None
    return found if type(found) is int and -(2**63) <= found < 2**63 else None


def _answer(snapshot_id: int | None, skip: str | None, error: str | None, metrics: dict[str, Any]) -> bytes:
    return orjson.dumps({"snapshot_id": snapshot_id, "skip": skip, "error": error, "metrics": metrics})
