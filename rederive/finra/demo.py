"""FINRA's part of the demo: two real weeks of files, and a made-up quarter."""

from datetime import date

from rederive.demo import Show
from samples.finra import sample
from samples.finra.files import FinraFiles
from schemas.finra.partition import fridays

_QUARTER = date(2025, 1, 1), date(2025, 3, 31)


def demo(show: Show) -> None:
    """Ingest both, compare two versions of a calculation, and find nothing to do the second time."""
    real, made = show.home / "finra-real", show.home / "finra-quarter"
    show.say("FINRA's weekly OTC files: two real weeks")
    real.mkdir()
    for name in sample.NAMES:
        (real / name).write_text(sample.content(name))
    show.type("replay finra --from 2025-12-01 --to 2025-12-31 --source", str(real))
    show.type("replay finra --from 2025-12-01 --to 2025-12-31 --calc venue_share --calc-version v2")
    show.type("versions compare venue_share v1 v2 --week 2025-12-19 --tier OTC")
    show.say("a made-up quarter of four tiers")
    made.mkdir()
    for weekly in FinraFiles(symbols=300, rows=1200, faults=0.02).files(fridays(*_QUARTER)):
        (made / weekly.name).write_bytes(weekly.content)
    quarter = f"--from {_QUARTER[0]} --to {_QUARTER[1]}"
    show.type(f"replay finra {quarter} --source", str(made))
    show.type("report week 2025-03-28 --tier OTC")
    show.type("report quality")
    show.say("the same files again: nothing to do")
    show.type(f"replay finra {quarter} --json --source", str(made))
