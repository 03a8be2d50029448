"""Files and rows, rule by rule (finra spec, sections 1.2 to 1.4)."""

from typing import Any

import pytest

from processors.finra.normalize import tier_of_description
from samples.finra.files import HEADER
from schemas.finra.file import content_hash, decode_file, first_update, read_header
from tests.finra.texts import content, file_outcome, line, picked, table

SHORT = "WeekEnding|Tier|Symbol|MPID|TotalShares|TotalTrades"
GOOD = line("AABB", "NITE", 100, 5)


def raw(text: str, *names: str) -> list[tuple[Any, ...]]:
    return picked(table(file_outcome(text), "raw"), *names)


def test_the_record_hash_of_the_spec() -> None:
    (found,) = raw(content([("AABB", "OTCN", 300000, 500)]), "record_hash")
    assert found == ("fd576c45a0f6c0885ed3a4933a232cd7",)


def test_the_short_form() -> None:
    names = ("line_number", "symbol", "mpid", "total_shares", "total_trades", "issue_name", "source_last_update_date")
    text = f"{SHORT}\n2025-12-26|OTC|AABB|NITE|100|5\n20251226|OTC|FNMA|CDEL|7|\n"
    assert raw(text, *names) == [
        (2, "AABB", "NITE", 100, 5, None, None),
        (3, "FNMA", "CDEL", 7, 0, None, None),
    ]


def test_columns_are_found_by_name_in_any_order() -> None:
    names = HEADER.split("|")
    values = dict(zip(names, GOOD.split("|"), strict=True))
    turned = [*reversed(names), "surplus"]
    text = "|".join(turned) + "\n" + "|".join(values.get(name, "") for name in turned)
    assert raw(text, "symbol", "mpid", "total_shares", "venue_name") == [("AABB", "NITE", 100, "NITE Venue")]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_bom_line_ends_and_blank_lines(bom: str, end: str) -> None:
    text = bom + end.join([HEADER, "", GOOD, "  ", line("FNMA", "NITE", 1, 1)])
    assert raw(text, "line_number", "symbol") == [(3, "AABB"), (5, "FNMA")]


def test_quotes_are_ordinary_characters() -> None:
    text = f'{HEADER}\nOTC|AABB|"Asia|Broadband"|v|NITE|100|5|2025-12-29\nOTC|FNMA|"a" b|v|NITE|1|1|2025-12-29'
    outcome = file_outcome(text)
    assert picked(table(outcome, "raw"), "issue_name") == [('"a" b',)]
    assert picked(table(outcome, "core_rejects"), "line_number", "reason_code") == [(2, "PARSE_ERROR")]


def test_a_short_row_lacks_fields_and_a_long_one_has_too_many() -> None:
    text = f"{SHORT}\n2025-12-26|OTC|AABB|NITE|100\n2025-12-26|OTC|FNMA\n2025-12-26|OTC|FNMA|NITE|1|1|x|y\n"
    outcome = file_outcome(text)
    assert picked(table(outcome, "raw"), "mpid", "total_shares", "total_trades") == [
        ("NITE", 100, 0),
        ("", 0, 0),
        ("NITE", 1, 1),
    ]
    assert picked(table(outcome, "core_rejects"), "line_number", "reason_code", "reason_detail") == [
        (3, "INVALID_MPID", "INVALID_MPID;ZERO_VOLUME")
    ]


