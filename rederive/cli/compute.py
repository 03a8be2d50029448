"""`rederive compute`: raw payloads in, derived rows out, without any service."""

import logging
import sys
from typing import Literal

import orjson

from rederive.cli.app import app

log = logging.getLogger(__name__)


@app.command
def compute(domain: Literal["betfair"]) -> int:
    """Compute derived rows from JSON Lines on stdin to JSON Lines on stdout; no services are needed.

    Each input line gives one output line, in order; blank lines are passed over. An input line of betfair is

    {"snapshot_id", "snapshot_at", "market_id", "raw_payload", "selection_ids": {"home", "away", "draw"} or null}

    and its answer {"snapshot_id", "skip", "error", "metrics"}: all 52 columns, or none and why. A line that can't be
    read gives an error line and the next is read.

    Exit: 0 done, 1 when any line had an error.

    Parameters
    ----------
    domain
        Whose formulas to use.

    """
    from processors.registry import PROCESSORS

    compute_line = PROCESSORS[domain].compute_line
    failed = False
    output = sys.stdout.buffer
    for number, line in enumerate(sys.stdin.buffer, start=1):
        if line.isspace():
            continue
        answer = compute_line(line)
        if (error := orjson.loads(answer)["error"]) is not None:
            failed = True
            log.error("line %d: %s", number, error)
        output.write(answer + b"\n")
        # Each answer at once: the reader may be a person, or a program that waits for it.
        output.flush()
    return int(failed)
