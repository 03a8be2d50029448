"""Units: files, and what is packed from stored rows, give the same rows (schemas/finra/units.py)."""

from datetime import UTC, date, datetime
from typing import Any

import orjson
import pytest

from processors.finra.process import process
from processors.finra.rolling import facts_of
from samples.finra import sample as finra_sample
from samples.finra.files import FinraFiles
from schemas.finra import versions as finra_versions
from schemas.finra.partition import window
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.tables import FINRA, RAW
from schemas.finra.units import (
    FileUnit,
    RawUnit,
    RollingFacts,
    RollingUnit,
    SnapshotUnit,
    TierCapture,
    TierSplitUnit,
    VolumeUnit,
    decode,
)
from schemas.outcome import Outcome
from tests.finra.texts import AT, EXAMPLE_A, NAME, WEEK, checks, content, file_outcome, picked, table, unit

LATER = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
DERIVED = (
    "symbol_summary",
    "venue_share",
    "weekly_symbol_venue_share",
    "weekly_symbol_venue_concentration_hhi",
)
MADE = FinraFiles(symbols=80, rows=400, faults=0.2).file(WEEK, "OTC")


def stored(outcome: Outcome, name: str, columns: tuple[str, ...]) -> list[list[Any]]:
    """A table's rows as a producer packs them."""
    return [list(row) for row in picked(table(outcome, name), *columns)]


@pytest.fixture(scope="module")
def first() -> Outcome:
    return file_outcome(MADE.content.decode(), file_name=MADE.name)


def test_stored_raw_rows_give_what_their_file_gave(first: Outcome) -> None:
    read = RawUnit(captured_at=LATER, week_ending=WEEK, tier="OTC", input_capture_id="the first", source_file=MADE.name)
    again = process(read.encode(stored(first, "raw", RawUnit.ROWS)), ())
    assert again.read == len(table(first, "raw"))
    for name in ("venue_volume", *DERIVED):
        assert rows_equal_deterministic(table(first, name), table(again, name))
    assert {row["input_capture_id"] for row in table(again, "venue_volume")} == {"the first"}
    rejects = [row for row in table(first, "core_rejects") if row["stage"] == "NORMALIZE"]
    names = ("line_number", "stage", "reason_code", "reason_detail", "record_key", "source_locator")
    assert picked(table(again, "core_rejects"), *names) == picked(rejects, *names)
    assert table(again, "raw") == []
    assert {name: status for name, status in checks(first).items() if name != "reject_rate"} == {
        name: status for name, status in checks(again).items() if name != "reject_rate"
    }


def test_the_text_of_a_stored_row_is_put_together_again() -> None:
    text = "OTC|A$|n|v|NITE|0|0|2025-12-29"
    outcome = file_outcome(content([], text))
    read = RawUnit(captured_at=LATER, week_ending=WEEK, tier="OTC", source_file=NAME)
    again = process(read.encode(stored(outcome, "raw", RawUnit.ROWS)), ())
    assert picked(table(again, "core_rejects"), "raw_json") == [({"text": text},)]


def test_stored_normalised_rows_give_what_their_file_gave(first: Outcome) -> None:
    rows = stored(first, "venue_volume", VolumeUnit.ROWS)
    again = process(VolumeUnit(captured_at=LATER, week_ending=WEEK, tier="OTC").encode(rows), ())
    assert again.read == len(rows)
    for name in DERIVED:
        assert rows_equal_deterministic(table(first, name), table(again, name))
    assert [row["stage"] for row in table(again, "core_manifest")] == ["AGGREGATED"]


def test_one_calculation_of_one_version(first: Outcome) -> None:
    rows = stored(first, "venue_volume", VolumeUnit.ROWS)
    read = VolumeUnit(
        captured_at=LATER, week_ending=WEEK, tier="OTC", calc=("venue_share",), versions={"venue_share": "v2"}
    )
    outcome = process(read.encode(rows), ())
    written = {block.table for block in outcome.tables if len(block)}
    assert written == {"finra_otc_transparency_venue_share", "core_quality"}
    assert {row["calc_version"] for row in table(outcome, "venue_share")} == {"v2"}


