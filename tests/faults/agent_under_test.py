"""An agent process that comes to harm at a given record: `python -m tests.faults.agent_under_test HARM RECORD …`.

The harm comes after the record's messages have been handed to the producer for some of the batch and before its
deliveries are known: in the worst place.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from processors.runtime import AgentConfig, run_agent
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome

NEVER = "never"


def main() -> int:
    harm, at, bootstrap, prefix, folder, name, session = sys.argv[1], int(sys.argv[2]), *sys.argv[3:8]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)

    def process(value: bytes, columns: Sequence[str]) -> Outcome:  # noqa: ARG001
        if harm != NEVER and int(value) >= at:
            if harm == "raise":
                raise MemoryError("no memory for this record")
            if harm == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        return Outcome(read=1)

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    lane = Lane("betfair", LaneName.REPLAY, prefix)
    kafka = {"bootstrap.servers": bootstrap}
    config = AgentConfig(
        lane, f"{prefix}{name}", 1, kafka, Path(folder), commit_seconds=0.05, session_seconds=float(session)
    )
    return run_agent(config, process, stop)


if __name__ == "__main__":
    sys.exit(main())
