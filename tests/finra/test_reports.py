"""`rederive versions` and the reports on FINRA's tables, as commands against real Postgres."""

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from rederive.captures import rollback
from rederive.cli.app import app
from rederive.cli.root import load_commands
from rederive.closing import close
from rederive.finra.validation import validate
from schemas.errors import Failed, UsageError
from schemas.finra.versions import CALCS, PREFIX
from store import captures
from tests.finra.stored import Run
from tests.finra.texts import AT, EXAMPLE_A, WEEK, content

B = content(
    EXAMPLE_A,
    "EXCHANGE||X|Y||-1|-1|2025-12-29",
    "OTC|ABCD|n|v|ZZZ1|1,000|5|2025-12-29",
    "OTC|AABB|n|v|NITE|600000|1|2025-12-29",
    "OTC|ABCD|n|v|ZZZ3|0||2025-12-29",
)
LATER = AT + timedelta(days=7)


@pytest.fixture(scope="module", autouse=True)
def _commands() -> None:
    load_commands()


def run(*words: str) -> None:
    app(list(words), exit_on_error=False, print_error=False, result_action="return_value")


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Any:
    def of(*words: str) -> Any:
        run(*words, "--json")
        (line,) = capsys.readouterr().out.splitlines()
        return json.loads(line)

    return of


@pytest.fixture
def store(connection: psycopg.Connection, database_url: str, monkeypatch: pytest.MonkeyPatch) -> psycopg.Connection:
    monkeypatch.setenv("REDERIVE_DATABASE_URL", database_url)
    return connection


def test_list_has_every_calculation(said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = said("versions", "list")
    assert [one["name"] for one in found] == list(CALCS)
    assert found[1] | {"deprecated": [], "sunset": []} == {
        "name": "venue_share",
        "table": "finra_otc_transparency_venue_share",
        "business_keys": ["week_ending", "tier", "mpid"],
        "stage": "compute_venue_share",
        "versions": ["v1", "v2"],
        "current": "v1",
        "deprecated": [],
        "sunset": [],
    }
    run("versions", "list")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["venue_share", "v1,", "v2", "v1", "compute_venue_share", PREFIX + "venue_share"] in [x[:6] for x in lines]


def test_show_says_what_is_known_of_a_version(said: Any) -> None:
    assert said("versions", "show", "venue_share", "v2") == {
        "calc_name": "venue_share",
        "calc_version": "v2",
        "is_current": False,
        "deprecated": False,
        "deprecation_warning": None,
        "table": "finra_otc_transparency_venue_share",
        "business_keys": ["week_ending", "tier", "mpid"],
        "state": "ACTIVE",
    }
    assert said("versions", "show", "venue_share")["calc_version"] == "v1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("versions", "show", "venue_shares"), ("'venue_shares'", *CALCS)),
        (("versions", "show", "venue_share", "v9"), ("'v9'", "v1, v2")),
        (("versions", "compare", "venue_share", "v1", "v9"), ("'v9'", "v1, v2")),
        (("versions", "compare", "liquidity_score", "v1", "v1"), ("reserved",)),
        (("versions", "compare", "venue_share", "v1", "v2", "--tier", "XYZ"), ("'XYZ'", "OTC_BLOCKS", "ATSB")),
        (("versions", "compare", "venue_share", "v1", "v2", "--week", "2025-12-25"), ("Thursday", "2025-12-26")),
        (("report", "week", "yesterday"), ("'yesterday'", "2025-12-26")),
        (("report", "quality", "--tier", "XYZ"), ("'XYZ'", "OTC_BLOCKS")),
    ],
)
def test_unknown_names_list_the_valid_ones(words: tuple[str, ...], told: tuple[str, ...]) -> None:
    with pytest.raises(UsageError) as refused:
        run(*words)
    for part in told:
        assert part in str(refused.value)


