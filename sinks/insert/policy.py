"""The policy of rows keyed by their capture: they meet no others (docs/merging.md)."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import CAPTURE, Mode, Table
from sinks.insert import comparison, promotion
from sinks.insert.claims import claims
from sinks.insert.companions import make, newest_captures
from sinks.insert.insertion import insert, would_insert
from sinks.insert.verify import held, verify
from sinks.policy import Blocks, Claims, Compares, Outdated, Policy, Promoted, Scope, Taken, Verified, Writer
from store.rows import value
from store.versions import written_before

if TYPE_CHECKING:
    from sinks.comparing import Sides
    from sinks.insert.staging import Inserted


class Insert(Policy["Inserted"]):
    """Rows stay beside those of other captures; views show the newest."""

    def make(self, connection: Connection, table: Table) -> None:
        """The table, its captures, and views of the newest."""
        make(connection, table)

    def prepare(self, connection: Connection, table: Table) -> None:
        """Nothing."""

    def stage(self, table: Table, blocks: Blocks, mode: Mode, *, clears: bool = False) -> "Inserted":  # noqa: ARG002
        """As COPY takes them."""
        from sinks.insert.staging import Inserted

        return Inserted(table.written, blocks)

    def write(self, connection: Connection, table: Table, staged: "Inserted", writer: Writer) -> Counter[int]:
        """Copy the rows."""
        where = table.shadow if writer.mode is Mode.SHADOW else table.written
        return (would_insert if writer.dry_run else insert)(connection, where, staged)

    def concerns(self, table: Table, scope: Scope) -> bool:
        """Whether the units have written captures' rows into it, which aren't kept for audit."""
        return not table.audit and bool(scope.captures(table))

    def preview(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """The rows of the captures that the units have written, served or in shadow."""
        captures = [scope.captures(table)]
        served, kept = (
            int(value(connection, f"SELECT count(*) FROM {one.name} r WHERE {_among(one)}", captures))
            for one in (table, table.shadow)
        )
        return Taken(entries=served + kept, deleted=served)

    def take_out_units(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """Delete them."""
        captures = [scope.captures(table)]
        served, kept = (
            connection.execute(f"DELETE FROM {one.name} r WHERE {_among(one)}", captures).rowcount
            for one in (table, table.shadow)
        )
        return Taken(entries=served + kept, deleted=served)

    def take_out_run(self, connection: Connection, table: Table, run: str) -> Iterator[Taken]:  # noqa: ARG002
        """Nothing is left: what a run has inserted is known by its units."""
        return iter(())

    def remaining(self, connection: Connection, table: Table, run: str) -> int:  # noqa: ARG002
        """None, so."""
        return 0

    def promotion(self, connection: Connection, table: Table, capture: Writer) -> Promoted:
        """Its rows in shadow against those of the captures that are shown now."""
        return promotion.preview(connection, table, capture.capture_id)

    def promote(
        self,
        connection: Connection,
        table: Table,
        capture: Writer,
        crew: Sequence[Connection] = (),  # noqa: ARG002
    ) -> Iterator[Promoted]:
        """Its rows in shadow are moved, a partition's capture after the other."""
        return promotion.promote(connection, table, capture.capture_id)

    def sides(self, connection: Connection, table: Table, one: Compares, other: Compares | None) -> "Sides":  # noqa: ARG002
        """Rows of captures, by their key without the capture."""
        return comparison.sides(table, one, other)

    def as_found(self, table: Table) -> None:  # noqa: ARG002
        """None: each row is of a capture."""
        return

    def undone(self, connection: Connection, table: Table, one: Compares) -> "Sides":  # noqa: ARG002
        """Its rows, and those of the captures that were shown before."""
        return comparison.undone(table, one)

    def verify(
        self, connection: Connection, table: Table, scope: Scope | None = None, after: tuple[str, ...] = ()
    ) -> Iterator[Verified]:
        """Counts of captures against their rows, and what is shown as the newest."""
        return verify(connection, table, scope, after)

    def held(self, connection: Connection, table: Table, captures: Sequence[str]) -> dict[str, int]:
        """Rows by their capture; of a table that shows another one's, that it does. What is for audit isn't counted."""
        return held(connection, table, captures)

    def outdated(self, connection: Connection, domain: Domain, table: Table) -> list[Outdated]:
        """Partitions whose newest capture is of older formulas; without partitions, rows of such captures."""
        before = written_before(connection, domain.name, max(domain.formulas(table)))
        if table.audit or not before:
            return []
        types = {column.name: column.type for column in table.key}
        within = table.partition
        day = next((name for name in within if types[name] == "date"), "NULL::date")
        parts = ", ".join(f"{name}::text" for name in within if name != day) or "NULL"
        newest = newest_captures(table) if within else f"SELECT {CAPTURE} FROM {table.name}"
        rows = connection.execute(
            f"""SELECT {day}, coalesce(concat_ws(' ', {parts}), ''), count(*) FROM ({newest}) n
                WHERE {CAPTURE} = ANY(%s) GROUP BY 1, 2 ORDER BY 1, 2""",
            [before],
        )
        return [Outdated(*row) for row in rows]

    def claims(self, connection: Connection, table: Table, key: Mapping[str, str], column: str) -> Claims:
        """The capture's row, and those of the same business key in other captures, the newest first."""
        return claims(connection, table, key, column)


def _among(table: Table) -> str:
    """That a row `r` is of one of some captures: found by its key, of which the partitions are known."""
    if not table.partition:
        return f"r.{CAPTURE} = ANY(%s)"
    names = ", ".join((*table.partition, CAPTURE))
    ours = ", ".join(f"r.{name}" for name in (*table.partition, CAPTURE))
    return f"({ours}) IN (SELECT {names} FROM {table.captures} WHERE {CAPTURE} = ANY(%s))"
