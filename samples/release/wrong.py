"""Formulas with a mistake: the columns of RELEASE_WRONG are computed as half of what they are."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

from schemas.domain import load
from schemas.outcome import Outcome, TableRows

Process = Callable[[bytes, Sequence[str]], Outcome]

right: dict[str, str] = {}
"""By domain, its part that has no mistake."""


def __getattr__(domain: str) -> Process:
    """The formulas of a domain: a part is a name of a module."""
    if domain not in right:
        raise AttributeError(domain)
    process: Process = load(right[domain])
    names = [name.split(".") for name in os.environ["RELEASE_WRONG"].split(",")]
    columns = {(table, column) for of, table, column in names if of == domain}

    def wrong(value: bytes, asked: Sequence[str]) -> Outcome:
        outcome = process(value, asked)
        return replace(outcome, tables=[_halved(rows, columns) for rows in outcome.tables])

    return wrong


def _halved(rows: TableRows, columns: set[tuple[str, str]]) -> TableRows:
    import pyarrow.compute as pc

    batch = rows.batch
    for place, field in enumerate(batch.schema):
        if (rows.table, field.name) in columns:
            batch = batch.set_column(place, field, pc.divide(batch.column(place), 2).cast(field.type))
    return replace(rows, batch=batch)
