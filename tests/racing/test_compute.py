import json
import subprocess
import sys
from typing import Any

from schemas.racing.tables import RACING
from tests.racing.lines import FLAT, HURDLE, SAILING, answer, card_line, line, one_race, result_line, without


def run(*lines: bytes) -> tuple[int, list[dict[str, Any]], list[str]]:
    """Exit code, output lines, and what was said on stderr without the time."""
    done = subprocess.run(
        [sys.executable, "-m", "rederive", "compute", "racing"],
        input=b"\n".join(lines),
        capture_output=True,
        timeout=60,
        check=False,
    )
    said = [text.split(" ", 2)[2] for text in done.stderr.decode().splitlines()]
    return done.returncode, [json.loads(output) for output in done.stdout.splitlines()], said


def test_all_rows_with_all_columns_in_the_order_of_tables_and_keys() -> None:
    code, output, said = run(result_line(), b"", card_line())
    assert (code, said) == (0, [])
    assert (code, output, said) == run(card_line(), result_line())
    tables = [table.name for table in RACING.tables]
    places = [(tables.index(each["table"]), list(each["key"].values())) for each in output]
    assert places == sorted(places)
    assert len(places) == 48
    for each in output:
        table = RACING.table(each["table"])
        assert list(each) == ["table", "key", "row"]
        assert list(each["key"]) == [column.name for column in table.key]
        assert list(each["row"]) == [column.name for column in table.columns]
    (sailing,) = [each["row"] for each in output if each["key"] == {"race_id": FLAT, "horse_id": SAILING}]
    assert (sailing["is_scratched"], sailing["jockey_name"], sailing["number"]) == (True, None, "NR")


def test_what_cannot_be_read_is_said_with_its_line_and_the_rest_is_read() -> None:
    code, output, said = run(b"{oops", card_line(), line("results", {"detail": "no"}))
    assert code == 1
    assert len([each for each in output if each["table"] == "ra_runners"]) == 6
    assert said[0].startswith("[ERROR] line 1: not JSON: ")
    assert said[1:] == ["[ERROR] line 3: the payload is no answer of results: that is an object with a list results"]


def test_a_skip_is_said_and_no_error() -> None:
    whole = answer("racecards")
    whole["racecards"][1]["runners"][0] = without(whole["racecards"][1]["runners"][0], "horse_id")
    code, output, said = run(line("racecards", whole))
    assert (code, said) == (0, [f"[WARNING] line 1: skipped: {HURDLE}: the runner has no horse_id"])
    assert len([each for each in output if each["table"] == "ra_runners"]) == 5


def test_junk_in_a_field_is_an_error_and_the_row_is_there() -> None:
    code, output, said = run(line("racecards", one_race("racecards", runner={"dob": "2024-02-30"})))
    assert code == 1
    assert said == [f"[ERROR] line 1: {FLAT}/hrs_31000101: dob is '2024-02-30', not a date"]
    (runner,) = [each["row"] for each in output if each["table"] == "ra_runners"]
    assert (runner["dob"], runner["form"]) == (None, "2131")


def test_nothing_in_nothing_out() -> None:
    assert run() == (0, [], [])
