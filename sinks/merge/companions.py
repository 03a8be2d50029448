"""What all statements about one table have in common: its names, and the words for comparing rows."""

from collections.abc import Iterable, Sequence

from psycopg import Connection

from schemas.table import Mode, Table
from sinks.columns import add_missing
from store.rows import value

OUTSIDE_SOURCE = -1

Part = tuple[str, ...]
"""Columns that are taken from one entry together: a declared group, or a column alone."""


class Companions:
    """A table and what stands beside it. Aliases in the SQL: x staged, s stored, h history, b baseline, q keys."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.serving = table.name
        self.history = f"rederive.{table.name}_history"
        self.baseline = f"rederive.{table.name}_baseline"
        self.stage = f"stage_{table.name}"
        self.pending = f"pending_{table.name}"
        self.locked = f"locked_{table.name}"
        self.folded = f"folded_{table.name}"
        self.key = [column.name for column in table.key]
        self.columns = [column.name for column in table.columns]
        self.keys = ", ".join(self.key)
        self.names = ", ".join(self.columns)
        grouped = {name: group for group in table.groups for name in group}
        owners = {column.name: column.owners for column in table.columns}
        self.parts: dict[Part, tuple[int, ...]] = {
            part: owners[part[0]] for part in (grouped.get(name, (name,)) for name in self.columns)
        }
        """Each part with its owners."""
        self.owners = sorted(set(self.parts.values()))
        self.staged = [*self.key, "source", "observed", *self.columns, "shared"]
        self.staged_types = [
            *(column.type for column in table.key),
            "int2",
            "timestamptz",
            *(column.type for column in table.columns),
            "bool",
        ]
        self.touch = f", {table.touched} = now()" if table.touched else ""
        self.touched = (f", {table.touched}", ", now()") if table.touched else ("", "")

    def on(self, left: str, right: str) -> str:
        """That two rows have the same key."""
        return " AND ".join(f"{left}.{name} = {right}.{name}" for name in self.key)

    @staticmethod
    def of(alias: str, names: Iterable[str]) -> str:
        """Columns of an alias."""
        return ", ".join(f"{alias}.{name}" for name in names)

    def said(self, alias: str, part: Part) -> str:
        """That a row has a value in the part."""
        if len(part) == 1:
            return f"{alias}.{part[0]} IS NOT NULL"
        return f"num_nonnulls({self.of(alias, part)}) > 0"

    def says(self, alias: str, part: Part, clears: str) -> str:
        """That an entry says anything of the part, be it that there is nothing: `clears` are its capture's columns.

        Only an owner clears: what another source doesn't know is no reason.
        """
        owners = self.parts[part]
        names = ", ".join(f"'{name}'" for name in part)
        owned = (
            f" AND {alias}.source IN ({', '.join(map(str, owners))})" if len(owners) < len(self.table.sources) else ""
        )
        return f"({self.said(alias, part)} OR coalesce({clears} && ARRAY[{names}]{owned}, false))"

    def arriving(self, *, clears: bool) -> str:
        """That an entry h counts once its shadow is promoted: one without any value says nothing, unless it clears."""
        if self.table.bare or clears:
            return "true"
        values = self.of("h", [column.name for column in self.table.values])
        return f"(h.arrival IS NOT NULL OR num_nonnulls({values}) > 0)"

    def differs(self, left: str, right: str, part: Part) -> str:
        """That two rows differ in the part."""
        if len(part) == 1:
            return f"{left}.{part[0]} IS DISTINCT FROM {right}.{part[0]}"
        return f"({self.of(left, part)}) IS DISTINCT FROM ({self.of(right, part)})"

    def part_changes(self, mode: Mode, part: Part, new: str, clears: str | None = None) -> str:
        """That a row `new` on top of the list (supersede), or at its bottom (fill), changes the stored row's part."""
        if clears:
            return f"({self.says(new, part, clears)} AND {self.differs('s', new, part)})"
        if mode is Mode.FILL:
            return f"({self.said(new, part)} AND NOT ({self.said('s', part)}))"
        return f"({self.said(new, part)} AND {self.differs('s', new, part)})"

    def changes(self, mode: Mode, new: str, clears: str | None = None) -> str:
        """That it changes any part."""
        return " OR ".join(self.part_changes(mode, part, new, clears) for part in self.parts)

    def covers(self, upper: str, lower: str) -> str:
        """That a row has a value wherever another one has."""
        return " AND ".join(f"({self.said(upper, part)} OR NOT ({self.said(lower, part)}))" for part in self.parts)

    def within(self, alias: str) -> str:
        """That the key of a row lies in a range: its parameters are those of `range`."""
        own = self.of(alias, self.key)

        def side(name: str, order: str) -> str:
            end = ", ".join(f"%({name}{n})s::text::{column.type}" for n, column in enumerate(self.table.key))
            return f"(%({name}0)s::text IS NULL OR ({own}) {order} ({end}))"

        return f"{side('after', '>')} AND {side('upto', '<=')}"

    @staticmethod
    def range(after: Sequence[str | None], upto: Sequence[str | None]) -> dict[str, str | None]:
        """The parameters of `within`: keys as text, or NULLs where a side is open."""
        return {f"{name}{n}": part for name, key in (("after", after), ("upto", upto)) for n, part in enumerate(key)}

    def ours(self, alias: str, xmin: str = "xmin") -> str:
        """That a stored row was last written by a merge, or is as a capture first met it; never NULL."""
        baseline = f"SELECT b.row_xmin FROM {self.baseline} b WHERE {self.on('b', alias)}"
        return (
            f"(coalesce({alias}.{xmin} = {alias}.merge_xid, false) OR coalesce({alias}.{xmin} = ({baseline}), false))"
        )

    def lookup(self, table: str, alias: str, by: str, columns: str = "*", where: str = "") -> str:
        """The rows of a big table with the key of `by`, for FROM: always found by index (sinks/merge/statements.py)."""
        return f"LATERAL (SELECT {columns} FROM {table} {alias} WHERE {self.on(alias, by)} {where} OFFSET 0) {alias}"


