"""What FINRA's units freeze when they are planned: partition, work, when the captures they write were minted."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, model_validator

from producers.places import Place
from schemas.plan import Locator


class StageWork(Locator):
    """A stage of a week, of one tier or (tier split) several.

    `minted` is when each capture that it writes was minted, in their order. `found` counts the rows that it reads,
    about; `as_of` is the moment at which a follow-up has looked.
    """

    week: dt.date
    tiers: tuple[str, ...]
    minted: tuple[dt.datetime, ...]
    work: tuple[str, ...]
    versions: Mapping[str, str] = {}
    reject_zero_volume: bool = True
    found: int = 0
    as_of: dt.datetime | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_it_was(cls, said: Any) -> Any:  # noqa: ANN401 - whatever was stored
        """Units that an earlier version planned say one tier and one moment."""
        if not isinstance(said, dict) or "captured_at" not in said:
            return said
        now = {name: value for name, value in said.items() if name not in ("tier", "captured_at")}
        return {"tiers": [said.get("tier")], "minted": [said["captured_at"]], **now}

    @property
    def tier(self) -> str:
        """The tier, where there is one; "all" otherwise."""
        return self.tiers[0] if len(self.tiers) == 1 else "all"

    @property
    def captured_at(self) -> dt.datetime:
        """When the latest of its captures was minted."""
        return max(self.minted)


class FileWork(StageWork):
    """A file of a folder, as it was when it was planned."""

    path: str
    sha256: str


class LoggedFile(StageWork, Place):
    """A file that a record of the log holds."""

    sha256: str


class Unusable(Locator):
    """A file, or a record, of which nothing can be made, and why; `path` is where a file is looked for again.

    `sha256` is of what it held, where that is known: live says it once.
    """

    model_config = ConfigDict(extra="ignore")

    refused: str
    path: str = ""
    sha256: str = ""


FinraLocator = FileWork | LoggedFile | StageWork | Unusable
