"""The table of docs/betfair.md that says what is stored for which level."""

import json
import re

import pytest

from processors.betfair.general import derive
from schemas.betfair.tables import METRICS
from tests.program import ROOT

_ROW = re.compile(r"^\| `(\[.*?\]|null)` \| (.*) \|$", re.MULTILINE)
_COLUMNS = ("home_best_back", "home_spread", "home_best_back_size_l1", "home_back_stake", "home_back_odds")

ROWS: list[tuple[str, str]] = _ROW.findall((ROOT / "docs/betfair.md").read_text())


def _home(level: object) -> dict[str, float | None]:
    ladders = {11: [level], 22: [[4.4, 50]], 33: [[3.6, 60]]}
    runners = [
        {"selectionId": identifier, "ex": {"availableToBack": back, "availableToLay": [[1.91, 120]]}}
        for identifier, back in ladders.items()
    ]
    line = {
        "snapshot_id": 1,
        "snapshot_at": "2026-03-01T12:00:00+00:00",
        "market_id": "1.100",
        "selection_ids": {"home": 11, "away": 22, "draw": 33},
        "raw_payload": {"totalMatched": 1.0, "runners": runners},
    }
    return dict(zip(METRICS, derive(json.dumps(line).encode()).values, strict=True))


def test_the_table_is_found() -> None:
    assert len(ROWS) == 10


@pytest.mark.parametrize(("level", "said"), ROWS)
def test_what_is_stored_is_what_is_documented(level: str, said: str) -> None:
    stored = _home(json.loads(level))
    assert [("NULL" if stored[name] is None else repr(stored[name])) for name in _COLUMNS] == said.split(" | ")
