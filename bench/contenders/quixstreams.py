"""quixstreams as its documentation has it: a snapshot a record, read by an Application, written by a BatchingSink.

    python -m bench.contenders.stream quixstreams [WORKERS]

In its own environment (`./run environment quixstreams`). The sink gets what a checkpoint holds, derives it by the
formulas' arrays and fills by COPY: the library's own Postgres sink inserts rows, with no word for filling.
"""

import os
import signal
import tempfile
from types import FrameType

from quixstreams import Application
from quixstreams.sinks import BatchingSink, SinkBatch

from bench.contenders import stream
from bench.contenders.work import PAGE_ROWS, compute, connect, fill


class Filling(BatchingSink):  # type: ignore[misc]
    """Derives the snapshots of a checkpoint and fills their rows."""

    def setup(self) -> None:
        """Connect."""
        self._connection = connect()

    def write(self, batch: SinkBatch) -> None:
        """Compute and fill, a transaction per page."""
        for chunk in batch.iter_chunks(n=PAGE_ROWS):
            stream.say(fill(self._connection, list(compute([item.value for item in chunk]))))


def work() -> None:
    """Run a worker until it is stopped."""
    prefix = os.environ[stream.PREFIX]
    with tempfile.TemporaryDirectory(prefix="bench-quix-") as folder:
        app = Application(
            broker_address=os.environ[stream.BOOTSTRAP],
            consumer_group=f"{prefix}quix",
            auto_offset_reset="earliest",
            commit_every=PAGE_ROWS,
            commit_interval=1.0,
            auto_create_topics=False,
            state_dir=folder,
            loglevel="ERROR",
        )
        topic = app.topic(
            f"{prefix}{stream.TOPICS['quixstreams'][0]}", value_deserializer="bytes", key_deserializer="bytes"
        )
        app.dataframe(topic).sink(Filling())

        def stop(_number: int, _frame: FrameType | None) -> None:
            app.stop()

        signal.signal(signal.SIGTERM, stop)
        app.run()


if __name__ == "__main__":
    work()
