"""The agent: the one module that imports faust.

One shape: raw bytes in, a few units at a time, everything delivered before anything is acknowledged. `take`
acknowledges its batch however the body is left, by an exception too, and a stopping app commits what is acknowledged.
So nothing may leave the body but success: whatever else happens, cancellation included, ends the process at once.
"""

import asyncio
import gc
import logging
import os
import signal
import ssl
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from processors.engine import Process, answer
from processors.without_http import NoHttpClient, without_http
from schemas.lane import Lane, LaneName
from schemas.live import LiveDay
from schemas.measures import UNMEASURED, Measures
from schemas.outcome import Outcome
from schemas.unit import Origin
from schemas.wire import MAX_BATCH_BYTES, MAX_RECORD_BYTES

with without_http():
    import faust
    import faust.types.web
    from faust.auth import SASLCredentials, SSLCredentials
    from faust.transport.drivers import aiokafka
    from mode.supervisors import CrashingSupervisor
    from mode.utils.queues import FlowControlEvent

log = logging.getLogger("rederive.agent")

EXIT_BATCH_FAILED = 70
_IMPORTED_LATE = (
    "faust.app.router",
    "faust.assignor.partition_assignor",
    "faust.fixups.django",
    "faust.stores",
    "faust.tables.manager",
    "faust.topics",
    "faust.transport.utils",
    "faust.worker",
)
_TAKE_UNITS = 2
_TAKE_SECONDS = 0.02
_STOP_SECONDS = 20.0
_FULL_BUFFER_SECONDS = 0.005
# A topic that the broker doesn't know yet is looked for again this often; the library's own is five minutes.
_METADATA_MS = 3_000


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """How an agent connects and who it is; `member` is its static id within the consumer group.

    `version` is the formulas' derivation version. `kafka` are librdkafka settings, of which faust's own are made.
    `folder` is where faust may put files; it puts none.
    """

    lane: Lane
    member: str
    version: int
    kafka: Mapping[str, str]
    folder: Path
    commit_seconds: float = 1.0
    session_seconds: float = 6.0
    measures: Measures = UNMEASURED


def get_ready() -> None:
    """Import what faust itself imports no sooner than an app starts."""
    for name in _IMPORTED_LATE:
        import_module(name)


def run_agent(config: AgentConfig, process: Process, stop: threading.Event) -> int:
    """Run one agent until `stop` is set; return the exit code. Blocks.

    An agent that is still joining its group ends at once: it has read nothing, and the others' answer may take long.
    """
    return asyncio.run(_run(config, process, stop))