def test_stages_name_what_a_file_is_computed_to() -> None:
    outcome = file_outcome(content(EXAMPLE_A), calc=("ingest_week", "normalize_week"))
    written = {block.table.removeprefix("finra_otc_transparency_") for block in outcome.tables if len(block)}
    assert written == {"raw", "venue_volume", "core_manifest", "core_quality"}
    assert "stage_input" not in checks(outcome)


def test_a_deprecated_version_is_written_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = finra_versions.CALCS["venue_share"]
    aged = finra_versions.Calc(
        entry.name, entry.table, entry.business_keys, entry.stage, ("v1", "v2"), current="v2", deprecated=("v1",)
    )
    monkeypatch.setitem(finra_versions.CALCS, "venue_share", aged)
    assert "deprecated_version" not in checks(file_outcome(content(EXAMPLE_A)))
    outcome = file_outcome(content(EXAMPLE_A), versions={"venue_share": "v1"})
    assert checks(outcome)["deprecated_version"] == "WARN"
    assert len(table(outcome, "venue_share")) == 4


def test_a_tier_split_is_over_all_tiers_each_under_its_own_capture() -> None:
    rows = [["OTC", "AABB", 300], ["ATS", "AABB", 100], ["ATS", "FNMA", 0]]
    tiers = {"OTC": TierCapture(capture_id="of otc", input_capture_id="before"), "ATS": TierCapture()}
    outcome = process(TierSplitUnit(captured_at=AT, week_ending=WEEK, tiers=tiers).encode(rows), ())
    found = table(outcome, "weekly_symbol_tier_volume_share")
    names = ("tier", "symbol", "tier_volume", "total_symbol_volume_all_tiers", "tier_volume_share")
    assert sorted(picked(found, *names)) == [
        ("ATS", "AABB", 100, 400, 0.25),
        ("ATS", "FNMA", 0, 0, 0.0),
        ("OTC", "AABB", 300, 400, 0.75),
    ]
    captures = {row["tier"]: (row["capture_id"], row.get("input_capture_id")) for row in found}
    assert captures["OTC"] == ("of otc", "before")
    assert captures["ATS"][0].startswith("finra.otc_transparency:ATS:2025-12-26:")
    assert checks(outcome) == {"tier_share_sum": "PASS"}


def summaries(symbols: range) -> list[list[Any]]:
    return [[f"S{n:02}", week.isoformat(), n + place, 1] for n in symbols for place, week in enumerate(window(WEEK))]


def test_ranges_of_symbols_give_together_what_one_unit_gives() -> None:
    facts = RollingFacts(
        weeks=window(WEEK),
        symbols=21,
        complete=20,
        partial=("S99",),
        input_min_capture_id="a",
        input_max_capture_id="f",
        input_min_captured_at=AT,
        input_max_captured_at=LATER,
    )

    def outcome(symbols: range, part: tuple[int, int]) -> Outcome:
        rolling = RollingUnit(captured_at=AT, week_ending=WEEK, tier="OTC", facts=facts, part=part)
        return process(rolling.encode(summaries(symbols)), ())

    whole, parts = outcome(range(20), (1, 1)), [outcome(range(12), (1, 2)), outcome(range(12, 20), (2, 2))]
    together = [row for part in parts for row in table(part, "symbol_rolling_6w")]
    assert table(whole, "symbol_rolling_6w") == together
    inputs = ("input_min_capture_id", "input_max_capture_id", "input_min_captured_at", "input_max_captured_at")
    assert picked(together[:1], *inputs) == [("a", "f", AT.isoformat(), LATER.isoformat())]
    # What holds for the tier is said once.
    for name in ("core_quality", "core_manifest"):
        assert table(whole, name) == table(parts[0], name)
        assert table(parts[1], name) == []
    assert table(whole, "core_manifest")[0]["row_count"] == 20


