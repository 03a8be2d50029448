"""Merges and rollbacks plan as they were measured, whatever a role, a database or an address sets."""

from collections.abc import Iterator

import psycopg
import pytest

from schemas.domain import Domain
from schemas.outcome import Outcome, TableRows
from schemas.table import Mode, Step
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.policies import prepare
from sinks.policy import Taken
from sinks.rollback import preview, roll_back
from tests.sinks.made_tables import MADE, ONE_SOURCE, make, make_capture

pytestmark = pytest.mark.services

_SAYS = """SELECT name FROM pg_settings
           WHERE category LIKE 'Query Tuning%' AND context = 'user' AND setting IS DISTINCT FROM boot_val ORDER BY 1"""
_BY_INDEX = ["enable_hashjoin", "enable_mergejoin", "enable_seqscan", "jit", "plan_cache_mode"]
_BY_PIECES = ["enable_seqscan", "jit", "plan_cache_mode"]
_DOMAIN = Domain(
    name="made",
    derivation_version=1,
    tables=MADE.tables,
    steps=(Step("settings", f"WITH gone AS (DELETE FROM said) INSERT INTO said {_SAYS}"),),
)


@pytest.fixture
def odd(migrated: str) -> Iterator[psycopg.Connection]:
    """A session of a role whose settings leave the planner no way that is quick."""
    joins = ["nestloop", "hashjoin", "mergejoin", "material", "memoize"]
    ways = [*joins, "indexscan", "indexonlyscan", "bitmapscan", "hashagg", "sort"]
    others = ["plan_cache_mode=force_generic_plan", "random_page_cost=1e6", "jit_above_cost=0", "join_collapse_limit=1"]
    with psycopg.connect(migrated, autocommit=True) as opened:
        for setting in [*(f"enable_{way}=off" for way in ways), *others]:
            opened.execute(f"ALTER DATABASE {opened.info.dbname} SET {setting.replace('=', ' = ')}")
    with psycopg.connect(migrated, autocommit=True) as opened:
        opened.execute("CREATE TABLE said (name text)")
        for table in MADE.tables:
            make(opened, table)
        yield opened


def _said(connection: psycopg.Connection, query: str = _SAYS) -> list[str]:
    return [name for (name,) in connection.execute(query)]


def test_settings_of_the_planner_decide_nothing(odd: psycopg.Connection, migrated: str) -> None:
    assert len(_said(odd)) > len(_BY_INDEX)
    prepare(odd, _DOMAIN)
    assert _said(odd) == _BY_INDEX
    capture = make_capture(odd, 1, Mode.FILL, 1)
    seen = "2026-02-06T12:00:00+00:00"
    rows = [[k, seen, 1.0] for k in range(3)]
    outcome = Outcome(read=3, tables=[TableRows.of(ONE_SOURCE, ("k", "seen", "a"), rows)])
    apply(odd, _DOMAIN, capture, [Result(Origin("t", 0, 0), capture, None, outcome)])

    with psycopg.connect(migrated, autocommit=True) as looking:
        taken = Taken(entries=3, deleted=3)
        assert preview(looking, _DOMAIN, capture, of_run=True)["made_one"] == taken
        assert _said(looking) == _BY_PIECES
    odd.execute("INSERT INTO said VALUES ('nothing')")
    assert [done.deleted for _, done in roll_back(odd, _DOMAIN, capture, of_run=True)] == [3]
    assert _said(odd, "SELECT name FROM said") == [], "steps join whole tables"
    assert _said(odd) == _BY_INDEX
