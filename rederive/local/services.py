"""Both embedded services as one: start, stop, status."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from rederive.local import process
from rederive.local.home import Home, State
from rederive.local.kafka import VERSION, Kafka
from rederive.local.postgres import Postgres
from rederive.settings import Endpoints, Settings
from schemas.errors import Failed

_PATIENCE_SECONDS = 8


@dataclass(frozen=True, slots=True)
class Status:
    """How one service is: `state` is running, stopped or silent (a process that doesn't answer)."""

    service: str
    state: str
    pid: int | None
    port: int | None
    data: str
    version: str


def start(settings: Settings) -> Endpoints:
    """Start what doesn't run and return when both answer.

    Safe to call from several processes at once, after kills, and again and again. Raises RederiveError when a service
    can't start; the other one stays up.
    """
    home = Home(settings.home)
    kafka, postgres = Kafka(home, settings.maven_repository), Postgres(home)
    with _kept(home) as state:
        with ThreadPoolExecutor(max_workers=2) as pool:
            both = [pool.submit(postgres.start, state), pool.submit(kafka.start, state)]
        for one in both:
            one.result()
        return Endpoints(f"127.0.0.1:{state.kafka_port}", postgres.url(state))


def start_kafka(settings: Settings) -> str:
    """Start only Kafka; its bootstrap address."""
    home = Home(settings.home)
    with _kept(home) as state:
        Kafka(home, settings.maven_repository).start(state)
        return f"127.0.0.1:{state.kafka_port}"


def start_postgres(settings: Settings) -> str:
    """Start only Postgres; its URL."""
    home = Home(settings.home)
    postgres = Postgres(home)
    with _kept(home) as state:
        postgres.start(state)
        return postgres.url(state)


def stop(settings: Settings) -> bool:
    """Stop what runs, gracefully; False when nothing ran."""
    home = Home(settings.home)
    if not home.path.exists():
        return False
    with _kept(home) as state:
        with ThreadPoolExecutor(max_workers=2) as pool:
            both = [pool.submit(Kafka(home).stop, state), pool.submit(Postgres(home).stop, state)]
        ran = [one.result() for one in both]
        return any(ran)


def status(settings: Settings) -> list[Status]:
    """How Kafka and Postgres are, in this order. Starts and changes nothing."""
    home = Home(settings.home)
    kafka, postgres = Kafka(home), Postgres(home)
    state = home.load()

    def is_silent(service: Kafka | Postgres, running: psutil.Process) -> bool:
        # a busy machine is not a dead service
        return not process.wait_until(lambda: service.answers(state), lambda: process.alive(running), _PATIENCE_SECONDS)

    def describe(service: Kafka | Postgres, port: int, version: str) -> Status:
        running = service.find(state)
        word = "stopped" if running is None else "silent" if is_silent(service, running) else "running"
        name = type(service).__name__.lower()
        return Status(name, word, running.pid if running else None, port or None, str(service.data), version)

    return [
        describe(kafka, state.kafka_port, VERSION),
        describe(postgres, state.postgres_port, postgres.version()),
    ]


def has_database(settings: Settings) -> bool:
    """Whether an embedded Postgres was ever made in this home."""
    return (Postgres(Home(settings.home)).data / "PG_VERSION").exists()


def running_database(settings: Settings) -> str | None:
    """The URL of the embedded Postgres, None unless it answers. Starts nothing."""
    home = Home(settings.home)
    postgres, state = Postgres(home), home.load()
    return postgres.url(state) if postgres.find(state) and postgres.answers(state) else None


def running_kafka(settings: Settings) -> str | None:
    """The bootstrap address of the embedded Kafka, None unless it answers. Starts nothing."""
    home = Home(settings.home)
    kafka, state = Kafka(home), home.load()
    return f"127.0.0.1:{state.kafka_port}" if kafka.find(state) and kafka.answers(state) else None


def endpoints(settings: Settings) -> Endpoints | None:
    """Where the embedded services answer, None unless both do. Starts nothing."""
    if any(one.state != "running" for one in status(settings)):
        return None
    home = Home(settings.home)
    state = home.load()
    return Endpoints(f"127.0.0.1:{state.kafka_port}", Postgres(home).url(state))


@contextmanager
def _kept(home: Home) -> Iterator[State]:
    # one start or stop at a time; what it changed is kept, also when it failed
    try:
        with home.locked():
            state = home.load()
            try:
                yield state
            finally:
                home.save(state)
    except OSError as error:
        raise Failed(
            f"the embedded services in {home.path} can't be handled",
            why=str(error),
            mend="make room, or give the folder back to this user, or set REDERIVE_HOME to another one",
        ) from error
