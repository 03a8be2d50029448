"""Services of a test's own, which it may end."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from pydantic import SecretStr

from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings


@dataclass
class Own:
    """Services that a test may end, and settings that name them."""

    services: Settings
    settings: Settings

    @property
    def url(self) -> str:
        assert self.settings.database_url is not None
        return self.settings.database_url.get_secret_value()

    def end(self, service: str, number: signal.Signals) -> None:
        (found,) = [one for one in local.status(self.services) if one.service == service]
        assert found.pid is not None
        process = psutil.Process(found.pid)
        process.send_signal(number)
        # The embedded services may be children of the tests or nobody's.
        psutil.wait_procs([process], timeout=30)
        assert not process.is_running() or process.status() == psutil.STATUS_ZOMBIE

    def back(self) -> None:
        """Start again what was ended; the addresses must be the same."""
        found = local.start(self.services)
        assert (found.kafka_bootstrap, found.database_url) == (self.settings.kafka_bootstrap, self.url)


@contextmanager
def started(folder: Path, **named: int) -> Iterator[Own]:
    """Fresh services with all tables, and settings that name them besides; ended afterwards."""
    services = Settings(home=folder / "services", kafka_bootstrap=None, database_url=None)
    try:
        found = local.start(services)
        migrate(found.database_url)
        settings = Settings(
            home=folder / "home",
            kafka_bootstrap=found.kafka_bootstrap,
            database_url=SecretStr(found.database_url),
            **named,
        )
        yield Own(services, settings)
    finally:
        local.stop(services)
