"""Small tables that have all that merging knows: one source; two, with owners and a group; three, written bare."""

from collections.abc import Sequence

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Column, Mode, Table

MODES = (Mode.FILL, Mode.SUPERSEDE)
"""The modes that merge."""

_TIMES = (Column("seen", "timestamptz"),)

ONE_SOURCE = Table(
    name="made_one",
    key=(Column("k", "int8"),),
    attributes=_TIMES,
    values=tuple(Column(name, "float8") for name in "abc"),
    observed="seen",
    policy=Mode.FILL,
)
TWO_SOURCES = Table(
    name="made_two",
    key=(Column("k", "int8"),),
    attributes=_TIMES,
    values=(
        Column("ca", "float8", owners=(0,)),
        Column("ra", "float8", owners=(1,)),
        Column("rb", "float8", owners=(1,)),
        Column("p", "float8", owners=(1,)),
        Column("q", "float8", owners=(1,)),
    ),
    observed="seen",
    policy=Mode.SUPERSEDE,
    sources=("card", "result"),
    groups=(("q", "p"),),
)
THREE_SOURCES = Table(
    name="made_three",
    key=(Column("k", "int8"),),
    attributes=(),
    values=(
        Column("every", "float8", owners=(0, 1, 2)),
        Column("two", "float8", owners=(1, 2)),
        Column("last", "float8", owners=(2,)),
        Column("g", "float8", owners=(0, 1, 2)),
        Column("h", "float8", owners=(0, 1, 2)),
    ),
    observed="seen",
    policy=Mode.SUPERSEDE,
    sources=("card", "result", "reference"),
    groups=(("g", "h"),),
    bare=True,
    touched="changed_at",
)
MADE = Domain(
    name="made",
    derivation_version=1,
    tables=(ONE_SOURCE, TWO_SOURCES, THREE_SOURCES),
    scopes={"all": tuple("abc")},
)


def make(connection: Connection, table: Table) -> None:
    """Make the serving table, its history and its baseline as a migration does."""
    key = ", ".join(f"{c.name} {c.type}" for c in table.key)
    names = ", ".join(c.name for c in table.key)
    columns = ", ".join(f"{c.name} {c.type}" for c in table.columns)
    serving = ", ".join(
        [
            *(f"{c.name} {c.type} NOT NULL" for c in table.attributes),
            *(f"{c.name} {c.type}" for c in table.values),
            *([f"{table.touched} timestamptz"] if table.touched else []),
        ]
    )
    connection.execute(f"""
        CREATE TABLE {table.name} ({key}, {serving}, capture_id text, derivation_version int, merge_xid xid,
            PRIMARY KEY ({names}));
        CREATE TABLE rederive.{table.name}_history ({key}, source int2 NOT NULL, capture_id text NOT NULL,
            observed timestamptz NOT NULL, derivation_version int NOT NULL, arrival int8, {columns},
            PRIMARY KEY ({names}, source, capture_id, observed));
        CREATE TABLE rederive.{table.name}_baseline ({key}, present bool NOT NULL, row_xmin xid, {columns},
            PRIMARY KEY ({names}))""")


def make_capture(
    connection: Connection,
    number: int,
    mode: Mode,
    version: int,
    *,
    dry_run: bool = False,
    clear: Sequence[str] = (),
) -> str:
    """A running capture `c<number>`."""
    connection.execute(
        """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
               request, digest, who, state, dry_run, clear, becomes)
           VALUES (%s, %s, 'made', 'table', %s, %s, '{}', '{}', '', 'test', 'running', %s, %s, %s)""",
        [
            f"c{number}",
            number,
            mode,
            version,
            dry_run,
            list(clear) or None,
            Mode.SUPERSEDE if mode is Mode.SHADOW else None,
        ],
    )
    return f"c{number}"