@pytest.mark.parametrize(
    ("changed", "detail"),
    [
        ({5: "1,000"}, "totalWeeklyShareQuantity '1,000' is no whole number"),
        ({6: "12x"}, "totalWeeklyTradeCount '12x' is no whole number"),
        ({5: "3.5"}, "totalWeeklyShareQuantity '3.5' is no whole number"),
        ({5: "9223372036854775808"}, "totalWeeklyShareQuantity '9223372036854775808' doesn't fit into 64 bits"),
        ({7: "12/22/2025"}, "lastUpdateDate '12/22/2025' is no date"),
        ({7: ""}, "lastUpdateDate (or weekEnding) is empty"),
        ({7: "0001-01-01"}, "lastUpdateDate '0001-01-01' has no week before it"),
        ({7: "10000-01-01"}, "lastUpdateDate '10000-01-01' is outside the years 1 to 9999"),
        ({5: "x", 7: "y"}, "lastUpdateDate 'y' is no date; totalWeeklyShareQuantity 'x' is no whole number"),
        ({2: "a\0b"}, "it holds a NUL character"),
    ],
)
def test_a_row_that_cannot_be_read_says_why(changed: dict[int, str], detail: str) -> None:
    bad = "|".join(changed.get(place, field) for place, field in enumerate(GOOD.split("|")))
    outcome = file_outcome(f"{HEADER}\n{bad}\n{line('FNMA', 'NITE', 1, 1)}")
    (row,) = table(outcome, "core_rejects")
    assert (row["stage"], row["reason_code"], row["reason_detail"], row["line_number"]) == (
        "INGEST",
        "PARSE_ERROR",
        detail,
        2,
    )
    assert row["raw_json"] == {"text": bad.replace("\0", "\ufffd")}
    assert row["record_key"] == "AABB|NITE"
    assert len(table(outcome, "raw")) == 1


@pytest.mark.parametrize("count", ["100", "+100", " 100 ", "00000000000000000000100"])
def test_counts_that_can_be_read(count: str) -> None:
    assert raw(content([("AABB", "NITE", count, 5)]), "total_shares") == [(100,)]


def test_the_week_column_wins_and_must_be_readable() -> None:
    header = f"{HEADER}|weekEnding"
    rows = [f"{GOOD}|2025-12-26", f"{GOOD[:-10]}junk|2025-12-26", f"{GOOD}|junk", f"{GOOD}|"]
    text = "\n".join([header, *(row.replace("AABB", f"S{n}") for n, row in enumerate(rows))])
    outcome = file_outcome(text)
    assert picked(table(outcome, "raw"), "symbol", "source_last_update_date") == [
        ("S0", "2025-12-29"),
        ("S1", None),
        ("S3", "2025-12-29"),
    ]
    assert picked(table(outcome, "core_rejects"), "line_number", "reason_detail") == [
        (4, "weekEnding 'junk' is no date")
    ]


def test_a_stale_date_is_accepted_and_counted() -> None:
    text = content([("AABB", "NITE", 1, 1)], GOOD.replace("AABB", "FNMA").replace("2025-12-29", "2025-12-22"))
    outcome = file_outcome(text)
    assert {row["week_ending"] for row in table(outcome, "venue_volume")} == {"2025-12-26"}
    (check,) = [row for row in table(outcome, "core_quality") if row["check_name"] == "week_mismatch"]
    assert (check["status"], check["actual_value"]) == ("WARN", "1")


@pytest.mark.parametrize(
    ("symbol", "cleaned"),
    [("a$c me", "ACME"), ("brk.b", "BRK.B"), ("BF-B", "BF-B"), ("ZM/WS", "ZM/WS"), (" x ", "X"), ("A" * 20, "A" * 20)],
)
def test_symbols_are_cleaned(symbol: str, cleaned: str) -> None:
    outcome = file_outcome(content([(symbol, "nite ", 1, 1)]))
    assert picked(table(outcome, "venue_volume"), "symbol", "mpid") == [(cleaned, "NITE")]
    assert picked(table(outcome, "raw"), "symbol") == [(symbol.strip().upper(),)]


