from processors.engine import MAX_RESULT_BYTES, answer
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome, TableRows
from schemas.unit import Origin

BLOCK = TableRows("t", ("a", "b"), [[1, "x"], [2, "y"]], shared={"week": "2025-12-26", "tier": "OTC"})


def test_shared_columns_are_written_once_and_stand_in_every_row() -> None:
    encoded = Outcome(read=2, tables=[BLOCK]).encode()
    assert encoded.count(b"2025-12-26") == 1
    (block,) = Outcome.decode(encoded).tables
    assert block == BLOCK
    assert block.whole() == TableRows(
        "t", ("a", "b", "week", "tier"), [[1, "x", "2025-12-26", "OTC"], [2, "y", "2025-12-26", "OTC"]]
    )


def test_a_block_without_shared_columns_is_whole() -> None:
    block = TableRows("t", ("a",), [[1]])
    assert block.whole() is block
    assert b"shared" not in Outcome(tables=[block]).encode()


def test_every_part_of_a_large_result_has_the_shared_columns() -> None:
    rows = [[number, "x" * 1000] for number in range(2 * MAX_RESULT_BYTES // 1000)]
    large = Outcome(read=len(rows), tables=[TableRows("t", ("a", "b"), rows, shared={"tier": "OTC"})])
    messages = answer(lambda _, __: large, Lane("finra", LaneName.LOG), Origin("finra.log", 0, 0), None, b"", None)
    blocks = [block for message in messages for block in Outcome.decode(message.value).tables]
    assert len(blocks) > 1
    assert [block.shared for block in blocks] == [{"tier": "OTC"}] * len(blocks)
    assert [row for block in blocks for row in block.rows] == rows
