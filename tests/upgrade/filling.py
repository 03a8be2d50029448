"""Captures of every kind and state in one database, made by running the program as a person does."""

import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import psycopg

from rederive.settings import Settings
from samples.betfair import sample
from samples.betfair.load import derive_bare_rows, load
from samples.finra.files import FinraFiles
from samples.racing.api import StandIn
from schemas.finra.partition import fridays
from schemas.finra.tables import RAW, TIER_VOLUME_SHARE
from store.rows import value, values
from tests.program import last_object, rederive, start
from tests.upgrade.expected import DETAILED
from tests.wait import until

log = logging.getLogger(__name__)

FILES = Path("/tmp/upgrade-files")
"""Where FINRA's files stand while they are read: runs keep their paths, so it is the same on every machine."""

MARKETS = {"1.253649920": 29, "1.253640717": 17}
"""The sample's snapshots that are taken, by market."""

PART = "1.253640717"
"""The market that the superseding capture is about."""

UNKNOWN = "1.253640807"
"""A market of which it isn't known who plays at home: its snapshot is skipped."""

HELD_UNIT = 40
"""The unit at which a run is killed. A sink takes at most 32 records at once: some units are applied in any case."""

DAYS = (date(2024, 1, 8), date(2024, 1, 9))

WEEKS = fridays(date(2025, 11, 14), date(2025, 12, 19))
TIERS = ("OTC", "ATS")
WORLD = FinraFiles(symbols=7, rows=16, faults=0.15)

_WAITING = """SELECT count(*) FROM pg_stat_activity
              WHERE datname = current_database() AND application_name LIKE 'rederive sink%'
                AND wait_event_type = 'Lock'"""
_UNSENT = """SELECT count(*) FROM rederive.units JOIN rederive.captures USING (capture_id)
             WHERE units.state = 'planned' AND number = (SELECT max(number) FROM rederive.captures)"""