async def _run(config: AgentConfig, process: Process, stop: threading.Event) -> int:
    config.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    app = make_app(config)
    add_agent(app, config, process)
    loop = asyncio.get_running_loop()
    stopped = asyncio.ensure_future(loop.run_in_executor(None, stop.wait))
    started = asyncio.ensure_future(app.start())
    await asyncio.wait([stopped, started], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
    if not started.done():
        log.info("agent %s stops before it has joined", config.member)
        logging.shutdown()
        os._exit(0)
    try:
        started.result()
    except BaseException:
        # An app that has begun to start may not end by itself.
        log.critical("the agent can't start", exc_info=True)
        _leave(EXIT_BATCH_FAILED)
    # Everything imported so far lives as long as the process; scanning it again and again costs more than the work.
    gc.freeze()
    gc.set_threshold(200_000, 50, 100)
    log.info("agent %s reads %s", config.member, config.lane.raw)
    config.measures.begun(lambda: _behind(app, config.lane.raw))
    ended = asyncio.ensure_future(app.wait_until_stopped())
    await asyncio.wait([stopped, ended], return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
    if not stop.is_set():
        log.error("the agent's app ended by itself: %r", getattr(app, "crash_reason", None))
        _leave(EXIT_BATCH_FAILED)
    try:
        await asyncio.wait_for(app.stop(), _STOP_SECONDS)
    except (TimeoutError, RuntimeError) as error:
        # Killing is safe: what isn't committed comes again.
        log.warning("the agent did not stop in order: %r", error)
        _leave(0)
    return 0


def make_app(config: AgentConfig) -> faust.App:
    """The faust app of one agent process; everything that faust would read from the environment is said here."""
    return _App(
        config.lane.agents,
        broker=[f"aiokafka://{server}" for server in config.kafka["bootstrap.servers"].split(",")],
        broker_credentials=_credentials(config.kafka),
        env_prefix="REDERIVE_FAUST_",
        datadir=str(config.folder),
        store="memory://",
        web_enabled=False,
        HttpClient=NoHttpClient,
        topic_allow_declare=False,
        topic_disable_leader=True,
        agent_supervisor=CrashingSupervisor,
        processing_guarantee="at_least_once",
        consumer_group_instance_id=config.member,
        consumer_auto_offset_reset="earliest",
        consumer_metadata_max_age_ms=_METADATA_MS,
        broker_session_timeout=config.session_seconds,
        broker_heartbeat_interval=0.5,
        broker_commit_interval=config.commit_seconds,
        broker_commit_every=100,
        broker_max_poll_records=8,
        stream_buffer_maxsize=8,
        stream_wait_empty=True,
        consumer_max_fetch_size=MAX_BATCH_BYTES,
        producer_max_request_size=MAX_RECORD_BYTES,
        # Outcomes live for minutes: compressing one costs more than it saves (bench/wire.py).
        producer_compression_type=None,
        producer_acks=-1,
    )


class _ConsumerThread(aiokafka.AIOKafkaConsumerThread):
    """faust's thread of a consumer, which leaves its group when it stops in order.

    A static member doesn't by itself: those that join after it would wait until its session is over.
    """

    async def on_thread_stop(self) -> None:
        coordinator = getattr(self._consumer, "_coordinator", None)
        if coordinator is not None:
            coordinator._group_instance_id = None
        await super().on_thread_stop()


class _Consumer(aiokafka.Consumer):
    """faust's consumer, awake again as soon as its buffer has room, that commits nothing behind a record not done.

    When the buffers of all its partitions are full, faust's own sleeps for a whole second, and when those of some are,
    it waits as long for records of the others, which may have none. The small buffer that keeps memory flat is empty
    long before. And where one record was dropped on its way to the agent, faust's own commits what comes after it: a
    hole of one it takes for none.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - faust's own
        super().__init__(*args, **options)
        # Since partitions were assigned: how often it was stopped, then and when records were fetched; by partition the
        # first offset that was read, and one past the last.
        self._stops = self._fetched = 0
        self._first: dict[Any, int] = {}
        self._next: dict[Any, int] = {}

    def stop_flow(self) -> None:
        """Let nothing pass that was fetched before: it is read again by who has its partition next."""
        self._stops += 1
        self._first.clear()
        self._next.clear()
        super().stop_flow()

    async def perform_seek(self) -> None:
        """Read on at what is committed."""
        await super().perform_seek()
        for tp, first in self._first.items():
            self._pass_over(tp, self._committed_offset[tp], first)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[Any, Any]]:
        """Records as they stand in their partitions; offsets at which none stands count as done."""
        async for tp, message in super().getmany(timeout):
            if self._stops != self._fetched:
                return
            offset = message.offset
            self._pass_over(tp, self._next.get(tp, self._committed_offset[tp]), offset)
            self._first.setdefault(tp, offset)
            self._next[tp] = max(self._next.get(tp, 0), offset + 1)
            yield tp, message

    def _pass_over(self, tp: Any, expected: int | None, offset: int) -> None:  # noqa: ANN401
        if expected is not None and offset > expected:
            self._gap[tp].addi(expected, offset)
            self._gap[tp].merge_overlaps()

    def _new_offset(self, tp: Any) -> int | None:  # noqa: ANN401
        """One past the last record of which all before are done, or None."""
        committed, done = self._committed_offset[tp], self._acked[tp]
        if done and committed is not None:
            gaps = self._gap[tp].overlap(0, max(done))
            if min([*done, *(gap.begin for gap in gaps)]) > committed:
                return None
        found: int | None = super()._new_offset(tp)
        return found

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ANN401
        while self.flow_active and self._buffered_partitions and not self._get_active_partitions():
            if self.should_stop:
                break
            await self.sleep(_FULL_BUFFER_SECONDS)
        if self._buffered_partitions:
            timeout = min(timeout, _FULL_BUFFER_SECONDS)
        found = await super()._wait_next_records(timeout)
        self._fetched = self._stops
        return found


class _Transport(aiokafka.Transport):
    Consumer = _Consumer


class _FlowControl(FlowControlEvent):
    """faust's gate before the agents, which is opened once.

    faust opens it again where it is open, and each time drops what waits behind it: read, and never to be read again.
    """

    def resume(self) -> None:
        """Open it, and drop what is left of the time before it was closed."""
        if not self.is_active():
            super().resume()


class _App(faust.App):
    @cached_property
    def flow_control(self) -> _FlowControl:
        """The gate that opens when partitions are assigned."""
        return _FlowControl()

    def _new_transport(self) -> _Transport:
        return _Transport(self.conf.broker_consumer, self)


def add_agent(app: faust.App, config: AgentConfig, process: Process) -> None:
    """Wire the domain's function to the lane's raw topic."""
    lane, measures = config.lane, config.measures
    read: Counter[str] = Counter()
    dead = 0
    # What arrives by itself is waited for: a unit is answered as it comes.
    units = _TAKE_UNITS if lane.name is LaneName.REPLAY else 1
    raw = app.topic(lane.raw, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    outlets: dict[str, Any] = {
        name: app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
        for name in (lane.derived, lane.dlq)
    }

    def counted(value: bytes, columns: Sequence[str]) -> Outcome:
        outcome = process(value, columns)
        if isinstance(outcome, Outcome):
            read["skipped"] += len(outcome.skips)
            read["errors"] += len(outcome.errors)
            read["derived"] += max(0, outcome.read - len(outcome.skips) - len(outcome.errors))
        return outcome

    async def deliver(event: Any) -> list[Any]:  # noqa: ANN401 - faust has no types
        nonlocal dead
        message = event.message
        origin = Origin(message.topic, message.partition, message.offset)
        sent = round(1000 * (message.timestamp or 0))
        live = LiveDay.of(lane.domain, sent, config.version)
        headers = _headers(message.headers)
        answers = answer(counted, lane, origin, message.key, message.value, headers, live, sent)
        dead += any(out.topic == lane.dlq for out in answers)
        return [
            await outlets[out.topic].send(
                key=out.key, value=out.value, partition=out.partition, headers=out.headers, force=True
            )
            for out in answers
        ]

    async def derive(stream: Any) -> AsyncIterable[None]:  # noqa: ANN401
        nonlocal dead
        async for events in stream.take_events(units, within=_TAKE_SECONDS):
            try:
                begun = time.monotonic()
                read.clear()
                dead = 0
                pending = [sent for event in events for sent in await deliver(event)]
                computed = time.monotonic()
                measures.batch("computed", computed - begun, units=len(events), rows=read, dead=dead)
                for delivery in pending:
                    await delivery
                measures.batch("delivered", time.monotonic() - computed, units=len(events))
            except BaseException:
                log.critical("a batch failed; nothing of it is acknowledged", exc_info=True)
                _leave(EXIT_BATCH_FAILED)
            yield

    app.agent(raw, concurrency=1, supervisor_strategy=CrashingSupervisor, name="derive")(derive)


def _behind(app: faust.App, topic: str) -> int:
    """How many records of its partitions the agent hasn't committed, as far as it has heard of them."""
    consumer: Any = app.consumer
    found = 0
    for tp in consumer.assignment():
        if tp.topic == topic:
            committed, end = consumer._committed_offset.get(tp), consumer.highwater(tp)
            found += max(0, end - committed) if committed is not None and end is not None else 0
    return found


def _headers(headers: Mapping[str, bytes] | Iterable[tuple[str, bytes]] | None) -> list[tuple[str, bytes]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers or []
    return [(name, bytes(value or b"")) for name, value in pairs]


def _credentials(kafka: Mapping[str, str]) -> SASLCredentials | SSLCredentials | None:
    protocol = kafka.get("security.protocol", "PLAINTEXT").upper()
    if protocol == "PLAINTEXT":
        return None
    context = None
    if protocol.endswith("SSL"):
        context = ssl.create_default_context(cafile=kafka.get("ssl.ca.location"))
    if protocol == "SSL":
        return SSLCredentials(context)
    return SASLCredentials(
        mechanism=kafka["sasl.mechanism"],
        username=kafka["sasl.username"],
        password=kafka["sasl.password"],
        ssl_context=context,
    )


def _leave(code: int) -> None:
    """End the process now: no handler, no acknowledgement, no commit."""
    logging.shutdown()
    sys.stderr.flush()
    if code == EXIT_BATCH_FAILED:
        os._exit(code)
    os.kill(os.getpid(), signal.SIGKILL)
