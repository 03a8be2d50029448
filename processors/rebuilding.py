"""Records made again from some of their parts, each by its path (schemas/provenance.py). Pure."""

import re
from collections.abc import Iterable
from typing import Any

from schemas.provenance import Input

_STEPS = re.compile(r"[^.\[\]]+|\[\d+\]").findall


def rebuilt(inputs: Iterable[Input]) -> dict[int, Any]:
    """JSON values by line that hold the used inputs and nothing else; what a list has before them is null."""
    lines: dict[int, Any] = {}
    for one in inputs:
        if one.used:
            steps = [int(step[1:-1]) if step[0] == "[" else step for step in _STEPS(one.path)]
            lines[one.line] = _with(lines.get(one.line), steps, one.value)
    return dict(sorted(lines.items()))


def _with(whole: Any, steps: list[int | str], value: Any) -> Any:  # noqa: ANN401 - JSON
    """A value with a part put in."""
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, int):
        items = whole if isinstance(whole, list) else []
        items += [None] * (step + 1 - len(items))
        items[step] = _with(items[step], rest, value)
        return items
    fields = whole if isinstance(whole, dict) else {}
    fields[step] = _with(fields.get(step), rest, value)
    return fields
