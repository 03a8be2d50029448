"""The racing tables through apply: the merge rule (racing spec, section 6), foreign keys, values that don't fit."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from schemas.outcome import Outcome, TableRows
from schemas.racing.tables import JOCKEYS, OBSERVED, RACING, RESULT
from schemas.table import Mode
from sinks.merge.merging import prepare
from sinks.merge.rollback import roll_back
from tests.racing.written import LATER, RESULT_SEEN, Row, attempt, card, everything, result, runners, write
from tests.sinks.made_tables import make_capture

pytestmark = pytest.mark.services


@pytest.fixture
def racing(migrated: str) -> Iterator[psycopg.Connection]:
    """A migrated database, ready for merging racing rows."""
    with psycopg.connect(migrated, autocommit=True, options="-c TimeZone=UTC") as opened:
        prepare(opened, RACING.tables)
        yield opened


def capture(racing: psycopg.Connection, number: int, version: int = 1) -> str:
    return make_capture(racing, number, Mode.SUPERSEDE, version)


def roll_all_back(racing: psycopg.Connection, capture_id: str) -> None:
    racing.execute("UPDATE rederive.captures SET state = 'rolling-back' WHERE capture_id = %s", [capture_id])
    for table in reversed(RACING.tables):
        for _ in roll_back(racing, table, capture_id):
            pass


def test_a_card_before_or_after_its_result_or_with_it_gives_the_same_rows(racing: psycopg.Connection) -> None:
    orders: list[list[list[Outcome]]] = [
        [[card()], [result()]],
        [[result()], [card()]],
        [[card(), result()]],
        [[result(), card()]],
    ]
    seen = []
    for number, batches in enumerate(orders, start=1):
        one = capture(racing, number)
        for first, batch in enumerate(batches):
            write(racing, one, *batch, first=first)
        seen.append(everything(racing))
        roll_all_back(racing, one)
        assert not any(everything(racing).values())
    assert all(other == seen[0] for other in seen[1:])
    runner = seen[0]["ra_runners"][0]
    wanted: Row = {
        "horse_name": "Horse 1 (IRE)", "sex": "gelding", "form": "490", "rpr": 80, "position": 1,
        "odds": [{"bookmaker": "Bet365", "decimal": "4.5"}], "prize_won": 3245.08, "trainer_location": None,
    }  # fmt: skip
    assert {name: runner[name] for name in wanted} == wanted
    (race,) = seen[0]["ra_races"]
    wanted = {"distance": "1m53y", "distance_m": 1658, "has_result": True, "prize": 4187.0, "off_time": "13:44:00"}
    assert {name: race[name] for name in wanted} == wanted
    assert seen[0]["ra_mst_trainers"][0]["location"] == "Thirsk"
    # A card names a horse without its country: that is worth less, not nothing.
    assert seen[0]["ra_mst_horses"][0]["name"] == "Horse 1"


def test_everything_twice_changes_nothing(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), card(), result())
    before = everything(racing)
    stamps = " UNION ALL ".join(
        f"SELECT xmin, updated_at, capture_id FROM {name}" for name in ("ra_races", "ra_runners")
    )
    rows = racing.execute(stamps).fetchall()
    again = write(racing, "c1", card(), result())
    assert (again.applied, again.repeated) == (0, 2)
    write(racing, capture(racing, 2), card(), result())
    write(racing, capture(racing, 3), card())
    write(racing, "c3", result(), first=1)
    assert everything(racing) == before
    assert racing.execute(stamps).fetchall() == rows, "rows that stay the same aren't written"


def test_a_later_poorer_card_changes_nothing(racing: psycopg.Connection) -> None:
    one = capture(racing, 1)
    write(racing, one, card(), result())
    before = everything(racing)
    poor = card(LATER, odds=None, spotlight=None, ofr=None, rpr=None, past_results_flags=None)
    write(racing, capture(racing, 2), poor)
    assert everything(racing) == before


def test_an_amended_result_replaces_position_text_and_prize_together(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), card(), result())
    write(racing, capture(racing, 2), result(LATER, position=None, position_str="DSQ", prize_won=None))
    first, second = runners(racing)
    assert [first[name] for name in ("position", "position_str", "prize_won")] == [None, "DSQ", None]
    assert [second[name] for name in ("position", "position_str", "prize_won")] == [2, "2", 3245.08]
    assert first["starting_price"] == "9/4F"


def test_an_earlier_fetch_derived_again_by_newer_formulas_takes_nothing_back(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), card(), result())
    write(racing, capture(racing, 2), result(LATER, position=2, position_str="2", rpr=None))
    write(racing, capture(racing, 3, version=2), result(RESULT_SEEN, rpr=81, position=1, finishing_time="1:45.10"))
    first, _ = runners(racing)
    assert (first["position"], first["position_str"]) == (2, "2")
    assert first["rpr"] == 81, "the later fetch has none, so the newer version of the earlier one counts"
    assert first["finishing_time"] == "1:45.10"
    assert first["result_updated_at"].startswith("2024-05-18T23:00")


def test_a_rollback_leaves_the_other_captures_rows(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), card())
    before = everything(racing)
    write(racing, capture(racing, 2), result(jockey_id="jky_9", jockey_name="Una"), bare_jockey("jky_9"), first=1)
    assert everything(racing) != before
    roll_all_back(racing, "c2")
    assert everything(racing) == before
    write(racing, capture(racing, 3), result())
    both = everything(racing)
    roll_all_back(racing, "c1")
    left = everything(racing)
    assert {name: len(rows) for name, rows in left.items()} == {name: len(rows) for name, rows in both.items()}
    assert left["ra_runners"][0]["form"] is None
    roll_all_back(racing, "c3")
    assert not any(everything(racing).values())


def bare_jockey(identifier: str) -> Outcome:
    """A jockey whose name nobody has said."""
    row = [identifier, None, RESULT_SEEN]
    return Outcome(read=0, tables=[TableRows.of(JOCKEYS, ("id", "name", OBSERVED), [row], RESULT)])


def test_a_row_without_any_value_is_written(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), bare_jockey("jky_9"))
    assert racing.execute("SELECT id, name FROM ra_mst_jockeys").fetchall() == [("jky_9", None)]


def test_what_was_written_by_hand_stays(racing: psycopg.Connection) -> None:
    write(racing, capture(racing, 1), card(), result())
    racing.execute("UPDATE ra_runners SET comment = 'seen by me', rpr = 99 WHERE horse_id = 'hrs_1'")
    write(racing, capture(racing, 2), result(), card())
    first, second = runners(racing)
    assert (first["comment"], first["rpr"]) == ("seen by me", 80), "below what is derived later, above what came before"
    assert second["rpr"] == 80
    racing.execute("UPDATE ra_runners SET silk_url = 'mine' WHERE horse_id = 'hrs_1'")
    roll_all_back(racing, "c2")
    roll_all_back(racing, "c1")
    (kept,) = runners(racing)
    assert (kept["comment"], kept["silk_url"], kept["form"]) == ("seen by me", "mine", None)
    left = {name: len(rows) for name, rows in everything(racing).items() if rows}
    assert left == {"ra_races": 1, "ra_mst_horses": 1, "ra_runners": 1}, "what a row refers to stays"


def test_rows_say_when_they_were_last_changed(racing: psycopg.Connection) -> None:
    def times() -> tuple[datetime, datetime]:
        row = racing.execute("SELECT created_at, updated_at FROM ra_runners WHERE horse_id = 'hrs_1'").fetchone()
        assert row is not None
        return row

    write(racing, capture(racing, 1), card())
    created, updated = times()
    assert created == updated
    write(racing, capture(racing, 2), result())
    assert times()[0] == created
    assert times()[1] > updated
    updated = times()[1]
    roll_all_back(racing, "c2")
    assert times()[1] > updated


def test_values_that_do_not_fit_make_their_units_dead_alone(racing: psycopg.Connection) -> None:
    values: list[tuple[str, Any]] = [
        ("horse_id", "h" * 51),
        ("distance_beaten", "x" * 21),
        ("prize_won", 1e9),
        ("comment", "a \0 text"),
        ("past_results_flags", ["\0"]),
    ]
    bad = [result(**{column: value}) for column, value in values]
    (at, horses) = next((at, each) for at, each in enumerate(bad[0].tables) if each.table == "ra_mst_horses")
    identifiers = pa.array(["h" * 51, "hrs_2"])
    bad[0].tables[at] = replace(horses, batch=horses.batch.set_column(0, "id", identifiers))
    done = attempt(racing, capture(racing, 1), card(), *bad, result(LATER, position=7))
    assert [values[refused.unit - 1] for refused, _ in done.refused if refused.unit] == values
    assert [row["position"] for row in runners(racing)] == [7, 2]


def test_a_missing_master_makes_its_unit_dead_alone(racing: psycopg.Connection) -> None:
    batch = [result(race_id="nowhere"), result(jockey_id="nobody"), card()]
    done = attempt(racing, capture(racing, 1), *batch)
    assert [refused.unit for refused, _ in done.refused] == [0, 1]
    for (_, reason), parents in zip(done.refused, ("ra_races", "ra_mst_jockeys"), strict=True):
        assert "ForeignKeyViolation" in reason
        assert parents in reason
    assert [row["position"] for row in runners(racing)] == [None, None]


def test_values_come_back_as_they_were(racing: psycopg.Connection) -> None:
    exact = {"overall_beaten_distance": 0.1, "starting_price_decimal": 1e22, "prize_won": 3245.085, "weight_lbs": -5}
    write(racing, capture(racing, 1), result(**exact))
    row = racing.execute(
        """SELECT overall_beaten_distance, starting_price_decimal, prize_won, weight_lbs, result_updated_at
           FROM ra_runners WHERE horse_id = 'hrs_1'"""
    ).fetchone()
    seen = datetime(2024, 5, 18, 20, tzinfo=UTC)
    assert row == (Decimal("0.1"), Decimal(10**22), Decimal("3245.09"), -5, seen)
    write(racing, capture(racing, 2), result(**exact))
    assert racing.execute("SELECT DISTINCT capture_id FROM ra_runners").fetchall() == [("c1",)]


def test_a_runner_twice_in_an_answer_fails_nothing(racing: psycopg.Connection) -> None:
    twice = result()
    block = twice.tables[-1]
    twice.tables[-1] = replace(block, batch=block.batch.take([*range(len(block)), 0]))
    write(racing, capture(racing, 1), twice, result(), card())
    assert len(runners(racing)) == 2
