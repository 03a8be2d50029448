import secrets
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from rederive.database import connect
from rederive.migrate import migrate
from rederive.settings import Endpoints, Settings
from tests.services import asked, kept
from tests.sizes import usual

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile(
    "whatever else runs", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("whatever else runs")
# Of what is tested as it stands elsewhere: --hypothesis-profile few
hypothesis.settings.register_profile("few", hypothesis.settings.get_profile("whatever else runs"), max_examples=10)

_FOLDER = pytest.StashKey[Path]()
_IN_WORKERS = "rederive_services"


def pytest_configure(config: pytest.Config) -> None:
    def terminated(_number: int, _frame: FrameType | None) -> None:
        pytest.exit("terminated", returncode=143)

    signal.signal(signal.SIGTERM, terminated)
    # Begun in the background, or by nohup, they would be deaf, and all that they start: as from a terminal it is.
    for number, usual_handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual_handler)
    if hasattr(config, "workerinput"):
        config.stash[_FOLDER] = Path(config.workerinput[_IN_WORKERS])
    else:
        until_the_end = ExitStack()
        config.stash[_FOLDER] = until_the_end.enter_context(kept())
        config.add_cleanup(until_the_end.close)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist where the services of the run are kept."""
    node.workerinput[_IN_WORKERS] = str(node.config.stash[_FOLDER])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that use services come first: what takes long must not be what the last worker begins.

    Tests that are marked as long are for releases: LONG_TESTS=1 runs them, too.
    """
    if not usual(False, long=True):
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long: LONG_TESTS=1 runs it"))
    with_services = {item.path for item in items if item.get_closest_marker("services")}
    items.sort(key=lambda item: item.path not in with_services)


@pytest.fixture(scope="session")
def endpoints(request: pytest.FixtureRequest) -> Endpoints:
    """Kafka and Postgres, shared by the whole run."""
    return asked(request.config.stash[_FOLDER])


@contextmanager
def _database(url: str, template: str) -> Iterator[str]:
    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as connection:
        # to copy through the write-ahead log takes five times as long
        make = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        connection.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        try:
            yield _with_database(url, name)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def template(endpoints: Endpoints) -> Iterator[str]:
    """The name of a migrated database that others are copied from: migrating each would take most of the time."""
    with _database(endpoints.database_url, "template1") as url:
        migrate(url)
        yield conninfo_to_dict(url)["dbname"]  # type: ignore[misc]


@pytest.fixture
def database_url(endpoints: Endpoints, request: pytest.FixtureRequest) -> Iterator[str]:
    """A database of the test's own, dropped afterwards: empty, or with `migrated` as a migration leaves it."""
    wanted = "migrated" in request.fixturenames
    with _database(endpoints.database_url, request.getfixturevalue("template") if wanted else "template1") as url:
        yield url


@pytest.fixture
def migrated(database_url: str) -> str:
    """The address of the test's own database, with all tables."""
    return database_url


@pytest.fixture
def connection(migrated: str) -> Iterator[psycopg.Connection]:
    """A connection to the test's own database, with all tables."""
    with connect(migrated, application="tests") as opened:
        yield opened


@pytest.fixture
def settings(endpoints: Endpoints, database_url: str, tmp_path: Path) -> Iterator[Settings]:
    """Settings for both services: the test's own database, topics and groups under a prefix of its own."""
    own = Settings(
        home=tmp_path / "home",
        kafka_bootstrap=endpoints.kafka_bootstrap,
        database_url=database_url,
        topic_prefix=f"test-{secrets.token_hex(6)}.",
    )
    yield own
    admin = AdminClient({**own.kafka_config()})
    topics = [name for name in admin.list_topics(timeout=10).topics if name.startswith(own.topic_prefix)]
    if topics:
        for deleted in admin.delete_topics(topics, operation_timeout=30).values():
            deleted.result()
    groups = [
        group.group_id
        for group in admin.list_consumer_groups().result().valid
        if group.group_id.startswith(own.topic_prefix)
    ]
    if groups:
        for gone in admin.delete_consumer_groups(groups).values():
            # a member that is leaving may still hold it
            gone.exception()


def _with_database(url: str, name: str) -> str:
    head, _, tail = url.partition("?")
    return f"{head.rsplit('/', 1)[0]}/{name}{'?' + tail if tail else ''}"
