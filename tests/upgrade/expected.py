"""What a version has said of a database that it had filled: its captures, and what its tables hold after each step."""

import gzip
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import psycopg
from psycopg import sql
from pydantic import TypeAdapter

from producers.source import Services, open_source
from rederive import captures, domains
from rederive.replayer import Replayer
from rederive.settings import Settings
from schemas.domain import Domain
from store import captures as stored
from store import units
from store.rows import values
from tests.program import rederive

Row = tuple[Any, ...]
Columns = Mapping[str, tuple[str, ...]]
"""The columns that are compared, by table."""

DETAILED = "market_derived_metrics"
"""Of this table rows are kept whole, so that a difference says where it is."""

_WRITTEN_WHEN = {
    *("updated_at", "created_at", "captured_at", "ingested_at", "normalized_at", "calculated_at", "computed_at"),
    "merge_xid",
}
_OF_RUN = {
    "id",
    *("capture_id", "execution_id", "batch_id", "derivation_version"),
    *("input_capture_id", "input_min_capture_id", "input_max_capture_id"),
    *("input_min_captured_at", "input_max_captured_at"),
}
"""What a resumed FINRA run, which mints captures of partitions anew, can't say again."""


@dataclass(frozen=True, slots=True)
class Step:
    """What is done to a capture, and what the tables of its domain hold afterwards: by table (rows, md5).

    Nothing is done in a domain's first step. `changed` are the rows of the detailed table that differ from the step
    before, by key; None when the row is gone.
    """

    name: str
    action: str
    capture: str
    tables: Mapping[str, tuple[int, str]]
    changed: Mapping[int, Row | None]


@dataclass(frozen=True, slots=True)
class Expected:
    """A version's captures, and its own steps from there, in order.

    `columns` are those that are compared, by table. Left out are times of writing, ids of sequences and transactions,
    and FINRA's ids of captures.
    """

    revision: str
    columns: Columns
    captures: Sequence[Row]
    steps: Sequence[Step]

    @classmethod
    def beside(cls, dump: Path) -> "Expected":
        """What was said of a dump."""
        return _JSON.validate_json(gzip.decompress(_beside(dump).read_bytes()))

    def write(self, dump: Path) -> None:
        """Say it of a dump."""
        text = orjson.dumps(self, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2)
        _beside(dump).write_bytes(gzip.compress(text, 9, mtime=0))

    def differences(self, connection: psycopg.Connection, step: Step, rows: Mapping[int, Row]) -> list[str]:
        """What is other than a step says; `rows` are those that the detailed table should have then."""
        found = []
        for table, wanted in step.tables.items():
            got = checksum(connection, table, self.columns[table])
            if got != wanted:
                found.append(f"{step.name}: {table} has {got[0]} rows ({got[1]}), wanted are {wanted[0]} ({wanted[1]})")
        if DETAILED in step.tables:
            found += [f"{step.name}: {line}" for line in self._in_detail(connection, rows)]
        return found

    def _in_detail(self, connection: psycopg.Connection, rows: Mapping[int, Row]) -> list[str]:
        names = self.columns[DETAILED]
        there = detailed(connection, names)
        found = [f"snapshot {key} is {'there' if key in there else 'gone'}" for key in sorted(there.keys() ^ rows)]
        for key in sorted(there.keys() & rows):
            found += [
                f"snapshot {key}: {name} is {got!r}, wanted is {wanted!r}"
                for name, got, wanted in zip(names, there[key], rows[key], strict=True)
                if got != wanted
            ]
        return found


_JSON = TypeAdapter(Expected)


def _beside(dump: Path) -> Path:
    return dump.with_name(dump.name.replace(".sql.", ".json."))


def restore(connection: psycopg.Connection, dump: Path) -> None:
    """Run a dump in an empty database, and leave the connection as it was: the dump sets its session for itself."""
    with connection.transaction():
        connection.execute(gzip.decompress(dump.read_bytes()))
    connection.execute("RESET ALL")


def compared(connection: psycopg.Connection, domain: Domain) -> Columns:
    """The columns that say the same whenever they are written, of all tables that captures of a domain write."""
    found = {}
    for table in domain.tables:
        of_run = _OF_RUN if table.name.startswith(("finra_", "core_")) else set()
        names = values(
            connection,
            """SELECT column_name::text FROM information_schema.columns
               WHERE table_schema = 'public' AND table_name = %s AND coalesce(column_default, '') NOT LIKE 'nextval(%%'
               ORDER BY ordinal_position""",
            [table.name],
        )
        found[table.name] = tuple(name for name in names if name not in _WRITTEN_WHEN | of_run)
    return found


def checksum(connection: psycopg.Connection, table: str, columns: Sequence[str]) -> tuple[int, str]:
    """Rows, and the md5 over these columns of all of them, sorted as texts."""
    row = connection.execute(
        sql.SQL(
            """SELECT count(*), md5(coalesce(string_agg(line, chr(10) ORDER BY line COLLATE "C"), ''))
               FROM (SELECT ROW({})::text AS line FROM {}) lines"""
        ).format(sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return int(row[0]), str(row[1])


def detailed(connection: psycopg.Connection, columns: Sequence[str]) -> dict[int, Row]:
    """The rows of the detailed table by key, as JSON has them."""
    rows = connection.execute(
        sql.SQL("SELECT snapshot_id, jsonb_build_array({}) FROM {}").format(
            sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(DETAILED)
        )
    )
    return {key: tuple(row) for key, row in rows}


def following(rows: Mapping[int, Row], step: Step) -> dict[int, Row]:
    """The rows of the detailed table after a step."""
    return {key: row for key, row in {**rows, **step.changed}.items() if row is not None}


def listed(connection: psycopg.Connection) -> list[Row]:
    """All captures with their counts, without times and people, in the order of ids."""
    return sorted(
        (
            one.capture_id, one.state, one.mode, one.dry_run, one.units, one.units_done, one.units_dead,
            one.rows, one.updated, one.unchanged, one.skipped, one.errors,
        )
        for one in stored.listed(connection, limit=1000)
    )  # fmt: skip


def take(settings: Settings, action: str, capture: str) -> None:
    """Resume a capture, or roll it back as the command does; nothing without an action."""
    if action == "resume":
        rederive(settings, "captures", "resume", capture)
    elif action == "rollback":
        with Replayer.of(settings).connected("rollback") as connection:
            assert captures.nothing_to_take_back(connection, capture) == ""
            for _ in captures.rollback(connection, capture):
                pass


def unreadable(connection: psycopg.Connection) -> list[str]:
    """The units of which their source can't read the locator."""
    found = []
    services = Services(connection, lambda: connection, {})
    for capture_id in stored.ids(connection):
        capture = stored.find(connection, capture_id)
        assert capture is not None
        with closing(open_source(domains.find(capture.domain), capture.source, services)) as source:
            for unit in units.of_capture(connection, capture_id):
                try:
                    source.located(unit.locator)
                except ValueError as error:
                    found.append(f"{capture_id}, unit {unit.unit}: {error}")
    return found
