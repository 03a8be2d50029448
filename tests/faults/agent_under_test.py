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
    harm, at, bootstrap, prefix, folder = sys.argv[1], int(sys.argv[2]), *sys.argv[3:6]
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
    config = AgentConfig(lane, f"{prefix}agent", {"bootstrap.servers": bootstrap}, Path(folder), commit_seconds=0.05)
    return run_agent(config, process, stop)


if __name__ == "__main__":
    sys.exit(main())
