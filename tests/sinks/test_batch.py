"""What is staged ahead is written as it is if it is what the transaction wants; else it is staged again."""

from dataclasses import replace

import psycopg
import pytest

import sinks.apply
import sinks.batch
from schemas.outcome import Outcome, RowProblem, TableRows
from schemas.table import Mode
from schemas.unit import Origin
from sinks.apply import Result, apply
from sinks.batch import make_batch
from sinks.ready import make_ready
from tests.sinks.made_tables import MADE, ONE_SOURCE, make_capture
from tests.sinks.test_apply import plan, result, stored, units


def dead(capture: str, unit: int) -> Result:
    return Result(Origin("t", 0, unit), capture, unit, Outcome(dead="nothing could be made"))


def test_a_batch_has_a_share_of_each_capture_with_its_first_living_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = result("c1", 0, [(1, 1.0, None, None)]), result("c2", 0, [(1, 2.0, None, None)])
    given = [first, second, dead("c1", 1), result("c1", 0, [(1, 9.0, None, None)], offset=7)]
    batch = make_batch(MADE, given, {0: 8}, {"c1": Mode.FILL})
    assert [(share.capture_id, len(share.results)) for share in batch.shares] == [("c1", 3), ("c2", 1)]
    known, unknown = (share.ready for share in batch.shares)
    assert known is not None
    assert (known.mode, known.outcomes, unknown) == (Mode.FILL, [first.outcome], None)
    assert batch.offsets == {0: 8}

    def unfit(*_: object) -> None:
        raise ValueError("made_one has no such column")

    monkeypatch.setattr(sinks.batch, "make_ready", unfit)
    (share,) = make_batch(MADE, [first], {}, {"c1": Mode.FILL}).shares
    assert share.ready is None, "the transaction says which unit it is"


def test_rows_of_a_table_that_is_not_the_domains_are_refused() -> None:
    own = result("c1", 0, [(1, 1.0, None, None)]).outcome
    (block,) = own.tables
    other = replace(own, tables=[block, replace(block, table="others")])
    with pytest.raises(ValueError, match=f"^{MADE.name} has no table others$"):
        make_ready(MADE, [own, other], Mode.FILL)


@pytest.mark.parametrize("policy", [Mode.FILL, Mode.INSERT])
def test_rows_without_a_column_of_their_key_are_refused(policy: Mode) -> None:
    domain = replace(MADE, tables=(replace(ONE_SOURCE, policy=policy),))
    rows = TableRows.of(ONE_SOURCE, ("seen", "a"), [["2026-01-01", 1.0]])
    with pytest.raises(ValueError, match=r"^rows of made_one have no k$"):
        make_ready(domain, [Outcome(read=1, tables=[rows])], policy)


@pytest.mark.parametrize("read", [1, 3])
def test_rows_of_the_only_table_are_those_that_were_read(read: int) -> None:
    domain = replace(MADE, tables=(ONE_SOURCE,))
    rows = TableRows.of(ONE_SOURCE, ("k", "seen", "a"), [[1, "2026-01-01", 1.0]])
    skips = [RowProblem((2,), "odd")]
    make_ready(domain, [Outcome(read=2, tables=[rows], skips=skips), Outcome(read=1, skips=skips)], Mode.FILL)
    with pytest.raises(ValueError, match=f"^{read} rows read are not 1 derived and 1 skips and errors$"):
        make_ready(domain, [Outcome(read=read, tables=[rows], skips=skips)], Mode.FILL)
    make_ready(MADE, [Outcome(read=1, tables=[rows, rows])], Mode.FILL)


@pytest.mark.services
def test_what_was_staged_ahead_is_staged_again_only_when_it_is_another(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    capture = make_capture(connection, 1, Mode.SUPERSEDE, 1)
    plan(connection, capture, [1] * 6)
    results = [result(capture, unit, [(unit, 1.0, None, None)]) for unit in range(6)]
    staged: list[int] = []

    def counted(*given: object, clears: bool) -> object:
        staged.append(1)
        return make_ready(*given, clears=clears)  # type: ignore[arg-type]

    monkeypatch.setattr(sinks.apply, "make_ready", counted)

    def write(given: list[Result], mode: Mode) -> tuple[int, int]:
        (share,) = make_batch(MADE, given, {}, {capture: mode}).shares
        before = len(staged)
        done = apply(connection, MADE, capture, share.results, share.ready)
        return done.applied, len(staged) - before

    assert write([*results[:2], dead(capture, 5)], Mode.SUPERSEDE) == (3, 0)
    assert write(results[:3], Mode.SUPERSEDE) == (1, 1), "two of them had been applied"
    assert write(results[3:5], Mode.FILL) == (2, 1), "the capture's mode is another"
    assert stored(connection) == dict.fromkeys(range(5), (1.0, None, None))
    assert [state for state, *_ in units(connection, capture)] == ["applied"] * 5 + ["dead"]
