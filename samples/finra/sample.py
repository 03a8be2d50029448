"""The real sample: FINRA's weekly files of tier OTC published on 2025-12-15 and 2025-12-22."""

import gzip
from importlib.resources import files

NAMES = ("finra_otc_weekly_otc_20251215.csv", "finra_otc_weekly_otc_20251222.csv")
"""The files, of the weeks ending on 2025-12-12 and 2025-12-19."""


def content(name: str) -> str:
    """A file's text."""
    return gzip.decompress((files("samples.finra") / f"{name}.gz").read_bytes()).decode()
