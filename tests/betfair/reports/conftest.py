from collections.abc import Iterator

import psycopg
import pytest

from rederive.database import connect
from rederive.migrate import migrate


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    migrate(database_url)
    with connect(database_url, application="tests") as opened:
        yield opened
