"""Figures on a page of the documentation: each part stands between two marks of its name, and is made anew whole."""

from collections.abc import Sequence
from pathlib import Path


def put(page: Path, name: str, lines: Sequence[str]) -> None:
    """Put lines between `<!-- name -->` and `<!-- end of name -->`. ValueError: one is missing."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{page} has no marks {begin} and {end}")
    page.write_text("\n".join([before + begin, "", "```", *lines, "```", "", end + after]))
