"""Kafka and Postgres for the tests: the named ones, containers where Docker answers, embedded ones elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from unittest import mock

import psutil

from rederive import local
from rederive.local.home import free_port, locked
from rederive.local.kafka import VERSION as KAFKA_VERSION
from rederive.local.postgres import OPTIONS
from rederive.settings import Endpoints, Settings
from schemas.wire import MAX_BATCH_BYTES
from tests.wait import until

ROOT = Path(__file__).parents[1]

_LIFE, _HELD, _FOUND = "life", "held", "found.json"
_START_SECONDS, _STOP_SECONDS = 240, 120

_SHARED_MEMORY, _ROOM = "/dev/shm", 4 << 30

# No test ends these services: what they hold has nothing to outlive.
_FORGETFUL = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@contextmanager
def kept() -> Iterator[Path]:
    """A folder for `asked`: what is started there ends with the block, or when this process ends in any way."""
    folder = Path(tempfile.mkdtemp(prefix="rederive-tests-"))
    os.mkfifo(folder / _LIFE)
    # for reading too: opening it waits for nobody
    life = os.open(folder / _LIFE, os.O_RDWR)
    try:
        yield folder
    finally:
        os.close(life)
        with locked(folder / _HELD, _STOP_SECONDS):
            shutil.rmtree(folder)


def asked(folder: Path) -> Endpoints:
    """The services that are kept there for all processes of a run of tests; who asks first starts them.

    Those that the environment names are nobody's to start.
    """
    named = Settings()
    if named.kafka_bootstrap and named.database_url:
        return Endpoints(named.kafka_bootstrap, named.database_url.get_secret_value())
    with locked(folder / "asked", _START_SECONDS):
        if not (folder / _FOUND).exists():
            _start(folder)
    return Endpoints(**json.loads((folder / _FOUND).read_text()))


def _start(folder: Path) -> None:
    # without waiting: it may be closed already
    life = os.open(folder / _LIFE, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(life, True)
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.services", str(folder)],
        stdin=life,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    os.close(life)
    until(lambda: (folder / _FOUND).exists() or holder.poll() is not None, _START_SECONDS, "the services do not start")
    assert holder.poll() is None, "the services did not start"


def _hold(folder: Path) -> None:
    """Containers where Docker answers, embedded services elsewhere, until stdin is closed."""
    with locked(folder / _HELD, 0), containers() if docker_answers() else embedded() as endpoints:
        new = folder / f"{_FOUND}.new"
        new.write_text(json.dumps(asdict(endpoints)))
        new.replace(folder / _FOUND)
        sys.stdin.buffer.read()


@contextmanager
def embedded() -> Iterator[Endpoints]:
    """The embedded services in a folder of their own."""
    home = Path(tempfile.mkdtemp(prefix="rederive-test-", dir=_memory()))
    settings = Settings(home=home)
    try:
        with mock.patch.dict(OPTIONS, _FORGETFUL):
            found = local.start(settings)
        yield found
    finally:
        local.stop(settings)
        shutil.rmtree(home, ignore_errors=True)


def _memory() -> str | None:
    """Where files are kept in memory, if there is room: to make a database takes a sixth of the time there."""
    try:
        room = shutil.disk_usage(_SHARED_MEMORY).free
    except OSError:
        return None
    return _SHARED_MEMORY if room >= _ROOM and psutil.virtual_memory().available >= 2 * _ROOM else None


def docker_answers() -> bool:
    """Whether a Docker engine can be used."""
    import docker

    try:
        return bool(docker.from_env(timeout=5).ping())
    except docker.errors.DockerException:
        return False


@contextmanager
def containers() -> Iterator[Endpoints]:
    """Both services in containers, with the settings of the embedded ones."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.postgres import PostgresContainer

    port = free_port(0, set())
    kafka = DockerContainer(f"apache/kafka:{KAFKA_VERSION}").with_bind_ports(9092, port)
    host = kafka.get_container_host_ip()
    for name, value in {
        "PROCESS_ROLES": "broker,controller",
        "NODE_ID": "1",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "MESSAGE_MAX_BYTES": str(MAX_BATCH_BYTES),
        "REPLICA_FETCH_MAX_BYTES": str(MAX_BATCH_BYTES),
        "AUTO_CREATE_TOPICS_ENABLE": "false",
        "OFFSETS_RETENTION_MINUTES": "525600",
        "OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
    }.items():
        kafka = kafka.with_env(f"KAFKA_{name}", value)
    local_only = ("listen_addresses", "unix_socket_directories")
    options = " ".join(
        f"-c {name}={value}" for name, value in {**OPTIONS, **_FORGETFUL}.items() if name not in local_only
    )
    postgres = PostgresContainer("postgres:18", driver=None).with_command(f"postgres {options}")
    with kafka, postgres:
        bootstrap = f"{host}:{port}"
        until(lambda: _has_broker(bootstrap), 60, "Kafka's container does not answer")
        yield Endpoints(bootstrap, postgres.get_connection_url())


def _has_broker(bootstrap: str) -> bool:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": bootstrap, "log_level": "0"}).list_topics(timeout=2).brokers)
    except KafkaException:
        return False


if __name__ == "__main__":
    _hold(Path(sys.argv[1]))
