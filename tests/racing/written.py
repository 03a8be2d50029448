"""Racing rows as a processor gives them: a race of two runners with all masters, from its card and from its result."""

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from schemas.outcome import Outcome, TableRows
from schemas.racing.tables import CARD, OBSERVED, RACING, RESULT
from schemas.unit import Origin
from sinks.apply import Applied, Result, apply

Row = dict[str, Any]

DAY = "2024-05-18"
CARD_SEEN, RESULT_SEEN, LATER = (f"{DAY}T{hour}:00:00+00:00" for hour in ("06", "20", "23"))


def card(seen: str = CARD_SEEN, /, **more: Any) -> Outcome:
    """What the card of the race says; `more` replaces values of the first runner."""
    runners: list[Row] = [
        {**_runner(number), "horse_name": f"Horse {number}", "form": "490", "ofr": 66, "rpr": 70, "spotlight": "likely",
         "sex": "gelding", "dob": "2019-03-02", "past_results_flags": ["C", "D"], "is_scratched": False,
         "odds": [{"bookmaker": "Bet365", "decimal": "4.5"}]}
        for number in (1, 2)
    ]  # fmt: skip
    runners[0].update(more)
    race = {"id": "rac_1", "course_name": "Millrace (AW)", "date": DAY, "off_time": "13:44:00", "has_result": False,
            "off_dt": f"{DAY}T13:44:00+01:00", "distance": "1m53y", "distance_m": 1657, "prize": 4187.0}  # fmt: skip
    return _outcome(CARD, seen, race, runners, {"location": "Thirsk"})


def result(seen: str = RESULT_SEEN, /, **more: Any) -> Outcome:
    """What its result says."""
    runners: list[Row] = [
        {**_runner(number), "horse_name": f"Horse {number} (IRE)", "ofr": 66, "rpr": 80, "position": number,
         "position_str": str(number), "distance_beaten": "0.75L", "prize_won": 3245.08, "starting_price": "9/4F",
         "starting_price_decimal": 3.25, "sex": "G", "is_scratched": False, "result_updated_at": seen}
        for number in (1, 2)
    ]  # fmt: skip
    runners[0].update(more)
    race = {"id": "rac_1", "course_name": "Millrace (AW)", "date": DAY, "off_time": "13:44:00", "has_result": True,
            "off_dt": f"{DAY}T12:44:00Z", "distance": "1m", "distance_m": 1658, "winning_time": "1:45.10"}  # fmt: skip
    return _outcome(RESULT, seen, race, runners, {})


def write(connection: Connection, capture: str, *outcomes: Outcome, first: int = 0) -> Applied:
    """Apply outcomes of one capture together, as units from number `first` on; none is refused."""
    done = attempt(connection, capture, *outcomes, first=first)
    assert not done.refused, done.refused
    return done


def attempt(connection: Connection, capture: str, *outcomes: Outcome, first: int = 0) -> Applied:
    """As `write`, whatever is refused."""
    results = [Result(Origin(capture, 0, n), capture, n, outcome) for n, outcome in enumerate(outcomes, start=first)]
    return apply(connection, RACING, capture, results)


def everything(connection: Connection) -> dict[str, list[Row]]:
    """All rows of the racing tables, without what says who wrote them when."""
    return {table.name: _rows(connection, table.name, [c.name for c in table.key]) for table in RACING.tables}


def runners(connection: Connection) -> list[Row]:
    """The runners, by horse."""
    return _rows(connection, "ra_runners", ["race_id", "horse_id"])


def _rows(connection: Connection, table: str, key: list[str]) -> list[Row]:
    unsaid = "- '{id,created_at,updated_at,capture_id,derivation_version,merge_xid}'::text[]"
    order = ", ".join(key)
    with_key = f"jsonb_build_object('key', ({order})::text)"
    return [
        row[0]
        for row in connection.execute(f"SELECT (to_jsonb(t) {unsaid}) || {with_key} FROM {table} t ORDER BY {order}")
    ]


def _runner(number: int) -> Row:
    ids = {f"{kind}_id": f"{kind[:3]}_{number}" for kind in _KINDS}
    return {"race_id": "rac_1", "horse_id": f"hrs_{number}", **ids, "jockey_name": f"Jockey {number}"}


_KINDS = ("jockey", "trainer", "owner", "sire", "dam", "damsire")


def _outcome(source: int, seen: str, race: Row, runners: list[Row], trainer: Row) -> Outcome:
    masters = [
        _block(f"ra_mst_{kind}s", source, DAY,
               [{"id": f"{kind[:3]}_{n}", "name": f"{kind} {n}", **(trainer if kind == "trainer" else {})}
                for n in (1, 2)])
        for kind in _KINDS
    ]  # fmt: skip
    horses = [{"id": f"hrs_{n}", "name": f"Horse {n}", "age": 5} for n in (1, 2)]
    tables = [_block("ra_races", source, seen, [race]), _block("ra_mst_horses", source, DAY, horses), *masters,
              _block("ra_runners", source, seen, runners)]  # fmt: skip
    return Outcome(read=len(runners), tables=tables)


def _block(table: str, source: int, seen: str, rows: Iterable[Row]) -> TableRows:
    rows = [{**row, OBSERVED: seen} for row in rows]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return TableRows.of(RACING.table(table), columns, [[row.get(name) for name in columns] for row in rows], source)
