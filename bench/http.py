"""How long the HTTP API takes to answer: a market's timeseries, coverage, what an overview asks for.

    python -m bench.http [--rows 1000000] [--captures 200] [--rounds 50]

An embedded Postgres is filled with derived rows of markets of `--snapshots` each, a tenth of the rows with NULLs, and
captures with units; no Kafka runs. Requests come one after another over a socket of this machine, from a client in
another process than the server. Ends with one JSON object: milliseconds, and whether the goals are met.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import httpx2
import orjson
import psycopg

from bench.fresh import postgres
from rederive.settings import Settings
from schemas.betfair.tables import METRICS

GOALS = {"timeseries": 50.0, "coverage": 300.0, "overview": 100.0}
"""Milliseconds that half of the answers may take."""

_FIRST = "2026-01-01 00:00:00+00"
_START_SECONDS, _COUNT_SECONDS = 60.0, 300.0


def main() -> None:
    """Print figures, a line each, then all as JSON; exit 1 when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 1_000_000), ("snapshots", 200), ("captures", 200), ("rounds", 50)):
        parser.add_argument(f"--{name}", type=int, default=default, help="default %(default)s")
    given = parser.parse_args()
    with postgres() as (settings, url):
        fill(url, given.rows, given.snapshots, given.captures)
        figures = _measured(settings, url, given.rows, given.rounds)
    figures["met"] = {name: figures[name]["p50"] <= goal for name, goal in GOALS.items()}
    print(orjson.dumps({"rows": given.rows, **figures}).decode())
    sys.exit(not all(figures["met"].values()))


def fill(url: str, rows: int, snapshots: int, captures: int) -> None:
    """Markets, their snapshots and derived rows, five minutes apart; captures of fifty units each."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """INSERT INTO market_event_metadata (market_id, event_name, event_open_date)
               SELECT '1.' || m, 'Event ' || m, %s::timestamptz + m * interval '20 minutes'
               FROM generate_series(0, %s) m""",
            [_FIRST, (rows - 1) // snapshots],
        )
        connection.execute(
            """INSERT INTO market_book_snapshots (snapshot_id, snapshot_at, market_id, raw_payload)
               SELECT n + 1, %(first)s::timestamptz + n / %(each)s * interval '20 minutes'
                      + n %% %(each)s * interval '5 minutes', '1.' || n / %(each)s, '{"runners": []}'
               FROM generate_series(0, %(rows)s - 1) n""",
            {"first": _FIRST, "each": snapshots, "rows": rows},
        )
        values = ", ".join(
            f"CASE WHEN snapshot_id % 10 > 0 THEN snapshot_id / 7.0 + {n} END" for n in range(len(METRICS))
        )
        connection.execute(
            f"""INSERT INTO market_derived_metrics (snapshot_id, snapshot_at, market_id, {", ".join(METRICS)})
                SELECT snapshot_id, snapshot_at, market_id, {values} FROM market_book_snapshots"""
        )
        connection.execute(
            """INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
                   request, digest, who, state, finished_at)
               SELECT 'betfair-20260101-' || n, n, 'betfair', 'table', 'fill', 1, '{}', '{}', '', 'bench', 'complete',
                      now() FROM generate_series(1, %s) n""",
            [captures],
        )
        connection.execute(
            """INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, lane, state, updated)
               SELECT capture_id, u, '', '{}', 512, 'replay', 'applied', 512
               FROM rederive.captures, generate_series(0, 49) u"""
        )
        connection.execute("VACUUM ANALYZE")


def _measured(settings: Settings, url: str, rows: int, rounds: int) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    # A broker that nobody is: what it would say isn't measured.
    environment = {**os.environ, **settings.environment(), "REDERIVE_DATABASE_URL": url}
    server = subprocess.Popen([sys.executable, "-m", "rederive", "dashboard", "--port", str(port)], env=environment)
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=_COUNT_SECONDS) as client:
            _until_it_listens(client)
            return _figures(client, rows, rounds)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def _until_it_listens(client: httpx2.Client) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.get("/healthz").raise_for_status()
        except httpx2.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _figures(client: httpx2.Client, rows: int, rounds: int) -> dict[str, Any]:
    def get(path: str) -> Any:  # noqa: ANN401 - JSON
        answer = client.get(path)
        answer.raise_for_status()
        return answer.json()

    span = "from_ts=2026-01-01T00:00:00Z&to_ts=2099-01-01T00:00:00Z"
    found: dict[str, Any] = {}
    found["first coverage"] = {"ms": round(_milliseconds(lambda: get("/api/domains/betfair/coverage")), 1)}
    assert get("/api/domains/betfair/coverage")["rows"] == rows
    for name, paths in {
        "timeseries": [f"/events/1.0/timeseries?{span}&include_impedance=true"],
        "coverage": ["/api/domains/betfair/coverage"],
        "overview": ["/api/status", "/api/captures?limit=20", "/api/domains/betfair/coverage/tables"],
    }.items():
        took = [_milliseconds(lambda asked=paths: [get(path) for path in asked]) for _ in range(rounds)]  # type: ignore[misc]
        took.sort()
        found[name] = {"p50": round(median(took), 1), "p95": round(took[int(len(took) * 0.95)], 1), "goal": GOALS[name]}
    for name, figures in found.items():
        print(f"{name:15}" + "  ".join(f"{what} {value:,.1f}" for what, value in figures.items()), flush=True)
    return found


def _milliseconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    main()
