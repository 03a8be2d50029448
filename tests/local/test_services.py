import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from rederive.local import start, status
from rederive.local.kafka import _died
from rederive.settings import Settings
from tests import forks
from tests.services import ROOT
from tests.wait import until

pytestmark = pytest.mark.services


@dataclass
class Place:
    """A home folder, and the command line on it."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("REDERIVE_")}
        return kept | {"REDERIVE_HOME": str(self.home), "PYTHONPATH": str(ROOT)}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        # this returns only when nothing holds the output any more
        return forks.run(["local", *words], ROOT, self.environment, 120)

    def start(self) -> dict[str, Any]:
        done = self.run("start", "--json")
        assert done.returncode == 0, done.stderr
        services: dict[str, Any] = json.loads(done.stdout)
        assert {one["state"] for one in services.values()} == {"running"}
        return services

    def stopped(self) -> None:
        """See to it that they have run here, and don't now."""
        if not (self.home / "local.json").exists():
            self.start()
        self.run("stop")

    def endpoints(self) -> tuple[str, str]:
        lines = self.run("env").stdout.splitlines()
        variables = dict(line.split("=", 1) for line in lines)
        return variables["REDERIVE_KAFKA_BOOTSTRAP"], variables["REDERIVE_DATABASE_URL"]

    def processes(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self.home) in word for word in [*process.cmdline(), process.cwd()]):
                    found.append(process)
            except psutil.Error:
                continue
        return [process for process in found if process.pid != os.getpid()]


@contextmanager
def made_place(name: str = "home") -> Iterator[Place]:
    # not under pytest's own folder: every pytest that starts as root closes that to Postgres' user
    with tempfile.TemporaryDirectory(prefix="rederive-local-") as folder:
        here = Place(Path(folder) / name)
        yield here
        here.run("stop")
        assert here.processes() == []


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with made_place() as here:
        yield here


@pytest.fixture
def other() -> Iterator[Place]:
    with made_place() as there:
        yield there


@dataclass
class First:
    """A home below a folder that was closed to others, and what its very first start said."""

    place: Place
    said: str


@pytest.fixture(scope="module")
def first() -> Iterator[First]:
    with made_place() as there:
        there.home.mkdir(mode=0o700)
        there.home.parent.chmod(0o700)
        yield First(there, there.run("start").stderr)


def test_a_second_start_reuses_what_runs(place: Place) -> None:
    assert place.start() == place.start()


def test_env_lines_connect(place: Place) -> None:
    place.start()
    bootstrap, url = place.endpoints()
    assert AdminClient({"bootstrap.servers": bootstrap}).list_topics(timeout=5).brokers
    with psycopg.connect(url) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_a_shell_reads_env(place: Place) -> None:
    place.start()
    script = f'set -eua; . <("{sys.executable}" -m rederive local env); echo "$REDERIVE_KAFKA_BOOTSTRAP"'
    done = subprocess.run(
        ["bash", "-c", script], env=place.environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == place.endpoints()[0], done.stderr


@pytest.mark.parametrize("killed", [["kafka"], ["postgres"], ["kafka", "postgres"]], ids="+".join)
def test_start_heals_what_was_killed(place: Place, killed: list[str]) -> None:
    before = place.start()
    bootstrap, url = place.endpoints()
    topic = "kept-" + "-".join(killed)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 1)])[topic].result(10)
    with psycopg.connect(url) as connection:
        connection.execute(f'CREATE TABLE "{topic}" ()')
    for name in killed:
        os.kill(before[name]["pid"], signal.SIGKILL)
    after = place.start()
    assert place.endpoints() == (bootstrap, url), "addresses are kept"
    assert {name for name in after if after[name]["pid"] != before[name]["pid"]} == set(killed)
    assert topic in admin.list_topics(timeout=5).topics
    with psycopg.connect(url) as connection:
        connection.execute(f'SELECT FROM "{topic}"')


