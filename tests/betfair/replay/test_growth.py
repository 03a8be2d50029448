"""More workers than the runs before, or beside, had: topics gain partitions, and each of them is read."""

import psycopg
import pytest

from rederive.settings import Settings
from schemas.betfair.tables import SCOPES
from tests.betfair.replay.midway import held, running
from tests.betfair.replay.stored import counts, nulls, replay, scalar
from tests.betfair.reports.made import many
from tests.program import last_object
from tests.wait import until

pytestmark = pytest.mark.services

ROWS = 4_000


def test_more_workers_than_the_run_before(settings: Settings, connection: psycopg.Connection) -> None:
    many(connection, ROWS, ROWS, (*SCOPES["l1"], *SCOPES["l3"]))
    for agents, columns in ((1, "l1"), (2, "l3")):
        done = replay(settings, "replay", "betfair", "--columns", columns, "--workers", str(agents), timeout=60)
        assert counts(done) == (ROWS, 0, 0)


def test_more_workers_than_the_run_beside(
    settings: Settings, connection: psycopg.Connection, database_url: str
) -> None:
    many(connection, ROWS, ROWS, (*SCOPES["l1"], *SCOPES["l3"]))
    words = ("replay", "betfair", "--json", "--columns")
    with (
        held(database_url, 1) as row,
        running(settings, *words, "l1", "--workers", "1", forked=True) as first,
    ):
        row.reached()
        with running(settings, *words, "l3", "--workers", "2", forked=True) as second:
            sent = "SELECT count(*) FROM rederive.units WHERE state = 'sent' AND capture_id LIKE '%%-2'"
            until(lambda: scalar(connection, sent) == 8, 60, "the second run sends nothing")
            row.release()
            for run in (first, second):
                out, err = run.communicate(timeout=60)
                assert run.returncode == 0, err
                assert counts(last_object(out)) == (ROWS, 0, 0)
    assert nulls(connection, (*SCOPES["l1"], *SCOPES["l3"])) == (0,) * 6
