from collections.abc import Iterator

import psycopg
import pytest

from rederive.migrate import migrate
from sinks.merge import prepare
from tests.sinks.made_tables import MADE, make


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    """A migrated database with the made tables, ready for merging."""
    migrate(database_url)
    with psycopg.connect(database_url, autocommit=True) as opened:
        opened.execute("SET synchronous_commit = off")
        for table in MADE.tables:
            make(opened, table)
        prepare(opened, MADE.tables)
        yield opened
