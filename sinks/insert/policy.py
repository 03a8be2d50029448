"""The policy of rows keyed by their capture: they meet no others (docs/merging.md)."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from psycopg import Connection

from schemas.table import Mode, Table
from sinks.columns import add_missing
from sinks.insert.insertion import insert, would_insert
from sinks.policy import Blocks, Policy, Scope, Taken, Writer
from store.lineage import orphans
from store.rows import value

if TYPE_CHECKING:
    from sinks.insert.staging import Inserted

_CAPTURE = "capture_id"


class Insert(Policy["Inserted"]):
    """Rows stay beside those of other captures; views show the newest."""

    def make(self, connection: Connection, table: Table) -> None:
        """The table, and an index for finding the rows of a capture; or what it lacks of its columns."""
        key = [f"{column.name} {column.type} NOT NULL" for column in table.key]
        columns = [f"{column.name} {column.type}" for column in table.columns]
        columns += [f"{table.touched} timestamptz NOT NULL DEFAULT now()"] if table.touched else []
        if value(connection, "SELECT to_regclass(%s) IS NULL", [table.name]):
            rules = [f"PRIMARY KEY ({', '.join(column.name for column in table.key)})"]
            rules += [f"CHECK ({check})" for check in table.checks]
            connection.execute(
                f"CREATE TABLE {table.name} ({', '.join([*key, *columns, *rules])});"
                f"CREATE INDEX ON {table.name} ({_CAPTURE})"
            )
        else:
            add_missing(connection, table.name, columns)

    def prepare(self, connection: Connection, table: Table) -> None:
        """Nothing."""

    def stage(self, table: Table, blocks: Blocks, mode: Mode) -> "Inserted":  # noqa: ARG002
        """As COPY takes them."""
        from sinks.insert.staging import Inserted

        return Inserted(table, blocks)

    def write(self, connection: Connection, table: Table, staged: "Inserted", writer: Writer) -> Counter[int]:
        """Copy the rows."""
        return (would_insert if writer.dry_run else insert)(connection, table, staged)

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
