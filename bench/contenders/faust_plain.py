"""faust as its documentation has it: a snapshot a record, an agent that derives, an agent that stores.

    python -m bench.contenders.stream faust_plain [WORKERS]

A derived row is a record of its own, too. Both agents `take` batches: one for the formulas' arrays, one for COPY. All
else is as faust comes, but for the web page, tables and topics of its own, which it wouldn't need.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import AsyncIterable
from typing import Any

import faust
import orjson

from bench.contenders import stream
from bench.contenders.work import PAGE_ROWS, UNIT_ROWS, compute, connect, fill
from schemas import arrow
from schemas.betfair.tables import METRICS_TABLE


def make_app(prefix: str, bootstrap: str, folder: str) -> Any:  # noqa: ANN401 - faust has no types
    """The app of a worker."""
    app = faust.App(
        f"{prefix}faust",
        broker=[f"aiokafka://{server}" for server in bootstrap.split(",")],
        datadir=folder,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        producer_compression_type="lz4",
        producer_linger=0.02,
    )
    raw, derived = (
        app.topic(f"{prefix}{name}", value_serializer="raw", value_type=bytes) for name in stream.TOPICS["faust_plain"]
    )
    connection = connect()

    @app.agent(raw)
    async def derive(lines: Any) -> AsyncIterable[None]:  # noqa: ANN401
        async for taken in lines.take(UNIT_ROWS, within=0.1):
            for batch in compute(taken):
                columns = batch.schema.names
                for row in arrow.python_rows(batch):
                    await derived.send(key=str(row[0]), value=orjson.dumps(dict(zip(columns, row, strict=True))))
            yield

    @app.agent(derived)
    async def store(rows: Any) -> AsyncIterable[None]:  # noqa: ANN401
        async for taken in rows.take(PAGE_ROWS, within=1.0):
            read = [orjson.loads(row) for row in taken]
            columns = list(read[0])
            batch = arrow.batch(METRICS_TABLE, columns, [[row[name] for name in columns] for row in read])
            written = await asyncio.to_thread(fill, connection, [batch])
            stream.say(written)
            yield

    return app


def work() -> None:
    """Run a worker until it is stopped."""
    # Else it makes records of debug messages that nobody sees.
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="bench-faust-") as folder:
        app = make_app(os.environ[stream.PREFIX], os.environ[stream.BOOTSTRAP], folder)
        faust.Worker(app, loglevel="ERROR", redirect_stdouts=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    work()
