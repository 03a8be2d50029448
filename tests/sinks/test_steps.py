"""Steps after a capture: which horse a sire, dam or damsire is (racing spec, section 5)."""

from collections.abc import Iterator

import psycopg
import pytest

from schemas.outcome import Outcome, TableRows
from schemas.racing.tables import HORSES as HORSES_TABLE
from schemas.racing.tables import OBSERVED, RACING, RESULT
from schemas.racing.tables import SIRES as SIRES_TABLE
from schemas.table import Mode
from sinks.merge.merging import prepare
from sinks.steps import run_steps
from tests.racing.written import DAY, write
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services

HORSES = [
    ("hrs_1", "Harvest Bell (GB)", "gb"),
    ("hrs_2", "Tin Whistle (IRE)", "ire"),
    ("hrs_3", "TIN  WHISTLE", "usa"),
    ("hrs_4", "Echo Park", None),
    ("hrs_5", "Moss Rose (IRE)", "ire"),
    ("hrs_6", "Moss Rose (IRE)", "ire"),
    ("hrs_7", "Old Rampart (FR)", "fr"),
]
SIRES = {
    "sir_1": ("harvest bell", "gb", "hrs_1"),
    "sir_2": ("Tin Whistle", "ire", "hrs_2"),
    "sir_3": ("Tin Whistle (USA)", "usa", "hrs_3"),
    "sir_4": ("Tin Whistle", None, None),
    "sir_5": ("Echo Park (GB)", "gb", "hrs_4"),
    "sir_6": ("Moss Rose", "ire", None),
    "sir_7": ("Old Rampart", "gb", "hrs_7"),
    "sir_8": ("Nobody", "gb", None),
    "sir_9": (None, None, None),
}


@pytest.fixture
def racing(migrated: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(migrated, autocommit=True) as opened:
        prepare(opened, RACING.tables)
        yield opened


def masters(horses: list[tuple[str, str, str | None]]) -> Outcome:
    rows = [[*horse, DAY] for horse in horses]
    sires = [[sire, name, region, DAY] for sire, (name, region, _) in SIRES.items()]
    columns = ("id", "name", "region", OBSERVED)
    return Outcome(
        tables=[
            TableRows.of(HORSES_TABLE, columns, rows, RESULT),
            TableRows.of(SIRES_TABLE, columns, [list(row) for row in sires], RESULT),
        ]
    )


def linked(racing: psycopg.Connection) -> dict[str, str | None]:
    return dict(racing.execute("SELECT id, horse_id FROM ra_mst_sires").fetchall())


def test_a_sire_is_the_one_horse_of_its_name_and_region_or_of_its_name(racing: psycopg.Connection) -> None:
    write(racing, make_capture(racing, 1, Mode.SUPERSEDE, 1), masters(HORSES))
    assert run_steps(racing, RACING)["ra_mst_sires.horse_id"] == 5
    assert linked(racing) == {sire: horse for sire, (_, _, horse) in SIRES.items()}
    assert set(run_steps(racing, RACING).values()) == {0}, "what is right stays as it is"


def test_a_link_follows_the_horses_and_is_no_write_from_outside(racing: psycopg.Connection) -> None:
    write(racing, make_capture(racing, 1, Mode.SUPERSEDE, 1), masters(HORSES[:2]))
    run_steps(racing, RACING)
    assert linked(racing)["sir_4"] == "hrs_2", "the only one of that name so far"
    racing.execute("UPDATE ra_mst_sires SET region = 'by hand' WHERE id = 'sir_8'")
    write(racing, make_capture(racing, 2, Mode.SUPERSEDE, 1), masters(HORSES))
    run_steps(racing, RACING)
    assert linked(racing)["sir_4"] is None
    write(racing, make_capture(racing, 3, Mode.SUPERSEDE, 1), masters(HORSES))
    outside = racing.execute("SELECT id FROM rederive.ra_mst_sires_history WHERE source < 0").fetchall()
    assert outside == [("sir_8",)], "only what was written by hand"


def test_a_link_leaves_what_was_written_by_hand_to_be_noted(racing: psycopg.Connection) -> None:
    write(racing, make_capture(racing, 1, Mode.SUPERSEDE, 1), masters(HORSES))
    racing.execute("UPDATE ra_mst_sires SET region = 'fr' WHERE id = 'sir_1'")
    assert run_steps(racing, RACING)["ra_mst_sires.horse_id"] == 5
    write(racing, make_capture(racing, 2, Mode.SUPERSEDE, 1), masters(HORSES))
    noted = racing.execute("SELECT region FROM rederive.ra_mst_sires_history WHERE source < 0").fetchall()
    assert noted == [("fr",)]