@pytest.mark.services
def test_compare_joins_on_key_and_input(store: psycopg.Connection, said: Any) -> None:
    first = Run.made(store)
    capture = first.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    first.ingest(content(EXAMPLE_A), WEEK - timedelta(weeks=1), "OTC", AT)
    second = Run.made(store)
    of_v2 = second.aggregate(capture, LATER, calc=("venue_share",), versions={"venue_share": "v2"})
    # One venue that only v1 has, one that only v2 has.
    store.execute(f"UPDATE {PREFIX}venue_share SET mpid = 'OTCZ' WHERE mpid = 'OTCX' AND capture_id = %s", [of_v2])

    found = said("versions", "compare", "venue_share", "v1", "v2")
    assert (found["calc"], found["versions"]) == ("venue_share", ["v1", "v2"])
    assert (found["inputs"], found["rows"]) == ([1, 1, 0], [3, 5, 1])
    assert found["only_first"] == [["2025-12-26", "OTC", "OTCX", capture]]
    assert found["only_second"] == [["2025-12-26", "OTC", "OTCZ", capture]]
    columns = {one["column"]: one for one in found["differences"]}
    assert columns["total_volume"] == {"column": "total_volume", "rows": 0, "absolute": 0, "relative": 0.0}
    assert columns["rank"]["rows"] == 0
    share = columns["market_share_pct"]
    assert share["rows"] == 3
    # Spec example A: NITE, CDEL and OTCN by both formulas.
    pairs = ((0.5, 0.5000321063934532), (0.3, 0.3000877574754386), (0.15, 0.1499368574262088))
    assert share["absolute"] == max(abs(b - a) for a, b in pairs)
    assert share["relative"] == max(abs(b - a) / a for a, b in pairs)

    for words in (("--week", "2025-12-26"), ("--capture", of_v2)):
        narrowed = said("versions", "compare", "venue_share", "v1", "v2", *words)
        assert narrowed["inputs"] == ([1, 0, 0] if words[0] == "--week" else [0, 0, 1])
    assert said("versions", "compare", "venue_share", "v1", "v2", "--capture", capture)["inputs"] == [1, 0, 0]


