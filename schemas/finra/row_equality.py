"""Whether two computations gave the same rows (finra spec, section 8)."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

AUDIT_COLUMNS = frozenset({"id", "rn", "calculated_at", "ingested_at", "normalized_at", "computed_at"})
"""When and where a row was stored: never the same twice."""

CAPTURE_COLUMNS = frozenset({"capture_id", "captured_at", "execution_id", "batch_id"})
INPUT_PREFIX = "input_"


def rows_equal_deterministic(a: Iterable[Any], b: Iterable[Any], *, ignore_capture: bool = True) -> bool:
    """Whether two results hold the same rows, as often and in any order; rows are mappings or dataclasses.

    Audit columns don't count; nor, unless `ignore_capture` is false, do those that say which capture a row belongs to
    or was computed from. TypeError when a row is neither mapping nor dataclass.
    """
    return Counter(_counted(row, ignore_capture) for row in a) == Counter(_counted(row, ignore_capture) for row in b)


def _counted(row: Any, ignore_capture: bool) -> Hashable:  # noqa: ANN401 - whatever a caller's row is
    return frozenset(
        (name, _plain(value))
        for name, value in _columns(row).items()
        if name not in AUDIT_COLUMNS
        and not (ignore_capture and (name in CAPTURE_COLUMNS or name.startswith(INPUT_PREFIX)))
    )


def _columns(row: Any) -> Mapping[str, Any]:  # noqa: ANN401
    if isinstance(row, Mapping):
        return row
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row)}
    raise TypeError(f"a row is a mapping or a dataclass, not {type(row).__name__}")


def _plain(value: Any) -> Hashable:  # noqa: ANN401
    """A value that can be counted; two NaN are the same."""
    if isinstance(value, Mapping):
        return ("mapping", frozenset((name, _plain(each)) for name, each in value.items()))
    if isinstance(value, (list, tuple)):
        return ("list", tuple(map(_plain, value)))
    if isinstance(value, float) and math.isnan(value):
        return ("nan",)
    hash(value)
    found: Hashable = value
    return found
