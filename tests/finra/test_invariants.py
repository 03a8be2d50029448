"""What holds for every file: nothing is lost, shares add up to 1, order doesn't matter, junk is refused in words."""

import math
from collections import defaultdict
from contextlib import suppress
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from processors.finra.process import process
from samples.finra import sample as finra_sample
from samples.finra.files import HEADER, FinraFiles
from schemas.derived import decode_outcome, encode_outcome
from schemas.finra.row_equality import rows_equal_deterministic
from schemas.finra.tables import FINRA
from schemas.outcome import Outcome
from tests.finra.texts import AT, WEEK, checks, content, file_outcome, table
from tests.sizes import usual

TABLES = (
    "venue_volume",
    "symbol_summary",
    "venue_share",
    "weekly_symbol_venue_share",
    "weekly_symbol_venue_concentration_hhi",
)


def hold(outcome: Outcome) -> None:
    """The invariants of a file's outcome with at least one share traded."""
    parse_errors = sum(skip.reason == "PARSE_ERROR" for skip in outcome.skips)
    volumes = table(outcome, "venue_volume")
    assert outcome.read == len(volumes) + len(outcome.skips)
    assert len(table(outcome, "raw")) == outcome.read - parse_errors
    assert len(table(outcome, "core_rejects")) == len(outcome.skips)
    shares = table(outcome, "venue_share")
    assert math.isclose(math.fsum(row["market_share_pct"] for row in shares), 1, rel_tol=1e-12)
    assert sorted(row["rank"] for row in shares) == list(range(1, len(shares) + 1))
    by_rank = sorted(shares, key=lambda row: int(row["rank"]))
    assert [row["market_share_pct"] for row in by_rank] == sorted((r["market_share_pct"] for r in shares), reverse=True)
    of_symbol: dict[str, list[float]] = defaultdict(list)
    for row in table(outcome, "weekly_symbol_venue_share"):
        of_symbol[row["symbol"]].append(row["venue_share"])
    indices = {row["symbol"]: row for row in table(outcome, "weekly_symbol_venue_concentration_hhi")}
    assert indices.keys() == of_symbol.keys()
    for symbol, parts in of_symbol.items():
        if indices[symbol]["total_symbol_volume"] == 0:
            assert indices[symbol]["hhi"] == 0 == sum(parts)
            continue
        assert math.isclose(math.fsum(parts), 1, rel_tol=1e-12)
        assert 1 / len(parts) - 1e-12 <= indices[symbol]["hhi"] <= 1
        assert math.isclose(indices[symbol]["hhi"], math.fsum(part * part for part in parts), rel_tol=1e-12)
    for name in TABLES:
        rows = table(outcome, name)
        spec = next(spec for spec in FINRA.tables if spec.name.endswith(f"transparency_{name}"))
        keys = [tuple(row[column.name] for column in spec.key) for row in rows]
        assert keys == sorted(set(keys))


@pytest.mark.parametrize("name", finra_sample.NAMES)
def test_the_real_files_hold(name: str) -> None:
    outcome = file_outcome(finra_sample.content(name), file_name=name)
    hold(outcome)
    assert set(checks(outcome).values()) == {"PASS"}


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_made_up_file_holds(version: str) -> None:
    made = FinraFiles(symbols=200, rows=1_000, faults=0.2).file(WEEK, "OTC")
    outcome = file_outcome(made.content.decode(), versions={"venue_share": version})
    hold(outcome)
    assert {"week_mismatch", "reject_rate"} == {name for name, status in checks(outcome).items() if status == "WARN"}