@pytest.mark.services
def test_compare_for_a_person(store: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    run("versions", "compare", "venue_share", "v1", "v2")
    assert "captures        0        0        0" in capsys.readouterr().out
    capture = Run.made(store).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    Run.made(store).aggregate(capture, LATER, calc=("venue_share",), versions={"venue_share": "v2"})
    run("versions", "compare", "venue_share", "v1", "v2")
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "captures 1 0 0" in lines
    assert "rows 4 0 0" in lines
    assert "total_volume 0 0 0" in lines
    assert "market_share_pct 4 8.77575e-05 0.00113443" in lines


@pytest.mark.services
def test_of_two_captures_of_one_input_the_latest_is_compared(store: psycopg.Connection, said: Any) -> None:
    capture = Run.made(store).ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    again = Run.made(store).aggregate(capture, LATER, calc=("symbol_summary",))
    store.execute(f"UPDATE {PREFIX}symbol_summary SET total_volume = 1 WHERE capture_id = %s", [again])
    store.execute(
        f"INSERT INTO {PREFIX}symbol_summary (week_ending, tier, capture_id, symbol, calc_name, calc_version,"
        " captured_at, input_capture_id, total_volume, venue_count) SELECT week_ending, tier, 'x', symbol, calc_name,"
        f" 'v1', captured_at, input_capture_id, 2, 1 FROM {PREFIX}symbol_summary WHERE capture_id = %s"
        " AND symbol = 'AABB'",
        [capture],
    )
    found = said("versions", "compare", "symbol_summary", "v1", "v1")
    assert (found["inputs"], found["rows"]) == ([2, 0, 0], [3, 0, 0])


@pytest.mark.services
def test_rejects_by_reason_with_line_and_text(
    store: psycopg.Connection, said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Run.made(store)
    capture = first.ingest(B, WEEK, "OTC", AT, name="week.csv")
    Run.made(store).ingest(content(EXAMPLE_A, "OTC||n|v|A|1|1|2025-12-29"), WEEK, "ATS", AT)
    found = said("report", "rejects", "--capture", capture)
    assert {one["code"]: (one["stage"], one["rows"]) for one in found} == {
        "PARSE_ERROR": ("INGEST", 1),
        "INVALID_TIER": ("NORMALIZE", 1),
        "DUPLICATE_KEY": ("NORMALIZE", 1),
        "ZERO_VOLUME": ("NORMALIZE", 1),
    }
    tier = next(one for one in found if one["code"] == "INVALID_TIER")
    assert tier["examples"] == [
        {
            "capture_id": capture,
            "source": "week.csv",
            "line_number": 7,
            "detail": "INVALID_TIER;INVALID_SYMBOL;INVALID_MPID;NEGATIVE_VOLUME;NEGATIVE_TRADES",
            "text": "EXCHANGE||X|Y||-1|-1|2025-12-29",
        }
    ]
    assert [one["code"] for one in said("report", "rejects", "--tier", "ats")] == ["INVALID_SYMBOL"]
    assert len(said("report", "rejects", "--week", "2025-12-26")) == 5
    assert said("report", "rejects", "--week", "2025-12-19") == []
    assert said("report", "rejects", "--capture", first.capture_id, "--examples", "0")[0]["examples"] == []
    run("report", "rejects", "--capture", capture)
    out = capsys.readouterr().out
    assert "OTC|ABCD|n|v|ZZZ1|1,000|5|2025-12-29" in out
    assert "a date or a count can't be read" in out


@pytest.mark.services
def test_quality_counts_checks_and_judges_the_run(
    store: psycopg.Connection, said: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("report", "quality") == {"checks": [], "failures": [], "run": None, "run_state": None, "figures": []}
    good = Run.made(store)
    capture = good.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    validate(store, good.capture_id)
    bad = Run.made(store)
    restated = bad.ingest(B, WEEK, "OTC", LATER)
    store.execute(f"UPDATE {PREFIX}venue_share SET market_share_pct = 0 WHERE capture_id = %s", [restated])
    store.execute(
        "INSERT INTO rederive.units (capture_id, unit, key_range, locator, rows, state)"
        " SELECT capture_id, 9, '', locator, 0, 'dead' FROM rederive.units WHERE capture_id = %s",
        [bad.capture_id],
    )
    validate(store, bad.capture_id)

    found = said("report", "quality")
    checks = {one["check_name"]: (one["passed"], one["warned"], one["failed"]) for one in found["checks"]}
    # One partition: the latest result of each counts.
    assert checks["stored_share_sum"] == (0, 0, 1)
    assert checks["reject_rate"] == (0, 1, 0)
    assert checks["market_share_sum"] == (1, 0, 0)
    assert [(one["check_name"], one["capture_id"]) for one in found["failures"]] == [("stored_share_sum", restated)]
    assert found["run"] == bad.capture_id
    figures = {one["name"]: (one["value"], one["health"]) for one in found["figures"]}
    # Nine rows in ten seconds.
    assert figures == {
        "rows per second": (0.9, "unhealthy"),
        "failed batches": (1, "unhealthy"),
        "quality check failures": (1, "unhealthy"),
        "rejected part of rows": (4 / 9, "unhealthy"),
    }
    of_good = said("report", "quality", "--capture", capture)
    assert (of_good["run"], of_good["run_state"], of_good["failures"]) == (good.capture_id, "complete", [])
    assert {one["name"]: one["health"] for one in of_good["figures"]} == {
        "rows per second": "unhealthy",
        "failed batches": "healthy",
        "quality check failures": "healthy",
        "rejected part of rows": "healthy",
    }
    run("report", "quality")
    assert "the stored shares of 4 venues add up to 0.0" in capsys.readouterr().out

    list(rollback(store, bad.capture_id))
    after = said("report", "quality", "--capture", bad.capture_id)
    assert (after["run_state"], after["figures"][0]) == ("rolled-back", found["figures"][0]), "its time is the run's"
    run("report", "quality", "--capture", bad.capture_id)
    assert f"Health of {bad.capture_id}, which is rolled-back" in capsys.readouterr().out


@pytest.mark.services
@pytest.mark.parametrize(("rows", "health"), [(999, "unhealthy"), (1_000, "between"), (10_000, "healthy")])
def test_speed_is_rows_by_the_run_s_seconds(store: psycopg.Connection, said: Any, rows: int, health: str) -> None:
    made = Run.made(store)
    made.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    store.execute("UPDATE rederive.units SET rows = %s", [rows])
    assert said("report", "quality")["figures"][0]["health"] == health


@pytest.mark.services
def test_the_ten_latest_failures_are_shown(store: psycopg.Connection, said: Any) -> None:
    for n in range(12):
        store.execute(
            "INSERT INTO core_quality (capture_id, domain, partition_key, check_name, category, status, created_at)"
            " VALUES ('x', 'd', '{}', %s, 'INTEGRITY', 'FAIL', now() + %s * interval '1 second')",
            [f"c{n}", n],
        )
    assert [one["check_name"] for one in said("report", "quality")["failures"]] == [f"c{n}" for n in range(11, 1, -1)]


@pytest.mark.services
def test_a_week_and_its_captures(store: psycopg.Connection, said: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = Run.made(store), Run.made(store)
    capture = first.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    validate(store, first.capture_id)
    shares = second.aggregate(capture, LATER, calc=("venue_share",))
    first.ingest(content(EXAMPLE_A), WEEK + timedelta(weeks=1), "OTC", AT)
    of_v2 = second.aggregate(capture, LATER + timedelta(days=1), calc=("venue_share",), versions={"venue_share": "v2"})
    other = first.ingest(content(EXAMPLE_A[:1]), WEEK, "ATS", AT)

    found = said("report", "week", "2025-12-26", "--tier", "otc")
    four = ["ingest_week", "normalize_week", "aggregate_week", "compute_venue_share"]
    assert (found["captures"][0]["capture_id"], found["captures"][0]["latest"]) == (of_v2, [])
    assert found["captures"][1:] == [
        {
            "capture_id": shares,
            "tier": "OTC",
            "run": second.capture_id,
            "captured_at": "2026-01-05T14:30:00+00:00",
            "input_capture_id": capture,
            "rows": 4,
            "stages": ["compute_venue_share"],
            "latest": ["compute_venue_share"],
        },
        {
            "capture_id": capture,
            "tier": "OTC",
            "run": first.capture_id,
            "captured_at": "2025-12-29T14:30:00+00:00",
            "input_capture_id": None,
            "rows": 5 + 5 + 2 + 5 + 5 + 2 + 4,
            "stages": four,
            "latest": four[:3],
        },
    ]
    assert [(one["stage"], one["row_count"], one["capture_id"]) for one in found["stages"]] == [
        ("INGESTED", 5, capture), ("NORMALIZED", 5, capture), ("AGGREGATED", 2, capture),
    ]  # fmt: skip
    assert [(one["capture_id"], one["calc_version"], one["venues"]) for one in found["shares"]] == [
        (of_v2, "v2", 4), (shares, "v1", 4), (capture, "v1", 4),
    ]  # fmt: skip
    assert {round(one["sum"], 12) for one in found["shares"]} == {1.0}
    assert [(one["rank"], one["mpid"], one["market_share_pct"]) for one in found["venues"]] == [
        (1, "NITE", 0.5), (2, "CDEL", 0.3), (3, "OTCN", 0.15), (4, "OTCX", 0.05),
    ]  # fmt: skip
    assert {one["status"] for one in found["checks"]} == {"PASS"}
    assert len({one["check_name"] for one in found["checks"]}) == len(found["checks"]) > 10

    assert {one["capture_id"] for one in said("report", "week", "2025-12-26")["captures"]} == {
        capture, shares, of_v2, other,
    }  # fmt: skip
    run("report", "week", "2025-12-26")
    out = capsys.readouterr().out
    assert "all of them" in out
    assert capture in out
    run("report", "week", "2024-12-27")
    assert capsys.readouterr().out == "nothing is stored of the week that ends on 2024-12-27\n"


@pytest.mark.services
def test_a_capture_that_nobody_made_is_no_empty_report(store: psycopg.Connection, said: Any) -> None:
    with pytest.raises(Failed, match="there is no latest:finra capture"):
        run("report", "quality", "--capture", "latest")
    first = Run.made(store)
    capture = first.ingest(B, WEEK, "OTC", AT)
    for words in (("report", "quality"), ("report", "rejects"), ("versions", "compare", "venue_share", "v1", "v2")):
        for wrong, near in (
            (first.capture_id + "9", first.capture_id),
            (capture[:-1], capture),
            ("nope", "newest are"),
        ):
            with pytest.raises(Failed) as refused:
                run(*words, "--capture", wrong)
            assert f"there is no capture {wrong}" in str(refused.value)
            assert near in str(refused.value)
        assert said(*words, "--capture", "latest") == said(*words, "--capture", first.capture_id)
    assert said("report", "rejects", "--capture", capture)


@pytest.mark.services
def test_a_line_that_is_rejected_again_counts_once(store: psycopg.Connection, said: Any) -> None:
    capture = Run.made(store).ingest(B, WEEK, "OTC", AT, name="week.csv")
    before = said("report", "rejects")
    again = Run.made(store).normalize(capture, LATER, source_file="week.csv")
    assert store.execute("SELECT count(*) > 0 FROM core_rejects WHERE capture_id = %s", [again]).fetchone() == (True,)
    assert said("report", "rejects") == before
    assert said("report", "rejects", "--capture", again)[0]["examples"][0]["capture_id"] == again


@pytest.mark.services
def test_the_run_s_line_counts_the_checks_that_the_report_shows(
    store: psycopg.Connection, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    made = Run.made(store)
    capture = made.ingest(B, WEEK, "OTC", AT)
    store.execute(
        "UPDATE core_quality SET status = 'FAIL' WHERE capture_id = %s AND check_name = 'market_share_sum'", [capture]
    )
    run_capture = captures.find(store, made.capture_id)
    assert run_capture is not None
    with caplog.at_level("INFO"):
        close(store, run_capture)
    shown = said("report", "quality", "--capture", made.capture_id)["checks"]
    totals = {name: sum(one[name] for one in shown) for name in ("passed", "warned", "failed")}
    assert totals["failed"] == 1
    assert (
        f"checks: {totals['passed']} PASS, {totals['warned']} WARN, 1 FAIL "
        f"(`rederive report quality --capture {made.capture_id}` lists them)" in caplog.messages
    )


@pytest.mark.services
def test_no_line_of_a_week_or_of_quality_is_wider_than_a_terminal(
    store: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Run.made(store)
    capture = first.ingest(B, WEEK, "OTC_BLOCKS", AT)
    Run.made(store).aggregate(capture, LATER)
    store.execute("UPDATE core_quality SET status = 'FAIL', message = repeat('what is wrong ', 20)")
    for words in (("report", "week", "2025-12-26"), ("report", "quality")):
        run(*words)
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 120, max(lines, key=len)
        assert any(capture in line for line in lines)


@pytest.mark.services
@pytest.mark.parametrize(
    ("seconds", "half", "health"),
    [(60, 190, "healthy"), (60, 150, "between"), (60, 100, "unhealthy"), (59, 100, "not judged")],
)
def test_memory_is_reported_as_it_was_measured(
    store: psycopg.Connection, said: Any, seconds: int, half: int, health: str
) -> None:
    made = Run.made(store)
    made.ingest(content(EXAMPLE_A), WEEK, "OTC", AT)
    store.execute("UPDATE rederive.captures SET finished_at = created_at + %s * interval '1 second'", [seconds])
    measured = {"agent": {"half": half * 1_000_000, "peak": 200_000_000}, "sink": {"half": 90, "peak": 90}}
    captures.note_memory(store, made.capture_id, measured)
    figures = {one["name"]: (one["value"], one["health"]) for one in said("report", "quality")["figures"]}
    assert figures["peak memory of a process, MB"] == (200.0, "not judged")
    assert figures["growth of memory in the second half"] == (200 / half - 1, health)
