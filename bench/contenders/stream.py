"""The command of contenders on Kafka: sends a snapshot a record, and waits for its workers.

    python -m bench.contenders.stream faust_plain|quixstreams [WORKERS]

The workers are processes of `faust_plain.py` and `quixstreams.py`; the libraries are imported there only.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time

import psycopg
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from bench.contenders.work import connect, ids, pages

TOPICS = {"faust_plain": ("raw", "derived"), "quixstreams": ("raw",)}
"""The topics of each contender; the first is sent to."""

PREFIX = "REDERIVE_TOPIC_PREFIX"
BOOTSTRAP = "REDERIVE_KAFKA_BOOTSTRAP"
_WRITTEN = re.compile(rb"written (\d+)")
_STOP_SECONDS = 60
_STUCK_SECONDS = 120


class Workers:
    """Worker processes of a contender, each of which says how many rows it has written, batch by batch."""

    def __init__(self, name: str, count: int, prefix: str) -> None:
        self.written = 0
        self.moved = time.monotonic()
        self._running = [
            subprocess.Popen(
                [sys.executable, "-m", f"bench.contenders.{name}"],
                env={**os.environ, PREFIX: prefix},
                stdout=subprocess.PIPE,
            )
            for _ in range(count)
        ]
        self._lock = threading.Lock()
        self._readers = [threading.Thread(target=self._read, args=[one], daemon=True) for one in self._running]
        for reader in self._readers:
            reader.start()

    def wait(self, rows: int) -> None:
        """Until so many rows are written. SystemExit when a worker has died, or none has written for two minutes."""
        while self.written < rows:
            if any(one.poll() is not None for one in self._running):
                raise SystemExit("a worker has ended before all was done")
            if time.monotonic() - self.moved > _STUCK_SECONDS:
                raise SystemExit(f"the workers stand still at {self.written:,} of {rows:,} rows")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask them to stop and wait until they have."""
        for one in self._running:
            if one.poll() is None:
                one.send_signal(signal.SIGTERM)
        for one in self._running:
            try:
                one.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def _read(self, one: subprocess.Popen[bytes]) -> None:
        assert one.stdout is not None
        for line in one.stdout:
            if (said := _WRITTEN.search(line)) is None:
                # faust draws a spinner
                continue
            with self._lock:
                self.written += int(said[1])
                self.moved = time.monotonic()


def say(rows: int) -> None:
    """What a worker says when it has committed so many rows."""
    print(f"written {rows}", flush=True)


def run(name: str, workers: int) -> None:
    """Make fresh topics, start the workers, send a record a snapshot, wait until all rows are filled, stop.

    Topics are deleted afterwards.
    """
    prefix = f"{os.environ.get(PREFIX, '')}bench-{secrets.token_hex(4)}."
    kafka = {"bootstrap.servers": os.environ[BOOTSTRAP], "log_level": "2"}
    admin = AdminClient({**kafka})
    names = [f"{prefix}{topic}" for topic in TOPICS[name]]
    for made in admin.create_topics([NewTopic(topic, workers, 1) for topic in names]).values():
        made.result()
    running = Workers(name, workers, prefix)
    try:
        with connect() as connection:
            running.wait(send(kafka, names[0], connection))
    finally:
        running.stop()
        for gone in admin.delete_topics(names).values():
            gone.result()


def send(kafka: dict[str, str], topic: str, connection: psycopg.Connection) -> int:
    """Send a record a snapshot, with its id for a key; how many."""
    producer = Producer({**kafka, "compression.type": "lz4", "linger.ms": 20, "batch.size": 1_000_000})
    sent = 0
    for page in pages(connection, *ids(connection)):
        for line in page:
            while True:
                try:
                    producer.produce(topic, line, key=str(sent))
                    break
                except BufferError:
                    producer.poll(0.1)
            sent += 1
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("records are not delivered")
    return sent


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2)
