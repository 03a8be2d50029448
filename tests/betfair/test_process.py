import json
from typing import Any

import pytest

from processors.betfair.general import derive
from processors.betfair.line import compute_line
from processors.betfair.process import process
from processors.betfair.snapshot import MAX_MARKET_ID
from schemas.betfair.tables import BETFAIR, METRICS, SCOPES
from schemas.derived import decode_outcome, encode_outcome
from schemas.domain import load
from schemas.outcome import RowProblem
from tests.betfair.books import IDS, line
from tests.betfair.test_examples import E1

AT, MARKET = "2026-02-06T12:00:21.828413+00:00", "1.253420693"


def test_a_unit_gives_one_table_and_every_line_its_place() -> None:
    good, skipped, broken = line(E1, snapshot_id=1), line({}, snapshot_id=2), line(5, snapshot_id=3)
    outcome = process(b"\n".join([good, skipped, b"", b"{oops", broken, b"  "]) + b"\n", ())
    assert outcome.read == 4
    assert outcome.dead is None
    (table,) = outcome.tables
    assert table.table == "market_derived_metrics"
    assert table.columns == ("snapshot_id", "snapshot_at", "market_id", "depth_limit", "calculation_version", *METRICS)
    assert table.rows() == [[1, AT, MARKET, 3, "imbalance_v1", *derive(good).values]]
    assert outcome.skips == [RowProblem((2,), "no_payload", "its raw_payload is null or empty")]
    first, second = outcome.errors
    assert (first.key, first.reason) == ((None,), "error")
    assert first.text.startswith("line 4: not JSON: ")
    assert second == RowProblem((3,), "error", "the payload is a number, not an object")
    assert decode_outcome(encode_outcome(outcome)) == outcome


@pytest.mark.parametrize("market", ["m" * 3_000_000, "é" * (MAX_MARKET_ID // 2 + 1)])
def test_a_market_id_that_no_index_takes_costs_its_row_only(market: str) -> None:
    long = json.loads(line(E1, snapshot_id=2)) | {"market_id": market}
    outcome = process(b"\n".join([line(E1, snapshot_id=1), json.dumps(long).encode(), line(E1, snapshot_id=3)]), ())
    (table,) = outcome.tables
    assert [row[0] for row in table.rows()] == [1, 3]
    (error,) = outcome.errors
    assert error.key == (2,)
    said = f"market_id is '{market[:40]}'…, of {len(market.encode()):,} bytes, more than 2,000"
    assert error.text == said
    fits = json.loads(line(E1)) | {"market_id": market[: MAX_MARKET_ID // 2]}
    assert process(json.dumps(fits).encode(), ()).errors == []


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_columns_come_in_table_order_with_their_values(scope: str) -> None:
    all_values = dict(zip(METRICS, derive(line(E1)).values, strict=True))
    wanted = SCOPES[scope]
    (table,) = process(line(E1), tuple(reversed(wanted))).tables
    names = [name for name in METRICS if name in wanted]
    assert table.columns[5:] == tuple(names)
    version = "imbalance_v1" if scope in ("all", "tier-a") else None
    assert table.rows() == [[7, AT, MARKET, 3, version, *(all_values[name] for name in names)]]


def test_a_single_column() -> None:
    (table,) = process(line(E1), ("home_risk",)).tables
    assert table.rows() == [[7, AT, MARKET, 3, "imbalance_v1", -477.6000000000001]]


def test_a_column_of_another_domain_is_refused() -> None:
    with pytest.raises(ValueError, match="betfair derives no column 'horse'"):
        process(line(E1), ("home_risk", "horse"))


@pytest.mark.parametrize("value", [b"", b"\n\n", b" \n\t"])
def test_an_empty_value_is_a_unit_without_rows(value: bytes) -> None:
    outcome = process(value, ())
    assert (outcome.read, outcome.tables[0].rows(), outcome.errors) == (0, [], [])


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ValueError, match="no UTF-8 text"):
        process(b"\x1f\x8b\x08\x00\n\xff\xfe", ())


def test_one_line_that_is_no_text_spares_the_others() -> None:
    outcome = process(b"\xff\xfe\n" + line(E1), ())
    assert (outcome.read, len(outcome.tables[0].rows())) == (2, 1)
    assert outcome.errors[0].text.startswith("line 1: not JSON: ")


def test_an_error_without_id_names_its_line() -> None:
    row: dict[str, Any] = json.loads(line(E1))
    del row["snapshot_id"]
    outcome = process(line(E1) + b"\n" + json.dumps(row).encode(), ())
    assert outcome.errors == [RowProblem((None,), "error", "line 2: there is no snapshot_id")]


def test_every_outcome_can_be_sent() -> None:
    # Lone surrogates and integers of any size come from json and are refused by the encoder.
    values: list[Any] = ["\ud800", 2**70, float("nan"), [2**70], {"\udfff": 1}, None]
    lines = [line(value, IDS, snapshot_id) for value in values for snapshot_id in values]
    lines += [line(E1 | {"totalMatched": value}) for value in values]
    lines += [line({"runners": [{"selectionId": value}, *E1["runners"], {"ex": value}]}) for value in values]
    outcome = process(b"\n".join(lines), ())
    assert decode_outcome(encode_outcome(outcome)).read == len(lines)


def test_derived_rows_never_depend_on_their_neighbours() -> None:
    lines = [line(E1, snapshot_id=1), line({"runners": [1, 2, 3]}, snapshot_id=2), line(E1, snapshot_id=3)]
    together = process(b"\n".join(lines), ()).tables[0].rows()
    alone = [row for each in lines for row in process(each, ()).tables[0].rows()]
    assert together == alone


def test_the_registry_has_the_domain() -> None:
    assert load(BETFAIR.process) is process


@pytest.mark.parametrize(("written", "stored"), [("1e400", "1" + "0" * 400), ("1e5000", "1" + "0" * 5000)])
def test_a_huge_number_costs_no_row_and_is_the_same_from_a_database(written: str, stored: str) -> None:
    figures = []
    for number in (written, stored):
        # A size, and the market's volume.
        text = line(E1).replace(b"150", number.encode()).replace(b"10432.7", number.encode())
        assert text.count(number.encode()) == 2
        outcome = process(text, ())
        assert (outcome.errors, outcome.skips) == ([], [])
        figures.append(outcome.tables[0].rows())
        assert json.loads(compute_line(text))["error"] is None
    assert figures[0] == figures[1]
