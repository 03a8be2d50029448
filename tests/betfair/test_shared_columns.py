from processors.engine import answer
from schemas.lane import Lane, LaneName
from schemas.outcome import Outcome, TableRows
from schemas.unit import Origin
from schemas.wire import PART_BYTES, decode_outcome, encode_outcome

BLOCK = TableRows("t", ("a", "b"), [[1, "x"], [2, "y"]], shared={"week": "2025-12-26", "tier": "OTC"})


def test_shared_columns_are_written_once_and_stand_in_every_row() -> None:
    encoded = encode_outcome(Outcome(read=2, tables=[BLOCK]))
    assert encoded.count(b"2025-12-26") == 1
    (block,) = decode_outcome(encoded).tables
    assert block == BLOCK
    assert block.whole() == TableRows(
        "t", ("a", "b", "week", "tier"), [[1, "x", "2025-12-26", "OTC"], [2, "y", "2025-12-26", "OTC"]]
    )


def test_a_block_without_shared_columns_is_whole() -> None:
    block = TableRows("t", ("a",), [[1]])
    assert block.whole() is block
    assert b"shared" not in encode_outcome(Outcome(tables=[block]))


def test_every_part_of_a_large_result_has_the_shared_columns() -> None:
    rows = [[number, "x" * 1000] for number in range(2 * PART_BYTES // 1000)]
    large = Outcome(read=len(rows), tables=[TableRows("t", ("a", "b"), rows, shared={"tier": "OTC"})])
    messages = answer(lambda _, __: large, Lane("finra", LaneName.LOG), Origin("finra.log", 0, 0), None, b"", None)
    blocks = [block for message in messages for block in decode_outcome(message.value).tables]
    assert len(blocks) > 1
    assert [block.shared for block in blocks] == [{"tier": "OTC"}] * len(blocks)
    assert [row for block in blocks for row in block.rows] == rows
