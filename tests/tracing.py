"""Values computed again from what a trace lists, and from nothing else."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from rederive.raw_records import computed_of
from schemas.domain import Domain, load
from schemas.outcome import TableRows
from schemas.provenance import Wanted

Listed = dict[str, Any]
"""An input as `--json` lists it."""


def record_of(inputs: Iterable[Listed]) -> bytes:
    """A record's value of the used inputs, put together by their paths."""
    lines: dict[int, Any] = {}
    for one in inputs:
        if one["used"]:
            steps = [int(index) if index else name for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", one["path"])]
            place: Any = lines
            at: Any = one["line"]
            for step in steps:
                if isinstance(place, list):
                    place.extend([None] * (at + 1 - len(place)))
                new: Any = [] if isinstance(step, int) else {}
                if isinstance(place, dict):
                    place.setdefault(at, new)
                elif place[at] is None:
                    place[at] = new
                place, at = place[at], step
            if isinstance(place, list):
                place.extend([None] * (at + 1 - len(place)))
            place[at] = one["value"]
    for line in lines.values():
        if isinstance(line, dict) and isinstance(line.get("content"), list):
            line["content"] = "\n".join(text or "" for text in line["content"])
    return b"\n".join(json.dumps(lines[number]).encode() for number in sorted(lines))


def again(domain: Domain, inputs: Iterable[Listed], wanted: Wanted) -> Any:
    """The wanted value by the domain's formulas, of the listed inputs alone."""
    outcome = load(domain.process)(record_of(inputs), ())
    return computed_of(outcome, domain.table(wanted.table), wanted).value


def wanted_of(domain: Domain, rows: TableRows, most: int = 2) -> Iterator[tuple[Wanted, Any]]:
    """Each column of a block, with its value: of so many rows that have one, and of so many that have none."""
    table = domain.table(rows.table)
    merged = "observed" in rows.columns
    seen: Counter[tuple[str, bool]] = Counter()
    for row in rows.rows():
        said = dict(zip(rows.columns, row, strict=True))
        key = {column.name: said[column.name] for column in table.key if column.name in said}
        for column in table.columns:
            kind = column.name, said.get(column.name) is None
            if seen[kind] == most:
                continue
            seen[kind] += 1
            observed = said["observed"] if merged else None
            yield Wanted(table.name, key, column.name, rows.source, observed), said.get(column.name)
