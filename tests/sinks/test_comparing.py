"""Comparisons of sides: counted as a small model counts them, and what the policies say that the sides are."""

from collections.abc import Mapping
from datetime import date

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rederive.comparison import tolerance_of
from schemas.errors import UsageError
from schemas.table import Column, Mode
from sinks.comparing import Compared, Sides, compare
from sinks.distances import Tolerance
from sinks.merge import ranges
from sinks.merge.policy import Merge
from sinks.merge.rollback import preview
from sinks.policy import Compares
from tests.sinks.made_tables import ONE_SOURCE
from tests.sinks.test_shadow import outside, promote, write

pytestmark = pytest.mark.services

COLUMNS = (Column("a", "float8"), Column("b", "text"))
DAY = date(2026, 2, 6)

Row = tuple[float | None, str | None]
VALUES = st.sampled_from([None, 0.0, -0.0, 1.5, 1.5000000000000002, -3.0, 1e308, -1e308, float("inf"), float("nan")])
ROWS = st.dictionaries(st.integers(1, 6), st.tuples(VALUES, st.sampled_from([None, "", "x", "'\\"])))


def relation(name: str) -> str:
    """A side of made rows."""
    return f"""SELECT %(day)s::date AS r_day, k, a, b
        FROM unnest(%({name}_k)s::int4[], %({name}_a)s::float8[], %({name}_b)s::text[]) r(k, a, b)"""


def held(
    connection: psycopg.Connection,
    one: Mapping[int, Row],
    other: Mapping[int, Row],
    tolerance: Tolerance | None = None,
) -> Compared:
    parameters: dict[str, object] = {"day": DAY}
    for name, rows in (("o", one), ("t", other)):
        parameters[f"{name}_k"] = list(rows)
        parameters[f"{name}_a"] = [row[0] for row in rows.values()]
        parameters[f"{name}_b"] = [row[1] for row in rows.values()]
    sides = Sides((Column("k", "int4"),), relation("o"), relation("t"), parameters, lambda _: iter([{}]))
    return compare(connection, ONE_SOURCE, sides, COLUMNS, 10, tolerance)


def same(left: object, right: object) -> bool:
    return left == right or (left != left and right != right)


