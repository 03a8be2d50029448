"""Precedence: of two entries of a row that say something, which one counts (docs/merging.md).

The owners' entries of a column come before all others; among equals the one that was observed later, then that of the
newer derivation version, then that of the later capture, then that of the source that a table names last.
"""

from collections.abc import Collection
from typing import Any

FIELDS = ("observed", "version", "number", "source")
"""What decides among entries that count as much, the first first; the greater value wins."""


def rank(observed: Any, source: int, owners: Collection[int]) -> tuple[bool, Any, int]:  # noqa: ANN401 - any time
    """The rank of an entry among those of one capture, whose version and number are the same: the greatest counts."""
    return source in owners, observed, source


def descending(prefix: str) -> str:
    """In SQL, the order in which the entry that counts comes first; columns are named by prefix and field."""
    return ", ".join(f"{prefix}{name} DESC" for name in FIELDS)


def above(upper: dict[str, str], lower: dict[str, str]) -> str:
    """In SQL, that an entry is above another one that counts as much; both by field, the last is looked at last."""
    left, right = (", ".join(entry[name] for name in FIELDS) for entry in (upper, lower))
    return f"(({left}) > ({right}))"


def ranked(entry: dict[str, str], sources: str) -> str:
    """In SQL, the rank of an entry for columns that these sources own, as an array of int8: the greatest counts.

    3 is an owner's entry and 2 another's; the baseline is 1 and a fill 0. What was written from outside takes a place
    before the source's (sinks/merge/folding.py).
    """
    own = f"CASE WHEN {entry['source']} IN ({sources}) THEN 3 ELSE 2 END"
    return f"ARRAY[{own}, {entry['observed']}, {entry['version']}, {entry['number']}, 0, {entry['source']}]"
