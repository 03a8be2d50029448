"""Offsets of groups: shown, put elsewhere when nobody is at work, and put back."""

from pathlib import Path
from typing import Any

import orjson
import psycopg
import pytest

from producers.topics import members_of
from rederive.offsets import changes, groups_of, stand, to_earliest
from rederive.offsets import reset as put_elsewhere
from rederive.settings import Settings
from schemas.errors import Failed
from tests.betfair.replay.log import fill, lane, line
from tests.betfair.replay.stored import fingerprint, rows
from tests.program import last_object, rederive, start
from tests.test_dlq import snapshots
from tests.wait import until

pytestmark = pytest.mark.services


def shown(settings: Settings, *words: str) -> dict[tuple[str, int], tuple[int | None, int, int, int]]:
    """(committed, low, high, lag) by group's role and partition, of the lane log."""
    found = orjson.loads(rederive(settings, "offsets", "show", "betfair", "--lane", "log", *words, "--json").stdout)
    return {
        (one["group"].rpartition(".")[2], one["partition"]): (one["committed"], one["low"], one["high"], one["lag"])
        for one in found
    }


def committed(settings: Settings) -> dict[tuple[str, int], int | None]:
    return {place: one[0] for place, one in shown(settings).items()}


def reset(settings: Settings, *words: str, code: int = 0) -> dict[str, Any]:
    done = rederive(settings, "offsets", *words, "--json", code=code)
    return last_object(done.stdout) if code == 0 else {"said": done.stderr}


def test_offsets_are_put_elsewhere_and_back(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    assert "aren't there" in rederive(settings, "offsets", "show", "betfair").stdout
    snapshots(connection, 4)
    fill(settings, [(line(key), [], None) for key in (1, 2, 3, 4)])
    assert shown(settings) == {(role, at): (None, 0, 2 * (role == "agents"), 2 * (role == "agents"))
                               for role in ("agents", "sinks") for at in (0, 1)}  # fmt: skip

    def worked(rows_wanted: int) -> None:
        """Work until nothing waits; what is active meanwhile isn't reset."""
        workers = [
            start(settings, "worker", role, "--domain", "betfair", "--lane", "log", "--member", f"{role}-17")
            for role in ("agent", "sink")
        ]
        try:
            until(lambda: len(rows(connection)) == rows_wanted, 60, "nothing is derived")
            until(lambda: all(one[3] == 0 for one in shown(settings).values()), 60, "something waits for ever")
            refused = reset(settings, "reset", "betfair", "--lane", "log", "--to-earliest", "--yes", code=1)["said"]
            assert "2 members are active" in refused
            assert "agent-17-of-2" in refused
            assert "sink-17-of-2" in refused
            assert reset(settings, "reset", "betfair", "--lane", "log", "--by", "-1", code=1)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.communicate(timeout=60)
        kafka, log = settings.kafka_config(), lane(settings)
        until(lambda: not members_of(kafka, log.agents) + members_of(kafka, log.sinks), 30, "they don't leave")

    # Skipping forward leaves holes, and says so; putting it back takes the group away again.
    skipped = reset(settings, "reset", lane(settings).agents, "--to-latest", "--yes")
    assert [one["skipped"] for one in skipped["changes"]] == [2, 2]
    assert committed(settings) == {("agents", 0): 2, ("agents", 1): 2, ("sinks", 0): None, ("sinks", 1): None}
    reset(settings, "undo", str(skipped["exported"]), "--yes")
    assert set(committed(settings).values()) == {None}

    worked(4)
    before, derived = committed(settings), fingerprint(connection)
    assert before == dict.fromkeys(before, 2)

    dry = reset(settings, "reset", "betfair", "--lane", "log", "--to-earliest")
    assert (dry["dry_run"], dry["exported"]) == (True, None)
    assert committed(settings) == before
    done = reset(settings, "reset", "betfair", "--lane", "log", "--to-earliest", "--yes")
    assert [one["repeated"] for one in done["changes"]] == [2, 2, 2, 2]
    assert committed(settings) == dict.fromkeys(before, 0)
    assert Path(str(done["exported"])).parent == settings.home / "offsets"

    text = rederive(settings, "offsets", "reset", "betfair", "--lane", "log", "--by", "1", "--yes").stdout
    assert "4 records are skipped: holes, which `rederive gaps betfair` lists" in text
    assert committed(settings) == dict.fromkeys(before, 1)
    assert reset(settings, "undo", str(done["exported"]))["dry_run"] is True
    reset(settings, "undo", str(done["exported"]), "--yes")
    assert committed(settings) == before

    reset(settings, "reset", "betfair", "--lane", "log", "--to-time", "2020-01-01", "--yes")
    assert committed(settings) == dict.fromkeys(before, 0)
    worked(4)
    assert fingerprint(connection) == derived, "what comes again counts once"

    kafka, log = settings.kafka_config(), lane(settings)
    wanted = changes(stand(kafka, groups_of(settings.topic_prefix, log.agents)), to_earliest)
    reset(settings, "reset", log.agents, "--to-earliest", "--yes")
    with pytest.raises(Failed, match="have changed since they were looked at"):
        put_elsewhere(kafka, wanted, settings.home / "offsets")

    beyond = tmp_path / "beyond.json"
    beyond.write_bytes(Path(str(done["exported"])).read_bytes().replace(b'"0":2', b'"0":99'))
    assert (
        "is none of"
        in reset(settings, "reset", "betfair", "--lane", "log", "--to-offsets", str(beyond), code=2)["said"]
    )


def test_words_that_mean_no_place_are_refused(settings: Settings, tmp_path: Path) -> None:
    for words, said in (
        (("reset", "betfair", "--to-latest"), "several lanes"),
        (("reset", "betfair", "--lane", "log"), "goes to one place"),
        (("reset", "betfair", "--lane", "log", "--to-latest", "--by", "1"), "--to-latest and --by"),
        (("reset", "betfair", "--lane", "detail", "--to-latest"), "say one of log, replay"),
        (("show", "betfare"), "near it are betfair"),
        (("undo", str(tmp_path / "none.json")), "can't be read"),
    ):
        assert said in rederive(settings, "offsets", *words, code=2).stderr
