"""`rederive compute`: raw payloads in, derived rows out, without any service."""

import logging
import sys

from rederive.cli.running import DomainName

log = logging.getLogger(__name__)


def compute(domain: DomainName) -> int:
    """Compute derived rows from JSON Lines on stdin to JSON Lines on stdout; no services are needed.

    Blank lines are passed over. A line that can't be read is an error, and the next is read. Errors go to stderr with
    the number of their line.

    betfair: each input line gives one output line, in order. An input line is

    {"snapshot_id", "snapshot_at", "market_id", "raw_payload", "selection_ids": {"home", "away", "draw"} or null}

    and its answer {"snapshot_id", "skip", "error", "metrics"}: all 52 columns, or none and why.

    racing: an input line is one answer of the API,

    {"kind": "racecards", "results", "masters" or "horse", "date": "2024-05-18" or null,
    "observed": "2024-05-18T20:00:00+00:00", "payload": the answer, or null where there was no data}

    observed being when it was fetched. When all is read, the rows that the answers give together are put out, one line
    per table and key: {"table", "key": {…}, "row": {…}} with all columns, in the order of tables and keys. Which answer
    a column is taken from doesn't depend on the order of the lines. Skips go to stderr too.

    finra: an input line is one weekly file,

    {"file_name": "week_2025-12-26_otc.csv", "captured_at": "2025-12-29T14:30:00+00:00", "content": its text}

    and its rows are put out as racing's are, then what needs several files: tier splits, rolling figures, snapshots.

    Exit: 0 done, 1 when any line had an error; skips are none.

    Parameters
    ----------
    domain
        Whose formulas to use.

    """
    from processors.computed import as_one_unit
    from rederive import domains
    from schemas.domain import load

    failed = False
    output = sys.stdout.buffer
    formulas = domains.find(domain)
    compute_lines = load(formulas.compute) if formulas.compute else as_one_unit(load(formulas.process))
    for computed in compute_lines(sys.stdin.buffer):
        where = f"line {computed.line}: " if computed.line else ""
        if computed.error is not None:
            failed = True
            log.error("%s%s", where, computed.error)
        if computed.skip is not None:
            log.warning("%sskipped: %s", where, computed.skip)
        if computed.output is not None:
            output.write(computed.output + b"\n")
            # Each answer at once: the reader may be a person, or a program that waits for it.
            output.flush()
    return int(failed)
