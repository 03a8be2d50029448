from collections.abc import Iterator

import psycopg
import pytest

from sinks.merge.merging import prepare
from tests.sinks.made_tables import MADE, make


@pytest.fixture
def connection(migrated: str) -> Iterator[psycopg.Connection]:
    """A migrated database with the made tables, ready for merging."""
    with psycopg.connect(migrated, autocommit=True) as opened:
        opened.execute("SET synchronous_commit = off")
        for table in MADE.tables:
            make(opened, table)
        prepare(opened, MADE.tables)
        yield opened
