"""Outcomes whose rows are staged for every table of their domain, before any transaction needs them. Pure."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.domain import Domain
from schemas.outcome import Outcome, TableRows
from schemas.table import Mode
from sinks.policies import policy_of

UNFIT = (ValueError, KeyError, TypeError, OverflowError, struct.error)
"""What staging, and COPY before Postgres has seen them, raise for values that don't fit their columns."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Outcomes staged to be written in a mode: by table what its policy has made of them."""

    outcomes: Sequence[Outcome]
    mode: Mode
    tables: Mapping[str, Any]

    def serves(self, outcomes: Sequence[Outcome], mode: Mode) -> bool:
        """Whether just these outcomes were staged, in this order and for this mode."""
        return (
            mode is self.mode
            and len(outcomes) == len(self.outcomes)
            and all(asked is own for asked, own in zip(outcomes, self.outcomes, strict=True))
        )


def make_ready(domain: Domain, outcomes: Sequence[Outcome], mode: Mode, *, clears: bool = False) -> Ready:
    """Stage outcomes, none of them dead; their places are the unit numbers of their rows. One of UNFIT, or none."""
    blocks: dict[str, list[tuple[int, TableRows]]] = {table.name: [] for table in domain.tables}
    keys = {table.name: [column.name for column in table.written.key] for table in domain.tables}
    for number, outcome in enumerate(outcomes):
        _check_rows(domain, outcome)
        for block in outcome.tables:
            if block.table not in blocks:
                raise ValueError(f"{domain.name} has no table {block.table}")
            if lacking := [name for name in keys[block.table] if name not in block.columns]:
                raise ValueError(f"rows of {block.table} have no {', '.join(lacking)}")
            blocks[block.table].append((number, block))
    tables = {
        table.name: policy_of(table).stage(table, blocks[table.name], mode, clears=clears) for table in domain.tables
    }
    return Ready(outcomes, mode, tables)


def _check_rows(domain: Domain, outcome: Outcome) -> None:
    """ValueError when rows of the only table aren't those that were read: counts would be made up.

    Of several tables a source row has rows in any, and what a stage reads isn't what it gives.
    """
    if len(domain.tables) > 1 or domain.stages:
        return
    rows, problems = sum(map(len, outcome.tables)), len(outcome.skips) + len(outcome.errors)
    if rows != outcome.read - problems:
        raise ValueError(f"{outcome.read:,} rows read are not {rows:,} derived and {problems:,} skips and errors")