_ENDING = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'rederive %'"""


@dataclass(frozen=True, slots=True)
class Filling:
    """A migrated database of the server that `settings` name, and a connection to it whose search path is public.

    The captures that it makes are returned by what they are.
    """

    settings: Settings
    connection: psycopg.Connection

    def betfair(self) -> dict[str, str]:
        """Captures that fill, supersede, do nothing, died in part, are rolled back, cancelled and killed."""
        self._load_snapshots()
        found = {}
        stored, in_part = self._stored("true"), self._stored(f"market_id = '{PART}'")
        found["fill"] = self._run("replay", "betfair", "--columns", "tier-a", "--reason", "tier A")
        self.connection.execute(
            """UPDATE market_derived_metrics SET home_impedance = 77.25, home_book_risk_l3 = -3.5
               WHERE snapshot_id = ANY(%s)""",
            [[*in_part[:3], *stored[-3:]]],
        )
        found["supersede"] = self._run(
            "replay", "betfair", "--market", PART, "--all-rows", "--mode", "supersede", "--columns", "tier-a,l1",
            "--reason", "totals were 0",
        )  # fmt: skip
        self.connection.execute(
            "UPDATE market_derived_metrics SET away_risk = -8.125, draw_risk = NULL WHERE snapshot_id = ANY(%s)",
            [[*in_part[1:2], *in_part[-2:], *stored[:2]]],
        )
        found["dry_run"] = self._run("replay", "betfair", "--columns", "l3", "--dry-run")
        found["rolled_back"] = self._run("replay", "betfair", "--columns", "spread", "--limit", "9")
        rederive(self.settings, "captures", "rollback", found["rolled_back"], "--yes")
        with self._refusing(in_part[0]):
            found["dead_unit"] = self._run("replay", "betfair", "--market", PART, "--columns", "l3", code=1)
        with self._padded():
            found["cancelled"] = self._killed(
                self._holding_row(HELD_UNIT - 5),
                "replay", "betfair", "--all-rows", "--columns", "best_back", "--reason", "to be cancelled",
            )  # fmt: skip
            rederive(self.settings, "captures", "cancel", found["cancelled"])
            found["unfinished"] = self._killed(
                self._holding_row(HELD_UNIT),
                "replay", "betfair", "--all-rows", "--columns", "l1,l3,ladder", "--reason", "to be resumed",
            )  # fmt: skip
        return found

    def racing(self) -> dict[str, str]:
        """Two days of two races, derived when they are fetched and from the log, with a write from outside between."""
        found = {}
        with StandIn(today=date(2026, 11, 1)) as api:
            for when in DAYS:
                day = api.day(when)
                small = sorted((race for race in day.races if not race.abandoned), key=lambda race: len(race.runners))
                api.put(replace(day, races=tuple(race for race in day.races if race in small[1:3])))
            os.environ |= {
                "RACING_API_BASE_URL": api.base_url, "RACING_API_USERNAME": "standin",
                "RACING_API_PASSWORD": "standin", "RACING_API_TIMEOUT": "5",
            }  # fmt: skip
            found["fetched"] = self._run("replay", "racing", "--from", str(DAYS[0]), "--to", str(DAYS[1]))
        self.connection.execute(
            """UPDATE ra_runners SET jockey_name = 'Nobody' WHERE (race_id, horse_id) IN
               (SELECT race_id, horse_id FROM ra_runners ORDER BY 1, 2 LIMIT 3);
               UPDATE ra_mst_courses SET latitude = 51.5 WHERE id = (SELECT min(id) FROM ra_mst_courses);
               UPDATE rederive.rate_limits SET name = regexp_replace(name, 'http://127\\.0\\.0\\.1:\\d+', 'http://standin')
            """
        )
        found["again"] = self._run("replay-topic", "racing", "--reason", "names")
        return found

    def finra(self) -> dict[str, str]:
        """Six weeks of two tiers, one of them restated, another restated by a run whose later stages aren't done."""
        words = ("replay", "finra", "--from", str(WEEKS[0]), "--to", str(WEEKS[-1]), "--source")
        FILES.mkdir()
        try:
            found = {
                "first": self._run(*words, _written("first", WEEKS, TIERS, 0)),
                "restated": self._run(*words, _written("restated", WEEKS[2:3], TIERS[:1], 1)),
                "unfinished": self._killed(
                    f"LOCK TABLE {TIER_VOLUME_SHARE.name} IN EXCLUSIVE MODE",
                    *words, _written("again", WEEKS[3:4], TIERS, 2),
                ),
            }  # fmt: skip
        finally:
            shutil.rmtree(FILES)
        # Of the last week: all three runs have computed its rolling figures from it.
        found["partition"] = value(
            self.connection,
            f"SELECT capture_id FROM {RAW.name} WHERE (execution_id, week_ending, tier) = (%s, %s, %s) LIMIT 1",
            [found["first"], WEEKS[-1], TIERS[0]],
        )
        return found

    def _load_snapshots(self) -> None:
        """Some of the sample; derived rows as ingestion leaves them, bare, or with values that are no more right."""
        taken: dict[str, list[dict[str, Any]]] = {market: [] for market in (*MARKETS, UNKNOWN)}
        for snapshot in sample.snapshots():
            market = snapshot["market_id"]
            if market in taken and len(taken[market]) < MARKETS.get(market, 1):
                taken[market].append(snapshot)
        load(
            self.connection,
            [
                {**market, "home_selection_id": None} if market["market_id"] == UNKNOWN else market
                for market in sample.metadata()
                if market["market_id"] in taken
            ],
            sorted((one for several in taken.values() for one in several), key=lambda one: one["snapshot_id"]),
        )
        derive_bare_rows(self.connection, leave_out_every=7)
        self.connection.execute(
            """UPDATE market_derived_metrics SET total_volume = 0, home_risk = 1.5, draw_best_back_size_l1 = 5
               WHERE snapshot_id % 3 = 0"""
        )

    def _stored(self, where: str) -> list[int]:
        """The snapshots with a derived row, in the order of plans."""
        query = f"SELECT snapshot_id FROM {DETAILED} WHERE {where} ORDER BY snapshot_at, snapshot_id"
        return values(self.connection, query)

    def _holding_row(self, at_least: int) -> str:
        """What locks the first derived row that a plan of all snapshots has so far back."""
        key = value(
            self.connection,
            """SELECT snapshot_id FROM (SELECT snapshot_id, row_number() OVER (ORDER BY snapshot_at, snapshot_id) AS at
                                        FROM market_book_snapshots) s
               JOIN market_derived_metrics USING (snapshot_id) WHERE at > %s ORDER BY at LIMIT 1""",
            [at_least],
        )
        assert key is not None, "there are too few snapshots"
        return f"SELECT FROM {DETAILED} WHERE snapshot_id = {key} FOR UPDATE"

    @contextmanager
    def _padded(self) -> Iterator[None]:
        """Snapshots so large that each is planned as a unit of its own; afterwards they are as they were."""
        self.connection.execute(
            """ALTER TABLE market_book_snapshots ALTER raw_payload SET STORAGE EXTERNAL;
               UPDATE market_book_snapshots
               SET raw_payload = raw_payload || jsonb_build_object('padding', repeat('x', 70000))"""
        )
        yield
        self.connection.execute(
            """UPDATE market_book_snapshots SET raw_payload = raw_payload - 'padding';
               ALTER TABLE market_book_snapshots ALTER raw_payload SET STORAGE DEFAULT"""
        )

    @contextmanager
    def _refusing(self, snapshot_id: int) -> Iterator[None]:
        """A row that the table refuses: its unit becomes dead."""
        self.connection.execute(
            f"""ALTER TABLE {DETAILED} ADD CONSTRAINT refused
                CHECK (snapshot_id <> {snapshot_id} OR away_book_risk_l3 IS NULL) NOT VALID"""
        )
        yield
        self.connection.execute(f"ALTER TABLE {DETAILED} DROP CONSTRAINT refused")

    def _run(self, *words: str, code: int = 0) -> str:
        """Run a capture to its end; its id."""
        found = str(last_object(rederive(self.settings, *words, "--json", code=code).stdout)["capture_id"])
        log.info("%s: %s", found, " ".join(words))
        return found

    def _killed(self, hold: str, *words: str) -> str:
        """Start a capture and kill all its processes when its sink waits for what `hold` locks; its id."""
        with psycopg.connect(self.connection.info.dsn, password=self.connection.info.password) as holder:
            holder.execute(hold)
            process = start(self.settings, *words)
            try:
                until(lambda: value(self.connection, _WAITING), 90, "no sink came to what is held")
                # What else is on its way comes to rest: sent units are noted as sent.
                until(lambda: not value(self.connection, _UNSENT), 30, "not all units are sent")
            finally:
                _kill(process)
            until(lambda: not value(self.connection, _ENDING), 30, "sessions of the killed run are left")
            holder.rollback()
        capture: str = value(self.connection, "SELECT capture_id FROM rederive.captures ORDER BY number DESC LIMIT 1")
        # As if it had been killed before the last deliveries were noted: units are left in either state.
        self.connection.execute(
            """UPDATE rederive.units SET state = 'planned', partition = NULL, record_offset = NULL
               WHERE capture_id = %(run)s AND state = 'sent' AND unit > (
                   SELECT avg(unit) FROM rederive.units WHERE capture_id = %(run)s AND state = 'sent')""",
            {"run": capture},
        )
        states = values(self.connection, "SELECT DISTINCT state FROM rederive.units WHERE capture_id = %s", [capture])
        assert sorted(states) == ["applied", "planned", "sent"], f"it was killed with units {states}"
        log.info("%s: %s, killed", capture, " ".join(words))
        return capture


def _written(name: str, weeks: Sequence[date], tiers: Sequence[str], edition: int) -> str:
    """A folder of files of the made world."""
    folder = FILES / name
    folder.mkdir()
    for week in weeks:
        for tier in tiers:
            file = WORLD.file(week, tier, edition)
            (folder / file.name).write_bytes(file.content)
    return str(folder)


def _kill(process: "subprocess.Popen[str]") -> None:
    """The run with its agents and sinks, in one go."""
    parent = psutil.Process(process.pid)
    family = [parent, *parent.children(recursive=True)]
    for one in family:
        one.send_signal(signal.SIGKILL)
    psutil.wait_procs(family[1:], 30)
    process.communicate()