def test_facts_are_of_all_summaries_of_the_window() -> None:
    import polars as pl

    rows = [(s, w, f"c{w.day}") for s in ("A", "B") for w in window(WEEK) if (s, w) != ("B", WEEK)]
    frame = pl.DataFrame(rows, schema=["symbol", "week_ending", "capture_id"], orient="row")
    moments = {row[2]: datetime(2026, 1, row[1].day, tzinfo=UTC) for row in rows}
    facts = facts_of(frame, WEEK, moments)
    assert (facts.weeks, facts.symbols, facts.complete, facts.partial) == (window(WEEK), 2, 1, ("B",))
    assert (facts.input_min_capture_id, facts.input_max_capture_id) == ("c12", "c5")
    assert (facts.input_min_captured_at, facts.input_max_captured_at) == (min(moments.values()), max(moments.values()))


@pytest.mark.parametrize("name", finra_sample.NAMES)
def test_what_every_unit_writes_fits_its_tables(name: str) -> None:
    outcome = file_outcome(finra_sample.content(name), file_name=name, execution_id="run 1", batch_id="b")
    for block in outcome.tables:
        spec = FINRA.table(block.table).written
        columns = {column.name for column in (*spec.key, *spec.columns)} | {spec.observed}
        given = set(block.columns)
        assert given <= columns
        assert {column.name for column in spec.key} <= given
        said = block.batch.select(["execution_id", "batch_id"]).to_pylist()
        assert said == [{"execution_id": "run 1", "batch_id": "b"}] * len(block)
    assert {column.name for column in RAW.values} <= set(outcome.tables[0].columns)


def test_units_say_themselves_again() -> None:
    given = unit(content(EXAMPLE_A), tier="ats", week_ending="20251226", versions={"venue_share": "v2"}, batch_id="b")
    assert decode(given.encode()) == (given, [])
    split = TierSplitUnit(captured_at=AT, week_ending=WEEK, tiers={"OTC": TierCapture(captured_at=LATER)})
    assert decode(split.encode([["OTC", "A", 1]])) == (split, [["OTC", "A", 1]])
    facts = RollingFacts(weeks=window(WEEK), input_min_captured_at=AT)
    rolling = RollingUnit(captured_at=AT, week_ending=WEEK, tier="OTC", facts=facts, part=(2, 3))
    assert decode(rolling.pack([b'["A","2025-12-26",1,2]'])) == (rolling, [["A", "2025-12-26", 1, 2]])


def test_a_line_of_compute_is_a_unit() -> None:
    line = {"week_ending": None, "tier": None, "file_name": NAME, "captured_at": "2025-12-29T14:30:00Z", "content": "x"}
    given, _ = decode(orjson.dumps(line))
    assert isinstance(given, FileUnit)
    batch = given.batch(lambda: None)
    assert (batch.tier, batch.week_ending) == ("OTC", date(2025, 12, 26))
    assert batch.capture_id.endswith(":622f52")


HEAD = {"week_ending": "2025-12-26", "tier": "OTC", "captured_at": "2025-12-29T14:30:00+00:00"}