@pytest.mark.parametrize(
    ("text", "tier"),
    [
        ("NMS Tier 1", "NMS_TIER_1"),
        (" nms_tier_2 ", "NMS_TIER_2"),
        ("tier1", "NMS_TIER_1"),
        ("Tier 2", "NMS_TIER_2"),
        ("The 1st tier", "NMS_TIER_1"),
        ("OTC", "OTC"),
        ("OTC Other", "OTC"),
        ("Non-OTC", "OTC"),
        ("otc_blocks", "OTC_BLOCKS"),
        ("ATSB", "ATSB"),
        ("ats", "ATS"),
        ("", None),
        ("EXCHANGE", None),
        ("Tier", None),
    ],
)
def test_tier_descriptions(text: str, tier: str | None) -> None:
    assert tier_of_description(text) == tier


def test_a_zero_volume_may_be_let_through_when_it_is_the_only_fault() -> None:
    text = content([("AABB", "NITE", 0, 0), ("", "NITE", 0, 0)])
    strict, loose = file_outcome(text), file_outcome(text, reject_zero_volume=False)
    assert picked(table(strict, "core_rejects"), "reason_detail") == [
        ("ZERO_VOLUME",),
        ("INVALID_SYMBOL;ZERO_VOLUME",),
    ]
    assert picked(table(loose, "core_rejects"), "reason_detail") == [("INVALID_SYMBOL",)]
    assert picked(table(loose, "venue_volume"), "symbol", "avg_trade_size") == [("AABB", None)]


def test_a_duplicate_says_which_line_is_kept() -> None:
    rows = [("aabb", "NITE", 5, 1), ("AABB", "NITE", 9, 1), ("A ABB", "nite", 9, 2)]
    outcome = file_outcome(content(rows))
    assert picked(table(outcome, "core_rejects"), "line_number", "reason_detail", "record_key") == [
        (2, "DUPLICATE_KEY: line 3 is kept", "AABB|NITE"),
        (4, "DUPLICATE_KEY: line 3 is kept", "A ABB|NITE"),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        ("\ufeff\n \r\n", "it is empty"),
        (HEADER, "it has a header and no rows"),
        (f"{HEADER}\n\n  \n", "it has a header and no rows"),
        ("Symbol|Venue|Date\nA|B|C", "its header lacks tierDescription, MPID, totalWeeklyShareQuantity,"),
        (SHORT.replace("WeekEnding|", "") + "\nOTC|A|B|1|1", r"its header lacks lastUpdateDate \(or weekEnding\)"),
        (f"{HEADER}|MPID\n{GOOD}|X", "its header has the column MPID twice"),
        ("\n" * 500_001, "it has 500,001 lines, at most 500,000 are taken"),
        ("|" * 200 + "\n", "its header has 201 columns, at most 100 are taken"),
    ],
)
def test_what_is_no_such_file_is_refused_by_name(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"^finra_otc_weekly_otc_20251229\.csv: {why}"):
        file_outcome(text)


def test_the_header_may_follow_blank_lines() -> None:
    assert read_header(f"\n\n{HEADER}\n").line_number == 3
    assert raw(f"\n{HEADER}\n{GOOD}", "line_number") == [(3,)]


@pytest.mark.parametrize(
    ("text", "update"),
    [
        (f"\ufeff{HEADER}\r\n\r\n{GOOD}\r\n", "2025-12-29"),
        (f"{SHORT}\n2025-12-26|OTC|A|B|1|1", None),
        (f"{HEADER}\nOTC|AABB", None),
        (HEADER, None),
    ],
)
def test_the_first_row_s_update(text: str, update: str | None) -> None:
    found = first_update(text)
    assert (found.isoformat() if found else None) == update


def test_bytes_that_are_no_utf8_are_refused() -> None:
    assert decode_file("\ufeffé".encode()) == "\ufeffé"
    with pytest.raises(ValueError, match=r"it is no UTF-8 text: .* at byte 1"):
        decode_file(b"a\xff")


def test_changed_content_has_another_hash() -> None:
    assert content_hash(GOOD) == content_hash(decode_file(GOOD.encode())) != content_hash(GOOD + " ")
