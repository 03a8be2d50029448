"""A backfill as most are written: select, compute, UPDATE a row at a time, commit per 500.

    python -m bench.contenders.script

It computes 500 rows at once, as the formulas like it best; a row at a time they would take ten times as long.
"""

from bench.contenders.work import COLUMNS, UNIT_ROWS, compute, connect, ids, pages, update_a_row


def main() -> None:
    """Fill all rows."""
    statement = update_a_row()
    with connect() as reading, connect() as writing:
        for page in pages(reading, *ids(reading), rows=UNIT_ROWS):
            for batch in compute(page):
                keys = batch.column("snapshot_id").to_pylist()
                rows = zip(*(batch.column(name).to_pylist() for name in COLUMNS), strict=True)
                for key, values in zip(keys, rows, strict=True):
                    writing.execute(statement, [*values, key])
            writing.commit()


if __name__ == "__main__":
    main()