GOOD_ROWS = st.lists(
    st.tuples(
        st.text("ABC", min_size=1, max_size=2),
        st.sampled_from(["NITE", "CDEL", "OTCN"]),
        st.one_of(st.integers(0, 3), st.integers(0, 10**12)),
        st.integers(1, 10**6),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
).filter(lambda rows: any(row[2] for row in rows))


@settings(max_examples=usual(100, long=150), deadline=None)
@given(GOOD_ROWS, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(rows: list[tuple[str, str, int, int]], random: Random) -> None:
    first = file_outcome(content(rows))
    hold(first)
    random.shuffle(rows)
    second = file_outcome(content(rows))
    for name in TABLES:
        assert rows_equal_deterministic(table(first, name), table(second, name))


def test_the_same_unit_gives_the_same_bytes() -> None:
    made = FinraFiles(symbols=200, rows=1_000, faults=0.1).file(WEEK, "OTC")
    assert encode_outcome(file_outcome(made.content.decode())) == encode_outcome(file_outcome(made.content.decode()))


def test_a_week_without_shares_fails_its_check() -> None:
    outcome = file_outcome(content([("AABB", "NITE", 0, 5), ("FNMA", "NITE", 0, 1)]))
    assert [row["market_share_pct"] for row in table(outcome, "venue_share")] == [0.0]
    assert [row["hhi"] for row in table(outcome, "weekly_symbol_venue_concentration_hhi")] == [0.0, 0.0]
    assert checks(outcome)["market_share_sum"] == "FAIL"


def test_a_file_without_any_valid_row_stops_after_stage_two() -> None:
    outcome = file_outcome(content([("AABB", "NITE", 0, 0), ("FNMA", "NITE", "x", 1)]))
    assert (len(table(outcome, "raw")), len(outcome.skips), outcome.read) == (1, 2, 2)
    assert table(outcome, "symbol_summary") == []
    assert checks(outcome)["stage_input"] == "FAIL"
    assert [row["stage"] for row in table(outcome, "core_manifest")] == ["INGESTED", "NORMALIZED"]


def test_sums_beyond_64_bits_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"\.csv: the shares of the tier add up to 9,223,372,036,854,775,808"):
        file_outcome(content([("A", "NITE", 2**63 - 1, 1), ("B", "NITE", 1, 1)]))
    assert table(file_outcome(content([("A", "NITE", 2**63 - 1, 1)])), "venue_share")[0]["total_volume"] == 2**63 - 1


HEAD = {"file_name": "x_20251229.csv", "tier": "OTC", "captured_at": AT.isoformat()}


def refused_or_whole(value: bytes) -> None:
    with suppress(ValueError):
        outcome = process(value, ())
        assert outcome.read == 0 or outcome.tables
        assert decode_outcome(encode_outcome(outcome)).read == outcome.read


@settings(max_examples=usual(100, long=300), deadline=None)
@given(st.text(max_size=300))
@example("")
@example("\ufeff")
@example("|")
def test_any_text_as_a_file_is_refused_or_read(text: str) -> None:
    refused_or_whole(orjson.dumps({**HEAD, "content": text}))
    refused_or_whole(orjson.dumps({**HEAD, "content": f"{HEADER}\n{text}"}))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False), st.text(max_size=9)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)),
    max_leaves=8,
)
KINDS = ("file", "raw", "venue_volume", "tier_split", "rolling", "snapshot")
UNIT: dict[str, Any] = {
    **HEAD,
    "week_ending": "2025-12-26",
    "source_file": "x.csv",
    "content": HEADER,
    "tiers": {"OTC": {}},
    "facts": {"weeks": ["2025-12-26"]},
}


@settings(max_examples=usual(133, long=400), deadline=None)
@given(
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(sorted([*UNIT, "calc", "versions", "part", "capture_id"])), JSON, max_size=2),
    st.lists(st.one_of(JSON, st.lists(JSON, min_size=3, max_size=11)), max_size=3),
)
def test_any_unit_is_refused_or_computed(kind: str, changed: dict[str, Any], rows: list[Any]) -> None:
    head = orjson.dumps({"kind": kind, **UNIT, **changed})
    refused_or_whole(b"\n".join([head, *map(orjson.dumps, rows)]))


@given(st.binary(max_size=100))
def test_any_bytes_are_refused(value: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        process(value, ())
