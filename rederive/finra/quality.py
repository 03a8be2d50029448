"""Quality of what is stored: checks, and whether a run is healthy (finra spec, sections 9 and 10)."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg import Connection

from rederive.finra.partitions import Partitions
from rederive.finra.validation import validate
from schemas.capture import UnitState
from schemas.finra.tables import FINRA, REJECT_ALERT
from store import captures, lineage, units
from store.rows import value

Health = Literal["healthy", "between", "unhealthy", "not judged"]

HEALTHY_ROWS_PER_SECOND = 1_000
UNHEALTHY_ROWS_PER_SECOND = 100
HEALTHY_GROWTH = 0.1
UNHEALTHY_GROWTH = 0.5
"""By which part the memory of a process grows in the second half of a run."""

JUDGED_SECONDS = 60.0
"""A shorter run is over before its processes have warmed up: its growth says nothing."""

LATEST_FAILURES = 10

_FILE_STAGES = ("file", "raw")


@dataclass(frozen=True, slots=True)
class CheckCounts:
    """How a check stands over all partitions: the latest result of each counts."""

    check_name: str
    passed: int
    warned: int
    failed: int


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A row of core_quality."""

    created_at: datetime
    capture_id: str
    partition_key: str
    check_name: str
    category: str
    status: str
    message: str
    actual_value: str
    expected_value: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run, and what it says of the run's health."""

    name: str
    value: float
    health: Health
    healthy: str


@dataclass(frozen=True, slots=True)
class Quality:
    """Checks, their latest failures, newest first, and the health of a run; no figures when there is no run.

    `run_state` is where the run stands now: the figures are of what it did, though it may be rolled back since.
    """

    checks: list[CheckCounts]
    failures: list[CheckRow]
    run: str | None
    run_state: str | None
    figures: list[Figure]


def quality(connection: Connection, asked: Partitions) -> Quality:
    """The state of what is asked for; the run is the one asked for, else the newest."""
    run, state = _run(connection, asked.capture)
    failures = check_rows(connection, asked, status="FAIL", limit=LATEST_FAILURES)
    return Quality(_counts(connection, asked), failures, run, state, _figures(connection, run) if run else [])


def by_status(connection: Connection) -> dict[str, int]:
    """How many results of checks are stored, by status; those of runs that were rolled back, too."""
    return dict(connection.execute("SELECT status, count(*) FROM core_quality GROUP BY status").fetchall())


def checked(connection: Connection, run: str) -> dict[str, int]:
    """Check what a run has stored, and count all its checks by status: those that its units made with their rows too.

    The same checks as `quality` shows of this run.
    """
    validate(connection, run)
    counts = _counts(connection, Partitions(capture=run))
    return {
        "PASS": sum(one.passed for one in counts),
        "WARN": sum(one.warned for one in counts),
        "FAIL": sum(one.failed for one in counts),
    }


def check_rows(
    connection: Connection, asked: Partitions, *, status: str | None = None, limit: int | None = None
) -> list[CheckRow]:
    """Rows of core_quality, the newest first."""
    where, parameters = asked.of_core()
    rows = connection.execute(
        f"""SELECT created_at, capture_id, partition_key, check_name, category, status, message, actual_value,
                   expected_value, details_json
            FROM core_quality WHERE {where} {"AND status = %(status)s" if status else ""}
            ORDER BY created_at DESC, id DESC LIMIT %(limit)s""",
        {**parameters, "status": status, "limit": limit},
    )
    return [CheckRow(*row) for row in rows]


def _counts(connection: Connection, asked: Partitions) -> list[CheckCounts]:
    where, parameters = asked.of_core()
    rows = connection.execute(
        f"""SELECT check_name, count(*) FILTER (WHERE status = 'PASS'), count(*) FILTER (WHERE status = 'WARN'),
                   count(*) FILTER (WHERE status = 'FAIL')
            FROM (SELECT DISTINCT ON (domain, partition_key, check_name) check_name, status FROM core_quality
                  WHERE {where} ORDER BY domain, partition_key, check_name, created_at DESC, id DESC) q
            GROUP BY check_name ORDER BY check_name""",
        parameters,
    )
    return [CheckCounts(*row) for row in rows]


def _run(connection: Connection, capture: str | None) -> tuple[str, str] | tuple[None, None]:
    """The run that a capture is, or that wrote it, and its state; without one the newest."""
    if capture is None:
        newest = captures.listed(connection, limit=1, domain=FINRA.name, dry_run=False)
        run = newest[0].capture_id if newest else None
    else:
        run = capture if captures.find(connection, capture) else lineage.run_of(connection, capture)
    found = captures.find(connection, run) if run else None
    return (found.capture_id, found.state) if found else (None, None)


def _figures(connection: Connection, run: str) -> list[Figure]:
    seconds, memory = captures.lasted(connection, run), captures.memory(connection, run)
    of_run = units.of_capture(connection, run)
    of_files = [unit for unit in of_run if unit.stage in _FILE_STAGES]
    rows, dead = sum(unit.rows for unit in of_run), sum(unit.state is UnitState.DEAD for unit in of_run)
    read, rejected = sum(unit.rows for unit in of_files), sum(unit.skipped for unit in of_files)
    failures = value(connection, "SELECT count(*) FROM core_quality WHERE execution_id = %s AND status = 'FAIL'", [run])
    speed = rows / seconds if seconds > 0 else 0.0
    rate = rejected / read if read else 0.0
    # Where nothing was to be done there is no speed to judge.
    slow: Health = "healthy" if not rows or speed >= HEALTHY_ROWS_PER_SECOND else "between"
    return [
        Figure(
            "rows per second",
            speed,
            "unhealthy" if rows and speed < UNHEALTHY_ROWS_PER_SECOND else slow,
            f"{HEALTHY_ROWS_PER_SECOND:,} or more",
        ),
        Figure("failed batches", dead, "unhealthy" if dead else "healthy", "0"),
        Figure("quality check failures", failures, "unhealthy" if failures else "healthy", "0"),
        Figure(
            "rejected part of rows", rate, "unhealthy" if rate > REJECT_ALERT else "healthy", f"up to {REJECT_ALERT}"
        ),
        *_memory(memory or {}, seconds),
    ]


def _memory(measured: dict[str, dict[str, int]], seconds: float) -> list[Figure]:
    """Peak and growth of the largest process; none of a run of which nothing was measured."""
    if not measured:
        return []
    growth = max(one["peak"] / one["half"] - 1 if one["half"] else 0.0 for one in measured.values())
    health: Health = "healthy" if growth <= HEALTHY_GROWTH else "between"
    if growth > UNHEALTHY_GROWTH:
        health = "unhealthy"
    most = max(one["peak"] for one in measured.values()) / 1e6
    return [
        Figure("peak memory of a process, MB", most, "not judged", "stable"),
        Figure(
            "growth of memory in the second half",
            growth,
            health if seconds >= JUDGED_SECONDS else "not judged",
            f"up to {HEALTHY_GROWTH}, of a run of {JUDGED_SECONDS:.0f} s or more",
        ),
    ]
