"""Rows of one source while a unit is read: one per key, those of the same key folded (racing spec, section 4)."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from schemas.precedence import rank
from schemas.racing.tables import OBSERVED, RACING

Row = list[Any]
"""Values in the order of the table's columns in COLUMNS; the first is the key (of runners: race, then horse)."""

COLUMNS: dict[str, tuple[str, ...]] = {
    "ra_mst_courses": ("id", "name", "region_code", "region", OBSERVED),
    "ra_mst_jockeys": ("id", "name", OBSERVED),
    "ra_mst_trainers": ("id", "name", "location", OBSERVED),
    "ra_mst_owners": ("id", "name", OBSERVED),
    "ra_mst_sires": ("id", "name", "region", OBSERVED),
    "ra_mst_dams": ("id", "name", "region", OBSERVED),
    "ra_mst_damsires": ("id", "name", "region", OBSERVED),
    "ra_horse_pedigree": (
        *("horse_id", "sire_id", "sire", "dam_id", "dam", "damsire_id", "damsire"),
        *("breeder", "region", OBSERVED),
    ),
}
"""The columns that every source of a table gives."""

RUNNERS = "ra_runners"
_GROUPS = {table.name: table.groups for table in RACING.tables}


class Block(NamedTuple):
    """Rows of one table from one source, values in the order of `columns`; times are ISO 8601 text, as sent."""

    table: str
    columns: tuple[str, ...]
    rows: list[Row]
    source: int


class Rows:
    """The rows of one source. `columns` are those of the tables that differ between sources; OBSERVED is the last."""

    def __init__(self, source: int, columns: dict[str, tuple[str, ...]]) -> None:
        self.source = source
        self.columns = COLUMNS | columns
        self.tables: dict[str, dict[Any, Row]] = {
            table.name: {} for table in RACING.tables if table.name in self.columns
        }
        self.runners: dict[str, dict[str, Row]] = {}
        """By race, then by horse."""

    def putter(self, table: str) -> Callable[[Row], None]:
        """What takes a row of the table; its first value is the key, of runners its first two."""
        rows, fold = self.tables[table], self._folder(table)

        def put(row: Row) -> None:
            key = row[0]
            if (stored := rows.setdefault(key, row)) is not row and stored != row:
                rows[key] = fold(stored, row)

        def put_runner(row: Row) -> None:
            race = self.runners.setdefault(row[0], {})
            key = row[1]
            if (stored := race.setdefault(key, row)) is not row and stored != row:
                race[key] = fold(stored, row)

        return put_runner if table == RUNNERS else put

    def _folder(self, table: str) -> Callable[[Row, Row], Row]:
        """Folds two rows of one key: the later observed one's values replace, of the same observation the second's."""
        columns = self.columns[table]
        groups = [[columns.index(n) for n in group] for group in _GROUPS[table] if group[0] in columns]

        def fold(stored: Row, row: Row) -> Row:
            later = rank(row[-1], self.source, ()) >= rank(stored[-1], self.source, ())
            lower, upper = (stored, row) if later else (row, stored)
            folded = [old if new is None else new for old, new in zip(lower, upper, strict=True)]
            for group in groups:
                whole = upper if any(upper[at] is not None for at in group) else lower
                for at in group:
                    folded[at] = whole[at]
            return folded

        return fold

    def blocks(self) -> Iterator[Block]:
        """A block per table that has rows."""
        for name, rows in self.tables.items():
            found = [*rows.values()]
            if name == RUNNERS:
                found = [row for race in self.runners.values() for row in race.values()]
            if found:
                yield Block(name, self.columns[name], found, self.source)