def test_a_statement_that_outlives_a_killed_server_does_not_block_the_next(place: Place) -> None:
    before = place.start()
    _, url = place.endpoints()
    with psycopg.connect(url, autocommit=True) as connection:
        # nothing in a tight loop of the server notices that its parent is gone
        busy = subprocess.Popen([sys.executable, "-c", _BUSY, url], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(
            lambda: connection.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'DO%'").fetchone(),
            20,
            "the statement does not run",
        )
    os.kill(before["postgres"]["pid"], signal.SIGKILL)
    assert place.start()["postgres"]["pid"] != before["postgres"]["pid"]
    busy.wait(20)


_BUSY = """\
import psycopg, sys
with psycopg.connect(sys.argv[1], autocommit=True) as connection:
    connection.execute("DO $$ BEGIN LOOP END LOOP; END $$")
"""


def test_a_lost_state_file_costs_only_the_ports(place: Place) -> None:
    place.start()
    (place.home / "local.json").unlink()
    place.start()
    with psycopg.connect(place.endpoints()[1]):
        pass
    assert len([p for p in place.processes() if p.name() == "java"]) == 1


def test_who_starts_them_without_saying_so_is_told(first: First) -> None:
    for service in ("Kafka", "Postgres"):
        assert f"starting the embedded {service} in {first.place.home}" in first.said
    assert "starting" not in first.place.run("start").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root Postgres runs as another user")
def test_only_folders_of_others_are_opened_with_a_word(first: First) -> None:
    home = first.place.home
    assert f"{home.parent}: the system user" in first.said
    assert f"{home}: the system user" not in first.said
    assert home.stat().st_mode & stat.S_IXOTH


@pytest.mark.parametrize("locale", ["C", pytest.param("C.UTF-8", marks=pytest.mark.long)])
def test_a_home_may_have_any_name(monkeypatch: pytest.MonkeyPatch, locale: str) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    with made_place('Zoë, 100%d of "$HOME" & <co>\\#1') as odd:
        odd.start()
        assert [path.name for path in odd.home.parent.iterdir()] == [odd.home.name]
        assert {"data", "kafka.log", "console.log"} <= {path.name for path in (odd.home / "kafka").iterdir()}
        os.kill(odd.start()["kafka"]["pid"], signal.SIGKILL)
        odd.start()


def test_two_homes_run_side_by_side(place: Place, first: First) -> None:
    one, two = place.start(), first.place.start()
    assert {each["port"] for each in one.values()}.isdisjoint(each["port"] for each in two.values())
    first.place.run("stop")
    assert place.run("status").returncode == 0


def test_starts_at_once_share_one_pair(other: Place) -> None:
    command = [sys.executable, "-m", "rederive", "local", "start", "--json"]
    racing = [subprocess.Popen(command, env=other.environment, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    answers = {process.communicate(timeout=120)[0] for process in racing}
    assert len(answers) == 1


def test_a_start_that_was_killed_leaves_nothing_in_the_way(other: Place) -> None:
    command = [sys.executable, "-m", "rederive", "local", "start"]
    starting = subprocess.Popen(command, env=other.environment, cwd=ROOT, stdout=subprocess.DEVNULL)
    until(other.processes, 30, "nothing was started")
    starting.kill()
    starting.wait()
    other.start()
    assert len([p for p in other.processes() if p.name() == "java"]) == 1


def test_a_port_that_another_program_took_is_left_to_it(place: Place) -> None:
    before = place.start()
    place.run("stop")
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", before["kafka"]["port"]))
        taken.listen()
        after = place.start()
    assert after["kafka"]["port"] != before["kafka"]["port"]
    assert after["postgres"]["port"] == before["postgres"]["port"]


def test_secrets_are_closed_to_others(place: Place) -> None:
    place.start()
    for name in ("local.json", "postgres/password"):
        assert stat.S_IMODE((place.home / name).stat().st_mode) == 0o600
    for name in ("", "kafka", "postgres"):
        assert not (place.home / name).stat().st_mode & (stat.S_IRWXG | stat.S_IROTH | stat.S_IWOTH)


def test_stop_leaves_no_process_and_status_says_so(place: Place) -> None:
    place.start()
    assert place.run("status").returncode == 0
    assert place.run("stop").returncode == 0
    assert place.processes() == []
    status = place.run("status", "--json")
    assert status.returncode == 1
    assert {one["state"] for one in json.loads(status.stdout).values()} == {"stopped"}
    assert place.run("stop").returncode == 0
    assert place.run("env").returncode == 1


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("PGTZ", "Mars", 'invalid value for parameter "TimeZone": "Mars"'),
        ("PGSERVICE", "nowhere", 'definition of service "nowhere" not found'),
        ("PGSSLMODE", "require", "server does not support SSL, but SSL was required"),
    ],
)
def test_a_server_that_runs_is_not_started_anew_for_a_variable(
    place: Place, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    before = place.start()
    monkeypatch.setenv(variable, value)
    refused = place.run("start")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"the embedded Postgres runs, but this command can't connect to it\n  why: {why}")
    assert variable in refused.stderr
    monkeypatch.delenv(variable)
    assert place.start() == before


def test_a_server_without_a_free_connection_is_not_started_anew(place: Place) -> None:
    before = place.start()
    url = place.endpoints()[1]
    with ExitStack() as held:
        with suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(url))
        refused = place.run("start")
    assert refused.returncode == 1
    assert "too many clients already" in refused.stderr
    until(lambda: place.run("status").returncode == 0, 60, "connections that ended are still held")
    assert place.start() == before


