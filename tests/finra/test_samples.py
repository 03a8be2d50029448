import pytest

from processors.finra.process import process
from samples.finra import sample as finra_sample
from samples.finra.files import FinraFiles
from schemas.finra.file import decode_file
from schemas.finra.partition import BACKFILL_TIERS, fridays, window
from schemas.finra.units import FileUnit
from tests.finra.texts import AT, WEEK


def test_the_same_seed_makes_the_same_files() -> None:
    made = list(FinraFiles(symbols=50, rows=200, faults=0.1).files(window(WEEK)[:2]))
    assert made == list(FinraFiles(symbols=50, rows=200, faults=0.1).files(window(WEEK)[:2]))
    assert [(each.week_ending, each.tier) for each in made] == [
        (week, tier) for week in window(WEEK)[:2] for tier in BACKFILL_TIERS
    ]
    assert len({each.content for each in made}) == 8
    other = FinraFiles(seed=2, symbols=50, rows=200).file(WEEK, "OTC")
    assert other.content != FinraFiles(symbols=50, rows=200).file(WEEK, "OTC").content


def test_another_edition_restates_the_same_rows() -> None:
    world = FinraFiles(symbols=50, rows=200)
    first, second = (world.file(WEEK, "OTC", edition).content.decode().split("\n") for edition in (0, 1))
    assert first != second
    assert [row.split("|")[1:5] for row in first] == [row.split("|")[1:5] for row in second]


@pytest.mark.parametrize("dos", [False, True])
@pytest.mark.parametrize("tier", BACKFILL_TIERS)
def test_a_file_is_read_as_it_says(tier: str, dos: bool) -> None:
    made = FinraFiles(symbols=80, rows=400, faults=0.25, dos=dos).file(WEEK, tier)
    unit = FileUnit(captured_at=AT, file_name=made.name, content=decode_file(made.content))
    outcome = process(unit.encode(), ())
    reasons = [skip.reason for skip in outcome.skips]
    assert outcome.read == made.rows
    assert {reason: reasons.count(reason) for reason in reasons} == made.rejects
    assert (unit.batch(lambda: None).tier, unit.batch(lambda: None).week_ending) == (tier, WEEK)


def test_files_are_as_large_as_asked() -> None:
    made = FinraFiles(symbols=1_000, rows=5_000).file(WEEK, "OTC")
    assert 4_500 < made.rows < 5_500
    symbols = {row.split("|")[1] for row in made.content.decode().split("\n")[1:-1]}
    assert 950 < len(symbols) < 1_000


def test_the_real_sample_is_there() -> None:
    weeks = fridays(WEEK.replace(day=8), WEEK.replace(day=20))
    names = [f"finra_otc_weekly_otc_{day}.csv" for day in ("20251215", "20251222")]
    assert len(weeks) == 2
    assert list(finra_sample.NAMES) == names
    assert [finra_sample.content(name).count("\n") for name in names] == [5329, 5193]