@pytest.mark.parametrize(
    ("head", "why"),
    [
        ({"kind": "files"}, "'files' is no kind of unit; there are file, raw, venue_volume"),
        ({"kind": "file", **HEAD, "content": ""}, "file_name: Field required"),
        ({"kind": "snapshot", **HEAD, "week_ending": "2025-12-25"}, "week_ending: .*the nearest is 2025-12-26"),
        ({"kind": "snapshot", **HEAD, "tier": "tier3"}, "tier: .*'tier3' is no tier; the tiers are OTC"),
        ({"kind": "snapshot", **HEAD, "captured_at": "2025-12-29T14:30:00"}, "captured_at is .*, without an offset"),
        ({"kind": "snapshot", **HEAD, "captured_at": 5}, "captured_at is 5, not ISO 8601 text with an offset"),
        (
            {"kind": "venue_volume", **HEAD, "versions": {"venue_share": "v9"}},
            "venue_share has no version 'v9'; there are v1, v2",
        ),
        ({"kind": "venue_volume", **HEAD, "versions": {"hhi": "v1"}}, "'hhi' is no calculation; there are"),
        ({"kind": "venue_volume", **HEAD, "calc": ["hhi"]}, "'hhi' is neither stage nor calculation"),
        ({"kind": "venue_volume", **HEAD, "calc": ["rolling_6w"]}, "a unit of kind venue_volume computes nothing of"),
        ({"kind": "snapshot", **HEAD, "captured_at": "10000-01-01T00:00:00Z"}, "outside the years 1 to 9999"),
        ({"kind": "snapshot", **HEAD, "week_ending": "10000-01-07"}, "'10000-01-07' is outside the years 1 to 9999"),
        ({"kind": "snapshot", **HEAD, "week_ending": "0001-01-05"}, "the week 0001-01-05 is at the calendar's end"),
        ({"kind": "snapshot", **HEAD, "week_ending": ""}, "'' is empty"),
        ({"kind": None}, "null is no kind of unit"),
        ({"kind": []}, "a list is no kind of unit"),
        ({"kind": "snapshot", **HEAD, "capture_id": "a\nb"}, "capture_id: .*printable"),
    ],
)
def test_a_wrong_unit_is_refused_in_words(head: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        process(orjson.dumps(head), ())


@pytest.mark.parametrize(
    ("kind", "row", "why"),
    [
        (
            "venue_volume",
            ["A", "NITE", None, 1],
            "a row of a unit of kind venue_volume is an array of 6 values: symbol",
        ),
        ("venue_volume", ["A", "NITE", None, 1.5, 1, None], "a stored row doesn't fit symbol, mpid"),
        ("venue_volume", ["A", 5, None, 1, 1, None], "a stored row doesn't fit"),
        ("venue_volume", ["A", "NITE", None, None, 1, None], "a stored row has no total_shares"),
        ("venue_volume", ["A", "NITE", None, -1, 1, None], "a row has negative shares or trades"),
        ("venue_volume", ["A", "NITE", None, 1, 1, "26.12."], "a stored row doesn't fit"),
        ("rolling", ["A", "2025-11-14", 1, 1], "a summary's week is not among the 6 up to 2025-12-26"),
    ],
)
def test_a_wrong_stored_row_is_refused_in_words(kind: str, row: list[Any], why: str) -> None:
    head = {"kind": kind, **HEAD, "facts": {"weeks": [week.isoformat() for week in window(WEEK)]}}
    with pytest.raises(ValueError, match=why):
        process(orjson.dumps(head) + b"\n" + orjson.dumps(row), ())


@pytest.mark.parametrize(
    ("given", "row", "why"),
    [
        (VolumeUnit(captured_at=AT, week_ending=WEEK, tier="OTC"), ["A", "N", None, 1, 1, None], "two rows of one"),
        (
            TierSplitUnit(captured_at=AT, week_ending=WEEK, tiers={"OTC": TierCapture()}),
            ["OTC", "A", 1],
            "two summaries of one symbol",
        ),
        (
            RollingUnit(captured_at=AT, week_ending=WEEK, tier="OTC", facts=RollingFacts(weeks=window(WEEK))),
            ["A", "2025-12-26", 1, 1],
            "two summaries of one week",
        ),
        (
            SnapshotUnit(captured_at=AT, week_ending=WEEK, tier="OTC"),
            ["A", 1, 1, 1, 1.0, None, None, None, None, None, None],
            "a symbol has two summaries",
        ),
    ],
)
def test_a_row_that_comes_twice_is_refused(given: VolumeUnit, row: list[Any], why: str) -> None:
    process(given.encode([row]), ())
    with pytest.raises(ValueError, match=why):
        process(given.encode([row, row]), ())


def test_single_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="derived whole, not by column"):
        process(b"{}", ("rank",))