@given(one=ROWS, other=ROWS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_counts_are_those_of_a_model(
    connection: psycopg.Connection, one: dict[int, Row], other: dict[int, Row]
) -> None:
    found = held(connection, one, other)
    both = one.keys() & other.keys()
    differing = {key for key in both if not all(map(same, one[key], other[key]))}
    assert (found.both, found.differing) == (len(both), len(differing))
    assert (found.only_one, found.only_other) == (len(one.keys() - other.keys()), len(other.keys() - one.keys()))
    for place, column in enumerate(COLUMNS):
        pairs = [(one[key][place], other[key][place]) for key in both]
        rows = [pair for pair in pairs if not same(*pair)]
        said = found.columns.get(column.name)
        assert (said.rows if said else 0) == len(rows)
        if said:
            assert said.appears == sum(there is None for _, there in rows)
            assert said.vanishes == sum(here is None for here, _ in rows)
            if column.name == "a":
                assert sum(count for *_, count in said.spread) == len([1 for pair in rows if None not in pair])
    whole = len(one.keys() | other.keys())
    assert sum(rows for _, rows, _ in found.days) == whole
    apart = len(differing) + found.only_one + found.only_other
    assert sum(differ for *_, differ in found.days) == apart == len(found.examples)
    assert found.equal == (apart == 0)


def test_how_far_numbers_are_apart(connection: psycopg.Connection) -> None:
    here: dict[int, Row] = {1: (1.0, None), 2: (2.0, None), 3: (-40.0, "x")}
    found = held(connection, here, {1: (1.25, None), 2: (2.0, None), 3: (-50.0, "x")})
    a = found.columns["a"]
    assert a.absolute == (10.0, ("3",))
    assert a.relative == (0.2, ("1",))
    assert a.spread == [(-1, -1, 1), (1, 1, 1)]
    assert found.examples[0] == (("1",), {"a": ("1", "1.25")})
    assert a.absolute_quantiles["p50"] == pytest.approx(0.25, rel=0.01)
    assert a.relative_quantiles["p99"] == pytest.approx(0.2, rel=0.01)


def test_what_is_within_a_tolerance_is_equal(connection: psycopg.Connection) -> None:
    here: dict[int, Row] = {1: (1.0, None), 2: (100.0, None), 3: (5.0, "x"), 4: (None, None)}
    there: dict[int, Row] = {1: (1.1, None), 2: (101.0, None), 3: (5.1, "y"), 4: (0.05, None)}

    def differ(*words: str) -> tuple[int, int]:
        found = held(connection, here, there, tolerance_of(words))
        return found.differing, found.columns["a"].rows

    assert differ() == (4, 4)
    assert differ("0.1") == (3, 2), "the tenth itself is within, and NULL is no number"
    assert differ("1%") == (3, 3)
    assert differ("0.1", "1%") == (2, 1)
    assert not held(connection, {2: (100.0, "x")}, {2: (101.0, "x")}, tolerance_of(["1"])).days[0][2]


@pytest.mark.parametrize("word", ["", "much", "-1", "1 %", "%", "nan", "٣"])
def test_what_is_no_tolerance_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is no tolerance"):
        tolerance_of([word])


def test_many_pieces_say_what_one_does(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    first = {key: (float(key), None if key % 3 else 1.0, float(key % 5)) for key in range(1, 40)}
    fix = {key: (key * 1.5, 1.0 if key % 4 else None, float(key % 5)) for key in range(10, 60)}
    write(connection, 1, first)
    write(connection, 2, fix, Mode.SHADOW)
    # What stands above it, what was written from outside, what nobody has computed before.
    write(connection, 3, dict.fromkeys(range(20, 25), (0.5, None, None)), seen=2)
    for key in (11, 22, 70):
        outside(connection, key, c=8.0)
    write(connection, 4, {22: (None, 3.0, None)})
    shadow, served = Compares("c2", ("c2",), True), Compares("c1", ("c1",), False)
    found = []
    for piece in (20_000, 7, 1):
        monkeypatch.setattr(ranges, "PIECE", piece)
        found.append(
            [
                compare(connection, ONE_SOURCE, Merge().sides(connection, ONE_SOURCE, *side), ONE_SOURCE.values, 4)
                for side in ((shadow, None), (shadow, served), (served, None))
            ]
        )
    assert found[0] == found[1] == found[2]
    assert all(one.differing > 0 for one in found[0])
    before = rows(connection)
    promote(connection, 2, 9)
    after = rows(connection)
    coming = found[0][0]
    changed = {key for key in after if before.get(key) != after[key]}
    assert (coming.differing, coming.only_one) == (len(changed & before.keys()), len(changed - before.keys()))


def rows(connection: psycopg.Connection) -> dict[int, tuple[object, ...]]:
    return {key: tuple(values) for key, *values in connection.execute(f"SELECT k, a, b, c FROM {ONE_SOURCE.name}")}


def test_captures_of_a_merged_table(connection: psycopg.Connection) -> None:
    write(connection, 1, {1: (1.0, 5.0, None), 2: (2.0, None, None)})
    write(connection, 2, {2: (2.0, None, 7.0), 3: (3.0, None, None)}, Mode.SHADOW)

    def sides(one: Compares, other: Compares | None = None) -> Compared:
        found = Merge().sides(connection, ONE_SOURCE, one, other)
        return compare(connection, ONE_SOURCE, found, ONE_SOURCE.values, 10)

    first, shadow = Compares("c1", ("c1",), False), Compares("c2", ("c2",), True)
    two = sides(shadow, first)
    assert (two.both, two.differing, two.only_one, two.only_other) == (1, 1, 1, 1)
    assert two.columns["c"].appears == 1
    assert [(day, rows) for day, rows, _ in two.days] == [("2026-02-06", 3)]
    assert sides(first).equal
    # As served it keeps what it has nothing better for, and the row that nobody else has comes.
    coming = sides(shadow)
    assert (coming.both, coming.differing, coming.only_one) == (1, 1, 1)
    promote(connection, 2, 9)
    assert sides(Compares("c2", ("c2",), False)).equal
    outside(connection, 3, a=4.0)
    assert sides(Compares("c2", ("c2",), False)).columns["a"].absolute == (1.0, ("3",))


def test_a_shadow_that_says_nothing_of_a_row_takes_none_away(connection: psycopg.Connection) -> None:
    write(connection, 1, {1: (1.0, 5.0, None), 2: (2.0, None, None)})
    write(connection, 2, {1: (None, None, None), 2: (3.0, None, None)}, Mode.SHADOW)
    found = Merge().sides(connection, ONE_SOURCE, Compares("c2", ("c2",), True), None)
    coming = compare(connection, ONE_SOURCE, found, ONE_SOURCE.values, 10)
    assert (coming.both, coming.differing, coming.only_one, coming.only_other) == (1, 1, 0, 0)


def test_what_a_capture_changed_is_what_a_rollback_would_change_back(connection: psycopg.Connection) -> None:
    connection.execute("INSERT INTO made_one (k, seen, a) VALUES (2, '2026-02-06', 8), (9, '2026-02-06', 9)")
    write(connection, 1, {1: (1.0, 5.0, None), 2: (2.0, None, None)})
    write(connection, 2, {1: (1.0, 5.0, None), 2: (2.0, None, 7.0), 3: (3.0, None, None)})

    def changed(one: Compares) -> Compared:
        return compare(connection, ONE_SOURCE, Merge().undone(connection, ONE_SOURCE, one), ONE_SOURCE.values, 10)

    second = changed(Compares("c2", ("c2",), False))
    taken = preview(connection, ONE_SOURCE, "c2")
    assert (second.both, second.differing, second.only_one, second.only_other) == (2, 1, 1, 0)
    assert (taken.changed, taken.deleted) == (second.differing, second.only_one)
    assert {name: one.appears for name, one in second.columns.items()} == {"c": 1}
    assert second.days == [("2026-02-06", 3, 2)]
    # Rows that were there before any capture are as they were found, and those that none has touched as they are.
    as_found = Merge().as_found(ONE_SOURCE)
    assert connection.execute(f"SELECT k, a, c FROM {as_found} ORDER BY k").fetchall() == [(2, 8, None), (9, 9, None)]
