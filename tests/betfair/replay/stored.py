"""What is stored, and what a run says of itself."""

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from rederive.settings import Settings
from tests.program import last_object, rederive

# Everything a person would call data: a row as it is, whatever transaction wrote it.
_ROW = "to_jsonb(d) - 'merge_xid' - 'capture_id' - 'derivation_version'"


def replay(settings: Settings, *words: str, code: int = 0, timeout: float = 120) -> dict[str, Any]:
    """Run a command that runs a capture; its JSON object, its counts checked against each other."""
    done = rederive(settings, *words, "--json", code=code, timeout=timeout)
    found = last_object(done.stdout)
    total = sum(number(found, name) for name in ("updated", "unchanged", "skipped", "errors"))
    assert number(found, "processed") == total
    return {**found, "log": done.stderr}


def number(found: dict[str, Any], name: str) -> int:
    value = found[name]
    assert isinstance(value, int)
    return value


def counts(found: dict[str, Any]) -> tuple[int, int, int]:
    """Updated, skipped, errors: as a run is reported."""
    return number(found, "updated"), number(found, "skipped"), number(found, "errors")


def rows(connection: psycopg.Connection) -> dict[int, dict[str, Any]]:
    """Every derived row by snapshot_id, with its values only."""
    query = f"SELECT snapshot_id, {_ROW} FROM market_derived_metrics d"
    return dict(connection.execute(query).fetchall())


def fingerprint(connection: psycopg.Connection) -> str:
    """Changes whenever any stored bit of any derived row does, its capture included."""
    row = connection.execute(
        "SELECT md5(string_agg(d::text, '|' ORDER BY snapshot_id)) FROM market_derived_metrics d"
    ).fetchone()
    assert row is not None
    return str(row[0])


def nulls(connection: psycopg.Connection, columns: Sequence[str]) -> tuple[int, ...]:
    """NULLs of each column."""
    parts = [sql.SQL("count(*) - count({})").format(sql.Identifier(name)) for name in columns]
    row = connection.execute(
        sql.SQL("SELECT {} FROM market_derived_metrics").format(sql.SQL(", ").join(parts))
    ).fetchone()
    assert row is not None
    return tuple(row)


def scalar(connection: psycopg.Connection, query: str, *parameters: object) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def lines(output: str) -> list[list[str]]:
    """A printed table's lines as words."""
    return [line.split() for line in output.splitlines()]
