"""Race days: fetching at the API's pace, and deriving again from the log without the API.

    python -m bench.racing fetch [--days 30]
    python -m bench.racing derive [--from 2022-07-01] [--days 365]

`fetch` runs `rederive replay racing` against the stand-in and compares the time from the first request's start to the
last one's with half a second a request. `derive` puts days on the log as a backfill would (real volume: about 30 races
and 300 runners a day; cards too, from 2023-01-23), derives them once, then again under a new capture, and counts the
runner rows of cards and results that came out. Times are whole commands': planning, starting, stopping included.
"""

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import orjson

from bench.watch import Measured, run, show
from producers.sender import Sender
from producers.topics import ensure_topics
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Endpoints, Settings
from samples.racing.api import StandIn
from samples.racing.days import racing_day
from schemas.lane import Lane, LaneName
from schemas.unit import Unit
from schemas.wire import RawHeaders

FETCHED = date(2026, 11, 1)


def records(first: date, days: int) -> Iterator[tuple[date, str, bytes, int]]:
    """Day, kind, a raw record's value and its runners, as a backfill sends them."""
    for n in range(days):
        day = first + timedelta(days=n)
        made = racing_day(day)
        for kind, races in (("racecards", made.cards(FETCHED)), ("results", made.results(FETCHED))):
            observed = datetime.combine(FETCHED, time(1), UTC) + timedelta(seconds=n)
            line = {"kind": kind, "date": day, "regions": ["gb", "ire"], "observed": observed}
            pages = [races[at : at + 50] for at in range(0, len(races), 50)] if kind == "results" else [races]
            value = b"\n".join(
                orjson.dumps({**line, "payload": {kind: page, "total": len(races)}}) for page in pages or [[]]
            )
            yield day, kind, value, sum(len(race["runners"]) for race in races)


def fill(settings: Settings, first: date, days: int) -> int:
    """Put days on the log, without capture; return how many runner rows they hold."""
    kafka = settings.kafka_config()
    lane = Lane("racing", LaneName.LOG, settings.topic_prefix)
    ensure_topics(kafka, lane, 2)
    sender = Sender(kafka, lane.raw, [0, 1])
    runners = size = 0
    for number, (day, kind, value, count) in enumerate(records(first, days)):
        headers = RawHeaders(f"racing.{kind}", unit=number, key_range=f"{day}/{kind}")
        sender.send(Unit(headers, str(day).encode(), value, day.toordinal()))
        runners += count
        size += len(value)
    sender.flush(60)
    print(f"{days} days on the log: {runners:,} runner rows, {size / 1e6:,.0f} MB")
    return runners


def derive(settings: Settings, first: date, days: int) -> tuple[int, list[Measured]]:
    """Derive what the log holds, twice: into empty tables, then again under a new capture. Runner rows; both runs."""
    runners = fill(settings, first, days)
    runs = []
    for what in ("first derivation", "derived again"):
        measured, counts = run(settings, "replay-topic", "racing", "--reason", "bench")
        assert not counts["errors"], counts
        said = f"{runners / measured.seconds:10,.0f} runner rows/s  ({runners:,} in {measured.seconds:.1f} s"
        print(f"{what:24}{said}; {counts['processed']:,} rows, {counts['updated']:,} changed)")
        show(measured, runners)
        runs.append(measured)
    return runners, runs


def fetch(settings: Settings, endpoints: Endpoints, days: int) -> None:
    """Fetch days at the API's pace."""
    with StandIn() as api:
        os.environ.update(
            RACING_API_BASE_URL=api.base_url, RACING_API_USERNAME="standin", RACING_API_PASSWORD="standin"
        )
        last = date(2024, 5, 1) + timedelta(days=days - 1)
        words = ("replay", "racing", "--from", "2024-05-01", "--to", str(last))
        measured, counts = run(settings.at(endpoints), *words)
        starts = [request.at for request in api.requests]
        bad = [request for request in api.requests if request.status != 200]
    due = (len(starts) - 1) / 2
    took = starts[-1] - starts[0]
    gaps = [later - sooner for sooner, later in itertools.pairwise(starts)]
    print(f"{len(starts)} requests in {took:.2f} s, due {due:.2f} s: {100 * (took / due - 1):+.2f} %")
    print(f"least gap between two starts {min(gaps):.3f} s, not answered with 200: {len(bad)}")
    print(f"whole command {measured.seconds:.1f} s; {counts['processed']:,} rows, {counts['errors']} errors")
    show(measured, counts["processed"])


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("fetch", "derive"))
    parser.add_argument("--from", dest="first", type=date.fromisoformat, default=date(2022, 7, 1))
    parser.add_argument("--days", type=int)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            migrate(endpoints.database_url)
            if given.what == "fetch":
                fetch(settings, endpoints, given.days or 30)
            else:
                derive(settings.at(endpoints), given.first, given.days or 365)
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
