"""Where Kafka and Postgres answer: what the settings name, and embedded services for what they don't."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from rederive.settings import Endpoints, Settings


def resolve(settings: Settings) -> Endpoints:
    """The services to work with: those the settings name, and embedded ones for those they don't.

    Embedded services that don't run are started. With both named nothing is started.
    Raises RederiveError when an embedded service can't start.
    """
    bootstrap = settings.kafka_bootstrap
    url = settings.database_url.get_secret_value() if settings.database_url else None
    if bootstrap and url:
        return Endpoints(bootstrap, url)

    from rederive import local

    if bootstrap:
        return Endpoints(bootstrap, local.start_postgres(settings))
    if url:
        return Endpoints(local.start_kafka(settings), url)
    return local.start(settings)


def resolve_database(settings: Settings) -> str:
    """The Postgres URL alone: the named one, or the embedded server's, started when it doesn't run."""
    if settings.database_url:
        return settings.database_url.get_secret_value()

    from rederive import local

    return local.start_postgres(settings)


def running(settings: Settings) -> tuple[str | None, str | None]:
    """(Kafka's bootstrap list, the Postgres URL) without starting anything: None for one neither named nor running."""
    from rederive import local

    bootstrap = settings.kafka_bootstrap or local.running_kafka(settings)
    url = settings.database_url.get_secret_value() if settings.database_url else local.running_database(settings)
    return bootstrap, url


class Closable(Protocol):
    """What is closed in the end."""

    def close(self) -> None:
        """Let go of what it has."""


T = TypeVar("T", bound=Closable)


@dataclass(slots=True)
class Kept(Generic[T]):
    """What talks to a service, from look to look: made by `make` for an address, closed when that is another one."""

    make: Callable[[str], T]
    _address: str | None = None
    _made: T | None = None

    def at(self, address: str | None) -> T | None:
        """What talks to that address; None without one. Errors are those of `make`."""
        if address != self._address:
            self.close()
        if self._made is None and address:
            self._made, self._address = self.make(address), address
        return self._made

    def close(self) -> None:
        """Let go of it; the next is made anew."""
        if self._made is not None:
            self._made.close()
        self._made = self._address = None
