"""The policy of rows keyed by their capture: they meet no others (docs/merging.md)."""

from collections import Counter
from collections.abc import Iterator

from psycopg import Connection

from schemas.table import Table
from sinks.insert.insertion import insert, would_insert
from sinks.policy import Blocks, Policy, Scope, Taken, Writer
from store.lineage import orphans
from store.rows import value

_CAPTURE = "capture_id"


class Insert(Policy):
    """Rows stay beside those of other captures; views show the newest."""

    def make(self, connection: Connection, table: Table) -> None:
        """The table, and an index for finding the rows of a capture."""
        columns = [f"{c.name} {c.type} NOT NULL" for c in table.key]
        columns += [f"{c.name} {c.type}" for c in table.columns]
        columns += [f"{table.touched} timestamptz NOT NULL DEFAULT now()"] if table.touched else []
        columns += [f"CHECK ({check})" for check in table.checks]
        made = value(connection, "SELECT to_regclass(%s) IS NULL", [table.name])
        if made:
            keys = ", ".join(c.name for c in table.key)
            connection.execute(
                f"CREATE TABLE {table.name} ({', '.join(columns)}, PRIMARY KEY ({keys}));"
                f"CREATE INDEX ON {table.name} ({_CAPTURE})"
            )

    def prepare(self, connection: Connection, table: Table) -> None:
        """Nothing."""

    def write(self, connection: Connection, table: Table, blocks: Blocks, writer: Writer) -> Counter[int]:
        """Copy the rows."""
        return (would_insert if writer.dry_run else insert)(connection, table, blocks)

    def concerns(self, table: Table, scope: Scope) -> bool:
        """Whether the units have written captures' rows into it, which aren't kept for audit."""
        return not table.audit and bool(scope.captures(table))

    def preview(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """The rows of the captures that the units have written."""
        captures = scope.captures(table)
        rows = int(value(connection, f"SELECT count(*) FROM {table.name} WHERE {_CAPTURE} = ANY(%s)", [captures]))
        return Taken(keys=rows, entries=rows, deleted=rows)

    def take_out_units(self, connection: Connection, table: Table, scope: Scope) -> Taken:
        """Delete them."""
        statement = f"DELETE FROM {table.name} WHERE {_CAPTURE} = ANY(%s)"
        rows = connection.execute(statement, [scope.captures(table)]).rowcount
        return Taken(keys=rows, entries=rows, deleted=rows)

    def take_out_run(self, connection: Connection, table: Table, run: str) -> Iterator[Taken]:  # noqa: ARG002
        """Nothing is left: what a run has inserted is known by its units."""
        return iter(())

    def verify(self, connection: Connection, table: Table) -> int:
        """Rows of captures that no unit that counts has written."""
        if table.audit:
            return 0
        return orphans(connection, table.name, _CAPTURE)
