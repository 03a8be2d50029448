"""The policy of rows that several captures, and ingestion, write together (docs/merging.md)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Mode, Table
from sinks.merge import comparison, promotion, rollback
from sinks.merge.claims import claims
from sinks.merge.companions import make
from sinks.merge.merging import folding, merge, prepare
from sinks.merge.outdated import outdated
from sinks.merge.verify import verify
from sinks.policy import Blocks, Claims, Compares, Outdated, Policy, Promoted, Scope, Taken, Verified, Writer
from store.rows import value

if TYPE_CHECKING:
    from sinks.comparing import Sides
    from sinks.merge.staging import Staged


class Merge(Policy["Staged"]):
    """Serving rows are the fold of their baseline, their history and the writes from outside."""

    def make(self, connection: Connection, table: Table) -> None:
        """The serving table, its history and its baseline."""
        make(connection, table)

    def prepare(self, connection: Connection, table: Table) -> None:
        """Temporary tables."""
        prepare(connection, (table,))

    def stage(self, table: Table, blocks: Blocks, mode: Mode, *, clears: bool = False) -> "Staged":
        """In key order, without repeats."""
        from sinks.merge.staging import Staged

        return Staged(table, blocks, _meeting(table, mode), clears=clears)

    def write(self, connection: Connection, table: Table, staged: "Staged", writer: Writer) -> Counter[int]:
        """Merge."""
        return merge(connection, staged, replace(writer, mode=_meeting(table, writer.mode)))

    def concerns(self, table: Table, scope: Scope) -> bool:
        """Whether a run goes, which may have merged into any table, or keys that units have noted."""
        return scope.run is not None or bool(scope.noted(table))

    def preview(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """Entries of the run, rows that would change or go without them."""
        return rollback.preview(connection, table, scope.run) if scope.run else Taken()

    def take_out_units(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """Entries of the keys that the units have noted."""
        return rollback.roll_back_keys(connection, table, scope.noted(table))

    def take_out_run(self, connection: Connection, table: Table, run: str) -> Iterator[Taken]:
        """Entries of the run, by batches of keys."""
        return rollback.roll_back(connection, table, run)

    def remaining(self, connection: Connection, table: Table, run: str) -> int:
        """The run's entries in history."""
        return int(value(connection, f"SELECT count(*) FROM {folding(table).history} WHERE capture_id = %s", [run]))

    def promotion(self, connection: Connection, table: Table, capture: Writer) -> Promoted:
        """The folds with its entries against what is served."""
        return promotion.preview(connection, table, capture)

    def promote(
        self, connection: Connection, table: Table, capture: Writer, crew: Sequence[Connection] = ()
    ) -> Iterator[Promoted]:
        """Its entries get their arrival and are merged, by ranges of keys."""
        return promotion.promote(connection, table, capture, crew)

    def sides(self, connection: Connection, table: Table, one: Compares, other: Compares | None) -> "Sides":
        """Folds of a capture's own entries, rows as they are served, or would be."""
        return comparison.sides(connection, table, one, other)

    def as_found(self, table: Table) -> str:
        """Baselines, and the rows that no capture has touched."""
        return comparison.as_found(table)

    def undone(self, connection: Connection, table: Table, one: Compares) -> "Sides":  # noqa: ARG002
        """Served rows of the keys that it has entries of, and their folds without these."""
        return comparison.undone(table, one)

    def verify(
        self, connection: Connection, table: Table, scope: Scope | None = None, after: tuple[str, ...] = ()
    ) -> Iterator[Verified]:
        """Served rows against their folds."""
        return verify(connection, table, scope, after)

    def held(self, connection: Connection, table: Table, captures: Sequence[str]) -> dict[str, int]:  # noqa: ARG002
        """None: a row is of all captures that have computed it."""
        return {}

    def outdated(self, connection: Connection, domain: Domain, table: Table) -> list[Outdated]:
        """Keys whose entries of a source are all of older versions, by the UTC day of the newest observation."""
        return outdated(connection, domain, table)

    def claims(self, connection: Connection, table: Table, key: Mapping[str, str], column: str) -> Claims:
        """The row's entries, baseline and writes from outside, by their rank in the column's list."""
        return claims(connection, folding(table), key, column)


def _meeting(table: Table, mode: Mode) -> Mode:
    """How rows meet those that are stored: in a capture that inserts, as the table itself has it."""
    return table.policy if mode is Mode.INSERT else mode
