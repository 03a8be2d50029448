"""Embedded services that are made for a measurement, and gone afterwards."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings


@contextmanager
def services() -> Iterator[Settings]:
    """Kafka and Postgres with all tables; settings that name both."""
    with _home() as settings:
        endpoints = local.start(settings)
        migrate(endpoints.database_url)
        yield settings.at(endpoints)


@contextmanager
def postgres() -> Iterator[tuple[Settings, str]]:
    """Postgres alone with all tables: settings of its home, which name no service, and its address."""
    with _home() as settings:
        url = local.start_postgres(settings)
        migrate(url)
        yield settings, url


@contextmanager
def _home() -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        try:
            yield settings
        finally:
            local.stop(settings)
