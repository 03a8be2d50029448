from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from rederive.http.app import create_app
from rederive.settings import Settings

BASE = "http://127.0.0.1:8787"


@pytest.fixture
def http(settings: Settings, migrated: str) -> Iterator[TestClient]:  # noqa: ARG001
    """A client of the application on the test's own migrated database."""
    with TestClient(create_app(settings), base_url=BASE) as client:
        yield client