def test_the_program_that_started_them_can_heal_and_another_can_stop_them(place: Place) -> None:
    place.stopped()
    settings = Settings(home=place.home)
    before = start(settings)
    for service in status(settings):
        assert service.pid
        # uncollected children of this process: they don't count as running
        os.kill(service.pid, signal.SIGKILL)
    assert start(settings) == before
    assert place.run("stop").returncode == 0
    assert {one.state for one in status(settings)} == {"stopped"}


def test_stop_asks_while_a_capture_is_being_run(place: Place) -> None:
    place.start()
    capture = "betfair-20261121-1"
    with psycopg.connect(place.endpoints()[1], application_name=f"rederive replay {capture}"):
        refused = place.run("stop")
        assert refused.returncode == 2
        assert f"{capture} is being run\n  why: " in refused.stderr
        assert "--yes" in refused.stderr

        for answer, code in ((b"n\n", 1), (b"\x04", 1), (b"y\n", 0)):
            assert place.run("status").returncode == 0
            person, terminal = os.openpty()
            os.write(person, answer)
            asked = subprocess.run(
                [sys.executable, "-m", "rederive", "local", "stop"],
                env=place.environment,
                cwd=ROOT,
                stdin=terminal,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            os.close(person)
            os.close(terminal)
            assert asked.returncode == code, asked.stderr
            assert f"{capture} is being run" in asked.stderr
    assert place.run("status").returncode == 1

    place.start()
    with psycopg.connect(place.endpoints()[1], application_name=f"rederive replay {capture}"):
        assert place.run("stop", "--yes").returncode == 0
    assert place.run("status").returncode == 1


def test_a_broker_that_may_not_open_its_files(place: Place) -> None:
    place.stopped()
    done = subprocess.run(
        [sys.executable, "-c", "from rederive import local, settings; local.start_kafka(settings.Settings())"],
        env=place.environment,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Too many open files" in done.stderr
    assert "ulimit -n" in done.stderr
    assert "never one that ends in .log" in done.stderr
    place.start()


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("java.io.IOException: Map failed\nCaused by: java.lang.OutOfMemoryError: Map failed", "vm.max_map_count"),
        ("java.io.IOException: Too many open files", "ulimit -n"),
        ("java.lang.OutOfMemoryError: Java heap space", "free memory"),
        ("java.nio.file.AccessDeniedException: /data/meta.properties", "give the home folder back"),
    ],
)
def test_why_a_broker_did_not_start(said: str, mend: str) -> None:
    assert mend in _died(said, Path("kafka.log")).mend


def test_a_home_that_cannot_be_made_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = Place(tmp_path / "file" / "home").run("start")
    assert done.returncode == 1
    assert "REDERIVE_HOME" in done.stderr
    assert "Traceback" not in done.stderr
