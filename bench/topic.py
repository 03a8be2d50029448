"""The same rows replayed from Postgres and from the log: how fast `replay-topic` is beside `replay`.

    python -m bench.topic [--rows 40000] [--rounds 2] [--unpacked]

Full-depth snapshots stand in Postgres, each with a derived row of NULLs, and on the log twice: in records of 512, as
`replay` puts them onto its queue, and in records of one, as live does that finds them one by one. Each is replayed
with `--mode supersede`, the derived rows made bare before; the rows of all must be equal to the last bit. A ratio is
the rate, or the processor time of all, beside that of `rederive replay betfair --all-rows` in the same round. Times are
whole commands': planning, starting and stopping included. With `--unpacked` the small records are replayed a unit each,
too, for comparison.
"""

import argparse
import tempfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psycopg

from bench.rows import bare, digest, fill
from bench.watch import Measured, run, show
from producers.betfair.snapshots import KIND, read_snapshots, snapshot_line
from producers.sender import Sender
from producers.topics import ensure_topics
from rederive import local
from rederive.migrate import migrate
from rederive.settings import Settings
from schemas.lane import Lane, LaneName
from schemas.unit import TARGET_UNIT_ROWS, Unit
from schemas.wire import RawHeaders

_SUPERSEDE = ("--mode", "supersede")
_TABLE = ("replay", "betfair", "--all-rows", *_SUPERSEDE)
_TOPIC = ("replay-topic", "betfair", *_SUPERSEDE)
_DISTINCT = 20_000
# Another version of the program, in which records of one snapshot are units.
_UNPACKED = """
import dataclasses
import schemas.betfair.tables as tables
tables.BETFAIR = dataclasses.replace(tables.BETFAIR, joins=False)
"""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of replaying the rows: what of it is said, its command, and how many rows a record of its log has.

    No rows a record: its log isn't read. Each has topics of its own.
    """

    name: str
    words: tuple[str, ...]
    rows: int = 0
    unpacked: bool = False

    def settings(self, settings: Settings) -> Settings:
        """With a prefix of its own for its topics."""
        return settings.model_copy(update={"topic_prefix": f"bench{self.rows}."})


def ways(*, unpacked: bool) -> list[Way]:
    """From Postgres first: the others are compared with it."""
    found = [
        Way("Postgres, replay", _TABLE),
        Way(f"log, records of {TARGET_UNIT_ROWS}", _TOPIC, TARGET_UNIT_ROWS),
        Way("log, records of 1", _TOPIC, 1),
    ]
    return [*found, Way("log, records of 1, a unit each", _TOPIC, 1, unpacked=True)] if unpacked else found


def send(settings: Settings, url: str, rows: int) -> int:
    """Put the stored snapshots on the log, so many a record; how many records these are."""
    lane, kafka = Lane("betfair", LaneName.LOG, settings.topic_prefix), settings.kafka_config()
    ensure_topics(kafka, lane, 2)
    sender = Sender(kafka, lane.raw, [0, 1], lane.codec)
    number = 0
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        keys = (key for (key,) in connection.execute("SELECT snapshot_id FROM market_book_snapshots ORDER BY 1"))
        while ids := list(islice(keys, TARGET_UNIT_ROWS)):
            lines = [snapshot_line(row) for row in read_snapshots(connection, ids)]
            for at in range(0, len(lines), rows):
                some = lines[at : at + rows]
                sender.send(Unit(RawHeaders(KIND, rows=len(some)), str(ids[at]).encode(), b"\n".join(some)), number)
                number += 1
    sender.flush(120)
    return number


def replayed(settings: Settings, url: str, way: Way, count: int, ahead: Path | None) -> tuple[Measured, str]:
    """Replay the rows by a way into bare ones; what it took, and the digest of the rows."""
    bare(url)
    measured, counts = run(
        way.settings(settings), *way.words, "--reason", "bench", ahead=ahead if way.unpacked else None
    )
    assert (counts["updated"], counts["errors"]) == (count, 0), counts
    return measured, digest(url)


def main() -> None:
    """Print figures, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--unpacked", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rederive-bench-") as folder:
        settings = Settings(home=Path(folder), kafka_bootstrap=None, database_url=None)
        endpoints = local.start(settings)
        try:
            url = endpoints.database_url
            migrate(url)
            fill(url, given.rows, _DISTINCT)
            own = settings.at(endpoints)
            (ahead := Path(folder) / "ahead").mkdir()
            (ahead / "sitecustomize.py").write_text(_UNPACKED)
            for rows in (TARGET_UNIT_ROWS, 1):
                records = send(own.model_copy(update={"topic_prefix": f"bench{rows}."}), url, rows)
                print(f"{given.rows:,} rows on the log in {records:,} records")
            for number in range(1, given.rounds + 1):
                table: tuple[float, float] | None = None
                digests = set()
                for way in ways(unpacked=given.unpacked):
                    measured, same = replayed(own, url, way, given.rows, ahead)
                    digests.add(same)
                    rate, used = given.rows / measured.seconds, sum(measured.cpu.values()) / given.rows * 1e6
                    table = table or (rate, used)
                    beside = f"{rate / table[0]:.2f}× as fast, {used:.1f} µs of processor a row, {used / table[1]:.2f}×"
                    print(f"round {number}  {way.name:32}{rate:10,.0f} rows/s, {beside}", flush=True)
                    show(measured, given.rows)
                assert len(digests) == 1, "the rows differ"
        finally:
            local.stop(settings)


if __name__ == "__main__":
    main()
