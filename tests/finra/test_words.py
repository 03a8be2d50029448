"""What the words of `rederive replay finra` mean, and which don't mean anything."""

from pathlib import Path
from typing import Any

import pytest

from producers.finra.folder import Folder
from producers.finra.folder import refused as folder_refused
from producers.finra.notes import files
from rederive.finra.commands import Asked, show_plan
from schemas.errors import UsageError
from schemas.plan import Plan
from schemas.table import Mode


def test_a_request_says_everything_that_a_resumed_run_must_know(tmp_path: Path) -> None:
    request = Asked(
        source=tmp_path, from_="2025-01-01", to="2025-12-31", tier=("otc,ats", "tier1"), calc=("venue_share",),
        calc_version="v2", file_date="20251229", force=True, no_reject_zero_volume=True,
    ).request()  # fmt: skip
    assert request.mode is Mode.INSERT
    assert request.describe() == {
        "start": "2025-01-01T00:00:00+00:00",
        "end": "2026-01-01T00:00:00+00:00",
        "keys": ["OTC", "ATS", "NMS_TIER_1"],
        "kinds": ["venue_share"],
        "source": str(tmp_path),
        "calc_version": "v2",
        "input_capture": None,
        "file_date": "2025-12-29",
        "take_newest": False,
        "force": True,
        "reject_zero_volume": False,
    }


def test_without_a_range_a_folder_is_taken_whole(tmp_path: Path) -> None:
    request = Asked(source=tmp_path).request()
    assert (request.start, request.end) == (None, None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "--from is missing"),
        ({"from_": "2025-13-01"}, "--from '2025-13-01' is no date"),
        ({"from_": "2025-02-01", "to": "2025-01-01"}, "is after the end"),
        ({"from_": "2025-01-01", "tier": ("NASDAQ",)}, "the tiers are OTC, OTC_BLOCKS, ATSB, ATS, NMS_TIER_1"),
        ({"from_": "2025-01-01", "calc": ("vwap",)}, "there are ingest_week, normalize_week"),
        ({"from_": "2025-01-01", "calc": ("liquidity_score",)}, "liquidity_score is a reserved name"),
        ({"from_": "2025-01-01", "calc": ("venue_share",), "calc_version": "v9"}, "no version 'v9'; there are v1, v2"),
        ({"from_": "2025-01-01", "calc_version": "v2"}, "--calc-version needs --calc"),
        ({"from_": "2025-01-01", "calc": ("normalize_week",), "calc_version": "v1"}, "has no versions"),
        ({"from_": "2025-01-01", "calc": ("ingest_week",)}, "ingest_week reads files"),
        ({"input_capture": "x", "calc": ("rolling_6w",)}, "--input-capture is not for rolling_6w"),
        ({"source": Path("/nowhere/at/all")}, "does not exist"),
        ({"from_": "2025-01-01", "file_date": "2025-12-29"}, "--file-date is for files"),
        ({"from_": "2025-01-01", "take_newest": True}, "--take-newest is for files"),
        ({"source": Path("/"), "input_capture": "x"}, "don't go together"),
        ({"source": Path("/"), "file_date": "12/29/2025"}, "is no date"),
        ({"from_": "2025-01-01", "tier": ("",)}, "--tier names no tier"),
        ({"from_": "2025-01-01", "tier": (",",)}, "--tier names no tier"),
        ({"from_": "2025-01-01", "calc": ("",)}, "--calc names no calculation"),
        ({"from_": "2025-01-01", "input_capture": ""}, "--input-capture names no capture"),
    ],
)
def test_words_without_a_meaning_are_refused_before_anything_is_looked_at(words: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError) as raised:
        Asked(**words).request()
    assert told in str(raised.value)


def test_a_dry_run_with_files_that_cannot_be_used_is_finished_with_errors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    request = Asked(source=tmp_path).request()
    head: dict[str, Any] = {
        "domain": "finra",
        "source": "files",
        "mode": Mode.INSERT,
        "derivation_version": 1,
        "columns": (),
    }
    reason = "it has a header and no rows"
    for refused in (0, 9):
        found = Folder(refused=[(tmp_path / f"bad{n}.csv", reason) for n in range(refused)])
        made = Plan(
            **head,
            request=request.describe(),
            found=refused,
            units=tuple(folder_refused(*one).model_copy(update={"unit": at}) for at, one in enumerate(found.refused)),
            notes=tuple(files(found, [])),
        )
        for json in (False, True):
            with caplog.at_level("INFO"):
                assert show_plan(made, json=json) == int(refused > 0)
    assert f"can't be used: bad8.csv: {reason}" in caplog.text