def make(connection: Connection, table: Table) -> None:
    """Make the serving table, its history and its baseline from the spec, or add what they lack of its columns.

    A serving table that others have made is adopted: what merging needs is added, nothing is taken away.
    """
    sql = Companions(table)
    key = ", ".join(f"{column.name} {column.type}" for column in table.key)
    own = ["capture_id text", "derivation_version int", "merge_xid xid"]
    own += [f"{table.touched} timestamptz"] if table.touched else []
    entry = "source int2 NOT NULL, capture_id text NOT NULL, observed timestamptz NOT NULL"
    connection.execute(f"""
        CREATE TABLE IF NOT EXISTS {sql.serving} ({key}, PRIMARY KEY ({sql.keys}));
        CREATE TABLE IF NOT EXISTS {sql.history} ({key}, {entry}, derivation_version int NOT NULL, arrival int8,
            PRIMARY KEY ({sql.keys}, source, capture_id, observed));
        CREATE TABLE IF NOT EXISTS {sql.baseline} ({key}, present bool NOT NULL, row_xmin xid, PRIMARY KEY ({sql.keys}))
        """)
    columns = [f"{column.name} {column.type}" for column in table.columns]
    for name, wanted in ((sql.serving, [*columns, *own]), (sql.history, columns), (sql.baseline, columns)):
        add_missing(connection, name, wanted)
    if not value(connection, _INDEXED, [sql.history]):
        connection.execute(f"CREATE INDEX ON {sql.history} (capture_id, {sql.keys})")


_INDEXED = """
    SELECT EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                   WHERE i.indrelid = to_regclass(%s) AND a.attname = 'capture_id')"""
